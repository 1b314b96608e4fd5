# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings that share one network on one device: read ahead, encoded in common batches, written.

This process holds the locks, the device and the network. Other processes read recordings and cut
them into windows, and threads of this one write the results, so that the device need not wait.
"""

import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from ..features import JointEncoder
from ._encode import encode_batch
from ._lock import Lock
from ._process import (
    Prepared,
    clear_staging,
    finish_recording,
    lock_recording,
    make_row,
    note_failure,
    prepare_recording,
)

_IDLE = 300.0  # seconds without work after which a reader ends, even if the caller was killed


def process_in_shared_batches(recordings, settings, n_jobs):
    """Embed recordings, or compute their tokens, in batches with windows of several of them.

    Yields the row of each recording when it is done, as `process_recording` returns it; reads
    ``n_jobs`` recordings at a time. ``seconds`` exclude the time that windows wait for others.
    """
    n_jobs = max(1, min(n_jobs, len(recordings)))
    with ExitStack() as stack:
        pipeline = _Pipeline(recordings, settings, n_jobs)
        stack.callback(pipeline.give_up)  # last, when readers and writers have ended
        writers = stack.enter_context(ThreadPoolExecutor(n_jobs))
        readers = stack.enter_context(_start_readers(n_jobs))
        yield from pipeline.iterate(readers, writers)


@contextmanager
def _start_readers(n_jobs):
    """Yield a pool of processes, which are killed in the end, busy or not."""
    from joblib.externals.loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(n_jobs, timeout=_IDLE)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)


def _read(recording, settings):
    """Prepare a recording in a reader process, with one thread."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return prepare_recording(recording, settings)


@dataclass(eq=False)
class _InProgress:
    """A recording that is being processed."""

    stack: ExitStack = field(default_factory=ExitStack)  # holds the lock
    start: float = field(default_factory=time.perf_counter)
    lock: Lock | None = None
    prepared: Prepared | None = None


class _Pipeline:
    """The recordings that are being read, wait for the network, or are being written."""

    def __init__(self, recordings, settings, n_jobs):
        self._waiting, self._settings, self._n_jobs = deque(recordings), settings, n_jobs
        self._in_progress, self._reading, self._writing = {}, {}, {}
        self._encoder = JointEncoder(partial(encode_batch, settings))

    def iterate(self, readers, writers):
        """Process all recordings with pools of readers and writers; yield the row of each."""
        self._readers, self._writers = readers, writers
        while self._waiting or self._in_progress:
            yield from self._start_reading()
            done, _ = wait([*self._reading, *self._writing], return_when=FIRST_COMPLETED)
            for future in done & self._writing.keys():
                yield self._close(self._writing.pop(future), future.result())
            for future in done & self._reading.keys():
                yield from self._encode(self._reading.pop(future), future.result())
            if not self._waiting and not self._reading:
                self._start_writing(self._encoder.flush())

    def give_up(self):
        """Release all recordings that are not done, and remove their staged files."""
        for recording, state in self._in_progress.items():
            if state.lock is not None:
                clear_staging(recording, self._settings)
            state.stack.close()

    def _start_reading(self):
        """Read ahead, unless enough recordings are read; yield the rows of those that are busy."""
        # One more than there are readers, so that no reader waits for this process.
        while self._waiting and max(len(self._reading), len(self._writing)) <= self._n_jobs:
            recording = self._waiting.popleft()
            state = self._in_progress[recording] = _InProgress()
            lock = lock_recording(recording, self._settings, state.stack)
            if isinstance(lock, dict):
                yield self._close(recording, lock)
                continue
            state.lock = lock
            self._reading[self._readers.submit(_read, recording, self._settings)] = recording

    def _encode(self, recording, found):
        """Pass windows to the network; yield the row of a recording that has none."""
        if isinstance(found, dict):
            if found["status"] == "failed":
                found = note_failure(recording, self._settings, found)
            yield self._close(recording, found)
            return
        windows, self._in_progress[recording].prepared = found
        parts = (windows.cuts, windows.channels, windows.batch_size)
        self._start_writing(self._encoder.add(recording, *parts))

    def _start_writing(self, results):
        """Write results as they come from the network."""
        for encoded in results:
            state = self._in_progress[encoded.name]
            arguments = (encoded.name, self._settings, state.lock, state.prepared, encoded)
            self._writing[self._writers.submit(finish_recording, *arguments)] = encoded.name

    def _close(self, recording, facts):
        """Release a recording; return its row."""
        state = self._in_progress.pop(recording)
        state.stack.close()
        seconds = time.perf_counter() - state.start
        if facts["status"] == "done":
            seconds = facts["compute_seconds"]
        return make_row(recording, self._settings, facts, seconds)
