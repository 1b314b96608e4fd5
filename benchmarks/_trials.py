# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Artificial trials of two classes, and fast estimators, to try uses with."""

from functools import lru_cache

import mne
import numpy as np

import mne_gram

NAMES = ["F3", "F4", "C3", "Cz", "C4", "P3", "P4", "Oz"]
SFREQ = 200.0
ARRAY = dict(ch_names=NAMES, sfreq=SFREQ)


@lru_cache
def make_epochs():
    """Return 40 trials of 1.5 s of two classes, the second with more alpha on the left."""
    rng = np.random.default_rng(0)
    data = 1e-5 * rng.standard_normal((40, len(NAMES), 300))
    times = np.arange(300) / SFREQ
    alpha = np.sin(2 * np.pi * 10 * times + rng.uniform(0, 6, (40, 1)))
    data[1::2, 2] += 3e-5 * alpha[1::2]
    info = mne.create_info(NAMES, SFREQ, "eeg")
    info.set_montage("standard_1020")
    with info._unlock():
        info["highpass"] = 0.1
    events = np.c_[np.arange(40), np.zeros(40, int), 1 + np.arange(40) % 2]
    return mne.EpochsArray(data, info, events, event_id=dict(rest=1, left=2))


def get_labels():
    """Return the labels of the trials."""
    return make_epochs().events[:, 2]


def get_array():
    """Return the trials as an array in volts."""
    return make_epochs().get_data()


def get_rows():
    """Return the trials as rows."""
    return get_array().reshape(40, -1)


def make_classifier(**kwargs):
    """Return a classifier that is fast."""
    return mne_gram.GramClassifier(features="bandpower", C=1.0, line_freq=False, **kwargs)


def make_features(**kwargs):
    """Return a transformer that is fast."""
    return mne_gram.GramFeatures("bandpower", line_freq=False, **kwargs)


def chain(*steps):
    """Return a pipeline."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps)


def check(estimator, x, y=None):
    """Fit an estimator and check that it has learnt."""
    y = get_labels() if y is None else y
    assert estimator.fit(x, y).score(x, y) > 0.9
