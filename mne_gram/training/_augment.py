# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What is changed in a window before a network sees it: channels, reference, gain, sign, noise."""

import numpy as np
import torch

from ..montage import ELECTRODES, INDEX
from ._masks import channel_distances

__all__ = [
    "DROP_SIZES",
    "STANDARD_MONTAGES",
    "augment",
    "choose_channels",
    "size_odds",
    "subtract_average",
]

# Montages of these sizes are what a recording with more channels also teaches.
DROP_SIZES = (4, 8, 16, 19, 32)

# Mild, so that amplitudes stay those of EEG: a gain of 25 % up or down, up to 1.5 uV of noise.
_GAIN_SIGMA = 0.25
_MAX_NOISE = 0.015  # 0.1 mV

_TEN_TWENTY = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2"
_OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


def _indices(names):
    """Return the sorted montage indices of names."""
    return np.sort([INDEX[name] for name in names.split()])


# Montages in common use, by number of channels, for simulation without recordings.
STANDARD_MONTAGES = {
    64: _indices(
        "FP1 FPZ FP2 AF7 AF3 AFZ AF4 AF8 F7 F5 F3 F1 FZ F2 F4 F6 F8 "
        "FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10 "
        "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 "
        "PO7 PO3 POZ PO4 PO8 O1 OZ O2 IZ"
    ),
    32: _indices(
        "FP1 FP2 F7 F3 FZ F4 F8 FC5 FC1 FC2 FC6 T7 C3 CZ C4 T8 "
        "TP9 CP5 CP1 CP2 CP6 TP10 P7 P3 PZ P4 P8 PO9 O1 OZ O2 PO10"
    ),
    19: _indices(_TEN_TWENTY),
    16: _indices("FP1 FP2 F7 F3 F4 F8 T7 C3 C4 T8 P7 P3 P4 P8 O1 O2"),
    8: _indices("FP1 FP2 C3 C4 P7 P8 O1 O2"),
}

# The place of each entry in the 10-20 set, -1 for those outside it.
_SLOTS = np.full(len(INDEX), -1)
for _slot, _name in enumerate(_TEN_TWENTY.split()):
    _SLOTS[INDEX[_name]] = _slot
for _old, _new in _OLD_NAMES.items():
    _SLOTS[INDEX[_old]] = _SLOTS[INDEX[_new]]


def size_odds(n_channels, drop):
    """Say how often a recording serves windows of each number of channels.

    Parameters
    ----------
    n_channels : int
        The channels that the recording has.
    drop : bool
        Whether channels are dropped.

    Returns
    -------
    odds : dict of int to float
        The probability of each number of channels: one half for all of them, the other half shared
        by the smaller ones of ``DROP_SIZES``.
    """
    smaller = [size for size in DROP_SIZES if size < n_channels] if drop else []
    if not smaller:
        return {n_channels: 1.0}
    return {n_channels: 0.5} | {size: 0.5 / len(smaller) for size in smaller}


def choose_channels(channels, n, rng):
    """Choose some of the channels of a recording.

    Parameters
    ----------
    channels : array of int, shape (n_channels,)
        Indices in the montage of those to choose from.
    n : int
        How many to keep.
    rng : numpy.random.Generator
        What draws.

    Returns
    -------
    rows : array of int, shape (n,)
        Rows of ``channels``, sorted. Half of the time any; else the 10-20 set where 19 are wanted
        and all of it is there, or for other numbers channels spread over the head.
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
    """Choose a random channel, then over and over the one farthest from all chosen ones."""
    distances = channel_distances()[np.ix_(channels, channels)]
    rows = np.empty(n, int)
    rows[0] = rng.integers(len(channels))
    nearest = distances[rows[0]].copy()
    nearest[rows[0]] = -1.0
    for k in range(1, n):
        rows[k] = nearest.argmax()  # a place taken by an equal one (T3, T7) comes last, at 0
        np.minimum(nearest, distances[rows[k]], out=nearest)
        nearest[rows[k]] = -1.0
    return rows


def augment(x, rng):
    """Change gain and sign of windows, and add white noise.

    Parameters
    ----------
    x : array of float32, shape (n_windows, n_channels, n_times)
        Windows in 0.1 mV; changed in place.
    rng : numpy.random.Generator
        What draws.

    Returns
    -------
    x : array of float32
        The same. Each window has a gain of its own (lognormal, sigma 0.25), its sign turned half of
        the time, and noise of its own standard deviation, uniform between 0 and 1.5 microvolts.
    """
    shape = (len(x), 1, 1)
    gain = np.exp(_GAIN_SIGMA * rng.standard_normal(shape)) * rng.choice([-1.0, 1.0], shape)
    level = rng.uniform(0, _MAX_NOISE, shape)
    # Most of the work of a batch is in normal numbers, which torch draws thrice as fast.
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    noise = torch.randn(x.shape, generator=generator).numpy()
    noise *= level.astype(np.float32)
    x *= gain.astype(np.float32)
    x += noise
    return x


def subtract_average(x, channels):
    """Refer the electrodes of each window to their average.

    Parameters
    ----------
    x : array of float32, shape (n_windows, n_channels, n_times)
        Windows; changed in place.
    channels : array of int, shape (n_windows, n_channels)
        Indices in the montage.

    Returns
    -------
    x : array of float32
        The same. Bipolar derivations neither enter the average nor change. A lone electrode stays
        as it is: its average is itself, and nothing of it would be left.
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
