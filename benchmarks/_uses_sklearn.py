# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Uses with model selection and pipelines of scikit-learn."""

import pickle
from functools import partial

import numpy as np
import sklearn
from _trials import (
    ARRAY,
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

import mne_gram

sklearn_use = partial(use, "scikit-learn")

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
