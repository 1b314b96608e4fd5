# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a channel's own samples give away: flat, clipped, full of line, bridged.

``size`` is how large the EEG is, a standard deviation: nothing here depends on units.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

FLAT_SECONDS = 0.2
_FLAT_RANGE = 1e-3  # of the size: less than the noise of any amplifier
_CLIPPED_RUN = 3, 0.005  # samples and seconds at the end of the range, ...
_CLIPPED_OFTEN = 3  # ... so many times, as a crest may round off once, ...
_CLIPPED_ONCE = 0.025  # ... or so many seconds
_CLIPPED_STEP = 0.02  # of the size: a coarsely sampled crest is entered by smaller steps
_LINE_RATIO = 4.0  # to the median channel's, where the line is as large as the EEG besides
_BRIDGED = 0.01  # of what the difference between neighbours usually is, in variance


def find_flat(data, sfreq, size):
    """Mark stretches in which a channel does not move.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals; where they are NaN they are not flat.
    sfreq : float
        Sampling rate in Hz.
    size : float
        How large the EEG is.

    Returns
    -------
    flat : array of bool, shape (n_channels, n_times)
        True in stretches of ``FLAT_SECONDS`` or more.
    """
    length = max(3, round(FLAT_SECONDS * sfreq))
    if data.shape[1] < length:
        return np.zeros(data.shape, bool)
    ahead = dict(size=length, axis=1, origin=-(length // 2))  # a window is named by its start
    finite = np.isfinite(data)
    values = np.where(finite, data, 0.0)
    spread = maximum_filter1d(values, **ahead) - minimum_filter1d(values, **ahead)
    still = (spread <= _FLAT_RANGE * size) & (minimum_filter1d(finite.view("u1"), **ahead) > 0)
    still[:, data.shape[1] - length + 1 :] = False
    behind = dict(size=length, axis=1, origin=(length - 1) // 2, mode="constant")
    return maximum_filter1d(still.view("u1"), **behind) > 0


def find_plateaus(signal, sfreq, size):
    """List where a channel stays at its largest or smallest value, entered by a step.

    Parameters
    ----------
    signal : array, shape (n_times,)
        The signal.
    sfreq : float
        Sampling rate in Hz.
    size : float
        How large the EEG is.

    Returns
    -------
    plateaus : list of tuple
        Start, stop and value of each.
    """
    shortest = max(_CLIPPED_RUN[0], round(_CLIPPED_RUN[1] * sfreq))
    if not np.isfinite(signal).any():
        return []
    plateaus = []
    for limit in (np.nanmin(signal), np.nanmax(signal)):
        edges = np.flatnonzero(np.diff(np.r_[0, (signal == limit).view("u1"), 0].astype("i1")))
        for start, stop in edges.reshape(-1, 2):
            around = np.r_[signal[start - 1 : start], signal[stop : stop + 1]]
            steps = np.abs(around - limit)
            if stop - start >= shortest and (steps > _CLIPPED_STEP * size).any():
                plateaus.append((int(start), int(stop), float(limit)))
    return plateaus


def choose_clipped(plateaus, low, high, sfreq):
    """Choose the plateaus that lie at the end of a channel's range, long or often enough.

    Parameters
    ----------
    plateaus : list of tuple
        Start, stop and value of each.
    low, high : float
        The smallest and the largest value of the whole recording.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    clipped : list of tuple of int
        Start and stop.
    """
    clipped = []
    for limit in (low, high):
        found = [(start, stop) for start, stop, value in plateaus if value == limit]
        if len(found) < _CLIPPED_OFTEN:
            found = [run for run in found if run[1] - run[0] >= _CLIPPED_ONCE * sfreq]
        clipped += found
    return sorted(clipped)


def measure_line(windows, sfreq, freqs):
    """Return how large a sinusoid is in each channel of some windows.

    Parameters
    ----------
    windows : array, shape (n_windows, n_channels, n_times)
        The signals.
    sfreq : float
        Sampling rate in Hz.
    freqs : list of float
        Frequencies in Hz; those above the Nyquist frequency are left out.

    Returns
    -------
    rms : array, shape (n_windows, n_channels)
        Root mean square of the largest of them.
    """
    n_times = windows.shape[-1]
    taper = np.hanning(n_times + 2)[1:-1]
    windows = windows - windows.mean(axis=-1, keepdims=True)
    freqs = np.array([freq for freq in freqs if freq < 0.98 * sfreq / 2])
    if not len(freqs):
        return np.zeros(windows.shape[:2])
    waves = np.exp(-2j * np.pi * freqs[:, None] / sfreq * np.arange(n_times)) * taper
    return np.sqrt(2) * np.abs(windows @ waves.T).max(axis=-1) / taper.sum()


def find_line(rms, used, size):
    """Tell which channels hold as much line as EEG, and far more than most, shape (n_channels,)."""
    typical = np.median(rms[used]) if used.any() else 0.0
    return rms > np.maximum(size, _LINE_RATIO * typical)


def find_bridged(cov, used, names):
    """List pairs of channels that are nearly the same signal.

    Parameters
    ----------
    cov : array, shape (n_channels, n_channels)
        Covariance of the channels.
    used : array of bool, shape (n_channels,)
        The channels to look at.
    names : list of str
        Names of the channels.

    Returns
    -------
    bridged : list of tuple of str
        The pairs.
    """
    rows = np.flatnonzero(used)
    if len(rows) < 3:
        return []
    cov = cov[np.ix_(rows, rows)]
    own = np.diagonal(cov)
    difference = own[:, None] + own - 2 * cov
    nearest = (difference + np.diag(np.full(len(rows), np.inf))).min(axis=1)
    close = np.argwhere(np.triu(difference < _BRIDGED * np.median(nearest), k=1))
    return [(names[rows[a]], names[rows[b]]) for a, b in close]
