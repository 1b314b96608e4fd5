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
_MOST_VALUES = 2**20  # of the systems of gaps, at once


@dataclass(eq=False, slots=True)
class Estimate:
    """The estimate of one bad span of one channel."""

    channel: int
    start: int  # sample
    stop: int
    values: np.ndarray  # (stop - start,) in volts
    std: np.ndarray  # of the error, likewise
    invented: bool = False  # whether only past and future samples indicated it


class Gaps(NamedTuple):
    """Some gaps of a block, and their estimates from other channels, all of them end to end.

    Gaps are bad spans of one channel, as far as they lie in the block. ``enough`` is whether enough
    channels are good. If not, ``values`` are a line across the gap.
    """

    channel: np.ndarray  # (n_gaps,)
    start: np.ndarray  # likewise, samples
    stop: np.ndarray
    enough: np.ndarray
    values: np.ndarray  # (n_samples,)
    std: np.ndarray  # likewise

    @property
    def sizes(self):
        """How many samples each gap has, (n_gaps,)."""
        return self.stop - self.start


class Surroundings(NamedTuple):
    """The good samples around some gaps, and what the estimates miss there, end to end."""

    channel: np.ndarray  # (n_gaps,)
    start: np.ndarray  # likewise, of the whole gap, also beyond the block
    stop: np.ndarray
    is_alone: np.ndarray  # whether the gap fills a segment of continuous time
    counts: np.ndarray  # how many samples are around it
    times: np.ndarray  # (n_samples,), their numbers
    miss: np.ndarray  # likewise
    step: float | None = None  # how large a step is usual around the only gap, if that is known

    def select(self, number):
        """Return those of one gap."""
        some = slice(number, number + 1)
        stop = self.counts[: number + 1].sum()
        inside = slice(stop - self.counts[number], stop)
        return Surroundings(*(x[some] for x in self[:5]), *(x[inside] for x in self[5:7]))

    def shift(self, samples):
        """Return the same, counted from another sample."""
        return self._replace(
            start=self.start - samples, stop=self.stop - samples, times=self.times - samples
        )


class Miss(NamedTuple):
    """What estimates miss around the gaps of a recording.

    ``kernel (n_lags,)`` is its autocorrelation, ``spreads`` its size by channel.
    """

    kernel: np.ndarray
    spreads: dict


def join_surroundings(parts):
    """Return the Surroundings of several gaps, from those of each."""
    return Surroundings(*map(np.concatenate, zip(*(part[:7] for part in parts), strict=True)))


# ---------------------------------------------------------------------------------------------
# The miss around gaps, predicted into them


def look_around(block, gaps, margin, estimates=None):
    """Return Gaps and their Surroundings, ``margin`` samples on either side.

    ``gaps (n_gaps, 5)`` are channel, start, stop, and start and stop of the segment; ``estimates``
    what `join_runs` yields of them. None is for gaps in which too few channels are good.
    """
    channel, start, stop, first, last = gaps.T
    if estimates is None:
        left, right = np.maximum(first, start - margin), np.minimum(last, stop + margin)
        values = std = np.zeros((right - left).sum())
    else:
        left, right, values, std = estimates
    sizes = right - left
    owner = np.repeat(np.arange(len(gaps)), sizes)
    times = count_up(left, sizes)
    inside = (times >= start[owner]) & (times < stop[owner])
    around = ~block.mask[channel[owner], times]
    counts = np.bincount(owner[around], minlength=len(gaps))
    miss = block.data[channel[owner[around]], times[around]] - values[around]
    values, std = values[inside], std[inside]
    if estimates is None:
        values = block.data[channel[owner[inside]], times[inside]]
    enough = np.full(len(gaps), estimates is not None)
    is_alone = (start == first) & (stop == last)
    return (
        Gaps(channel, start, stop, enough, values, std),
        Surroundings(channel, start, stop, is_alone, counts, times[around], miss),
    )


def count_up(starts, sizes):
    """Return ``arange(start, start + size)`` of all, end to end."""
    return np.arange(sizes.sum()) + np.repeat(starts + sizes - np.cumsum(sizes), sizes)


def measure_miss(surroundings, sfreq):
    """Learn from a list of Surroundings what estimates miss."""
    return Miss(_fit_kernel(surroundings, sfreq), _channel_spreads(surroundings))


def bridge(block, gaps, surroundings, miss, fill_gaps):
    """Add to each estimate what it misses at the gap's ends, predicted into the gap.

    ``gaps`` and ``surroundings`` are lists of the same length. Gaps without an estimate are left
    out, or filled from past and future samples alone with ``fill_gaps``. Returns Estimates in the
    order of channels and time.
    """
    n_gaps = sum(len(some.channel) for some in gaps)
    most = _MOST_NEAR if n_gaps > DENSE * block.n_times / block.sfreq else None
    estimates = []
    for some, around in zip(gaps, surroundings, strict=True):
        correction, share = _predict(some, around, miss.kernel, block.sfreq, most)
        seen = [miss.spreads.get(channel, np.nan) for channel in some.channel.tolist()]
        seen = np.repeat(seen, some.sizes)
        std = np.where(np.repeat(some.enough, some.sizes), some.std, np.nan_to_num(seen))
        # The miss around the gaps weighs as much as the model.
        std = share * np.where(np.isnan(seen), std, np.sqrt((std**2 + seen**2) / 2))
        # Where nothing is known at all, the line that was drawn across the gap stays.
        used = np.repeat(some.enough | (around.counts == 0), some.sizes)
        values = np.where(used, some.values, 0.0) + correction
        # Else there is nothing before and nothing after to continue.
        kept = some.enough | (fill_gaps & ~around.is_alone)
        ends = np.cumsum(some.sizes)
        rows = np.stack(
            [some.channel, some.start, some.stop, ends - some.sizes, ends, ~some.enough]
        )
        estimates += [
            Estimate(channel, start, stop, values[a:b], std[a:b], bool(invented))
            for channel, start, stop, a, b, invented in rows[:, kept].T.tolist()
        ]
    return sorted(estimates, key=lambda estimate: (estimate.channel, estimate.start))


def _channel_spreads(surroundings):
    """Return the size of the miss around each channel's gaps."""
    n_channels = 1 + max((around.channel.max(initial=0) for around in surroundings), default=0)
    squares, counts = np.zeros((2, n_channels))
    for around in surroundings:
        owner = np.repeat(np.arange(len(around.counts)), around.counts)
        mean = np.bincount(owner, around.miss, len(around.counts)) / np.maximum(around.counts, 1)
        channel = np.where(around.counts > 1, around.channel, n_channels)[owner]
        centred = (around.miss - mean[owner]) ** 2
        squares += np.bincount(channel, centred, n_channels + 1)[:-1]
        counts += np.bincount(channel, minlength=n_channels + 1)[:-1]
    return {channel: np.sqrt(squares[channel] / counts[channel]) for channel in counts.nonzero()[0]}


def _fit_kernel(surroundings, sfreq):
    """Estimate the autocorrelation of the miss up to the reach, one for all channels."""
    lags = np.arange(round(_LONGEST * sfreq) + 1)
    kernel = sum(share * np.exp(-lags / (decay * sfreq)) for share, decay in _DEFAULT_DECAY)
    n_lags = round(REACH * sfreq) + 1
    products, seconds = np.zeros(n_lags), 0.0
    for around in surroundings:
        if around.counts.max(initial=0) < 2 * n_lags:
            continue
        # Where samples do not follow each other, or belong to the next gap.
        cut = np.diff(around.times, prepend=0, append=0) != 1
        cut[0] = cut[np.cumsum(around.counts)] = True
        cuts = np.flatnonzero(cut)
        long = np.diff(cuts) >= 2 * n_lags
        for a, b in zip(cuts[:-1][long], cuts[1:][long], strict=True):
            x = around.miss[a:b] - around.miss[a:b].mean()
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


def _predict(gaps, around, kernel, sfreq, most=None):
    """Krige the miss into gaps; also the share of its deviation that stays, both (n_samples,).

    ``most`` is how many samples on either side are used, if that is limited.
    """
    levels = _find_levels(around.miss, around.counts, sfreq)
    first, n_near = _find_near(around, round(REACH * sfreq), most)
    sizes = gaps.sizes
    correction, share = np.repeat(levels, sizes), np.ones(sizes.sum())
    # Only the ends of a long gap are correlated with what is around it.
    times, owner = count_up(gaps.start, sizes), np.repeat(np.arange(len(sizes)), sizes)
    depth = np.minimum(times - around.start[owner], around.stop[owner] - 1 - times)
    places = np.flatnonzero(depth < len(kernel))
    counts = np.bincount(owner[places], minlength=len(sizes))
    begin = np.cumsum(counts) - counts
    tapered = np.append(kernel, 0.0)
    for n in np.unique(n_near[(n_near > 0) & (counts > 0)]):
        same = np.flatnonzero((n_near == n) & (counts > 0))
        # So many at once that memory stays small.
        size = max(1, _MOST_VALUES // n // (n + counts[same].max()))
        for some in (same[k : k + size] for k in range(0, len(same), size)):
            near = first[some, None] + np.arange(n)
            own = places[count_up(begin[some], counts[some])]
            miss = around.miss[near] - levels[some, None]
            found = _krige(around.times[near], miss, times[own], counts[some], tapered)
            correction[own] += found[0]
            share[own] = found[1]
    return correction, share


def _find_near(around, reach, most):
    """Return the first of the samples that predict into each gap, and how many there are."""
    ends = np.cumsum(around.counts)
    # All gaps on one axis, one after the other.
    low = min(around.times.min(initial=0), around.start.min() - reach)
    length = max(around.times.max(initial=0), around.stop.max() + reach) - low + 1
    axis = np.arange(len(ends)) * length - low
    times = around.times + np.repeat(axis, around.counts)
    first, middle, last = np.searchsorted(
        times, [around.start - reach + axis, around.start + axis, around.stop + reach + axis]
    )
    if most is not None:
        first, last = np.maximum(first, middle - most), np.minimum(last, middle + most)
    return first, last - first


def _krige(times, miss, wanted, counts, tapered):
    """Predict ``miss (n, n_near)`` at ``times (n, n_near)`` to times ``wanted`` of n gaps.

    These are end to end, ``counts (n,)`` of each gap.
    """
    system = tapered.take(np.abs(times[:, :, None] - times[:, None]), mode="clip")
    diagonal = np.arange(times.shape[1])
    system[:, diagonal, diagonal] += 1e-4 * tapered[0]
    across = wanted[:, None] - np.repeat(times, counts, axis=0)
    across = tapered.take(np.abs(across, out=across), mode="clip")
    prediction, weights = np.empty(len(across)), np.empty(across.shape)
    ends = np.cumsum(counts).tolist()
    for matrix, row, a, b in zip(system, miss, [0, *ends], ends, strict=False):
        # Without the checks of SciPy's cho_solve, which take longer.
        _, found, failed = dposv(matrix, across[a:b].T)
        if failed:
            _, found, _ = dposv(_make_positive(matrix), across[a:b].T)
        prediction[a:b] = row @ found
        weights[a:b] = found.T
    explained = np.einsum("ij,ij->i", weights, across) / tapered[0]
    return prediction, np.sqrt((1 - explained).clip(0.01, 1))


def _find_levels(miss, counts, sfreq):
    """Return the constant part of each miss, as far as it exceeds its fluctuations.

    An amplifier without a high-pass has electrode offsets that no other channel shows.
    """
    n_parts = np.maximum(2, np.round(counts / (_LEVEL_PART * sfreq)).astype(int))
    levels, enough = np.zeros(len(counts)), counts >= n_parts
    if not enough.any():
        return levels
    miss, counts, n_parts = miss[np.repeat(enough, counts)], counts[enough], n_parts[enough]
    # Parts of nearly the same length, of all misses end to end.
    owner, part = np.repeat(np.arange(len(counts)), n_parts), count_up(0 * n_parts, n_parts)
    lengths = (counts // n_parts)[owner] + (part < (counts % n_parts)[owner])
    means = np.add.reduceat(miss, np.cumsum(lengths) - lengths) / lengths
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
