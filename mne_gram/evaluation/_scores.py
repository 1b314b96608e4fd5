# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Scores over whole test sets, with intervals over subjects.

The folds of a seed are pooled before anything is measured, so that each test window counts once.
Intervals are 95 % bootstrap intervals over subjects, because the windows of a subject are not
independent; differences of methods are paired by subject.
"""

from dataclasses import dataclass

import numpy as np

from ..metrics import score_classes

LEVELS = ("window", "recording")
N_BOOT = 2000
_EDGES = (0.025, 0.975)


@dataclass(frozen=True)
class Predictions:
    """The predictions of a method for the test set in one seed."""

    y: np.ndarray  #: true class numbers, (n,)
    predicted: np.ndarray  #: predicted class numbers, (n,)
    proba: np.ndarray  #: probabilities, (n, n_classes)
    subjects: np.ndarray  #: the subject of each window or recording, (n,)

    def select(self, subjects):
        """Return the predictions for some subjects."""
        keep = np.isin(self.subjects, list(subjects))
        kept = self.y[keep], self.predicted[keep], self.proba[keep], self.subjects[keep]
        return Predictions(*kept)


def pool_folds(task, results, level="window"):
    """Return the Predictions of one method and seed, from the FoldResults of its folds.

    A recording is classified by the mean of the log probabilities of its windows.
    """
    rows = np.concatenate([result.rows for result in results])
    log_proba = np.concatenate([result.log_proba for result in results])
    if len(np.unique(rows)) < len(rows):
        raise ValueError("A window was tested twice in one seed.")
    y = np.array([task.labels.index(label) for label in task.y[rows]])
    subjects = task.subjects[rows]
    if level == "recording":
        if not task.has_whole_recordings:
            raise ValueError(f"Recordings of the task {task.name} contain several classes.")
        _, first, number = np.unique(task.recordings[rows], return_index=True, return_inverse=True)
        sums = np.zeros((len(first), log_proba.shape[1]))
        np.add.at(sums, number, log_proba)
        log_proba = sums / np.bincount(number)[:, None]
        y, subjects = y[first], subjects[first]
    proba = np.exp(log_proba - log_proba.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    return Predictions(y, log_proba.argmax(axis=1), proba, subjects)


def measure(task, predictions):
    """Return the measures of the task over the whole test set, a dict."""
    labels = list(range(len(task.labels)))
    own = predictions.y, predictions.predicted, predictions.proba
    return score_classes(*own, labels=labels, measures=task.measures)


def count_confusions(predictions, subjects, n_classes):
    """Return confusion matrices (n_subjects, n_classes, n_classes), true classes in rows.

    The mean over seeds; ``predictions`` has one item per seed, and ``subjects`` are sorted.
    """
    confusions = np.zeros((len(subjects), n_classes, n_classes))
    for own in predictions:
        place = np.searchsorted(subjects, own.subjects)
        np.add.at(confusions, (place, own.y, own.predicted), 1 / len(predictions))
    return confusions


def balance(confusions):
    """Return the balanced accuracy of confusion matrices (..., n_classes, n_classes)."""
    totals = confusions.sum(axis=-1)
    right = np.diagonal(confusions, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore"):
        return np.nanmean(np.where(totals > 0, right / totals, np.nan), axis=-1)


def find_interval(confusions, others=None):
    """Return the bootstrap interval over subjects of the balanced accuracy, or of a difference.

    ``confusions`` and ``others`` have the shape (n_subjects, n_classes, n_classes).
    """
    n_subjects = len(confusions)
    rng = np.random.default_rng(0)  # so that an interval depends on its own data alone
    weights = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), N_BOOT).astype(float)
    values = balance(np.einsum("bp,pij->bij", weights, confusions))
    if others is not None:
        values = values - balance(np.einsum("bp,pij->bij", weights, others))
    return tuple(float(edge) for edge in np.nanquantile(values, _EDGES))


def simulate_chance(task, subjects=None, level="window"):
    """Return mean, low and high balanced accuracy of random guesses for some or all subjects.

    Recordings of one class get one guess for all of their windows, as a classifier that knows
    nothing of the class may behave; independent guesses would make the interval too narrow.
    """
    keep = np.ones(len(task.y), bool)
    if subjects is not None:
        keep = np.isin(task.subjects, list(subjects))
    if task.protocol in ("published", "held-out"):
        keep &= task.epochs.metadata["part"].to_numpy(str) == "test"
    y = np.array([task.labels.index(label) for label in task.y[keep]])
    guesses = np.arange(len(y))
    if task.has_whole_recordings:
        _, first, guesses = np.unique(task.recordings[keep], return_index=True, return_inverse=True)
        if level == "recording":
            y, guesses = y[first], np.arange(len(first))
    rng = np.random.default_rng(0)
    n_classes = len(task.labels)
    values = np.empty(N_BOOT)
    for k in range(N_BOOT):
        guessed = rng.integers(n_classes, size=guesses.max() + 1)[guesses]
        counts = np.bincount(y * n_classes + guessed, minlength=n_classes**2)
        values[k] = balance(counts.reshape(n_classes, n_classes))
    low, high = np.quantile(values, _EDGES)
    return float(values.mean()), float(low), float(high)
