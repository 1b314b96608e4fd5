# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Offsets and slow drifts, which each electrode has of its own."""

from functools import partial

import numpy as np

_BASELINE_SECONDS = 30.0
_POOLED = 5.0  # seconds: shorter pieces, such as epochs, share their baseline
_OFFSET = 5.0  # times a channel's median absolute deviation: then baselines are taken off


def find_baselines(samples, bad, units, sfreq):
    """Find what electrodes and amplifiers add to each channel, offsets and slow drifts.

    No other channel tells them, and they can be a thousand times the EEG, so the estimates are made
    without them. What all channels share is not among them.

    Parameters
    ----------
    samples : Samples
        The signals.
    bad : BadSpans
        What is bad.
    units : array, shape (n_channels,)
        1 for channels that carry the reference.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    baselines : dict of int to callable
        For channels that have one: their baseline at given samples, straight lines between the
        medians over half minutes.
    """
    blocks = _baseline_blocks(samples.pieces, sfreq)
    always = (bad.n_bad == 0) & (units > 0)
    medians, spreads = np.full((2, len(bad), len(blocks)), np.nan)
    for block, (a, b, _) in enumerate(blocks):
        step = max(1, (b - a) // 2000)  # a median needs no more samples than that
        part, wrong = samples.read(a, b, step), bad.paint(a, b, step)
        kept = always[:, None] if always.any() else ~wrong & (units > 0)[:, None]
        shared = np.where(kept, part, 0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
        enough = np.flatnonzero((~wrong).sum(axis=1) * step > sfreq)
        part = part - units[:, None] * shared
        for channel in enough:  # far faster than to do without NaN in all of them at once
            values = part[channel, ~wrong[channel]]
            medians[channel, block] = middle = np.median(values)
            spreads[channel, block] = np.median(np.abs(values - middle))
    with np.errstate(invalid="ignore"):
        if not (np.abs(medians) > _OFFSET * spreads).any():
            return {}  # high-passed data have none, and chance is not to be taken for one
    baselines = {}
    nodes = [(time, block) for block, (_, _, times) in enumerate(blocks) for time in times]
    times, owner = np.array(nodes).T
    for channel, values in enumerate(medians[:, owner.astype(int)]):
        known = np.isfinite(values)
        if known.any():
            baselines[channel] = partial(np.interp, xp=times[known], fp=values[known])
    return baselines


def _baseline_blocks(pieces, sfreq):
    """Cut time into blocks of a constant: start, stop and the times at which it holds.

    Between the middles of a piece's blocks the baseline is a straight line; from one piece to the
    next it may jump, since another file may begin there. Epochs are too short to tell: neighbours
    share a block.
    """
    blocks, pooled = [], []
    for number, (start, stop) in enumerate(pieces):
        if stop - start < _POOLED * sfreq:
            pooled.append((start, stop))
            last = number == len(pieces) - 1
            following = np.inf if last else pieces[number + 1][1] - pieces[number + 1][0]
            if (
                last
                or following >= _POOLED * sfreq
                or (stop - pooled[0][0] >= _BASELINE_SECONDS * sfreq)
            ):
                blocks.append((pooled[0][0], stop, (pooled[0][0], stop - 1)))
                pooled = []
            continue
        n_blocks = max(1, round((stop - start) / sfreq / _BASELINE_SECONDS))
        edges = np.linspace(start, stop, n_blocks + 1).astype(int)
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            ends = ([start] if a == start else []) + ([stop - 1] if b == stop else [])
            blocks.append((a, b, sorted({*ends, (a + b) // 2})))
    return blocks
