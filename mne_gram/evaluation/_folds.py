# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Folds: what is learnt from and what is tested, without a person on both sides."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fold:
    """What is fitted and tested in one go.

    Attributes
    ----------
    number : int
        Which fold of the seed.
    pairs : tuple
        Rows to learn from and rows to test; within people, one pair a person.
    """

    number: int
    pairs: tuple

    @property
    def tested(self):
        """All rows that are tested, shape (n_tested,)."""
        return np.concatenate([test for _, test in self.pairs])


def make_folds(task, n_folds=5, seed=0):
    """Split a task.

    Parameters
    ----------
    task : Task
        The task.
    n_folds : int
        Number of folds; the published split is one.
    seed : int
        Shuffles people (across) or windows (within).

    Returns
    -------
    folds : list of Fold
        In the protocol ``"across"``, people of the test rows are in no row that is learnt from;
        each window is tested once. In ``"within"``, each person is split on their own, with as
        equal shares of the classes as can be. In ``"published"`` the parts ``train`` and
        ``validation`` are learnt from (whoever needs a validation set takes people out of these)
        and ``test`` is tested.

    Raises
    ------
    ValueError
        If there are fewer people, or trials of a class of a person, than folds, or parts that
        lack windows or share people.
    """
    if n_folds < 2:
        raise ValueError(f"There must be 2 folds at least, got {n_folds}.")
    split = dict(across=_split_people, within=_split_trials, published=_split_parts)
    folds = split[task.protocol](task, n_folds, seed)
    for fold in folds:
        for train, test in fold.pairs:
            _check(task, train, test)
    return folds


def _split_people(task, n_folds, seed):
    """Return folds of people."""
    from sklearn.model_selection import GroupKFold

    people = np.unique(task.subjects)
    if len(people) < n_folds:
        raise ValueError(
            f"The task {task.name} has {len(people)} people, fewer than the {n_folds} folds. Give "
            "fewer folds, or split within people."
        )
    splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    pairs = splitter.split(task.y, groups=task.subjects)
    return [Fold(number, (pair,)) for number, pair in enumerate(pairs)]


def _split_trials(task, n_folds, seed):
    """Return folds of each person's windows."""
    from sklearn.model_selection import StratifiedKFold

    splits = []
    for subject in np.unique(task.subjects):
        rows = np.flatnonzero(task.subjects == subject)
        counts = [int((task.y[rows] == label).sum()) for label in task.labels]
        if min(counts) < n_folds:
            raise ValueError(
                f"Subject {subject} of the task {task.name} has {counts} windows of "
                f"{', '.join(task.labels)}, fewer than the {n_folds} folds. Give fewer folds, or "
                "split across people."
            )
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        pairs = splitter.split(rows, task.y[rows])
        splits.append([(rows[train], rows[test]) for train, test in pairs])
    return [Fold(number, pairs) for number, pairs in enumerate(zip(*splits, strict=True))]


def _split_parts(task, n_folds, seed):
    """Return the published split."""
    if "part" not in task.epochs.metadata:
        raise ValueError(f"The metadata of the task {task.name} do not tell the part.")
    parts = task.epochs.metadata["part"].to_numpy(str)
    train, test = np.flatnonzero(parts != "test"), np.flatnonzero(parts == "test")
    if len(train) == 0 or len(test) == 0:
        raise ValueError(
            f"The task {task.name} has {len(train)} windows to learn from and {len(test)} to "
            "test, expected some of both: is the data set complete?"
        )
    return [Fold(0, ((train, test),))]


def _check(task, train, test):
    """Raise if what is tested was learnt from."""
    shared = np.intersect1d(train, test)
    if task.protocol != "within":
        shared = np.intersect1d(task.subjects[train], task.subjects[test])
    if len(shared):
        raise ValueError(
            f"{len(shared)} {'windows' if task.protocol == 'within' else 'people'} of the task "
            f"{task.name} would be learnt from and tested: {', '.join(map(str, shared[:5]))}."
        )
    lacking = sorted({*task.labels} - {*task.y[train].tolist()})
    if lacking:
        raise ValueError(
            f"A fold of the task {task.name} has nothing to learn {', '.join(lacking)} from. Give "
            "fewer folds or more people."
        )
