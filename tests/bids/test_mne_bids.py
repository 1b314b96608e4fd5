# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The functions of MNE-BIDS that take a whole data set take the results."""

import json
import shutil
import subprocess

import matplotlib.pyplot as plt
import mne_bids
import pytest
from matplotlib.backend_bases import KeyEvent
from mne_bids.inspect import _global_vars

from mne_gram import run_bids
from mne_gram._files import read_recording, select_recordings

VALIDATOR = shutil.which("bids-validator-deno")


@pytest.fixture(scope="module")
def folder(bids_source, tmp_path_factory):
    """Return the results of a run with figures, of a recording of each of two subjects."""
    out = tmp_path_factory.mktemp("out") / "mne-gram"
    report = run_bids(bids_source, derivatives=out, runs=1, method="spatial", verbose="error")
    assert report.failures == []
    assert len(list(report.folder.glob("figures/sub-*/*.png"))) >= 2
    return report.folder


def test_anonymize(folder, tmp_path):
    """The results are anonymized, restored segments and dates included: 1985 in the source."""
    out = tmp_path / "anonymous"
    mne_bids.anonymize_dataset(folder, out, daysback=10000, verbose="error")
    names = [path.name.partition("_")[2] for path in out.rglob("*_eeg.vhdr")]
    assert names == ["task-rest_run-01_desc-restored_eeg.vhdr"] * 2
    recordings = select_recordings(out, {})
    assert len(recordings) == 2
    assert {read_recording(r).info["meas_date"].year for r in recordings} == {1957}


def test_inspect(folder):
    """A recording is opened; a channel that is marked as bad there is read as bad."""
    path = mne_bids.BIDSPath(root=folder, subject="01", description="restored")
    mne_bids.inspect_dataset(path, find_flat=False, verbose="error")
    figure = _global_vars["raw_fig"]
    figure.mne.info["bads"] = ["Cz"]
    figure.fake_keypress(figure.mne.close_key)
    dialog = _global_vars["dialog_fig"]
    dialog.canvas.callbacks.process("key_press_event", KeyEvent("key", dialog.canvas, "enter"))
    plt.close("all")
    (recording,) = select_recordings(folder, dict(subjects="01"))
    assert read_recording(recording).info["bads"] == ["Cz"]


def test_raw_names(bids_source, folder):
    """With the names of the source, results are read like raw data; those before are replaced."""
    options = dict(naming="raw", runs=1, method="spatial", save_std=True, report=False)
    report = run_bids(bids_source, derivatives=folder, **options, verbose="error")
    assert [row["status"] for row in report.rows] == ["done", "done"]
    stem = "sub-02_task-rest_run-01"
    assert {path.name for path in folder.glob("sub-02/eeg/*_eeg.vhdr")} == {
        f"{stem}_eeg.vhdr",
        f"{stem}_desc-std_eeg.vhdr",
    }
    # This is how MNE-BIDS-Pipeline looks for a recording.
    names = dict(root=folder, subject="02", task="rest", run="01", datatype="eeg")
    raw = mne_bids.read_raw_bids(mne_bids.BIDSPath(**names, check=False), verbose="error")
    assert raw.filenames[0].stem == f"{stem}_eeg"
    assert raw.info["bads"] == [] and "RESTORED" in raw.annotations.description
    with pytest.raises(ValueError, match="naming"):
        run_bids(bids_source, derivatives=folder, naming="acq")


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno")
def test_raw_names_are_valid(folder):
    """The names of the source are valid names of results."""
    command = [VALIDATOR, str(folder), "--format", "json"]
    run = subprocess.run(command, capture_output=True, text=True)
    issues = json.loads(run.stdout)["issues"]["issues"]
    assert list(folder.glob("sub-02/eeg/sub-02_task-rest_run-01_eeg.vhdr"))
    assert [issue for issue in issues if issue["severity"] == "error"] == []
