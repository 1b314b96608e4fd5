# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Read what a transformer may be given: Raw, Epochs, lists of single trials, arrays."""

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import _validate_type

from .._recording import is_reject_log, read_reject_log


def is_inst(x):
    """Return whether the data are a Raw, Epochs, or a list of Epochs."""
    return isinstance(x, (BaseRaw, mne.BaseEpochs)) or is_list_of_epochs(x)


def is_list_of_epochs(x):
    """Return whether the data are a list of Epochs, which scikit-learn makes of Epochs."""
    return isinstance(x, (list, tuple)) and any(isinstance(item, mne.BaseEpochs) for item in x)


def copy_inst(x):
    """Return a loaded copy of a Raw or Epochs, or of a list of one-epoch Epochs as one."""
    if not is_list_of_epochs(x):
        return x.copy().load_data()
    check_list(x)
    insts = [item if item.preload else item.copy().load_data() for item in x]
    return mne.concatenate_epochs(insts, on_mismatch="ignore", verbose="error")


def check_list(x):
    """Refuse a list of anything but one-epoch Epochs."""
    for number, item in enumerate(x):
        if not isinstance(item, mne.BaseEpochs) or len(item) != 1:
            raise ValueError(
                f"A list must contain one-epoch Epochs; item {number} is "
                f"{item.__class__.__name__}"
                + (f" of {len(item)} epochs." if isinstance(item, mne.BaseEpochs) else ".")
            )


def split_mask(mask, x):
    """Return the mask of each item of a list of one-epoch Epochs."""
    if mask is None:
        return [None] * len(x)
    if is_reject_log(mask):
        mask = read_reject_log(mask, x[0].ch_names, len(x))
    _validate_type(mask, np.ndarray, "mask", "a bool array or an autoreject.RejectLog")
    if mask.shape[:1] != (len(x),):
        raise ValueError(
            f"mask has shape {mask.shape}, expected {len(x)} epochs, as many as in the list."
        )
    return list(mask[:, None])


def read_array(x):
    """Return an array (n_epochs, n_channels, n_times), or raise."""
    try:
        data = np.asarray(x)
        if data.dtype.kind not in "fiu":
            raise TypeError(f"its elements are of type {data.dtype}")
    except (TypeError, ValueError) as error:
        raise TypeError(
            "X must be mne.io.Raw, mne.Epochs, a list of one-epoch Epochs, or an array of real "
            f"numbers (n_epochs, n_channels, n_times) in volts; got {x.__class__.__name__} "
            f"({error})."
        ) from None
    if data.ndim != 3 or data.size == 0:
        raise ValueError(
            f"X has shape {data.shape}, expected (n_epochs, n_channels, n_times), each at least 1."
        )
    return data


def make_epochs(data, info):
    """Return Epochs with a copy of an array, in double precision."""
    if data.shape[1] != len(info["ch_names"]):
        raise ValueError(
            f"X has {data.shape[1]} channels (its second axis), expected "
            f"{len(info['ch_names'])}. If some are missing, pass the names of the others to "
            "transform as ch_names."
        )
    return mne.EpochsArray(
        data.astype(float), info, baseline=None, proj=False, on_missing="ignore", verbose="error"
    )
