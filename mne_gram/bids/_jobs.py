# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings, spread over workers: processes of this machine, or whatever joblib is told of."""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

from mne.utils import ProgressBar, logger

from ._together import run_together
from ._unit import run_unit
from ._work import load_once


def _get_process():
    return socket.gethostname(), os.getpid()


def _work(unit, settings, caller):
    """Do a recording in a worker, with one thread each if the worker is a process of its own."""
    if _get_process() == caller:
        return run_unit(unit, settings)
    from threadpoolctl import threadpool_limits

    if settings.uses_network:
        import torch

        torch.set_num_threads(1)
    with threadpool_limits(1):
        return run_unit(unit, settings)


def _is_together(settings):
    """Tell whether recordings share batches, because they share an accelerator.

    With another backend than joblib's own, such as dask, each worker may have a device.
    """
    from joblib.parallel import LokyBackend, get_active_backend

    needs_device = settings.job != "restore" and settings.uses_accelerator
    return needs_device and isinstance(get_active_backend()[0], LokyBackend)


def _start(units, settings, n_jobs):
    """Return a generator of the rows of recordings, as they are done."""
    from joblib import Parallel, delayed, effective_n_jobs

    if _is_together(settings):
        return run_together(units, settings, effective_n_jobs(n_jobs))
    caller = _get_process()
    # What is sent ahead are names: only as many recordings are in memory as there are workers.
    parallel = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
    return parallel(delayed(_work)(unit, settings, caller) for unit in units)


def run_units(units, settings, n_jobs, on_error, log_path, on_done):
    """Do recordings, several at a time; tell how far it is.

    Parameters
    ----------
    units : list of Unit
        The recordings.
    settings : Settings
        What to do with each.
    n_jobs : int
        How many at a time, as joblib counts. With 1 they are done in this process, unless the
        caller chose a backend of joblib. If they share batches, so many are read at a time, in
        other processes.
    on_error : "continue" | "raise"
        What to do after a failure.
    log_path : pathlib.Path
        The log file, a line a recording.
    on_done : callable
        Called, without arguments, after each recording that is done.

    Returns
    -------
    rows : list of dict
        A row each recording, in the order of ``units``.

    Raises
    ------
    RuntimeError
        If a recording fails and ``on_error="raise"``, or a worker is killed.
    """
    rows, clock = {}, _Clock(len(units))
    bar = ProgressBar(len(units), mesg=f"{settings.job}: recordings")
    try:
        results = _closing(_start(units, settings, n_jobs))
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
    return [rows[unit.path.as_posix()] for unit in units]


def _log(row, line, file):
    """Tell of a recording in one line above the bar, and of all about it in the log file."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        logger.info("%s", line)
    lines = [*row.get("notes", []), *row.get("traceback", "").splitlines()]
    print(time.strftime("%Y-%m-%d %H:%M:%S"), line, file=file)
    print("".join(f"    {text}\n" for text in lines), end="", file=file, flush=True)


@contextlib.contextmanager
def _closing(results):
    """Stop the workers if the loop over their results ends early; say what it means if one died."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        yield results
    except TerminatedWorkerError as exc:
        raise RuntimeError(
            "A worker process was killed, perhaps because memory ran out. What was done is kept: "
            "run the same again, with a smaller n_jobs."
        ) from exc
    finally:
        with contextlib.suppress(Exception):
            results.close()
        load_once.cache_clear()


class _Clock:
    """The time that is left, by the recordings that were worked on so far."""

    def __init__(self, number):
        self._number, self._n_seen, self._n_worked = number, 0, 0
        self._start = time.monotonic()

    def describe(self, row):
        """Return the line of a recording that has just been done."""
        self._n_seen += 1
        self._n_worked += row["status"] not in ("skipped", "busy")
        left = ""
        if self._n_worked and self._n_seen < self._number:
            pace = (time.monotonic() - self._start) / self._n_worked
            left = f", {format_seconds(pace * (self._number - self._n_seen))} left"
        what = describe_row(row)
        return f"[{self._n_seen}/{self._number}] {Path(row['recording']).name}: {what}{left}"


def format_seconds(seconds):
    """Return a time as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def describe_row(row):
    """Return what was done with a recording, in half a line."""
    if row["status"] in ("failed", "busy"):
        return f"{row['status']}, {row['why']}"
    if row["status"] == "skipped":
        return "done before"
    if row["job"] != "restore":
        return f"{row['n_windows']} windows, {row['seconds']:.1f} s"
    if not row["channels"]:
        return f"nothing was bad, {row['seconds']:.1f} s"
    r = "" if row["expected_r"] is None else f" (expected r {row['expected_r']:.2f})"
    return f"{len(row['channels'])} channels restored{r}, {row['seconds']:.1f} s"
