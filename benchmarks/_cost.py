# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of fitting and predicting, in a separate process for each method."""

import threading
import time
from multiprocessing import get_context
from pathlib import Path

from mne_gram.evaluation import parse_method, split_task

_PAUSE = 0.01  # seconds between measurements of the memory


class MemoryWatch:
    """Measure the peak memory of this process, as ``gain`` in megabytes over the start (Linux).

    It is NaN on other systems.
    """

    def __enter__(self):
        """Start to measure."""
        self._start = self._peak = _get_memory()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self):
        while not self._stop.wait(_PAUSE):
            self._peak = max(self._peak, _get_memory())

    def __exit__(self, *args):
        """Stop measuring."""
        self._stop.set()
        self._thread.join()
        self.gain = max(self._peak, _get_memory()) - self._start


def _get_memory():
    """Return the memory of this process in megabytes."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    (line,) = (line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def measure_cost(task, method):
    """Fit a method to the first fold of a task and test it, in a new process with all threads.

    Returns a row with seconds, and megabytes beyond the windows and libraries already loaded.
    """
    # Forked processes of a program that has used threads may hang.
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure, args=(task, method, there))
    process.start()
    there.close()
    try:
        cost = here.recv()
    except EOFError:
        raise RuntimeError(f"The process that measured {method} died.") from None
    finally:
        process.join()
    if isinstance(cost, Exception):
        raise cost
    return cost


def _measure(task, method, pipe):
    try:
        pipe.send(_fit_and_predict(task, parse_method(method)))
    except Exception as exc:
        pipe.send(RuntimeError(f"{method}: {type(exc).__name__}: {exc}"))


def _fit_and_predict(task, method):
    """Return the cost of one fit and one prediction."""
    import mne

    fold = split_task(task)[0]
    train, test = fold.pairs[0]
    groups = None if task.protocol == "within" else task.subjects[train]
    estimator = method.make(task, 0)
    learn, probe = task.epochs[train], task.epochs[test]
    cost = dict(task=task.name, method=method.name, n_train=len(train), n_test=len(test))
    with mne.use_log_level("error"):
        for name in ("fit", "predict"):
            start = time.perf_counter()
            with MemoryWatch() as watch:
                if name == "fit":
                    estimator.fit(learn, task.y[train], groups=groups)
                else:
                    estimator.predict_proba(probe)
            cost[f"{name}_seconds"] = time.perf_counter() - start
            cost[f"{name}_megabytes"] = watch.gain
    return cost


def format_costs(costs):
    """Return a table of costs as text."""
    lines = ["One fold, all threads; memory beyond windows and libraries already loaded"]
    lines.append(f"  {'':34}{'windows':>14}{'fit':>20}{'predict':>20}")
    for cost in costs:
        counts = f"{cost['n_train']} + {cost['n_test']}"
        values = "".join(
            f"{cost[f'{name}_seconds']:10.1f} s {cost[f'{name}_megabytes']:5.0f} MB"
            for name in ("fit", "predict")
        )
        lines.append(f"  {cost['task']:14}{cost['method']:20}{counts:>14}{values}")
    return "\n".join(lines)
