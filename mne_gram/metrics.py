# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Measures of how well hidden samples were restored."""

import numpy as np

__all__ = ["band_power_ratio", "correlation", "nmse", "subtract_kept_mean"]


def subtract_kept_mean(data, mask):
    """Refer signals to the mean of the channels that are kept at each time.

    A reference that holds a hidden channel would betray it: it is minus the sum of the others.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        Signals.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden.

    Returns
    -------
    referred : array, shape (n_channels, n_times)
        The signals; as they were where nothing is kept.
    """
    kept = ~mask
    count = kept.sum(axis=0)
    mean = np.where(kept, data, 0.0).sum(axis=0) / np.maximum(count, 1)
    return data - mean


def nmse(truth, estimate, mask):
    """Compute the normalised mean squared error over hidden samples.

    Parameters
    ----------
    truth, estimate : array, shape (n_channels, n_times)
        Signals in the same reference.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden.

    Returns
    -------
    error : float
        Sum of squared errors over the sum of squares of the truth referred to the mean of the kept
        channels. 0 is perfect, 1 is what zero would score.

    Raises
    ------
    ValueError
        If nothing is hidden.
    """
    _check_hidden(mask)
    power = (subtract_kept_mean(truth, mask)[mask] ** 2).sum()
    return float(((estimate - truth)[mask] ** 2).sum() / power)


def correlation(truth, estimate, mask):
    """Compute Pearson's r over hidden samples, relative to the mean of the kept channels.

    Parameters
    ----------
    truth, estimate : array, shape (n_channels, n_times)
        Signals in the same reference.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden.

    Returns
    -------
    r : float
        The correlation.
    """
    _check_hidden(mask)
    mean = truth - subtract_kept_mean(truth, mask)
    return float(np.corrcoef((truth - mean)[mask], (estimate - mean)[mask])[0, 1])


def band_power_ratio(truth, estimate, mask, sfreq, bands):
    """Compare the power of restored channels with the true power, band by band.

    Parameters
    ----------
    truth, estimate : array, shape (n_channels, n_times)
        Signals in the same reference.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden. Only channels that are hidden all through count.
    sfreq : float
        Sampling rate in Hz.
    bands : list of tuple of float
        Lower and upper edges in Hz.

    Returns
    -------
    ratios : array, shape (n_bands,)
        Power of the estimate over that of the truth, both relative to the mean of the kept
        channels; NaN if no channel is hidden all through.
    """
    from scipy.signal import welch

    whole = mask.all(axis=1)
    if not whole.any():
        return np.full(len(bands), np.nan)
    mean = truth - subtract_kept_mean(truth, mask)
    length = min(truth.shape[1], round(2 * sfreq))
    freqs, found = welch((estimate - mean)[whole], sfreq, nperseg=length)
    _, expected = welch((truth - mean)[whole], sfreq, nperseg=length)
    inside = [(freqs >= low) & (freqs < high) for low, high in bands]
    return np.array([found[:, k].sum() / expected[:, k].sum() for k in inside])


def _check_hidden(mask):
    if not np.any(mask):
        raise ValueError("The mask hides nothing: there is nothing to measure.")
