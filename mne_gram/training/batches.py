# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Batches of windows, each a pure function of a seed, a step and a part."""

import zlib
from dataclasses import dataclass, field

import numpy as np
import torch
from mne.utils import _check_option, _validate_type, logger

from .augment import STANDARD_MONTAGES, augment, choose_channels, size_odds, subtract_average
from .masks import MASK_KINDS, MASK_SHARES, draw_mask

__all__ = ["Batch", "Sampler", "validation_batches"]

_PATCH = 200  # samples
_MAX_PATCHES = 16  # rows of the networks' time tables
_USED = 0.75  # share of a recording's windows in which its native number of channels is good
_COARSE = 32  # above this, native numbers that marks made uneven are rounded down ...
_STEP = 4  # ... to multiples of this, so that recordings meet in a batch


@dataclass(frozen=True)
class Batch:
    """Windows of equal shape.

    Attributes
    ----------
    x : torch.Tensor of float32, shape (B, C, n * 200)
        The windows in 0.1 mV.
    channels : torch.Tensor of int64, shape (B, C)
        Indices of their channels in the montage.
    mask : torch.Tensor of bool, shape (B, C, n)
        True where hidden; nowhere for stage 1.
    kind : str
        The kind of mask, ``"none"`` for stage 1.
    sources : tuple of str
        Recording and start of each window, or ``"simulation"``.
    """

    x: torch.Tensor
    channels: torch.Tensor
    mask: torch.Tensor
    kind: str
    sources: tuple


# ---------------------------------------------------------------------------------------------
# Where windows may start


def count_patches(n_channels, tokens_per_window):
    """Return how many patches long a window of this many channels is, where nothing is short."""
    return int(np.clip(tokens_per_window // n_channels, 1, _MAX_PATCHES))


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
        First start and stop of runs of starts, in samples.
    counts : array of int, shape (n_runs,)
        The number of channels that are good from the first to the last sample of all windows that
        start in the run.
    """
    starts = np.stack([pieces[:, 0], pieces[:, 1] - _PATCH * n_patches + 1], axis=1)
    starts = starts[starts[:, 1] > starts[:, 0]]
    n_seconds = good.shape[1]
    if not len(starts) or n_patches > n_seconds:
        return np.zeros((0, 2), int), np.zeros(0, int)
    spotted = ~good.all(axis=1)
    counts = np.full(2 * (n_seconds - n_patches + 1), len(good) - spotted.sum())
    marks = np.zeros((spotted.sum(), n_seconds + 1), np.int32)
    np.cumsum(~good[spotted], axis=1, out=marks[:, 1:])
    # A window that starts with a second touches n of them, any other window one more.
    counts[::2] += (marks[:, n_patches:] == marks[:, :-n_patches]).sum(axis=0)
    longer = n_patches + 1
    counts[1:-1:2] += (marks[:, longer:] == marks[:, :-longer]).sum(axis=0)
    changes = np.flatnonzero(np.diff(counts, prepend=counts[0] - 1))
    edges = _PATCH * (changes // 2) + changes % 2
    lows = np.unique(np.concatenate([edges, starts.ravel()]))
    inside = np.searchsorted(starts[:, 0], lows, "right") > np.searchsorted(
        starts[:, 1], lows, "right"
    )
    runs = np.stack([lows[:-1], lows[1:]], axis=1)[inside[:-1]]
    return runs, counts[changes][np.searchsorted(edges, runs[:, 0], "right") - 1]


def _group_pieces(pieces, n_patches):
    """Yield window lengths and the pieces that serve them.

    Pieces that are too short for ``n_patches`` serve the next power of two that fits.
    """
    fits = (pieces[:, 1] - pieces[:, 0]) // _PATCH
    longer = np.inf
    for n in [n_patches, *(n for n in (8, 4, 2, 1) if n < n_patches)]:
        group = pieces[(fits >= n) & (fits < longer)]
        if len(group):
            yield n, group
        longer = n


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


@dataclass(frozen=True)
class _Unit:
    """What a recording (or a montage to simulate) offers to windows of one shape."""

    index: int  # the recording or montage
    n_channels: int
    n_patches: int
    weight: float  # tokens x probability of this shape
    runs: np.ndarray  # where windows may start, (n_runs, 2)
    ends: np.ndarray  # number of starts up to the end of each run


def _recording_units(index, recording, good, tokens_per_window, drop):
    """List the units of one recording, empty if no window of it can be used."""
    n_rows = len(recording.channels)
    pieces = np.array(recording.pieces, int).reshape(-1, 2)
    tables = {}

    def table(n_patches):
        if n_patches not in tables:
            tables[n_patches] = [
                (n, np.diff(group, axis=1).sum(), *start_runs(good, group, n))
                for n, group in _group_pieces(pieces, n_patches)
            ]
        return tables[n_patches]

    rows = table(count_patches(n_rows, tokens_per_window))
    if not rows:
        return []
    native = _native_count(
        n_rows, np.concatenate([r[2] for r in rows]), np.concatenate([r[3] for r in rows])
    )
    if native == 0:
        return []
    units = []
    for size, odds in size_odds(native, drop).items():
        for n, seconds, runs, counts in table(count_patches(size, tokens_per_window)):
            runs = runs[counts >= size]
            if len(runs) and size * n > 1:
                ends = np.cumsum(np.diff(runs, axis=1)[:, 0])
                units.append(_Unit(index, size, n, odds * seconds, runs, ends))
    scale = good.sum() / sum([unit.weight for unit in units]) if units else 0
    return [
        _Unit(u.index, u.n_channels, u.n_patches, u.weight * scale, u.runs, u.ends) for u in units
    ]


def _montage_units(tokens_per_window, drop):
    """List the units of the standard montages, which have no data."""
    none = np.zeros((0, 2), int)
    return [
        _Unit(index, size, count_patches(size, tokens_per_window), odds, none, none[:, 0])
        for index, n_channels in enumerate(STANDARD_MONTAGES)
        for size, odds in size_odds(n_channels, drop).items()
    ]


def _good_rows(marks, n_rows, start, stop):
    """Return the rows of a recording without a marked second between two samples."""
    good = np.ones(n_rows, bool)
    touched = (marks[:, 1] * _PATCH < stop) & (marks[:, 2] * _PATCH > start)
    good[marks[touched, 0]] = False
    return np.flatnonzero(good)


def _check_shares(mask_kinds, mask_share):
    """Return the kinds of masks with their odds, and lowest and highest share of each."""
    shares = MASK_SHARES | dict(mask_share or {})
    if mask_kinds is None:
        return {}, shares
    _validate_type(mask_kinds, dict, "mask_kinds", "a dict of kind to weight")
    for kind in [*mask_kinds, *shares]:
        _check_option("kind of mask", kind, MASK_KINDS)
    for kind, (low, high) in shares.items():
        if not 0 < low <= high < 1:
            raise ValueError(
                f"mask_share[{kind!r}] must be (low, high) with 0 < low <= high < 1, got "
                f"{(low, high)}."
            )
    weights = np.array(list(mask_kinds.values()), float)
    if not len(weights) or weights.min() < 0 or weights.sum() <= 0:
        raise ValueError(f"mask_kinds must have weights >= 0, one of them > 0, got {mask_kinds}.")
    return dict(zip(mask_kinds, weights / weights.sum(), strict=True)), shares


def _draw_masks(kind, channels, n_patches, rng, share):
    """Return masks for all windows, shape (B, C, n)."""
    if kind == "none":
        return torch.zeros((*channels.shape, n_patches), dtype=torch.bool)
    masks = [draw_mask(kind, row, n_patches, rng, share=share) for row in channels]
    return torch.from_numpy(np.stack(masks))


# ---------------------------------------------------------------------------------------------


@dataclass
class Sampler:
    """What draws the batches of pre-training.

    Parameters
    ----------
    corpus : Corpus | None
        The recordings; None if all is simulated.
    seed : int
        Seed of everything drawn.
    tokens_per_window : int
        A window of ``C`` channels has ``tokens_per_window // C`` patches, at least 1 and at most
        16; fewer in pieces of a recording that are shorter.
    tokens_per_batch : int
        A batch has as many windows as fit, at least one.
    simulator : Simulator | None
        What simulates.
    simulated_share : float
        Share of simulated batches.
    mask_kinds : dict of str to float | None
        Weights of the kinds of masks, of which each batch has one; None hides nothing (stage 1).
    mask_share : dict of str to tuple | None
        Lowest and highest share of hidden patches of a kind, between which each batch's is drawn.
        Kinds that are not named have those of ``MASK_SHARES``. The published training has
        ``mask_kinds={"random": 1}`` and ``mask_share={"random": (0.5, 0.5)}``.
    augment : bool
        Whether to change gain and sign of recorded windows and to add noise.
    dropout_channels : bool
        Whether windows also come with fewer channels than the recording has.

    Notes
    -----
    Buckets are windows of one shape ``(C, n)``. The bucket of a batch is drawn in proportion to the
    tokens that recordings offer it, then the recording of every window likewise, so that each
    recording counts by its unmarked tokens and the windows of a batch come from all data sets that
    have its shape. Windows start at any sample, never cross the end of a piece, and leave out every
    channel that has a marked second in them. A recording's native number of channels is what is
    good in three quarters of its windows; above 32, numbers that marks lowered are rounded down to
    multiples of 4. The electrodes that are kept are referred to their average.
    """

    corpus: object
    seed: int = 0
    tokens_per_window: int = 256
    tokens_per_batch: int = 4096
    simulator: object = None
    simulated_share: float = 0.0
    mask_kinds: dict | None = None
    mask_share: dict | None = None
    augment: bool = True
    dropout_channels: bool = True
    _buckets: list = field(init=False, repr=False)

    def __post_init__(self):
        """Check the options and set up the tables."""
        if not 0 <= self.simulated_share <= 1:
            raise ValueError(f"simulated_share must be from 0 to 1, got {self.simulated_share}.")
        if self.simulated_share > 0 and self.simulator is None:
            raise ValueError("simulated_share is above 0, but there is no simulator. Give one.")
        for name in ("tokens_per_window", "tokens_per_batch"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}.")
        self._odds, self._shares = _check_shares(self.mask_kinds, self.mask_share)
        if self.corpus is None:
            if self.simulated_share < 1:
                raise ValueError("There is no corpus, so simulated_share must be 1.")
            units = _montage_units(self.tokens_per_window, self.dropout_channels)
            self._channels = list(STANDARD_MONTAGES.values())
            self._marks = []
        else:
            units = _corpus_units(self.corpus, self.tokens_per_window, self.dropout_channels)
            self._channels = [np.array(r.channels) for r in self.corpus.recordings]
            self._marks = [np.array(r.bad, int).reshape(-1, 3) for r in self.corpus.recordings]
        buckets = {}
        for unit in units:
            buckets.setdefault((unit.n_channels, unit.n_patches), []).append(unit)
        self._buckets = [buckets[shape] for shape in sorted(buckets)]
        self._within = [np.cumsum([unit.weight for unit in units]) for units in self._buckets]
        self._between = np.cumsum([within[-1] for within in self._within])

    @property
    def buckets(self):
        """The shapes ``(C, n)`` of windows and the probability of each, a dict."""
        shares = np.diff(self._between, prepend=0) / self._between[-1]
        return {
            (units[0].n_channels, units[0].n_patches): float(share)
            for units, share in zip(self._buckets, shares, strict=True)
        }

    def draw(self, step, part=0):
        """Draw one batch.

        Parameters
        ----------
        step : int
            The step of the training.
        part : int
            Which part of the step: process and slice of the accumulated gradient.

        Returns
        -------
        batch : Batch
            The same for the same seed, step and part, whatever was drawn before. Simulated windows
            are on the simulator's device, recorded ones on the CPU.
        """
        rng = np.random.default_rng([self.seed, step, part])
        simulated = rng.random() < self.simulated_share
        which = _pick(self._between, rng.random())
        n_channels = self._buckets[which][0].n_channels
        n_patches = self._buckets[which][0].n_patches
        n_windows = max(1, self.tokens_per_batch // (n_channels * n_patches))
        picks = _pick(self._within[which], rng.random(n_windows))
        units = [self._buckets[which][k] for k in picks]
        if simulated:
            x, channels, sources = self._simulate(units, rng)
        else:
            x, channels, sources = self._read(units, rng)
        if self.augment and not simulated:
            augment(x, rng)
        tensor = torch.from_numpy(channels).to(x.device)
        subtract_average(x, tensor)
        kind, share = "none", 0.0
        if self._odds:
            kind = str(rng.choice(list(self._odds), p=list(self._odds.values())))
            share = rng.uniform(*self._shares[kind])
        mask = _draw_masks(kind, channels, n_patches, rng, share).to(x.device)
        return Batch(x, tensor, mask, kind, sources)

    def _read(self, units, rng):
        """Cut one window from the recording of every unit."""
        n_channels, n_times = units[0].n_channels, units[0].n_patches * _PATCH
        x = np.empty((len(units), n_channels, n_times), np.float32)
        channels = np.empty((len(units), n_channels), np.int64)
        sources = []
        for k, unit in enumerate(units):
            own = self._channels[unit.index]
            start = _start_at(unit, rng.integers(unit.ends[-1]))
            good = _good_rows(self._marks[unit.index], len(own), start, start + n_times)
            rows = good[choose_channels(own[good], n_channels, rng)]
            x[k] = self.corpus.read(unit.index, rows, start, start + n_times)
            channels[k] = own[rows]
            sources.append(_describe(self.corpus.recordings[unit.index], start))
        return torch.from_numpy(x), channels, tuple(sources)

    def _simulate(self, units, rng):
        """Simulate one window with channels of every unit."""
        channels = np.empty((len(units), units[0].n_channels), np.int64)
        for k, unit in enumerate(units):
            own = self._channels[unit.index]
            channels[k] = own[choose_channels(own, unit.n_channels, rng)]
        device = torch.device(self.simulator.device)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        x = self.simulator.draw(
            torch.from_numpy(channels).to(device), units[0].n_patches, generator
        )
        return x, channels, ("simulation",) * len(units)


def _pick(cumulative, u):
    """Return which share of a cumulative sum uniform numbers from 0 to 1 fall into."""
    picks = np.searchsorted(cumulative, u * cumulative[-1], "right")
    return np.minimum(picks, len(cumulative) - 1)


def _start_at(unit, k):
    """Return the k-th start of a unit, in samples."""
    run = np.searchsorted(unit.ends, k, "right")
    return int(unit.runs[run, 1] - (unit.ends[run] - k))


def _describe(recording, start):
    """Return the name of a window for logs."""
    return f"{recording.name} @ {start / _PATCH:.1f} s"


def _corpus_units(corpus, tokens_per_window, drop):
    """List the units of a corpus, and say which recordings have none."""
    units, left_out = [], []
    for k, recording in enumerate(corpus.recordings):
        found = _recording_units(k, recording, corpus.good(k), tokens_per_window, drop)
        units += found
        if not found:
            left_out.append(recording.name)
    if not units:
        raise ValueError(
            f"The corpus holds {len(corpus.recordings)} recordings, and none has a window of one "
            "second in which a channel is not marked as bad. Prepare it from other recordings."
        )
    if left_out:
        logger.info(
            f"{len(left_out)} of {len(corpus.recordings)} recordings have no unmarked window and "
            f"are left out: {', '.join(left_out[:10])}{' ...' if len(left_out) > 10 else ''}"
        )
    return units


# ---------------------------------------------------------------------------------------------
# Windows that stay the same


def validation_batches(
    corpus,
    *,
    kinds=("none",),
    seed=0,
    windows_per_subject=8,
    tokens_per_window=256,
    mask_share=None,
):
    """Lay out fixed windows of every subject.

    Parameters
    ----------
    corpus : Corpus
        The recordings.
    kinds : iterable of str
        Kinds of masks, ``"none"`` among them where nothing is hidden. All have the same windows.
    seed : int
        Seed of the masks.
    windows_per_subject : int
        How many windows each subject has, spread evenly over the unmarked time of all of the
        subject's recordings.
    tokens_per_window : int
        As in :class:`Sampler`.
    mask_share : dict of str to float | None
        Share of hidden patches of a kind; those not named have the middle of ``MASK_SHARES``.

    Returns
    -------
    batches : list of tuple of (str, Batch)
        ``"dataset/subject"`` and windows of that subject alone. Where the number of good channels
        changes between windows, there are several batches of a subject and kind. All good
        channels are kept and nothing is changed but the reference.
    """
    kinds = tuple(kinds)
    for kind in kinds:
        _check_option("kind of mask", kind, (*MASK_KINDS, "none"))
    shares = {kind: sum(MASK_SHARES[kind]) / 2 for kind in MASK_KINDS} | dict(mask_share or {})
    subjects = {}
    for unit in _corpus_units(corpus, tokens_per_window, drop=False):
        recording = corpus.recordings[unit.index]
        subjects.setdefault(f"{recording.dataset}/{recording.subject}", []).append(unit)
    batches = []
    for subject in sorted(subjects):
        for shape, windows in _spread_windows(corpus, subjects[subject], windows_per_subject):
            x, channels, sources = windows
            number = zlib.crc32(f"{subject} {shape}".encode())
            for kind in kinds:
                # From the name, so that a subject's masks don't depend on who else there is.
                rng = np.random.default_rng([seed, number, zlib.crc32(kind.encode())])
                mask = _draw_masks(kind, channels.numpy(), shape[1], rng, shares.get(kind))
                batches.append((subject, Batch(x, channels, mask, kind, sources)))
    return batches


def _spread_windows(corpus, units, n_windows):
    """Cut windows at even distances of the units' starts; return them by shape."""
    # A start weighs what it stands for, so short pieces count as much as long ones.
    weights = np.cumsum([unit.weight / unit.n_channels for unit in units])
    places = (np.arange(n_windows) + 0.5) / n_windows * weights[-1]
    windows = {}
    for place in places:
        k = int(_pick(weights, place / weights[-1]))
        unit, recording = units[k], corpus.recordings[units[k].index]
        share = 1 - (weights[k] - place) / (unit.weight / unit.n_channels)
        start = _start_at(unit, int(np.clip(share * unit.ends[-1], 0, unit.ends[-1] - 1)))
        stop = start + unit.n_patches * _PATCH
        marks = np.array(recording.bad, int).reshape(-1, 3)
        rows = _good_rows(marks, len(recording.channels), start, stop)
        entry = (
            corpus.read(unit.index, rows, start, stop),
            np.array(recording.channels)[rows],
            _describe(recording, start),
        )
        windows.setdefault((len(rows), unit.n_patches), []).append(entry)
    for shape, entries in windows.items():
        data, channels, sources = zip(*entries, strict=True)
        channels = torch.from_numpy(np.stack(channels).astype(np.int64))
        x = torch.from_numpy(np.stack(data).astype(np.float32))
        yield shape, (subtract_average(x, channels), channels, sources)
