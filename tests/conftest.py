# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures that every test module may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared():
    """Return the folder with reference files and real recordings, or skip where there is none."""
    path = Path(os.environ.get("MNE_GRAM_SHARED", ROOT.parent / "shared"))
    if not (path / "parity").is_dir():
        pytest.skip(f"No shared reference data at {path}; set MNE_GRAM_SHARED to its folder.")
    return path
