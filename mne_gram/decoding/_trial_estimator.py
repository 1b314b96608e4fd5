# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What estimators of trials share, and what they ask of labels."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ._epochs_input import TrialReader
from ._trial_features import make_features, warn_of_few

_READING = ("info", "ch_names", "sfreq", "line_freq", "reference", "missing", "align")


class TrialEstimator(BaseEstimator):
    """What both estimators share: they take trials."""

    def _make_reader(self):
        return TrialReader(**{name: getattr(self, name) for name in _READING})

    def _fit_read(self, X):
        """Read trials to learn from."""
        self.reader_ = self._make_reader()
        trials = self.reader_.fit_read(X)
        self.ch_names_ = list(self.reader_.names)
        self.n_features_in_ = len(self.ch_names_)
        return trials

    def _make_features(self, batch_size, alternatives=False):
        where = self.model, self.pool, self.device
        options = dict(bands=self.bands, alternatives=alternatives)
        return make_features(self.features, *where, batch_size, **options)

    def _fit_features(self, parts, trials, weights=None):
        """Fit each kind of features to trials; return them side by side."""
        warn_of_few(trials.people)
        self.people_ = frozenset([] if trials.people is None else trials.people.tolist())
        features = [part.fit_transform(trials, weights) for part in parts]
        self.parts_ = parts
        return features[0] if len(features) == 1 else np.concatenate(features, axis=1)

    def _get_features(self, trials):
        warn_of_few(trials.people, self.people_)
        features = [part.transform(trials) for part in self.parts_]
        return features[0] if len(features) == 1 else np.concatenate(features, axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def check_labels(X, y):
    """Return labels as an array, one for each trial."""
    if y is None:
        raise ValueError(
            "GramClassifier requires y to be passed, but the target y is None: give a label for "
            "each epoch."
        )
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    if not hasattr(X, "__len__"):
        raise TypeError(f"X has to hold epochs, got {X.__class__.__name__}.")
    if len(X) != len(y):
        raise ValueError(f"Found {len(X)} epochs in X and {len(y)} labels in y: give one each.")
    return y


def check_classes(classes):
    """Refuse a single class."""
    if len(classes) < 2:
        found = f"only one class, {classes.tolist()[0]!r}" if len(classes) else "no class"
        raise ValueError(f"Found {found}, in y; a classifier needs at least two classes.")


def draw_seed(random_state):
    """Return an integer; without a seed, another one each time and none of a global state."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)
