# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Uses with scikit-learn, skorch, MOABB and braindecode."""

from functools import lru_cache

import mne
import numpy as np
from _uses import use

import mne_gram

NAMES = ["F3", "F4", "C3", "Cz", "C4", "P3", "P4", "Oz"]
SFREQ = 200.0


@lru_cache
def make_epochs():
    """Return 40 trials of 1.5 s in which the second class has more alpha on the left."""
    rng = np.random.default_rng(0)
    data = 1e-5 * rng.standard_normal((40, len(NAMES), 300))
    times = np.arange(300) / SFREQ
    alpha = np.sin(2 * np.pi * 10 * times + rng.uniform(0, 6, (40, 1)))
    data[1::2, 2] += 3e-5 * alpha[1::2]
    info = mne.create_info(NAMES, SFREQ, "eeg")
    with info._unlock():
        info["highpass"] = 0.1
    events = np.c_[np.arange(40), np.zeros(40, int), 1 + np.arange(40) % 2]
    return mne.EpochsArray(data, info, events, event_id=dict(rest=1, left=2))


def get_labels():
    """Return the labels of the trials."""
    return make_epochs().events[:, 2]


def make_classifier(**kwargs):
    """Return a classifier that is fast."""
    return mne_gram.GramClassifier(features="bandpower", C=1.0, line_freq=False, **kwargs)


@use("scikit-learn", "cross_val_score of Epochs")
def _cross_val_score():
    from sklearn.model_selection import cross_val_score

    assert cross_val_score(make_classifier(), make_epochs(), get_labels(), cv=4).mean() > 0.9
