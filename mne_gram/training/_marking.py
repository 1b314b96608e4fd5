# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Seconds of a recording without EEG, and pieces in which its time is continuous."""

import numpy as np

from .._recording import collect_mask
from ..preprocessing import SFREQ

SECOND = round(SFREQ)  # samples

_FLAT_VOLTS = 1e-7  # scalp EEG does not stay within 0.1 uV for a second
_STUCK_SECONDS = 0.25  # nor at one value for this long
_CLIPPED = 5, 0.025  # samples and seconds at the end of the range, if it happens once
_CLIPPED_OFTEN = 3, 0.005  # the same if it happens often
_OFTEN = 3
_MIN_LEVELS = 200  # coarser signals repeat their largest value without clipping
_HUGE_VOLTS = 1e-3
_SPILL_VOLTS = 5e-5  # as large as EEG itself
_MOSTLY = 0.5
_JOINS = ("EDGE", "BAD BOUNDARY", "BOUNDARY")  # MNE's, MNE's, EEGLAB's
_HOLES = ("BAD_ACQ_SKIP",)
_SHORT = 2  # samples by which rounding may shorten a trial of one second


def _get_starts(n_times, sfreq):
    """Return the first sample of each second; the last second may be incomplete."""
    n_seconds = int(np.ceil(n_times / sfreq - 1e-9))
    return np.round(np.arange(n_seconds) * sfreq).astype(int)


def _get_range(data, sfreq):
    """Return the peak-to-peak value of each channel in each second, (n_channels, n_seconds)."""
    starts = _get_starts(data.shape[1], sfreq)
    return np.maximum.reduceat(data, starts, axis=1) - np.minimum.reduceat(data, starts, axis=1)


def _to_seconds(mask, sfreq):
    """Mark the seconds in which a mask of samples is True anywhere."""
    return np.logical_or.reduceat(mask, _get_starts(mask.shape[1], sfreq), axis=1)


def _find_stuck(signal, sfreq):
    """Mark samples (n_times,) of a channel that stay at one value for too long."""
    moves = np.flatnonzero(signal[1:] != signal[:-1]) + 1
    starts, stops = np.r_[0, moves], np.r_[moves, len(signal)]
    lengths, values = stops - starts, signal[starts]
    stuck = lengths >= _STUCK_SECONDS * sfreq
    jumps = np.nan_to_num(np.abs(np.diff(values)))
    step = jumps.min(where=jumps > 0, initial=np.inf)
    known = values[np.isfinite(values)]
    if len(known) == 0 or np.ptp(known) < _MIN_LEVELS * step:
        return np.repeat(stuck, lengths)
    # Smooth waves approach their crest in single steps; clipping cuts it off.
    abrupt = np.maximum(np.r_[0, jumps], np.r_[jumps, 0]) > 1.5 * step
    for limit in (known.min(), known.max()):
        once, often = (
            (values == limit) & abrupt & (lengths >= max(samples, seconds * sfreq))
            for samples, seconds in (_CLIPPED, _CLIPPED_OFTEN)
        )
        stuck |= often if often.sum() >= _OFTEN else once
    return np.repeat(stuck, lengths)


def mark_recorded(raw):
    """Mark seconds (n_channels, n_seconds) of a Raw, before preprocessing, without EEG.

    These are bad channels, ``BAD_`` annotations, values that are not finite, flat seconds, and
    seconds in which a channel is stuck, especially at the end of its range.
    """
    data, sfreq = raw.get_data(), raw.info["sfreq"]
    marked = _to_seconds(collect_mask(raw, np.arange(len(data))) | ~np.isfinite(data), sfreq)
    moving = _get_range(np.nan_to_num(data, posinf=0.0, neginf=0.0), sfreq)
    # A recording that is quiet throughout is not flat.
    marked |= moving <= min(_FLAT_VOLTS, 0.05 * np.median(moving))
    for row, signal in enumerate(data):
        marked[row] |= _to_seconds(_find_stuck(signal, sfreq)[None], sfreq)[0]
    return marked


def mark_huge(data):
    """Mark seconds (n_channels, n_seconds) that are too large, of preprocessed data in volts."""
    return _get_range(data, SFREQ) > _HUGE_VOLTS


def mark_spilled(data, marked):
    """Mark seconds (n_seconds,) in which marked channels affected all others through the average.

    ``data`` (n_channels, n_times), in volts at 200 Hz, are the channels of the average, and
    ``marked`` (n_channels, n_seconds) their marks.
    """
    seen = np.repeat(marked, SECOND, axis=1)[:, : data.shape[1]]
    share = np.where(seen, data, 0).sum(axis=0, keepdims=True) / len(data)
    return _get_range(share, SFREQ)[0] > _SPILL_VOLTS


def find_mostly_marked(marked):
    """Return which channels are marked most of the time, (n_channels,).

    Seconds in which all channels are marked are ignored.
    """
    informative = ~marked.all(axis=0)
    if not informative.any():
        return np.zeros(len(marked), bool)
    return marked[:, informative].mean(axis=1) > _MOSTLY


def find_joins(raw):
    """Return joins of a Raw (times in s) and holes (start and stop in s) from annotations.

    These are ``EDGE boundary``, ``BAD boundary``, EEGLAB's ``boundary`` and ``BAD_ACQ_SKIP``.
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
    """Return start and stop, in samples at 200 Hz, of continuous pieces of at least one second.

    Joins and holes are in seconds. Trials of one second that rounding made a sample or two shorter
    are extended by their neighbours.
    """

    def to_sample(seconds):
        # Half a sample is always rounded up, so that equal intervals remain equal.
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
