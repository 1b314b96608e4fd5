# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings processed in parallel, by processes of this machine or another joblib backend."""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

from mne.utils import ProgressBar, logger

from .._counts import count
from .._workers import end_workers
from ._process import process_recording
from ._restore import load_cached
from ._shared_batches import process_in_shared_batches


def _get_process():
    return socket.gethostname(), os.getpid()


def _process_in_worker(recording, settings, caller):
    """Process a recording, with one thread unless this is the caller's process."""
    if _get_process() == caller and settings.job != "prior":  # on which all others depend
        return process_recording(recording, settings)
    from threadpoolctl import threadpool_limits

    if settings.uses_network:
        from ..models import limit_threads

        limit_threads(1)
    with threadpool_limits(1):
        return process_recording(recording, settings)


def _share_batches(settings):
    """Return whether recordings share batches, because they share an accelerator.

    With another backend than joblib's own, such as dask, each worker may have its own device.
    """
    from joblib.parallel import LokyBackend, get_active_backend

    needs_device = settings.job != "restore" and settings.uses_accelerator
    return needs_device and isinstance(get_active_backend()[0], LokyBackend)


def _start_workers(recordings, settings, n_jobs):
    """Return a generator of the rows of recordings, in the order in which they are done."""
    from joblib import Parallel, delayed, effective_n_jobs

    if _share_batches(settings):
        return process_in_shared_batches(recordings, settings, effective_n_jobs(n_jobs))
    caller = _get_process()
    # Workers get paths, not data: only as many recordings are in memory as there are workers.
    parallel = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
    return parallel(delayed(_process_in_worker)(r, settings, caller) for r in recordings)


def process_recordings(recordings, settings, n_jobs, on_error, log_path, on_done):
    """Process recordings in parallel with a progress bar and a log file; return their rows.

    ``on_done`` is called after each. RuntimeError: a killed worker, or an error that ends the run.
    """
    rows, clock = {}, _Clock(len(recordings))
    bar = ProgressBar(len(recordings), mesg=f"{settings.job}: recordings")
    try:
        results = _closing(_start_workers(recordings, settings, n_jobs))
        with results as done, log_path.open("a", encoding="utf-8") as log:
            for row in done:
                rows[row["recording"]] = row
                _log(row, clock.describe(row), log)
                bar.update(len(rows))
                if row["status"] == "done":
                    on_done()
                if row["status"] == "failed" and on_error == "raise":
                    raise RuntimeError(f"{row['recording']} failed: {row['why']}")
    finally:
        del bar  # which ends its line
    return [rows[recording.label] for recording in recordings]


def _log(row, line, file):
    """Log one line about a recording above the bar, and all details to the file."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        logger.info("%s", line)
    details = [*row.get("notes", []), *row.get("traceback", "").splitlines()]
    print(time.strftime("%Y-%m-%d %H:%M:%S"), line, file=file)
    print("".join(f"    {text}\n" for text in details), end="", file=file, flush=True)


@contextlib.contextmanager
def _closing(results):
    """Stop the workers if the loop over their results ends early; explain the death of one."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        yield results
    except TerminatedWorkerError as exc:
        raise RuntimeError(
            "A worker process was killed, possibly because memory ran out. Finished recordings are "
            "kept: repeat the same run with a smaller n_jobs."
        ) from exc
    finally:
        with contextlib.suppress(Exception):
            results.close()
        end_workers()
        load_cached.cache_clear()


class _Clock:
    """The remaining time, estimated from the recordings that were processed so far."""

    def __init__(self, number):
        self._number, self._n_seen, self._n_processed = number, 0, 0
        self._start = time.monotonic()

    def describe(self, row):
        """Return the log line of a recording that is done."""
        self._n_seen += 1
        self._n_processed += row["status"] not in ("skipped", "busy")
        left = ""
        if self._n_processed and self._n_seen < self._number:
            pace = (time.monotonic() - self._start) / self._n_processed
            left = f", {format_seconds(pace * (self._number - self._n_seen))} left"
        result = _describe_result(row)
        return f"[{self._n_seen}/{self._number}] {Path(row['recording']).name}: {result}{left}"


def format_seconds(seconds):
    """Return a time as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _describe_result(row):
    """Return a short description of the result for a recording."""
    if row["status"] in ("failed", "busy"):
        return f"{row['status']}, {row['why']}"
    if row["status"] == "skipped":
        return "up to date"
    if row["job"] == "prior":
        if row.get("excluded"):
            return f"not used, {row['excluded']}"
        return f"{count(len(row['electrodes']), 'electrode')} measured, {row['seconds']:.1f} s"
    if row["job"] != "restore":
        return f"{count(row['n_windows'], 'window')}, {row['seconds']:.1f} s"
    if not row["channels"]:
        return f"no bad channels or segments, {row['seconds']:.1f} s"
    r = "" if row["expected_r"] is None else f" (expected r {row['expected_r']:.2f})"
    return f"{count(len(row['channels']), 'channel')} restored{r}, {row['seconds']:.1f} s"
