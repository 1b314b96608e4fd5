# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The method "spatial": bad samples are estimated by a conditional Gaussian.

The order of things:

1. every gap gets a rough estimate, sample by sample, so that filters meet no garbage;
2. intermittent channels are estimated band by band from those that are good then, and joined to
   their own past and future by kriging of what the estimate misses there;
3. channels that are bad throughout are estimated from all others, repaired ones included. That is
   the same as estimating them from the good ones alone (the tower property of conditional means),
   but without a step where the set of good channels changes.
"""

from functools import partial

import numpy as np

from ..covariance import MIN_GOOD, filter_length, split_bands, sum_bands
from ._fit import Plan, fit_spatial, measure_statistics
from ._gaps import (
    CONTEXT,
    REACH,
    Estimate,
    Gap,
    bridge,
    join_runs,
    limit_steps,
    look_around,
    measure_miss,
)
from ._noise import colour_noise, read_noise

_CHUNK_SECONDS = 60.0
# Where estimates have this many times the samples of the block, all runs share filtered signals, of
# so many seconds at once.
_MIN_SHARED, _SHARED_SECONDS = 1.0, 8.0
_MANY = 50  # times that a sample may be estimated, on average, before runs get less context
_MOST_SPREADS = 500  # in a block, of channels that are bad throughout


def fit(recording, settings):
    """Learn the covariance of a recording, and what else the estimate needs."""
    statistics = measure_statistics(recording, settings.prior)
    return Plan(fit_spatial(recording, statistics, settings))


def estimate(block, plan):
    """Estimate the bad samples of a block."""
    return estimate_spatial(block, plan.spatial)


def estimate_spatial(block, spatial):
    """Estimate the bad samples of a block, which are overwritten; returns a list of Estimates.

    Good samples of the block come back to within rounding. Gaps that were left unchanged and
    channels that cannot be restored are not among the estimates.
    """
    data, times = block.data, block.times
    for channel, baseline in spatial.baselines.items():
        data[channel] -= baseline(times)
    runs, gaps = find_gaps(block, spatial)
    surroundings = [_recall(block, gap, spatial) or look_around(block, gap) for gap in gaps]
    miss = spatial.miss or measure_miss([gap.channel for gap in gaps], surroundings, block.sfreq)
    estimates = bridge(block, gaps, surroundings, miss, spatial.fill_gaps)
    write_estimates(block, estimates)
    found = _estimate_whole(block, runs, spatial)
    estimates += [estimate for estimate in found if spatial.fill_gaps or not estimate.invented]
    for channel, baseline in spatial.baselines.items():
        data[channel] += baseline(times)
    for estimate in estimates:
        if estimate.channel in spatial.baselines:
            inside = times[estimate.start : estimate.stop]
            estimate.values += spatial.baselines[estimate.channel](inside)
    finish(block, estimates, spatial)
    return [estimate for estimate in estimates if estimate.channel not in spatial.lost]


def finish(block, estimates, spatial):
    """Limit the steps at the seams of estimates, and write them into the block."""
    recalled = {(e.channel, e.start): _recall(block, e, spatial) for e in estimates}
    known = {key: a.step for key, a in recalled.items() if a is not None and a.step is not None}
    limit_steps(block, estimates, known)
    write_estimates(block, estimates)


def write_estimates(block, estimates):
    """Overwrite bad samples of a block."""
    for estimate in estimates:
        block.data[estimate.channel, estimate.start : estimate.stop] = estimate.values


def _recall(block, gap, spatial):
    """Return what is known of a gap that continues beyond the block, else None."""
    for around in spatial.known.get(gap.channel, ()):
        if around.start <= block.first + gap.start and block.first + gap.stop <= around.stop:
            return around.shift(block.first)
    return None


# ---------------------------------------------------------------------------------------------
# Where channels are bad


def find_runs(mask, segments):
    """Cut time where the set of bad channels changes.

    Returns start, stop and segment of continuous time of each run in which something is bad.
    """
    changes = np.flatnonzero((mask[:, 1:] != mask[:, :-1]).any(axis=0)) + 1
    runs = []
    for segment in segments:
        start, stop = segment
        inside = changes[np.searchsorted(changes, start, "right") : np.searchsorted(changes, stop)]
        cuts = [start, *inside.tolist(), stop]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            if b > a and mask[:, a].any():
                runs.append((a, b, segment))
    return runs


def list_gaps(mask, segments, enough=None):
    """List the gaps of each channel as (channel, start, stop, segment).

    They are cut where ``enough (n_times,)`` changes: whether enough channels are good.
    """
    enough = np.ones(mask.shape[1], bool) if enough is None else enough
    gaps = []
    for channel in np.flatnonzero(mask.any(axis=1)):
        found = [
            run
            for part in (enough, ~enough)
            for run in find_runs((mask[channel] & part)[None], segments)
        ]
        gaps += [(int(channel), a, b, segment) for a, b, segment in sorted(found)]
    return gaps


# ---------------------------------------------------------------------------------------------
# Intermittent channels


def find_gaps(block, spatial):
    """Estimate intermittent channels from those that are good at the time.

    Returns the runs of these channels and their Gaps; baselines are already subtracted.
    """
    others = np.flatnonzero(~spatial.whole)
    intermittent = block.mask & ~spatial.whole[:, None]
    runs = find_runs(intermittent, block.segments)
    operators, estimate = spatial.operators, partial(_estimate, block, spatial.noise)
    margin = round(CONTEXT * block.sfreq)
    if 2 * margin * len(runs) > _MANY * block.n_times:
        margin = round(REACH * block.sfreq)
    n_values = sum(intermittent[:, a].sum() * (b - a + 2 * margin) for a, b, _ in runs)
    if n_values > _MIN_SHARED * len(others) * block.n_times:
        operators = operators.prepare(others)
        if spatial.noise is None:
            estimate = SharedBands(block, others)
    _fill_roughly(block.data, intermittent, others, runs, operators)
    estimates = {}
    for a, b, segment in runs:
        good, bad = _split(intermittent[:, a], others)
        if len(good) < MIN_GOOD:
            continue
        left, right = max(segment[0], a - margin), min(segment[1], b + margin)
        weights, _, error = operators(good, bad)
        found = estimate(good, bad, weights, error, (left, right), segment)
        spread = spatial.operators.scale(error)
        for row, channel in enumerate(bad):
            estimates[int(channel), a] = (left, right, found[row], spread[row])
    enough = (~block.mask).sum(axis=0) >= MIN_GOOD
    gaps = []
    for channel, a, b, segment in list_gaps(intermittent, block.segments, enough):
        joined = None
        if enough[a]:
            joined = join_runs(estimates, channel, a, b, intermittent, block.sfreq)
        gaps.append(Gap(channel, a, b, segment, joined))
    return runs, gaps


def _split(bad, others):
    """Return good and bad channels at one time, as indices."""
    return others[~bad[others]], others[bad[others]]


def _fill_roughly(data, mask, others, runs, operators):
    """Replace bad samples by the broad-band estimate, or by a line where no channel is good."""
    empty = []
    for a, b, segment in runs:
        good, bad = _split(mask[:, a], others)
        if len(good) < MIN_GOOD:
            empty.append((a, b, segment))
            data[bad, a:b] = 0.0
        else:
            data[bad, a:b] = operators(good, bad)[1] @ data[good, a:b]
    for a, b, segment in empty:
        bad = np.flatnonzero(mask[:, a])
        before = data[bad, a - 1] if a > segment[0] else None
        after = data[bad, b] if b < segment[1] else before
        before = after if before is None else before
        if before is not None:
            ramp = np.linspace(0, 1, b - a + 2)[1:-1]
            data[bad, a:b] = before[:, None] + (after - before)[:, None] * ramp


def _estimate(block, noise, good, bad, weights, error, span, segment):
    """Estimate bad channels band by band over a span of a segment, in chunks: (n_bad, n_times).

    ``weights`` and ``error`` are what `Operators` returns per band.
    """
    sfreq, first, (start, stop) = block.sfreq, block.first, span
    half = filter_length(sfreq) // 2
    found = np.empty((len(bad), stop - start))
    chunk = max(1, round(_CHUNK_SECONDS * sfreq))
    for a in range(start, stop, chunk):
        b = min(a + chunk, stop)
        left, right = max(segment[0], a - half), min(segment[1], b + half)
        parts = weights @ block.data[good, left:right]
        if noise is not None:
            drawn = read_noise(noise, first + left, first + right, sfreq)
            parts += colour_noise(error, sfreq) @ drawn[:, bad]
        found[:, a - start : b - start] = sum_bands(parts, sfreq, (a - left, right - b))
    return found


class SharedBands:
    """Estimates bad channels as `_estimate` does; neighbouring spans share the filtered signals.

    Spans come in the order of time, and the block does not change.
    """

    def __init__(self, block, channels):
        self._block, self._channels = block, channels
        self._row = np.zeros(len(block.data), int)
        self._row[channels] = np.arange(len(channels))
        self._start = self._stop = 0
        self._parts = None  # (n_channels * n_bands, n_times) from start to stop

    def __call__(self, good, bad, weights, error, span, segment):
        """Return the estimates over a span of a segment, (n_bad, n_times)."""
        start, stop = span
        if not self._start <= start <= stop <= self._stop or self._segment != segment:
            self._read(start, stop, segment)
        rows = np.zeros((len(bad), len(weights), len(self._channels)))
        rows[:, :, self._row[good]] = weights.swapaxes(0, 1)
        rows = rows.reshape(len(bad), -1)
        return rows @ self._parts[:, start - self._start : stop - self._start]

    def _read(self, start, stop, segment):
        """Filter the signals of a span, and some more after it."""
        sfreq = self._block.sfreq
        half = filter_length(sfreq) // 2
        stop = min(segment[1], max(stop, start + round(_SHARED_SECONDS * sfreq)))
        left, right = max(segment[0], start - half), min(segment[1], stop + half)
        parts = split_bands(self._block.data[self._channels, left:right], sfreq)
        self._parts = parts[..., start - left : stop - left].reshape(-1, stop - start)
        self._start, self._stop, self._segment = start, stop, segment


# ---------------------------------------------------------------------------------------------
# Channels that are bad throughout


def _estimate_whole(block, runs, spatial):
    """Estimate channels that are bad throughout from all others, repaired ones included."""
    good, bad = np.flatnonzero(~spatial.whole), np.flatnonzero(spatial.whole)
    if not len(bad):
        return []
    data, mask, operators = block.data, block.mask, spatial.operators
    std = np.repeat(operators.spread(good, bad)[:, None], block.n_times, axis=1)
    # The error is larger where neighbours are estimates themselves.
    step = -(-len(runs) // _MOST_SPREADS)
    for some in (runs[k : k + step] for k in range(0, len(runs), step or 1)):
        a, b = some[0][0], some[-1][1]
        kept = good[~mask[good, some[0][0]]]
        if len(kept) >= MIN_GOOD:
            std[:, a:b] = operators.spread(kept, bad)[:, None]
    weights, _, error = operators(good, bad)
    for segment in block.segments:
        data[bad, slice(*segment)] = _estimate(
            block, spatial.noise, good, bad, weights, error, segment, segment
        )
    # Where no channel is good, the others are inventions, and so is what is made of them.
    enough = (~mask).sum(axis=0) >= MIN_GOOD
    std[:, ~enough] = np.hypot(std[:, ~enough], operators.size(good, bad)[:, None])
    spans = [(a, b, False) for a, b, _ in find_runs(enough[None], [(0, block.n_times)])]
    spans += [
        (a, b, True)
        for a, b, _ in find_runs(~enough[None], block.segments)
        if not _is_in_hole(block.first + a, block.first + b, spatial.holes)
    ]
    return [
        Estimate(int(channel), a, b, data[channel, a:b].copy(), row[a:b], invented)
        for channel, row in zip(bad, std, strict=True)
        for a, b, invented in spans
    ]


def _is_in_hole(start, stop, holes):
    """Return whether a span lies in a segment throughout which too few channels are good."""
    return bool(((holes[:, 0] <= start) & (stop <= holes[:, 1])).any())
