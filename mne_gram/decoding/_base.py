# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The base class of the estimators, and checks of labels."""

from typing import NamedTuple

import numpy as np
from mne.utils import warn
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ._feature_kinds import make_features, warn_of_few
from ._input_formats import check_epochs
from ._trial_reader import TrialReader
from ._windows import find_recordings, read_targets

DEFAULT_FEATURES = ("embedding", "tangent")
_READING = ("info", "ch_names", "sfreq", "unit", "line_freq", "reference", "missing", "align")


class TrialEstimator(BaseEstimator):
    """An estimator of trials: reads them and computes their features."""

    def _fit_read(self, X, groups):
        """Read trials to fit to; return them as `Trials`."""
        self.reader_ = TrialReader(**{name: getattr(self, name) for name in _READING})
        trials = self.reader_.fit_read(X, groups)
        self.ch_names_ = list(self.reader_.names)
        self.n_features_in_ = self.reader_.n_columns or len(self.ch_names_)
        return trials

    def _make_features(self, batch_size, alternatives=False):
        """Return an unfitted object for each kind of features."""
        where = self.model, self.pool, self.device
        options = dict(bands=self.bands, alternatives=alternatives)
        return make_features(self.features, *where, batch_size, **options)

    def _fit_features(self, kinds, trials, weights=None):
        """Fit each kind of features; return them concatenated, shape (n_trials, n_features)."""
        warn_of_few(trials.subjects)
        self.subjects_ = frozenset([] if trials.subjects is None else trials.subjects.tolist())
        features = [kind.fit_transform(trials, weights) for kind in kinds]
        self.kinds_ = kinds
        return features[0] if len(features) == 1 else np.concatenate(features, axis=1)

    def _get_features(self, trials):
        """Return the features of trials, shape (n_trials, n_features)."""
        warn_of_few(trials.subjects, self.subjects_)
        features = [kind.transform(trials) for kind in self.kinds_]
        return features[0] if len(features) == 1 else np.concatenate(features, axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


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


def draw_seed(random_state):
    """Return an integer seed; None draws a new one without touching a global state."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)
