# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures that every test module may use."""

import os
import shutil
import sys
from pathlib import Path

import pytest

# One thread, set before NumPy and torch are imported: the arrays are small, and threads that wait
# for each other cost more than they save. Another number can be set from outside.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "agg"  # figures need no screen

ROOT = Path(__file__).resolve().parents[1]
# In the order of the sample: enough for a repair, with its bad channels.
NAMES = "FC5 FC3 FC1 C3 Cz C4 CP2 Fp1 Fp2 F7 Fz F8 FT8 T7 T8 P3 Pz P4 O1 O2".split()


@pytest.fixture(autouse=True)
def leave_nothing():
    """Close the figures of a test, and notice if later ones would have other threads."""
    torch = sys.modules.get("torch")
    n_threads = torch and torch.get_num_threads()
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert torch is None or torch.get_num_threads() == n_threads, "Put the threads of torch back."


@pytest.fixture(scope="session")
def shared():
    """Return the folder with reference files and real recordings, or skip where there is none."""
    path = Path(os.environ.get("MNE_GRAM_SHARED", ROOT.parent / "shared"))
    if not (path / "parity").is_dir():
        pytest.skip(f"No shared reference data at {path}; set MNE_GRAM_SHARED to its folder.")
    return path


@pytest.fixture(scope="session")
def bids_source(tmp_path_factory):
    """Return a BIDS data set of three short recordings, with bad channels and a bad span."""
    import mne_bids
    import pandas as pd

    import mne_gram

    root = tmp_path_factory.mktemp("bids") / "data"
    sample = mne_gram.datasets.sample(verbose="error").pick(NAMES)
    sample.info["line_freq"] = 50.0
    for k, (subject, run) in enumerate([("01", "01"), ("01", "02"), ("02", "01")]):
        raw = sample.copy().crop(2 * k, 2 * k + 6, include_tmax=False)
        raw.set_annotations(None)
        path = mne_bids.BIDSPath(root=root, subject=subject, task="rest", run=run, datatype="eeg")
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="BrainVision", verbose="error"
        )
    # No events: then MNE-BIDS writes no table of them.
    table = pd.DataFrame(
        dict(onset=[1.0, 2.0], duration=[0.0, 1.5], trial_type=["blink", "BAD_jump"])
    )
    table["channel"] = ["n/a", sample.ch_names[0]]
    name = "sub-01/eeg/sub-01_task-rest_run-01_events.tsv"
    table.to_csv(root / name, sep="\t", index=False)
    return root


@pytest.fixture
def bids_copy(bids_source, tmp_path):
    """Return a copy of that data set, to write to."""
    return Path(shutil.copytree(bids_source, tmp_path / "data"))
