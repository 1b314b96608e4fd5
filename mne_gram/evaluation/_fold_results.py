# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The result of one method, seed and fold, and its file."""

import hashlib
import json
import time
import warnings
from dataclasses import dataclass

import mne
import numpy as np

from .. import __version__
from .._files import staged
from .._formats import Member, read_npz
from ..decoding import cache_encodings

# The network's encodings of trials, which are the same in all folds; one cache per process.
_CACHE = {}
_MOST_CACHED = 20_000  # trials
_ROUNDING = 1e-3  # of a logarithm above that of 1, in single precision
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


def read_result(fname, method, seed, fold, rows, n_classes):
    """Return the FoldResult in a file; None if it is missing, broken or not of these rows."""
    expected = dict(
        rows=Member("iu", 1, (len(rows),)),
        log_proba=Member("f", 2, (len(rows), n_classes), finite=True),
        seconds=Member("f", 1, (2,), finite=True),
    )
    try:
        content = read_npz(fname, expected, max_bytes=16 * len(rows) * (n_classes + 1) + 2**12)
    except (OSError, ValueError):
        return None
    log_proba = content["log_proba"].astype(float)
    if not np.array_equal(content["rows"], rows) or (log_proba > _ROUNDING).any():
        return None
    return FoldResult(method, seed, fold, content["rows"], log_proba, *content["seconds"].tolist())
