# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Splits of a task into training and test windows that share no subject."""

from typing import NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedKFold

from .._counts import count


class Fold(NamedTuple):
    """The training and test rows of one fold."""

    number: int
    pairs: tuple  #: of (training rows, test rows); within subjects, one pair per subject

    @property
    def tested(self):
        """All test rows, shape (n_tested,)."""
        return np.concatenate([test for _, test in self.pairs])


def split_task(task, n_folds=5, seed=0):
    """Split a task by its protocol; return a list of Fold.

    ``"across"``: shuffled folds of subjects. ``"within"``: stratified, shuffled folds of each
    subject's windows. ``"published"``: the parts ``train`` and ``validation`` against ``test``.
    ``"held-out"``: all but one fold of the subjects in ``train`` against ``test``, a single fold.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2, got {n_folds}.")
    split = {
        "across": _split_subjects,
        "within": _split_windows,
        "published": _split_parts,
        "held-out": _draw_training,
    }
    folds = split[task.protocol](task, n_folds, seed)
    for fold in folds:
        for train, test in fold.pairs:
            _check(task, train, test)
    return folds


def _split_subjects(task, n_folds, seed):
    """Return folds of subjects."""
    n_subjects = len(np.unique(task.subjects))
    if n_subjects < n_folds:
        raise ValueError(
            f"The task {task.name} has {count(n_subjects, 'subject')}, fewer than the {n_folds} "
            "folds. Use fewer folds, or split within subjects."
        )
    splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    pairs = splitter.split(task.y, groups=task.subjects)
    return [Fold(number, (pair,)) for number, pair in enumerate(pairs)]


def _split_windows(task, n_folds, seed):
    """Return folds of each subject's windows."""
    splits = []
    for subject in np.unique(task.subjects):
        rows = np.flatnonzero(task.subjects == subject)
        counts = [int((task.y[rows] == label).sum()) for label in task.labels]
        if min(counts) < n_folds:
            raise ValueError(
                f"Subject {subject} of the task {task.name} has {counts} windows of "
                f"{', '.join(task.labels)}, fewer than the {n_folds} folds. Use fewer folds, or "
                "split across subjects."
            )
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        pairs = splitter.split(rows, task.y[rows])
        splits.append([(rows[train], rows[test]) for train, test in pairs])
    return [Fold(number, pairs) for number, pairs in enumerate(zip(*splits, strict=True))]


def _split_parts(task, n_folds, seed):
    """Return the published split as one fold."""
    if "part" not in task.epochs.metadata:
        raise ValueError(f"The metadata of the task {task.name} have no column 'part'.")
    parts = task.epochs.metadata["part"].to_numpy(str)
    train, test = np.flatnonzero(parts != "test"), np.flatnonzero(parts == "test")
    if len(train) == 0 or len(test) == 0:
        raise ValueError(
            f"The task {task.name} has {len(train)} training windows and {len(test)} test windows, "
            "expected some of both: is the data set complete?"
        )
    return [Fold(0, ((train, test),))]


def _draw_training(task, n_folds, seed):
    """Return one fold: the test part, and a training part without some subjects."""
    ((train, test),) = _split_parts(task, n_folds, seed)[0].pairs
    subjects = np.random.default_rng(seed).permutation(np.unique(task.subjects[train]))
    drawn = subjects[len(subjects) // n_folds :]
    return [Fold(0, ((train[np.isin(task.subjects[train], drawn)], test),))]


def _check(task, train, test):
    """Raise if training and test rows overlap, or a class is missing from the training rows."""
    what, shared = "windows", np.intersect1d(train, test)
    if task.protocol != "within":
        what, shared = "subjects", np.intersect1d(task.subjects[train], task.subjects[test])
    if len(shared):
        raise ValueError(
            f"{len(shared)} {what} of the task {task.name} are in the training and in the test "
            f"set: {', '.join(map(str, shared[:5]))}."
        )
    missing = sorted({*task.labels} - {*task.y[train].tolist()})
    if missing:
        raise ValueError(
            f"{', '.join(missing)} is missing from the training set of a fold of the task "
            f"{task.name}. Use fewer folds or more subjects."
        )
