# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Tasks of labelled windows, and their splits into folds."""

import dataclasses

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mne_gram.evaluation import (
    make_task,
    make_transform,
    split_task,
)

some = settings(deadline=None, max_examples=10)


# ---------------------------------------------------------------------------------------------
# Tasks


def test_make_task(toy, task):
    assert task.labels == ("a", "b") and task.epochs.ch_names == toy.names
    assert len(task.y) == 8 * 12 and task.has_whole_recordings
    assert len(set(task.recordings)) == 16 and task.recordings[0] == "1/s0_r0.edf"
    assert not toy.task(2, mixed=True).has_whole_recordings


def test_make_task_matches_channels_by_name(toy):
    first = toy.epochs("s0", ["a", "b"], 0)
    second = toy.epochs("s1", ["a", "b"], 1).reorder_channels(toy.names[::-1]).drop_channels("CZ")
    with pytest.warns(RuntimeWarning, match="Channels missing in some recordings are left out: CZ"):
        joined = make_task("toy", [first, second])
    assert joined.epochs.ch_names == ["C3", "C4", "O1", "O2"]
    data = joined.epochs.get_data(copy=False)
    assert_array_equal(data[2:], second.get_data(picks=["C3", "C4", "O1", "O2"]))


def test_make_task_repeats_no_warning(toy):
    def read():
        for k in range(3):
            mne.utils.warn("The line is at 50 Hz.")
            yield toy.epochs(f"s{k}", ["a", "b"], k)

    with pytest.warns(RuntimeWarning, match=r"50 Hz. \(3 times\)") as caught:
        make_task("toy", read())
    assert len(caught) == 1


def test_max_windows_spread_over_the_recording(toy):
    thin = make_task("toy", [toy.epochs("s0", ["a", "b"] * 5, 0)], max_windows=4)
    whole = toy.draw(["a", "b"] * 5, 0)
    assert_array_equal(thin.epochs.get_data(), whole[[0, 3, 6, 9]])


def test_bad_tasks(toy):
    one = toy.epochs("s0", ["a", "a"], 0)
    with pytest.raises(ValueError, match="at least two"):
        make_task("toy", [one])
    with pytest.raises(ValueError, match="expected some of each of 3 classes"):
        make_task("toy", [toy.epochs("s0", ["a", "b"], 0)], labels=["a", "b", "c"])
    with pytest.raises(ValueError, match="has no windows"):
        make_task("toy", [])
    with pytest.raises(ValueError, match=r"sampling rates \[100.0, 200.0\] Hz"):
        make_task("toy", [one, toy.epochs("s1", ["b"], 0, sfreq=100.0)])
    with pytest.raises(ValueError, match="no channel that all"):
        make_task("toy", [one, toy.epochs("s1", ["b"], 0, names=["P3", "P4"])])
    with pytest.raises(ValueError, match="file names .* got 'a/b'"):
        make_task("a/b", [toy.epochs("s0", ["a", "b"], 0)])
    with pytest.raises(ValueError, match="'protocol'"):
        make_task("toy", [toy.epochs("s0", ["a", "b"], 0)], protocol="leaky")


def test_digest_distinguishes_tasks(task):
    epochs = task.epochs.copy()
    assert dataclasses.replace(task, epochs=epochs).digest == task.digest
    epochs._data[0] *= 2
    assert dataclasses.replace(task, epochs=epochs).digest != task.digest
    assert dataclasses.replace(task, band=(1.0, 4.0)).digest != task.digest
    other = task.epochs.copy()
    other.metadata = other.metadata.assign(label=other.metadata["label"].to_numpy()[::-1])
    assert dataclasses.replace(task, epochs=other).digest != task.digest


def test_transform_restores_bad_channels():
    """Bad channels are restored, so that all subjects have the same channels."""
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
def test_subjects_are_on_one_side_only(toy, n_subjects, n_folds, seed):
    task = toy.task(n_subjects)
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


def test_folds_within_subjects(toy):
    task = toy.task(3, mixed=True, protocol="within")
    folds = split_task(task, 3, 0)
    assert sorted(np.concatenate([fold.tested for fold in folds])) == list(range(len(task.y)))
    for fold in folds:
        assert len(fold.pairs) == 3
        for train, test in fold.pairs:
            assert len({*task.subjects[train]} | {*task.subjects[test]}) == 1
            assert not {*train} & {*test}
            assert len({*task.y[train]}) == len({*task.y[test]}) == 2


def test_published_folds(toy):
    found = [
        toy.epochs(f"s{k}", ["a", "b"], k, part=part)
        for k, part in enumerate(["train", "train", "validation", "test"])
    ]
    task = make_task("toy", found, protocol="published")
    (fold,) = split_task(task)
    ((train, test),) = fold.pairs
    assert {*task.subjects[train]} == {"s0", "s1", "s2"} and {*task.subjects[test]} == {"s3"}
    with pytest.raises(ValueError, match="6 training windows and 0 test windows"):
        split_task(make_task("toy", found[:3], protocol="published"))
    mixed = [found[0], toy.epochs("s0", ["a", "b"], 9, name="r2", part="test")]
    with pytest.raises(ValueError, match="1 subjects of the task toy are in the training"):
        split_task(make_task("toy", mixed, protocol="published"))


def test_held_out_folds(toy):
    """The test set is always the same, and each seed leaves other training subjects out."""
    parts = ["train"] * 6 + ["test"] * 2
    found = [toy.epochs(f"s{k}", ["a", "b"], k, part=part) for k, part in enumerate(parts)]
    task = make_task("toy", found, protocol="held-out")
    drawn = []
    for seed in (0, 0, 1):
        (fold,) = split_task(task, 3, seed)
        ((train, test),) = fold.pairs
        assert {*task.subjects[test]} == {"s6", "s7"} and len(test) == 4
        drawn.append({*task.subjects[train]})
        assert len(drawn[-1]) == 4 and len(train) == 8
    assert drawn[0] == drawn[1] != drawn[2]


def test_bad_folds(toy, task):
    with pytest.raises(ValueError, match="8 subjects, fewer than the 9 folds"):
        split_task(task, 9)
    with pytest.raises(ValueError, match="n_folds must be at least 2"):
        split_task(task, 1)
    within = dataclasses.replace(task, protocol="within")
    with pytest.raises(ValueError, match=r"Subject s0 .* has \[6, 6\] windows of a, b"):
        split_task(within, 7)
    found = [toy.epochs(f"s{k}", ["ab"[k]] * 2, k) for k in range(2)]
    with pytest.raises(ValueError, match="missing from the training set"):
        split_task(make_task("toy", found), 2)
