# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Folds of the training trials, to choose settings and to stop training."""

from numbers import Integral

import numpy as np

_N_FOLDS = 5


def make_folds(y, classes, groups=None, cv=None, *, rows=None):
    """Split ``rows`` (None for all) of trials into stratified folds of (training, test) places.

    ``y`` (n_trials,) are indices of ``classes``; ``groups`` are not split; ``cv`` as in sklearn.
    """
    # Without groups, folds are contiguous in time, because neighbouring trials resemble each other.
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
            f"The {what} cannot be split so that all {len(present)} classes are in each training "
            f"part. Pass more {what.split()[-1]}, or another cv."
        )
    return complete


def _draw_folds(y, classes, groups, n_folds):
    """Return ``n_folds`` folds (None for as many as possible up to 5)."""
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
            f"Found {n} {what}{'s' if n > 1 else ''} of class {name!r}, fewer than the {wanted} "
            "folds of the cross-validation that chooses the settings; each fold must contain all "
            f"classes. Pass more {what}s{f', or cv={n}' if n > 1 else ''}. The probe needs no "
            "folds if C is given, such as C=1.0."
        )
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    return list(splitter(int(wanted)).split(codes, codes, groups))


def _select_folds(y, groups, cv, rows):
    """Return the user's folds of all trials as places in ``rows``."""
    from sklearn.model_selection import check_cv

    places = np.full(len(y), -1)
    places[rows] = np.arange(len(rows))
    folds = []
    for fold in check_cv(cv, y, classifier=True).split(y, y, groups):
        parts = (places[part] for part in fold)
        folds.append(tuple(part[part >= 0] for part in parts))
    return folds


def can_fold(y, groups, n_folds=2):
    """Return whether there are two classes, each with trials (or groups) for all folds."""
    units = np.arange(len(y)) if groups is None else groups
    counts = [len(np.unique(units[y == code])) for code in np.unique(y)]
    return len(counts) > 1 and min(counts) >= n_folds


def check_groups(groups):
    """Raise if all trials are of one group."""
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(
            f"All {len(groups)} epochs are of one group, {names[0].item()!r}, and cannot be split "
            "by group. Omit groups, or pass something that differs between epochs, such as runs."
        )
