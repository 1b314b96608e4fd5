# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Uses with estimators around those of this package, of scikit-learn, MNE-Python and skorch."""

from functools import partial

import mne
import numpy as np
from _trials import (
    ARRAY,
    SFREQ,
    chain,
    check,
    get_array,
    get_labels,
    get_rows,
    make_classifier,
    make_epochs,
    make_features,
)
from _uses import use

sklearn_use = partial(use, "scikit-learn")
mne_use = partial(use, "MNE-Python")
skorch_use = partial(use, "skorch")

# ---------------------------------------------------------------------------------------------
# scikit-learn: estimators of estimators


@sklearn_use("VotingClassifier")
def _voting():
    from sklearn.ensemble import VotingClassifier

    both = [("a", make_classifier()), ("b", make_classifier())]
    check(VotingClassifier(both, voting="soft"), make_epochs())


@sklearn_use("StackingClassifier")
def _stacking():
    from sklearn.ensemble import StackingClassifier

    both = [("a", make_classifier()), ("b", make_classifier())]
    check(StackingClassifier(both, cv=2), make_epochs())


@sklearn_use("CalibratedClassifierCV, also of a FrozenEstimator")
def _calibrated():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    check(CalibratedClassifierCV(make_classifier(), cv=2), make_epochs())
    frozen = FrozenEstimator(make_classifier().fit(make_epochs(), get_labels()))
    check(CalibratedClassifierCV(frozen), make_epochs())


@sklearn_use("TunedThresholdClassifierCV and FixedThresholdClassifier")
def _thresholds():
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

    check(TunedThresholdClassifierCV(make_classifier(), cv=2), make_epochs())
    check(FixedThresholdClassifier(make_classifier(), threshold=0.5), make_epochs())


@sklearn_use("OneVsRestClassifier")
def _rest():
    from sklearn.multiclass import OneVsRestClassifier

    check(OneVsRestClassifier(make_classifier()), make_epochs())


@sklearn_use("MultiOutputClassifier")
def _outputs():
    from sklearn.multioutput import MultiOutputClassifier

    y = np.stack([get_labels(), -get_labels()], axis=1)
    check(MultiOutputClassifier(make_classifier()), make_epochs(), y)


@sklearn_use("OneVsOneClassifier of rows")
def _one():
    from sklearn.multiclass import OneVsOneClassifier

    check(OneVsOneClassifier(make_classifier(**ARRAY)), get_rows())


@sklearn_use("OutputCodeClassifier of rows")
def _codes():
    from sklearn.multiclass import OutputCodeClassifier

    check(OutputCodeClassifier(make_classifier(**ARRAY), code_size=4, random_state=0), get_rows())


@sklearn_use("BaggingClassifier of rows")
def _bagging():
    from sklearn.ensemble import BaggingClassifier

    check(BaggingClassifier(make_classifier(**ARRAY), 3), get_rows())


@sklearn_use("BaggingClassifier of Epochs, after a Vectorizer")
def _bagging_of_epochs():
    from sklearn.ensemble import BaggingClassifier

    bagging = BaggingClassifier(make_classifier(**ARRAY), 3)
    check(chain(mne.decoding.Vectorizer(), bagging), make_epochs())


@sklearn_use("AdaBoostClassifier of rows")
def _boosting():
    from sklearn.ensemble import AdaBoostClassifier

    check(AdaBoostClassifier(make_classifier(**ARRAY), n_estimators=2), get_rows())


@sklearn_use("SelfTrainingClassifier of rows")
def _self_training():
    from sklearn.semi_supervised import SelfTrainingClassifier

    y = np.where(np.arange(40) % 4 < 2, get_labels(), -1)
    model = SelfTrainingClassifier(make_classifier(**ARRAY)).fit(get_rows(), y)
    assert model.score(get_rows(), get_labels()) > 0.9


@sklearn_use("permutation_importance of features")
def _importance():
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LogisticRegression

    features = make_features()
    x = features.fit_transform(make_epochs())
    found = permutation_importance(LogisticRegression().fit(x, get_labels()), x, get_labels())
    assert "C3" in features.get_feature_names_out()[found.importances_mean.argmax()]


@sklearn_use("permutation_importance of the samples in rows")
def _importance_of_samples():
    from sklearn.inspection import permutation_importance

    features, rows = make_classifier(**ARRAY), get_array()[:, :, :200].reshape(40, -1)
    features.fit(rows, get_labels())
    found = permutation_importance(features, rows, get_labels(), n_repeats=1, max_samples=4)
    assert found.importances.shape == (rows.shape[1], 1)


@sklearn_use("rows as a data frame")
def _frame():
    import pandas as pd

    check(make_classifier(**ARRAY), pd.DataFrame(get_rows()))


@sklearn_use("StandardScaler of rows before", cure="leave the scaling out")
def _scaled_rows():
    from sklearn.preprocessing import StandardScaler

    check(chain(StandardScaler(), make_classifier(**ARRAY)), get_rows())


@sklearn_use("a single trial without its first axis", cure=r"X\[np.newaxis\]")
def _single():
    make_classifier(**ARRAY).fit(get_array(), get_labels()).predict(get_array()[0])


# ---------------------------------------------------------------------------------------------
# MNE-Python


@mne_use("Vectorizer before")
def _vectorizer():
    check(chain(mne.decoding.Vectorizer(), make_classifier(**ARRAY)), make_epochs())


@mne_use("Scaler(info) before, which gives microvolts")
def _scaler():
    scaler = mne.decoding.Scaler(make_epochs().info)
    check(chain(scaler, make_classifier(unit="uV", **ARRAY)), get_array())


@mne_use("Scaler(scalings='mean') before", cure="leave the scaling out")
def _standardized():
    check(chain(mne.decoding.Scaler(scalings="mean"), make_classifier(**ARRAY)), get_array())


@mne_use("SlidingEstimator over time points", cure="SlidingEstimator.*sliding_window_view")
def _points():
    mne.decoding.SlidingEstimator(make_classifier(**ARRAY)).fit(get_array(), get_labels())


def get_windows():
    """Return windows of 1 s, (n_trials, n_channels, n_times, n_windows)."""
    windows = np.lib.stride_tricks.sliding_window_view(get_array(), 200, axis=2)
    return windows[:, :, ::50].swapaxes(2, 3)


@mne_use("SlidingEstimator over windows")
def _sliding():
    clf = mne.decoding.SlidingEstimator(make_classifier(**ARRAY))
    found = mne.decoding.cross_val_multiscore(clf, get_windows(), get_labels(), cv=2)
    assert found.shape == (2, 3) and found.mean() > 0.9


@mne_use("GeneralizingEstimator over windows")
def _generalizing():
    clf = mne.decoding.GeneralizingEstimator(make_classifier(**ARRAY), scoring="roc_auc")
    assert clf.fit(get_windows(), get_labels()).score(get_windows(), get_labels()).min() > 0.9


@mne_use("TemporalFilter and FilterEstimator before")
def _filters():
    low = mne.decoding.TemporalFilter(l_freq=None, h_freq=40.0, sfreq=SFREQ)
    check(chain(low, make_classifier(**ARRAY)), get_array())
    low = mne.decoding.FilterEstimator(make_epochs().info, None, 40.0)
    check(chain(low, make_classifier(**ARRAY)), get_array())


@mne_use("common spatial patterns beside GramFeatures")
def _patterns():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union

    both = make_union(mne.decoding.CSP(4), make_features(**ARRAY))
    check(chain(both, LogisticRegression()), get_array())


# ---------------------------------------------------------------------------------------------
# skorch


def make_net(**kwargs):
    """Return a network for features."""
    import torch
    from skorch import NeuralNetClassifier

    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(48, 2), torch.nn.Softmax(-1))
    return NeuralNetClassifier(layers, max_epochs=40, lr=0.5, verbose=0, train_split=None, **kwargs)


@skorch_use("a network after GramFeatures of Epochs")
def _net():
    check(chain(make_features(), make_net()), make_epochs(), get_labels() - 1)


@skorch_use("a network after GramFeatures of arrays of float64")
def _net_of_arrays():
    check(chain(make_features(**ARRAY), make_net()), get_array(), get_labels() - 1)


@skorch_use("a network after GramFeatures of arrays of float32")
def _net_of_single():
    x = get_array().astype("float32")
    check(chain(make_features(**ARRAY), make_net()), x, get_labels() - 1)


@skorch_use("GridSearchCV over the learning rate")
def _net_grid():
    from sklearn.model_selection import GridSearchCV

    pipeline = chain(make_features(), make_net())
    grid = {"neuralnetclassifier__lr": [0.1, 0.5]}
    check(GridSearchCV(pipeline, grid, cv=2), make_epochs(), get_labels() - 1)


@skorch_use("trials of a SliceDataset")
def _slices():
    import torch
    from skorch.helper import SliceDataset
    from torch.utils.data import TensorDataset

    data = TensorDataset(torch.as_tensor(get_array()), torch.as_tensor(get_labels()))
    check(make_classifier(**ARRAY), SliceDataset(data))
