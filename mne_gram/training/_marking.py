# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which seconds of a recording hold no EEG, and where its time is continuous."""

import numpy as np

from .._recording import collect_mask
from ..preprocessing import SFREQ

SECOND = round(SFREQ)  # samples

_FLAT_VOLTS = 1e-7  # no EEG at the scalp stays within 0.1 uV for a second
_STUCK_SECONDS = 0.25  # nor at one value for this long, however coarse the converter
_CLIPPED = 5, 0.025  # samples and seconds at the end of the range: once is enough
_CLIPPED_OFTEN = 3, 0.005  # the same where it happens often
_OFTEN = 3
_MIN_LEVELS = 200  # a signal of fewer steps repeats its largest value without being clipped
_HUGE_VOLTS = 1e-3
_SPILL_VOLTS = 5e-5  # the size of EEG itself
_MOSTLY = 0.5
_JOINS = ("EDGE", "BAD BOUNDARY", "BOUNDARY")  # MNE's, MNE's, EEGLAB's
_HOLES = ("BAD_ACQ_SKIP",)
_SHORT = 2  # samples that rounding may take off a trial of one second


def _get_starts(n_times, sfreq):
    """Return the first sample of each second; the last one may be a part of a second."""
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
    """Mark the samples of one channel that stay at one value for too long, shape (n_times,)."""
    moves = np.flatnonzero(signal[1:] != signal[:-1]) + 1
    starts, stops = np.r_[0, moves], np.r_[moves, len(signal)]
    lengths, values = stops - starts, signal[starts]
    stuck = lengths >= _STUCK_SECONDS * sfreq
    jumps = np.nan_to_num(np.abs(np.diff(values)))
    step = jumps.min(where=jumps > 0, initial=np.inf)
    known = values[np.isfinite(values)]
    if len(known) == 0 or np.ptp(known) < _MIN_LEVELS * step:
        return np.repeat(stuck, lengths)
    # A smooth wave rounds its crest in single steps; the end of a range cuts it off.
    abrupt = np.maximum(np.r_[0, jumps], np.r_[jumps, 0]) > 1.5 * step
    for limit in (known.min(), known.max()):
        once, often = (
            (values == limit) & abrupt & (lengths >= max(samples, seconds * sfreq))
            for samples, seconds in (_CLIPPED, _CLIPPED_OFTEN)
        )
        stuck |= often if often.sum() >= _OFTEN else once
    return np.repeat(stuck, lengths)


def mark_recorded(raw):
    """Mark the seconds of a recording, as it was recorded, that hold no EEG.

    These are bad channels, ``BAD_`` annotations, values that are no numbers, flat seconds, and
    seconds in which a channel is stuck, above all at the end of its range.

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
    moving = _get_range(np.nan_to_num(data, posinf=0.0, neginf=0.0), sfreq)
    # A recording that is quiet throughout is not flat for that.
    marked |= moving <= min(_FLAT_VOLTS, 0.05 * np.median(moving))
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


def mark_spilled(data, marked):
    """Mark the seconds in which marked channels reached all others by the average reference.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The channels that the average was taken of, in volts, at 200 Hz.
    marked : array of bool, shape (n_channels, n_seconds)
        What is marked of them.

    Returns
    -------
    spilled : array of bool, shape (n_seconds,)
        True where no channel can be trusted.
    """
    seen = np.repeat(marked, SECOND, axis=1)[:, : data.shape[1]]
    share = np.where(seen, data, 0).sum(axis=0, keepdims=True) / len(data)
    return _get_range(share, SFREQ)[0] > _SPILL_VOLTS


def find_mostly_marked(marked):
    """Tell which channels are marked most of the time, shape (n_channels,).

    Seconds in which all channels are marked say nothing about any of them.
    """
    told = ~marked.all(axis=0)
    if not told.any():
        return np.zeros(len(marked), bool)
    return marked[:, told].mean(axis=1) > _MOSTLY


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
    joins, holes = set(), set()
    onsets = raw.annotations.onset - raw.first_time
    for onset, duration, text in zip(
        onsets.tolist(), raw.annotations.duration.tolist(), raw.annotations.description, strict=True
    ):
        if text.upper().startswith(_HOLES):
            holes.add((onset, onset + duration))
        elif text.upper().startswith(_JOINS):
            joins.add(onset)
    return sorted(joins), sorted(holes)


def cut_pieces(joins, holes, n_times):
    """List the stretches of continuous time that last a second at least.

    Parameters
    ----------
    joins : list of float
        Where time is cut, in seconds.
    holes : list of tuple of float
        What is missing, start and stop in seconds.
    n_times : int
        Length of the recording in samples at 200 Hz.

    Returns
    -------
    pieces : list of tuple of int
        Start and stop in samples at 200 Hz. A trial of one second stays one: where rounding took
        a sample or two off, they come from its neighbour.
    """

    def to_sample(seconds):
        # Half a sample always rounds up, so that equal intervals stay equal.
        return min(max(int(np.floor(seconds * SFREQ + 0.5 + 1e-6)), 0), n_times)

    missing = [(to_sample(start), to_sample(stop)) for start, stop in holes]
    cuts = {0, n_times, *map(to_sample, joins), *(cut for hole in missing for cut in hole)}
    cuts = sorted(cuts)
    pieces = []
    for start, stop in zip(cuts[:-1], cuts[1:], strict=True):
        if any(first <= start and stop <= last for first, last in missing):
            continue
        if SECOND - _SHORT <= stop - start < SECOND <= n_times:
            start = min(start, n_times - SECOND)
            stop = start + SECOND
        if stop - start >= SECOND:
            pieces.append((start, stop))
    return pieces
