# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Measure the covariance of a recording."""

import mne
import numpy as np
from mne.utils import logger

from .._recording import Recording, Samples, collect_spans, find_segments, measure_moments
from ..covariance import RecordingCovariance, normalise_covariance
from ..montage import ELECTRODES, match_channels


def measure_recording(raw, source):
    """Return the covariances of a Raw, or None if it has too few electrodes or no clean window.

    ``source`` is the data set, the subject and the file.
    """
    cmap = match_channels(raw.info, on_missing="ignore")
    keep = [
        k
        for k, name in enumerate(cmap.ch_names)
        if cmap.entries[k] in ELECTRODES and name not in raw.info["bads"]
    ]
    names = [cmap.ch_names[k] for k in keep]
    if len(names) < 4:
        return None
    data = raw.get_data(picks=names)
    if not np.isfinite(data).all():
        logger.info(f"{source[-1]}: left out, it contains NaN or infinite values")
        return None
    flat = np.ptp(data, axis=1) < 1e-3 * np.median(np.ptp(data, axis=1))
    if flat.any() or not np.ptp(data, axis=1).any():
        logger.info(f"{source[-1]}: left out, flat channels {np.array(names)[flat].tolist()}")
        return None
    picks = np.array([raw.ch_names.index(name) for name in names])
    samples = Samples(data, np.arange(len(data)), find_segments(raw))
    recording = Recording(samples, collect_spans(raw, picks), mne.pick_info(raw.info, picks))
    moments = measure_moments(recording, np.ones(len(names)), max_windows=400)
    if not moments:
        return None
    whole = [m for m in moments if len(m.good) == len(names)]
    if not whole:
        logger.info(f"{source[-1]}: left out, no window in which all channels are good")
        return None
    return RecordingCovariance(source, cmap.indices[keep], normalise_covariance(whole[0].cov))
