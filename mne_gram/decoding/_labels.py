# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Labels of trials: their classes, weights and groups."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from mne.utils import warn
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from ._inner_folds import can_fold
from ._input_formats import check_epochs
from ._subjects import find_subjects, read_groups
from ._windows import find_recordings, read_targets


class TrialLabels(NamedTuple):
    """Class, weight and group of each trial, each of shape (n_trials,)."""

    codes: np.ndarray  #: number of the class
    weights: np.ndarray  #: trials of weight 0 are left out
    groups: np.ndarray | None  #: trials of one group stay together in folds

    @property
    def rows(self):
        """The trials that are used."""
        return np.flatnonzero(self.weights > 0)


def check_labels(X, y):
    """Return labels as an array, one per trial."""
    check_epochs(X)
    if find_recordings(X) and y is None:
        y = read_targets(X)
    if y is None:
        raise ValueError(
            "GramClassifier requires y to be passed, but the target y is None: pass one label per "
            "epoch."
        )
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    if not hasattr(X, "__len__"):
        raise TypeError(f"X must contain epochs, got {X.__class__.__name__}.")
    if len(X) != len(y):
        raise ValueError(f"Found {len(X)} epochs in X, but {len(y)} labels in y.")
    return y


def check_classes(classes):
    """Raise if there is only one class."""
    if len(classes) < 2:
        found = f"only one class ({classes.tolist()[0]!r})" if len(classes) else "no class"
        raise ValueError(f"Found {found} in y; a classifier needs at least two classes.")


def check_aligned_classes(subjects, codes):
    """Raise if every subject has trials of one class only, warn if some have; both (n_trials,)."""
    names = np.unique(subjects).tolist()
    alone = [name for name in names if len(np.unique(codes[subjects == name])) == 1]
    if not alone:
        return
    what = "align compares trials with the mean of the same subject's trials, but"
    if len(alone) == len(names):
        raise ValueError(
            f"{what} each subject has trials of one class only, so that the difference between the "
            "classes would be subtracted. Set align=None."
        )
    warn(
        f"{what} there is only one class of {', '.join(map(str, alone))}. Leave these subjects "
        "out, or set align=None."
    )


def weigh_trials(y, sample_weight, class_weight):
    """Return the weight of each trial, shape (n_trials,)."""
    weights = _check_sample_weight(sample_weight, np.empty(len(y)), ensure_non_negative=True)
    return weights if class_weight is None else weights * compute_sample_weight(class_weight, y)


def choose_groups(X, subjects, groups, codes, used, cv):
    """Return the group of each trial, shape (n_trials,), or None.

    ``subjects`` are those of aligned trials and ``groups`` those passed to `fit`, or None;
    ``codes`` are the classes, and ``used`` is False where a trial is left out.
    """
    groups = None if groups is None else read_groups(groups, len(codes))
    if subjects is not None and (groups is None or len(set(groups)) == 1):
        return subjects if len(set(subjects)) > 1 else None
    if groups is not None:
        return groups
    groups, n_folds = find_subjects(X), cv if isinstance(cv, Integral) else 2
    if groups is None or not can_fold(codes[used], groups[used], n_folds):
        return None
    return groups
