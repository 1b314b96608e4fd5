# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""participants.tsv has the rows of the source for the subjects that have results."""

import json
import threading
import warnings

import mne_bids
import pandas as pd
import pytest

from mne_gram import run_bids
from mne_gram.bids import _dataset
from mne_gram.bids._dataset import write_participants
from mne_gram.bids._lock import hold

OPTIONS = dict(method="spatial", report=False, verbose="error")


def _read(folder):
    """Return the table as text."""
    return pd.read_csv(folder / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)


def _set_source(root, text, about=None):
    """Write the table of the source, and its description."""
    (root / "participants.tsv").write_text(text, encoding="utf-8")
    (root / "participants.json").unlink(missing_ok=True)
    if about is not None:
        (root / "participants.json").write_text(json.dumps(about), encoding="utf-8")


@pytest.fixture
def folders(tmp_path):
    """Return a source without a table, and results of two subjects."""
    root, folder = tmp_path / "data", tmp_path / "out"
    root.mkdir()
    for name in ("sub-b", "sub-a", "logs"):
        (folder / name).mkdir(parents=True)
    return root, folder


def test_rows_of_the_source(bids_copy):
    """Subjects with results have their rows; the others are added by the next run."""
    about = dict(age=dict(Description="Age.", Units="year"), note=dict(Description="Notes."))
    text = "participant_id\tage\tnote\nsub-02\t31\tn/a\nsub-77\t1\tx\nsub-01\tn/a\t007\n"
    _set_source(bids_copy, text, about)
    folder = run_bids(bids_copy, subjects="02", **OPTIONS).folder
    assert _read(folder).to_dict("records") == [dict(participant_id="sub-02", age="31", note="n/a")]
    written = json.loads((folder / "participants.json").read_text(encoding="utf-8"))
    assert written["Sources"] == ["bids:raw:participants.tsv"] and written["Description"]
    assert {key: written[key] for key in about} == about
    run_bids(bids_copy, dry_run=True, **OPTIONS)
    assert len(_read(folder)) == 1
    run_bids(bids_copy, **OPTIONS)
    assert _read(folder).to_numpy().tolist() == [["sub-01", "n/a", "007"], ["sub-02", "31", "n/a"]]
    before = (folder / "participants.tsv").stat().st_mtime_ns
    run_bids(bids_copy, **OPTIONS)
    assert (folder / "participants.tsv").stat().st_mtime_ns == before
    # What is corrected in the source is corrected here.
    _set_source(bids_copy, text.replace("31", "32"), about)
    run_bids(bids_copy, **OPTIONS)
    assert _read(folder)["age"].tolist() == ["n/a", "32"]
    path = mne_bids.BIDSPath(
        root=folder, subject="02", task="rest", run="01", description="restored", datatype="eeg"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mne_bids.read_raw_bids(path, verbose="warning")
    assert not [w for w in caught if "participant" in str(w.message)]


def test_of_whom_nothing_is_known(folders):
    """Subjects are listed even if the source has no table."""
    root, folder = folders
    write_participants(folder, root)
    assert (folder / "participants.tsv").read_text() == "participant_id\nsub-a\nsub-b\n"
    about = json.loads((folder / "participants.json").read_text(encoding="utf-8"))
    assert set(about) == {"Description"}
    _set_source(root, "participant_id\tsex\nsub-b\tF\n")
    write_participants(folder, root)
    assert _read(folder).to_numpy().tolist() == [["sub-a", "n/a"], ["sub-b", "F"]]
    (folder / "sub-c").mkdir()
    write_participants(folder, root)
    assert _read(folder)["participant_id"].tolist() == ["sub-a", "sub-b", "sub-c"]


def test_nobody_is_there(tmp_path):
    """Without results there is no table."""
    write_participants(tmp_path, tmp_path)
    assert not (tmp_path / "participants.tsv").exists()


@pytest.mark.parametrize(
    "text, about, match",
    [
        ("name\tage\nsub-01\t3\n", None, "no column 'participant_id'"),
        ("participant_id\nsub-01\n", [], "not contain a JSON object"),
        ("", None, "is not a table"),
    ],
)
def test_source_that_cannot_be_understood(bids_copy, text, about, match):
    """An invalid table is a warning, and recordings are processed."""
    _set_source(bids_copy, text, about)
    with pytest.warns(RuntimeWarning, match=match):
        report = run_bids(bids_copy, subjects="02", **OPTIONS | dict(verbose="warning"))
    assert report.failures == [] and not (report.folder / "participants.tsv").exists()
    _set_source(bids_copy, "participant_id\nsub-02\n")
    (bids_copy / "participants.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="participants.json is not valid JSON"):
        write_participants(report.folder, bids_copy)


def test_after_an_interrupt(bids_copy, monkeypatch):
    """The table is written for the finished subjects if the run is interrupted."""
    from mne_gram.bids import _process

    restore = _process.JOB_FUNCTIONS["restore"]

    def stop(recording, *args):
        if recording.entities["sub"] == "02":
            raise KeyboardInterrupt
        return restore(recording, *args)

    monkeypatch.setitem(_process.JOB_FUNCTIONS, "restore", stop)
    with pytest.raises(KeyboardInterrupt):
        run_bids(bids_copy, **OPTIONS)
    folder = bids_copy / "derivatives" / "mne-gram"
    assert _read(folder)["participant_id"].tolist() == ["sub-01"]


def test_at_all_times(bids_copy, monkeypatch):
    """The table is updated after each recording, not only at the end."""
    seen, note = [], _dataset.write_text

    def look(folder, name, text):
        if name == "participants.tsv":
            seen.append((text.splitlines()[1:], len(list(folder.glob("sub-*/eeg/*.vhdr")))))
        note(folder, name, text)

    monkeypatch.setattr(_dataset, "write_text", look)
    run_bids(bids_copy, **OPTIONS)
    assert [(len(rows), n) for rows, n in seen] == [(1, 1), (2, 3)]


def test_two_runs(folders, monkeypatch):
    """Two simultaneous runs lose no subject; one that waits in vain skips the table."""
    root, folder = folders

    def add(names):
        for name in names:
            (folder / name).mkdir()
            write_participants(folder, root)

    threads = [
        threading.Thread(target=add, args=([f"sub-{who}{k}" for k in range(15)],)) for who in "xy"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_read(folder)) == 32
    (folder / "sub-z").mkdir()
    monkeypatch.setattr(_dataset, "hold", lambda path, wait: hold(path, wait=0.0))
    with hold(folder / ".mne_gram" / "locks" / "participants.lock"):
        write_participants(folder, root)
    assert len(_read(folder)) == 32
