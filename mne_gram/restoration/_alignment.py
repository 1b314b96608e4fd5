# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Give data the wanted channels: rename, add and order them."""

import mne
import numpy as np
from mne.io import BaseRaw
from mne.io.constants import FIFF

from ..montage import read_positions
from ._wanted import Wanted, find_present, make_info


def list_eeg(inst):
    """Return the names of all EEG channels."""
    return [inst.ch_names[k] for k in mne.pick_types(inst.info, eeg=True, exclude=())]


def match_names(inst, info):
    """Give data the names that an info has for the same EEG channels, in place.

    Returns the `Wanted` channels of the info; `add_missing` adds those that the data do not have.
    """
    names = info["ch_names"]
    if list_eeg(inst) == names:
        return Wanted(names, {name: name for name in names}, {})
    present = find_present(inst, info)
    positions = read_positions(info, np.arange(len(names)))
    wanted = Wanted(names, present, dict(zip(names, positions, strict=True)))
    check_projectors(inst, wanted.missing)
    rename_present(inst, present)
    return wanted


def check_projectors(inst, missing):
    """Refuse projectors that would miss new channels; an average reference can be renewed."""
    eeg = list_eeg(inst)
    waiting = [p for p in inst.info["projs"] if not p["active"]] if missing else []
    average = FIFF.FIFFV_PROJ_ITEM_EEG_AVREF
    names = set(eeg)
    rest = [p for p in waiting if p["kind"] != average and set(p["data"]["col_names"]) & names]
    if rest:
        raise ValueError(
            f"Found projectors that are not applied yet ({', '.join(p['desc'] for p in rest)}): "
            "they would not include the new channels. Apply them first with inst.apply_proj, or "
            "remove them with inst.del_proj."
        )


def rename_present(inst, present):
    """Give channels the wanted names, also in annotations."""
    mapping = {old: new for new, old in present.items() if new != old}
    if not mapping:
        return
    inst.rename_channels(mapping)
    if isinstance(inst, mne.BaseEpochs) and inst.annotations is not None:  # MNE does it for Raw
        ch_names = inst.annotations.ch_names
        for k, names in enumerate(ch_names):
            ch_names[k] = tuple(mapping.get(name, name) for name in names)


def add_missing(inst, wanted):
    """Append missing channels, NaN and marked as bad, and set missing positions."""
    for name in wanted.present:
        loc = inst.info["chs"][inst.ch_names.index(name)]["loc"]
        if not np.isfinite(loc[:3]).all() or not loc[:3].any():
            loc[:3] = wanted.positions[name]
    missing = wanted.missing
    if not missing:
        return
    positions = [wanted.positions[name] for name in missing]
    info = make_info(missing, positions, inst.info["sfreq"])
    n_times = len(inst.times)
    if isinstance(inst, BaseRaw):
        new = mne.io.RawArray(np.full((len(missing), n_times), np.nan), info, verbose="error")
    elif isinstance(inst, mne.BaseEpochs):
        data = np.full((len(inst), len(missing), n_times), np.nan)
        new = mne.EpochsArray(data, info, tmin=inst.tmin, proj=False, verbose="error")
    else:
        data = np.full((len(missing), n_times), np.nan)
        new = mne.EvokedArray(data, info, tmin=inst.tmin, verbose="error")
    bads = list(inst.info["bads"])
    inst.add_channels([new], force_update_info=True)
    inst.info["bads"] = [*bads, *missing]
    if not isinstance(inst, mne.BaseEpochs):
        # MNE leaves the matrix of applied projectors at the old size; it is not needed any more.
        inst._projector = None
    _add_dig(inst.info, dict(zip(missing, positions, strict=True)))


def _add_dig(info, positions):
    """Add new electrodes to the digitized points, to which MNE fits the head."""
    located = {name: place for name, place in positions.items() if np.isfinite(place).all()}
    if not located or info["dig"] is None:
        return
    points = mne.channels.make_dig_montage(located, coord_frame="head").dig
    taken = [p["ident"] for p in info["dig"] if p["kind"] == FIFF.FIFFV_POINT_EEG]
    for number, point in enumerate(points, max(taken, default=0) + 1):
        point["ident"] = number
    with info._unlock():
        info["dig"] = [*info["dig"], *points]


def order_channels(inst, eeg):
    """Return all channels in order, EEG where the first EEG channel was."""
    types = inst.get_channel_types()
    first = types.index("eeg")
    before = inst.ch_names[:first]
    after = [n for n, t in zip(inst.ch_names, types, strict=True) if t != "eeg" and n not in before]
    return [*before, *eeg, *after]
