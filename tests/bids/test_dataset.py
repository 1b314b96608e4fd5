# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The derivative data set is valid BIDS and describes itself."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from mne_gram import run_bids
from mne_gram.bids import _dataset
from mne_gram.bids._lock import hold

VALIDATOR = shutil.which("bids-validator-deno")


def _validate(folder):
    """Return severity and code of the issues found by the official validator."""
    run = subprocess.run(
        [VALIDATOR, str(folder), "--format", "json"], capture_output=True, text=True
    )
    issues = json.loads(run.stdout)["issues"]["issues"]
    return [(issue["severity"], issue["code"], issue.get("location")) for issue in issues]


def _run_all_jobs(root):
    """Run all jobs on a data set."""
    for job in ("restore", "embed", "tokens"):
        report = run_bids(root, job=job, method="spatial", save_std=True, verbose="error")
        assert report.failures == []
    return report.folder


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno")
def test_valid_small(bids_copy):
    """The results of all jobs are valid, and the source remains so."""
    folder = _run_all_jobs(bids_copy)
    issues = _validate(folder)
    assert [issue for issue in issues if issue[0] == "error" or "participants" in issue[2]] == []
    found = {path.name for path in folder.rglob("*")}
    assert {"index.html", "sub-01.html", "figures", "logs"} <= found
    assert {name.rpartition("_")[2] for name in found if "desc-gram" in name} == {
        *("embedding.npz", "embedding.json", "tokens.npz", "tokens.json")
    }


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno")
@pytest.mark.slow
def test_valid_real(shared, tmp_path):
    """The same with real recordings that have bad channels."""
    source, root = shared / "eeg" / "eegmmi", tmp_path / "data"
    root.mkdir()
    for path in source.iterdir():
        if path.is_file() or path.name in ("sub-001", "sub-002"):
            subprocess.run(["cp", "-r", path, root], check=True)
    subprocess.run(["chmod", "-R", "u+w", root], check=True)
    table = root / "sub-001" / "eeg" / "sub-001_task-imagery_run-04_channels.tsv"
    channels = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    channels.loc[[5, 40], "status"] = "bad"
    channels.to_csv(table, sep="\t", index=False)
    people = pd.read_csv(root / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    people[people["participant_id"].isin(["sub-001", "sub-002"])].to_csv(
        root / "participants.tsv", sep="\t", index=False
    )
    report = run_bids(root, method="spatial", runs=4, save_std=True, verbose="error")
    assert [len(row["channels"]) for row in report.rows] == [2, 0]
    assert Counter(_validate(report.folder)) == {}
    assert [issue for issue in _validate(root) if issue[0] == "error"] == []


def _describe(tmp_path, root, weights):
    folder = tmp_path / "out"
    _dataset.describe_data_set(folder, root, weights)
    return json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))


def test_description_grows(bids_copy, tmp_path, monkeypatch):
    """Each version and each set of weights is listed once."""
    source = json.loads((bids_copy / "dataset_description.json").read_text(encoding="utf-8"))
    source.update(DatasetDOI="doi:10.1/x", License="CC0", Authors=["A. Author"])
    (bids_copy / "dataset_description.json").write_text(json.dumps(source), encoding="utf-8")
    about = _describe(tmp_path, bids_copy, {"prior": "0" * 64})
    assert about["License"] == "CC0" and about["Authors"] == ["A. Author"]
    assert about["SourceDatasets"][0]["DOI"] == "doi:10.1/x"
    assert _describe(tmp_path, bids_copy, {"prior": "0" * 64}) == about
    monkeypatch.setattr(_dataset, "__version__", "99")
    about = _describe(tmp_path, bids_copy, {"gram-tiny": "1" * 64})
    versions = [entry["Version"] for entry in about["GeneratedBy"]]
    assert len(versions) == 2 and versions[1] == "99"
    assert about["GeneratedBy"][1]["Weights"] == [dict(Name="gram-tiny", SHA256="1" * 64)]


def test_description_is_first(bids_copy, monkeypatch):
    """The description is written before the first recording is read."""
    seen = []

    def look(*args, **kwargs):
        seen.append((bids_copy / "derivatives/mne-gram/dataset_description.json").is_file())
        raise ValueError("enough")

    monkeypatch.setattr("mne_gram.bids._restore.read_recording", look)
    run_bids(bids_copy, method="spatial", report=False, verbose="error")
    assert seen == [True] * 3


def test_own_files_are_kept(bids_copy, tmp_path):
    """Changes of users to .bidsignore and the README are kept."""
    folder = tmp_path / "out"
    _dataset.describe_data_set(folder, bids_copy, {})
    (folder / ".bidsignore").write_text("mine", encoding="utf-8")
    _dataset.describe_data_set(folder, bids_copy, {})
    assert (folder / ".bidsignore").read_text(encoding="utf-8") == "mine"


def test_relative_link(bids_copy):
    """Inside the data set, the link to the source is relative, so both can be moved together."""
    folder = bids_copy / "derivatives" / "mne-gram"
    _dataset.describe_data_set(folder, bids_copy, {})
    about = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
    assert about["DatasetLinks"] == dict(raw="../..")
    assert (folder / about["DatasetLinks"]["raw"]).resolve() == bids_copy.resolve()


def test_events_without_a_table(bids_copy):
    """Annotations of the file become events if the source has no events.tsv."""
    table = bids_copy / "sub-01" / "eeg" / "sub-01_task-rest_run-01_events.tsv"
    table.unlink()
    marker = table.with_name("sub-01_task-rest_run-01_eeg.vmrk")
    with marker.open("a", encoding="utf-8") as file:
        file.write("Mk9=Comment,tap,161,1,0\nMk10=Comment,BAD_pop,321,160,3\n")
    report = run_bids(
        bids_copy, method="spatial", subjects="01", runs=1, report=False, verbose="error"
    )
    assert len(report.rows[0]["channels"]) == 3
    name = "sub-01/eeg/sub-01_task-rest_run-01_desc-restored_events.tsv"
    events = pd.read_csv(report.folder / name, sep="\t", keep_default_na=False)
    rows = events.set_index("trial_type")
    assert rows["onset"]["Comment/tap"] == 1.0 and rows["channel"]["Comment/tap"] == "n/a"
    part = events[(events["trial_type"] == "RESTORED") & (events["duration"] == 1.0)]
    assert part["channel"].tolist() == ["FC1"] and part["onset"].tolist() == [2.0]
    assert "BAD_pop" not in set(events["trial_type"])


def test_bad_for_all_stays(bids_copy):
    """A segment that is bad in all channels is not restored, and remains an event."""
    table = bids_copy / "sub-01" / "eeg" / "sub-01_task-rest_run-01_events.tsv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text + "4.0\t0.5\tBAD_move\tn/a\n", encoding="utf-8")
    report = run_bids(
        bids_copy, method="spatial", subjects="01", runs=1, report=False, verbose="error"
    )
    name = "sub-01/eeg/sub-01_task-rest_run-01_desc-restored_events.tsv"
    events = pd.read_csv(report.folder / name, sep="\t", keep_default_na=False)
    (row,) = events[events["trial_type"] == "BAD_move"].to_dict("records")
    assert (row["onset"], row["duration"], row["channel"]) == (4.0, 0.5, "n/a")


def test_waits_for_the_description(bids_copy, tmp_path, monkeypatch):
    """A lock that another run holds forever is an error after some time."""
    folder = tmp_path / "out"
    monkeypatch.setattr(_dataset, "hold", lambda path, wait: hold(path, wait=0.0))
    with hold(folder / ".mne_gram" / "locks" / "data_set.lock"):
        with pytest.raises(RuntimeError, match="Another run"):
            _dataset.describe_data_set(folder, bids_copy, {})
    assert not Path(folder / "dataset_description.json").exists()
