# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Buckets of windows of one shape: the recordings that offer them, and where windows start."""

from dataclasses import dataclass

import numpy as np
from mne.utils import logger

from ._augment import size_odds

PATCH = 200  # samples
_MAX_PATCHES = 16  # rows of the networks' time tables
_USED = 0.75  # share of a recording's windows with its native number of good channels
_COARSE = 32  # above this, native numbers reduced by marks are rounded down ...
_STEP = 4  # ... to multiples of this, so that recordings share batches
_FEWEST = 16  # tokens in a window with dropped channels


@dataclass(frozen=True, eq=False)
class WindowPool:
    """The windows of one shape that a recording offers."""

    index: int  #: of the recording
    n_channels: int
    n_patches: int
    weight: float  #: tokens times the probability of this shape
    runs: np.ndarray  #: first and stop of the samples at which windows start, (n_runs, 2)
    ends: np.ndarray  #: number of starts up to the end of each run


def count_patches(n_channels, tokens_per_window):
    """Return the number of patches in a window of so many channels."""
    return int(np.clip(tokens_per_window // n_channels, 1, _MAX_PATCHES))


# ---------------------------------------------------------------------------------------------
# Where windows may start


def _count_good(good, n_patches):
    """Count the good channels of windows by start; ``good`` is (n_channels, n_seconds).

    Returns edges (samples) and counts: windows that start from an edge on, before the next one,
    have so many channels without a mark.
    """
    n_seconds = good.shape[1]
    spotted = ~good.all(axis=1)
    counts = np.full(2 * (n_seconds - n_patches + 1), len(good) - spotted.sum())
    marks = np.zeros((spotted.sum(), n_seconds + 1), np.int32)
    np.cumsum(~good[spotted], axis=1, out=marks[:, 1:])
    # A window that starts with a second covers n of them, any other window one more.
    counts[::2] += (marks[:, n_patches:] == marks[:, :-n_patches]).sum(axis=0)
    longer = n_patches + 1
    counts[1:-1:2] += (marks[:, longer:] == marks[:, :-longer]).sum(axis=0)
    changes = np.flatnonzero(np.diff(counts, prepend=-1))
    return PATCH * (changes // 2) + changes % 2, counts[changes]


def start_runs(good, pieces, n_patches):
    """Return runs of starts, (n_runs, 2) in samples, and the number of good channels in each.

    ``good`` is (n_channels, n_seconds), ``pieces`` (n_pieces, 2) in samples, sorted; no window
    leaves its piece.
    """
    starts = np.stack([pieces[:, 0], pieces[:, 1] - PATCH * n_patches + 1], axis=1)
    starts = starts[starts[:, 1] > starts[:, 0]]
    if not len(starts):
        return np.zeros((0, 2), int), np.zeros(0, int)
    edges, counts = _count_good(good, n_patches)
    lows = np.unique(np.concatenate([edges, starts.ravel()]))
    begun = np.searchsorted(starts[:, 0], lows, "right")
    inside = begun > np.searchsorted(starts[:, 1], lows, "right")
    runs = np.stack([lows[:-1], lows[1:]], axis=1)[inside[:-1]]
    return runs, counts[np.searchsorted(edges, runs[:, 0], "right") - 1]


def _cut_pieces(pieces, good):
    """Cut pieces where most channels are marked, so that shorter windows fit between."""
    ever = good.any(axis=1)
    usable = 2 * good[ever].sum(axis=0) >= max(ever.sum(), 1)
    spans = PATCH * np.flatnonzero(np.diff(usable, prepend=False, append=False)).reshape(-1, 2)
    low = np.maximum(pieces[:, None, 0], spans[:, 0])
    high = np.minimum(pieces[:, None, 1], spans[:, 1])
    return np.stack([low, high], axis=2)[high - low >= PATCH]


def _group_pieces(pieces, n_patches):
    """Yield window lengths in patches and the pieces that offer them.

    Pieces too short for ``n_patches`` offer windows of the next power of two that fits.
    """
    fits = (pieces[:, 1] - pieces[:, 0]) // PATCH
    longer = np.inf
    for n in [n_patches, *(n for n in (8, 4, 2, 1) if n < n_patches)]:
        group = pieces[(fits >= n) & (fits < longer)]
        if len(group):
            yield n, group
        longer = n


def good_rows(marks, n_rows, start, stop):
    """Return the sorted rows of a recording without a marked second between two samples.

    ``marks`` is (n_marks, 3): row, first second, stop second.
    """
    if not len(marks):
        return np.arange(n_rows)
    good = np.ones(n_rows, bool)
    touched = (marks[:, 1] * PATCH < stop) & (marks[:, 2] * PATCH > start)
    good[marks[touched, 0]] = False
    return np.flatnonzero(good)


# ---------------------------------------------------------------------------------------------
# Pools


def _native_count(n_channels, runs, counts):
    """Return the usual number of good channels in a recording's windows, 0 if it has none."""
    lengths = np.diff(runs, axis=1)[:, 0] * (counts > 0)
    if not lengths.any():
        return 0
    order = np.argsort(-counts, kind="stable")
    reached = np.cumsum(lengths[order]) >= _USED * lengths.sum()
    native = int(counts[order][np.argmax(reached)])
    if _COARSE < native < n_channels:
        native = max(native // _STEP * _STEP, _COARSE)
    return native


def _list_recording_pools(index, recording, good, tokens_per_window, drop):
    """List what one recording offers; empty if no window of it can be used."""
    n_rows = len(recording.channels)
    pieces = _cut_pieces(np.array(recording.pieces, int).reshape(-1, 2), good)

    def tabulate(n_patches):
        """Return patches, samples, runs and counts for each group of pieces."""
        return [
            (n, np.diff(group, axis=1).sum(), *start_runs(good, group, n))
            for n, group in _group_pieces(pieces, n_patches)
        ]

    table = tabulate(count_patches(n_rows, tokens_per_window))
    if not table:
        return []
    runs, counts = (np.concatenate([entry[k] for entry in table]) for k in (2, 3))
    native = _native_count(n_rows, runs, counts)
    found = []
    for size, odds in size_odds(native, drop).items() if native else ():
        for n, length, runs, counts in tabulate(count_patches(size, tokens_per_window)):
            runs = runs[counts >= size]
            if len(runs) and size * n >= (2 if size == native else _FEWEST):
                found.append((size, n, odds * length, runs))
    # Shapes share what others cannot offer, so a recording counts by its good tokens.
    scale = good.sum() / sum(weight for _, _, weight, _ in found) if found else 0
    return [
        WindowPool(index, size, n, weight * scale, runs, np.cumsum(np.diff(runs, axis=1)[:, 0]))
        for size, n, weight, runs in found
    ]


def list_pools(corpus, tokens_per_window, drop):
    """List what all recordings of a corpus offer; log those that have no usable window."""
    pools, left_out = [], []
    for k, recording in enumerate(corpus.recordings):
        found = _list_recording_pools(k, recording, corpus.good(k), tokens_per_window, drop)
        pools += found
        if not found:
            left_out.append(recording.name)
    if not pools:
        raise ValueError(
            f"None of the {len(corpus.recordings)} recordings of the corpus has a window of two "
            "patches without marks. Prepare a corpus from other recordings."
        )
    if left_out:
        logger.info(
            f"{len(left_out)} of {len(corpus.recordings)} recordings have no unmarked window and "
            f"are left out: {', '.join(left_out[:10])}{' ...' if len(left_out) > 10 else ''}"
        )
    return pools


def pick(cumulative, u):
    """Return the index of the share of a cumulative sum that ``u``, from 0 to 1, falls into."""
    picks = np.searchsorted(cumulative, u * cumulative[-1], "right")
    return np.minimum(picks, len(cumulative) - 1)


def start_at(pool, k):
    """Return the k-th start in a pool, in samples."""
    run = np.searchsorted(pool.ends, k, "right")
    return int(pool.runs[run, 1] - (pool.ends[run] - k))
