# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Uses with scikit-learn, the estimators of MNE-Python, and skorch."""

import pickle
from functools import lru_cache, partial

import mne
import numpy as np
import sklearn
from _uses import use

import mne_gram

NAMES = ["F3", "F4", "C3", "Cz", "C4", "P3", "P4", "Oz"]
SFREQ = 200.0
ARRAY = dict(ch_names=NAMES, sfreq=SFREQ)
sklearn_use = partial(use, "scikit-learn")
mne_use = partial(use, "MNE-Python")
skorch_use = partial(use, "skorch")


@lru_cache
def make_epochs():
    """Return 40 trials of 1.5 s of two classes, the second with more alpha on the left."""
    rng = np.random.default_rng(0)
    data = 1e-5 * rng.standard_normal((40, len(NAMES), 300))
    times = np.arange(300) / SFREQ
    alpha = np.sin(2 * np.pi * 10 * times + rng.uniform(0, 6, (40, 1)))
    data[1::2, 2] += 3e-5 * alpha[1::2]
    info = mne.create_info(NAMES, SFREQ, "eeg")
    info.set_montage("standard_1020")
    with info._unlock():
        info["highpass"] = 0.1
    events = np.c_[np.arange(40), np.zeros(40, int), 1 + np.arange(40) % 2]
    return mne.EpochsArray(data, info, events, event_id=dict(rest=1, left=2))


def get_labels():
    """Return the labels of the trials."""
    return make_epochs().events[:, 2]


def get_array():
    """Return the trials as an array in volts."""
    return make_epochs().get_data()


def get_rows():
    """Return the trials as rows."""
    return get_array().reshape(40, -1)


def make_classifier(**kwargs):
    """Return a classifier that is fast."""
    return mne_gram.GramClassifier(features="bandpower", C=1.0, line_freq=False, **kwargs)


def make_features(**kwargs):
    """Return a transformer that is fast."""
    return mne_gram.GramFeatures("bandpower", line_freq=False, **kwargs)


def chain(*steps):
    """Return a pipeline."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps)


def check(estimator, x, y=None):
    """Fit an estimator and check that it has learnt."""
    y = get_labels() if y is None else y
    assert estimator.fit(x, y).score(x, y) > 0.9


# ---------------------------------------------------------------------------------------------
# scikit-learn: model selection


@sklearn_use("cross_val_score of Epochs")
def _epochs():
    from sklearn.model_selection import cross_val_score

    assert cross_val_score(make_classifier(), make_epochs(), get_labels(), cv=4).mean() > 0.9


@sklearn_use("cross_val_score of arrays, AUC, two processes")
def _arrays():
    from sklearn.model_selection import cross_val_score

    clf = make_classifier(info=make_epochs().info)
    options = dict(cv=4, scoring="roc_auc", n_jobs=2)
    assert cross_val_score(clf, get_array(), get_labels(), **options).mean() > 0.9


@sklearn_use("cross_validate with GroupKFold and training scores")
def _groups():
    from sklearn.model_selection import GroupKFold, cross_validate

    options = dict(groups=np.arange(40) // 8, cv=GroupKFold(5), return_train_score=True)
    found = cross_validate(make_classifier(), make_epochs(), get_labels(), **options)
    assert found["test_score"].mean() > 0.9


@sklearn_use("groups by metadata routing")
def _routing():
    from sklearn.model_selection import GroupKFold, cross_val_score

    with sklearn.config_context(enable_metadata_routing=True):
        clf = make_classifier().set_fit_request(groups=True)
        options = dict(params=dict(groups=np.arange(40) // 8), cv=GroupKFold(5))
        assert cross_val_score(clf, make_epochs(), get_labels(), **options).mean() > 0.9


@sklearn_use("cross_val_predict of probabilities")
def _predict():
    from sklearn.model_selection import cross_val_predict

    options = dict(cv=4, method="predict_proba")
    found = cross_val_predict(make_classifier(), make_epochs(), get_labels(), **options)
    assert found.shape == (40, 2)


def _search(kind, **kwargs):
    clf = chain(make_features(), sklearn.linear_model.LogisticRegression())
    search = kind(clf, {"logisticregression__C": [0.01, 1.0]}, cv=2, **kwargs)
    check(search, make_epochs())


@sklearn_use("GridSearchCV over a pipeline")
def _grid():
    from sklearn.model_selection import GridSearchCV

    _search(GridSearchCV)


@sklearn_use("RandomizedSearchCV over a pipeline")
def _random():
    from sklearn.model_selection import RandomizedSearchCV

    _search(RandomizedSearchCV, n_iter=2)


@sklearn_use("HalvingGridSearchCV over a pipeline")
def _halving():
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    _search(HalvingGridSearchCV)


@sklearn_use("GridSearchCV over the features")
def _grid_of_features():
    from sklearn.model_selection import GridSearchCV

    grid = {"features": ["bandpower", "tangent"], "C": [1.0]}
    check(GridSearchCV(make_classifier(), grid, cv=2), make_epochs())


@sklearn_use("learning_curve and validation_curve")
def _curves():
    from sklearn.model_selection import learning_curve, validation_curve

    options = dict(cv=2)
    learning_curve(
        make_classifier(), make_epochs(), get_labels(), train_sizes=[0.5, 1.0], **options
    )
    options |= dict(param_name="C", param_range=[0.1, 1.0])
    validation_curve(make_classifier(), make_epochs(), get_labels(), **options)


@sklearn_use("permutation_test_score")
def _permutation():
    from sklearn.model_selection import permutation_test_score

    options = dict(n_permutations=4, cv=2)
    permutation_test_score(make_classifier(), make_epochs(), get_labels(), **options)


# ---------------------------------------------------------------------------------------------
# scikit-learn: pipelines


@sklearn_use("GramFeatures before a linear discriminant")
def _discriminant():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    check(chain(make_features(), LinearDiscriminantAnalysis()), make_epochs())


@sklearn_use("scaling, PCA and a support vector machine after GramFeatures")
def _machine():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    check(chain(make_features(), StandardScaler(), PCA(0.99), SVC()), make_epochs())


@sklearn_use("selection of features (SelectKBest, RFE)")
def _selection():
    from sklearn.feature_selection import RFE, SelectKBest
    from sklearn.linear_model import LogisticRegression

    check(chain(make_features(), SelectKBest(k=8), LogisticRegression()), make_epochs())
    check(chain(make_features(), RFE(LogisticRegression(), step=0.5)), make_epochs())


@sklearn_use("FeatureUnion")
def _union():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union

    tangent = mne_gram.GramFeatures("tangent", line_freq=False)
    check(chain(make_union(make_features(), tangent), LogisticRegression()), make_epochs())


@sklearn_use("ColumnTransformer of rows of EEG and other columns")
def _columns():
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression

    rows = np.c_[get_rows(), np.arange(40)]
    eeg = make_features(**ARRAY), slice(0, rows.shape[1] - 1)
    check(chain(make_column_transformer(eeg, ("passthrough", [-1])), LogisticRegression()), rows)


@sklearn_use("set_output(transform='pandas')")
def _pandas():
    frame = make_features().set_output(transform="pandas").fit_transform(make_epochs())
    assert frame.shape == (40, 48)


@sklearn_use("a pipeline that caches its steps")
def _memory():
    import tempfile

    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    steps = [("features", make_features(**ARRAY)), ("model", LogisticRegression())]
    with tempfile.TemporaryDirectory() as folder:
        check(Pipeline(steps, memory=folder), get_array())


@sklearn_use("clone, set_params and pickle")
def _pickle():
    clf = sklearn.base.clone(make_classifier()).set_params(C=0.5)
    clf.fit(make_epochs(), get_labels())
    again = pickle.loads(pickle.dumps(clf))  # noqa: S301
    assert np.array_equal(again.predict(make_epochs()), clf.predict(make_epochs()))


@sklearn_use("class_weight and sample_weight")
def _weights():
    clf = make_classifier(class_weight="balanced")
    clf.fit(make_epochs(), get_labels(), sample_weight=np.linspace(0, 1, 40))


@sklearn_use("regression of a transformed target (TransformedTargetRegressor)")
def _regression():
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge

    model = TransformedTargetRegressor(
        chain(make_features(), Ridge(0.01)), func=np.log, inverse_func=np.exp
    )
    check(model, make_epochs(), get_labels().astype(float))


@sklearn_use("clusters and embeddings of features (KMeans, TSNE)")
def _clusters():
    from sklearn.cluster import KMeans
    from sklearn.manifold import TSNE

    x = make_features().fit_transform(make_epochs())
    KMeans(2).fit(x)
    assert TSNE(perplexity=5).fit_transform(x).shape == (40, 2)


@sklearn_use("ConfusionMatrixDisplay and RocCurveDisplay of Epochs")
def _displays():
    import matplotlib.pyplot as plt
    from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

    clf = make_classifier().fit(make_epochs(), get_labels())
    for display in (ConfusionMatrixDisplay, RocCurveDisplay):
        display.from_estimator(clf, make_epochs(), get_labels())
    plt.close("all")


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
