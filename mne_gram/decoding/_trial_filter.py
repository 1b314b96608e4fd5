# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The standard preprocessing of many short trials at once."""

from functools import lru_cache

import mne
import numpy as np
from mne.utils import warn

from .. import preprocessing
from ..preprocessing import SFREQ, VOLTS_TO_MODEL

_BAND = 0.1, 75.0  # Hz, as in `mne_gram.preprocess`
_CHUNK = 2**23  # samples at once: 64 MiB in double precision
_LONGEST_MATRIX = 2000  # samples; longer trials are filtered by MNE, one by one
_N_CHECKED = 20  # trials that are checked for their reference
_said = set()  # in this process: estimators are cloned for each fold, so none can remember it


def to_epochs(data, info):
    """Return a copy of trials, (n_trials, n_channels, n_times) in volts, as EpochsArray."""
    return mne.EpochsArray(data.copy(), info, baseline=None, proj=False, verbose="error")


def preprocess_trials(data, info, line, reference):
    """Apply :func:`mne_gram.preprocess` to many short trials (n_trials, n_channels, n_times).

    Return float32 at 200 Hz in 0.1 mV, each trial processed independently. All steps are linear,
    so that two matrices, the responses to unit impulses, replace filtering signal by signal.
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
    """Return filtered and resampled data (n_trials, n_channels, n_times_out)."""
    with mne.use_log_level("error"):
        preprocessing.filter_eeg(epochs, np.arange(len(epochs.ch_names)), *_BAND, line)
        if epochs.info["sfreq"] != SFREQ:
            epochs.resample(SFREQ)
    return epochs.get_data(copy=False)


@lru_cache(maxsize=8)
def _filter_matrix(n_times, sfreq, highpass, lowpass, line):
    """Return the responses to an impulse at each sample, shape (n_times, n_times_out)."""
    info = mne.create_info(["Cz"], sfreq, "eeg", verbose="error")
    with info._unlock():
        info["highpass"], info["lowpass"] = highpass, lowpass
    return _filter_epochs(to_epochs(np.eye(n_times)[:, None], info), line)[:, 0]


def _reference_matrix(info):
    """Return the matrix of the average reference, shape (n_channels, n_channels)."""
    epochs = to_epochs(np.eye(len(info["ch_names"]))[None], info)
    with mne.use_log_level("error"):
        preprocessing.average_reference(epochs)
    return epochs.get_data(copy=False)[0]


def warn_once(message):
    """Warn, unless the same was said before: folds of a cross-validation say the same."""
    if message not in _said:
        _said.add(message)
        warn(message)


def warn_of_info(data, info, line, reference):
    """Warn of filters and references that lose information, once for trials of one kind."""
    edges = info["sfreq"], info["highpass"], info["lowpass"], info["custom_ref_applied"]
    kind = (tuple(info["ch_names"]), tuple(info["bads"]), data.shape[2], *edges, line, reference)
    if kind in _said:
        return
    _said.add(kind)
    epochs = to_epochs(data[:_N_CHECKED], info)
    with mne.use_log_level("warning"):
        picks, good = preprocessing.pick_good_eeg(epochs)
        preprocessing.check_band(info, *_BAND)
        preprocessing.filter_eeg(epochs, picks, *_BAND, line)
        if reference == "average":
            preprocessing.check_reference(epochs, good)
