# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classifiers in the same folds: methods, resumption and failures."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.decoding import GramClassifier
from mne_gram.evaluation import (
    DEFAULT,
    FoldResult,
    _compare,
    compare_classifiers,
    parse_method,
    split_task,
    write_comparison,
)
from mne_gram.evaluation import _baselines as baselines
from mne_gram.evaluation._fold_results import fit_and_test, make_key, read_result, write_result
from mne_gram.evaluation._methods import BASELINES, GRAM
from mne_gram.evaluation._scores import (
    measure,
    pool_folds,
)

# ---------------------------------------------------------------------------------------------
# Methods


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_find_what_is_there(task, name):
    """Alpha at another place is decoded across subjects; random labels are not."""
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


def test_methods_get_the_training_rows(task, monkeypatch):
    """A method gets the windows of the training rows only, and their subjects as groups."""
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


def test_parse_method(toy):
    assert [parse_method(name).is_gram for name in DEFAULT] == [False] * 3 + [True]
    method = parse_method('gram-probe+pool=mean+C=0.5+features=["embedding","bandpower"]')
    assert method.base == "gram-probe"
    assert method.options == dict(pool="mean", C=0.5, features=["embedding", "bandpower"])
    task = toy.task(2)
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


def test_keys_distinguish_methods(task, monkeypatch):
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
    """GramClassifier accepts the windows."""
    result = fit_and_test(task, parse_method("gram-probe"), 0, split_task(task, 4, 0)[0])
    assert measure(task, pool_folds(task, [result]))["balanced_accuracy"] > 0.6


# ---------------------------------------------------------------------------------------------
# Resuming


def test_resume(task, tmp_path, monkeypatch):
    """Existing results are reused; missing or broken ones are computed."""
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
    """Replace fits by made-up results; return the list of those that ran. Some methods fail."""
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


def test_results_survive_the_file(toy, task, tmp_path):
    (result, _) = toy.predict(task, "csp-lda", 10, True)
    write_result(tmp_path / "a.npz", result)
    known = ("csp-lda", 10, 0, result.rows, result.log_proba.shape[1])
    again = read_result(tmp_path / "a.npz", *known)
    assert_allclose(again.log_proba, result.log_proba, rtol=1e-6)
    assert (again.fit_seconds, again.predict_seconds) == (1.0, 0.5)
    assert read_result(tmp_path / "b.npz", *known) is None
    with np.load(tmp_path / "a.npz") as file:
        good = dict(file)
    for changes in (  # anybody may have made the file
        dict(rows=good["rows"] + 1),
        dict(rows=good["rows"][:-1]),
        dict(rows=np.full(len(good["rows"]), None)),
        dict(log_proba=np.full_like(good["log_proba"], np.nan)),
        dict(log_proba=good["log_proba"][:, :1]),
        dict(log_proba=good["log_proba"] + 5),
        dict(log_proba=np.zeros((10**6, 20), np.float32)),
        dict(seconds=np.array([1.0])),
        dict(seconds=np.array([np.nan, 1.0])),
        dict(more=np.zeros(3)),
    ):
        np.savez_compressed(tmp_path / "b.npz", **(good | changes))
        assert read_result(tmp_path / "b.npz", *known) is None, changes


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
