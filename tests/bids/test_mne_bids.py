# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The functions of MNE-BIDS that take a whole data set take the results."""

import matplotlib.pyplot as plt
import mne_bids
import pytest
from matplotlib.backend_bases import KeyEvent
from mne_bids.inspect import _global_vars

from mne_gram import run_bids
from mne_gram._files import read_recording, select_recordings


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
