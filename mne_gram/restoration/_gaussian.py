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

import numpy as np

from ..covariance import MIN_GOOD, invert_parts, sum_bands
from ._fit import Plan, fit_spatial, measure_statistics
from ._gaps import (
    CONTEXT,
    REACH,
    Estimate,
    bridge,
    join_surroundings,
    look_around,
    measure_miss,
)
from ._noise import colour_noise, read_noise
from ._runs import divide, find_runs, join_runs, list_gaps
from ._seams import limit_steps
from ._shared_bands import SharedBands, find_crowded, widen

_CHUNK_SECONDS = 60.0
_MANY = 50  # times that a sample may be estimated, on average, before runs get less context
_MOST_CONTEXT = 80  # samples of it then
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
    runs, gaps, surroundings = find_gaps(block, spatial)
    if spatial.known:
        surroundings = [_recall_all(block, around, spatial) for around in surroundings]
    miss = spatial.miss or measure_miss(surroundings, block.sfreq)
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
    known = {}
    if spatial.known:
        recalled = {
            (e.channel, e.start): _recall(block, e.channel, e.start, e.stop, spatial)
            for e in estimates
        }
        known = {key: a.step for key, a in recalled.items() if a is not None and a.step is not None}
    limit_steps(block, estimates, known)
    write_estimates(block, estimates)


def write_estimates(block, estimates):
    """Overwrite bad samples of a block."""
    for estimate in estimates:
        block.data[estimate.channel, estimate.start : estimate.stop] = estimate.values


def _recall_all(block, surroundings, spatial):
    """Replace the Surroundings of gaps that continue beyond the block by what is known of them."""
    gaps = np.stack(surroundings[:3], axis=1).tolist()
    known = [_recall(block, *gap, spatial) for gap in gaps]
    parts = [around or surroundings.select(k) for k, around in enumerate(known)]
    return join_surroundings(parts) if any(known) else surroundings


def _recall(block, channel, start, stop, spatial):
    """Return what is known of a gap that continues beyond the block, else None."""
    for around in spatial.known.get(channel, ()):
        if around.start[0] <= block.first + start and block.first + stop <= around.stop[0]:
            return around.shift(block.first)
    return None


# ---------------------------------------------------------------------------------------------
# Intermittent channels


def find_gaps(block, spatial):
    """Estimate intermittent channels from those that are good at the time.

    Returns the runs of these channels, and lists of Gaps and of their Surroundings; baselines are
    already subtracted.
    """
    others = np.flatnonzero(~spatial.whole)
    intermittent = block.mask & ~spatial.whole[:, None]
    runs = find_runs(intermittent, block.segments)
    margin = round(CONTEXT * block.sfreq)
    if 2 * margin * len(runs) > _MANY * block.n_times:
        margin = min(round(REACH * block.sfreq), _MOST_CONTEXT)
    sharing = [None] * len(runs)
    chosen = find_crowded(runs, margin, block.sfreq)
    if chosen.any():
        shared = SharedBands(block, others, spatial.operators, spatial.noise)
        sharing = [shared if crowded else None for crowded in chosen]
    _fill_roughly(block.data, intermittent, others, runs, sharing, spatial.operators)
    enough = (~block.mask).sum(axis=0) >= MIN_GOOD
    listed = list_gaps(intermittent, block.segments, enough)
    listed = np.array([(*gap[:3], *gap[3]) for gap in listed], int).reshape(-1, 5)
    solvable = enough[listed[:, 1]]
    estimates = _estimate_runs(block, spatial, intermittent, runs, sharing, margin)
    joined = join_runs(listed[solvable], estimates, margin, block.n_times, block.sfreq)
    found = [look_around(block, listed[solvable][some], margin, parts) for some, *parts in joined]
    rest = listed[~solvable]
    found += [look_around(block, rest[some], margin) for some in divide(rest, margin)]
    return runs, [gaps for gaps, _ in found], [around for _, around in found]


def _estimate_runs(block, spatial, mask, runs, sharing, margin):
    """Estimate the channels that are bad in each run, as `join_runs` needs them."""
    others = np.flatnonzero(~spatial.whole)
    for (a, b, segment), shared in zip(runs, sharing, strict=True):
        good, bad = _split(mask[:, a], others)
        if len(good) < MIN_GOOD:
            continue
        span = max(segment[0], a - margin), min(segment[1], b + margin)
        if shared is not None:
            found, error = shared.estimate(bad, span, segment)
            chunks = [(span[0], found)]
        else:
            weights, _, error = spatial.operators(good, bad)
            chunks = _estimate(block, spatial.noise, good, bad, weights, error, span, segment)
        spread = spatial.operators.scale(error)
        for first, found in chunks:
            yield (a, b), bad, first, found, spread


def _split(bad, others):
    """Return good and bad channels at one time, as indices."""
    return others[~bad[others]], others[bad[others]]


def _fill_roughly(data, mask, others, runs, sharing, operators):
    """Replace bad samples by the broad-band estimate, or by a line where no channel is good.

    ``sharing`` are the SharedBands of each run, or None.
    """
    empty = []
    for (a, b, segment), shared in zip(runs, sharing, strict=True):
        good, bad = _split(mask[:, a], others)
        if len(good) < MIN_GOOD:
            empty.append((a, b, segment))
            data[bad, a:b] = 0.0
        elif shared is not None:
            data[bad, a:b] = shared.fill(bad, a, b)
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
    """Estimate bad channels band by band over a span of a segment.

    ``weights`` and ``error`` are what `Operators` returns per band. Yields the first sample of
    chunks, and the estimates (n_bad, n_times) there.
    """
    sfreq, first, (start, stop) = block.sfreq, block.first, span
    chunk = max(1, round(_CHUNK_SECONDS * sfreq))
    for a in range(start, stop, chunk):
        left, right, pad = widen((a, min(a + chunk, stop)), segment, sfreq)
        parts = weights @ block.data[good, left:right]
        if noise is not None:
            drawn = read_noise(noise, first + left, first + right, sfreq)
            parts += colour_noise(error, sfreq) @ drawn[:, bad]
        yield a, sum_bands(parts, sfreq, pad)


# ---------------------------------------------------------------------------------------------
# Channels that are bad throughout


def _estimate_whole(block, runs, spatial):
    """Estimate channels that are bad throughout from all others, repaired ones included."""
    good, bad = np.flatnonzero(~spatial.whole), np.flatnonzero(spatial.whole)
    if not len(bad):
        return []
    data, mask, operators = block.data, block.mask, spatial.operators
    weights, _, error = operators(good, bad)
    std = np.repeat(operators.scale(error)[:, None], block.n_times, axis=1)
    # The error is larger where neighbours are estimates themselves.
    step = -(-len(runs) // _MOST_SPREADS)
    precision = operators.find_precisions(np.arange(len(mask)))[0] if runs else None
    for some in (runs[k : k + step] for k in range(0, len(runs), step or 1)):
        a, b = some[0][0], some[-1][1]
        gone = good[mask[good, a]]
        if len(good) - len(gone) >= MIN_GOOD:
            spread = operators.scale(invert_parts(precision, np.append(bad, gone)))
            std[:, a:b] = spread[: len(bad), None]
    for segment in block.segments:
        chunks = _estimate(block, spatial.noise, good, bad, weights, error, segment, segment)
        for start, found in chunks:
            data[bad, start : start + found.shape[1]] = found
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
