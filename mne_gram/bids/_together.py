# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings that share one network on one device: read ahead, encoded together, written.

This process holds the locks, the device and the network. Other processes read recordings and cut
them into windows, and threads of this one write what comes out, so that the device need not wait.
"""

import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from ..features import JointEncoder
from ._encode import encode
from ._lock import Lock
from ._unit import Prepared, clear, finish_unit, make_row, prepare_unit, record_failure, take

_IDLE = 300.0  # seconds without work after which a reader ends, also one whose caller was killed


def run_together(units, settings, n_jobs):
    """Do recordings in batches that hold windows of several of them.

    Parameters
    ----------
    units : list of Unit
        The recordings.
    settings : Settings
        What to do: to embed them, or to name their base classes.
    n_jobs : int
        How many recordings are read at a time.

    Yields
    ------
    row : dict
        Each recording's when it is done, as :func:`~mne_gram.bids._unit.run_unit` returns it.
        ``seconds`` are those of work: how long its windows waited for others does not count.
    """
    n_jobs = max(1, min(n_jobs, len(units)))
    with ExitStack() as stack:
        run = _Run(units, settings, n_jobs)
        stack.callback(run.give_up)  # in the end, when nobody is at work any more
        writers = stack.enter_context(ThreadPoolExecutor(n_jobs))
        readers = stack.enter_context(_start_readers(n_jobs))
        yield from run.iterate(readers, writers)


@contextmanager
def _start_readers(n_jobs):
    """Yield a pool of processes; they are killed in the end, whatever they are at."""
    from joblib.externals.loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(n_jobs, timeout=_IDLE)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)


def _read(unit, settings):
    """Prepare a recording in a process of its own, with one thread."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return prepare_unit(unit, settings)


@dataclass(eq=False)
class _Open:
    """A recording that is being done."""

    stack: ExitStack = field(default_factory=ExitStack)  # holds the lock
    start: float = field(default_factory=time.perf_counter)
    lock: Lock | None = None
    prepared: Prepared | None = None


class _Run:
    """What is being read, waits for the network, and is being written."""

    def __init__(self, units, settings, n_jobs):
        self._units, self._settings, self._n_jobs = deque(units), settings, n_jobs
        self._open, self._reading, self._writing = {}, {}, {}
        self._encoder = JointEncoder(partial(encode, settings))

    def iterate(self, readers, writers):
        """Do all recordings, with pools that read and write; yield the row of each."""
        self._readers, self._writers = readers, writers
        while self._units or self._open:
            yield from self._start_reading()
            done, _ = wait([*self._reading, *self._writing], return_when=FIRST_COMPLETED)
            for future in done & self._writing.keys():
                yield self._close(self._writing.pop(future), future.result())
            for future in done & self._reading.keys():
                yield from self._encode(self._reading.pop(future), future.result())
            if not self._units and not self._reading:
                self._start_writing(self._encoder.flush())

    def give_up(self):
        """Let go of all recordings that are not done; leave nothing of them behind."""
        for unit, entry in self._open.items():
            if entry.lock is not None:
                clear(unit, self._settings)
            entry.stack.close()

    def _start_reading(self):
        """Read ahead, unless as many wait already; yield rows of what others are at."""
        # One more than are read at a time, so that no reader waits for this process.
        while self._units and max(len(self._reading), len(self._writing)) <= self._n_jobs:
            unit = self._units.popleft()
            entry = self._open[unit] = _Open()
            lock = take(unit, self._settings, entry.stack)
            if isinstance(lock, dict):
                yield self._close(unit, lock)
                continue
            entry.lock = lock
            self._reading[self._readers.submit(_read, unit, self._settings)] = unit

    def _encode(self, unit, found):
        """Give windows to the network; yield the row of a recording that has none."""
        if isinstance(found, dict):
            if found["status"] == "failed":
                found = record_failure(unit, self._settings, found)
            yield self._close(unit, found)
            return
        windows, self._open[unit].prepared = found
        parts = (windows.cuts, windows.channels, windows.batch_size)
        self._start_writing(self._encoder.add(unit, *parts))

    def _start_writing(self, results):
        """Have results written as they come from the network."""
        for encoded in results:
            entry = self._open[encoded.name]
            arguments = (encoded.name, self._settings, entry.lock, entry.prepared, encoded)
            self._writing[self._writers.submit(finish_unit, *arguments)] = encoded.name

    def _close(self, unit, facts):
        """Give a recording back; return its row."""
        entry = self._open.pop(unit)
        entry.stack.close()
        seconds = time.perf_counter() - entry.start
        if facts["status"] == "done":
            seconds = facts["compute_seconds"]
        return make_row(unit, self._settings, facts, seconds)
