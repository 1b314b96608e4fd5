# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Read data sets of windows of PyTorch, such as those of braindecode, by their attributes."""

import mne
import numpy as np


def find_recordings(x):
    """Return the Raw and Epochs that a data set takes its windows from; none for other objects."""
    if isinstance(x, list | tuple | np.ndarray) or hasattr(x, "iloc"):
        return []
    if isinstance(getattr(x, "datasets", None), list | tuple):  # a concatenation
        return [found for part in x.datasets for found in find_recordings(part)]
    for name in ("windows", "raw"):
        inst = getattr(x, name, None)
        if isinstance(inst, mne.BaseEpochs | mne.io.BaseRaw):
            _check_cut(x)
            return [inst]
    is_subset = hasattr(x, "dataset") and hasattr(x, "__getitem__")  # a DataLoader is none
    return find_recordings(x.dataset) if is_subset else []


def _check_cut(x):
    """Raise if a data set contains recordings that were not cut into windows."""
    if not hasattr(x, "crop_inds"):
        raise TypeError(
            "X is a data set of continuous recordings, expected windows: cut it, for example with "
            "braindecode.preprocessing.create_fixed_length_windows."
        )


def read_windows(x):
    """Return the windows of a data set, a list of arrays (n_channels, n_times), and their info."""
    recordings = find_recordings(x)
    info = recordings[0].info.copy()
    for number, inst in enumerate(recordings):
        if inst.ch_names != info["ch_names"] or inst.info["sfreq"] != info["sfreq"]:
            raise ValueError(
                f"Recording {number} of X has other channels or another sampling rate than "
                "recording 0. Make them equal, for example with mne_gram.harmonize and "
                "inst.resample."
            )
    bads = {name for inst in recordings for name in inst.info["bads"]}
    info["bads"] = [name for name in info["ch_names"] if name in bads]
    items = [x[k] for k in range(len(x))]
    arrays = [np.asarray(item[0] if isinstance(item, tuple) else item) for item in items]
    picks = [k for k, kind in enumerate(info.get_channel_types()) if kind != "misc"]
    if not picks:  # of arrays, for which braindecode cannot be given the types
        types = dict.fromkeys(info["ch_names"], "eeg")
        info.set_channel_types(types, on_unit_change="ignore", verbose="error")
    elif arrays and len(arrays[0]) == len(picks):  # targets, which the windows do not contain
        info = mne.pick_info(info, picks, verbose="error")
    return arrays, info


def read_targets(x):
    """Return the targets of windows, a list, or None if the data set has none."""
    items = [x[k] for k in range(len(x))]
    if not all(isinstance(item, tuple) and len(item) > 1 for item in items):
        return None
    return [item[1] for item in items]
