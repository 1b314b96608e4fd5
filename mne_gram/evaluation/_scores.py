# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Scores over whole test sets, with intervals over people.

A seed's folds are pooled before anything is measured: every window of the test set once. Intervals
are 95 % bootstrap intervals over people, as windows of a person are no independent trials; a
difference of methods is that of the same people in the same folds.
"""

from dataclasses import dataclass

import numpy as np

from ..metrics import score_classes

LEVELS = ("window", "recording")
N_BOOT = 2000
EDGES = (0.025, 0.975)


@dataclass(frozen=True)
class Answers:
    """What a method said about the test set in one seed.

    Attributes
    ----------
    y, predicted : array of int, shape (n,)
        True and predicted class, as numbers.
    proba : array, shape (n, n_classes)
        Probabilities.
    subjects : array of str, shape (n,)
        Whose windows, or recordings, they are.
    """

    y: np.ndarray
    predicted: np.ndarray
    proba: np.ndarray
    subjects: np.ndarray

    def select(self, people):
        """Return the answers about some people only."""
        keep = np.isin(self.subjects, list(people))
        return Answers(self.y[keep], self.predicted[keep], self.proba[keep], self.subjects[keep])


def pool_folds(task, results, level="window"):
    """Pool the folds of a seed.

    Parameters
    ----------
    task : Task
        The task.
    results : list of Result
        Those of one method and seed.
    level : "window" | "recording"
        Whether to answer for windows, or for recordings by the mean of the log-probabilities of
        their windows.

    Returns
    -------
    answers : Answers
        Over all that was tested.

    Raises
    ------
    ValueError
        If recordings are asked for that hold several classes.
    """
    rows = np.concatenate([result.rows for result in results])
    log_proba = np.concatenate([result.log_proba for result in results])
    if len(np.unique(rows)) < len(rows):
        raise ValueError("A window was tested twice in one seed.")
    y = np.array([task.labels.index(label) for label in task.y[rows]])
    subjects = task.subjects[rows]
    if level == "recording":
        if not task.has_whole_recordings:
            raise ValueError(f"Recordings of the task {task.name} hold several classes.")
        _, first, number = np.unique(task.recordings[rows], return_index=True, return_inverse=True)
        sums = np.zeros((len(first), log_proba.shape[1]))
        np.add.at(sums, number, log_proba)
        log_proba = sums / np.bincount(number)[:, None]
        y, subjects = y[first], subjects[first]
    proba = np.exp(log_proba - log_proba.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    return Answers(y, log_proba.argmax(axis=1), proba, subjects)


def measure(task, answers):
    """Return all measures of the task, over the whole test set.

    Parameters
    ----------
    task : Task
        The task.
    answers : Answers
        What was said.

    Returns
    -------
    scores : dict
        Values by measure.
    """
    numbers = list(range(len(task.labels)))
    return score_classes(
        answers.y, answers.predicted, answers.proba, labels=numbers, measures=task.measures
    )


def count_confusions(answers, people, n_classes):
    """Count how often each class was taken for each other, person by person.

    Parameters
    ----------
    answers : list of Answers
        One a seed.
    people : array of str, shape (n_people,)
        The people, in order.
    n_classes : int
        How many classes there are.

    Returns
    -------
    confusions : array, shape (n_people, n_classes, n_classes)
        Mean over seeds; rows are the true classes.
    """
    confusions = np.zeros((len(people), n_classes, n_classes))
    for own in answers:
        place = np.searchsorted(people, own.subjects)
        np.add.at(confusions, (place, own.y, own.predicted), 1 / len(answers))
    return confusions


def balance(confusions):
    """Return the balanced accuracy of confusion matrices, shape (..., n_classes, n_classes)."""
    totals = confusions.sum(axis=-1)
    right = np.diagonal(confusions, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore"):
        return np.nanmean(np.where(totals > 0, right / totals, np.nan), axis=-1)


def find_interval(confusions, others=None, n_boot=N_BOOT):
    """Return the bootstrap interval over people of the balanced accuracy, or of a difference.

    Parameters
    ----------
    confusions : array, shape (n_people, n_classes, n_classes)
        What :func:`count_confusions` returns.
    others : array, shape (n_people, n_classes, n_classes) | None
        The same of another method; the interval then is of the difference, over the same draws.
    n_boot : int
        Number of draws.

    Returns
    -------
    low, high : float
        The edges, the same for the same counts.
    """
    n_people = len(confusions)
    rng = np.random.default_rng(0)  # so that an interval depends on its own data alone
    weights = rng.multinomial(n_people, np.full(n_people, 1 / n_people), n_boot).astype(float)
    values = balance(np.einsum("bp,pij->bij", weights, confusions))
    if others is not None:
        values = values - balance(np.einsum("bp,pij->bij", weights, others))
    return tuple(float(edge) for edge in np.nanquantile(values, EDGES))


def guess(task, people=None, level="window", n_draws=N_BOOT):
    """Return what balanced accuracy chance reaches.

    Parameters
    ----------
    task : Task
        The task.
    people : list of str | None
        Whose windows count; None for all that are tested.
    level : "window" | "recording"
        What is guessed.
    n_draws : int
        Number of guesses.

    Returns
    -------
    mean, low, high : float
        The mean and the edges of 95 %. A recording of one class gets one guess for all of its
        windows, which is how a classifier without any knowledge of the class may behave; guesses
        of windows one by one would make chance look narrower than it is.
    """
    keep = np.ones(len(task.y), bool) if people is None else np.isin(task.subjects, list(people))
    if task.protocol == "published":
        keep &= task.epochs.metadata["part"].to_numpy(str) == "test"
    y = np.array([task.labels.index(label) for label in task.y[keep]])
    blocks = np.arange(len(y))
    if task.has_whole_recordings:
        _, first, blocks = np.unique(task.recordings[keep], return_index=True, return_inverse=True)
        if level == "recording":
            y, blocks = y[first], np.arange(len(first))
    rng = np.random.default_rng(0)
    n_classes = len(task.labels)
    values = np.empty(n_draws)
    for k in range(n_draws):
        said = rng.integers(n_classes, size=blocks.max() + 1)[blocks]
        counts = np.bincount(y * n_classes + said, minlength=n_classes**2)
        values[k] = balance(counts.reshape(n_classes, n_classes))
    low, high = np.quantile(values, EDGES)
    return float(values.mean()), float(low), float(high)
