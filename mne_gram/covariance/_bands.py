# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Frequency bands: filters that add up to the signal, and covariances a band."""

from functools import lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

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
_CHUNK_TAPS = 8  # lengths of a filter: what is filtered at once


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
            row[:] = _design_lowpass(n_taps, 2 * edge / sfreq)
        else:
            row[n_taps // 2] = 1.0
    taps.flags.writeable = False
    return taps


def _design_lowpass(n_taps, edge):
    """Do what ``scipy.signal.firwin`` does, the import of which takes a second.

    ``edge`` is relative to the Nyquist frequency, the window is Hamming's.
    """
    times = np.arange(n_taps) - (n_taps - 1) / 2
    taps = edge * np.sinc(edge * times) * np.hamming(n_taps)
    return taps / taps.sum()


def sum_bands(parts, sfreq, pad=None):
    """Filter each part ``(n_bands, n_channels, n_times)`` to its band and add the bands up.

    ``pad`` is how many samples at either end are margin, which is cut off; beyond them the signal
    is continued by reflection. Equal parts add up to that part, whatever the signal.
    """
    left, right = pad or (0, 0)
    n_times = parts.shape[-1]
    total = parts[-1].copy()
    # Part b passes between two low-passes: sum_b (h_b - h_{b-1}) * p_b, sorted by low-pass.
    steps = parts[:-1] - parts[1:]
    if n_times == 1:
        return (total + steps.sum(axis=0))[..., left : n_times - right]
    for inside, spectra, filters, invert in _transform(steps, sfreq):
        filters = filters.reshape(len(filters), *(1,) * (steps.ndim - 2), -1)
        total[..., inside] += invert((spectra * filters).sum(axis=0))
    return total[..., left : n_times - right]


def split_bands(signals, sfreq):
    """Split signals ``(n_signals, n_times)`` into the bands, which add up to them.

    Returns an array ``(n_bands, n_signals, n_times)``. Beyond their ends the signals are continued
    by reflection.
    """
    edges = np.zeros((N_BANDS + 1, *signals.shape))
    edges[-1] = signals
    for inside, spectra, filters, invert in _transform(signals, sfreq):
        edges[1:-1, :, inside] = invert(spectra * filters[:, None])
    return np.diff(edges, axis=0)


def _transform(signals, sfreq):
    """Cut signals (..., n_times), continued by reflection, into spectra that filters multiply.

    Yields slices of time, the spectra and the low-passes there, and the inverse transform.
    """
    n_taps, n_times = filter_length(sfreq), signals.shape[-1]
    width = [(0, 0)] * (signals.ndim - 1) + [(n_taps // 2, n_taps // 2)]
    padded = np.pad(signals, width, mode="reflect", reflect_type="even")
    length = min(n_times, _CHUNK_TAPS * n_taps)
    n_fft = next_fast_len(length + n_taps - 1, real=True)
    filters = _transform_taps(sfreq, n_fft)
    for start in range(0, n_times, length):
        stop = min(start + length, n_times)
        spectra = rfft(padded[..., start : stop + n_taps - 1], n_fft)
        kept = slice(n_taps - 1, n_taps - 1 + stop - start)
        yield slice(start, stop), spectra, filters, lambda s, k=kept: irfft(s, n_fft)[..., k]


@lru_cache(maxsize=16)
def _transform_taps(sfreq, n_fft):
    """Return the spectra of the low-passes, shape (n_edges, n_fft // 2 + 1)."""
    return rfft(lowpass_taps(sfreq), n_fft)


def band_products(windows, sfreq):
    """Compute the Fourier coefficients of windows ``(n_windows, n_channels, n)`` per band.

    Returns a list of arrays ``(n_windows, n_channels, n_frequencies)``, empty above the Nyquist
    frequency; the mean of the real part of ``Z @ Z.conj().T`` estimates the covariance in a band.
    """
    transform, freqs = _fourier_transform(windows.shape[-1], sfreq)
    spectrum = (windows.reshape(-1, windows.shape[-1]) @ transform).view(complex)
    spectrum = spectrum.reshape(*windows.shape[:-1], len(freqs))
    cuts = np.searchsorted(freqs, STATISTICS_EDGES)
    return [spectrum[..., a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


@lru_cache(maxsize=16)
def _fourier_transform(n_times, sfreq):
    """Return what takes windows to their spectra between the outer edges, and the frequencies.

    Shape (n_times, 2 * n_frequencies): real and imaginary parts take turns.
    """
    taper = np.hanning(n_times + 2)[1:-1]
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    freqs = freqs[(freqs >= STATISTICS_EDGES[0]) & (freqs < STATISTICS_EDGES[-1])]
    waves = np.exp(-2j * np.pi * np.outer(np.arange(n_times) / sfreq, freqs))
    waves *= taper[:, None] * np.sqrt(2 / (n_times * (taper @ taper)))
    # Drift would leak into the lowest band: the straight line is subtracted.
    ramp = np.linspace(-1, 1, n_times)
    waves -= waves.mean(axis=0)
    waves -= np.outer(ramp / (ramp @ ramp), ramp @ waves)
    return np.ascontiguousarray(waves).view(float), freqs


def degrees_of_freedom(n_windows):
    """Return about how many independent samples each band's covariance rests on, shape (n_bands,).

    That is twice the bandwidth times the time; windows overlap by half.
    """
    return 2 * np.diff(STATISTICS_EDGES) * WINDOW * 0.5 * n_windows
