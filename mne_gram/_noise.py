# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Noise for draws from the posterior: the same at the same time, wherever reading begins."""

import numpy as np
from scipy.signal import oaconvolve

from ._bands import N_BANDS, STATISTICS_EDGES, lowpass_taps


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


def read_noise(noise, start, stop, sfreq):
    """Return white noise a band, the highest ending where its covariance was read."""
    taps = lowpass_taps(sfreq, STATISTICS_EDGES[-1:])[0]
    half = len(taps) // 2
    drawn = noise.read(start, stop + 2 * half)  # the noise at time t lies half a filter later
    drawn[-1, :, half:-half] = oaconvolve(drawn[-1], taps[None], mode="valid", axes=-1)
    return drawn[..., half : stop - start + half]


def colour_noise(error, sfreq):
    """Return the factors that give white noise the error's covariance once it is band-passed."""
    values, vectors = np.linalg.eigh(error)
    root = vectors * np.sqrt(values.clip(0))[:, None, :] @ np.swapaxes(vectors, -1, -2)
    bandwidth = np.diff(STATISTICS_EDGES)
    return root * np.sqrt(sfreq / (2 * bandwidth))[:, None, None]
