# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings are read with their sidecars, by the inheritance principle."""

import json
import shutil

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest

from mne_gram._files._bids_recording import list_input_files, read_recording
from mne_gram._files._bids_sidecars import find_sidecars, read_json
from mne_gram._files._find import select_recordings

STEM = "sub-01_task-rest_run-01"


@pytest.fixture
def recording(bids_copy):
    """Return the first recording."""
    return select_recordings(bids_copy, {})[0]


def _edit(recording, suffix, change):
    """Change the table of a recording."""
    path = recording.file.with_name(f"{STEM}_{suffix}.tsv")
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    change(table).to_csv(path, sep="\t", index=False)


def test_same_as_mne_bids(recording):
    """Channel types, bad channels, positions, power line and events are those of MNE-BIDS."""
    path = mne_bids.get_bids_path_from_fname(recording.file)
    theirs = mne_bids.read_raw_bids(path, verbose="error")
    ours = read_recording(recording)
    assert ours.ch_names == theirs.ch_names
    assert ours.get_channel_types() == theirs.get_channel_types()
    assert ours.info["bads"] == theirs.info["bads"] == ["CP2", "FT8"]
    assert ours.info["line_freq"] == theirs.info["line_freq"] == 50.0
    assert ours.info["meas_date"] == theirs.info["meas_date"] is not None
    for one, other in zip(ours.info["chs"], theirs.info["chs"], strict=True):
        np.testing.assert_allclose(one["loc"][:3], other["loc"][:3], atol=1e-6)
    assert list(ours.annotations.description) == list(theirs.annotations.description)
    np.testing.assert_allclose(ours.annotations.onset, theirs.annotations.onset)
    assert ours.annotations.ch_names[1] == ("FC5",)


def test_reads_real_recordings(shared):
    """The same with real recordings in EDF."""
    recording = select_recordings(shared / "eeg" / "eegmmi", dict(subjects="001", runs=4))[0]
    raw = read_recording(recording)
    assert set(raw.annotations.description) == {"T0", "T1", "T2"}
    assert raw.info["line_freq"] == 60.0 and raw.get_channel_types(unique=True) == ["eeg"]


def test_types(recording):
    """Channel types are those of the table."""
    _edit(recording, "channels", lambda t: t.assign(type=["VEOG", "TRIG", "ODD", *t["type"][3:]]))
    assert read_recording(recording).get_channel_types()[:4] == ["eog", "stim", "misc", "eeg"]


def test_table_in_another_order(recording):
    """Channels are matched by name."""
    _edit(recording, "channels", lambda t: t.iloc[::-1])
    raw = read_recording(recording)
    assert raw.ch_names[0] == "FC5" and set(raw.info["bads"]) == {"CP2", "FT8"}


def test_table_that_lacks_channels(recording):
    """Channels that are missing in the table are a warning."""
    _edit(recording, "channels", lambda t: t.iloc[1:])
    with pytest.warns(RuntimeWarning, match="does not list FC5"):
        raw = read_recording(recording)
    assert "FC5" in raw.ch_names


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda t: t.rename(columns={"name": "label"}), "no column 'name'"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "repeats a name"),
        (lambda t: t.assign(name=["X9", *t["name"][1:]]), "lists X9"),
    ],
)
def test_contradictions(recording, change, match):
    """A table that contradicts the file is an error that names the channels."""
    _edit(recording, "channels", change)
    with pytest.raises(ValueError, match=match):
        read_recording(recording)


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda t: t.drop(columns="onset"), "no column 'onset'"),
        (lambda t: t.assign(duration="long"), "column 'duration'"),
    ],
)
def test_broken_events(recording, change, match):
    """An invalid table of events is an error too."""
    _edit(recording, "events", change)
    with pytest.raises(ValueError, match=match):
        read_recording(recording)


def test_events_without_numbers(recording):
    """An event without onset is dropped; one without duration has duration 0."""
    _edit(recording, "events", lambda t: t.assign(onset=["n/a", "1.0"], duration=["0", "n/a"]))
    annotations = read_recording(recording).annotations
    assert list(annotations.description) == ["BAD_jump"] and annotations.duration[0] == 0


def test_inheritance(recording):
    """Sidecars are inherited, the most specific wins, those of other recordings do not apply."""
    root = recording.root
    own = recording.file.with_suffix(".json")
    own.write_text(json.dumps(dict(EEGReference="Cz")), encoding="utf-8")
    (root / "task-rest_eeg.json").write_text(
        json.dumps(dict(EEGReference="A1", PowerLineFrequency=60)), encoding="utf-8"
    )
    (root / "task-other_eeg.json").write_text(json.dumps(dict(EEGGround="x")), encoding="utf-8")
    assert read_json(recording, "eeg") == dict(EEGReference="Cz", PowerLineFrequency=60)
    assert [path.name for path in find_sidecars(recording, "eeg", ".json")] == [
        *("task-rest_eeg.json", own.name)
    ]
    table = recording.file.with_name(f"{STEM}_channels.tsv")
    shutil.move(table, root / "task-rest_channels.tsv")
    assert read_recording(recording).info["bads"] == ["CP2", "FT8"]


def test_input_files(recording):
    """All files of a recording are its input."""
    names = {path.name for path in list_input_files(recording)}
    assert {f"{STEM}_eeg{extension}" for extension in (".vhdr", ".vmrk", ".eeg", ".json")} <= names
    assert {f"{STEM}_channels.tsv", f"{STEM}_events.tsv"} <= names
    assert "sub-01_space-CapTrak_electrodes.tsv" in names
    assert not any("run-02" in name for name in names)


def test_marks_of_the_file_stay(recording):
    """Bad segments and boundaries of the file itself are kept beside the events."""
    with recording.file.with_suffix(".vmrk").open("a", encoding="utf-8") as file:
        file.write("Mk9=Comment,tap,161,1,0\nMk10=Comment,BAD_pop,321,160,3\n")
        file.write("Mk11=Comment,BAD_jump,321,240,0\n")
    annotations = read_recording(recording).annotations
    found = dict(zip(annotations.description, annotations.ch_names, strict=True))
    assert found == {"blink": (), "BAD_jump": ("FC5",), "BAD_pop": ("FC1",)}


def test_positions_without_landmarks(recording):
    """Positions in an unknown frame are ignored with a warning."""
    path = recording.file.with_name("sub-01_space-CapTrak_coordsystem.json")
    frame = json.loads(path.read_text(encoding="utf-8"))
    frame.update(EEGCoordinateSystem="Other", AnatomicalLandmarkCoordinates={})
    path.write_text(json.dumps(frame), encoding="utf-8")
    with pytest.warns(RuntimeWarning, match="positions in electrodes.tsv are not used"):
        raw = read_recording(recording)
    assert raw.get_montage() is None
    frame.update(EEGCoordinateSystem="CapTrak", EEGCoordinateUnits="mm")
    path.write_text(json.dumps(frame), encoding="utf-8")
    raw = read_recording(recording)
    places = raw.get_montage().get_positions()["ch_pos"]
    assert 0.05e-3 < np.linalg.norm(places["Cz"]) < 0.2e-3  # metres that are said to be mm
    assert isinstance(raw, mne.io.BaseRaw)


@pytest.mark.parametrize(
    ("columns", "texts"),
    [
        (dict(trial_type=["go", "go", "stop"], value=["1", "2", "3"]), ["go/1", "go/2", "stop"]),
        (dict(trial_type=["go", "go", "stop"], value=["1", "n/a", "3"]), ["go/1", "go/na", "stop"]),
        (dict(trial_type=["n/a", "n/a", "n/a"], value=["1", "2", "n/a"]), ["1", "2"]),
        (dict(trial_type=["go", "n/a", "go"], value=["1", "2", "1"]), ["go", "go"]),
        (dict(value=["5", "n/a", "6"]), ["5", "6"]),
        (dict(), ["n/a", "n/a", "n/a"]),
    ],
)
def test_names_of_events(recording, columns, texts):
    """A type with several values is several events; rows without a type are dropped."""
    table = pd.DataFrame(dict(onset=["0.5", "1.0", "2.0"], duration="0", **columns))
    table.to_csv(recording.file.with_name(f"{STEM}_events.tsv"), sep="\t", index=False)
    found = list(read_recording(recording).annotations.description)
    path = mne_bids.get_bids_path_from_fname(recording.file)
    theirs = mne_bids.read_raw_bids(path, verbose="error").annotations.description
    assert found == list(theirs) == texts


def test_bad_spans_keep_their_names(recording):
    """The descriptions of bad segments are unchanged, whatever their values."""
    table = pd.DataFrame(
        dict(onset=["0.5", "1.0"], duration="1", trial_type="BAD_jump", value=["1", "2"])
    )
    table.to_csv(recording.file.with_name(f"{STEM}_events.tsv"), sep="\t", index=False)
    assert list(read_recording(recording).annotations.description) == ["BAD_jump", "BAD_jump"]


@pytest.mark.parametrize(
    "time, year",
    [("2020-09-13T12:26:40.5Z", 2020), ("1925-01-01T00:00:00", 1925), ("n/a", None), ("x", None)],
)
def test_date_of_scans(recording, time, year):
    """The date of ``scans.tsv`` is taken, as BrainVision files of MNE-BIDS have none."""
    (scans,) = recording.root.glob("sub-01/*_scans.tsv")
    names = [f"eeg/{recording.path.name}", "eeg/sub-01_task-rest_run-02_eeg.vhdr"]
    table = f"filename\tacq_time\n{names[0]}\t{time}\n{names[1]}\t2001-01-01T00:00:00\n"
    scans.write_text(table, encoding="utf-8")
    raw = read_recording(recording)
    date = raw.info["meas_date"]
    assert (date and date.year) == year
    onsets = dict(zip(raw.annotations.description, raw.annotations.onset, strict=True))
    assert onsets == {"blink": 1.0, "BAD_jump": 2.0}
    scans.write_text("filename\n", encoding="utf-8")
    assert read_recording(recording).info["meas_date"] is None
