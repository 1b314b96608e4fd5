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

from .._recording import Samples, find_spans
from ..covariance import MIN_GOOD, filter_length, sum_bands
from ._gaps import CONTEXT, Gap, bridge, join_runs, look_around, measure_miss
from ._noise import colour_noise, read_noise
from ._operators import fit_spatial
from ._steps import limit_steps

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
    """Estimate every bad sample of signals in memory.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts. Bad samples are overwritten by their estimate; what they held is not
        looked at. Good ones come back to within rounding.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    sfreq, cov, units, seed, fill_gaps
        As in :func:`fit_spatial`.

    Returns
    -------
    segments : list of Segment
        The estimates. Stretches that were left alone are not among them.
    """
    samples = Samples(data, np.arange(len(data)), pieces)
    fit = fit_spatial(samples, find_spans(mask), sfreq, cov, units, seed=seed, fill_gaps=fill_gaps)
    return estimate_spatial(data, mask, pieces, fit)


def estimate_spatial(data, mask, pieces, fit, first=0):
    """Estimate every bad sample of a recording or of a part of it.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts. Bad samples are overwritten by their estimate; what they held is not
        looked at. Good ones come back to within rounding.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    fit : SpatialFit
        What was learnt from the recording.
    first : int
        Number of the first sample in the recording.

    Returns
    -------
    segments : list of Segment
        The estimates. Stretches that were left alone are not among them.
    """
    times = first + np.arange(data.shape[1])
    for channel, baseline in fit.baselines.items():
        data[channel] -= baseline(times)
    passing = mask & ~fit.whole[:, None]
    runs, gaps = find_gaps(data, mask, pieces, fit, first)
    surroundings = [
        _recall(fit, gap, first) or look_around(data, passing, gap, fit.sfreq) for gap in gaps
    ]
    miss = fit.miss or measure_miss([gap.channel for gap in gaps], surroundings, fit.sfreq)
    found = bridge(data, gaps, surroundings, miss, fit.sfreq, fit.fill_gaps)
    segments = [Segment(*values) for values in found]
    for segment in segments:
        data[segment.channel, segment.start : segment.stop] = segment.values
    found = _repair_whole(data, mask, pieces, runs, fit, first)
    segments += [segment for segment in found if fit.fill_gaps or not segment.invented]
    for channel, baseline in fit.baselines.items():
        data[channel] += baseline(times)
    for segment in segments:
        if segment.channel in fit.baselines:
            inside = times[segment.start : segment.stop]
            segment.values += fit.baselines[segment.channel](inside)
    limit_steps(data, mask, segments, pieces, fit.sfreq, recall_steps(fit, segments, first))
    for segment in segments:
        data[segment.channel, segment.start : segment.stop] = segment.values
    return segments


def find_gaps(data, mask, pieces, fit, first=0):
    """Estimate channels that are bad for a while from those that are good then.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals without their baselines. Bad samples get a rough estimate.
    mask, pieces, fit, first
        As in :func:`estimate_spatial`.

    Returns
    -------
    runs : list of tuple
        What :func:`find_runs` returned for these channels.
    gaps : list of Gap
        Their bad stretches, with an estimate that reaches beyond either end where any good channel
        tells.
    """
    others = np.flatnonzero(~fit.whole)
    passing = mask & ~fit.whole[:, None]
    runs = find_runs(passing, pieces)
    _fill_roughly(data, passing, others, runs, fit.operators)
    estimates = {}
    margin = round(CONTEXT * fit.sfreq)
    for a, b, piece in runs:
        good, bad = _split(passing[:, a], others)
        if len(good) < MIN_GOOD:
            continue
        left, right = max(piece[0], a - margin), min(piece[1], b + margin)
        found = _estimate(data, good, bad, left, right, piece, fit, first)
        spread = fit.operators.spread(good, bad)
        for row, channel in enumerate(bad):
            estimates[int(channel), a] = (left, right, found[row], spread[row])
    told = (~mask).sum(axis=0) >= MIN_GOOD
    gaps = []
    for channel, a, b, piece in find_segments(passing, pieces, told):
        joined = join_runs(estimates, channel, a, b, passing, fit.sfreq) if told[a] else None
        gaps.append(Gap(channel, a, b, piece, joined))
    return runs, gaps


def recall_steps(fit, segments, first=0):
    """Return how large a step is usual around segments that go on where the signals end.

    Parameters
    ----------
    fit : SpatialFit
        What was learnt from the recording.
    segments : list of Segment
        Parts of gaps.
    first : int
        Number of the first sample in the recording.

    Returns
    -------
    steps : dict of tuple to float
        ``(channel, start) -> step``, as :func:`mne_gram.restoration._gaps.limit_steps` takes them.
    """
    recalled = {(s.channel, s.start): _recall(fit, s, first) for s in segments}
    return {key: a.step for key, a in recalled.items() if a is not None and a.step is not None}


def _recall(fit, gap, first):
    """Return what is known of a gap of which the signals hold a part only."""
    for around in fit.known.get(gap.channel, ()):
        if around.start <= first + gap.start and first + gap.stop <= around.stop:
            return around.shift(first)
    return None


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


def _estimate(data, good, bad, start, stop, piece, fit, first):
    """Estimate bad channels band by band over a stretch of time, in blocks."""
    sfreq = fit.sfreq
    half = filter_length(sfreq) // 2
    weights, _, error = fit.operators(good, bad)
    found = np.empty((len(bad), stop - start))
    block = max(1, round(_BLOCK_SECONDS * sfreq))
    for a in range(start, stop, block):
        b = min(a + block, stop)
        left, right = max(piece[0], a - half), min(piece[1], b + half)
        parts = weights @ data[good, left:right]
        if fit.noise is not None:
            noise = read_noise(fit.noise, first + left, first + right, sfreq)
            parts += colour_noise(error, sfreq) @ noise[:, bad]
        found[:, a - start : b - start] = sum_bands(parts, sfreq, (a - left, right - b))
    return found


def _repair_whole(data, mask, pieces, runs, fit, first):
    """Estimate channels that are bad all through from all others, repaired ones included."""
    good, bad = np.flatnonzero(~fit.whole), np.flatnonzero(fit.whole)
    if not len(bad):
        return []
    std = np.repeat(fit.operators.spread(good, bad)[:, None], data.shape[1], axis=1)
    for a, b, _ in runs:  # the error is larger where neighbours are estimates themselves
        kept = good[~mask[good, a]]
        if len(kept) >= MIN_GOOD:
            std[:, a:b] = fit.operators.spread(kept, bad)[:, None]
    for piece in pieces:
        data[bad, piece[0] : piece[1]] = _estimate(data, good, bad, *piece, piece, fit, first)
    # Where nothing is good, the others are inventions, and so is what is made of them.
    told = (~mask).sum(axis=0) >= MIN_GOOD
    std[:, ~told] = np.hypot(std[:, ~told], fit.operators.size(good, bad)[:, None])
    stretches = [(a, b, False) for a, b, _ in find_runs(told[None], [(0, len(told))])]
    stretches += [
        (a, b, True)
        for a, b, _ in find_runs(~told[None], pieces)
        if not ((fit.holes[:, 0] <= first + a) & (first + b <= fit.holes[:, 1])).any()
    ]
    return [
        Segment(int(channel), a, b, data[channel, a:b].copy(), row[a:b], invented)
        for channel, row in zip(bad, std, strict=True)
        for a, b, invented in stretches
    ]
