# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The estimators behave as scikit-learn's do, and refuse what cannot be."""

import pickle

import joblib
import mne
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

import mne_gram
from mne_gram.decoding import GramClassifier, GramFeatures, _linear_probe
from mne_gram.models import Gram, gram_nano
from mne_gram.models._files import GramModel
from mne_gram.models._registry import save_model

NAMES = ["Fp1", "Fz", "C3", "Cz", "C4", "Pz", "O1", "O2"]
KINDS = ("probe", "lora", "full")


def _draw(n=60, n_times=320, seed=0):
    """Return trials of two classes: in one, both occipital channels have a rhythm at 10 Hz."""
    rng = np.random.default_rng(seed)
    y = np.array(["closed", "open"])[np.arange(n) % 2]
    x = 2e-6 * rng.standard_normal((n, 8, n_times))
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    rhythm = np.sin(2 * np.pi * 10 * np.arange(n_times) / 160 + phase)
    x[:, 6:] += 15e-6 * rhythm * (y == "closed")[:, None, None]
    return x, y


def _make_epochs(x, names=NAMES):
    info = mne.create_info(names, 160.0, "eeg")
    with info._unlock():
        info["highpass"] = 0.1
    return mne.EpochsArray(x, info, verbose="error")


def _make(model, adapt="probe", **kwargs):
    few = {"n_epochs": 3, "rank": 2, "learning_rate": 5e-3} if adapt != "probe" else {"cv": 2}
    return GramClassifier(
        adapt, **{"model": model, "line_freq": False, "random_state": 0, **few, **kwargs}
    )


# ---------------------------------------------------------------------------------------------
# What trials may be, and what comes out


@pytest.mark.parametrize("adapt", KINDS)
def test_fit_and_predict(adapt, nano):
    """Strings are labels; scores, probabilities and labels agree; all forms of trials do."""
    x, y = _draw()
    others, labels = _draw(20, seed=1)
    info = _make_epochs(x).info
    clf = _make(nano, adapt, info=info, n_epochs=8 if adapt != "probe" else None).fit(x, y)
    assert clf.classes_.tolist() == ["closed", "open"]
    assert clf.n_features_in_ == 8 and clf.ch_names_ == NAMES
    scores, proba = clf.decision_function(others), clf.predict_proba(others)
    assert scores.shape == (20,) and proba.shape == (20, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(others)), proba)
    np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-scores)))
    assert np.array_equal(clf.predict(others), clf.classes_[(scores > 0).astype(int)])
    assert clf.score(others, labels) >= 0.8
    epochs = _make_epochs(others)
    for form in (epochs, [epochs[k] for k in range(20)], list(others)):
        np.testing.assert_allclose(clf.decision_function(form), scores, atol=1e-4)
    from_epochs = clone(clf).set_params(info=None).fit(_make_epochs(x), y)
    np.testing.assert_allclose(from_epochs.decision_function(epochs), scores, atol=1e-3)


def test_three_classes(nano):
    """More classes have a column each."""
    x, y = _draw(60)
    y = np.where(np.arange(60) % 6 == 0, 7, np.where(y == "closed", 3, 5))
    clf = _make(nano, info=_make_epochs(x).info).fit(x, y)
    assert clf.classes_.tolist() == [3, 5, 7]
    assert clf.decision_function(x).shape == (60, 3)
    assert set(clf.predict(x)) <= {3, 5, 7}


@pytest.mark.parametrize("pool, n", [("cls", 100), ("mean", 100), ("channels", 800)])
def test_features(nano, pool, n):
    """Each feature has a name; tables come out where they are asked for."""
    x, _ = _draw(6)
    epochs = _make_epochs(x)
    transformer = GramFeatures("embedding", model=nano, pool=pool, line_freq=False)
    plain = transformer.fit_transform(epochs)
    assert plain.shape == (6, n) and plain.dtype == np.float32
    names = transformer.get_feature_names_out()
    assert len(set(names)) == n
    assert names[0] == ("gram_Fp1_0" if pool == "channels" else f"gram_{pool}_0")
    table = clone(transformer).set_output(transform="pandas").fit(epochs).transform(epochs)
    assert table.columns.tolist() == names.tolist()
    np.testing.assert_array_equal(table.to_numpy(), plain)
    items = [epochs[k] for k in range(6)]
    assert transformer.set_output(transform="pandas").transform(items).shape == (6, n)


KINDS_OF_FEATURES = [("tangent",), ("bandpower",), ("embedding", "bandpower", "tangent")]


@pytest.mark.parametrize("features", KINDS_OF_FEATURES)
def test_kinds_of_features(features, nano):
    """Classical features go beside the embedding or in its place, all with names."""
    x, y = _draw(40)
    trials = [trial[:, : 320 - 60 * (k % 3 == 0)] for k, trial in enumerate(x)]
    settings = dict(model=nano, ch_names=NAMES, sfreq=160.0, line_freq=False)
    transformer = GramFeatures(features, **settings)
    table = transformer.fit_transform(trials)
    names = transformer.get_feature_names_out()
    assert table.shape == (40, len(names)) and len(set(names)) == len(names)
    sizes = {"tangent": 6 * 36, "bandpower": 6 * 8, "embedding": 800}
    assert len(names) == sum(sizes[kind] for kind in features)
    for k, kind in enumerate(features):
        alone = GramFeatures(kind, **settings).fit_transform(trials)
        start = sum(sizes[other] for other in features[:k])
        np.testing.assert_allclose(table[:, start : start + sizes[kind]], alone, atol=1e-6)
    np.testing.assert_allclose(transformer.transform(trials[:5]), table[:5], atol=1e-4)
    clf = pickle.loads(pickle.dumps(GramClassifier(features=features, **settings).fit(trials, y)))
    assert clf.score(*_draw(20, seed=1)) > 0.8


def test_kinds_count_alike():
    """In the probe, a kind of a thousand noisy features does not mask an informative one."""
    from mne_gram.decoding._linear_probe import FeatureLayout, FeatureView, fit_probe

    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = np.concatenate(
        [rng.standard_normal((200, 4)) + 1.3 * y[:, None], rng.random((200, 1000))], 1
    )
    codes, weights = y[:100], np.ones(100)
    scores = []
    for layout in (None, FeatureLayout((4, 1000), (FeatureView((1.0, 1.0)),))):
        probe = fit_probe(x[:100], codes, 2, weights, chosen=10.0, layout=layout)
        scores.append(np.mean(probe.get_logits(x[100:]).argmax(axis=1) == y[100:]))
    assert scores[1] > 0.85 > scores[0] + 0.05


def test_features_are_the_embedding(nano):
    """A row is the network's CLS vector of the preprocessed trial."""
    from mne_gram.models import encode_windows

    x, _ = _draw(3)
    epochs = _make_epochs(x)
    clean = mne_gram.preprocess(epochs, line_freq=False, verbose="error")
    channels = mne_gram.match_channels(epochs.info).indices
    wanted = encode_windows(mne_gram.load_model(nano), 1e4 * clean.get_data(), channels)
    transformer = GramFeatures("embedding", model=nano, pool="cls", line_freq=False)
    np.testing.assert_allclose(transformer.fit_transform(epochs), wanted, atol=1e-5)


def test_unequal_and_long_trials(nano):
    """Trials of different lengths, some beyond 16 s, are classified as each is alone."""
    x, y = _draw(8, n_times=20 * 160)
    trials = [trial[:, : 160 * (1 + 3 * (k % 7))] for k, trial in enumerate(x)]
    for adapt in KINDS:
        clf = _make(nano, adapt, ch_names=NAMES, sfreq=160.0, n_epochs=1).fit(trials, y)
        together = clf.decision_function(trials)
        alone = [clf.decision_function(trial[None])[0] for trial in trials]
        np.testing.assert_allclose(together, alone, atol=1e-3)


def test_bundled_model():
    """The default model is bundled, and separates the classes."""
    x, y = _draw(40)
    clf = GramClassifier(line_freq=False).fit(_make_epochs(x), y)
    others, labels = _draw(20, seed=1)
    assert clf.score(_make_epochs(others), labels) >= 0.9


# ---------------------------------------------------------------------------------------------
# Life in scikit-learn


def test_cross_validation_of_epochs(nano):
    """`cross_val_score` hands over lists of one-epoch Epochs; so do pipelines."""
    x, y = _draw()
    epochs, clf = _make_epochs(x), _make(nano, C=10.0)
    scores = cross_val_score(clf, epochs, y, cv=3)
    assert scores.shape == (3,) and scores.mean() > 0.8
    np.testing.assert_allclose(cross_val_score(clone(clf), epochs, y, cv=3), scores)
    pipeline = make_pipeline(GramFeatures(model=nano, line_freq=False), LogisticRegression())
    assert cross_val_score(pipeline, epochs, y, cv=3).shape == (3,)
    assert cross_val_predict(clf, epochs, y, cv=3, method="predict_proba").shape == (60, 2)


def test_pipeline_of_arrays(nano):
    """Arrays with an info go through pipelines as MOABB makes them."""
    x, y = _draw()
    features = GramFeatures(model=nano, info=_make_epochs(x).info, line_freq=False)
    pipeline = make_pipeline(features, LogisticRegression(C=1e3, max_iter=5000))
    assert pipeline.fit(x, y).score(x, y) > 0.8
    assert pipeline[:-1].get_feature_names_out()[0] == "gram_Fp1_0"


def test_grid_search(nano):
    """Nested parameters are searched in two processes."""
    x, y = _draw(24)
    pipeline = make_pipeline(
        GramFeatures(model=nano, ch_names=NAMES, sfreq=160.0, line_freq=False),
        LogisticRegression(max_iter=5000),
    )
    grid = {"gramfeatures__pool": ["cls", "mean"], "logisticregression__C": [1.0, 100.0]}
    search = GridSearchCV(pipeline, grid, n_jobs=2, cv=2, error_score="raise").fit(x, y)
    assert len(search.cv_results_["params"]) == 4 and search.best_score_ > 0.5
    again = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], again.cv_results_["mean_test_score"]
    )
    clf = _make(nano, ch_names=NAMES, sfreq=160.0)
    search = GridSearchCV(clf, {"C": [0.1, 10.0]}, cv=2).fit(_make_epochs(x), y)
    assert search.best_estimator_.C_ in (0.1, 10.0)


def test_metadata_routing(nano):
    """Weights and groups reach fit, and only fit, when they are asked for."""
    x, y = _draw()
    groups = np.repeat(np.arange(6), 10)
    seen = []

    class Spy(GramClassifier):
        def fit(self, X, y, *, sample_weight=None, groups=None):
            seen.append((np.unique(groups).tolist(), np.sum(sample_weight)))
            return super().fit(X, y, sample_weight=sample_weight, groups=groups)

    clf = Spy(model=nano, line_freq=False, ch_names=NAMES, sfreq=160.0)
    with sklearn.config_context(enable_metadata_routing=True):
        clf.set_fit_request(groups=True, sample_weight=True).set_score_request(sample_weight=False)
        params = dict(groups=groups, sample_weight=np.full(60, 2.0))
        scores = cross_val_score(clf, x, y, cv=GroupKFold(3), params=params)
    assert scores.shape == (3,)
    assert [len(names) for names, _ in seen] == [4, 4, 4]
    assert [total for _, total in seen] == [80, 80, 80]


def _list_keys(value, seen):
    """Return the keys of all dicts within an object."""
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, dict):
        return [*value, *(key for item in value.values() for key in _list_keys(item, seen))]
    if isinstance(value, (list, tuple)):
        return [key for item in value for key in _list_keys(item, seen)]
    return _list_keys(vars(value), seen) if hasattr(value, "__dict__") else []


def test_skops():
    """A fitted classifier can be stored without pickle."""
    x, y = _draw(20)
    settings = dict(features="tangent", line_freq=False, ch_names=NAMES, sfreq=160.0)
    clf = GramClassifier(**settings).fit(x, y)
    assert all(isinstance(key, str) for key in _list_keys(clf, set()))
    sio = pytest.importorskip("skops.io")
    text = sio.dumps(clf)
    own = sio.get_untrusted_types(data=text)
    assert all(name.startswith(("mne_gram.", "builtins.frozenset")) for name in own)
    stored = sio.loads(text, trusted=own)
    np.testing.assert_array_equal(stored.predict_proba(x), clf.predict_proba(x))


@pytest.mark.parametrize("adapt", KINDS)
def test_pickle(adapt, nano, tmp_path):
    """What is stored holds arrays, no network, and predicts the same wherever it is read."""
    x, y = _draw(30)
    clf = _make(nano, adapt, ch_names=NAMES, sfreq=160.0, n_epochs=1).fit(x, y)
    wanted = clf.decision_function(x)
    text = pickle.dumps(clf)
    assert b"torch" not in text and b"mne_gram.models" not in text
    n_encoder = sum(p.numel() for p in Gram(gram_nano()).encoder.parameters())
    assert len(text) < (4 * n_encoder + 40_000 if adapt == "full" else 40_000)
    np.testing.assert_array_equal(pickle.loads(text).decision_function(x), wanted)
    joblib.dump(clf, tmp_path / "clf.joblib")
    stored = joblib.load(tmp_path / "clf.joblib")
    np.testing.assert_array_equal(stored.decision_function(x), wanted)
    fresh = clone(stored)
    assert fresh.get_params() == clf.get_params() and not hasattr(fresh, "classes_")
    assert clone(clf.set_params(info=None)).adapt == adapt


def test_device_is_not_stored(nano, monkeypatch):
    """What was fitted on a GPU is used on the CPU where there is none; fitting is refused."""
    x, y = _draw(20)
    clf = _make(nano, ch_names=NAMES, sfreq=160.0).fit(x, y)
    wanted = clf.decision_function(x)
    clf.device = "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    stored = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(stored.decision_function(x), wanted)
    for adapt in KINDS:
        with pytest.raises(RuntimeError, match="device='cuda' was requested"):
            _make(nano, adapt, ch_names=NAMES, sfreq=160.0, device="cuda").fit(x, y)
    with pytest.raises(RuntimeError, match="device='cuda' was requested"):
        GramFeatures(model=nano, device="cuda").fit(_make_epochs(x))


def test_other_weights_are_noticed(tmp_path):
    """A model that changed after the fit is not used silently."""
    x, y = _draw(20)
    folder = tmp_path / "model"
    save_model(GramModel(gram=Gram(gram_nano(), seed=0)), folder)
    clf = _make(str(folder), ch_names=NAMES, sfreq=160.0).fit(x, y)
    save_model(GramModel(gram=Gram(gram_nano(), seed=1)), folder, overwrite=True)
    with pytest.raises(RuntimeError, match="has other weights"):
        clf.predict(x)


@pytest.mark.parametrize("adapt", KINDS)
def test_determinism(adapt, nano):
    """A seed gives one result, whatever the global random states are, and leaves these alone."""
    x, y = _draw(30)
    results = []
    for state in (0, 1):
        np.random.seed(state)
        torch.manual_seed(state)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()
        clf = _make(nano, adapt, ch_names=NAMES, sfreq=160.0, n_epochs=1).fit(x, y)
        results.append(clf.decision_function(x))
        assert np.array_equal(np.random.get_state()[1], before[0])
        assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("adapt", KINDS)
def test_other_montage(adapt, nano):
    """A classifier can be fitted again to other channels; fitted, it wants the ones it knows."""
    x, y = _draw(20)
    clf = _make(nano, adapt, n_epochs=1).fit(_make_epochs(x), y)
    wanted = clf.decision_function(_make_epochs(x))
    order = [3, 1, 7, 5, 0, 2, 6, 4]
    shuffled = _make_epochs(x[:, order], [NAMES[k] for k in order])
    np.testing.assert_allclose(clf.decision_function(shuffled), wanted, atol=1e-4)
    fewer = _make_epochs(x[:, 2:], NAMES[2:])
    with pytest.raises(ValueError, match="2 of the 8 channels .* Fp1, Fz"):
        clf.predict(fewer)
    clf.set_params(missing="harmonize")
    clf.reader_.missing = "harmonize"
    assert clf.predict(fewer).shape == (20,)
    refitted = clf.set_params(missing="raise").fit(fewer, y)
    assert refitted.ch_names_ == NAMES[2:] and refitted.n_features_in_ == 6
    assert refitted.predict(_make_epochs(x)).shape == (20,)


# ---------------------------------------------------------------------------------------------
# Weights, and fitting again


@pytest.mark.parametrize("adapt", KINDS)
def test_weights(adapt, nano):
    """Weight goes to classes or trials; no weight is no trial."""
    x, y = _draw(40)
    few = np.flatnonzero((y == "open") | (np.arange(40) < 14))
    x, y = x[few], y[few]
    settings = dict(ch_names=NAMES, sfreq=160.0, C=1e-3, learning_rate=2e-4)
    plain = _make(nano, adapt, **settings).fit(x, y).predict_proba(x)
    clf = _make(nano, adapt, class_weight="balanced", **settings).fit(x, y)
    assert clf.predict_proba(x)[:, 0].mean() > plain[:, 0].mean() + 0.01
    weights = np.where(y == "open", 1.0, 20 / 7)
    same = _make(nano, adapt, **settings).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(same.predict_proba(x), clf.predict_proba(x), atol=0.03)
    if adapt == "probe":
        half = np.arange(len(y)) % 2 == 0
        other = _make(nano, **settings).fit(x, y, sample_weight=half.astype(float))
        alone = _make(nano, **settings).fit(x[half], y[half])
        np.testing.assert_allclose(other.predict_proba(x), alone.predict_proba(x), atol=1e-3)


@pytest.mark.parametrize("adapt", KINDS)
def test_warm_start(adapt, nano):
    """A second fit continues from the first one; classes have to be the same."""
    x, y = _draw(30)
    clf = _make(nano, adapt, ch_names=NAMES, sfreq=160.0, warm_start=True).fit(x, y)
    if adapt == "probe":
        strength = clf.C_
        clf.fit(x[:8], y[:8])
        assert clf.C_ == strength and clf.probe_.losses is None
    else:
        best = clf.history_[clf.best_epoch_]["validation_loss"]
        clf.fit(x, y)
        assert clf.history_[0]["validation_loss"] == pytest.approx(best, abs=1e-4)
    with pytest.raises(ValueError, match="warm_start=True needs the classes of the former fit"):
        clf.fit(x, np.arange(30) % 2)


@pytest.mark.parametrize("adapt", KINDS)
def test_groups_are_not_parted(adapt, nano, monkeypatch):
    """No group is on both sides of any fold inside of a fit."""
    from mne_gram.decoding import _fine_tuning

    x, y = _draw(36)
    groups = np.repeat(list("abcdef"), 6)
    folds = []

    def spy(*args, **kwargs):
        rows = kwargs["rows"]
        found = make_folds(*args, **kwargs)
        folds.extend((rows[train], rows[test]) for train, test in found)
        return found

    make_folds = _linear_probe.make_folds
    for module in (_fine_tuning, _linear_probe):
        monkeypatch.setattr(module, "make_folds", spy)
    _make(nano, adapt, ch_names=NAMES, sfreq=160.0, n_epochs=1, cv=5).fit(x, y, groups=groups)
    assert len(folds) >= 5
    for train, test in folds:
        assert len(test) and not set(groups[train]) & set(groups[test])


# ---------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize("adapt", KINDS)
@pytest.mark.parametrize(
    "labels, kwargs, match",
    [
        (["a"] * 12, {}, "only one class .*'a'"),
        (["a", "b"] * 5, {}, "Found 12 epochs in X, but 10 labels in y"),
        (None, {}, "requires y to be passed"),
        (np.linspace(0, 1, 12), {}, "Unknown label type"),
        (["a", "b"] * 6, {"groups": np.zeros(12)}, "All 12 epochs are of one group"),
        (["a", "b"] * 6, {"groups": np.zeros(3)}, "groups must have one value for each of the 12"),
        (["a", "b"] * 6, {"groups": [0, 1] * 6}, "Found 1 group of class 'a'"),
        (["a", "b"] * 6, {"sample_weight": np.zeros(12)}, "non-zero"),
        (["a", "b"] * 6, {"sample_weight": -np.ones(12)}, "[Nn]egative"),
        (["a", "b"] * 6, {"sample_weight": [0.0, 1.0] * 6}, "only one class"),
        (["a"] * 11 + ["b"], {}, "Found 1 trial of class 'b', fewer than the 2 folds"),
    ],
)
def test_bad_labels(adapt, labels, kwargs, match, nano):
    """Labels, weights and groups that do not fit are refused."""
    x, _ = _draw(12)
    with pytest.raises(ValueError, match=match):
        _make(nano, adapt).fit(_make_epochs(x), labels, **kwargs)


@pytest.mark.parametrize(
    "settings, error, match",
    [
        ({"adapt": "tune"}, ValueError, "adapt"),
        ({"features": "spectrum"}, ValueError, "features"),
        ({"features": ()}, ValueError, "features must be one or more"),
        ({"features": ("embedding", "embedding")}, ValueError, "features must be one or more"),
        ({"pool": "max"}, ValueError, "pool"),
        ({"C": -1.0}, ValueError, "C must be positive"),
        ({"cv": 7}, ValueError, "Found 6 trials of class 'closed', fewer than the 7 folds"),
        ({"cv": 1}, ValueError, "cv must be at least 2"),
        ({"rank": 0}, ValueError, "rank must be"),
        ({"model": "gram-huge"}, FileNotFoundError, "gram-huge"),
        ({"model": object()}, TypeError, "name of a model or the folder"),
        ({"missing": "zero"}, ValueError, "missing"),
        ({"reference": "Cz"}, ValueError, "reference"),
    ],
)
def test_bad_settings(settings, error, match, nano):
    """The constructor takes everything, fit does not."""
    x, y = _draw(12)
    clf = GramClassifier(**{"model": nano, "line_freq": False, **settings})
    with pytest.raises(error, match=match):
        clf.fit(_make_epochs(x), y)


def test_bad_trials(nano):
    """Trials that cannot be read are refused in all methods; unfitted estimators say so."""
    x, y = _draw(12)
    clf = _make(nano)
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(clf, method)(_make_epochs(x))
    with pytest.raises(NotFittedError):
        GramFeatures(model=nano).transform(_make_epochs(x))
    with pytest.raises(ValueError, match="not in volts"):
        clf.fit(_make_epochs(1e6 * x), y)
    with pytest.raises(ValueError, match="at least 1 s"):
        clf.fit(_make_epochs(x[:, :, :150]), y)
    with pytest.raises(ValueError, match="info=epochs.info, or ch_names"):
        clf.fit(x, y)
    clf.fit(_make_epochs(x), y)
    with pytest.raises(ValueError, match="not in volts"):
        clf.predict(_make_epochs(1e6 * x))


def test_encodings_are_kept_if_asked(nano, monkeypatch):
    """The network is not asked twice for the same trial of the same channels."""
    from mne_gram.decoding import _feature_kinds

    asked = []

    def count(backbone, x, *args, **kwargs):
        asked.append(len(x))
        return encode(backbone, x, *args, **kwargs)

    encode = _feature_kinds.encode_windows
    monkeypatch.setattr(_feature_kinds, "encode_windows", count)
    x, _ = _draw(6)
    features = GramFeatures("embedding", model=nano, ch_names=NAMES, sfreq=160.0, line_freq=False)
    alone = features.fit_transform(x)
    with _feature_kinds.cache_encodings({}):
        features.fit_transform(x[:4])
        np.testing.assert_allclose(features.transform(x), alone, atol=1e-5)
        features.set_params(pool="cls").fit_transform(x)
    features.transform(x)
    assert asked == [6, 4, 2, 6, 6]
