# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The average reference."""

import mne
import numpy as np
from mne.io.constants import FIFF
from mne.utils import logger, warn

from ..montage import find_derivations


def check_reference(inst, good):
    """Warn if the data were re-referenced, but not to the average of the good electrodes."""
    info = inst.info
    average = any(
        proj["kind"] == FIFF.FIFFV_PROJ_ITEM_EEG_AVREF and proj["active"] for proj in info["projs"]
    )
    if not average and not info["custom_ref_applied"]:
        return
    good = np.asarray(good)[~find_derivations([inst.ch_names[k] for k in good])]
    if len(good) < 2:
        return  # nothing is subtracted from derivations
    data = inst.get_data(picks=good)
    if np.abs(data.mean(axis=-2)).max() < 1e-6 * np.abs(data).max():
        return  # average reference already
    warn(
        "The data were re-referenced, but not to the average of the channels that are good now. "
        "This average is subtracted as well, which is correct if the old reference is a channel of "
        "the data or the mean of several channels. If the reference electrode was dropped, add it "
        "back with mne.add_reference_channels first; pass reference=None to keep the old reference."
    )


def average_reference(inst, others=()):
    """Subtract the mean of the good electrodes in place; derivations and others keep theirs."""
    names = [inst.ch_names[k] for k in mne.pick_types(inst.info, eeg=True, exclude=())]
    bipolar = np.array(names)[find_derivations(names)].tolist()
    bads, left = inst.info["bads"], [*bipolar, *others]
    kept = [name for name in names if name not in bads and name not in left]
    if len(kept) < 2:
        if not bipolar:
            raise ValueError(
                f"Found {len(kept)} good EEG channels, expected at least 2 for an average "
                "reference. Pass reference=None to keep the reference."
            )
        logger.info("The channels are bipolar derivations and keep their reference.")
        return
    # MNE excludes bad channels from the average and keeps them as they are.
    inst.info["bads"] = [*bads, *(name for name in left if name not in bads)]
    mne.set_eeg_reference(inst, "average", copy=False, projection=False, ch_type="eeg")
    inst.info["bads"] = bads
