# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Data sets with odd files: one of them is one line in the table, and the others are done."""

import os
import shutil

import mne
import mne_bids
import pandas as pd
import pytest

from mne_gram import run_bids
from mne_gram._files import list_recordings, read_recording, select_recordings

EEG = "sub-01/eeg"
FIRST = f"{EEG}/sub-01_task-rest_run-01"
REST = ["sub-01_task-rest_run-02_eeg.vhdr", "sub-02_task-rest_run-01_eeg.vhdr"]


def _run(root, **kwargs):
    """Run with the fastest method and without figures."""
    return run_bids(root, **(dict(method="spatial", report=False, verbose="error") | kwargs))


def _count(report):
    """Return the names of the recordings by status."""
    found = {}
    for row in report.rows:
        found.setdefault(row["status"], []).append(row["recording"].rpartition("/")[2])
    return found


def _replace(path, old, new):
    """Replace a text in a file, which has to be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "sub-é/eeg/sub-é_task-rest_eeg.vhdr",
        "sub-../eeg/sub-.._task-rest_eeg.vhdr",
        "sub-/eeg/sub-_task-rest_eeg.vhdr",
        "sub-03/eeg/task-rest_eeg.vhdr",
        "sub-01/eeg/sub-01_task-rest-more_eeg.vhdr",
        "sub-01/eeg/sub-01_task_run-05_eeg.vhdr",
        "sub-01/eeg/sub-01_task-rest_split-a_eeg.vhdr",
        "sub-01/eeg/sub-01_task-a_task-b_eeg.vhdr",
        "sub-04/eeg/sub-04_task-r\udce9st_eeg.vhdr",
        "sub-05/ses-a b/eeg/sub-05_ses-a b_epo.fif",
    ],
)
def test_one_odd_name_is_one_failure(bids_copy, name, tmp_path):
    """It is planned as such, and the recordings beside it are done."""
    path = bids_copy / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(bids_copy / f"{FIRST}_eeg.vhdr", path)
    shown = os.fsencode(path.name).decode("utf-8", "replace")
    plan = _run(bids_copy, dry_run=True)
    assert len(plan.failures) == 1 and len(_count(plan)["planned"]) == 3
    assert plan.failures[0]["recording"].rpartition("/")[2] == shown
    assert "not a BIDS name" in plan.failures[0]["why"]
    report = _run(bids_copy)
    assert len(_count(report)["done"]) == 3 and _count(report)["failed"] == [shown]
    assert report.failures[0]["why"] == plan.failures[0]["why"]
    str(report).encode()
    assert len(_count(_run(bids_copy, report=True))["skipped"]) == 3
    assert (report.folder / "index.html").is_file()
    if name.endswith("_epo.fif"):
        return
    # Functions that take what they can use leave it out with a warning.
    with pytest.warns(RuntimeWarning, match="not a BIDS name"):
        assert len(list_recordings(bids_copy)) == 3


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("sub-01/", ["sub-02_task-rest_run-01_eeg.vhdr"]),
        ("/sub-01/**", ["sub-02_task-rest_run-01_eeg.vhdr"]),
        ("*run-01*", ["sub-01_task-rest_run-02_eeg.vhdr"]),
        ("**/*_run-0[2-9]_eeg.*\n", [f"sub-0{k}_task-rest_run-01_eeg.vhdr" for k in (1, 2)]),
        ("# a comment\n\n*_eeg.vhdr\n!sub-02*\n", ["sub-02_task-rest_run-01_eeg.vhdr"]),
        ("sub-02/eeg/sub-02_task-rest_run-01_eeg.vhdr  \r\neeg/*.edf\nrun-01", None),
        ("sub-0?/eeg/*run-02*", [f"sub-0{k}_task-rest_run-01_eeg.vhdr" for k in (1, 2)]),
        ("eeg/", []),
    ],
)
def test_bidsignore_is_respected(bids_copy, pattern, left):
    if left is None:
        left = [f"sub-01_task-rest_run-0{k}_eeg.vhdr" for k in (1, 2)]
    (bids_copy / ".bidsignore").write_text(pattern, encoding="utf-8")
    if not left:
        with pytest.raises(ValueError, match=r"no EEG recording.*\.bidsignore"):
            select_recordings(bids_copy, {})
        return
    assert [r.path.name for r in select_recordings(bids_copy, {})] == left
    assert [path.fpath.name for path in list_recordings(bids_copy)] == left
    assert _count(_run(bids_copy, dry_run=True)) == {"planned": left}


def test_an_event_without_onset(bids_copy):
    """It is no annotation, and stays in the table, at its end."""
    _replace(bids_copy / f"{FIRST}_events.tsv", "1.0\t0.0\tblink", "n/a\tn/a\tblink")
    report = _run(bids_copy)
    assert len(_count(report)["done"]) == 3
    table = pd.read_csv(
        report.folder / f"{FIRST}_desc-restored_events.tsv", sep="\t", keep_default_na=False
    )
    assert table["onset"].iloc[-1] == "n/a" and table["trial_type"].iloc[-1] == "blink"
    assert "RESTORED" in set(table["trial_type"])
    raw = mne.io.read_raw(report.folder / f"{FIRST}_desc-restored_eeg.vhdr", verbose="error")
    assert "blink" not in raw.annotations.description


@pytest.mark.parametrize("columns", ["value", "trial_type\tvalue", "stim_type"])
def test_events_without_trial_type(bids_copy, columns):
    """Their names are found in the results, next to RESTORED segments, as in the source."""
    cells = "n/a\t{}" if "\t" in columns else "{}"
    lines = [f"{t}\t0\t{cells.format(name)}" for t, name in ((1, "7"), (2, "BAD_x"), (3, "8"))]
    (bids_copy / f"{FIRST}_events.tsv").write_text(
        "\n".join([f"onset\tduration\t{columns}", *lines])
    )
    report = _run(bids_copy, subjects="01", runs=1)
    (recording,) = select_recordings(report.folder, {})
    texts = list(read_recording(recording).annotations.description)
    assert "RESTORED" in texts
    assert [text for text in texts if text != "RESTORED"] == ["7", "BAD_x", "8"]


def test_events_without_names(bids_copy):
    """They are found in the results next to RESTORED segments, by this reader and MNE-BIDS."""
    (bids_copy / f"{FIRST}_events.tsv").write_text("onset\tduration\n1\t0.5\n3\t0\n")
    report = _run(bids_copy, subjects="01", runs=1, find_bads=True)
    (recording,) = select_recordings(report.folder, {})
    path = mne_bids.BIDSPath(root=report.folder, description="restored", datatype="eeg")
    path.update(subject="01", task="rest", run="01", suffix="eeg", extension=".vhdr")
    for raw in (read_recording(recording), mne_bids.read_raw_bids(path, verbose="error")):
        found = [a["onset"] for a in raw.annotations if a["description"] == "event"]
        assert found == [1.0, 3.0]


def test_blanks_in_tables_do_not_matter(bids_copy):
    """Neither in names of columns, nor in cells, nor a tab at the end of each row."""
    recording = select_recordings(bids_copy, {})[0]
    expected = read_recording(recording)
    for kind in ("channels", "events"):
        path = bids_copy / f"{FIRST}_{kind}.tsv"
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        padded = [lines[0].replace("\t", " \t") + " "]
        padded += [line.replace("\t", " \t ") + " \t" for line in lines[1:]]
        path.write_text("\n".join(padded) + "\n", encoding="utf-8")
    found = read_recording(recording)
    assert found.info["bads"] == expected.info["bads"] != []
    assert found.get_channel_types() == expected.get_channel_types()
    assert list(found.annotations.description) == list(expected.annotations.description)
    assert found.annotations.ch_names.tolist() == expected.annotations.ch_names.tolist()
    assert len(_count(_run(bids_copy))["done"]) == 3


def test_names_that_differ_by_what_cannot_be_seen(bids_copy):
    """The message shows it."""
    _replace(bids_copy / f"{FIRST}_channels.tsv", "FC3\t", "FC3\u200b\t")
    report = _run(bids_copy)
    assert len(_count(report)["done"]) == 2
    assert r"'FC3\u200b'" in report.failures[0]["why"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_channels.tsv", ""),
        ("_channels.tsv", "name\ttype\n"),
        ("_events.tsv", "onset\tduration\n1,5\t0\n"),
        ("_eeg.json", "[1, 2]"),
        ("_eeg.json", "{"),
        ("_events.json", '{"channel": "text"}'),
        ("_coordsystem.json", "[]"),
        ("_electrodes.tsv", "name\tx\ty\tz\nCz\ta\tb\tc\n"),
    ],
)
def test_one_odd_sidecar_is_one_failure_at_most(bids_copy, name, text):
    """Its text says which file it is."""
    stem = "sub-01/eeg/sub-01" if name.startswith(("_coord", "_electrodes")) else FIRST
    if name.startswith(("_coord", "_electrodes")):
        stem = next(bids_copy.glob(f"{EEG}/*{name}")).as_posix().removesuffix(name)
    (bids_copy / f"{stem}{name}").write_text(text, encoding="utf-8")
    plan, report = _run(bids_copy, dry_run=True), _run(bids_copy)
    assert [row["recording"] for row in plan.failures] == [
        row["recording"] for row in report.failures
    ]
    assert "sub-02_task-rest_run-01_eeg.vhdr" in _count(report)["done"]
    for row in report.failures:
        assert name.removeprefix("_") in row["why"]
