# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The covariance of a recording."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.cohort import measure_recording
from mne_gram.montage import INDEX

SOURCE = ("set", "sub-01", "sub-01_eeg.edf")
NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()


def indices(names):
    """Return the montage indices of names."""
    return np.array([INDEX[name.upper()] for name in names])


def make_raw(names=NAMES, seconds=20.0, sfreq=100.0, seed=0, cov=None):
    """Return noise in volts, white or with a covariance."""
    white = np.random.default_rng(seed).standard_normal((len(names), round(seconds * sfreq)))
    root = np.eye(len(names)) if cov is None else np.linalg.cholesky(cov)
    info = mne.create_info(list(names), sfreq, "eeg")
    info["line_freq"] = 50.0
    return mne.io.RawArray(1e-5 * root @ white, info, verbose="error")


def test_measured_recording():
    factor = np.random.default_rng(1).standard_normal((10, 30))
    cov = factor @ factor.T / 30
    recording = measure_recording(make_raw(seconds=120, cov=cov), SOURCE).recording
    assert recording.source == SOURCE
    assert_array_equal(recording.channels, indices(NAMES))
    average = np.eye(10) - 1 / 10
    truth = average @ cov @ average
    for found in recording.cov:
        assert np.trace(found) == pytest.approx(10)
        assert_allclose(found.sum(axis=0), 0, atol=1e-9)
        assert np.linalg.norm(found - truth / np.trace(truth) * 10) < 1.5


def test_measured_channels():
    names = [*NAMES, "T3", "nobody", "Cz"]
    raw = make_raw(names)
    raw.info["bads"] = ["F3", "Cz"]
    raw.set_channel_types({"Fp2": "eog"}, verbose="error")
    recording = measure_recording(raw, SOURCE).recording
    expected = [n for n in NAMES if n not in ("F3", "Fp2")] + ["T7"]
    assert_array_equal(recording.channels, indices(expected))


def test_neither_reference_nor_unit_is_measured():
    raw = make_raw()
    moved = raw.copy()
    shared = np.random.default_rng(5).standard_normal(raw.n_times)
    moved._data = 1e3 * (moved._data + 1e-4 * shared)
    one, other = (measure_recording(r, SOURCE).recording for r in (raw, moved))
    assert_allclose(one.cov, other.cov, atol=1e-6)


@pytest.mark.parametrize("bads", [[], NAMES[:7]])
def test_too_few_electrodes_are_not_measured(bads):
    raw = make_raw(NAMES if bads else NAMES[:3])
    raw.info["bads"] = bads
    assert measure_recording(raw, SOURCE).recording is None
