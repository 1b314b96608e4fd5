# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the commands share."""

from argparse import Namespace

import mne
import numpy as np
import pytest

from mne_gram._commands._shared import complete_input


def test_bads_are_added():
    """``--bads`` adds to the bad channels, each once; unknown channels are refused."""
    info = mne.create_info(["Fp1", "Fp2", "C3", "C4"], 100.0, "eeg")
    raw = mne.io.RawArray(np.zeros((4, 100)), info, verbose="error")
    raw.info["bads"] = ["C4"]
    complete_input(raw, Namespace(bads=["Fp1", "C4"], montage=None))
    assert raw.info["bads"] == ["C4", "Fp1"]
    with pytest.raises(ValueError, match="no channel X, Y.* Fp1, Fp2, C3, C4"):
        complete_input(raw, Namespace(bads=["X", "C3", "Y"], montage=None))
    assert raw.info["bads"] == ["C4", "Fp1"]
