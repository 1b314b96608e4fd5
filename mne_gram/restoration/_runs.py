# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Runs, in which the set of bad channels does not change, and the gaps of channels.

A gap of a channel consists of one or more runs, each with an estimate from other good channels.
"""

from functools import lru_cache

import numpy as np

_TOGETHER = 2**18  # samples of gaps that are processed at once
_BLEND = 0.05  # seconds over which two estimates of one gap are cross-faded


def find_runs(mask, segments):
    """Cut time where the set of bad channels changes.

    Returns start, stop and segment of continuous time of each run in which something is bad.
    """
    edges = np.array(segments, int).reshape(-1, 2)
    changes = np.flatnonzero((mask[:, 1:] != mask[:, :-1]).any(axis=0)) + 1
    inside = np.searchsorted(edges[:, 0], changes) > np.searchsorted(edges[:, 1], changes, "right")
    starts, stops = (np.sort(np.append(edge, changes[inside])) for edge in edges.T)
    bad = (stops > starts) & mask.any(axis=0)[np.minimum(starts, mask.shape[1] - 1)]
    starts, stops = starts[bad], stops[bad]
    numbers = np.searchsorted(edges[:, 0], starts, "right") - 1
    spans = zip(starts.tolist(), stops.tolist(), numbers.tolist(), strict=True)
    return [(a, b, segments[number]) for a, b, number in spans]


def list_gaps(mask, segments, enough=None):
    """List the gaps of each channel as (channel, start, stop, segment).

    They are cut where ``enough (n_times,)`` changes: whether enough channels are good.
    """
    enough = np.ones(mask.shape[1], bool) if enough is None else enough
    return [
        (int(channel), *run)
        for channel in np.flatnonzero(mask.any(axis=1))
        for run in find_runs(mask[channel] & np.stack([enough, ~enough]), segments)
    ]


def join_runs(gaps, estimates, margin, n_times, sfreq):
    """Cross-fade the estimates of the runs of gaps.

    ``gaps (n_gaps, 5)`` are channel, start, stop, and start and stop of the segment. ``estimates``
    yields run (start, stop), channels, first sample, values (n_channels, n_times), which go
    ``margin`` samples beyond the run within its segment, and standard deviations (n_channels,).
    Yields numbers of gaps, and for these first and last sample (n,), values and standard deviations
    (n_samples,) end to end, as soon as their last run is over: few of them take memory at a time.
    """
    order = np.argsort(gaps[:, 1], kind="stable")
    parts = [order[part] for part in divide(gaps[order], margin)]
    under_way = []
    for run, *estimate in estimates:
        for joined in [joined for joined in under_way if joined.stop <= run[0]]:
            under_way.remove(joined)
            yield joined.finish()
        while parts and gaps[parts[0][0], 1] <= run[0]:
            under_way.append(_JoinedRuns(np.sort(parts.pop(0)), gaps, margin, n_times, sfreq))
        for joined in under_way:
            joined.add(run, *estimate)
    for joined in under_way:
        yield joined.finish()


def divide(gaps, margin):
    """Return slices of few gaps ``(n_gaps, 5)`` each, so that their samples take little memory."""
    taken = np.cumsum(gaps[:, 2] - gaps[:, 1] + 2 * margin) // _TOGETHER
    cuts = [0, *(np.flatnonzero(np.diff(taken)) + 1).tolist(), len(gaps)]
    return [slice(a, b) for a, b in zip(cuts[:-1], cuts[1:], strict=True) if b > a]


class _JoinedRuns:
    """Sums of the estimates of some gaps, all of them end to end."""

    def __init__(self, numbers, gaps, margin, n_times, sfreq):
        self._numbers, self._n_times, self._sfreq = numbers, n_times, sfreq
        self._channels, self._starts, self._stops, first, last = gaps[numbers].T
        self._left = np.maximum(first, self._starts - margin)
        self._right = np.minimum(last, self._stops + margin)
        self._keys = self._channels * n_times + self._starts
        ends = np.cumsum(self._right - self._left)
        self._offsets = ends - self._right  # from the number of a sample to its place
        self._values, self._std, self._weight = np.zeros((3, ends[-1]))
        self.stop = self._stops.max()

    def add(self, run, channels, left, values, spread):
        """Add the estimates of a run to those of the gaps that it is in."""
        a, b = run
        gaps = np.searchsorted(self._keys, channels * self._n_times + a, "right") - 1
        here = (self._channels[gaps] == channels) & (self._stops[gaps] > a) & (gaps >= 0)
        if not here.all():
            gaps, values, spread = gaps[here], values[here], spread[here]
        n_times = values.shape[1]
        places = self._offsets[gaps, None] + np.arange(left, left + n_times)
        # Full weight inside, fading into the neighbour: no step where the good channels change.
        width = max(1.0, min(_BLEND * self._sfreq, (b - a) / 2))
        rise = _fade(left - a, n_times, width)
        fall = _fade(b - left - n_times, n_times, width)[::-1]
        share = np.where(self._starts[gaps, None] < a, rise, 1.0)
        share *= np.where(self._stops[gaps, None] > b, fall, 1.0)
        self._weight[places] += share
        self._std[places] += share * spread[:, None]
        share *= values
        self._values[places] += share

    def finish(self):
        """Return what `join_runs` yields."""
        self._values /= self._weight
        self._std /= self._weight
        return self._numbers, self._left, self._right, self._values, self._std


@lru_cache(maxsize=64)
def _fade(first, n_times, width):
    """Rise from 0 to 1 over twice a width of samples, of which one is number 0."""
    return np.clip(0.5 + np.arange(first, first + n_times) / (2 * width), 1e-9, 1)
