# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Strays: channels of type EEG that are none, by their size or name."""

import numpy as np
from mne.annotations import _annotations_starts_stops
from mne.io import BaseRaw
from mne.utils import warn

from ._marks import hide_marked
from .montage import derivation_ends, match_channels, names_other_signal

# How many times the typical standard deviation makes a channel a stray: in its median window if a
# name or position locates it, over all windows otherwise.
_LOUD = 30.0
_LARGEST_OFFSET = 1.0  # volts, more than any amplifier of EEG records
_MIN_LEFT = 2  # channels; of fewer it is unknown which are the strays
_MAX_WINDOWS = 600


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
    """Return which channels cannot be EEG, by size or name: bool (n_picks,).

    ``levels`` is what `measure_levels` returned; without levels no channel is too large.
    """
    return _find_large(info, picks, levels) | find_other_signals(info, picks)


def find_other_signals(info, picks):
    """Return which channels without a position are not EEG by their name, array of bool."""
    other = np.array([names_other_signal(info["ch_names"][pick]) for pick in picks], bool)
    if other.any():
        other &= ~find_known(info, picks)
    return other if (~other).sum() >= _MIN_LEFT else np.zeros(len(other), bool)


def _find_large(info, picks, levels):
    """Return which channels are far too large to be EEG, array of bool (n_picks,)."""
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


def describe_strays(names, bads=()):
    """Return a warning of strays, of which some may be marked in ``bads``."""
    others = [name for name in names if names_other_signal(name)]
    large = [name for name in names if name not in others]
    reasons = [
        f"{reason}: {', '.join(found)}"
        for reason, found in (
            ("the signals are far larger than those of the other EEG channels", large),
            ("the names are those of other signals", others),
        )
        if found
    ]
    or_mark = "" if set(names) <= set(bads) else ", or mark them in info['bads']"
    return (
        f"Left out of the reference and of all estimates, because {'; '.join(reasons)}. Set the "
        f"types of channels that are no EEG with inst.set_channel_types{or_mark}."
    )


def warn_of_strays(names, bads=()):
    """Warn of strays, if there are any, of which some may be marked in ``bads``."""
    if len(names):
        warn(describe_strays(names, bads))
