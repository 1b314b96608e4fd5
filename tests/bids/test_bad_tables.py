# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bad channels and segments in the tables of a data set: these change, and nothing else does."""

import errno
import json
import os
import shutil
import subprocess

import mne
import mne_bids
import numpy as np
import pytest

import mne_gram
from mne_gram._files import TsvText, read_recording, select_recordings, write_inst
from mne_gram.bids import _find_bads, find_bads_in, select_for_marks
from mne_gram.detection import BadsReport
from mne_gram.detection._report import Span

VALIDATOR = shutil.which("bids-validator-deno")
STEM = "sub-01/eeg/sub-01_task-rest_run-01"
SPANS = [Span("O1", 0.5, 1.25, "misfit", 9.0), Span("Pz", 3.0, 3.5, "flat")]


@pytest.fixture
def recording(bids_copy):
    """Return the first recording, with CP2 and FT8 bad and FC5 from 2 to 3.5 s."""
    return select_recordings(bids_copy, {})[0]


@pytest.fixture(autouse=True)
def find(monkeypatch):
    """Let two channels, one of them marked already, and two segments be found; return the call."""

    def find_bads(inst, spans=SPANS, **options):
        picks = mne.pick_types(inst.info, eeg=True, exclude=())
        reasons = {"CP2": "misfit", "Cz": "flat"}
        return BadsReport(inst, picks, reasons, spans, {}, [])

    monkeypatch.setattr(_find_bads, "find_bads", find_bads)
    return find_bads


def _read_tree(root):
    """Return the content of all files by name, backups left out."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    return {name: files[name] for name in files if not name.startswith("sourcedata/")}


def _mark(recording, **options):
    """Mark one recording; return its row."""
    (row,) = find_bads_in([recording], write=True, **options)
    return row


def test_marks(recording):
    """New findings are marked and read again; all other lines keep their bytes, backups too."""
    before = _read_tree(recording.root)
    row = _mark(recording)
    names = [f"{STEM}_channels.tsv", f"{STEM}_events.tsv"]
    assert row["status"] == "new" and row["files"] == names
    assert list(row["table"]["marked"]) == ["new", "already", "new", "new"]
    after = _read_tree(recording.root)
    assert {name for name in after if after[name] != before.get(name)} == set(names)
    old, new = (tree[names[0]].split(b"\n") for tree in (before, after))
    (changed,) = [k for k, line in enumerate(new) if line != old[k]]
    assert new[changed] == old[changed].replace(
        b"good\tn/a", b"bad\tflat (mne_gram find-bads)"
    ) and new[changed].startswith(b"Cz\t")
    lines = after[names[1]].decode().splitlines()
    assert lines[1] == "0.5\t0.75\tBAD_gram_misfit\tO1"
    assert [line for line in lines if "BAD_gram" not in line] == before[
        names[1]
    ].decode().splitlines()
    for name in names:
        assert (recording.root / row["backup"] / name).read_bytes() == before[name]
    raw = read_recording(recording)
    assert set(raw.info["bads"]) == {"CP2", "FT8", "Cz"}
    marks = zip(raw.annotations.description, raw.annotations.ch_names, strict=True)
    assert ("BAD_gram_flat", ("Pz",)) in list(marks)
    theirs = mne_bids.get_bids_path_from_fname(recording.file)
    theirs = mne_bids.read_raw_bids(theirs, verbose="error")
    assert set(theirs.info["bads"]) == set(raw.info["bads"])
    np.testing.assert_allclose(theirs.annotations.onset, raw.annotations.onset)


def test_again(recording):
    """What is marked is not marked again."""
    _mark(recording)
    before = _read_tree(recording.root)
    row = _mark(recording)
    assert row["status"] == "unchanged" and row["files"] == [] and row["backup"] is None
    assert _read_tree(recording.root) == before


def test_finds_the_same_again(recording, find, monkeypatch):
    """What was marked by an earlier call is judged again, and what others have marked is not."""
    seen = []

    def find_bads(inst, **options):
        seen.append((inst.info["bads"], list(inst.annotations.description)))
        return find(inst)

    monkeypatch.setattr(_find_bads, "find_bads", find_bads)
    assert _mark(recording)["status"] == "new"
    assert "Cz" in read_recording(recording).info["bads"]
    row = _mark(recording)
    assert row["status"] == "unchanged" and set(row["table"]["marked"]) == {"already"}
    assert seen[0] == seen[1] == (["CP2", "FT8"], ["blink", "BAD_jump"])


def test_real_findings_are_the_same_again(bids_copy, monkeypatch):
    """A second call changes nothing where a misfit has been marked."""
    monkeypatch.setattr(_find_bads, "find_bads", mne_gram.find_bads)
    (recording,) = select_recordings(bids_copy, dict(subjects="02"))
    raw = read_recording(recording).load_data()
    rng = np.random.default_rng(0)
    for name, start in (("O1", 200), ("T7", 500)):
        raw._data[raw.ch_names.index(name), start : start + 200] += rng.normal(0, 3e-4, 200)
    write_inst(raw, recording.file, overwrite=True)
    row = _mark(recording, span_threshold=3.0)
    assert len(row["found"].spans) and "new" in set(row["table"]["marked"])
    again = _mark(recording, span_threshold=3.0)
    assert again["status"] == "unchanged"
    assert again["found"].spans == row["found"].spans


def test_shown_before_written(recording):
    """The row with the table is shown before any file changes."""
    before, seen = _read_tree(recording.root), []

    def show(row):
        seen.append((list(row["table"]["channel"]), row["files"]))
        assert _read_tree(recording.root) == before

    row = _mark(recording, show=show)
    assert row["status"] == "new" and _read_tree(recording.root) != before
    assert seen == [(["Cz", "CP2", "O1", "Pz"], row["files"])]


def test_without_write(recording):
    """Without ``write``, the files are listed and nothing is changed."""
    before = _read_tree(recording.root)
    (row,) = find_bads_in([recording])
    assert len(row["files"]) == 2 and row["backup"] is None
    assert _read_tree(recording.root) == before and not (recording.root / "sourcedata").exists()


def test_new_tables(recording):
    """Where there are no tables, they are made, and other recordings do not get them."""
    for suffix in ("channels", "events"):
        (recording.root / f"{STEM}_{suffix}.tsv").unlink()
    row = _mark(recording)
    assert row["backup"] is None and len(row["files"]) == 2
    raw = read_recording(recording)
    assert set(raw.info["bads"]) == {"CP2", "Cz"} and len(raw.annotations) == 2
    header, first, *_ = (recording.root / f"{STEM}_channels.tsv").read_text().splitlines()
    assert header == "name\ttype\tunits\tstatus\tstatus_description"
    assert first.startswith("FC5\tEEG\tµV\tgood")


def test_shared_tables(recording):
    """A table that several recordings share is copied, and unchanged itself."""
    own = recording.root / f"{STEM}_channels.tsv"
    shared = own.with_name("sub-01_task-rest_channels.tsv")
    own.rename(shared)
    content = shared.read_bytes()
    row = _mark(recording)
    assert row["files"][0] == f"{STEM}_channels.tsv" and shared.read_bytes() == content
    assert set(read_recording(recording).info["bads"]) == {"CP2", "FT8", "Cz"}


def test_odd_line_ends(recording):
    """A byte order mark, Windows line ends and a missing last one stay."""
    path = recording.root / f"{STEM}_events.tsv"
    text = "\ufeffonset\tduration\tvalue\tsample\r\n 1.0 \t0\tblink\tn/a\r\n2\t0\tgo\tn/a"
    path.write_bytes(text.encode())
    assert _mark(recording)["status"] == "new"
    assert path.read_bytes().decode() == (
        "\ufeffonset\tduration\tvalue\tsample\ttrial_type\tchannel\r\n"
        "0.5\t0.75\tn/a\t80\tBAD_gram_misfit\tO1\r\n"
        " 1.0 \t0\tblink\tn/a\tblink\tn/a\r\n2\t0\tgo\tn/a\tgo\tn/a\r\n"
        "3\t0.5\tn/a\t480\tBAD_gram_flat\tPz"
    )
    texts = ["BAD_gram_misfit", "blink", "go", "BAD_gram_flat"]
    assert list(read_recording(recording).annotations.description) == texts


@pytest.mark.parametrize(
    "content, text",
    [
        (b"onset\tduration\n1\t0\n2\n", "row 3 of 3"),
        (b"onset\tduration\t\n1\t0\t\n", "repeats the name of a column, or one is empty"),
        (b"onset\tduration\tx\tx\n1\t0\t1\t1\n", "repeats the name of a column"),
        (b"onset\tduration\n1\t\xff\n", "utf-8"),
        (b"", "not a table"),
    ],
)
def test_odd_tables(recording, content, text):
    """A table that cannot be changed safely is refused by name, and no file is changed."""
    path = recording.root / f"{STEM}_events.tsv"
    path.write_bytes(content)
    before = _read_tree(recording.root)
    row = _mark(recording)
    assert row["status"] == "failed" and text in row["why"] and "events.tsv" in row["why"]
    assert row["table"].columns.tolist() == ["channel", "start", "stop", "why", "whole", "marked"]
    assert _read_tree(recording.root) == before and not (recording.root / "sourcedata").exists()


@pytest.mark.parametrize("where", ["file", "folder", "backup"])
def test_links(recording, tmp_path, where):
    """Nothing is written through links, neither tables nor backups."""
    path = recording.root / f"{STEM}_channels.tsv"
    other = tmp_path / "other"
    if where == "file":
        path.rename(other)
        path.symlink_to(other)
    elif where == "folder":
        path.parent.rename(other)
        path.parent.symlink_to(other, True)
    else:
        other.mkdir()
        (recording.root / "sourcedata").symlink_to(other, True)
    before = _read_tree(tmp_path)
    row = _mark(recording)
    assert row["status"] == "failed" and "is a link" in row["why"]
    assert _read_tree(tmp_path) == before


def test_failure_leaves_both_tables(recording, monkeypatch):
    """If one table cannot be written, the other one is not changed either."""
    before = _read_tree(recording.root)
    monkeypatch.setattr("os.fsync", lambda file: 1 / 0)
    row = _mark(recording)
    assert (row["status"], row["why"]) == ("failed", "ZeroDivisionError: division by zero")
    assert _read_tree(recording.root) == before


def test_interrupted_between_two_tables(recording, monkeypatch):
    """If it is stopped when one of two tables is in its place, both are as before."""
    (recording.root / f"{STEM}_events.tsv").unlink()
    before, replace = _read_tree(recording.root), os.replace

    def stop(file, target):
        if str(target).endswith("_channels.tsv"):
            assert _read_tree(recording.root).keys() > before.keys()
            raise KeyboardInterrupt
        replace(file, target)

    monkeypatch.setattr("os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        _mark(recording)
    assert _read_tree(recording.root) == before


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(errno.EROFS, "no")])
def test_read_only(recording, monkeypatch, error):
    """What to do where a data set cannot be changed."""
    monkeypatch.setattr("shutil.copy2", lambda *args: _throw(error))
    row = _mark(recording)
    assert row["status"] == "failed" and "write a marked copy" in row["why"]


def _throw(error):
    raise error


@pytest.mark.parametrize("names", ["trial_type\tvalue", "stim_type\tvalue"])
def test_events_named_by_value(recording, names):
    """Events that have no type, and are named by their value, keep this name."""
    path = recording.root / f"{STEM}_events.tsv"
    path.write_text(f"onset\tduration\t{names}\n1\t0\tn/a\t7\n2\t0\tn/a\t8\n")
    assert list(read_recording(recording).annotations.description) == ["7", "8"]
    assert _mark(recording)["status"] == "new"
    texts = ["BAD_gram_misfit", "7", "8", "BAD_gram_flat"]
    assert list(read_recording(recording).annotations.description) == texts


@pytest.mark.parametrize("extra", ["", "\tsample"])
def test_events_without_names(recording, extra):
    """Events in a table without names are still found, next to bad segments."""
    path = recording.root / f"{STEM}_events.tsv"
    cells = "\t0" if extra else ""
    path.write_text(f"onset\tduration{extra}\n1\t0{cells}\n2\t0{cells}\n")
    assert list(read_recording(recording).annotations.description) == ["n/a", "n/a"]
    assert _mark(recording)["status"] == "new"
    texts = ["BAD_gram_misfit", "event", "event", "BAD_gram_flat"]
    assert list(read_recording(recording).annotations.description) == texts
    bids = mne_bids.get_bids_path_from_fname(recording.file, verbose="error")
    bids.update(root=recording.root)
    assert list(mne_bids.read_raw_bids(bids, verbose="error").annotations.description) == texts


def test_segments_of_bad_channels(recording, find, monkeypatch):
    """Segments of channels that are bad anyway, or within bad segments, are not marked."""
    spans = [Span("FT8", 1.0, 2.0, "flat"), Span("FC5", 2.5, 3.0, "misfit", 7.0)]
    monkeypatch.setattr(_find_bads, "find_bads", lambda inst, **kw: find(inst, spans))
    row = _mark(recording)
    assert row["files"] == [f"{STEM}_channels.tsv"]
    assert list(row["table"]["marked"]) == ["new", "already", "already", "already"]


def test_segments_of_all_channels(recording, find, monkeypatch):
    """A segment of all channels that are good otherwise is one event without a channel."""
    names = read_recording(recording).ch_names
    spans = [Span(name, 4.0, 4.5, "flat") for name in names if name not in ("CP2", "Cz", "FT8")]
    for number, channels in ((len(spans), ["n/a"]), (2, ["FC3", "FC5"])):
        monkeypatch.setattr(
            _find_bads, "find_bads", lambda inst, n=number, **kw: find(inst, spans[:n])
        )
        path = recording.root / f"{STEM}_events.tsv"
        path.write_text("onset\tduration\ttrial_type\n")
        assert _mark(recording)["status"] == "new"
        rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
        assert [row[3] for row in rows] == channels
        assert {tuple(row[:3]) for row in rows} == {("4", "0.5", "BAD_gram_flat")}


def test_blank_lines_and_ends():
    """Rows go before blank lines at the end; values are set by row and column."""
    table = TsvText(b"a\tb\n1\t2\n\n", "x")
    table.insert(1, dict(a="3"))
    table.insert(0, dict(b="0"))
    table.set(1, "b", "9")
    assert table.to_bytes() == b"a\tb\nn/a\t0\n1\t9\n3\tn/a\n\n"
    assert table.get("a") == ["n/a", "1", "3"]
    for content, text in ((b"a\xff\n", "not encoded in UTF-8"), (b"", "empty")):
        with pytest.raises(ValueError, match=f"x is {text}"):
            TsvText(content, "x")


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno")
def test_valid(bids_copy):
    """The data set remains valid BIDS, backups included."""
    for recording in select_recordings(bids_copy, {}):
        assert _mark(recording)["status"] == "new"
    command = [VALIDATOR, str(bids_copy), "--format", "json"]
    run = subprocess.run(command, capture_output=True, text=True)
    issues = json.loads(run.stdout)["issues"]["issues"]
    ours = [i for i in issues if i["location"].endswith(("channels.tsv", "events.tsv"))]
    assert [i for i in issues if i["severity"] == "error"] == []
    assert {i["code"] for i in ours} <= {"SIDECAR_KEY_RECOMMENDED"}


def test_selection(bids_copy, tmp_path):
    """A root is all its recordings or those selected; a file is itself, inside a data set only."""
    assert len(select_for_marks(bids_copy, {})) == 3
    assert len(select_for_marks(bids_copy, dict(subjects=["02"]))) == 1
    epochs = bids_copy / "sub-03" / "eeg" / "sub-03_task-rest_epo.fif"
    epochs.parent.mkdir(parents=True)
    epochs.touch()
    with pytest.raises(ValueError, match="Found only epochs"):
        select_for_marks(bids_copy, dict(subjects=["03"]))
    (one,) = select_for_marks(bids_copy / f"{STEM}_eeg.vhdr", dict(subjects=None))
    assert one.path.as_posix() == f"{STEM}_eeg.vhdr"
    with pytest.raises(ValueError, match="--subject selects recordings"):
        select_for_marks(bids_copy / f"{STEM}_eeg.vhdr", dict(subjects=["02"]))
    with pytest.raises(ValueError, match="sub-01_task-rest_run-01_events.tsv is not a recording"):
        select_for_marks(bids_copy / f"{STEM}_events.tsv", {})
    with pytest.raises(FileNotFoundError, match="does not exist"):
        select_for_marks(bids_copy / "none.edf", {})
    (tmp_path / "a_raw.fif").write_bytes(b"x")
    with pytest.raises(ValueError, match="not in a BIDS data set"):
        select_for_marks(tmp_path / "a_raw.fif", {})
