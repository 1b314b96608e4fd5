# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Scores over whole test sets, and their tables."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import balanced_accuracy_score

from mne_gram.datasets import RECIPES
from mne_gram.evaluation import (
    FoldResult,
    format_summary,
    make_task,
)
from mne_gram.evaluation._scores import (
    Predictions,
    balance,
    count_confusions,
    find_interval,
    measure,
    pool_folds,
    simulate_chance,
)
from mne_gram.evaluation._tables import list_folds, summarize
from mne_gram.metrics import score_classes

some = settings(deadline=None, max_examples=10)


# ---------------------------------------------------------------------------------------------
# Scores


def test_recordings_by_the_mean_of_log_probabilities(toy):
    """Two windows that are slightly wrong and one that is clearly right, by hand."""
    task = make_task(
        "toy", [toy.epochs("s0", ["a"] * 3, 0), toy.epochs("s0", ["b"] * 3, 1, name="r2")]
    )
    p = np.array([[0.4, 0.6], [0.4, 0.6], [0.99, 0.01], [0.5, 0.5], [0.3, 0.7], [0.2, 0.8]])
    result = FoldResult("m", 0, 0, np.arange(6), np.log(p), 0, 0)
    windows = pool_folds(task, [result])
    assert windows.predicted.tolist() == [1, 1, 0, 0, 1, 1]
    recordings = pool_folds(task, [result], "recording")
    assert recordings.y.tolist() == recordings.predicted.tolist() == [0, 1]
    means = np.exp(np.log(p).reshape(2, 3, 2).mean(axis=1))
    assert_allclose(recordings.proba, means / means.sum(axis=1, keepdims=True))
    with pytest.raises(ValueError, match="contain several classes"):
        mixed = make_task("toy", [toy.epochs("s0", ["a", "b"] * 3, 0)])
        pool_folds(mixed, [result], "recording")
    with pytest.raises(ValueError, match="tested twice"):
        pool_folds(task, [result, result])


@some
@given(st.integers(0, 9999))
def test_pooled_balanced_accuracy(seed):
    """Confusions of subjects add up to the balanced accuracy of all windows."""
    rng = np.random.default_rng(seed)
    y = np.r_[0, 1, 2, rng.integers(3, size=50)]
    said = np.where(rng.random(53) < 0.6, y, rng.integers(3, size=53))
    subjects = rng.choice(["s0", "s1", "s2"], 53)
    names = np.unique(subjects)
    counts = count_confusions([Predictions(y, said, None, subjects)], names, 3)
    assert_allclose(balance(counts.sum(axis=0)), balanced_accuracy_score(y, said))
    assert_allclose(balance(counts.sum(axis=0)), score_classes(y, said)["balanced_accuracy"])
    low, high = find_interval(counts)
    assert low <= high
    assert find_interval(counts, counts) == (0.0, 0.0)


def test_interval_is_over_subjects():
    """Windows of a subject are not independent: more of them do not narrow the interval."""
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.4, 1.0, 20)
    few = np.array([[[r, 1 - r], [1 - r, r]] for r in rates]) * 10
    low, high = find_interval(few)
    assert_allclose(find_interval(100 * few), (low, high))
    sem = rates.std() / np.sqrt(20)
    assert_allclose([low, high], rates.mean() + 1.96 * sem * np.array([-1, 1]), atol=0.02)


def test_paired_difference_is_narrower():
    """Differences between subjects that methods share cancel in a paired difference."""
    rates = np.random.default_rng(0).uniform(0.4, 0.9, 20)
    make = np.vectorize(lambda r: np.array([[r, 1 - r], [1 - r, r]]), signature="()->(i,j)")
    low, high = find_interval(make(rates + 0.05), make(rates))
    assert_allclose([low, high], 0.05, atol=1e-9)


def test_chance(toy, task):
    mean, low, high = simulate_chance(task)
    assert abs(mean - 0.5) < 0.01 and 0.2 < low < 0.35 and 0.65 < high < 0.8
    # A guess a recording says the same about its windows as about itself.
    assert_allclose(simulate_chance(task, level="recording"), (mean, low, high))
    mixed = toy.task(mixed=True)
    _, low_window, high_window = simulate_chance(mixed)
    assert high_window - low_window < high - low
    *_, few = simulate_chance(task, ["s3"])
    assert few > high


# ---------------------------------------------------------------------------------------------
# Tables and figures


def test_summary(toy, task):
    """A perfect method is better than a mediocre one by the difference of their accuracies."""
    rng = np.random.default_rng(0)
    results = []
    for seed in (0, 10):
        results += toy.predict(task, "bandpower-lr", seed, rng.random(len(task.y)) < 0.75)
        results += toy.predict(task, "gram-probe", seed, np.ones(len(task.y), bool))
    summary, differences = summarize(task, results, {"held-out": ["s3", "s7"], "none": ["s9"]})
    keys = {(row["level"], row["subjects"]) for row in summary}
    assert keys == {
        (level, who) for level in ("window", "recording") for who in ("all", "held-out")
    }
    rows = {(row["method"], row["subjects"]): row for row in summary if row["level"] == "window"}
    own = rows["gram-probe", "all"]
    assert own["balanced_accuracy"] == own["low"] == own["high"] == own["roc_auc"] == 1
    assert own["balanced_accuracy_std"] == 0 and own["n"] == 96 and own["n_subjects"] == 8
    assert (
        rows["gram-probe", "held-out"]["n"] == 24
        and rows["gram-probe", "held-out"]["n_subjects"] == 2
    )
    half = rows["bandpower-lr", "all"]
    accuracies = [
        measure(task, pool_folds(task, [r for r in results if (r.method, r.seed) == key]))
        for key in (("bandpower-lr", 0), ("bandpower-lr", 10))
    ]
    values = [scores["balanced_accuracy"] for scores in accuracies]
    assert_allclose(half["balanced_accuracy"], np.mean(values))
    assert_allclose(half["balanced_accuracy_std"], np.std(values, ddof=1))
    assert half["low"] < half["balanced_accuracy"] < half["high"]
    (gap,) = [r for r in differences if (r["level"], r["subjects"]) == ("window", "all")]
    assert gap["is_best"] and (gap["method"], gap["baseline"]) == ("gram-probe", "bandpower-lr")
    assert_allclose(gap["difference"], 1 - half["balanced_accuracy"])
    assert 0 < gap["low"] < gap["difference"] < gap["high"]
    text = format_summary(summary, differences)
    assert "toy, 96 windows of 8 subjects\n" in text
    assert "24 windows of 2 subjects (held-out)" in text
    assert f"{gap['difference']:+.3f} (" in text and "bandpower-lr" in text


def test_best_baseline_is_marked(toy, task):
    rng = np.random.default_rng(0)
    results = []
    for name, share in (("csp-lda", 0.6), ("tangent-lr", 0.95), ("gram-lora", 0.7)):
        results += toy.predict(task, name, 0, rng.random(len(task.y)) < share)
    _, differences = summarize(task, results)
    own = [r for r in differences if (r["level"], r["subjects"]) == ("window", "all")]
    assert {r["baseline"]: r["is_best"] for r in own} == {"csp-lda": False, "tangent-lr": True}
    assert [r["difference"] < 0 for r in own if r["is_best"]] == [True]


def test_measures_of_a_recipe(toy, task):
    published = dataclasses.replace(task, measures=RECIPES["hmc"].measures)
    (row, *_) = list_folds(published, toy.predict(task, "csp-lda", 0, True))
    assert set(row) - {"task", "method", "seed", "fold", "n_windows"} == {
        *RECIPES["hmc"].measures, "fit_seconds", "predict_seconds"
    }  # fmt: skip
