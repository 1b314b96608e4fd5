# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Where an estimate meets the channel's own good samples.

What the spatial estimate misses just before and after a gap indicates what it misses at the gap's
ends: the miss is predicted into the gap by kriging, which also makes the estimate continuous.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

_LONGEST = 2.0  # seconds of lag after which nothing is correlated
REACH = 0.3  # seconds of good samples on either side that predict into the gap
_LEVEL_PART = 0.5  # seconds; the variance of the means of such parts shows if there is an offset
_DOUBT = 4.0  # how many squared standard errors an offset has to exceed to be believed at all
CONTEXT = 2.0  # seconds on either side of a gap in which the miss is measured
_BLEND = 0.05  # seconds over which two estimates of one gap are cross-faded
# Autocorrelation of the miss where a recording has too little data: a fast and a slow part.
_DEFAULT_DECAY = ((0.6, 0.02), (0.4, 0.15))
_DEFAULT_SECONDS = 4.0  # how many seconds of the recording's own miss weigh as much
_RAMP = 0.1  # seconds over which a step that is too large is removed
_DENSE, _MOST_NEAR = 20.0, 16  # gaps per second from where so many samples on a side predict
_SHARED_STEP = 0.5  # seconds
_STEP_WINDOW = 2.0  # seconds around a gap in which the usual size of steps is measured
STEP_QUANTILE = 0.99


@dataclass(eq=False)
class Estimate:
    """The estimate of one bad span of one channel."""

    channel: int
    start: int  # sample
    stop: int
    values: np.ndarray  # (stop - start,) in volts
    std: np.ndarray  # of the error, likewise
    invented: bool = False  # whether only past and future samples indicated it


class Gap(NamedTuple):
    """A bad span of one channel, as far as it lies in the block at hand.

    ``segment`` is the segment of continuous time that it is in, ``joined`` what `join_runs`
    returned for it.
    """

    channel: int
    start: int
    stop: int
    segment: tuple
    joined: tuple | None = None


class Miss(NamedTuple):
    """What estimates miss around the gaps of a recording.

    ``kernel (n_lags,)`` is its autocorrelation, ``spreads`` its size by channel.
    """

    kernel: np.ndarray
    spreads: dict


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The good samples around a gap."""

    start: int
    stop: int
    times: np.ndarray  # (n,), their numbers
    miss: np.ndarray  # (n,), what the estimate misses there
    is_alone: bool  # whether the gap fills a segment of continuous time
    step: float | None = None  # how large a step is usual there, if that is known already

    def shift(self, samples):
        """Return the same, counted from another sample."""
        return replace(
            self,
            start=self.start - samples,
            stop=self.stop - samples,
            times=self.times - samples,
        )


# ---------------------------------------------------------------------------------------------
# Estimates of one gap from several sets of good channels


def join_runs(estimates, channel, start, stop, mask, sfreq):
    """Join the estimates of the runs of one gap: first sample, values and std, or None.

    ``estimates`` maps (channel, start) to first and last sample, values and std, with margins.
    """
    inside = (mask[:, start + 1 : stop] != mask[:, start : stop - 1]).any(axis=0)
    cuts = [start, *(np.flatnonzero(inside) + start + 1).tolist(), stop]
    runs = [(a, b, estimates.get((channel, a))) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    if any(run[2] is None for run in runs):
        return None
    if len(runs) == 1:
        first, last, estimate, spread = runs[0][2]
        return first, estimate, np.full(last - first, spread)
    left, right = runs[0][2][0], runs[-1][2][1]
    values, std = np.zeros(right - left), np.zeros(right - left)
    weight = np.zeros(right - left)
    for number, (a, b, (first, last, estimate, spread)) in enumerate(runs):
        # Full weight inside, fading into the neighbour: no step where the good channels change.
        share = np.ones(last - first)
        times = np.arange(first, last)
        if number > 0:
            share *= _fade(times - a, b - a, sfreq)
        if number < len(runs) - 1:
            share *= _fade(b - 1 - times, b - a, sfreq)
        target = slice(first - left, last - left)
        values[target] += share * estimate
        std[target] += share * spread
        weight[target] += share
    return left, values / weight, std / weight


def _fade(distance, length, sfreq):
    """Rise from 0 to 1 around an edge, over a time that fits into a run."""
    width = max(1.0, min(_BLEND * sfreq, length / 2))
    return np.clip(0.5 + distance / (2 * width), 1e-9, 1)


# ---------------------------------------------------------------------------------------------
# The miss around gaps, predicted into them


def look_around(block, gap):
    """Find good samples around a gap and what the estimate misses there."""
    channel, start, stop, segment, joined = gap
    reach = round(CONTEXT * block.sfreq)
    left, right = max(segment[0], start - reach), min(segment[1], stop + reach)
    times = np.r_[left:start, stop:right]
    times = times[~block.mask[channel, times]]
    miss = block.data[channel, times]
    if joined is not None:
        estimated = (times >= joined[0]) & (times < joined[0] + len(joined[1]))
        times, miss = times[estimated], miss[estimated]
        miss = miss - joined[1][times - joined[0]]
    return Surroundings(start, stop, times, miss, is_alone=(start, stop) == tuple(segment))


def measure_miss(channels, surroundings, sfreq):
    """Learn from the surroundings of gaps, and the channel of each, what estimates miss."""
    misses = [(around.times, around.miss) for around in surroundings]
    return Miss(_fit_kernel(misses, sfreq), _channel_spreads(channels, misses))


def bridge(block, gaps, surroundings, miss, fill_gaps):
    """Add to each estimate what it misses at the gap's ends, predicted into the gap.

    Gaps without an estimate have a line drawn across in the block; they are left out, or filled
    from past and future samples alone with ``fill_gaps``.
    """
    kernel, spreads = miss
    estimates = []
    most = _MOST_NEAR if len(gaps) > _DENSE * block.n_times / block.sfreq else None
    for (channel, a, b, _, joined), around in zip(gaps, surroundings, strict=True):
        if joined is None and (not fill_gaps or around.is_alone):
            continue  # nothing before and nothing after to continue
        # Where nothing is known at all, the line that was drawn across the gap stays.
        estimate = np.zeros(b - a) if len(around.times) else block.data[channel, a:b].copy()
        spread = spreads.get(channel, 0.0)
        if joined is not None:
            left, values, std = joined
            estimate, spread = values[a - left : b - left], std[a - left : b - left]
            if channel in spreads:  # the miss around the gaps weighs as much as the model
                spread = np.sqrt((spread**2 + spreads[channel] ** 2) / 2)
        correction, share = _predict(around, a, b, kernel, block.sfreq, most)
        values, std = estimate + correction, spread * share
        estimates.append(Estimate(channel, a, b, values, std, joined is None))
    return estimates


def _channel_spreads(channels, misses):
    """Return the size of the miss around each channel's gaps."""
    squares, counts = {}, {}
    for channel, (_, miss) in zip(channels, misses, strict=True):
        if len(miss) > 1:
            squares[channel] = squares.get(channel, 0.0) + ((miss - miss.mean()) ** 2).sum()
            counts[channel] = counts.get(channel, 0) + len(miss)
    return {channel: np.sqrt(squares[channel] / counts[channel]) for channel in squares}


def _fit_kernel(misses, sfreq):
    """Estimate the autocorrelation of the miss up to the reach, one for all channels."""
    lags = np.arange(round(_LONGEST * sfreq) + 1)
    kernel = sum(share * np.exp(-lags / (decay * sfreq)) for share, decay in _DEFAULT_DECAY)
    n_lags = round(REACH * sfreq) + 1
    products, seconds = np.zeros(n_lags), 0.0
    for times, miss in misses:
        cuts = np.r_[0, np.flatnonzero(np.diff(times) > 1) + 1, len(times)]
        long = np.diff(cuts) >= 2 * n_lags
        for a, b in zip(cuts[:-1][long], cuts[1:][long], strict=True):
            x = miss[a:b] - miss[a:b].mean()
            power = x @ x
            if power <= 0:
                continue
            spectrum = np.fft.rfft(x, 2 * len(x))
            products += np.fft.irfft(np.abs(spectrum) ** 2)[:n_lags] / power * len(x) / sfreq
            seconds += len(x) / sfreq
    if seconds:
        # Tapered to nothing at the reach, so that it stays a correlation.
        own = products / products[0] * (1 - np.arange(n_lags) / n_lags)
        share = seconds / (seconds + _DEFAULT_SECONDS)
        kernel *= 1 - share
        kernel[:n_lags] += share * own
    return kernel


def _predict(around, start, stop, kernel, sfreq, most=None):
    """Krige the miss into a part of a gap; also the share of its deviation that stays.

    ``most`` is how many samples on either side are used, if that is limited.
    """
    times, miss = around.times, around.miss
    nothing = np.zeros(stop - start), np.ones(stop - start)
    if not len(times):
        return nothing
    level = _find_level(miss, sfreq)
    reach = round(REACH * sfreq)
    near = (times >= around.start - reach) & (times < around.stop + reach)
    times, miss = times[near], miss[near] - level
    if most is not None:
        first = np.searchsorted(times, around.start)
        some = slice(max(0, first - most), first + most)
        times, miss = times[some], miss[some]
    if not len(times):
        return nothing[0] + level, nothing[1]

    tapered = np.append(kernel, 0.0)

    def correlate(a, b):
        return tapered[np.minimum(np.abs(a[:, None] - b[None]), len(kernel))]

    system = correlate(times, times)
    np.fill_diagonal(system, system.diagonal() + 1e-4 * kernel[0])
    factor, failed = dpotrf(system)  # without the checks of SciPy's cho_factor, which take longer
    if failed:
        factor, _ = dpotrf(_make_positive(system))
    # Only the ends of a long gap are correlated with what is around it.
    gap = np.arange(start, stop)
    ends = np.minimum(gap - around.start, around.stop - 1 - gap) < len(kernel)
    if not ends.any():
        return nothing[0] + level, nothing[1]
    across = correlate(gap[ends], times)
    weights = dpotrs(factor, across.T)[0].T
    correction, share = nothing[0] + level, nothing[1]
    correction[ends] += weights @ miss
    left_over = 1 - (weights * across).sum(axis=1) / kernel[0]
    share[ends] = np.sqrt(left_over.clip(0.01, 1))
    return correction, share


def _find_level(miss, sfreq):
    """Return the constant part of the miss, as far as it exceeds its fluctuations.

    An amplifier without a high-pass has electrode offsets that no other channel shows.
    """
    n_parts = max(2, round(len(miss) / (_LEVEL_PART * sfreq)))
    if len(miss) < n_parts:
        return 0.0
    edges = np.arange(n_parts + 1) * (len(miss) // n_parts)
    edges += np.minimum(np.arange(n_parts + 1), len(miss) % n_parts)
    means = np.add.reduceat(miss, edges[:-1]) / np.diff(edges)
    level = means.sum() / n_parts
    variance = ((means - level) ** 2).sum() / (n_parts - 1) / n_parts
    return level * max(0.0, 1 - _DOUBT * variance / level**2) if level else 0.0


def _make_positive(matrix):
    """Return the matrix with just enough on its diagonal to be positive definite."""
    extra = 0.0
    for _ in range(8):
        try:
            np.linalg.cholesky(matrix + extra * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            extra = max(1e-3 * matrix[0, 0], 4 * extra)
        else:
            break
    return matrix + extra * np.eye(len(matrix))


# ---------------------------------------------------------------------------------------------
# Steps at the seams


def limit_steps(block, estimates, known=None):
    """Ramp out steps at seams above the 99th percentile of the channel's steps nearby, in place.

    ``known`` maps (channel, start) to a usual step that the block does not show.
    """
    data, mask, sfreq, known = block.data, block.mask, block.sfreq, known or {}
    near, last = 0.0, {}  # where gaps are dense, those nearby share a limit
    if len(estimates) > _DENSE * block.n_times / sfreq:
        near = _SHARED_STEP * sfreq
    for estimate in estimates:
        start, stop = block.find_segment(estimate.start)
        before = last.get(estimate.channel)
        if (estimate.channel, estimate.start) in known:
            limit = known[estimate.channel, estimate.start]
        elif before is not None and 0 <= estimate.start - before[0] < near:
            limit = before[1]
        else:
            limit = usual_step(block, estimate, (start, stop))
            last[estimate.channel] = estimate.start, limit
        if limit is None:
            continue
        length = estimate.stop - estimate.start
        if length == 1:  # one sample has to fit both neighbours, or its only one
            ends = [t for t in (estimate.start - 1, estimate.stop) if start <= t < stop]
            ends = data[estimate.channel, [t for t in ends if not mask[estimate.channel, t]]]
            if not len(ends):
                continue
            low, high = ends.max() - limit, ends.min() + limit
            middle = np.array([ends.mean()])
            estimate.values[:] = np.clip(estimate.values, low, high) if low <= high else middle
            continue
        ramp_length = min(max(1, round(_RAMP * sfreq)), max(1, length // 2))
        ramp = (1 + np.cos(np.pi * np.arange(ramp_length) / ramp_length)) / 2
        if estimate.start > start and not mask[estimate.channel, estimate.start - 1]:
            step = estimate.values[0] - data[estimate.channel, estimate.start - 1]
            estimate.values[:ramp_length] -= np.sign(step) * max(0.0, abs(step) - limit) * ramp
        if estimate.stop < stop and not mask[estimate.channel, estimate.stop]:
            step = estimate.values[-1] - data[estimate.channel, estimate.stop]
            excess = np.sign(step) * max(0.0, abs(step) - limit)
            estimate.values[length - ramp_length :] -= excess * ramp[::-1]


def usual_step(block, gap, segment):
    """Return the 99th percentile of a channel's good steps in the 2 s around a gap, or None."""
    steps = usual_steps(block, gap, segment)
    return np.quantile(steps, STEP_QUANTILE) if len(steps) else None


def usual_steps(block, gap, segment):
    """Return the absolute good steps of a channel in the 2 s around a gap, shape (n_steps,)."""
    reach = round(_STEP_WINDOW * block.sfreq)
    left, right = max(segment[0], gap.start - reach), min(segment[1], gap.stop + reach)
    row = block.data[gap.channel, left:right]
    good = ~block.mask[gap.channel, left:right]
    return np.abs(np.diff(row))[good[1:] & good[:-1]]
