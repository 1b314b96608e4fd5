# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows of BIDS data sets, at events or labelled by an entity."""

import os

import mne
import numpy as np
import pytest
from mne_bids import BIDSPath, write_raw_bids
from numpy.testing import assert_allclose

from mne_gram import preprocess
from mne_gram.datasets import read_bids_epochs, read_bids_windows

NAMES = ["EEG Fp1", "EEG T3", "EEG Cz", "EEG O2", "ECG"]


def _write(root, subject, task, events=(), seconds=30, bad=()):
    """Write a recording in which each sample is its time in seconds, in microvolts."""
    info = mne.create_info(NAMES, 100.0, "eeg")
    times = np.arange(seconds * 100) / 100
    raw = mne.io.RawArray(1e-6 * np.tile(times, (len(NAMES), 1)), info, verbose="error")
    raw.info["line_freq"] = 50
    onsets, texts = zip(*events, strict=True) if events else ((), ())
    notes = mne.Annotations(onsets, 0.0, texts)
    for onset, duration in bad:
        notes.append(onset, duration, "BAD_jump")
    raw.set_annotations(notes)
    path = BIDSPath(subject=subject, task=task, datatype="eeg", root=root)
    with mne.utils.use_log_level("ERROR"):
        write_raw_bids(raw, path, format="BrainVision", allow_preload=True, overwrite=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two subjects with events, one of them with a bad segment, and one without."""
    root = tmp_path_factory.mktemp("data")
    _write(root, "01", "imagery", [(2, "T1"), (10, "T2"), (20, "T0")])
    _write(root, "02", "imagery", [(5, "T2"), (12, "T1"), (28, "T1")], bad=[(13, 1)])
    _write(root, "02", "rest")
    return root


def test_events(root):
    """Windows at events, labelled, with the channels of the montage by name."""
    with pytest.warns(RuntimeWarning, match="1 of 3 windows .* of sub-02_task-imagery"):
        first, second = read_bids_epochs(root, dict(left="T1", right="T2"))
    assert first.ch_names == ["FP1", "T7", "CZ", "O2"]
    data = 1e6 * first.get_data()
    assert data.shape == (2, 4, 400)
    assert_allclose(data[:, 0, 0], [2, 10], atol=1e-3)
    assert first.metadata["label"].tolist() == ["left", "right"]
    assert first.metadata["onset"].tolist() == [2, 10]
    assert first.event_id == second.event_id == dict(left=1, right=2)
    for name, value in dict(subject="01", session="n/a", run="n/a", task="imagery").items():
        assert set(first.metadata[name]) == {value}
    # The window that contains the bad segment is dropped.
    assert len(second.drop_bad()) == 1 and second.metadata["label"].tolist() == ["right"]
    assert len(mne.concatenate_epochs([first, second])) == 3


def test_nothing_is_written(root, monkeypatch):
    """No file is created in the data set, which may be read-only, not even temporarily."""
    before, opened, unchanged = sorted(root.rglob("*")), [], os.open

    def look(path, flags, *args, **kwargs):
        opened.append(path) if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) else None
        return unchanged(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", look)  # that of the system, by which locks are made
    with pytest.warns(RuntimeWarning, match="1 of 2 windows"):
        assert len(list(read_bids_epochs(root, dict(left="T1")))) == 2
    assert len(list(read_bids_windows(root))) == 3
    assert not opened and sorted(root.rglob("*")) == before


def test_event_options(root):
    (late,) = read_bids_epochs(
        root, dict(cue=["T1", "T2"]), 0.5, 2, subjects=["01"], standard_names=False, preload=True
    )
    assert late.ch_names == NAMES and late.get_data().shape == (2, 5, 200)
    assert_allclose(1e6 * late.get_data()[:, 0, 0], [2.5, 10.5], atol=1e-3)
    assert set(late.metadata["label"]) == {"cue"}
    every = list(read_bids_epochs(root, length=1))
    assert [own.event_id for own in every] == 2 * [dict(T0=1, T1=2, T2=3)]
    (epochs,) = read_bids_epochs(
        root,
        dict(left="T1"),
        subjects=["01"],
        transform=lambda raw: raw.load_data().resample(50, method="polyphase"),
    )
    assert epochs.get_data().shape == (1, 4, 200)
    assert_allclose(1e6 * epochs.get_data()[0, 0, 0], 2, atol=0.05)


def test_windows(root):
    """The task is the label, and windows are adjacent."""
    found = list(read_bids_windows(root, length=7.0))
    assert [set(own.metadata["label"]).pop() for own in found] == ["imagery", "imagery", "rest"]
    assert {tuple(own.event_id.items()) for own in found} == {(("imagery", 1), ("rest", 2))}
    assert_allclose(1e6 * found[0].get_data()[:, 0, 0], [0, 7, 14, 21], atol=1e-3)
    assert len(found[1].drop_bad()) == 3  # the bad second is in the second window
    (rest,) = read_bids_windows(root, labels=["rest"])
    assert set(rest.metadata["subject"]) == {"02"} and len(rest.events) == 7
    people = [set(own.metadata["label"]) for own in read_bids_windows(root, "subject")]
    assert people == [{"01"}, {"02"}, {"02"}]


def test_bad_input(root, tmp_path):
    with pytest.raises(ValueError, match="not a BIDS data set"):
        read_bids_epochs(tmp_path)
    with pytest.raises(ValueError, match="has an event T9. Events come from"):
        list(read_bids_epochs(root, dict(a="T9")))
    with pytest.raises(ValueError, match="has any event"):
        read_bids_epochs(root, tasks=["rest"])
    with pytest.raises(ValueError, match="There is no task sleep"):
        read_bids_epochs(root, tasks=["sleep"])
    with pytest.raises(ValueError, match="no recording of subject 09"):
        read_bids_windows(root, subjects=["09"])
    with pytest.raises(ValueError, match="two labels"):
        read_bids_epochs(root, dict(a="T1", b=["T2", "T1"]))
    with pytest.raises(ValueError, match="event_id is empty"):
        read_bids_epochs(root, {})
    with pytest.raises(TypeError, match="event_id"):
        read_bids_epochs(root, "T1")
    with pytest.raises(ValueError, match="3 recordings have no session"):
        read_bids_windows(root, "session")
    with pytest.raises(ValueError, match="No recording has the task sleep, only imagery"):
        read_bids_windows(root, labels=["sleep"])
    with pytest.raises(ValueError, match="'by'"):
        read_bids_windows(root, "label")
    with pytest.raises(ValueError, match="lasts 30 s, which is less than a window of 40 s"):
        list(read_bids_windows(root, length=40))


def test_channels_without_an_entry(tmp_path):
    info = mne.create_info(["X1", "X2"], 100.0, "eeg")
    raw = mne.io.RawArray(1e-5 * np.ones((2, 1000)), info, verbose="error")
    path = BIDSPath(subject="1", task="a", datatype="eeg", root=tmp_path)
    with mne.utils.use_log_level("ERROR"):
        write_raw_bids(raw, path, format="BrainVision", allow_preload=True)
    with pytest.raises(ValueError, match="None of the channels of sub-1_task-a"):
        list(read_bids_windows(tmp_path))
    (epochs,) = read_bids_windows(tmp_path, standard_names=False)
    assert epochs.ch_names == ["X1", "X2"]


def test_real_recordings(shared):
    """Imagery of the shared excerpts, preprocessed as continuous data."""
    (left_right, _) = read_bids_epochs(
        shared / "eeg" / "eegmmi",
        dict(left="T1", right="T2"),
        subjects=["001"],
        transform=lambda raw: preprocess(raw, line_freq=60, verbose="error"),
    )
    assert left_right.get_data().shape == (15, 64, 800)
    assert 3e-6 < left_right.get_data().std() < 1e-4
    rest, work = read_bids_windows(shared / "eeg" / "eegmat", subjects=["04"])
    assert {*rest.metadata["label"]} | {*work.metadata["label"]} == {"rest", "arithmetic"}
    assert len(rest.ch_names) == 19  # without the ECG, which is of the type EEG there
