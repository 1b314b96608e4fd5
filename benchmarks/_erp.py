# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Errors of the peak of an evoked response in restored channels.

The trials of ``alcohol`` begin with a picture. Their average is filtered below 30 Hz, relative to
its first 50 ms, before any response, and to the mean of the kept channels. The peak is the largest
deflection from 0.10 to 0.40 s, where it lies in nearly all training subjects; the peak of the
restored channel is its largest deflection of the same sign in this window.
"""

import mne
import numpy as np

from mne_gram.metrics import subtract_kept_mean

WINDOW = (0.10, 0.40)  # s
BASELINE = 0.05  # s
H_FREQ = 30.0  # Hz


def measure_peaks(truth, estimate, mask, n_epochs, sfreq):
    """Compare the peaks of channels that are hidden throughout; empty if there are none.

    Returns ``peak_amplitude`` (sum of absolute errors over the sum of true amplitudes) and
    ``peak_latency`` (mean absolute error in ms). Arrays are (n_channels, n_epochs * n_times).
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
