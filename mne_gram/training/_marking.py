# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which seconds of a recording hold no EEG, and where its time is continuous."""

import numpy as np

from .._masks import collect_mask
from ..preprocessing import SFREQ

SECOND = round(SFREQ)  # samples

_FLAT_VOLTS = 1e-7  # no scalp EEG stays within 0.1 uV for a second
_STUCK_SECONDS = 0.25  # nor at one value for this long, however coarse the converter
_CLIPPED_SECONDS = 0.025  # nor at the very top or bottom of its range for this long
_CLIPPED_SAMPLES = 5
_HUGE_VOLTS = 1e-3
_SPILL_VOLTS = 5e-5
_MOSTLY = 0.5
_JOINS = ("EDGE", "BAD BOUNDARY", "BOUNDARY")
_HOLES = ("BAD_ACQ_SKIP",)
_SHORT = 2  # samples that rounding may take off a second between two joins


def _get_starts(n_times, sfreq):
    """Return the first sample of each second, the last and shorter one included."""
    n_seconds = int(np.ceil(n_times / sfreq - 1e-9))
    return np.round(np.arange(n_seconds) * sfreq).astype(int)


def _get_range(data, sfreq):
    """Return the peak-to-peak value of each channel in each second, shape (n, n_seconds)."""
    starts = _get_starts(data.shape[1], sfreq)
    return np.maximum.reduceat(data, starts, axis=1) - np.minimum.reduceat(data, starts, axis=1)


def _to_seconds(mask, sfreq):
    """Mark the seconds in which a mask of samples is True anywhere."""
    return np.logical_or.reduceat(mask, _get_starts(mask.shape[1], sfreq), axis=1)


def _find_stuck(signal, sfreq):
    """Mark the samples of one channel that do not move for too long, shape (n_times,)."""
    moves = np.flatnonzero(signal[1:] != signal[:-1]) + 1
    starts, stops = np.r_[0, moves], np.r_[moves, len(signal)]
    lengths, values = stops - starts, signal[starts]
    if not np.isfinite(values).any():
        return np.zeros(len(signal), bool)
    limits = np.nanmin(values), np.nanmax(values)
    stuck = lengths >= _STUCK_SECONDS * sfreq
    clipped = np.isin(values, limits) & (
        lengths >= max(_CLIPPED_SAMPLES, _CLIPPED_SECONDS * sfreq)
    )
    return np.repeat(stuck | clipped, lengths)


def mark_recorded(raw):
    """Mark the seconds of a recording, as recorded, that hold no EEG.

    These are channels that are bad, ``BAD_`` annotations, values that are no numbers, flat
    seconds, and seconds in which a channel is stuck, above all at the end of its range.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, of EEG channels only.

    Returns
    -------
    marked : array of bool, shape (n_channels, n_seconds)
        True where there is no EEG. The last second may be a part of one.
    """
    data, sfreq = raw.get_data(), raw.info["sfreq"]
    marked = _to_seconds(collect_mask(raw, np.arange(len(data))) | ~np.isfinite(data), sfreq)
    moving = _get_range(np.nan_to_num(data), sfreq)
    # Recordings in a small unit of their own are quiet throughout.
    limit = min(_FLAT_VOLTS, 0.05 * np.median(moving))
    marked |= moving <= limit
    for row, signal in enumerate(data):
        marked[row] |= _to_seconds(_find_stuck(signal, sfreq)[None], sfreq)[0]
    return marked


def mark_huge(data):
    """Mark the seconds in which a channel is too large to be EEG.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        Preprocessed EEG in volts, at 200 Hz.

    Returns
    -------
    marked : array of bool, shape (n_channels, n_seconds)
        True where there is no EEG.
    """
    return _get_range(data, SFREQ) > _HUGE_VOLTS


def mark_spilled(data, marked, n_good):
    """Mark the seconds in which marked channels reached all others by the average reference.

    Parameters
    ----------
    data : array, shape (n_referenced, n_times)
        The channels that the average was taken of, in volts, at 200 Hz.
    marked : array of bool, shape (n_referenced, n_seconds)
        What is marked of them.
    n_good : int
        How many channels the average was taken of.

    Returns
    -------
    spilled : array of bool, shape (n_seconds,)
        True where no channel can be trusted.
    """
    n_times = data.shape[1]
    seen = np.repeat(marked, SECOND, axis=1)[:, :n_times]
    average = np.where(seen, data, 0).sum(axis=0, keepdims=True) / n_good
    return _get_range(average, SFREQ)[0] > _SPILL_VOLTS


def is_mostly(marked):
    """Tell which channels are marked for most of the time, shape (n_channels,)."""
    return marked.mean(axis=1) > _MOSTLY


def find_joins(raw):
    """List where time is cut, and the holes in it.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; joins and holes are told by annotations (``EDGE boundary``,
        ``BAD boundary``, EEGLAB's ``boundary``, ``BAD_ACQ_SKIP``).

    Returns
    -------
    joins : list of float
        In seconds from the first sample.
    holes : list of tuple of float
        Start and stop of each, in seconds from the first sample.
    """
    joins, holes = [], []
    annotations = raw.annotations
    for onset, duration, text in zip(
        annotations.onset - raw.first_time,
        annotations.duration,
        annotations.description,
        strict=True,
    ):
        if text.upper().startswith(_HOLES):
            holes.append((float(onset), float(onset + duration)))
        elif text.upper().startswith(_JOINS):
            joins.append(float(onset))
    return joins, holes


def cut_pieces(joins, holes, n_times):
    """List the stretches of continuous time that last a second at least.

    Parameters
    ----------
    joins : list of float
        Where time is cut, in seconds.
    holes : list of tuple of float
        What is missing, in seconds.
    n_times : int
        Length of the recording in samples at 200 Hz.

    Returns
    -------
    pieces : list of tuple of int
        Start and stop in samples at 200 Hz. A trial of one second stays one: where rounding, or
        the last sample of an interval, took a sample or two off, they come from its neighbour.
    """
    # Half a sample always rounds up, so that equal intervals stay equal.
    to_sample = lambda seconds: int(np.clip(np.floor(seconds * SFREQ + 0.5), 0, n_times))  # noqa
    inside = [(to_sample(start), to_sample(stop)) for start, stop in holes]
    cuts = {0, n_times, *map(to_sample, joins), *(k for hole in inside for k in hole)}
    cuts = sorted(cuts)
    pieces = []
    for start, stop in zip(cuts[:-1], cuts[1:], strict=True):
        if any(a <= start and stop <= b for a, b in inside):
            continue
        if SECOND - _SHORT <= stop - start < SECOND <= n_times:
            start = min(start, n_times - SECOND)
            stop = start + SECOND
        if stop - start >= SECOND:
            pieces.append((start, stop))
    return pieces
