# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The base class of the estimators."""

import numpy as np
from sklearn.base import BaseEstimator

from ._feature_kinds import make_features, warn_of_few
from ._trial_reader import TrialReader

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


def draw_seed(random_state):
    """Return an integer seed; None draws a new one without touching a global state."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)
