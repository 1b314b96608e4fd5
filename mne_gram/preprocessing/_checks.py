# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of what is passed for preprocessing."""

import mne
from mne.io.constants import FIFF
from mne.utils import _validate_type, warn

from .._checks import pick_eeg
from .._marks import find_broken, hide_marked
from ._units import check_units


def pick_good_eeg(inst):
    """Return the picks of all and of good EEG channels; raise an error for unsuitable data."""
    picks = pick_eeg(inst)
    good = mne.pick_types(inst.info, eeg=True, exclude="bads")
    if len(good) == 0:
        raise ValueError("Found no good EEG channels: all are marked as bad.")
    names = {inst.ch_names[k] for k in picks}
    waiting = [
        proj["desc"]
        for proj in inst.info["projs"]
        if not proj["active"]
        and proj["kind"] != FIFF.FIFFV_PROJ_ITEM_EEG_AVREF
        and names.intersection(proj["data"]["col_names"])
    ]
    if waiting:
        raise ValueError(
            f"Found projectors that are not applied: {', '.join(waiting)}. Apply them with "
            "inst.apply_proj(), or remove them with inst.del_proj()."
        )
    return picks, good


def check_samples(inst, good):
    """Raise an error if good samples of the channels are not in volts, or broken."""
    check_units(hide_marked(inst, good))
    data, ch_names = inst.get_data(picks=good), [inst.ch_names[k] for k in good]
    broken = find_broken(data).any(axis=-1).reshape(-1, data.shape[-2]).any(axis=0)
    if broken.any():
        names = [name for name, wrong in zip(ch_names, broken, strict=True) if wrong]
        raise ValueError(
            "Found NaN, infinite or impossible samples (above 1 kV) that are not marked as bad in "
            f"{', '.join(names)}. Filters would spread them. Mark them: the channel in "
            "info['bads'], the segment by an annotation that begins with BAD. mne_gram.restore can "
            "restore them then."
        )


def check_band_edges(l_freq, h_freq, sfreq):
    """Refuse frequencies that are not positive, and band-stop filters."""
    for name, freq in (("l_freq", l_freq), ("h_freq", h_freq), ("sfreq", sfreq)):
        _validate_type(freq, "numeric" if name == "sfreq" else ("numeric", None), name)
        if freq is not None and not freq > 0:
            raise ValueError(f"{name} must be a positive frequency in Hz, got {freq}.")
    if None not in (l_freq, h_freq) and l_freq >= h_freq:
        raise ValueError(f"l_freq must be below h_freq, got {l_freq} and {h_freq}.")


def check_band(info, l_freq, h_freq):
    """Warn if the recording was filtered to a narrower band than the model expects."""
    found = []
    if l_freq is not None and info["highpass"] > l_freq + 1e-6:
        found.append(f"high-passed at {info['highpass']:g} Hz (expected {l_freq:g} Hz or below)")
    if h_freq is not None and info["lowpass"] < h_freq - 1e-6:
        found.append(f"low-passed at {info['lowpass']:g} Hz (expected {h_freq:g} Hz or above)")
    if found:
        warn(
            f"The data are {' and '.join(found)}. The model expects the full band; use the "
            "unfiltered recording if you have it."
        )
