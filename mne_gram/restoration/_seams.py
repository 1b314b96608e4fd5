# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Steps where estimates meet good samples, limited to the size that is usual nearby."""

import numpy as np

from ._gaps import DENSE

_RAMP = 0.1  # seconds over which a step that is too large is removed
_SHARED_STEP = 0.5  # seconds
_STEP_WINDOW = 2.0  # seconds around a gap in which the usual size of steps is measured
_STEP_QUANTILE = 0.99


def limit_steps(block, estimates, known=None):
    """Ramp out steps at seams above the 99th percentile of the channel's steps nearby, in place.

    ``known`` maps (channel, start) to a usual step that the block does not show.
    """
    if not estimates:
        return
    limits = _find_limits(block, estimates, known or {})
    places = [(e.channel, e.start, e.stop) for e in estimates]
    channels, starts, stops = np.array(places).T
    edges = np.array([(e.values[0], e.values[-1]) for e in estimates])
    segments = np.array(block.segments)
    first, end = segments[np.searchsorted(segments[:, 0], starts, "right") - 1].T
    # The good neighbours in the same segment, NaN where there is none.
    beside = np.full(edges.shape, np.nan)
    for column, times, there in zip(
        beside.T, (starts - 1, stops), (starts > first, stops < end), strict=True
    ):
        there[there] = ~block.mask[channels[there], times[there]]
        column[there] = block.data[channels[there], times[there]]
    excess = edges - beside
    excess = np.sign(excess) * np.maximum(0.0, np.abs(excess) - limits[:, None])
    for k in np.flatnonzero((np.nan_to_num(excess) != 0).any(axis=1)):
        values, (at_start, at_stop) = estimates[k].values, np.nan_to_num(excess[k])
        if len(values) == 1:  # has to fit both neighbours, or its only one
            ends = beside[k, ~np.isnan(beside[k])]
            low, high = ends.max() - limits[k], ends.min() + limits[k]
            values[:] = np.clip(values, low, high) if low <= high else ends.mean()
            continue
        length = min(max(1, round(_RAMP * block.sfreq)), max(1, len(values) // 2))
        ramp = (1 + np.cos(np.pi * np.arange(length) / length)) / 2
        values[:length] -= at_start * ramp
        values[len(values) - length :] -= at_stop * ramp[::-1]


def _find_limits(block, estimates, known):
    """Return the usual step near each estimate, NaN where there is none."""
    near, last = 0.0, {}  # where gaps are dense, those nearby share a limit
    if len(estimates) > DENSE * block.n_times / block.sfreq:
        near = _SHARED_STEP * block.sfreq
    limits = []
    for estimate in estimates:
        place = estimate.channel, estimate.start
        before = last.get(estimate.channel)
        if place in known:
            limits.append(known[place])
            continue
        if before is None or not 0 <= estimate.start - before[0] < near:
            segment = block.find_segment(estimate.start)
            before = estimate.start, usual_step(block, estimate, segment)
            last[estimate.channel] = before
        limits.append(before[1])
    return np.array(limits, float)


def usual_step(block, estimate, segment):
    """Return the 99th percentile of a channel's good steps in the 2 s around, or None."""
    steps = usual_steps(block, estimate.channel, (estimate.start, estimate.stop), segment)
    return find_limit(steps) if len(steps) else None


def find_limit(steps):
    """Return the 99th percentile of steps as NumPy's quantile does, which takes longer."""
    place = _STEP_QUANTILE * (len(steps) - 1)
    low = int(place)
    below, above = np.partition(steps, [low, min(low + 1, len(steps) - 1)])[low : low + 2][[0, -1]]
    return below + (place - low) * (above - below)


def usual_steps(block, channel, gap, segment):
    """Return the absolute good steps of a channel in the 2 s around a gap, shape (n_steps,)."""
    reach = round(_STEP_WINDOW * block.sfreq)
    left, right = max(segment[0], gap[0] - reach), min(segment[1], gap[1] + reach)
    row = block.data[channel, left:right]
    good = ~block.mask[channel, left:right]
    return np.abs(np.diff(row))[good[1:] & good[:-1]]
