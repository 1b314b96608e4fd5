# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bands of covariances: which are given, and what each counts in the probe."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.base import clone

from mne_gram.decoding import GramClassifier, GramFeatures, _linear_probe
from mne_gram.decoding._linear_probe import FeatureLayout, FeatureView, ProbeChoice, fit_probe
from mne_gram.decoding._signal_features import BANDS

NAMES = ["Fz", "C3", "C4", "Pz", "O1", "O2"]
SETTINGS = dict(features="tangent", ch_names=NAMES, sfreq=200.0, line_freq=False)


def _draw(n, seed=0, freq=10.0, gain=1.5):
    """Noise, with an oscillation at C3 in every second trial."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, len(NAMES), 400))
    phases = rng.uniform(0, 2 * np.pi, (n, 1))
    x[:, 1] += gain * y[:, None] * np.sin(2 * np.pi * freq * np.arange(400) / 200 + phases)
    return 1e-5 * x, y


@pytest.mark.parametrize(("freq", "band"), [(10.0, (8.0, 13.0)), (35.0, (30.0, 45.0))])
def test_the_informative_band_has_most_weight(freq, band):
    """With few trials, the model of the informative band gets most of the weight."""
    x, y = _draw(40, freq=freq, gain=0.7)
    clf = GramClassifier(**SETTINGS).fit(x, y)
    weights = clf.band_weights_
    assert list(weights) == [BANDS, *((band,) for band in BANDS), ((8.0, 30.0),)]
    assert_allclose(sum(weights.values()), 1)
    single = {bands: weight for bands, weight in weights.items() if len(bands) == 1}
    assert max(single, key=single.get) == (band,)
    assert clf.score(*_draw(200, seed=1, freq=freq, gain=0.7)) > 0.6


def test_given_bands():
    x, y = _draw(40)
    clf = clone(GramClassifier(bands=[(8, 13)], **SETTINGS)).fit(x, y)
    assert clf.band_weights_ == {((8.0, 13.0),): 1.0}
    assert clf.score(*_draw(40, seed=1)) > 0.9
    names = GramFeatures(bands=[(8, 13), (13, 30)], **SETTINGS).fit(x).get_feature_names_out()
    assert len(names) == 2 * 21 and names[0] == "tangent_8-13Hz_Fz_Fz"
    far = GramClassifier(bands=[(50, 60)], **SETTINGS).fit(x, y)
    assert far.score(*_draw(100, seed=1)) < 0.7


def test_fixed_strength_takes_all_bands_together():
    x, y = _draw(40)
    clf = GramClassifier(C=1.0, **SETTINGS).fit(x, y)
    assert list(clf.band_weights_.values())[0] == 1.0 and clf.C_ == 1.0
    given = GramClassifier(C=1.0, bands=BANDS, **SETTINGS).fit(x, y)
    assert_allclose(clf.predict_proba(x), given.predict_proba(x), atol=1e-10)


@pytest.mark.parametrize("bands", [[], "alpha", [(13, 8)], [(8,)], [(8, 90)], [8, 13], [(-1, 4)]])
def test_bad_bands(bands):
    x, y = _draw(12)
    with pytest.raises(ValueError, match="bands must be a list of pairs"):
        GramClassifier(bands=bands, **SETTINGS).fit(x, y)


def test_band_without_a_frequency():
    x, y = _draw(12)
    with pytest.raises(ValueError, match="No frequency lies between 8.1 and 8.3 Hz"):
        GramClassifier(bands=[(8.1, 8.3)], **SETTINGS).fit(x, y)


def test_warm_start_keeps_the_weights():
    x, y = _draw(40, gain=0.4)
    clf = GramClassifier(warm_start=True, **SETTINGS).fit(x, y)
    weights, proba = clf.band_weights_, clf.predict_proba(x)
    clf.fit(x, y)
    assert clf.band_weights_ == weights and clf.probe_.losses is None
    assert_allclose(clf.predict_proba(x), proba, atol=1e-6)


def test_groups_count_once():
    """The number of independent units is that of subjects, however many trials they have."""
    x, y = _draw(40, gain=0.4)
    groups = np.repeat(np.arange(5), 8)
    clf = GramClassifier(**SETTINGS).fit(x, y, groups=groups)
    losses = np.array([own.min() for own in clf.probe_.losses])
    wanted = np.r_[0.5, np.full(7, 0.5 / 7)] * np.exp(-5 * losses)
    assert_allclose(list(clf.band_weights_.values()), wanted / wanted.sum(), atol=2e-3)
    assert np.ptp(losses) > 0.05  # forty of them would weigh otherwise


def test_many_trials_take_all_bands_together(monkeypatch):
    monkeypatch.setattr(_linear_probe, "MOST_TRIALS", 39)
    x, y = _draw(40)
    clf = GramClassifier(**SETTINGS).fit(x, y)
    assert clf.band_weights_ == {BANDS: 1.0} and clf.probe_.losses is not None
    assert clf.score(*_draw(40, seed=1)) > 0.9
    assert len(clf.fit(x[:39], y[:39]).band_weights_) == 8


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, dict(bands=[(8, 13)])),
        (dict(bands=[(8, 13)]), dict(bands=None)),
        (dict(bands=[(8, 13), (13, 30)]), dict(bands=[(1, 4), (4, 8)])),
        ({}, dict(features="bandpower")),
        (dict(features="bandpower"), dict(features="tangent")),
        (dict(C=1.0), dict(C=None)),
    ],
)
def test_warm_start_with_other_bands(first, second):
    """The choice for other features is not reused."""
    x, y = _draw(40, gain=0.4)
    clf = GramClassifier(warm_start=True, cv=2, **{**SETTINGS, **first}).fit(x, y)
    clf.set_params(**second).fit(x, y)
    new = GramClassifier(cv=2, **{**SETTINGS, **first, **second}).fit(x, y)
    assert_allclose(clf.predict_proba(x), new.predict_proba(x), atol=1e-12)
    assert getattr(clf, "band_weights_", None) == getattr(new, "band_weights_", None)
    assert clf.probe_.losses is not None


@pytest.mark.parametrize("n_features", [6, 60])
def test_average_of_views(n_features):
    """The logits of the average are weighted means of those of each view's model."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.standard_normal((40, n_features)) * rng.uniform(0.5, 2, n_features) + 0.5 * y[:, None]
    size = n_features // 3
    first, second = FeatureView((0.3, 1.0, 0.0)), FeatureView((0.3, 0.0, 1.0))
    layout = FeatureLayout((size,) * 3, (first, second))
    options = dict(layout=layout)
    both = fit_probe(x, y, 2, np.ones(40), chosen=ProbeChoice((1.0, 10.0), (0.3, 0.7)), **options)
    one = fit_probe(x, y, 2, np.ones(40), chosen=ProbeChoice((1.0,), (1.0,)), **options)
    other = fit_probe(x, y, 2, np.ones(40), chosen=ProbeChoice((1.0, 10.0), (0.0, 1.0)), **options)
    logits = 0.3 * one.get_logits(x) + 0.7 * other.get_logits(x)
    assert_allclose(both.get_logits(x), logits, atol=1e-8)
    assert not one.coef[:, 2 * size :].any() and one.coef[:, : 2 * size].any()
    # As scikit-learn alone has it, of the features that a view holds.
    from sklearn.linear_model import LogisticRegression

    z = (x - x.mean(axis=0)) / x.std(axis=0) / np.sqrt(size)
    z = z[:, : 2 * size] * np.repeat([0.3, 1.0], size) / np.hypot(0.3, 1.0)
    plain = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(z, y)
    found = one.get_logits(x)
    assert_allclose(expit(found[:, 1] - found[:, 0]), plain.predict_proba(z)[:, 1], atol=1e-3)


def test_weights_of_views():
    """Weights are the prior times the likelihood of the independent units."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = np.c_[rng.standard_normal(60) + 0.8 * y, rng.standard_normal(60)]
    folds = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    layout = FeatureLayout((1, 1), (FeatureView((1.0, 0.0), 0.25), FeatureView((0.0, 1.0), 0.75)))
    for n_units in (None, 4):
        probe = fit_probe(x, y, 2, np.ones(60), folds=folds, layout=layout, n_units=n_units)
        losses = np.array([own.min() for own in probe.losses])
        wanted = np.array([0.25, 0.75]) * np.exp(-(n_units or 60) * losses)
        assert_allclose(probe.chosen.weights, wanted / wanted.sum(), atol=2e-3)
    assert losses[0] < losses[1]


@pytest.mark.parametrize("n_features", [6, 90])
def test_weight_is_as_many_copies(n_features):
    """A weight of n gives the same strengths and the same model as n copies."""
    rng = np.random.default_rng(1)
    y, copies = np.arange(45) % 3, rng.integers(1, 4, 45)
    half = rng.standard_normal((45, n_features // 2)) + 0.4 * y[:, None]
    x = np.c_[half, half + 0.3 * rng.standard_normal(half.shape)]  # equally informative halves
    where = np.repeat(np.arange(45), copies)
    layout = FeatureLayout(
        (n_features // 2,) * 2,
        (FeatureView((1.0, 0.5)), FeatureView((1.0, 0.0)), FeatureView((0.0, 1.0))),
    )

    def fit(rows, weights):
        part = rows // 15
        folds = [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(3)]
        return fit_probe(x[rows], y[rows], 3, weights, folds=folds, layout=layout)

    weighted, copied = fit(np.arange(45), copies.astype(float)), fit(where, np.ones(len(where)))
    for one, other in zip(weighted.losses, copied.losses, strict=True):
        assert_allclose(one, other, rtol=1e-10)
    assert weighted.chosen == copied.chosen and 0 < weighted.chosen.weights[1] < 1
    assert_allclose(weighted.coef, copied.coef, atol=1e-9)
    assert_allclose(weighted.intercept, copied.intercept, atol=1e-9)
    assert fit(np.arange(45), np.ones(45)).chosen != weighted.chosen
