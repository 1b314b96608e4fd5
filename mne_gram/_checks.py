# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of what users pass, the same for every public function."""

import logging

import mne
import numpy as np
from mne._fiff.pick import _picks_to_idx
from mne.annotations import _annotations_starts_stops
from mne.io import BaseRaw
from mne.io.constants import FIFF
from mne.utils import _validate_type, logger

from .montage import match_channels

_SKIPS = ("edge", "bad_acq_skip")  # annotations at which time is not continuous
_KINDS = dict(Raw=BaseRaw, Epochs=mne.BaseEpochs, Evoked=mne.Evoked)


def check_type(inst, kinds):
    """Refuse what is none of the kinds, names such as "Raw"."""
    text = " or ".join([*([", ".join(kinds[:-1])] if kinds[1:] else []), kinds[-1]])
    _validate_type(inst, tuple(_KINDS[kind] for kind in kinds), "inst", text)


def check_content(inst):
    """Refuse complex samples, recordings without any, and single samples."""
    if isinstance(inst, BaseRaw):
        part = inst._data if inst.preload else inst[0, 0:1][0]
    else:
        part = inst.data if isinstance(inst, mne.Evoked) else inst._data
    if np.iscomplexobj(part):
        raise ValueError(
            "Found complex data, expected real: use the data before a Hilbert transform."
        )
    if isinstance(inst, mne.BaseEpochs) and len(inst) == 0:
        raise ValueError("The data contain no epoch: were all of them dropped?")
    if isinstance(inst, BaseRaw) and not len(find_segments(inst)):
        raise ValueError(
            "Annotations named 'edge' or 'BAD_ACQ_SKIP' mark the whole recording: it has no data."
        )
    if len(inst.times) < 2:
        raise ValueError("Found a single sample in time, expected at least 2.")


def pick_eeg(inst, picks=None):
    """Return the EEG channels to work with, sorted indices, or raise if there are none."""
    info, types = inst.info, inst.get_channel_types(unique=True)
    if info["custom_ref_applied"] == FIFF.FIFFV_MNE_CUSTOM_REF_CSD or "csd" in types:
        raise ValueError(
            "Found current source density, expected potentials: use the data before "
            "mne.preprocessing.compute_current_source_density."
        )
    eeg = mne.pick_types(info, eeg=True, exclude=())
    chosen = eeg if picks is None else _picks_to_idx(info, picks, "eeg", exclude=())
    others = np.setdiff1d(chosen, eeg)
    if len(others):
        names = ", ".join(info["ch_names"][k] for k in others)
        raise ValueError(f"picks contains non-EEG channels: {names}.")
    if len(chosen) == 0:
        raise ValueError(
            f"Found no EEG channel (the types are {', '.join(sorted(types))}). If some are scalp "
            "EEG, set their type with inst.set_channel_types; other signals, such as intracranial "
            "EEG or MEG, cannot be used."
        )
    return np.unique(chosen)


def check_line_freq(line_freq):
    """Refuse what is no frequency of a power line, nor None."""
    _validate_type(line_freq, ("numeric", None), "line_freq")
    if line_freq is not None and not line_freq > 0:
        raise ValueError(f"line_freq must be a positive frequency in Hz, got {line_freq:g}.")


def find_segments(inst):
    """Return start and stop, in samples, of each segment of continuous time, shape (n, 2)."""
    if not isinstance(inst, BaseRaw):
        return np.array([[0, len(inst.times)]])
    spans = np.column_stack(_annotations_starts_stops(inst, _SKIPS, invert=True))
    return spans[spans[:, 1] > spans[:, 0]]  # MNE lists empty ones between neighbouring marks


def make_array_info(info, ch_names, sfreq):
    """Return the info of arrays, given as an info or as names and a sampling rate."""
    if info is not None:
        _validate_type(info, mne.Info, "info", "an instance of mne.Info, such as epochs.info")
        if ch_names is not None or sfreq is not None:
            raise ValueError("Pass either info, or ch_names and sfreq, but not both.")
        return info
    if ch_names is None or sfreq is None:
        raise ValueError(
            "X is an array, whose channels are unknown: pass info=epochs.info, or ch_names=[...] "
            "and sfreq=... in Hz to the constructor."
        )
    if isinstance(ch_names, str) or len(set(ch_names)) != len(ch_names):
        raise ValueError(f"ch_names must be a list of unique names, got {ch_names!r}.")
    _validate_type(sfreq, "numeric", "sfreq")
    if not sfreq > 0:
        raise ValueError(f"sfreq must be a positive rate in Hz, got {sfreq}.")
    return mne.create_info(list(ch_names), float(sfreq), "eeg", verbose="error")


def check_positions(info):
    """Warn of positions that cannot be right, which are ignored everywhere."""
    verbose = max(logger.level, logging.WARNING)  # not the number of channels, which is no news
    match_channels(info, on_missing="ignore", verbose=verbose)
