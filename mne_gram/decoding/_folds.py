# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How trials are parted inside of a fit, to choose settings and to know when to stop."""

from numbers import Integral

import numpy as np

_N_FOLDS = 5


def make_folds(y, classes, groups=None, cv=None, *, rows=None):
    """Part trials into folds with as equal shares of the classes as can be.

    Parameters
    ----------
    y : array of int, shape (n_trials,)
        The class of each trial.
    classes : array, shape (n_classes,)
        What the classes are called.
    groups : array, shape (n_trials,) | None
        Trials of one group, such as a person, are not parted.
    cv : int | cross-validation generator | iterable | None
        How many, or how to part all trials. None makes 5, or as many as the rarest class has
        trials (groups).
    rows : array of int | None
        The trials to part; None for all.

    Returns
    -------
    folds : list of tuple of array
        Which of ``rows`` to learn from, among which all of their classes are, and which to test.

    Raises
    ------
    ValueError
        If there are fewer trials, or groups, of a class than folds.

    Notes
    -----
    Without groups a fold holds neighbours in time, which are more alike than others: shuffling
    would put the like of each test trial among those that are learnt from.
    """
    rows = np.arange(len(y)) if rows is None else rows
    if cv is None or isinstance(cv, Integral):
        folds = _draw_folds(y[rows], classes, None if groups is None else groups[rows], cv)
    else:
        folds = _select_folds(y, groups, cv, rows)
    present = np.unique(y[rows])
    complete = [fold for fold in folds if len(np.unique(y[rows][fold[0]])) == len(present)]
    complete = [fold for fold in complete if len(fold[1])]
    if not complete:
        what = "trials" if groups is None else f"{len(np.unique(groups[rows]))} groups"
        raise ValueError(
            f"The {what} cannot be parted so that all {len(present)} classes are in each part that "
            f"is learnt from. Give more {what.split()[-1]}, or another cv."
        )
    return complete


def _draw_folds(y, classes, groups, n_folds):
    """Return a number of folds."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if n_folds is not None and n_folds < 2:
        raise ValueError(f"cv must be at least 2 folds, got {n_folds}.")
    present, codes = np.unique(y, return_inverse=True)
    what, counts = "trial", np.bincount(codes)
    if groups is not None:
        what = "group"
        counts = np.array([len(np.unique(groups[codes == k])) for k in range(len(present))])
    rarest = int(counts.argmin())
    wanted = n_folds or min(_N_FOLDS, max(2, counts[rarest]))
    if counts[rarest] < wanted:
        n, name = counts[rarest], classes[present[rarest]].item()
        raise ValueError(
            f"Found {n} {what}{'s' if n > 1 else ''} of class {name!r}, fewer "
            f"than the {wanted} folds by which the settings are chosen: all classes have to be in "
            f"each. Give more {what}s{f', or cv={n}' if n > 1 else ''}, or, for the probe, the "
            "strength of its penalty (C=1.0), which needs no folds."
        )
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    return list(splitter(int(wanted)).split(codes, codes, groups))


def _select_folds(y, groups, cv, rows):
    """Return the folds of a user, which are of all trials, as places in ``rows``."""
    from sklearn.model_selection import check_cv

    places = np.full(len(y), -1)
    places[rows] = np.arange(len(rows))
    folds = []
    for fold in check_cv(cv, y, classifier=True).split(y, y, groups):
        parts = (places[part] for part in fold)
        folds.append(tuple(part[part >= 0] for part in parts))
    return folds


def can_fold(y, groups, n_folds):
    """Tell whether each class has a trial, or group, for each fold.

    Parameters
    ----------
    y : array of int, shape (n_trials,)
        The class of each trial.
    groups : array, shape (n_trials,) | None
        Trials of one group are not parted.
    n_folds : int
        How many folds.

    Returns
    -------
    can : bool
        Whether there are two classes, each with enough.
    """
    units = np.arange(len(y)) if groups is None else groups
    counts = [len(np.unique(units[y == code])) for code in np.unique(y)]
    return len(counts) > 1 and min(counts) >= n_folds


def check_groups(groups):
    """Refuse groups that part nothing.

    Parameters
    ----------
    groups : array, shape (n_trials,)
        The group of each trial.
    """
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(
            f"All {len(groups)} epochs are of one group, {names[0].item()!r}: they cannot be "
            "parted by group. Leave groups out, or give what differs between epochs, as runs do."
        )
