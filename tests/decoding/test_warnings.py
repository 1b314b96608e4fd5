# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What is the same in every fold is said once, and features have one type."""

import warnings

import mne
import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

import mne_gram

NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()


@pytest.fixture
def epochs():
    """Return 24 trials of noise with a power line."""
    rng = np.random.default_rng(0)
    info = mne.create_info(NAMES, 200.0, "eeg")
    data = 1e-5 * rng.standard_normal((24, 10, 400))
    data += 2e-5 * np.sin(2 * np.pi * 50 * np.arange(400) / 200)
    data[:, 3] *= 100
    return mne.EpochsArray(data, info, verbose="error")


def test_warnings_once_in_a_cross_validation(epochs):
    clf = mne_gram.GramClassifier(features=["tangent"])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        cross_val_score(clf, epochs, np.arange(24) % 2, cv=4)
    said = [str(warning.message).split(" ")[0:2] for warning in found]
    assert sorted(said) == [["A", "high-pass"], ["Found", "a"], ["Left", "out"]]
    # Other trials are another matter.
    with pytest.warns(RuntimeWarning, match="A high-pass"):
        clf.fit(epochs.copy().crop(0, 1.5), np.arange(24) % 2)


@pytest.mark.parametrize("features", [["embedding"], ["tangent"], ["bandpower"]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:A high-pass", "ignore:Found a power", "ignore:Left out")
def test_features_have_one_type(epochs, features, dtype):
    data = epochs.get_data().astype(dtype)
    transformer = mne_gram.GramFeatures(features, info=epochs.info)
    assert transformer.fit_transform(data).dtype == np.float32
    assert transformer.transform(data).dtype == np.float32
