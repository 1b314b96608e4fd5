# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The recordings of a data set: how they are found, named and shared."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram._files._find import (
    BidsRecording,
    list_recordings,
    select_recordings,
    take_shard,
)


def _make(root, *names):
    """Make empty files of a data set."""
    (root / "dataset_description.json").write_text("{}", encoding="utf-8")
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_finds_recordings(tmp_path):
    """Continuous recordings and epochs are found; sidecars, derivatives and others are not."""
    wanted = [
        "sub-1/eeg/sub-1_task-a_eeg.set",
        "sub-1/eeg/sub-1_task-b_desc-clean_epo.fif",
        "sub-2/ses-x/eeg/sub-2_ses-x_task-a_eeg.bdf",
        "sub-2/ses-x/eeg/sub-2_ses-x_task-a_split-01_desc-y_eeg.fif",
    ]
    _make(
        tmp_path,
        *wanted,
        "sub-1/eeg/sub-1_task-a_eeg.fdt",
        "sub-1/eeg/sub-1_task-a_eeg.json",
        "sub-2/ses-x/eeg/sub-2_ses-x_task-a_split-02_desc-y_eeg.fif",
        "sub-1/meg/sub-1_task-a_meg.fif",
        "derivatives/p/sub-1/eeg/sub-1_task-a_eeg.set",
        "sourcedata/sub-9/eeg/sub-9_task-a_eeg.set",
    )
    recordings = select_recordings(tmp_path, {})
    assert {recording.path.as_posix() for recording in recordings} == set(wanted)
    assert [recording.is_epochs for recording in recordings] == [False, True, False, False]
    assert [recording.name for recording in recordings][1] == "sub-1_task-b_desc-clean_epo"
    # The derivatives of the last two would have the same name.
    assert [bool(recording.problem) for recording in recordings] == [False, False, True, True]
    names = [
        recording.path.name
        for recording in select_recordings(tmp_path, dict(sessions=["x"], subjects=2))
    ]
    assert len(names) == 2


def test_names():
    """The description is replaced, the other entities keep their order."""
    recording = BidsRecording(
        Path("/r"), Path("sub-1/eeg/sub-1_ses-2_task-x_run-03_split-01_desc-old_eeg.fif")
    )
    assert recording.rename("restored", "eeg") == "sub-1_ses-2_task-x_run-03_desc-restored_eeg"
    assert recording.rename(None, "eeg") == "sub-1_ses-2_task-x_run-03_eeg"
    assert recording.entities["run"] == "03" and recording.name.endswith("_desc-old_eeg")
    assert BidsRecording(Path("/r"), Path("sub-1/eeg/sub-1_epo.fif.gz")).name == "sub-1_epo"


@settings(deadline=None, max_examples=50)
@given(n_units=st.integers(0, 30), number=st.integers(1, 12))
def test_shards_are_a_partition(n_units, number):
    """Each recording is in one share, and shares differ by one recording at most."""
    recordings = list(range(n_units))
    shares = [take_shard(recordings, f"{k}/{number}") for k in range(1, number + 1)]
    assert sorted(sum(shares, [])) == recordings
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert take_shard(recordings, None) == recordings


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", (1, 2, 3), "1/2/3", (0, 1), "-1/2"])
def test_wrong_shards(shard):
    """Wrong shards are an error with an example."""
    with pytest.raises(ValueError, match="i from 1 to n"):
        take_shard([1, 2], shard)


def test_no_data_set(tmp_path):
    with pytest.raises(ValueError, match="no dataset_description.json"):
        list_recordings(tmp_path)
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    with pytest.raises(ValueError, match="no EEG recording"):
        list_recordings(tmp_path)
