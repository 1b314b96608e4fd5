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
def lowpass_taps(sfreq, edges=BAND_EDGES, n_taps=None):
    """Design zero-phase low-passes, whose differences are the bands, shape (n_edges, n_taps).

    Edges above the Nyquist frequency give the identity. The array is cached, and read-only. An odd
    ``n_taps`` other than `filter_length` is for filters with less delay.
    """
    n_taps = n_taps or filter_length(sfreq)
    taps = np.zeros((len(edges), n_taps))
    for row, edge in zip(taps, edges, strict=True):
        if edge + _TRANSITION / 2 < sfreq / 2:
            row[:] = firwin(n_taps, edge, fs=sfreq)
        else:
            row[n_taps // 2] = 1.0
    taps.flags.writeable = False
    return taps


def sum_bands(parts, sfreq, pad=None):
    """Filter each part ``(n_bands, n_channels, n_times)`` to its band and add the bands up.

    ``pad`` is how many samples at either end are margin, which is cut off; beyond them the signal
    is continued by reflection. Equal parts add up to that part, whatever the signal.
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
    """Split signals ``(n_signals, n_times)`` into the bands, which add up to them.

    Returns an array ``(n_bands, n_signals, n_times)``. Beyond their ends the signals are continued
    by reflection.
    """
    lows = []
    half = filter_length(sfreq) // 2
    padded = np.pad(signals, ((0, 0), (half, half)), mode="reflect", reflect_type="even")
    for taps in lowpass_taps(sfreq):
        lows.append(oaconvolve(padded, taps[None], mode="valid", axes=-1))
    return np.diff([np.zeros_like(signals), *lows, signals], axis=0)


def band_products(windows, sfreq):
    """Compute the Fourier coefficients of windows ``(n_windows, n_channels, n)`` per band.

    Returns a list of arrays ``(n_windows, n_channels, n_frequencies)``, empty above the Nyquist
    frequency; the mean of the real part of ``Z @ Z.conj().T`` estimates the covariance in a band.
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
    """Return about how many independent samples each band's covariance rests on, shape (n_bands,).

    That is twice the bandwidth times the time; windows are in seconds and overlap by a share.
    """
    return 2 * np.diff(STATISTICS_EDGES) * window * (1 - overlap) * n_windows
