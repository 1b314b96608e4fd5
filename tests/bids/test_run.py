# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Whole data sets: what is written, what is processed again, and errors."""

import json
import os
import shutil
import stat
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest

import mne_gram
from mne_gram import run_bids
from mne_gram._files import read_recording, select_recordings, write_inst
from mne_gram.bids import _restore, _settings

NAMES = ["sub-01_task-rest_run-01", "sub-01_task-rest_run-02", "sub-02_task-rest_run-01"]


def _run(root, **kwargs):
    """Run with the fastest method and without figures."""
    return run_bids(root, **(dict(method="spatial", report=False, verbose="error") | kwargs))


def _get_statuses(report):
    return [row["status"] for row in report.rows]


def _read_tree(folder):
    """Return the content of all files of a folder, by name."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _edit(path, **cells):
    """Change cells of a table, ``column=(row, value)``."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    for column, (row, value) in cells.items():
        table.loc[row, column] = value
    table.to_csv(path, sep="\t", index=False)


@pytest.fixture(scope="module")
def restored(bids_source, tmp_path_factory):
    """Return the report of a run over all recordings, with standard deviations."""
    folder = tmp_path_factory.mktemp("out") / "mne-gram"
    before = _read_tree(bids_source)
    report = _run(bids_source, derivatives=folder, save_std=True)
    assert _read_tree(bids_source) == before
    return report


def test_restores_every_recording(bids_source, restored):
    """Bad channels and segments are those of the sidecars; good samples are unchanged."""
    assert _get_statuses(restored) == ["done"] * 3 and restored.failures == []
    assert [row["recording"].rpartition("/")[2] for row in restored.rows] == [
        f"{name}_eeg.vhdr" for name in NAMES
    ]
    for name, row in zip(NAMES, restored.rows, strict=True):
        path = restored.folder / name[:6] / "eeg" / f"{name}_desc-restored_eeg.vhdr"
        raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error")
        source = bids_source / name[:6] / "eeg" / f"{name}_eeg.vhdr"
        source = mne.io.read_raw_brainvision(source, preload=True, verbose="error")
        changed = np.any(raw.get_data() != source.get_data(), axis=1)
        names = {raw.ch_names[k] for k in np.flatnonzero(changed)}
        assert names == {"CP2", "FT8"} | ({"FC5"} if name == NAMES[0] else set())
        assert {channel["channel"] for channel in row["channels"]} == names
    raw = mne.io.read_raw_brainvision(
        restored.folder / "sub-01" / "eeg" / f"{NAMES[0]}_desc-restored_eeg.vhdr", verbose="error"
    )
    same = np.ptp(np.flatnonzero(_compare(raw, bids_source, "FC5"))) / raw.info["sfreq"]
    assert same == pytest.approx(1.5, abs=0.05)


def _compare(raw, root, channel):
    source = mne.io.read_raw_brainvision(
        root / "sub-01" / "eeg" / f"{NAMES[0]}_eeg.vhdr", verbose="error"
    )
    return (raw.get_data(channel) != source.get_data(channel))[0]


def test_reads_with_mne_bids(restored):
    """MNE-BIDS reads the results, without bad channels and with positions."""
    path = mne_bids.BIDSPath(
        root=restored.folder,
        subject="01",
        task="rest",
        run="01",
        description="restored",
        datatype="eeg",
        suffix="eeg",
        extension=".vhdr",
    )
    raw = mne_bids.read_raw_bids(path, verbose="error")
    assert raw.info["bads"] == [] and raw.info["line_freq"] == 50.0
    assert {"RESTORED", "blink"} == set(raw.annotations.description)
    assert np.isfinite(raw.info["chs"][0]["loc"][:3]).all()


def test_sidecars_tell_what_was_done(restored):
    """The sidecars of channels, events and the recording describe the restoration."""
    stem = restored.folder / "sub-01" / "eeg" / f"{NAMES[0]}_desc-restored"
    channels = pd.read_csv(f"{stem}_channels.tsv", sep="\t", keep_default_na=False).set_index(
        "name"
    )
    assert set(channels["status"]) == {"good"}
    assert channels["restored"][["CP2", "FC5", "FC3"]].tolist() == ["all", "part", "none"]
    assert float(channels["restored_seconds"]["FC5"]) == pytest.approx(1.5)
    assert 0 < float(channels["expected_r"]["CP2"]) < 1
    events = pd.read_csv(f"{stem}_events.tsv", sep="\t", keep_default_na=False)
    rows = events[events["trial_type"] == "RESTORED"].set_index("channel")
    assert set(rows.index) == {"CP2", "FT8", "FC5"}
    assert (rows["onset"]["FC5"], rows["duration"]["FC5"]) == (2.0, 1.5)
    assert events["trial_type"].tolist().count("blink") == 1
    about = json.loads(Path(f"{stem}_eeg.json").read_text(encoding="utf-8"))
    assert about["Sources"] == [f"bids:raw:sub-01/eeg/{NAMES[0]}_eeg.vhdr"]
    assert about["PowerLineFrequency"] == 50.0 and about["TaskName"] == "rest"
    assert [span["channel"] for span in about["Restoration"]["Spans"]] == ["FC5"]
    assert {"EEGReference", "SoftwareFilters", "SamplingFrequency"} <= set(about)


def test_std_of_each_sample(restored):
    """The standard deviation is a recording of the restored channels, 0 for good samples."""
    path = restored.folder / "sub-01" / "eeg" / f"{NAMES[0]}_desc-std_eeg.vhdr"
    raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error")
    assert set(raw.ch_names) == {"CP2", "FT8", "FC5"}
    assert raw.get_data("CP2").min() > 1e-7
    part = raw.get_data("FC5")[0] > 0
    assert part.mean() == pytest.approx(1.5 / 6, abs=0.02)
    assert 1e-7 < raw.get_data("FC5")[0, part].mean() < 1e-4


def test_description(bids_source, restored):
    """The description has the version, the weights and the source."""
    about = json.loads((restored.folder / "dataset_description.json").read_text(encoding="utf-8"))
    (entry,) = about["GeneratedBy"]
    assert (entry["Name"], entry["Version"]) == ("mne_gram", mne_gram.__version__)
    (weights,) = entry["Weights"]
    assert weights["Name"] == "prior" and len(weights["SHA256"]) == 64
    assert about["DatasetType"] == "derivative"
    assert about["SourceDatasets"][0]["URL"] == bids_source.as_uri()
    table = restored.to_data_frame()
    assert table["n_restored"].tolist() == [3, 2, 2] and table["n_bads"].tolist() == [2, 2, 2]
    assert str(restored).splitlines()[-2] == restored.summary == "3 recordings: 3 done."
    assert "3 done" in repr(restored)
    log = restored.log.read_text(encoding="utf-8")
    assert all(name in log for name in NAMES)


def test_done_is_skipped(bids_copy):
    """A second run changes no file."""
    folder = bids_copy / "derivatives" / "mne-gram"
    assert _get_statuses(_run(bids_copy)) == ["done"] * 3
    before = {name: text for name, text in _read_tree(folder).items() if not name.endswith(".log")}
    second = _run(bids_copy)
    assert _get_statuses(second) == ["skipped"] * 3
    after = {name: text for name, text in _read_tree(folder).items() if not name.endswith(".log")}
    assert after == before
    assert second.to_data_frame()["n_restored"].tolist() == [3, 2, 2]
    assert _get_statuses(_run(bids_copy, overwrite=True, runs=2)) == ["done"]


def test_what_differs_is_done_again(bids_copy, monkeypatch):
    """A recording is processed again if version, parameters, weights, input or output changed."""
    one = dict(subjects="02")
    _run(bids_copy, **one)
    path = bids_copy / "sub-02" / "eeg" / f"{NAMES[2]}_channels.tsv"
    _edit(path, status=(3, "bad"))
    (row,) = _run(bids_copy, **one).rows
    assert (row["status"], row["why"]) == ("done", "the input changed")
    assert len(row["channels"]) == 3
    (row,) = _run(bids_copy, **one, save_std=True).rows
    assert (row["status"], row["why"]) == ("done", "the parameters changed")
    output = bids_copy / "derivatives/mne-gram/sub-02/eeg" / f"{NAMES[2]}_desc-restored_eeg.eeg"
    output.write_bytes(output.read_bytes()[:-4])
    (row,) = _run(bids_copy, **one, save_std=True).rows
    assert row["status"] == "done" and row["why"].endswith("is missing or was changed")
    monkeypatch.setattr(mne_gram.bids._library, "file_hash", lambda path: "0" * 64)
    (row,) = _run(bids_copy, **one, save_std=True).rows
    assert (row["status"], row["why"]) == ("done", "the weights changed")
    monkeypatch.setattr(mne_gram.bids._process, "__version__", "99")
    (row,) = _run(bids_copy, **one, save_std=True).rows
    assert (row["status"], row["why"]) == ("done", "the version of mne_gram changed")
    # Outputs that are not requested any more are removed.
    (row,) = _run(bids_copy, **one).rows
    assert not list(output.parent.glob("*desc-std*"))


def test_touched_is_not_changed(bids_copy):
    """A recording is not processed again if only modification times changed."""
    _run(bids_copy, subjects="02")
    for path in (bids_copy / "sub-02").rglob("*.eeg"):
        os.utime(path, (1, 1))
    assert _get_statuses(_run(bids_copy, subjects="02")) == ["skipped"]


def test_broken_recording_is_tabulated(bids_copy):
    """A recording with an unreadable header fails alone, and is tried again by the next run."""
    header = bids_copy / "sub-01" / "eeg" / f"{NAMES[1]}_eeg.vhdr"
    text = header.read_text(encoding="utf-8")
    header.write_text(text[:60], encoding="utf-8")
    report = _run(bids_copy)
    assert _get_statuses(report) == ["done", "failed", "done"]
    (row,) = report.failures
    assert "cannot be read" in row["why"] and "\n" not in row["why"]
    assert "Traceback" in report.log.read_text(encoding="utf-8")
    out = bids_copy / "derivatives" / "mne-gram" / "sub-01" / "eeg"
    assert not list(out.glob("*run-02*"))
    with pytest.raises(RuntimeError, match="run-02.*failed"):
        _run(bids_copy, on_error="raise")
    header.write_text(text, encoding="utf-8")
    assert _get_statuses(_run(bids_copy)) == ["skipped", "done", "skipped"]


def test_failure_keeps_older_results(bids_copy):
    """Older results are kept if processing again fails, and replaced when it succeeds."""
    _run(bids_copy, subjects="02")
    output = bids_copy / "derivatives/mne-gram/sub-02/eeg" / f"{NAMES[2]}_desc-restored_eeg.vhdr"
    table = bids_copy / "sub-02" / "eeg" / f"{NAMES[2]}_channels.tsv"
    before, text = output.read_bytes(), table.read_text(encoding="utf-8")
    table.write_text("name\ttype\nX1\tEEG\n", encoding="utf-8")
    (row,) = _run(bids_copy, subjects="02").rows
    assert row["status"] == "failed" and "X1" in row["why"]
    assert output.read_bytes() == before
    table.write_text(text, encoding="utf-8")
    assert _get_statuses(_run(bids_copy, subjects="02")) == ["done"]


def test_filters(bids_source, tmp_path):
    """Labels are accepted with and without their entity, runs as numbers too."""

    def find(**kwargs):
        rows = _run(bids_source, derivatives=tmp_path / "out", dry_run=True, **kwargs).rows
        return [row["recording"].rpartition("/")[2].removesuffix("_eeg.vhdr") for row in rows]

    assert find() == NAMES
    assert find(subjects="sub-02") == find(subjects=["02"]) == NAMES[2:]
    assert find(runs=1) == find(runs=["01"], tasks="rest") == [NAMES[0], NAMES[2]]
    assert find(shard="1/2") == [NAMES[0], NAMES[2]] and find(shard=(2, 2)) == [NAMES[1]]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "kwargs, match",
    [
        (dict(subjects="09"), "sub-09.*01, 02"),
        (dict(sessions="1"), "ses-1.*in the data set: none"),
        (dict(tasks=["rest", "sleep"]), "task-sleep.*rest"),
        (dict(runs=3), "run-3.*01, 02"),
        (dict(shard="0/2"), "i from 1 to n"),
        (dict(shard="3/2"), "i from 1 to n"),
        (dict(shard="half"), "i from 1 to n"),
        (dict(job="train"), "job"),
        (dict(method="magic"), "method"),
        (dict(n_jobs=0), "n_jobs"),
        (dict(method="spline", output="sample"), "posterior"),
        (dict(format="GDF"), "format"),
        (dict(on_error="ignore"), "on_error"),
        (dict(line_freq=-50), "line_freq must be a positive"),
        (dict(job="embed", window=0.5), "window must be a whole number"),
        (dict(job="embed", overlap=-1), "overlap must be"),
        (dict(output="sample", random_state=-1), "random_state must be at least 0"),
    ],
)
def test_wrong_arguments(bids_source, tmp_path, kwargs, match):
    """Wrong arguments are errors before anything is written."""
    with pytest.raises(ValueError, match=match):
        _run(bids_source, derivatives=tmp_path / "out", **kwargs)
    assert not (tmp_path / "out").exists()


def test_no_data_set(bids_copy, tmp_path):
    """Folders that are not a data set, or have no EEG, are errors."""
    with pytest.raises(ValueError, match="no such folder"):
        _run(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no dataset_description.json"):
        _run(bids_copy / "sub-01")
    for folder in bids_copy.glob("sub-*"):
        shutil.rmtree(folder)
    with pytest.raises(ValueError, match="Found no EEG"):
        _run(bids_copy)


def test_around_the_data_set(bids_copy):
    """An output folder that contains the data set is an error too."""
    with pytest.raises(ValueError, match="overlaps with the data set itself"):
        _run(bids_copy, derivatives=bids_copy.parent)


def test_folder_of_others(bids_copy, tmp_path):
    """Results are not mixed with the data set, those of another pipeline, or other files."""
    for place in (bids_copy, bids_copy / "sub-01"):
        with pytest.raises(ValueError, match="overlaps with the data set itself"):
            _run(bids_copy, derivatives=place)
    other = bids_copy / "derivatives" / "pipeline"
    other.mkdir(parents=True)
    about = dict(Name="x", BIDSVersion="1.8.0", GeneratedBy=[dict(Name="fmriprep")])
    (other / "dataset_description.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(ValueError, match="written by fmriprep"):
        _run(bids_copy, derivatives=other)
    with pytest.raises(ValueError, match="overlaps with the data set itself"):
        _run(bids_copy, derivatives=bids_copy / "derivatives")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(ValueError, match="other files.*notes.txt"):
        _run(bids_copy, derivatives=tmp_path / "full")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(FileExistsError, match="is a file"):
        _run(bids_copy, derivatives=file)
    (other / "dataset_description.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is not valid JSON"):
        _run(bids_copy, derivatives=other)


def test_foreign_file_in_the_way(bids_copy):
    """A file that no run has written is not replaced without overwrite."""
    output = bids_copy / "derivatives/mne-gram/sub-02/eeg" / f"{NAMES[2]}_desc-restored_eeg.vhdr"
    _run(bids_copy, subjects="01")
    output.parent.mkdir(parents=True)
    output.write_text("precious", encoding="utf-8")
    (row,) = _run(bids_copy, subjects="02").rows
    assert row["status"] == "failed" and "already exists" in row["why"]
    assert output.read_text(encoding="utf-8") == "precious"
    assert _get_statuses(_run(bids_copy, subjects="02", overwrite=True)) == ["done"]


def test_two_recordings_of_one_name(bids_copy):
    """Recordings with the same name fail; the others are done."""
    stem = bids_copy / "sub-02" / "eeg" / NAMES[2]
    raw = mne.io.read_raw_brainvision(f"{stem}_eeg.vhdr", preload=True, verbose="error")
    mne.export.export_raw(f"{stem}_eeg.edf", raw, verbose="error")
    report = _run(bids_copy)
    assert _get_statuses(report) == ["done", "done", "failed", "failed"]
    for row in report.failures:
        assert "2 recordings have the same name" in row["why"]
        assert "_eeg.edf" in row["why"] and "_eeg.vhdr" in row["why"]


def test_another_montage(bids_copy):
    """A recording with other channels than the rest is processed, or fails alone."""
    stem = bids_copy / "sub-02" / "eeg" / NAMES[2]
    raw = mne.io.read_raw_brainvision(f"{stem}_eeg.vhdr", preload=True, verbose="error")
    kept = ["CP2", "Fz", "Cz", "Pz", "C3", "C4", "P3", "P4"]
    raw = raw.pick(kept)
    path = mne_bids.BIDSPath(root=bids_copy, subject="02", task="rest", run="01", datatype="eeg")
    raw.info["bads"] = ["CP2"]
    mne_bids.write_raw_bids(
        raw, path, allow_preload=True, format="BrainVision", overwrite=True, verbose="error"
    )
    report = _run(bids_copy, derivatives=bids_copy.parent / "small")
    assert _get_statuses(report) == ["done"] * 3
    assert [c["channel"] for c in report.rows[2]["channels"]] == ["CP2"]
    # channels.tsv of another montage contradicts the file.
    shutil.copy(bids_copy / "sub-01" / "eeg" / f"{NAMES[0]}_channels.tsv", f"{stem}_channels.tsv")
    (row,) = _run(bids_copy, derivatives=bids_copy.parent / "small", subjects="02").rows
    assert row["status"] == "failed" and "does not have" in row["why"]


def test_unknown_channel_in_events(bids_copy):
    """A bad segment of a missing channel is an error, not a segment of all channels."""
    table = bids_copy / "sub-01" / "eeg" / f"{NAMES[0]}_events.tsv"
    _edit(table, channel=(1, "FC55"))
    report = _run(bids_copy, subjects="01")
    assert _get_statuses(report) == ["failed", "done"]
    assert "'FC55'" in report.failures[0]["why"]
    _edit(table, channel=(1, "FC5,FC3"))
    row = _run(bids_copy, subjects="01").rows[0]
    assert {"FC5", "FC3"} <= {channel["channel"] for channel in row["channels"]}


def test_no_space_left(bids_copy, monkeypatch):
    """If the disk is full, each recording fails and leaves no partial files."""
    usage = shutil.disk_usage(bids_copy)
    monkeypatch.setattr(_restore, "disk_usage", lambda path: usage._replace(free=1000))
    report = _run(bids_copy, subjects="02")
    assert _get_statuses(report) == ["failed"]
    assert "No space left" in report.rows[0]["why"]

    def fill(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.undo()
    monkeypatch.setattr(_restore, "write_inst", fill)
    assert _get_statuses(_run(bids_copy)) == ["failed"] * 3
    out = bids_copy / "derivatives" / "mne-gram"
    assert not list(out.glob("sub-*/eeg/*desc-*")) and not list(out.glob(".mne_gram/staging/*"))
    monkeypatch.undo()
    assert _get_statuses(_run(bids_copy)) == ["done"] * 3


def test_no_write_permission(bids_copy, monkeypatch):
    """Missing permission to write is an error before any computation, with what to do."""
    mkdir = Path.mkdir

    def refuse(self, *args, **kwargs):
        if "derivatives" in self.parts:
            raise PermissionError(13, "Permission denied")
        mkdir(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match="cannot be written to.*derivatives="):
        _run(bids_copy)


def test_read_only_source(bids_copy, tmp_path):
    """A data set on a read-only mount can be processed to another folder."""
    paths = [bids_copy, *bids_copy.rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    before = {path: path.stat().st_mtime_ns for path in paths}
    for path in paths[::-1]:
        path.chmod(modes[path] & ~0o222)
    try:
        report = _run(bids_copy, derivatives=tmp_path / "elsewhere" / "mne-gram")
        assert _get_statuses(report) == ["done"] * 3
        assert {path: path.stat().st_mtime_ns for path in paths} == before
        assert sorted([bids_copy, *bids_copy.rglob("*")]) == sorted(paths)
    finally:
        for path in paths:
            path.chmod(modes[path])


def test_edf(bids_source, tmp_path):
    """Restored recordings can be EDF."""
    report = _run(bids_source, derivatives=tmp_path / "out", format="EDF", subjects="02")
    path = tmp_path / "out" / "sub-02" / "eeg" / f"{NAMES[2]}_desc-restored_eeg.edf"
    assert _get_statuses(report) == ["done"] and mne.io.read_raw_edf(path, verbose="error")
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert "16 bits" in about["Restoration"]["Precision"]


def test_exclude(bids_source, tmp_path):
    """Excluded channels stay bad; one that a recording lacks is reported; a new list is new."""
    options = dict(derivatives=tmp_path / "out", subjects="02")
    (row,) = _run(bids_source, exclude=["CP2", "X9"], **options).rows
    assert [channel["channel"] for channel in row["channels"]] == ["FT8"]
    assert [note for note in row["notes"] if "no channel X9" in note] == row["notes"]
    path = tmp_path / "out" / "sub-02" / "eeg" / f"{NAMES[2]}_desc-restored_channels.tsv"
    table = pd.read_csv(path, sep="\t").set_index("name")
    assert table.loc["CP2", ["status", "restored"]].tolist() == ["bad", "none"]
    assert _get_statuses(_run(bids_source, exclude=("X9", "CP2"), **options)) == ["skipped"]
    (row,) = _run(bids_source, **options).rows
    assert (row["status"], row["why"]) == ("done", "the parameters changed")
    assert {channel["channel"] for channel in row["channels"]} == {"CP2", "FT8"}


def test_draws_have_seeds_of_their_own(bids_source, tmp_path):
    """The same seed gives the same draw, and two recordings get different noise."""

    def draw(name):
        folder = tmp_path / name
        _run(bids_source, derivatives=folder, output="sample", random_state=3, save_std=True)
        paths = sorted(folder.rglob("*desc-restored_eeg.eeg"))
        return [path.read_bytes() for path in paths]

    first = draw("a")
    assert first == draw("b")
    settings = _settings.Settings(folder=tmp_path, job="restore", random_state=3)
    recordings = select_recordings(bids_source, {})
    assert len({_restore.find_seed(recording, settings) for recording in recordings}) == 3


def test_epochs(bids_copy):
    """Epochs of a derivative data set are restored to epochs."""
    stem = bids_copy / "sub-02" / "eeg" / NAMES[2]
    raw = mne.io.read_raw_brainvision(f"{stem}_eeg.vhdr", preload=True, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 1.0, preload=True, verbose="error")
    epochs.info["bads"] = ["CP2"]
    epochs.save(f"{stem}_desc-clean_epo.fif", verbose="error")
    report = _run(bids_copy, subjects="02", save_std=True)
    assert _get_statuses(report) == ["done", "done"]
    out = bids_copy / "derivatives" / "mne-gram" / "sub-02" / "eeg"
    restored = mne.read_epochs(out / f"{NAMES[2]}_desc-restored_epo.fif", verbose="error")
    assert restored.info["bads"] == [] and len(restored) == len(epochs)
    epochs = mne.read_epochs(f"{stem}_desc-clean_epo.fif", verbose="error")
    good = [name for name in epochs.ch_names if name != "CP2"]
    np.testing.assert_array_equal(restored.get_data(good), epochs.get_data(good))
    std = mne.read_epochs(out / f"{NAMES[2]}_desc-std_epo.fif", verbose="error")
    assert std.ch_names == ["CP2"] and std.get_data().min() > 0
    about = json.loads((out / f"{NAMES[2]}_desc-restored_epo.json").read_text(encoding="utf-8"))
    assert about["Sources"] == [f"bids:raw:sub-02/eeg/{NAMES[2]}_desc-clean_epo.fif"]


def test_find_bads(bids_copy):
    """Detected bad channels and segments are restored too, with reasons in the sidecar."""
    stem = bids_copy / "sub-02" / "eeg" / NAMES[2]
    raw = mne.io.read_raw_brainvision(f"{stem}_eeg.vhdr", preload=True, verbose="error")
    raw._data[raw.ch_names.index("Cz")] = 0.0
    write_inst(raw, Path(f"{stem}_eeg.vhdr"), overwrite=True)
    (row,) = _run(bids_copy, subjects="02").rows
    assert "Cz" not in [channel["channel"] for channel in row["channels"]]
    (row,) = _run(bids_copy, subjects="02", find_bads=True).rows
    assert "Cz" in [channel["channel"] for channel in row["channels"]]
    assert row["found"]["channels"]["Cz"] == "flat"


def test_plan(bids_copy):
    """A dry run reports durations, bad channels and an estimate, and writes nothing."""
    (bids_copy / "sub-01" / "eeg" / f"{NAMES[1]}_eeg.vhdr").write_text("x", encoding="utf-8")
    before = _read_tree(bids_copy)
    plan = _run(bids_copy, dry_run=True)
    assert _read_tree(bids_copy) == before and plan.log is None
    assert _get_statuses(plan) == ["planned", "failed", "planned"]
    first = plan.rows[0]
    assert first["duration"] == pytest.approx(6.0) and first["n_spans"] == 1
    assert first["bads"] == ["CP2", "FT8"] and first["estimate"] > 0
    assert "CP2, FT8" in str(plan) and "1 failed" in plan.summary
    assert plan.to_data_frame()["estimate"].iloc[0] == first["estimate"]
    _run(bids_copy)
    again = _run(bids_copy, dry_run=True)
    assert _get_statuses(again) == ["skipped", "failed", "skipped"]
    # The journal now has the run time.
    again = _run(bids_copy, dry_run=True, overwrite=True)
    took = _run(bids_copy).rows
    took = [row["compute_seconds"] for row in took if row["status"] == "skipped"]
    assert sum(row["estimate"] for row in again.rows) == pytest.approx(sum(took))


@pytest.mark.parametrize("job, kind", [("embed", "embedding"), ("tokens", "tokens")])
def test_encoders(bids_source, tmp_path, job, kind):
    """Embeddings and tokens are those of the functions, and their sidecars describe the source."""
    folder = tmp_path / "out"
    report = _run(bids_source, derivatives=folder, job=job, subjects="02")
    assert _get_statuses(report) == ["done"]
    path = folder / "sub-02" / "eeg" / f"{NAMES[2]}_desc-gram_{kind}.npz"
    read = dict(embed=mne_gram.read_embedding, tokens=mne_gram.read_tokens)[job]
    compute = dict(embed=mne_gram.compute_embedding, tokens=mne_gram.compute_tokens)[job]
    made = read(path)
    recording = select_recordings(bids_source, dict(subjects="02"))[0]
    raw = read_recording(recording)
    np.testing.assert_array_equal(made.data, compute(raw, verbose="error").data)
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["Weights"] == {"gram-tiny": made.sha256}
    assert about["Bads"] == ["CP2", "FT8"] and about["Shape"] == list(made.data.shape)
    entry = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
    assert entry["GeneratedBy"][0]["Weights"][0]["SHA256"] == made.sha256
    assert _get_statuses(_run(bids_source, derivatives=folder, job=job)) == [
        *("done", "done"),
        "skipped",
    ]
