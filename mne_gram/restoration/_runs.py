# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Runs, in which the set of bad channels does not change, and the gaps of channels.

A gap of a channel consists of one or more runs, each with an estimate from other good channels.
"""

import numpy as np

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


class JoinedRuns:
    """The estimates of gaps, cross-faded from those of their runs, all of them end to end.

    ``gaps`` are (channel, start, stop, segment), by channel and time; estimates go ``margin``
    samples beyond a gap, within its segment.
    """

    def __init__(self, gaps, margin, n_times, sfreq):
        self._n_times, self._sfreq = n_times, sfreq
        spans = [(c, a, b, max(s[0], a - margin), min(s[1], b + margin)) for c, a, b, s in gaps]
        spans = np.array(spans, int).reshape(-1, 5)
        channels, self._starts, self._stops, self._left, right = spans.T
        self._keys = channels * n_times + self._starts
        self._ends = np.cumsum(right - self._left)
        self._offsets = self._ends - right  # from the number of a sample to its place
        self._values, self._std, self._weight = np.zeros((3, self._ends[-1] if len(gaps) else 0))

    def add(self, run, channels, left, values, spread):
        """Add the estimates of a run (start, stop) and their standard deviation, (n_channels,).

        ``values (n_channels, n_times)`` begin at the sample ``left``.
        """
        a, b = run
        gaps = np.searchsorted(self._keys, channels * self._n_times + a, "right") - 1
        times = np.arange(left, left + values.shape[1])
        places = self._offsets[gaps, None] + times
        # Full weight inside, fading into the neighbour: no step where the good channels change.
        rise, fall = (
            _fade(distance, b - a, self._sfreq) for distance in (times - a, b - 1 - times)
        )
        share = np.where(self._starts[gaps, None] < a, rise, 1.0)
        share *= np.where(self._stops[gaps, None] > b, fall, 1.0)
        self._weight[places] += share
        self._std[places] += share * spread[:, None]
        share *= values
        self._values[places] += share

    def finish(self):
        """Return first sample, values and standard deviations of each gap."""
        self._values /= self._weight
        self._std /= self._weight
        inside = map(slice, [0, *self._ends.tolist()], self._ends.tolist())
        return [
            (left, self._values[place], self._std[place])
            for left, place in zip(self._left.tolist(), inside, strict=False)
        ]


def _fade(distance, length, sfreq):
    """Rise from 0 to 1 around an edge, over a time that fits into a run."""
    width = max(1.0, min(_BLEND * sfreq, length / 2))
    return np.clip(0.5 + distance / (2 * width), 1e-9, 1)
