# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Estimate bad samples by the spatial expert, in time.

Signals are channels x samples with a mask of the same shape, True where bad. The order of things:

1. every bad stretch gets a rough estimate, sample by sample, so that filters meet no garbage;
2. channels that are bad for a while are estimated band by band from those that are good then, and
   joined to their own past and future by kriging of what the estimate misses there;
3. channels that are bad all through are estimated from all others, repaired ones included. That is
   the same as estimating them from the good ones alone (the tower property of conditional means),
   but without a step where the set of good channels changes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import oaconvolve

from ._bands import N_BANDS, STATISTICS_EDGES, filter_length, lowpass_taps, sum_bands
from ._baselines import find_baselines
from ._seams import CONTEXT, bridge, join_runs, limit_steps
from .spatial import MIN_GOOD, interpolation_operators

_BLOCK_SECONDS = 60.0


@dataclass(eq=False)
class Segment:
    """One bad stretch of one channel and its estimate.

    Attributes
    ----------
    channel : int
        Row of the channel.
    start, stop : int
        Samples.
    values : array, shape (stop - start,)
        The estimate in volts.
    std : array, shape (stop - start,)
        Standard deviation of its error in volts.
    invented : bool
        Whether nothing but the past and the future told what it was.
    """

    channel: int
    start: int
    stop: int
    values: np.ndarray
    std: np.ndarray
    invented: bool = False


class Noise:
    """White noise that can be read at any place in any order, always the same.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        What it depends on.
    n_channels : int
        Number of channels.
    """

    _CHUNK = 4096

    def __init__(self, seed, n_channels):
        self._seed = seed
        self._n_channels = n_channels

    def read(self, start, stop):
        """Return standard normal noise, shape (n_bands, n_channels, stop - start)."""
        first, last = start // self._CHUNK, -(-stop // self._CHUNK)
        shape = (N_BANDS, self._n_channels, self._CHUNK)
        chunks = []
        for number in range(first, last):
            seed = np.random.SeedSequence(
                self._seed.entropy, spawn_key=(*self._seed.spawn_key, number)
            )
            chunks.append(np.random.default_rng(seed).standard_normal(shape))
        offset = first * self._CHUNK
        return np.concatenate(chunks, axis=2)[..., start - offset : stop - offset]


def find_runs(mask, pieces):
    """Cut time where the set of bad channels changes.

    Parameters
    ----------
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.

    Returns
    -------
    runs : list of tuple
        Start, stop and piece of each run in which something is bad.
    """
    changes = np.flatnonzero((mask[:, 1:] != mask[:, :-1]).any(axis=0)) + 1
    runs = []
    for piece in pieces:
        start, stop = piece
        inside = changes[np.searchsorted(changes, start, "right") : np.searchsorted(changes, stop)]
        cuts = [start, *inside.tolist(), stop]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            if b > a and mask[:, a].any():
                runs.append((a, b, piece))
    return runs


def find_segments(mask, pieces, told=None):
    """List the bad stretches channel by channel as (channel, start, stop, piece).

    They are cut where ``told`` changes, which says at which samples enough channels are good.
    """
    told = np.ones(mask.shape[1], bool) if told is None else told
    segments = []
    for channel in np.flatnonzero(mask.any(axis=1)):
        found = [
            run for part in (told, ~told) for run in find_runs((mask[channel] & part)[None], pieces)
        ]
        segments += [(int(channel), a, b, piece) for a, b, piece in sorted(found)]
    return segments


def repair_spatial(data, mask, pieces, sfreq, cov, units, *, seed=None, fill_gaps=False):
    """Estimate every bad sample.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts. Bad samples are overwritten by their estimate; what they held is not
        looked at. Good ones come back to within rounding.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    sfreq : float
        Sampling rate in Hz.
    cov : array, shape (n_bands, n_channels, n_channels)
        Covariance of the channels a band.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    seed : numpy.random.SeedSequence | None
        Draw from the posterior with this seed instead of taking its mean.
    fill_gaps : bool
        Whether to invent what no good channel tells.

    Returns
    -------
    segments : list of Segment
        The estimates. Stretches that were left alone are not among them.
    """
    whole = mask.all(axis=1)
    passing = mask & ~whole[:, None]
    others = np.flatnonzero(~whole)
    noise = None if seed is None else Noise(seed, len(data))
    baselines = find_baselines(data, mask, units, pieces, sfreq)
    times = np.arange(data.shape[1])
    for channel, baseline in baselines.items():
        data[channel] -= baseline(times)
    runs = find_runs(passing, pieces)
    operators = _Operators(cov, units, _find_excess(data, mask, others, cov, units))
    _fill_roughly(data, passing, others, runs, operators)
    estimates = {}
    for a, b, piece in runs:
        good, bad = _split(passing[:, a], others)
        if len(good) < MIN_GOOD:
            continue
        margin = round(CONTEXT * sfreq)
        left, right = max(piece[0], a - margin), min(piece[1], b + margin)
        found = _estimate(data, good, bad, left, right, piece, sfreq, operators, noise)
        spread = operators.spread(good, bad)
        for row, channel in enumerate(bad):
            estimates[int(channel), a] = (left, right, found[row], spread[row])
    told = (~mask).sum(axis=0) >= MIN_GOOD
    segments = []
    for channel, a, b, piece in find_segments(passing, pieces, told):
        joined = join_runs(estimates, channel, a, b, passing, sfreq) if told[a] else None
        segments.append((channel, a, b, piece, joined))
    segments = bridge(data, passing, segments, sfreq, fill_gaps)
    segments = [Segment(*values) for values in segments]
    for segment in segments:
        data[segment.channel, segment.start : segment.stop] = segment.values
    found = _repair_whole(
        data, mask, np.flatnonzero(whole), others, pieces, runs, sfreq, operators, noise, told
    )
    segments += [segment for segment in found if fill_gaps or not segment.invented]
    for channel, baseline in baselines.items():
        data[channel] += baseline(times)
    for segment in segments:
        if segment.channel in baselines:
            inside = times[segment.start : segment.stop]
            segment.values += baselines[segment.channel](inside)
    limit_steps(data, mask, segments, pieces, sfreq)
    for segment in segments:
        data[segment.channel, segment.start : segment.stop] = segment.values
    return segments


class _Operators:
    """Interpolation weights by pattern of good channels, computed once each."""

    def __init__(self, cov, units, excess):
        self._cov, self._units, self._excess, self._kept = cov, units, excess, {}

    def __call__(self, good, bad):
        key = (good.tobytes(), bad.tobytes())
        if key not in self._kept:
            bands, error = interpolation_operators(self._cov, self._units, good, bad)
            total, _ = interpolation_operators(self._cov.sum(axis=0), self._units, good, bad)
            if len(self._kept) > 64:  # neighbours in time repeat, far ones seldom do
                self._kept.clear()
            self._kept[key] = bands, total, error
        return self._kept[key]

    def spread(self, good, bad):
        """Return the standard deviation of the error of each bad channel."""
        return self._excess * np.sqrt(np.einsum("bii->i", self(good, bad)[2]).clip(0))


def _find_excess(data, mask, others, cov, units):
    """Return how much larger the signals are than the bands in which covariances are read.

    Drifts and what lies above 45 Hz are not in the covariance, but in the errors.
    """
    step = max(1, data.shape[1] // 20_000)
    good = ~mask[others, ::step]
    part = np.where(good, data[others, ::step], 0.0)
    carried = good * units[others, None]
    mean = (part * carried).sum(axis=0) / np.maximum(carried.sum(axis=0), 1)
    found = (((part - mean * units[others, None]) * good) ** 2).sum(axis=1) / good.sum(axis=1)
    share = units[others] / max(units[others].sum(), 1)
    frame = np.eye(len(others)) - np.outer(units[others], share)
    within = frame @ cov.sum(axis=0)[np.ix_(others, others)] @ frame.T
    expected = np.diagonal(within)
    known = (good.sum(axis=1) > 1) & (expected > 0)
    return max(1.0, np.sqrt(np.median(found[known] / expected[known]))) if known.any() else 1.0


def _split(bad, others):
    """Return good and bad channels at one time, as indices."""
    return others[~bad[others]], others[bad[others]]


def _fill_roughly(data, mask, others, runs, operators):
    """Replace bad samples by the broad-band estimate, or by a line where nothing is good."""
    nothing = []
    for a, b, piece in runs:
        good, bad = _split(mask[:, a], others)
        if len(good) < MIN_GOOD:
            nothing.append((a, b, piece))
            data[bad, a:b] = 0.0
        else:
            data[bad, a:b] = operators(good, bad)[1] @ data[good, a:b]
    for a, b, piece in nothing:
        bad = np.flatnonzero(mask[:, a])
        before = data[bad, a - 1] if a > piece[0] else None
        after = data[bad, b] if b < piece[1] else before
        before = after if before is None else before
        if before is not None:
            ramp = np.linspace(0, 1, b - a + 2)[1:-1]
            data[bad, a:b] = before[:, None] + (after - before)[:, None] * ramp


def _estimate(data, good, bad, start, stop, piece, sfreq, operators, noise):
    """Estimate bad channels band by band over a stretch of time, in blocks."""
    half = filter_length(sfreq) // 2
    weights, _, error = operators(good, bad)
    found = np.empty((len(bad), stop - start))
    block = max(1, round(_BLOCK_SECONDS * sfreq))
    for a in range(start, stop, block):
        b = min(a + block, stop)
        left, right = max(piece[0], a - half), min(piece[1], b + half)
        parts = weights @ data[good, left:right]
        if noise is not None:
            parts += _colour(error, sfreq) @ _read_noise(noise, left, right, sfreq)[:, bad]
        found[:, a - start : b - start] = sum_bands(parts, sfreq, (a - left, right - b))
    return found


def _read_noise(noise, start, stop, sfreq):
    """Return white noise a band, the highest ending where its covariance was read."""
    taps = lowpass_taps(sfreq, STATISTICS_EDGES[-1:])[0]
    half = len(taps) // 2
    drawn = noise.read(start, stop + 2 * half)  # the noise at time t lies half a filter later
    drawn[-1, :, half:-half] = oaconvolve(drawn[-1], taps[None], mode="valid", axes=-1)
    return drawn[..., half : stop - start + half]


def _colour(error, sfreq):
    """Return the factors that give white noise the error's covariance once it is band-passed."""
    values, vectors = np.linalg.eigh(error)
    root = vectors * np.sqrt(values.clip(0))[:, None, :] @ np.swapaxes(vectors, -1, -2)
    bandwidth = np.diff(STATISTICS_EDGES)
    return root * np.sqrt(sfreq / (2 * bandwidth))[:, None, None]


def _repair_whole(data, mask, bad, good, pieces, runs, sfreq, operators, noise, told):
    """Estimate channels that are bad all through from all others, repaired ones included."""
    if not len(bad):
        return []
    std = np.repeat(operators.spread(good, bad)[:, None], data.shape[1], axis=1)
    for a, b, _ in runs:  # the error is larger where neighbours are estimates themselves
        kept = good[~mask[good, a]]
        if len(kept) >= MIN_GOOD:
            std[:, a:b] = operators.spread(kept, bad)[:, None]
    for start, stop in pieces:
        piece = (start, stop)
        data[bad, start:stop] = _estimate(
            data, good, bad, start, stop, piece, sfreq, operators, noise
        )
    # Where nothing is good, the others are inventions, and so is what is made of them.
    std[:, ~told] = np.hypot(std, data[bad].std(axis=1, keepdims=True))[:, ~told]
    stretches = [(run, False) for run in find_runs(told[None], [(0, len(told))])]
    stretches += [(run, True) for run in find_runs(~told[None], pieces) if run[:2] != run[2]]
    return [
        Segment(int(channel), a, b, data[channel, a:b].copy(), row[a:b], invented)
        for channel, row in zip(bad, std, strict=True)
        for (a, b, _), invented in stretches
    ]
