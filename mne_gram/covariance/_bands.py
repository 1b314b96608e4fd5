# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Frequency bands: filters that add up to the signal, and covariances a band."""

from functools import lru_cache

import numpy as np
from scipy.signal import firwin, oaconvolve

# The borders of the partition delta, theta, alpha, beta, above. Every frequency belongs to one
# band, so the parts of a signal add up to the signal.
BAND_EDGES = (4.0, 8.0, 13.0, 30.0)
N_BANDS = len(BAND_EDGES) + 1
# Where covariances are read: drifts below 0.5 Hz and the line above 45 Hz say little about how
# brain signals covary, though the outer bands apply there.
STATISTICS_EDGES = (0.5, *BAND_EDGES, 45.0)
# Length of the analysis windows in seconds, the model's patch.
WINDOW = 1.0
_TRANSITION = 2.0  # Hz, of the filters; 3.3 / transition is the length of a Hamming design


def filter_length(sfreq):
    """Return the odd number of taps of the band filters at a sampling rate."""
    return 2 * int(np.ceil(1.65 / _TRANSITION * sfreq)) + 1


@lru_cache(maxsize=16)
def lowpass_taps(sfreq, edges=BAND_EDGES):
    """Design zero-phase low-passes: the bands are the differences of those at their edges.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    edges : tuple of float
        Where they end, in Hz.

    Returns
    -------
    taps : array, shape (n_edges, n_taps)
        One low-pass an edge below the Nyquist frequency; the others are the identity. It is kept
        for the next call, and cannot be written to.
    """
    n_taps = filter_length(sfreq)
    taps = np.zeros((len(edges), n_taps))
    for row, edge in zip(taps, edges, strict=True):
        if edge + _TRANSITION / 2 < sfreq / 2:
            row[:] = firwin(n_taps, edge, fs=sfreq)
        else:
            row[n_taps // 2] = 1.0
    taps.flags.writeable = False
    return taps


def sum_bands(parts, sfreq, pad=None):
    """Filter each part to its band and add them up.

    Parameters
    ----------
    parts : array, shape (n_bands, n_channels, n_times)
        The signals of which band ``b`` keeps only the frequencies of band ``b``.
    sfreq : float
        Sampling rate in Hz.
    pad : tuple of int | None
        How many samples at either end are there as margin and are cut off. Beyond them the signal
        is continued by reflection.

    Returns
    -------
    total : array, shape (n_channels, n_times - sum(pad))
        The sum. If all parts are equal it is that part, whatever the signal.
    """
    left, right = pad or (0, 0)
    n_times = parts.shape[-1]
    half = filter_length(sfreq) // 2
    total = parts[-1].copy()
    # Part b passes between two low-passes: sum_b (h_b - h_{b-1}) * p_b, sorted by low-pass.
    steps = parts[:-1] - parts[1:]
    for taps, step in zip(lowpass_taps(sfreq), steps, strict=True):
        if n_times > 1:
            width = [(0, 0)] * (step.ndim - 1) + [(half, half)]
            step = np.pad(step, width, mode="reflect", reflect_type="even")
            step = oaconvolve(step, taps[(None,) * (step.ndim - 1)], mode="valid", axes=-1)
        total += step
    return total[..., left : n_times - right]


def split_bands(signals, sfreq):
    """Split signals into parts, one a band, that add up to them.

    Parameters
    ----------
    signals : array, shape (n_signals, n_times)
        The signals. Beyond their ends they are continued by reflection.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    parts : array, shape (n_bands, n_signals, n_times)
        The parts, the lowest band first.
    """
    lows = []
    half = filter_length(sfreq) // 2
    padded = np.pad(signals, ((0, 0), (half, half)), mode="reflect", reflect_type="even")
    for taps in lowpass_taps(sfreq):
        lows.append(oaconvolve(padded, taps[None], mode="valid", axes=-1))
    return np.diff([np.zeros_like(signals), *lows, signals], axis=0)


def band_products(windows, sfreq):
    """Compute each window's cross-products a band.

    Parameters
    ----------
    windows : array, shape (n_windows, n_channels, n_times)
        Pieces of signal.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    spectra : list of array, shape (n_windows, n_channels, n_frequencies)
        The Fourier coefficients a band, scaled so that the mean over windows of the real part of
        ``Z @ Z.conj().T`` estimates the covariance in that band. Bands above the Nyquist frequency
        are empty.
    """
    n_times = windows.shape[-1]
    taper = np.hanning(n_times + 2)[1:-1]
    ramp = np.linspace(-1, 1, n_times)
    windows = windows - windows.mean(axis=-1, keepdims=True)
    # Drift would leak into the lowest band: take the straight line off.
    windows = windows - (windows @ ramp / (ramp @ ramp))[..., None] * ramp
    spectrum = np.fft.rfft(windows * taper, axis=-1)
    spectrum *= np.sqrt(2 / (n_times * (taper @ taper)))
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    limits = list(zip(STATISTICS_EDGES[:-1], STATISTICS_EDGES[1:], strict=True))
    return [spectrum[..., (freqs >= low) & (freqs < high)] for low, high in limits]


def degrees_of_freedom(n_windows, window=WINDOW, overlap=0.5):
    """Return about how many independent samples each band's covariance rests on.

    Parameters
    ----------
    n_windows : float
        Number of windows.
    window : float
        Their length in seconds.
    overlap : float
        The share by which neighbours overlap.

    Returns
    -------
    dof : array, shape (n_bands,)
        Twice the bandwidth times the time.
    """
    return 2 * np.diff(STATISTICS_EDGES) * window * (1 - overlap) * n_windows
