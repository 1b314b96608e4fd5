# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classifiers in the same folds: splits, scores, tables and resumption."""

import dataclasses

import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import balanced_accuracy_score

from mne_gram.datasets import RECIPES
from mne_gram.decoding import GramClassifier
from mne_gram.evaluation import (
    DEFAULT,
    FoldResult,
    _compare,
    compare_classifiers,
    format_summary,
    make_task,
    make_transform,
    parse_method,
    split_task,
    write_comparison,
)
from mne_gram.evaluation import _baselines as baselines
from mne_gram.evaluation._fold_results import fit_and_test, make_key, read_result, write_result
from mne_gram.evaluation._methods import BASELINES, GRAM
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

NAMES = ["C3", "CZ", "C4", "O1", "O2"]
some = settings(deadline=None, max_examples=10)


def _draw_windows(labels, seed, seconds=2.0, sfreq=200.0):
    """Return noise in which ``b`` has more alpha at the back, and where it is on the left, C3."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * sfreq)) / sfreq
    data = rng.standard_normal((len(labels), len(NAMES), len(times)))
    alpha = np.sin(2 * np.pi * 10 * times + rng.uniform(0, 6, (len(labels), 1)))
    is_b = np.asarray(labels) == "b"
    data[is_b, 3:] += 2 * alpha[is_b, None]
    data[~is_b, 0] += 2 * alpha[~is_b]
    return 1e-5 * data


def _make_epochs(subject, labels, seed, name="r1", part="n/a", names=NAMES, **kwargs):
    info = mne.create_info(list(names), kwargs.get("sfreq", 200.0), "eeg")
    frame = pd.DataFrame(dict(label=labels)).assign(
        subject=subject, session="1", file=f"{subject}_{name}.edf", part=part
    )
    data = _draw_windows(labels, seed, **kwargs)[:, : len(names)]
    return mne.EpochsArray(data, info, metadata=frame, verbose="error")


def _make_task(n_subjects=8, mixed=False, **kwargs):
    """Return a task of two recordings per subject, of one class each or of both."""
    found = []
    for k in range(n_subjects):
        for number, label in enumerate("ab"):
            labels = ["a", "b"] * 3 if mixed else [label] * 6
            found.append(_make_epochs(f"s{k}", labels, [k, number], name=f"r{number}"))
    return make_task("toy", found, band=(8.0, 30.0), **kwargs)


@pytest.fixture(scope="module")
def task():
    return _make_task()


def _predict(task, method, seed, right):
    """Return results of a method that is right about some windows, in two folds."""
    y = np.array([task.labels.index(label) for label in task.y])
    said = np.where(right, y, 1 - y)
    log_proba = np.log(np.where(np.arange(2) == said[:, None], 0.8, 0.2))
    rows = np.arange(len(y))
    return [
        FoldResult(method, seed, fold, rows[fold::2], log_proba[fold::2], 1.0, 0.5)
        for fold in (0, 1)
    ]


# ---------------------------------------------------------------------------------------------
# Tasks


def test_make_task(task):
    assert task.labels == ("a", "b") and task.epochs.ch_names == NAMES
    assert len(task.y) == 8 * 12 and task.has_whole_recordings
    assert len(set(task.recordings)) == 16 and task.recordings[0] == "1/s0_r0.edf"
    assert not _make_task(2, mixed=True).has_whole_recordings


def test_make_task_matches_channels_by_name():
    first = _make_epochs("s0", ["a", "b"], 0)
    second = _make_epochs("s1", ["a", "b"], 1).reorder_channels(NAMES[::-1]).drop_channels("CZ")
    with pytest.warns(RuntimeWarning, match="Channels missing in some recordings are left out: CZ"):
        joined = make_task("toy", [first, second])
    assert joined.epochs.ch_names == ["C3", "C4", "O1", "O2"]
    data = joined.epochs.get_data(copy=False)
    assert_array_equal(data[2:], second.get_data(picks=["C3", "C4", "O1", "O2"]))


def test_make_task_repeats_no_warning():
    def read():
        for k in range(3):
            mne.utils.warn("The line is at 50 Hz.")
            yield _make_epochs(f"s{k}", ["a", "b"], k)

    with pytest.warns(RuntimeWarning, match=r"50 Hz. \(3 times\)") as caught:
        make_task("toy", read())
    assert len(caught) == 1


def test_max_windows_spread_over_the_recording():
    thin = make_task("toy", [_make_epochs("s0", ["a", "b"] * 5, 0)], max_windows=4)
    whole = _draw_windows(["a", "b"] * 5, 0)
    assert_array_equal(thin.epochs.get_data(), whole[[0, 3, 6, 9]])


def test_bad_tasks():
    one = _make_epochs("s0", ["a", "a"], 0)
    with pytest.raises(ValueError, match="at least two"):
        make_task("toy", [one])
    with pytest.raises(ValueError, match="expected some of each of 3 classes"):
        make_task("toy", [_make_epochs("s0", ["a", "b"], 0)], labels=["a", "b", "c"])
    with pytest.raises(ValueError, match="has no windows"):
        make_task("toy", [])
    with pytest.raises(ValueError, match=r"sampling rates \[100.0, 200.0\] Hz"):
        make_task("toy", [one, _make_epochs("s1", ["b"], 0, sfreq=100.0)])
    with pytest.raises(ValueError, match="no channel that all"):
        make_task("toy", [one, _make_epochs("s1", ["b"], 0, names=["P3", "P4"])])
    with pytest.raises(ValueError, match="file names .* got 'a/b'"):
        make_task("a/b", [_make_epochs("s0", ["a", "b"], 0)])
    with pytest.raises(ValueError, match="'protocol'"):
        make_task("toy", [_make_epochs("s0", ["a", "b"], 0)], protocol="leaky")


def test_digest_tells_tasks_apart(task):
    epochs = task.epochs.copy()
    assert dataclasses.replace(task, epochs=epochs).digest == task.digest
    epochs._data[0] *= 2
    assert dataclasses.replace(task, epochs=epochs).digest != task.digest
    assert dataclasses.replace(task, band=(1.0, 4.0)).digest != task.digest
    other = task.epochs.copy()
    other.metadata = other.metadata.assign(label=other.metadata["label"].to_numpy()[::-1])
    assert dataclasses.replace(task, epochs=other).digest != task.digest


def test_transform_restores_bad_channels():
    """All subjects have the same channels, though not all of them are good."""
    rng = np.random.default_rng(0)
    names = ["FP1", "FP2", "C3", "CZ", "C4", "O1", "O2", "PZ"]
    raw = mne.io.RawArray(
        1e-5 * rng.standard_normal((8, 8000)), mne.create_info(names, 200.0, "eeg"), verbose="error"
    )
    raw.info["bads"] = ["CZ"]
    raw._data[3] *= 100
    found = make_transform(line_freq=False)(raw)
    assert found.info["bads"] == [] and found.ch_names == names
    assert found.get_data("CZ").std() < 3e-5
    assert raw.info["bads"] == ["CZ"]


# ---------------------------------------------------------------------------------------------
# Folds


@some
@given(st.integers(4, 12), st.integers(2, 4), st.integers(0, 99))
def test_subjects_are_on_one_side_only(n_subjects, n_folds, seed):
    task = _make_task(n_subjects)
    folds = split_task(task, n_folds, seed)
    assert [fold.number for fold in folds] == list(range(n_folds))
    tested = np.concatenate([fold.tested for fold in folds])
    assert sorted(tested) == list(range(len(task.y)))
    for fold in folds:
        ((train, test),) = fold.pairs
        assert not {*task.subjects[train]} & {*task.subjects[test]}
        assert len(train) + len(test) == len(task.y)


def test_seeds_shuffle_subjects(task):
    def who(seed):
        return [sorted({*task.subjects[fold.tested]}) for fold in split_task(task, 4, seed)]

    assert who(0) == who(0) != who(10)


def test_folds_within_subjects():
    task = _make_task(3, mixed=True, protocol="within")
    folds = split_task(task, 3, 0)
    assert sorted(np.concatenate([fold.tested for fold in folds])) == list(range(len(task.y)))
    for fold in folds:
        assert len(fold.pairs) == 3
        for train, test in fold.pairs:
            assert len({*task.subjects[train]} | {*task.subjects[test]}) == 1
            assert not {*train} & {*test}
            assert len({*task.y[train]}) == len({*task.y[test]}) == 2


def test_published_folds():
    found = [
        _make_epochs(f"s{k}", ["a", "b"], k, part=part)
        for k, part in enumerate(["train", "train", "validation", "test"])
    ]
    task = make_task("toy", found, protocol="published")
    (fold,) = split_task(task)
    ((train, test),) = fold.pairs
    assert {*task.subjects[train]} == {"s0", "s1", "s2"} and {*task.subjects[test]} == {"s3"}
    with pytest.raises(ValueError, match="6 training windows and 0 test windows"):
        split_task(make_task("toy", found[:3], protocol="published"))
    mixed = [found[0], _make_epochs("s0", ["a", "b"], 9, name="r2", part="test")]
    with pytest.raises(ValueError, match="1 subjects of the task toy are in the training"):
        split_task(make_task("toy", mixed, protocol="published"))


def test_bad_folds(task):
    with pytest.raises(ValueError, match="8 subjects, fewer than the 9 folds"):
        split_task(task, 9)
    with pytest.raises(ValueError, match="n_folds must be at least 2"):
        split_task(task, 1)
    within = dataclasses.replace(task, protocol="within")
    with pytest.raises(ValueError, match=r"Subject s0 .* has \[6, 6\] windows of a, b"):
        split_task(within, 7)
    found = [_make_epochs(f"s{k}", ["ab"[k]] * 2, k) for k in range(2)]
    with pytest.raises(ValueError, match="missing from the training set"):
        split_task(make_task("toy", found), 2)


# ---------------------------------------------------------------------------------------------
# Methods


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_find_what_is_there(task, name):
    """Alpha at another place is found across subjects; nothing is found in labels drawn by lot."""
    fold = split_task(task, 4, 0)[0]
    result = fit_and_test(task, parse_method(name), 0, fold)
    assert result.rows.tolist() == fold.tested.tolist()
    assert_allclose(np.exp(result.log_proba).sum(axis=1), 1, rtol=1e-6)
    assert measure(task, pool_folds(task, [result]))["balanced_accuracy"] > 0.9
    lot = task.epochs.copy()
    draw = np.random.default_rng(0).permutation(task.y)
    lot.metadata = lot.metadata.assign(label=draw)
    random = dataclasses.replace(task, epochs=lot)
    found = [fit_and_test(random, parse_method(name), 0, own) for own in split_task(random, 2, 0)]
    assert 0.3 < measure(random, pool_folds(random, found))["balanced_accuracy"] < 0.7


def test_filter_band_and_power():
    times = np.arange(800) / 200
    data = np.stack([np.sin(2 * np.pi * f * times) for f in (2, 10, 40)])[None]
    kept = baselines.filter_band(data, 200.0, (8.0, 30.0)).std(axis=-1)[0]
    assert kept[1] > 0.65 and max(kept[0], kept[2]) < 0.1
    power = baselines.measure_band_power(data, 200.0).reshape(3, 5)
    assert_array_equal(power.argmax(axis=1), [0, 2, 4])
    quarter = baselines.measure_band_power(data / 2, 200.0).reshape(3, 5)
    assert_allclose(power - quarter, np.log(4), rtol=1e-6)


def test_methods_get_what_is_theirs(task, monkeypatch):
    """A method meets the subjects of the training rows only, and learns whose windows they are."""
    seen = []

    class Spy:
        classes_ = np.array(["b", "a"])

        def fit(self, X, y, groups=None):
            seen.append((X.metadata["subject"].tolist(), list(y), groups))

        def predict_proba(self, X):
            return np.tile([0.9, 0.1], (len(X), 1))

    method = parse_method("csp-lda")
    monkeypatch.setattr(type(method), "make", lambda self, task, seed: Spy())
    fold = split_task(task, 4, 0)[1]
    result = fit_and_test(task, method, 0, fold)
    ((train, _),) = fold.pairs
    subjects, y, groups = seen.pop()
    assert subjects == task.subjects[train].tolist() == groups.tolist()
    assert y == task.y[train].tolist()
    # The classes of the method are in another order than those of the task.
    assert_allclose(np.exp(result.log_proba), np.tile([0.1, 0.9], (len(fold.tested), 1)))
    fit_and_test(dataclasses.replace(task, protocol="within"), method, 0, fold)
    assert seen.pop()[2] is None


def test_parse_method():
    assert [parse_method(name).is_gram for name in DEFAULT] == [False] * 3 + [True]
    method = parse_method('gram-probe+pool=mean+C=0.5+features=["embedding","bandpower"]')
    assert method.base == "gram-probe"
    assert method.options == dict(pool="mean", C=0.5, features=["embedding", "bandpower"])
    task = _make_task(2)
    estimator = method.make(task, 7)
    assert estimator.adapt == "probe" and estimator.pool == "mean" and estimator.C == 0.5
    assert estimator.line_freq is False and estimator.random_state == 7
    kept = dataclasses.replace(task, reference=None)
    assert method.make(kept, 7).reference is None
    published = dataclasses.replace(task, settings=(("batch_size", 64),))
    assert parse_method("gram-full").make(published, 0).batch_size == 64
    assert parse_method("gram-full+batch_size=8").make(published, 0).batch_size == 8
    assert parse_method("gram-probe").make(published, 0).batch_size is None
    for name in GRAM:
        assert parse_method(name).make(task, 0).adapt == name[5:]
    for text, message in {
        "svm": "Unknown method 'svm'",
        "csp-lda+C=1": "csp-lda takes no arguments, got C",
        "gram-probe+adapt=full": "no argument adapt",
        "gram-probe+c": "expected argument=value",
    }.items():
        with pytest.raises(ValueError, match=message):
            parse_method(text)


def test_keys_format_methods_apart(task, monkeypatch):
    def make(name, digest="x", n_folds=5):
        return make_key(task, parse_method(name), digest, n_folds)

    names = ["csp-lda", "bandpower-lr", "gram-probe", "gram-probe+pool=mean", "gram-probe+C=1"]
    keys = {make(name) for name in names} | {make("csp-lda", "y"), make("csp-lda", n_folds=4)}
    assert len(keys) == 7 and make("csp-lda") in keys
    about = parse_method("gram-probe").describe(task)
    assert len(about["sha256"]) == 64
    # Another default is another method, though its name is the same.
    monkeypatch.setitem(GramClassifier.__init__.__kwdefaults__, "rank", 3)
    assert make("gram-probe") not in keys


def test_gram_in_the_same_folds(task):
    """The package's own classifier takes the windows as they are."""
    result = fit_and_test(task, parse_method("gram-probe"), 0, split_task(task, 4, 0)[0])
    assert measure(task, pool_folds(task, [result]))["balanced_accuracy"] > 0.6


# ---------------------------------------------------------------------------------------------
# Scores


def test_recordings_by_the_mean_of_log_probabilities():
    """By hand: two windows that are a little wrong, one that is very right."""
    task = make_task(
        "toy", [_make_epochs("s0", ["a"] * 3, 0), _make_epochs("s0", ["b"] * 3, 1, name="r2")]
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
        mixed = make_task("toy", [_make_epochs("s0", ["a", "b"] * 3, 0)])
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
    """What differs between subjects but not between methods is no part of a difference."""
    rates = np.random.default_rng(0).uniform(0.4, 0.9, 20)
    make = np.vectorize(lambda r: np.array([[r, 1 - r], [1 - r, r]]), signature="()->(i,j)")
    low, high = find_interval(make(rates + 0.05), make(rates))
    assert_allclose([low, high], 0.05, atol=1e-9)


def test_chance(task):
    mean, low, high = simulate_chance(task)
    assert abs(mean - 0.5) < 0.01 and 0.2 < low < 0.35 and 0.65 < high < 0.8
    # A guess a recording says the same about its windows as about itself.
    assert_allclose(simulate_chance(task, level="recording"), (mean, low, high))
    mixed = _make_task(mixed=True)
    _, low_window, high_window = simulate_chance(mixed)
    assert high_window - low_window < high - low
    *_, few = simulate_chance(task, ["s3"])
    assert few > high


# ---------------------------------------------------------------------------------------------
# Tables and figures


def test_summary(task):
    """A method that is right is better than one that knows half of it, by as much as it is."""
    rng = np.random.default_rng(0)
    results = []
    for seed in (0, 10):
        results += _predict(task, "bandpower-lr", seed, rng.random(len(task.y)) < 0.75)
        results += _predict(task, "gram-probe", seed, np.ones(len(task.y), bool))
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


def test_best_baseline_is_marked(task):
    rng = np.random.default_rng(0)
    results = []
    for name, share in (("csp-lda", 0.6), ("tangent-lr", 0.95), ("gram-lora", 0.7)):
        results += _predict(task, name, 0, rng.random(len(task.y)) < share)
    _, differences = summarize(task, results)
    own = [r for r in differences if (r["level"], r["subjects"]) == ("window", "all")]
    assert {r["baseline"]: r["is_best"] for r in own} == {"csp-lda": False, "tangent-lr": True}
    assert [r["difference"] < 0 for r in own if r["is_best"]] == [True]


def test_measures_of_a_recipe(task):
    published = dataclasses.replace(task, measures=RECIPES["hmc"].measures)
    (row, *_) = list_folds(published, _predict(task, "csp-lda", 0, True))
    assert set(row) - {"task", "method", "seed", "fold", "n_windows"} == {
        *RECIPES["hmc"].measures, "fit_seconds", "predict_seconds"
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------
# Resuming


def test_resume(task, tmp_path, monkeypatch):
    """What is there is not done again; what is missing or broken is."""
    runs = _patch_runs(monkeypatch)
    methods = ["csp-lda", "bandpower-lr"]
    options = dict(seeds=[0, 10], n_folds=4)
    first, failures = compare_classifiers(task, methods, tmp_path, **options)
    assert not failures and len(runs) == len(first) == 16
    runs.clear()
    again, _ = compare_classifiers(task, methods, tmp_path, **options)
    assert runs == []
    for one, other in zip(first, again, strict=True):
        assert (one.method, one.seed, one.fold) == (other.method, other.seed, other.fold)
        assert_array_equal(one.rows, other.rows)
        assert_allclose(one.log_proba, other.log_proba, rtol=1e-6)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 16 and all(path.suffix == ".npz" for path in files)
    (gone,) = tmp_path.glob("toy_csp-lda_seed0_fold1_*")
    gone.unlink()
    (broken,) = tmp_path.glob("toy_bandpower-lr_seed10_fold3_*")
    broken.write_bytes(broken.read_bytes()[:100])
    compare_classifiers(task, methods, tmp_path, **options)
    assert sorted(runs) == [("bandpower-lr", 10, 3), ("csp-lda", 0, 1)]
    runs.clear()
    compare_classifiers(task, [*methods, "tangent-lr"], tmp_path, **options)
    assert {name for name, *_ in runs} == {"tangent-lr"} and len(runs) == 8
    runs.clear()
    compare_classifiers(dataclasses.replace(task, band=(1.0, 4.0)), methods, tmp_path, **options)
    assert len(runs) == 16


def _patch_runs(monkeypatch, broken=()):
    """Make units up; return the list of those that were run. Some methods may fail."""
    runs = []

    def run(task, method, seed, fold):
        runs.append((method.name, seed, fold.number))
        if method.name in broken:
            raise FloatingPointError("no patterns\nat all")
        y = np.array([task.labels.index(label) for label in task.y])[fold.tested]
        log_proba = np.log(np.where(np.arange(2) == y[:, None], 0.8, 0.2))
        return FoldResult(method.name, seed, fold.number, fold.tested, log_proba, 1.0, 0.5)

    monkeypatch.setattr(_compare, "fit_and_test", run)
    return runs


def test_failures_do_not_stop_others(task, tmp_path, monkeypatch):
    """A failure is reported and repeated in the next call; incomplete seeds are left out."""
    runs = _patch_runs(monkeypatch, broken=["csp-lda"])
    options = dict(seeds=[0], n_folds=4)
    with pytest.warns(RuntimeWarning, match="4 of 8 fits of the task toy failed"):
        results, failures = compare_classifiers(
            task, ["csp-lda", "tangent-lr"], tmp_path, **options
        )
    assert {result.method for result in results} == {"tangent-lr"}
    assert failures[0] == ("csp-lda, seed 0, fold 0", "FloatingPointError: no patterns at all")
    runs.clear()
    _patch_runs(monkeypatch)
    results, failures = compare_classifiers(task, ["csp-lda", "tangent-lr"], tmp_path, **options)
    assert not failures and len(results) == 8
    with pytest.raises(ValueError, match="all fits failed"):
        write_comparison(tmp_path, task, [])


def test_processes_give_the_same(task, tmp_path):
    one, _ = compare_classifiers(task, ["bandpower-lr"], tmp_path / "1", seeds=[0], n_folds=2)
    two, _ = compare_classifiers(
        task, ["bandpower-lr"], tmp_path / "2", seeds=[0], n_folds=2, n_jobs=2
    )
    for a, b in zip(one, two, strict=True):
        assert_array_equal(a.rows, b.rows)
        assert_allclose(a.log_proba, b.log_proba, atol=1e-8)


def test_bad_comparison(task, tmp_path):
    with pytest.raises(ValueError, match="methods must be one or more unique"):
        compare_classifiers(task, ["csp-lda", "csp-lda"], tmp_path)
    with pytest.raises(ValueError, match="seeds must be one or more"):
        compare_classifiers(task, ["csp-lda"], tmp_path, seeds=[])


def test_results_survive_the_file(task, tmp_path):
    (result, _) = _predict(task, "csp-lda", 10, True)
    write_result(tmp_path / "a.npz", result)
    again = read_result(tmp_path / "a.npz", "csp-lda", 10, 0)
    assert_allclose(again.log_proba, result.log_proba, rtol=1e-6)
    assert (again.fit_seconds, again.predict_seconds) == (1.0, 0.5)
    assert read_result(tmp_path / "b.npz", "csp-lda", 10, 0) is None


# ---------------------------------------------------------------------------------------------
# Documentation


@pytest.mark.parametrize(
    "name",
    [
        "compare_classifiers",
        "format_seconds",
        "format_summary",
        "load_bids_task",
        "load_recipe_task",
        "make_task",
        "write_comparison",
    ],
)
def test_public_docstring(name):
    """All parameters and returns of the documented functions are described."""
    validate = pytest.importorskip("numpydoc.validate").validate
    errors = validate(f"mne_gram.evaluation.{name}")["errors"]
    assert not [error for error in errors if error[0] in {"GL08", "PR01", "PR02", "PR04", "RT01"}]
