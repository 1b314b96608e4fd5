# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Buckets of windows of one shape: which recordings serve them, and where their windows start."""

from dataclasses import dataclass

import numpy as np
from mne.utils import logger

from ._augment import STANDARD_MONTAGES, size_odds

__all__ = ["Unit", "corpus_units", "good_rows", "montage_units", "pick", "start_at", "start_runs"]

PATCH = 200  # samples
_MAX_PATCHES = 16  # rows of the networks' time tables
_USED = 0.75  # share of a recording's windows in which its native number of channels is good
_COARSE = 32  # above this, native numbers that marks made uneven are rounded down ...
_STEP = 4  # ... to multiples of this, so that recordings meet in a batch
_FEWEST = 16  # tokens: channels are not dropped until a window is smaller, there is little in it


@dataclass(frozen=True, eq=False)
class Unit:
    """What a recording, or a montage to simulate, offers to windows of one shape.

    Attributes
    ----------
    index : int
        Which recording or montage.
    n_channels, n_patches : int
        The shape.
    weight : float
        Tokens times the probability that they come in this shape.
    runs : array of int, shape (n_runs, 2)
        First and stop of the samples at which windows may start.
    ends : array of int, shape (n_runs,)
        The number of starts up to the end of each run.
    """

    index: int
    n_channels: int
    n_patches: int
    weight: float
    runs: np.ndarray
    ends: np.ndarray


def count_patches(n_channels, tokens_per_window):
    """Return how many patches long a window of so many channels is where no piece is too short."""
    return int(np.clip(tokens_per_window // n_channels, 1, _MAX_PATCHES))


# ---------------------------------------------------------------------------------------------
# Where windows may start


def _count_good(good, n_patches):
    """Count the good channels of windows by their start.

    Returns ``edges`` and ``counts``: windows that start from one edge (in samples) on, before the
    next, have so many channels without a mark.
    """
    n_seconds = good.shape[1]
    spotted = ~good.all(axis=1)
    counts = np.full(2 * (n_seconds - n_patches + 1), len(good) - spotted.sum())
    marks = np.zeros((spotted.sum(), n_seconds + 1), np.int32)
    np.cumsum(~good[spotted], axis=1, out=marks[:, 1:])
    # A window that starts with a second touches n of them, any other window one more.
    counts[::2] += (marks[:, n_patches:] == marks[:, :-n_patches]).sum(axis=0)
    longer = n_patches + 1
    counts[1:-1:2] += (marks[:, longer:] == marks[:, :-longer]).sum(axis=0)
    changes = np.flatnonzero(np.diff(counts, prepend=-1))
    return PATCH * (changes // 2) + changes % 2, counts[changes]


def start_runs(good, pieces, n_patches):
    """Find where windows may start, and how many channels are good in them.

    Parameters
    ----------
    good : array of bool, shape (n_channels, n_seconds)
        False in marked seconds.
    pieces : array of int, shape (n_pieces, 2)
        Start and stop of the stretches of continuous time, in samples, sorted.
    n_patches : int
        The length of a window.

    Returns
    -------
    runs : array of int, shape (n_runs, 2)
        First and stop of runs of starts, in samples. No window that starts there leaves its piece.
    counts : array of int, shape (n_runs,)
        The number of channels that are good in every sample of the windows of a run.
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
    """Cut pieces where most of the channels are marked, so that shorter windows fit between."""
    ever = good.any(axis=1)
    usable = 2 * good[ever].sum(axis=0) >= max(ever.sum(), 1)
    spans = PATCH * np.flatnonzero(np.diff(usable, prepend=False, append=False)).reshape(-1, 2)
    low = np.maximum(pieces[:, None, 0], spans[:, 0])
    high = np.minimum(pieces[:, None, 1], spans[:, 1])
    return np.stack([low, high], axis=2)[high - low >= PATCH]


def _group_pieces(pieces, n_patches):
    """Yield lengths of windows and the pieces that serve them.

    Pieces that are too short for ``n_patches`` serve the next power of two that fits.
    """
    fits = (pieces[:, 1] - pieces[:, 0]) // PATCH
    longer = np.inf
    for n in [n_patches, *(n for n in (8, 4, 2, 1) if n < n_patches)]:
        group = pieces[(fits >= n) & (fits < longer)]
        if len(group):
            yield n, group
        longer = n


def good_rows(marks, n_rows, start, stop):
    """Find the rows of a recording without a marked second between two samples.

    Parameters
    ----------
    marks : array of int, shape (n_marks, 3)
        Row, first second and stop second.
    n_rows : int
        How many rows the recording has.
    start, stop : int
        The samples.

    Returns
    -------
    rows : array of int, shape (n_good,)
        Sorted.
    """
    if not len(marks):
        return np.arange(n_rows)
    good = np.ones(n_rows, bool)
    touched = (marks[:, 1] * PATCH < stop) & (marks[:, 2] * PATCH > start)
    good[marks[touched, 0]] = False
    return np.flatnonzero(good)


# ---------------------------------------------------------------------------------------------
# Units


def _native_count(n_channels, runs, counts):
    """Return how many channels a recording's windows natively have, 0 if it has no window."""
    lengths = np.diff(runs, axis=1)[:, 0] * (counts > 0)
    if not lengths.any():
        return 0
    order = np.argsort(-counts, kind="stable")
    reached = np.cumsum(lengths[order]) >= _USED * lengths.sum()
    native = int(counts[order][np.argmax(reached)])
    if _COARSE < native < n_channels:
        native = max(native // _STEP * _STEP, _COARSE)
    return native


def _recording_units(index, recording, good, tokens_per_window, drop):
    """List the units of one recording, empty if no window of it can be used."""
    n_rows = len(recording.channels)
    pieces = _cut_pieces(np.array(recording.pieces, int).reshape(-1, 2), good)

    def tabulate(n_patches):
        """Return rows, seconds and starts of the windows of a length, a group of pieces each."""
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
    # What a shape cannot serve goes to the others: a recording counts by its good tokens.
    scale = good.sum() / sum(weight for _, _, weight, _ in found) if found else 0
    return [
        Unit(index, size, n, weight * scale, runs, np.cumsum(np.diff(runs, axis=1)[:, 0]))
        for size, n, weight, runs in found
    ]


def corpus_units(corpus, tokens_per_window, drop):
    """List the units of a corpus, and say which recordings have none.

    Parameters
    ----------
    corpus : Corpus
        The recordings.
    tokens_per_window : int
        About how many tokens a window has.
    drop : bool
        Whether windows also come with fewer channels.

    Returns
    -------
    units : list of Unit
        Those of all recordings.

    Raises
    ------
    ValueError
        If no recording has a usable window.
    """
    units, left_out = [], []
    for k, recording in enumerate(corpus.recordings):
        found = _recording_units(k, recording, corpus.good(k), tokens_per_window, drop)
        units += found
        if not found:
            left_out.append(recording.name)
    if not units:
        raise ValueError(
            f"The corpus holds {len(corpus.recordings)} recordings, and none of them a window of "
            "two patches without marks. Prepare a corpus from other recordings."
        )
    if left_out:
        logger.info(
            f"{len(left_out)} of {len(corpus.recordings)} recordings have no unmarked window and "
            f"are left out: {', '.join(left_out[:10])}{' ...' if len(left_out) > 10 else ''}"
        )
    return units


def montage_units(tokens_per_window, drop):
    """List the units of the standard montages, which hold no data; as :func:`corpus_units`."""
    none = np.zeros((0, 2), int)
    return [
        Unit(index, size, count_patches(size, tokens_per_window), odds, none, none[:, 0])
        for index, n_channels in enumerate(STANDARD_MONTAGES)
        for size, odds in size_odds(n_channels, drop).items()
    ]


def pick(cumulative, u):
    """Return which share of a cumulative sum uniform numbers ``u`` from 0 to 1 fall into."""
    picks = np.searchsorted(cumulative, u * cumulative[-1], "right")
    return np.minimum(picks, len(cumulative) - 1)


def start_at(unit, k):
    """Return the k-th start of a unit, in samples."""
    run = np.searchsorted(unit.ends, k, "right")
    return int(unit.runs[run, 1] - (unit.ends[run] - k))
