# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How large a step is where a repaired stretch meets good samples, and how large it may be."""

import numpy as np

_RAMP = 0.1  # seconds over which a step that is too large is taken back
_STEP_WINDOW = 2.0  # seconds around a gap that tell how large a step is usual
STEP_QUANTILE = 0.99


def limit_steps(data, mask, segments, pieces, sfreq, known=None):
    """Take back, over a short ramp, the part of a step at a seam that is larger than usual.

    The step between the last good sample and the first repaired one (and at the other end) becomes
    at most the 99th percentile of the absolute first difference of the channel's own good samples
    in the 2 s around.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals; read only where good.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    segments : list of Segment
        Their ``values`` are changed in place.
    pieces : list of tuple of int
        Stretches of continuous time.
    sfreq : float
        Sampling rate in Hz.
    known : dict of tuple to float | None
        ``(channel, start) -> step``: how large a step is usual for segments of which the signals
        at hand do not tell.
    """
    edges, known = np.array(pieces), known or {}
    for segment in segments:
        start, stop = edges[np.searchsorted(edges[:, 0], segment.start, "right") - 1]
        if (segment.channel, segment.start) in known:
            limit = known[segment.channel, segment.start]
        else:
            limit = usual_step(data, mask, segment, (start, stop), sfreq)
        if limit is None:
            continue
        length = segment.stop - segment.start
        if length == 1:  # one sample has to suit both neighbours, or the one it has
            ends = [t for t in (segment.start - 1, segment.stop) if start <= t < stop]
            ends = data[segment.channel, [t for t in ends if not mask[segment.channel, t]]]
            if not len(ends):
                continue
            low, high = ends.max() - limit, ends.min() + limit
            middle = np.array([ends.mean()])
            segment.values[:] = np.clip(segment.values, low, high) if low <= high else middle
            continue
        ramp_length = min(max(1, round(_RAMP * sfreq)), max(1, length // 2))
        ramp = (1 + np.cos(np.pi * np.arange(ramp_length) / ramp_length)) / 2
        if segment.start > start and not mask[segment.channel, segment.start - 1]:
            step = segment.values[0] - data[segment.channel, segment.start - 1]
            segment.values[:ramp_length] -= np.sign(step) * max(0.0, abs(step) - limit) * ramp
        if segment.stop < stop and not mask[segment.channel, segment.stop]:
            step = segment.values[-1] - data[segment.channel, segment.stop]
            excess = np.sign(step) * max(0.0, abs(step) - limit)
            segment.values[length - ramp_length :] -= excess * ramp[::-1]


def usual_step(data, mask, segment, piece, sfreq):
    """Return the 99th percentile of a channel's good steps in the 2 s around a gap, or None."""
    steps = usual_steps(data, mask, segment, piece, sfreq)
    return np.quantile(steps, STEP_QUANTILE) if len(steps) else None


def usual_steps(data, mask, segment, piece, sfreq):
    """Return the absolute good steps of a channel in the 2 s around a gap."""
    reach = round(_STEP_WINDOW * sfreq)
    left, right = max(piece[0], segment.start - reach), min(piece[1], segment.stop + reach)
    row = data[segment.channel, left:right]
    good = ~mask[segment.channel, left:right]
    return np.abs(np.diff(row))[good[1:] & good[:-1]]
