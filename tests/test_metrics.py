# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Measures by cases that are worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import metrics
from mne_gram.metrics import band_power_ratio, correlation, nmse, subtract_kept_mean

some = settings(deadline=None, max_examples=25)


def draw(seed, n_channels=5, n_times=40):
    """Draw a truth, an estimate and a mask that hides something and keeps something."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((n_channels, n_times))
    mask = rng.random(truth.shape) < 0.3
    mask[0, :5] = True
    mask[1] = False
    estimate = np.where(mask, truth + rng.standard_normal(truth.shape), truth)
    return truth, estimate, mask


def test_kept_mean_by_hand():
    data = np.array([[1.0, 2.0], [3.0, 4.0], [8.0, 9.0]])
    mask = np.array([[False, False], [False, True], [True, True]])
    # The means of what is kept are 2 and 2.
    assert_array_equal(subtract_kept_mean(data, mask), data - [2.0, 2.0])


def test_kept_mean_where_nothing_is_kept():
    data = np.array([[1.0, 2.0], [3.0, 4.0]])
    mask = np.array([[True, False], [True, False]])
    assert_array_equal(subtract_kept_mean(data, mask), [[1.0, -1.0], [3.0, 1.0]])


def test_kept_mean_knows_nothing_of_the_hidden():
    truth, _, mask = draw(0)
    garbage = np.where(mask, 1e6, truth)
    kept = ~mask
    expected = subtract_kept_mean(truth, mask)[kept]
    assert_array_equal(subtract_kept_mean(garbage, mask)[kept], expected)


def test_nmse_by_hand():
    truth = np.array([[0.0, 0.0], [2.0, 2.0], [3.0, 5.0]])
    mask = np.array([[False, False], [False, False], [True, True]])
    estimate = truth.copy()
    estimate[2] = [4.0, 4.0]
    # Means of the kept are 1 and 1, so the hidden truth is 2 and 4; errors are 1 and -1.
    assert nmse(truth, estimate, mask) == pytest.approx(2 / (4 + 16))


def test_nmse_of_the_kept_mean_is_one():
    truth, _, mask = draw(1)
    mean = truth - subtract_kept_mean(truth, mask)
    assert nmse(truth, np.where(mask, mean, truth), mask) == pytest.approx(1)
    assert nmse(truth, truth, mask) == 0


@some
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_measures_depend_on_neither_unit_nor_reference_nor_kept_estimates(seed, scale):
    truth, estimate, mask = draw(seed)
    shared = np.random.default_rng(seed + 1).standard_normal(truth.shape[1])
    moved = estimate.copy()
    moved[~mask] = 77.0  # only hidden samples are measured
    for measure in (nmse, correlation):
        expected = measure(truth, estimate, mask)
        again = measure(scale * (truth + shared), scale * (moved + shared), mask)
        assert again == pytest.approx(expected, rel=1e-6)
        assert isinstance(expected, float)


def test_correlation_by_hand():
    truth = np.array([[0.0, 0.0, 0.0], [2.0, 4.0, 6.0], [2.0, 5.0, 5.0]])
    mask = np.zeros((3, 3), bool)
    mask[2] = True
    estimate = truth.copy()
    estimate[2] = [1.0, 2.0, 3.0]
    # Relative to the kept mean (1 2 3) the truth is 1 3 2 and the estimate 0 0 0: shift it.
    estimate[2] += [1.0, 2.0, 3.0]
    assert correlation(truth, estimate, mask) == pytest.approx(0.5)  # of 1 3 2 and 1 2 3


def test_correlation_is_blind_to_gain_but_nmse_is_not():
    truth, _, mask = draw(2)
    mean = truth - subtract_kept_mean(truth, mask)
    half = np.where(mask, mean + 0.5 * (truth - mean), truth)
    assert correlation(truth, half, mask) == pytest.approx(1)
    assert nmse(truth, half, mask) == pytest.approx(0.25)


@pytest.mark.parametrize("measure", [nmse, correlation])
def test_nothing_hidden_is_refused(measure):
    data = np.ones((2, 4))
    with pytest.raises(ValueError, match="hides no sample"):
        measure(data, data, np.zeros((2, 4), bool))


def test_band_power_ratio():
    sfreq = 200.0
    times = np.arange(4000) / sfreq
    truth = np.zeros((3, 4000))
    truth[2] = np.sin(2 * np.pi * 6 * times) + np.sin(2 * np.pi * 20 * times)
    estimate = truth.copy()
    estimate[2] = 0.5 * np.sin(2 * np.pi * 6 * times) + 2 * np.sin(2 * np.pi * 20 * times)
    mask = np.zeros(truth.shape, bool)
    mask[2] = True
    bands = [(4, 8), (13, 30)]
    assert_allclose(band_power_ratio(truth, estimate, mask, sfreq, bands), [0.25, 4.0], rtol=1e-3)
    # What all channels share counts neither here nor there.
    shared = 10 * np.sin(2 * np.pi * 7 * times)
    moved = band_power_ratio(truth + shared, estimate + shared, mask, sfreq, bands)
    assert_allclose(moved, [0.25, 4.0], rtol=1e-3)


def test_band_power_ratio_needs_whole_channels():
    truth, estimate, mask = draw(3)
    ratios = band_power_ratio(truth, estimate, mask, 100.0, [(4, 8), (8, 13)])
    assert ratios.shape == (2,) and np.isnan(ratios).all()


# ---------------------------------------------------------------------------------------------
# Classes


def test_scores_of_classes_by_hand():
    """Three classes, counted on paper."""
    y = list("aaaabbbccc")
    predicted = list("aaabbbcccc")
    scores = metrics.score_classes(y, predicted)
    assert list(scores) == ["accuracy", "balanced_accuracy", "kappa", "weighted_f1"]
    assert scores["accuracy"] == 0.8
    assert_allclose(scores["balanced_accuracy"], (3 / 4 + 2 / 3 + 1) / 3)
    chance = (4 * 3 + 3 * 3 + 3 * 4) / 100
    assert_allclose(scores["kappa"], (0.8 - chance) / (1 - chance))
    f1 = np.array([2 * 3 / (4 + 3), 2 * 2 / (3 + 3), 2 * 3 / (3 + 4)])
    assert_allclose(scores["weighted_f1"], f1 @ [0.4, 0.3, 0.3])


def test_scores_of_two_classes():
    y = np.array(["left", "left", "right", "right"])
    p = np.array([0.1, 0.6, 0.4, 0.9])
    probabilities = np.column_stack([1 - p, p])
    predicted = np.array(["left", "right"])[(p > 0.5).astype(int)]
    scores = metrics.score_classes(y, predicted, probabilities, labels=["left", "right"])
    assert set(scores) == {*metrics.CLASS_MEASURES}
    assert scores["roc_auc"] == 0.75  # 3 of 4 pairs are in order
    assert_allclose(scores["pr_auc"], (1 + 2 / 3) / 2)
    assert [scores[name] for name in ("f1", "precision", "recall")] == [0.5, 0.5, 0.5]
    other = metrics.score_classes(y, predicted, labels=["right", "left"], measures=["recall"])
    assert other == dict(recall=0.5)


def test_the_whole_set_is_not_its_batches():
    """What the measures are meant to avoid: a mean over batches is something else."""
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    predicted = np.array([0, 0, 1, 1, 1, 1, 1, 0])
    whole = metrics.score_classes(y, predicted)["balanced_accuracy"]
    halves = [metrics.score_classes(y[k : k + 4], predicted[k : k + 4]) for k in (0, 4)]
    assert whole == 0.625
    assert np.mean([half["balanced_accuracy"] for half in halves]) != whole


def test_classes_that_do_not_occur():
    """Recall is averaged over the classes that there are; what is undefined is NaN."""
    scores = metrics.score_classes([1, 1, 1], [1, 1, 0], np.full((3, 2), 0.5), labels=[0, 1])
    assert_allclose(scores["balanced_accuracy"], 2 / 3)
    assert np.isnan([scores[name] for name in ("kappa", "roc_auc", "pr_auc")]).all()
    assert scores["recall"] == pytest.approx(2 / 3) and scores["precision"] == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (([0, 1], [0]), {}, "have the same length"),
        (([], []), {}, "not be empty"),
        (([0, 1], [0, 2]), dict(labels=[0, 1]), r"labels \[2\]"),
        (([0, 1], [0, 1], np.ones((2, 3))), {}, r"shape \(2, 2\)"),
        (([0, 1], [0, 1]), dict(measures=["roc_auc"]), "without probabilities"),
        (([0, 1, 2], [0, 1, 2]), dict(measures=["recall"]), "for 3 classes"),
    ],
)
def test_bad_classes(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        metrics.score_classes(*args, **kwargs)
