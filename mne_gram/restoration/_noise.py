# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Noise for draws from the posterior: the same at the same time, wherever reading begins."""

import numpy as np

from ..covariance import N_BANDS, STATISTICS_EDGES, WINDOW, band_products, lowpass_taps

_LONG = 4.0  # seconds, which resolve a quarter of a hertz
_MAX_WINDOWS = 40
_LARGEST_SLOW = 3.0  # beyond it drifts were measured, not brain signals


class Noise:
    """White noise that can be read at any place in any order, always the same.

    It depends on ``seed``, a SeedSequence. ``slow`` is how much more power the lowest band has than
    its covariance, as `measure_slow` found.
    """

    _CHUNK = 4096

    def __init__(self, seed, n_channels, slow=1.0):
        self.slow = slow
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
    """Return white noise per band, the highest ending where its covariance was measured."""
    from scipy.signal import oaconvolve  # takes a second to import

    taps = lowpass_taps(sfreq, STATISTICS_EDGES[-1:])[0]
    half = len(taps) // 2
    drawn = noise.read(start, stop + 2 * half)  # the noise at time t lies half a filter later
    drawn[0] *= np.sqrt(noise.slow)
    drawn[-1, :, half:-half] = oaconvolve(drawn[-1], taps[None], mode="valid", axes=-1)
    return drawn[..., half : stop - start + half]


def colour_noise(error, sfreq):
    """Return the factors that give white noise the error's covariance once it is band-passed."""
    values, vectors = np.linalg.eigh(error)
    root = vectors * np.sqrt(values.clip(0))[:, None, :] @ np.swapaxes(vectors, -1, -2)
    bandwidth = np.diff(STATISTICS_EDGES)
    return root * np.sqrt(sfreq / (2 * bandwidth))[:, None, None]


def measure_slow(recording):
    """Measure how much power of the lowest band windows of one second miss, a factor from 1 to 3.

    Without it, a draw would lack that power. It is 1 where no segment is long enough.
    """
    sfreq = recording.sfreq
    length, short = round(_LONG * sfreq), round(WINDOW * sfreq)
    starts = np.concatenate(
        [np.arange(a, b - length + 1, length) for a, b in recording.segments] or [np.zeros(0)]
    ).astype(int)
    if len(starts) > _MAX_WINDOWS:
        starts = starts[np.linspace(0, len(starts) - 1, _MAX_WINDOWS).round().astype(int)]
    power = np.zeros((2, len(recording.bad)))
    for start in starts:
        block = recording.block(start, start + length)
        good = ~block.mask.any(axis=1)
        if not good.any():
            continue
        window = block.data[good]
        parts = window[:, : length // short * short].reshape(len(window), -1, short)
        for row, part in zip(power, (window[:, None], parts), strict=True):
            row[good] += (np.abs(band_products(part, sfreq)[0]) ** 2).sum(axis=-1).mean(axis=-1)
    seen = power[1] > 0
    if not seen.any():
        return 1.0
    return float(np.clip(np.median(power[0, seen] / power[1, seen]), 1.0, _LARGEST_SLOW))
