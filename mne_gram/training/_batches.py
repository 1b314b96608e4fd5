# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Batches of windows, each a pure function of a seed, a step and a part."""

import zlib
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from mne.utils import _check_option, _validate_type

from ..models import Places, find_places
from ._augment import augment, choose_channels, subtract_average
from ._buckets import PATCH, good_rows, list_pools, pick, start_at
from ._masks import MASK_KINDS, MASK_SHARES, draw_mask

_TOKENS_PER_WINDOW = 256  # at the most, of windows for validation


@dataclass(frozen=True)
class Batch:
    """Windows of equal shape."""

    x: torch.Tensor  #: in 0.1 mV, float32 (B, C, n * 200)
    channels: torch.Tensor  #: montage indices, int64 (B, C)
    mask: torch.Tensor  #: True where hidden, bool (B, C, n)
    kind: str  #: of mask; "none" in stage 1, where nothing is hidden
    sources: tuple  #: recording and start of each window
    places: Places | None = None  #: of the mask, if all windows hide equally many patches

    def pin_memory(self):
        """Return the batch in pinned memory, from which copies do not wait."""
        fields = {name: _pin(getattr(self, name)) for name in ("x", "channels", "mask")}
        if self.places is not None:
            fields["places"] = Places(*map(_pin, self.places))
        return replace(self, **fields)


def _pin(tensor):
    """Return a tensor in pinned memory, also one whose elements share memory."""
    return tensor.contiguous().pin_memory()


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
    """Return masks (B, C, n) for windows with ``channels`` (B, C)."""
    if kind == "none":
        return torch.zeros((*channels.shape, n_patches), dtype=torch.bool)
    masks = [draw_mask(kind, row, n_patches, rng, share=share) for row in channels]
    return torch.from_numpy(np.stack(masks))


@dataclass
class Sampler:
    """Draws the batches of pre-training from a corpus.

    A window of ``C`` channels has ``tokens_per_window // C`` patches, from 1 to 16, or fewer in
    shorter pieces of a recording; a batch has as many windows as fit. ``mask_kinds`` are the
    weights of the kinds of masks (None hides nothing), and ``mask_share`` the range of hidden
    shares of those kinds that differ from ``MASK_SHARES``. With ``n_shares``, each kind hides one
    of so many shares, evenly spread over its range, so the batches of a bucket have few shapes.

    Buckets are windows of one shape ``(C, n)``. The bucket of a batch is drawn in proportion to
    the tokens that recordings offer, then the recording of each window likewise, so a recording
    counts by its unmarked tokens, and batches mix all data sets that have their shape. Windows
    start at any sample, never cross the end of a piece, and leave out channels with a mark inside.
    """

    corpus: object
    seed: int = 0
    tokens_per_window: int = 256
    tokens_per_batch: int = 4096
    mask_kinds: dict | None = None
    mask_share: dict | None = None
    n_shares: int | None = None
    augment: bool = True
    dropout_channels: bool = True
    _buckets: list = field(init=False, repr=False)

    def __post_init__(self):
        for name in ("tokens_per_window", "tokens_per_batch"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}.")
        self._odds, self._shares = _check_shares(self.mask_kinds, self.mask_share)
        self._channels = [np.array(r.channels) for r in self.corpus.recordings]
        self._marks = [np.array(r.bad, int).reshape(-1, 3) for r in self.corpus.recordings]
        buckets = {}
        for pool in list_pools(self.corpus, self.tokens_per_window, self.dropout_channels):
            buckets.setdefault((pool.n_channels, pool.n_patches), []).append(pool)
        self._buckets = [buckets[shape] for shape in sorted(buckets)]
        self._within = [np.cumsum([pool.weight for pool in pools]) for pools in self._buckets]
        self._between = np.cumsum([within[-1] for within in self._within])

    @property
    def buckets(self):
        """The probability of each shape ``(C, n)``."""
        shares = np.diff(self._between, prepend=0) / self._between[-1]
        return {
            (pools[0].n_channels, pools[0].n_patches): float(share)
            for pools, share in zip(self._buckets, shares, strict=True)
        }

    def draw(self, step, part=0):
        """Draw the batch of a part of a step, whatever was drawn before."""
        rng = np.random.default_rng([self.seed, step, part])
        which = pick(self._between, rng.random())
        n_channels = self._buckets[which][0].n_channels
        n_patches = self._buckets[which][0].n_patches
        n_windows = max(1, self.tokens_per_batch // (n_channels * n_patches))
        picks = pick(self._within[which], rng.random(n_windows))
        x, channels, sources = self._read([self._buckets[which][k] for k in picks], rng)
        kind, share = "none", 0.0
        if self._odds:
            kind = str(rng.choice(list(self._odds), p=list(self._odds.values())))
            share = self._draw_share(kind, rng)
        mask = _draw_masks(kind, channels, n_patches, rng, share)
        places = find_places(mask.flatten(1)) if self._odds else None
        return Batch(x, torch.from_numpy(channels), mask, kind, sources, places)

    def _draw_share(self, kind, rng):
        """Draw the share of patches that a mask hides."""
        low, high = self._shares[kind]
        share = rng.uniform(low, high)
        if self.n_shares is None or high == low:
            return share
        width = (high - low) / self.n_shares
        return low + width * (min((share - low) // width, self.n_shares - 1) + 0.5)

    def _read(self, pools, rng):
        """Cut one window from each pool; return windows, channels and sources."""
        n_channels, n_times = pools[0].n_channels, pools[0].n_patches * PATCH
        x = np.empty((len(pools), n_channels, n_times), np.float32)
        channels = np.empty((len(pools), n_channels), np.int64)
        sources = []
        for k, pool in enumerate(pools):
            own = self._channels[pool.index]
            start = start_at(pool, rng.integers(pool.ends[-1]))
            good = good_rows(self._marks[pool.index], len(own), start, start + n_times)
            rows = good[choose_channels(own[good], n_channels, rng)]
            x[k] = self.corpus.read(pool.index, rows, start, start + n_times)
            channels[k] = own[rows]
            sources.append(_describe(self.corpus.recordings[pool.index], start))
        # NumPy, because torch's threads are busy with the training that runs meanwhile.
        if self.augment:
            augment(x, rng)
        return torch.from_numpy(subtract_average(x, channels)), channels, tuple(sources)


def _describe(recording, start):
    """Return the name of a window for logs."""
    return f"{recording.name} @ {start / PATCH:.1f} s"


def validation_batches(
    corpus,
    *,
    kinds=("none",),
    seed=0,
    windows_per_subject=8,
):
    """Return fixed windows of every subject, as ``("dataset/subject", Batch)`` pairs.

    All ``kinds`` of masks ("none" hides nothing) have the same windows, evenly spread over the
    unmarked time, with all good channels. The share of hidden patches is the middle of its range.
    """
    kinds = tuple(kinds)
    for kind in kinds:
        _check_option("kind of mask", kind, (*MASK_KINDS, "none"))
    shares = {kind: sum(MASK_SHARES[kind]) / 2 for kind in MASK_KINDS}
    subjects = {}
    for pool in list_pools(corpus, _TOKENS_PER_WINDOW, drop=False):
        recording = corpus.recordings[pool.index]
        subjects.setdefault(f"{recording.dataset}/{recording.subject}", []).append(pool)
    batches = []
    for subject in sorted(subjects):
        windows = _spread_windows(corpus, subjects[subject], windows_per_subject)
        for shape, x, channels, sources in windows:
            for kind in kinds:
                # Seeded by names, so that masks do not depend on the other subjects.
                names = [zlib.crc32(name.encode()) for name in (subject, str(shape), kind)]
                rng = np.random.default_rng([seed, *names])
                mask = _draw_masks(kind, channels, shape[1], rng, shares.get(kind))
                batch = Batch(x, torch.from_numpy(channels), mask, kind, sources)
                batches.append((subject, batch))
    return batches


def _spread_windows(corpus, pools, n_windows):
    """Cut windows at even distances; yield shape, data, channels and sources."""
    # Weighted by the time that they stand for, so short pieces count as much as long ones.
    weights = np.array([pool.weight / pool.n_channels for pool in pools])
    ends = np.cumsum(weights)
    windows = {}
    for place in (np.arange(n_windows) + 0.5) / n_windows:
        k = int(pick(ends, place))
        pool, recording = pools[k], corpus.recordings[pools[k].index]
        share = (place * ends[-1] - ends[k]) / weights[k] + 1
        start = start_at(pool, int(np.clip(share * pool.ends[-1], 0, pool.ends[-1] - 1)))
        stop = start + pool.n_patches * PATCH
        marks = np.array(recording.bad, int).reshape(-1, 3)
        rows = good_rows(marks, len(recording.channels), start, stop)
        # By name, so that a subject with few possible starts has each window once.
        windows.setdefault((len(rows), pool.n_patches), {})[_describe(recording, start)] = (
            corpus.read(pool.index, rows, start, stop),
            np.array(recording.channels)[rows],
        )
    for shape, found in windows.items():
        data, channels = (np.stack(part) for part in zip(*found.values(), strict=True))
        x = subtract_average(data.astype(np.float32), channels)
        yield shape, torch.from_numpy(x), channels.astype(np.int64), tuple(found)
