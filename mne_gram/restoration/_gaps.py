# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Where a repaired stretch meets the channel's own good samples.

What the spatial estimate misses just before and after a gap says what it misses at the gap's ends:
the miss is predicted into the gap by kriging, which also makes the repair continuous.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_LONGEST = 2.0  # seconds of lag after which nothing is correlated
_REACH = 0.3  # seconds of good samples on either side that predict into the gap
_LEVEL_PART = 0.5  # seconds; how much the means of such parts vary says if there is an offset
_DOUBT = 4.0  # how many squared standard errors an offset has to exceed to be believed at all
CONTEXT = 2.0  # seconds on either side of a gap that tell how an estimate fares there
_BLEND = 0.05  # seconds over which two estimates of one stretch are cross-faded
# Autocorrelation of the miss where a recording has too little to tell: a fast and a slow part.
_DEFAULT_DECAY = ((0.6, 0.02), (0.4, 0.15))
_DEFAULT_SECONDS = 4.0  # how many seconds of the recording's own miss weigh as much


def join_runs(estimates, channel, start, stop, mask, sfreq):
    """Join the estimates of the runs that make up one bad stretch of a channel.

    Parameters
    ----------
    estimates : dict
        ``(channel, start) -> (left, right, values, std)``: the estimate of the run that begins at
        ``start``, with its margins.
    channel : int
        The channel.
    start, stop : int
        The stretch.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    joined : tuple | None
        First sample, values and standard deviation (margins included); None where no good channel
        tells anything in at least one run.
    """
    inside = (mask[:, start + 1 : stop] != mask[:, start : stop - 1]).any(axis=0)
    cuts = [start, *(np.flatnonzero(inside) + start + 1).tolist(), stop]
    runs = [(a, b, estimates.get((channel, a))) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    if any(run[2] is None for run in runs):
        return None
    left, right = runs[0][2][0], runs[-1][2][1]
    values, std = np.zeros(right - left), np.zeros(right - left)
    weight = np.zeros(right - left)
    for number, (a, b, (first, last, estimate, spread)) in enumerate(runs):
        # Full weight inside, fading into the neighbour's time: no step where the pattern changes.
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


class Gap(NamedTuple):
    """A bad stretch of one channel, as far as it lies in the signals at hand.

    Attributes
    ----------
    channel : int
        Row of the channel.
    start, stop : int
        Samples.
    piece : tuple of int
        The stretch of continuous time that it is in.
    joined : tuple | None
        What :func:`join_runs` returned.
    """

    channel: int
    start: int
    stop: int
    piece: tuple
    joined: tuple | None


class Miss(NamedTuple):
    """What estimates miss around the gaps of a recording.

    Attributes
    ----------
    kernel : array, shape (n_lags,)
        Its autocorrelation.
    spreads : dict of int to float
        Its size, for each channel that tells.
    """

    kernel: np.ndarray
    spreads: dict


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What is known of a gap from around it.

    Attributes
    ----------
    start, stop : int
        The gap, in samples.
    times : array of int, shape (n,)
        Good samples of the channel around it.
    miss : array, shape (n,)
        What the estimate misses there.
    lonely : bool
        Whether the gap is all there is of a stretch of continuous time.
    step : float | None
        How large a step is usual around it, where that is known already.
    """

    start: int
    stop: int
    times: np.ndarray
    miss: np.ndarray
    lonely: bool
    step: float | None = None

    def shift(self, samples):
        """Return the same, counted from another sample."""
        return replace(
            self,
            start=self.start - samples,
            stop=self.stop - samples,
            times=self.times - samples,
        )


def look_around(data, mask, gap, sfreq):
    """Find good samples around a gap and what the estimate misses there.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals; read only where good.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    gap : Gap
        The gap.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    around : Surroundings
        What was found.
    """
    channel, start, stop, piece, joined = gap
    reach = round(CONTEXT * sfreq)
    left, right = max(piece[0], start - reach), min(piece[1], stop + reach)
    times = np.r_[left:start, stop:right]
    times = times[~mask[channel, times]]
    miss = data[channel, times]
    if joined is not None:
        times_ok = (times >= joined[0]) & (times < joined[0] + len(joined[1]))
        times, miss = times[times_ok], miss[times_ok]
        miss = miss - joined[1][times - joined[0]]
    return Surroundings(start, stop, times, miss, lonely=(start, stop) == tuple(piece))


def measure_miss(channels, surroundings, sfreq):
    """Learn from the surroundings of gaps how estimates fare.

    Parameters
    ----------
    channels : list of int
        The channel of each gap.
    surroundings : list of Surroundings
        What is around it.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    miss : Miss
        What was learnt.
    """
    misses = [(around.times, around.miss) for around in surroundings]
    return Miss(_fit_kernel(misses, sfreq), _channel_spreads(channels, misses))


def bridge(data, gaps, surroundings, miss, sfreq, fill_gaps):
    """Add to each estimate what it misses at the gap's ends, predicted into the gap.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals, with a line across gaps where nothing is known.
    gaps : list of Gap
        The gaps.
    surroundings : list of Surroundings
        What is around each, be it of a larger gap of which the signals hold a part.
    miss : Miss
        How estimates fare.
    sfreq : float
        Sampling rate in Hz.
    fill_gaps : bool
        Whether to fill stretches for which there is no estimate from past and future alone.

    Returns
    -------
    repaired : list of tuple
        Channel, start, stop, values, standard deviation and whether it is invented.
    """
    kernel, spreads = miss
    repaired = []
    for (channel, a, b, _, joined), around in zip(gaps, surroundings, strict=True):
        if joined is None and (not fill_gaps or around.lonely):
            continue  # nothing before and nothing after: there is nothing to go on with
        # Where nothing is known at all, the line that was drawn across the gap stays.
        estimate = np.zeros(b - a) if len(around.times) else data[channel, a:b].copy()
        spread = spreads.get(channel, 0.0)
        if joined is not None:
            left, values, std = joined
            estimate, spread = values[a - left : b - left], std[a - left : b - left]
            if channel in spreads:  # what is seen around the gaps weighs as much as the model
                spread = np.sqrt((spread**2 + spreads[channel] ** 2) / 2)
        correction, share = _predict(around, a, b, kernel, sfreq)
        repaired.append((channel, a, b, estimate + correction, spread * share, joined is None))
    return repaired


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
    n_lags = round(_REACH * sfreq) + 1
    products, seconds = np.zeros(n_lags), 0.0
    for times, miss in misses:
        for part in np.split(np.arange(len(times)), np.flatnonzero(np.diff(times) > 1) + 1):
            if len(part) < 2 * n_lags:
                continue
            x = miss[part] - miss[part].mean()
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


def _predict(around, start, stop, kernel, sfreq):
    """Krige the miss into a part of a gap; also the share of its deviation that stays."""
    times, miss = around.times, around.miss
    nothing = np.zeros(stop - start), np.ones(stop - start)
    if not len(times):
        return nothing
    level = _find_level(miss, sfreq)
    reach = round(_REACH * sfreq)
    near = (times >= around.start - reach) & (times < around.stop + reach)
    times, miss = times[near], miss[near] - level
    if not len(times):
        return nothing[0] + level, nothing[1]

    def correlate(a, b):
        lag = np.abs(a[:, None] - b[None])
        return np.where(lag < len(kernel), kernel[np.minimum(lag, len(kernel) - 1)], 0.0)

    system = correlate(times, times) + 1e-4 * kernel[0] * np.eye(len(times))
    factor = cho_factor(_make_positive(system))
    # Only the ends of a long gap hear of what is around it.
    gap = np.arange(start, stop)
    ends = np.minimum(gap - around.start, around.stop - 1 - gap) < len(kernel)
    if not ends.any():
        return nothing[0] + level, nothing[1]
    across = correlate(gap[ends], times)
    weights = cho_solve(factor, across.T).T
    correction, share = nothing[0] + level, nothing[1]
    correction[ends] += weights @ miss
    left_over = 1 - (weights * across).sum(axis=1) / kernel[0]
    share[ends] = np.sqrt(left_over.clip(0.01, 1))
    return correction, share


def _find_level(miss, sfreq):
    """Return the constant part of the miss, as far as it stands out from what comes and goes.

    An amplifier without a high-pass has electrode offsets that no other channel tells.
    """
    n_parts = max(2, round(len(miss) / (_LEVEL_PART * sfreq)))
    if len(miss) < n_parts:
        return 0.0
    means = np.array([part.mean() for part in np.array_split(miss, n_parts)])
    level, variance = means.mean(), means.var(ddof=1) / n_parts
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
