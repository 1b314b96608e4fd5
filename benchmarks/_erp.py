# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The error of an evoked response's peak in restored channels.

The trials of ``alcohol`` begin with the picture. Their average is taken below 30 Hz, relative to
its first 50 ms, when no answer has come yet, and to the mean of the kept channels. The peak is the
largest deflection from 0.10 to 0.40 s, where that of nearly all training people lies; the
restored channel's peak is its largest deflection of the same sign there.
"""

import mne
import numpy as np

from mne_gram.metrics import subtract_kept_mean

WINDOW = (0.10, 0.40)  # s
BASELINE = 0.05  # s
H_FREQ = 30.0  # Hz


def measure_peaks(truth, estimate, mask, n_epochs, sfreq):
    """Compare the peaks of the channels that are hidden all through.

    Parameters
    ----------
    truth, estimate : array, shape (n_channels, n_epochs * n_times)
        Signals in the same reference, epochs end to end.
    mask : array of bool, shape (n_channels, n_epochs * n_times)
        True where hidden.
    n_epochs : int
        Number of epochs.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    errors : dict
        ``peak_amplitude``: sum over channels of the absolute error of the peak, over the sum of
        the true peaks' absolute amplitudes. ``peak_latency``: mean absolute error in ms.
        Empty if no channel is hidden all through.
    """
    whole = mask.all(axis=1)
    if not whole.any():
        return {}
    mean = truth - subtract_kept_mean(truth, mask)
    found = average((estimate - mean)[whole], n_epochs, sfreq)
    true = average((truth - mean)[whole], n_epochs, sfreq)
    start, stop = (round(edge * sfreq) for edge in WINDOW)
    found, true = found[:, start:stop], true[:, start:stop]
    rows = np.arange(len(true))
    peak = np.abs(true).argmax(axis=1)
    height = true[rows, peak]
    other = (found * np.sign(height)[:, None]).argmax(axis=1)
    return dict(
        peak_amplitude=np.abs(found[rows, other] - height).sum() / np.abs(height).sum(),
        peak_latency=1000 * np.abs(other - peak).mean() / sfreq,
    )


def average(data, n_epochs, sfreq):
    """Average epochs laid end to end, below 30 Hz and relative to the first 50 ms."""
    evoked = data.reshape(len(data), n_epochs, -1).mean(axis=1)
    evoked = mne.filter.filter_data(evoked, sfreq, None, H_FREQ, verbose="error")
    return evoked - evoked[:, : round(BASELINE * sfreq)].mean(axis=1, keepdims=True)
