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
from mne.utils import _validate_type, logger, warn

from ._marks import hide_marked
from .montage import derivation_ends, match_channels

_SKIPS = ("edge", "bad_acq_skip")  # annotations at which time is not continuous
# How many times the typical standard deviation makes a channel a stray: in its median window if a
# name or position locates it, over all windows otherwise.
_LOUD = 30.0
_LARGEST_OFFSET = 1.0  # volts, more than any amplifier of EEG records
_MIN_LEFT = 2  # channels; of fewer it is unknown which are the strays
_MAX_WINDOWS = 600
_KINDS = dict(Raw=BaseRaw, Epochs=mne.BaseEpochs, Evoked=mne.Evoked)


# ---------------------------------------------------------------------------------------------
# Instances, channels and samples


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


# ---------------------------------------------------------------------------------------------
# Strays: channels of type EEG that are none, by their size


def cut_windows(segments, sfreq):
    """Return starts and stops of up to 600 windows of a second or less, shape (n_windows, 2)."""
    length = max(1, round(sfreq))
    parts = [np.zeros((0, 2), int)]
    for start, stop in segments:
        edges = np.arange(start, max(stop - length, start) + 1, length)
        parts.append(np.stack([edges, np.minimum(edges + length, stop)], axis=1))
    windows = np.concatenate(parts)
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), _MAX_WINDOWS)).round().astype(int)
    return windows[chosen]


@np.errstate(over="ignore", invalid="ignore")  # strays may have any values
def measure_levels(windows):
    """Return median and overall standard deviation, and median mean: a tuple of (n_channels,).

    ``windows`` yields arrays (n_channels, n_times), NaN where bad; NaN where a channel is all bad.
    """
    levels = []
    for window in windows:
        good = np.isfinite(window)
        count = np.where(good.any(axis=1), good.sum(axis=1), np.nan)
        mean = np.where(good, window, 0).sum(axis=1) / count
        deviation = np.where(good, window - mean[:, None], 0)
        std = np.sqrt((deviation**2).sum(axis=1) / count)
        std[np.isnan(std) & good.any(axis=1)] = np.inf  # the sum had overflowed
        levels.append([std, np.abs(mean)])
    if not levels:
        return None
    std, mean = np.array(levels).swapaxes(0, 1)
    return (*summarise_std(std), _nanmedian(mean))


@np.errstate(over="ignore", invalid="ignore")  # strays may have any values
def summarise_std(std):
    """Return median and root mean square of standard deviations (n_windows, n_channels)."""
    total = np.nansum(std**2, axis=0)
    return _nanmedian(std), np.sqrt(total / np.maximum((~np.isnan(std)).sum(axis=0), 1))


def _nanmedian(values):
    """Return the median over the first axis; NaN, without a warning, where all are."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, values), axis=0))


@np.errstate(over="ignore", invalid="ignore")  # strays may have any values
def find_strays(info, picks, levels):
    """Return which channels cannot be EEG, given what `measure_levels` returned: bool (n_picks,).

    Without levels no channel is a stray.
    """
    nothing = np.zeros(len(picks), bool)
    if levels is None:
        return nothing
    usual, overall, offset = levels
    seen = usual > 0
    if not seen.any():
        return nothing
    large = offset > max(_LARGEST_OFFSET, _LOUD * np.nanmedian(offset))
    if not large.any() and overall[seen].max() <= _LOUD * usual[seen].min():
        return nothing
    known = find_known(info, picks)
    typical = np.median(usual[seen & known] if (seen & known).sum() >= _MIN_LEFT else usual[seen])
    strays = (np.where(known, usual, overall) > _LOUD * typical) | large
    return strays if (seen & ~strays).sum() >= _MIN_LEFT else nothing


def find_known(info, picks):
    """Return which channels a name or a position locates, array of bool (n_picks,)."""
    cmap = match_channels(info, picks=picks, on_missing="ignore", verbose="error")
    named = [
        entry is not None or derivation_ends(name) is not None
        for name, entry in zip(cmap.ch_names, cmap.entries, strict=True)
    ]
    return np.array(named) | np.isfinite(cmap.positions).all(axis=1)


def find_strays_of(inst, picks):
    """Return the names of the strays among channels, which are good, of a loaded instance."""
    sfreq = inst.info["sfreq"]
    if isinstance(inst, BaseRaw):
        # Segments that are marked as bad show nothing; neither do joins.
        starts, stops = _annotations_starts_stops(inst, ("bad", "edge"), invert=True)
        windows = cut_windows(zip(starts, stops, strict=True), sfreq)
        parts = (inst.get_data(picks=picks, start=a, stop=b) for a, b in windows)
    else:
        data, n_times = hide_marked(inst, picks), len(inst.times)
        data = data.reshape(-1, *data.shape[-2:])
        windows = cut_windows([(k * n_times, (k + 1) * n_times) for k in range(len(data))], sfreq)
        parts = (data[a // n_times, :, a % n_times : (b - 1) % n_times + 1] for a, b in windows)
    strays = find_strays(inst.info, picks, measure_levels(parts))
    return [inst.ch_names[pick] for pick in np.asarray(picks)[strays]]


def describe_strays(names):
    """Return a warning of strays."""
    return (
        "Left out of the reference and of all estimates, because the signals are far larger than "
        f"those of the other EEG channels: {', '.join(names)}. Set the types of channels that are "
        "no EEG with inst.set_channel_types, or mark them in info['bads']."
    )


def warn_of_strays(names):
    """Warn of strays, if there are any."""
    if len(names):
        warn(describe_strays(names))
