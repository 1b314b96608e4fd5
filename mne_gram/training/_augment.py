# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Variation of windows before training: channels, reference, gain, sign and noise."""

import numpy as np
import torch

from ..montage import ELECTRODES, INDEX
from ._masks import channel_distances

__all__ = [
    "DROP_SIZES",
    "augment",
    "choose_channels",
    "size_odds",
    "subtract_average",
]

# Recordings with more channels are also used with these numbers of channels.
DROP_SIZES = (4, 8, 16, 19, 32)

# Mild, so that amplitudes remain those of EEG.
_GAIN_SIGMA = 0.25
_MAX_NOISE = 0.015  # 0.1 mV

_TEN_TWENTY = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2"
_OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


# The place of each entry in the 10-20 set, -1 for those outside it.
_SLOTS = np.full(len(INDEX), -1)
for _slot, _name in enumerate(_TEN_TWENTY.split()):
    _SLOTS[INDEX[_name]] = _slot
for _old, _new in _OLD_NAMES.items():
    _SLOTS[INDEX[_old]] = _SLOTS[INDEX[_new]]


def size_odds(n_channels, drop):
    """Return the probability of each number of channels that a recording is used with.

    One half for all of its channels, the other half shared by the smaller of ``DROP_SIZES``.
    """
    smaller = [size for size in DROP_SIZES if size < n_channels] if drop else []
    if not smaller:
        return {n_channels: 1.0}
    return {n_channels: 0.5} | {size: 0.5 / len(smaller) for size in smaller}


def choose_channels(channels, n, rng):
    """Choose ``n`` of the channels (montage indices); return their rows, sorted.

    Half of the time at random, otherwise the 10-20 set if 19 of it are asked for and available, or
    channels that are spread over the head.
    """
    channels = np.asarray(channels)
    if n == len(channels):
        return np.arange(n)
    if rng.random() < 0.5:
        slots = _SLOTS[channels]
        if n != 19:
            return np.sort(_spread(channels, n, rng))
        inside = np.flatnonzero(slots >= 0)
        found, first = np.unique(slots[inside], return_index=True)
        if len(found) == 19:
            return np.sort(inside[first])
    return np.sort(rng.permutation(len(channels))[:n])


def _spread(channels, n, rng):
    """Choose a random channel, then repeatedly the one farthest from all chosen ones."""
    distances = channel_distances()[np.ix_(channels, channels)]
    rows = np.empty(n, int)
    rows[0] = rng.integers(len(channels))
    nearest = distances[rows[0]].copy()
    nearest[rows[0]] = -1.0
    for k in range(1, n):
        rows[k] = nearest.argmax()  # duplicate places (T3, T7) come last, at 0
        np.minimum(nearest, distances[rows[k]], out=nearest)
        nearest[rows[k]] = -1.0
    return rows


def augment(x, rng):
    """Change gain and sign of windows (B, C, T) and add white noise, in place.

    Gains are lognormal (sigma 0.25), signs random, and noise has up to 1.5 uV per window.
    """
    shape = (len(x), 1, 1)
    gain = np.exp(_GAIN_SIGMA * rng.standard_normal(shape)) * rng.choice([-1.0, 1.0], shape)
    level = rng.uniform(0, _MAX_NOISE, shape)
    # Normal numbers are most of the cost of a batch, and torch draws them three times as fast.
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    noise = torch.randn(x.shape, generator=generator).numpy()
    noise *= level.astype(np.float32)
    x *= gain.astype(np.float32)
    x += noise
    return x


def subtract_average(x, channels):
    """Apply the average reference to the electrodes of windows (B, C, T), in place.

    Bipolar derivations do not take part, and a single electrode remains unchanged.
    """
    unipolar = channels < len(ELECTRODES)
    if unipolar.all() and channels.shape[1] > 1:
        x -= x.mean(axis=1, keepdims=True)
        return x
    count = unipolar.sum(axis=1, keepdims=True)
    inside = (unipolar & (count > 1)).astype(np.float32)
    average = np.einsum("bc,bct->bt", inside / np.maximum(count, 1, dtype=np.float32), x)
    x -= inside[..., None] * average[:, None]
    return x
