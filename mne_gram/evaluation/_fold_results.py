# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The result of one method, seed and fold, and its file."""

import hashlib
import json
import time
import warnings
import zipfile
from dataclasses import dataclass

import mne
import numpy as np

from .. import __version__
from .._files import staged
from ..decoding import cache_encodings

# The network's encodings of trials, which are the same in all folds; one cache per process.
_CACHE = {}
_MOST_CACHED = 20_000  # trials
_LEAST = 1e-12  # probability, so that the mean of logarithms over a recording is finite


@dataclass(frozen=True)
class FoldResult:
    """The predictions of a method for the test windows of a fold.

    Attributes
    ----------
    method : str
        The name of the method.
    seed, fold : int
        The split.
    rows : array of int, shape (n_windows,)
        The windows of the task that were tested.
    log_proba : array, shape (n_windows, n_classes)
        Logarithms of the probabilities, in the order of the labels of the task.
    fit_seconds, predict_seconds : float
        Durations; encodings are cached from fold to fold.
    """

    method: str
    seed: int
    fold: int
    rows: np.ndarray
    log_proba: np.ndarray
    fit_seconds: float
    predict_seconds: float


def fit_and_test(task, method, seed, fold):
    """Fit a NamedClassifier to the training rows of a fold, and test it; return a FoldResult."""
    if len(_CACHE) > _MOST_CACHED:
        _CACHE.clear()
    log_proba, seconds = [], np.zeros(2)
    y, subjects = task.y, task.subjects
    for train, test in fold.pairs:
        estimator = method.make(task, seed)
        groups = subjects[train] if task.protocol != "within" else None
        with warnings.catch_warnings(), mne.use_log_level("error"), cache_encodings(_CACHE):
            # Warnings of each of hundreds of fits would bury the table. Errors are raised.
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            estimator.fit(task.epochs[train], y[train], groups=groups)
            middle = time.perf_counter()
            proba = estimator.predict_proba(task.epochs[test])
            seconds += [middle - start, time.perf_counter() - middle]
        log_proba.append(_order_classes(proba, estimator.classes_, task.labels))
    log_proba = np.concatenate(log_proba)
    return FoldResult(method.name, seed, fold.number, fold.tested, log_proba, *seconds)


def _order_classes(proba, classes, labels):
    """Return logarithms of probabilities (n_windows, n_classes) in the order of the labels."""
    columns = {str(label): k for k, label in enumerate(classes)}
    ordered = np.stack([proba[:, columns[label]] for label in labels], axis=1)
    if not np.isfinite(ordered).all():
        raise ValueError("The method returned probabilities that are not finite.")
    return np.log(np.maximum(ordered, _LEAST))


def make_key(task, method, digest, n_folds):
    """Return twelve digits for everything that a result depends on except seed and fold."""
    about = dict(method=method.describe(task), digest=digest, version=__version__, n_folds=n_folds)
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def write_result(fname, result):
    """Write a FoldResult atomically."""
    with staged(fname, overwrite=True) as file:
        np.savez_compressed(
            file,
            rows=result.rows,
            log_proba=result.log_proba.astype(np.float32),
            seconds=[result.fit_seconds, result.predict_seconds],
        )


def read_result(fname, method, seed, fold):
    """Return the FoldResult in a file; None if it is missing or broken."""
    try:
        # Of a broken file, numpy would leave open what it opened itself.
        with open(fname, "rb") as stream, np.load(stream, allow_pickle=False) as content:
            rows, log_proba = content["rows"], content["log_proba"].astype(float)
            return FoldResult(method, seed, fold, rows, log_proba, *content["seconds"].tolist())
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
