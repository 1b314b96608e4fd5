# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Batches of windows, each a pure function of a seed, a step and a part."""

import zlib
from dataclasses import dataclass, field

import numpy as np
import torch
from mne.utils import _check_option, _validate_type

from ._augment import STANDARD_MONTAGES, augment, choose_channels, subtract_average
from ._buckets import PATCH, corpus_units, good_rows, montage_units, pick, start_at
from ._masks import MASK_KINDS, MASK_SHARES, draw_mask

__all__ = ["Batch", "Sampler", "validation_batches"]


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
            units = montage_units(self.tokens_per_window, self.dropout_channels)
            self._channels = list(STANDARD_MONTAGES.values())
            self._marks = []
        else:
            units = corpus_units(self.corpus, self.tokens_per_window, self.dropout_channels)
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
        which = pick(self._between, rng.random())
        n_channels = self._buckets[which][0].n_channels
        n_patches = self._buckets[which][0].n_patches
        n_windows = max(1, self.tokens_per_batch // (n_channels * n_patches))
        picks = pick(self._within[which], rng.random(n_windows))
        units = [self._buckets[which][k] for k in picks]
        if simulated:
            x, channels, sources = self._simulate(units, rng)
        else:
            x, channels, sources = self._read(units, rng)
        kind, share = "none", 0.0
        if self._odds:
            kind = str(rng.choice(list(self._odds), p=list(self._odds.values())))
            share = rng.uniform(*self._shares[kind])
        mask = _draw_masks(kind, channels, n_patches, rng, share).to(x.device)
        return Batch(x, torch.from_numpy(channels).to(x.device), mask, kind, sources)

    def _read(self, units, rng):
        """Cut one window from the recording of every unit."""
        n_channels, n_times = units[0].n_channels, units[0].n_patches * PATCH
        x = np.empty((len(units), n_channels, n_times), np.float32)
        channels = np.empty((len(units), n_channels), np.int64)
        sources = []
        for k, unit in enumerate(units):
            own = self._channels[unit.index]
            start = start_at(unit, rng.integers(unit.ends[-1]))
            good = good_rows(self._marks[unit.index], len(own), start, start + n_times)
            rows = good[choose_channels(own[good], n_channels, rng)]
            x[k] = self.corpus.read(unit.index, rows, start, start + n_times)
            channels[k] = own[rows]
            sources.append(_describe(self.corpus.recordings[unit.index], start))
        # Numpy, not torch: this runs beside the training, whose threads would be waited for.
        if self.augment:
            augment(x, rng)
        return torch.from_numpy(subtract_average(x, channels)), channels, tuple(sources)

    def _simulate(self, units, rng):
        """Simulate one window with channels of every unit, referred by the simulator."""
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


def _describe(recording, start):
    """Return the name of a window for logs."""
    return f"{recording.name} @ {start / PATCH:.1f} s"


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
    for unit in corpus_units(corpus, tokens_per_window, drop=False):
        recording = corpus.recordings[unit.index]
        subjects.setdefault(f"{recording.dataset}/{recording.subject}", []).append(unit)
    batches = []
    for subject in sorted(subjects):
        windows = _spread_windows(corpus, subjects[subject], windows_per_subject)
        for shape, x, channels, sources in windows:
            for kind in kinds:
                # From names, so that a subject's masks don't depend on who else there is.
                names = [zlib.crc32(name.encode()) for name in (subject, str(shape), kind)]
                rng = np.random.default_rng([seed, *names])
                mask = _draw_masks(kind, channels, shape[1], rng, shares.get(kind))
                batch = Batch(x, torch.from_numpy(channels), mask, kind, sources)
                batches.append((subject, batch))
    return batches


def _spread_windows(corpus, units, n_windows):
    """Cut windows at even distances of time; yield data, channels and sources by shape."""
    # A start weighs the time that it stands for, so that short pieces count as much as long ones.
    weights = np.array([unit.weight / unit.n_channels for unit in units])
    ends = np.cumsum(weights)
    windows = {}
    for place in (np.arange(n_windows) + 0.5) / n_windows:
        k = int(pick(ends, place))
        unit, recording = units[k], corpus.recordings[units[k].index]
        share = (place * ends[-1] - ends[k]) / weights[k] + 1
        start = start_at(unit, int(np.clip(share * unit.ends[-1], 0, unit.ends[-1] - 1)))
        stop = start + unit.n_patches * PATCH
        marks = np.array(recording.bad, int).reshape(-1, 3)
        rows = good_rows(marks, len(recording.channels), start, stop)
        # By name: a subject with fewer starts than windows asked for has each once.
        windows.setdefault((len(rows), unit.n_patches), {})[_describe(recording, start)] = (
            corpus.read(unit.index, rows, start, stop),
            np.array(recording.channels)[rows],
        )
    for shape, found in windows.items():
        data, channels = (np.stack(part) for part in zip(*found.values(), strict=True))
        x = subtract_average(data.astype(np.float32), channels)
        yield shape, torch.from_numpy(x), channels.astype(np.int64), tuple(found)
