# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Runs, in which the set of bad channels does not change, and the gaps of channels.

A gap of a channel consists of one or more runs, each with an estimate from other good channels.
"""

import numpy as np

_TOGETHER = 2048  # gaps that are joined at once
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
    """Cross-fade the estimates of the runs of gaps; yield the number of each gap and its estimate.

    ``gaps`` are those from `list_gaps`. ``estimates`` yields run (start, stop), channels, first
    sample, values (n_channels, n_times), which go ``margin`` samples beyond the run within its
    segment, and standard deviations (n_channels,). An estimate is first sample, values and standard
    deviations. Gaps are yielded when their last run is over, so that few of them take memory.
    """
    starts = np.array([gap[1] for gap in gaps], int)
    order, first, under_way = np.argsort(starts, kind="stable"), 0, []
    for run, *estimate in estimates:
        for joined in [joined for joined in under_way if joined.stop <= run[0]]:
            under_way.remove(joined)
            yield from joined.finish()
        while first < len(gaps) and starts[order[first]] <= run[0]:
            numbers = np.sort(order[first : first + _TOGETHER]).tolist()
            under_way.append(_JoinedRuns(numbers, gaps, margin, n_times, sfreq))
            first += _TOGETHER
        for joined in under_way:
            joined.add(run, *estimate)
    for joined in under_way:
        yield from joined.finish()


class _JoinedRuns:
    """Sums of the estimates of some gaps, all of them end to end."""

    def __init__(self, numbers, gaps, margin, n_times, sfreq):
        self._numbers, self._n_times, self._sfreq = numbers, n_times, sfreq
        spans = [
            (channel, a, b, max(segment[0], a - margin), min(segment[1], b + margin))
            for channel, a, b, segment, *_ in (gaps[number] for number in numbers)
        ]
        self._channels, self._starts, self._stops, self._left, right = np.array(spans).T
        self._keys = self._channels * n_times + self._starts
        self._ends = np.cumsum(right - self._left)
        self._offsets = self._ends - right  # from the number of a sample to its place
        self._values, self._std, self._weight = np.zeros((3, self._ends[-1]))
        self.stop = self._stops.max()

    def add(self, run, channels, left, values, spread):
        """Add the estimates of a run to those of the gaps that it is in."""
        a, b = run
        gaps = np.searchsorted(self._keys, channels * self._n_times + a, "right") - 1
        here = (self._channels[gaps] == channels) & (self._stops[gaps] > a) & (gaps >= 0)
        if not here.all():
            gaps, values, spread = gaps[here], values[here], spread[here]
        times = np.arange(left, left + values.shape[1])
        places = self._offsets[gaps, None] + times
        # Full weight inside, fading into the neighbour: no step where the good channels change.
        rise = _fade(times - a, b - a, self._sfreq)
        fall = _fade(b - 1 - times, b - a, self._sfreq)
        share = np.where(self._starts[gaps, None] < a, rise, 1.0)
        share *= np.where(self._stops[gaps, None] > b, fall, 1.0)
        self._weight[places] += share
        self._std[places] += share * spread[:, None]
        share *= values
        self._values[places] += share

    def finish(self):
        """Yield the number of each gap, and first sample, values and standard deviations."""
        self._values /= self._weight
        self._std /= self._weight
        ends = self._ends.tolist()
        for number, left, a, b in zip(
            self._numbers, self._left.tolist(), [0, *ends], ends, strict=False
        ):
            yield number, (left, self._values[a:b], self._std[a:b])


def _fade(distance, length, sfreq):
    """Rise from 0 to 1 around an edge, over a time that fits into a run."""
    width = max(1.0, min(_BLEND * sfreq, length / 2))
    return np.clip(0.5 + distance / (2 * width), 1e-9, 1)
