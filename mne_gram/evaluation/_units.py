# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One unit of work: a method, a seed, a fold. It is written whole or not at all."""

import hashlib
import json
import time
import warnings
import zipfile
from dataclasses import dataclass

import mne
import numpy as np

from .._files import staged
from .._version import __version__
from ..decoding import cache_encodings

# What the network made of trials, which is the same in every fold, by process.
_KEPT = {}
_MOST_KEPT = 20_000  # trials
_LEAST = 1e-12  # of a probability, whose logarithm is averaged over a recording


@dataclass(frozen=True)
class Result:
    """What a method said about the windows of a fold.

    Attributes
    ----------
    method : str
        Name of the method.
    seed, fold : int
        Which split.
    rows : array of int, shape (n_windows,)
        The windows of the task that were tested.
    log_proba : array, shape (n_windows, n_classes)
        Logarithms of the probabilities, in the order of the labels of the task.
    fit_seconds, predict_seconds : float
        How long it took; encodings are kept from fold to fold.
    """

    method: str
    seed: int
    fold: int
    rows: np.ndarray
    log_proba: np.ndarray
    fit_seconds: float
    predict_seconds: float


def run_unit(task, method, seed, fold):
    """Fit a method to the windows of a fold that are learnt from, and test the others.

    Parameters
    ----------
    task : Task
        The task.
    method : Method
        The method.
    seed : int
        Seed of the split, and of the method's own draws.
    fold : Fold
        The fold.

    Returns
    -------
    result : Result
        What it said.
    """
    if len(_KEPT) > _MOST_KEPT:
        _KEPT.clear()
    log_proba, seconds = [], np.zeros(2)
    y, subjects = task.y, task.subjects
    for train, test in fold.pairs:
        estimator = method.make(task, seed)
        groups = subjects[train] if task.protocol != "within" else None
        with warnings.catch_warnings(), mne.use_log_level("error"), cache_encodings(_KEPT):
            # What a method has to say about each of hundreds of fits is not for the reader of a
            # table. What goes wrong is raised.
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            estimator.fit(task.epochs[train], y[train], groups=groups)
            middle = time.perf_counter()
            proba = estimator.predict_proba(task.epochs[test])
            seconds += [middle - start, time.perf_counter() - middle]
        log_proba.append(_arrange(proba, estimator.classes_, task.labels))
    return Result(method.name, seed, fold.number, fold.tested, np.concatenate(log_proba), *seconds)


def _arrange(proba, classes, labels):
    """Return logarithms of probabilities in the order of the labels."""
    columns = {str(label): k for k, label in enumerate(classes)}
    ordered = np.stack([proba[:, columns[label]] for label in labels], axis=1)
    if not np.isfinite(ordered).all():
        raise ValueError("The method gave probabilities that are no numbers.")
    return np.log(np.maximum(ordered, _LEAST))


def make_key(task, method, digest, n_folds):
    """Return a name for all that a result depends on beside seed and fold.

    Parameters
    ----------
    task : Task
        The task.
    method : Method
        The method, whose model counts with its weights.
    digest : str
        Digest of the task.
    n_folds : int
        Number of folds.

    Returns
    -------
    key : str
        Twelve digits; the version of the package is part of it.
    """
    about = dict(method=method.describe(task), digest=digest, version=__version__, n_folds=n_folds)
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def write_result(fname, result):
    """Write a result, whole or not at all.

    Parameters
    ----------
    fname : path-like
        The file.
    result : Result
        The result.
    """
    with staged(fname, overwrite=True) as file:
        np.savez_compressed(
            file,
            rows=result.rows,
            log_proba=result.log_proba.astype(np.float32),
            seconds=[result.fit_seconds, result.predict_seconds],
        )


def read_result(fname, method, seed, fold):
    """Read a result that was written before.

    Parameters
    ----------
    fname : path-like
        The file.
    method : str
        Name of the method.
    seed, fold : int
        Which split.

    Returns
    -------
    result : Result | None
        The result; None if there is none, or the file is not one.
    """
    try:
        # Of a file that is broken, numpy would leave open what it opened itself.
        with open(fname, "rb") as stream, np.load(stream, allow_pickle=False) as content:
            rows, log_proba = content["rows"], content["log_proba"].astype(float)
            return Result(method, seed, fold, rows, log_proba, *content["seconds"].tolist())
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
