# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Where an estimate meets the channel's own good samples.

What the spatial estimate misses just before and after a gap indicates what it misses at the gap's
ends: the miss is predicted into the gap by kriging, which also makes the estimate continuous.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dposv

_LONGEST = 2.0  # seconds of lag after which nothing is correlated
REACH = 0.3  # seconds of good samples on either side that predict into the gap
_LEVEL_PART = 0.5  # seconds; the variance of the means of such parts shows if there is an offset
_DOUBT = 4.0  # how many squared standard errors an offset has to exceed to be believed at all
CONTEXT = 2.0  # seconds on either side of a gap in which the miss is measured
# Autocorrelation of the miss where a recording has too little data: a fast and a slow part.
_DEFAULT_DECAY = ((0.6, 0.02), (0.4, 0.15))
_DEFAULT_SECONDS = 4.0  # how many seconds of the recording's own miss weigh as much
DENSE, _MOST_NEAR = 20.0, 16  # gaps per second from where so many samples on a side predict
_TOGETHER, _MOST_VALUES = 1024, 2**20  # gaps, and values of their systems, at once


@dataclass(eq=False, slots=True)
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

    ``segment`` is the segment of continuous time that it is in, ``joined`` what `join_runs` yields
    of it, None where too few channels are good.
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


class Surroundings(NamedTuple):
    """The good samples around a gap."""

    start: int
    stop: int
    times: np.ndarray  # (n,), their numbers
    miss: np.ndarray  # (n,), what the estimate misses there
    is_alone: bool  # whether the gap fills a segment of continuous time
    step: float | None = None  # how large a step is usual there, if that is known already

    def shift(self, samples):
        """Return the same, counted from another sample."""
        return self._replace(
            start=self.start - samples,
            stop=self.stop - samples,
            times=self.times - samples,
        )


def look_around(block, gap):
    """Find good samples around a gap and what its estimate misses there."""
    channel, start, stop, segment, joined = gap
    reach = round(CONTEXT * block.sfreq)
    left, right = max(segment[0], start - reach), min(segment[1], stop + reach)
    if joined is not None:
        left, right = max(left, joined[0]), min(right, joined[0] + len(joined[1]))
    times = (~block.mask[channel, left:right]).nonzero()[0]
    times += left
    miss = block.data[channel].take(times)
    if joined is not None:
        miss -= joined[1].take(times - joined[0])
    return Surroundings(start, stop, times, miss, is_alone=(start, stop) == tuple(segment))


def measure_miss(channels, surroundings, sfreq):
    """Learn from the surroundings of gaps, and the channel of each, what estimates miss."""
    return Miss(_fit_kernel(surroundings, sfreq), _channel_spreads(channels, surroundings))


def bridge(block, gaps, surroundings, miss, fill_gaps):
    """Add to each estimate what it misses at the gap's ends, predicted into the gap.

    Gaps without an estimate have a line drawn across in the block; they are left out, or filled
    from past and future samples alone with ``fill_gaps``.
    """
    most = _MOST_NEAR if len(gaps) > DENSE * block.n_times / block.sfreq else None
    kept = [
        (gap, around)
        for gap, around in zip(gaps, surroundings, strict=True)
        # Else there is nothing before and nothing after to continue.
        if gap.joined is not None or (fill_gaps and not around.is_alone)
    ]
    estimates = []
    for some in (kept[k : k + _TOGETHER] for k in range(0, len(kept), _TOGETHER)):
        estimates += _bridge_some(block, some, miss, most)
    return estimates


def _bridge_some(block, gaps, miss, most):
    """Return the Estimates of some gaps, given as (Gap, Surroundings)."""
    values, std = [], []
    for (channel, a, b, _, joined), around in gaps:
        if joined is not None:
            inside = slice(a - joined[0], b - joined[0])
            values.append(joined[1][inside])
            std.append(joined[2][inside])
        else:  # where nothing is known at all, the line that was drawn across the gap stays
            values.append(np.zeros(b - a) if len(around.times) else block.data[channel, a:b])
            std.append(np.full(b - a, miss.spreads.get(channel, 0.0)))
    spans = np.array([(gap.start, gap.stop) for gap, _ in gaps])
    correction, share = _predict(
        [around for _, around in gaps], spans, miss.kernel, block.sfreq, most
    )
    values, std = np.concatenate(values) + correction, np.concatenate(std)
    # The miss around the gaps weighs as much as the model.
    sizes = spans[:, 1] - spans[:, 0]
    seen = np.repeat([miss.spreads.get(gap.channel, np.nan) for gap, _ in gaps], sizes)
    std = share * np.where(np.isnan(seen), std, np.sqrt((std**2 + seen**2) / 2))
    ends = np.cumsum(sizes).tolist()
    return [
        Estimate(gap.channel, gap.start, gap.stop, values[a:b], std[a:b], gap.joined is None)
        for (gap, _), a, b in zip(gaps, [0, *ends], ends, strict=False)
    ]


def _channel_spreads(channels, surroundings):
    """Return the size of the miss around each channel's gaps."""
    misses = {}
    for channel, around in zip(channels, surroundings, strict=True):
        if len(around.miss) > 1:
            misses.setdefault(channel, []).append(around.miss)
    spreads = {}
    for channel, own in misses.items():
        sizes, flat = np.array([len(miss) for miss in own]), np.concatenate(own)
        flat -= np.repeat(np.add.reduceat(flat, np.cumsum(sizes) - sizes) / sizes, sizes)
        spreads[channel] = np.sqrt(flat @ flat / len(flat))
    return spreads


def _fit_kernel(surroundings, sfreq):
    """Estimate the autocorrelation of the miss up to the reach, one for all channels."""
    lags = np.arange(round(_LONGEST * sfreq) + 1)
    kernel = sum(share * np.exp(-lags / (decay * sfreq)) for share, decay in _DEFAULT_DECAY)
    n_lags = round(REACH * sfreq) + 1
    products, seconds = np.zeros(n_lags), 0.0
    for times, miss in ((a.times, a.miss) for a in surroundings if len(a.times) >= 2 * n_lags):
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


def _predict(surroundings, spans, kernel, sfreq, most=None):
    """Krige the miss into gaps ``(n, 2)``; also the share of its deviation that stays.

    Both are arrays of all gaps end to end. ``most`` is how many samples on either side are used,
    if that is limited.
    """
    reach, levels = round(REACH * sfreq), _find_levels([a.miss for a in surroundings], sfreq)
    same = {}  # gaps with so many samples near
    for number, (around, level) in enumerate(zip(surroundings, levels, strict=True)):
        first, middle, last = around.times.searchsorted(
            (around.start - reach, around.start, around.stop + reach)
        )
        if most is not None:
            first, last = max(first, middle - most), min(last, middle + most)
        if last > first:
            near = around.times[first:last], around.miss[first:last] - level
            same.setdefault(int(last - first), []).append((number, *near))
    sizes = spans[:, 1] - spans[:, 0]
    correction, share = np.repeat(levels, sizes), np.ones(sizes.sum())
    # Only the ends of a long gap are correlated with what is around it.
    edges = np.array([(around.start, around.stop) for around in surroundings])
    owner = np.repeat(np.arange(len(spans)), sizes)
    gap = np.arange(len(owner)) + np.repeat(spans[:, 1] - np.cumsum(sizes), sizes)
    depth = np.minimum(gap - edges[owner, 0], edges[owner, 1] - 1 - gap)
    places = np.flatnonzero(depth < len(kernel))
    cuts = np.searchsorted(owner[places], np.arange(len(spans) + 1))
    tapered = np.append(kernel, 0.0)
    for n_near, group in same.items():
        # So many at once that memory stays small.
        size = max(1, _MOST_VALUES // n_near // (n_near + sizes.max()))
        for some in (group[k : k + size] for k in range(0, len(group), size)):
            numbers, times, miss = zip(*some, strict=True)
            own = [places[cuts[k] : cuts[k + 1]] for k in numbers]
            found = _krige(np.array(times), np.array(miss), [gap[place] for place in own], tapered)
            own = np.concatenate(own)
            correction[own] += found[0]
            share[own] = found[1]
    return correction, share


def _krige(times, miss, gaps, tapered):
    """Predict ``miss (n, n_near)`` at ``times (n, n_near)`` to the samples of n gaps."""
    system = tapered.take(np.abs(times[:, :, None] - times[:, None]), mode="clip")
    diagonal = np.arange(times.shape[1])
    system[:, diagonal, diagonal] += 1e-4 * tapered[0]
    ends = np.cumsum([len(gap) for gap in gaps])
    owner = np.repeat(np.arange(len(gaps)), [len(gap) for gap in gaps])
    across = np.concatenate(gaps)[:, None] - times[owner]
    across = tapered.take(np.abs(across, out=across), mode="clip")
    prediction, weights = np.empty(len(across)), np.empty(across.shape)
    for matrix, row, a, b in zip(system, miss, [0, *ends], ends, strict=False):
        # Without the checks of SciPy's cho_solve, which take longer.
        _, found, failed = dposv(matrix, across[a:b].T)
        if failed:
            _, found, _ = dposv(_make_positive(matrix), across[a:b].T)
        prediction[a:b] = row @ found
        weights[a:b] = found.T
    explained = np.einsum("ij,ij->i", weights, across) / tapered[0]
    return prediction, np.sqrt((1 - explained).clip(0.01, 1))


def _find_levels(misses, sfreq):
    """Return the constant part of each miss, as far as it exceeds its fluctuations.

    An amplifier without a high-pass has electrode offsets that no other channel shows.
    """
    sizes = np.array([len(miss) for miss in misses])
    n_parts = np.maximum(2, np.round(sizes / (_LEVEL_PART * sfreq)).astype(int))
    levels = np.zeros(len(misses))
    enough = np.flatnonzero(sizes >= n_parts)
    if not len(enough):
        return levels
    sizes, n_parts = sizes[enough], n_parts[enough]
    # Parts of nearly the same length, of all misses end to end.
    owner = np.repeat(np.arange(len(enough)), n_parts)
    part = np.arange(len(owner)) - (np.cumsum(n_parts) - n_parts)[owner]
    lengths = (sizes // n_parts)[owner] + (part < (sizes % n_parts)[owner])
    flat = np.concatenate([misses[k] for k in enough])
    means = np.add.reduceat(flat, np.cumsum(lengths) - lengths) / lengths
    level = np.bincount(owner, means) / n_parts
    variance = np.bincount(owner, (means - level[owner]) ** 2) / (n_parts - 1) / n_parts
    doubt = np.divide(_DOUBT * variance, level**2, out=np.ones(len(level)), where=level != 0)
    levels[enough] = level * np.maximum(0.0, 1 - doubt)
    return levels


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
