# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The standard preprocessing of many short trials at once."""

from functools import lru_cache

import mne
import numpy as np

from .. import preprocessing
from ..preprocessing import SFREQ, VOLTS_TO_MODEL

_BAND = 0.1, 75.0  # Hz, as in `mne_gram.preprocess`
_CHUNK = 2**23  # samples that are worked on at once: 64 MiB in double precision
_LONGEST_MATRIX = 2000  # samples; longer trials are filtered by MNE, one by one
_N_LOOKED_AT = 20  # trials that tell how all of them were referenced


def to_epochs(data, info):
    """Return a copy of trials, (n_trials, n_channels, n_times) in volts, as MNE's epochs."""
    return mne.EpochsArray(data.copy(), info, baseline=None, proj=False, verbose="error")


def to_network(data, info, line, reference):
    """Do as :func:`mne_gram.preprocess`, for many short trials at once.

    Parameters
    ----------
    data : array, shape (n_trials, n_channels, n_times)
        EEG in volts.
    info : mne.Info
        Of these channels.
    line : float | None
        The power line's frequency; None leaves it alone.
    reference : "average" | None
        What the channels are to refer to.

    Returns
    -------
    x : array of float32, shape (n_trials, n_channels, n_times * 200 / sfreq)
        The same at 200 Hz in 0.1 mV. No trial looks at another one.

    Notes
    -----
    All that is done to a signal in time is linear, and so is all that is done across channels.
    What becomes of unit impulses tells it, so that two matrix products do what takes MNE ten times
    as long, which filters signal by signal.
    """
    n_times = data.shape[2]
    matrix = None
    if n_times <= _LONGEST_MATRIX:
        edges = info["sfreq"], info["highpass"], info["lowpass"]
        matrix = _filter_matrix(n_times, *edges, line)
    spatial = _reference_matrix(info) if reference == "average" else None
    step, parts = max(1, _CHUNK // data[0].size), []
    for start in range(0, len(data), step):
        part = data[start : start + step]
        if matrix is None:
            part = _filter_epochs(to_epochs(part, info), line)
        else:
            part = part @ matrix
        if spatial is not None:
            part = spatial @ part
        parts.append((part * VOLTS_TO_MODEL).astype(np.float32))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _filter_epochs(epochs, line):
    """Return data, filtered and resampled, as an array."""
    with mne.use_log_level("error"):
        preprocessing._filter(epochs, np.arange(len(epochs.ch_names)), *_BAND, line)
        if epochs.info["sfreq"] != SFREQ:
            epochs.resample(SFREQ)
    return epochs.get_data(copy=False)


@lru_cache(maxsize=8)
def _filter_matrix(n_times, sfreq, highpass, lowpass, line):
    """Return what becomes of an impulse at each sample, shape (n_times, n_times_out)."""
    info = mne.create_info(["Cz"], sfreq, "eeg", verbose="error")
    with info._unlock():
        info["highpass"], info["lowpass"] = highpass, lowpass
    return _filter_epochs(to_epochs(np.eye(n_times)[:, None], info), line)[:, 0]


def _reference_matrix(info):
    """Return what the average reference makes of each channel, shape (n_channels, n_channels)."""
    epochs = to_epochs(np.eye(len(info["ch_names"]))[None], info)
    with mne.use_log_level("error"):
        preprocessing._reference(epochs)
    return epochs.get_data(copy=False)[0]


def warn_of_info(data, info, line, reference):
    """Say in warnings how trials were filtered and referenced before, where that is a loss.

    Parameters
    ----------
    data : array, shape (n_trials, n_channels, n_times)
        EEG in volts; the first trials are looked at.
    info : mne.Info
        Of these channels.
    line : float | None
        The power line's frequency.
    reference : "average" | None
        What the channels are to refer to.
    """
    epochs = to_epochs(data[:_N_LOOKED_AT], info)
    with mne.use_log_level("warning"):
        picks, good = preprocessing._eeg_picks(epochs)
        preprocessing._check_band(info, *_BAND)
        preprocessing._filter(epochs, picks, *_BAND, line)
        if reference == "average":
            preprocessing._check_reference(epochs, good)
