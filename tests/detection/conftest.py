# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Simulated recordings with planted faults."""

import mne
import numpy as np
import pytest

import mne_gram

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
SFREQ = 160.0


def _simulate(seconds=30.0, names=NAMES, seed=0, sfreq=SFREQ, first_samp=0):
    """Return a recording with the covariance of one subject and a deviation of 10 uV."""
    indices = [mne_gram.montage.INDEX[name.upper()] for name in names]
    prior = mne_gram.covariance.load_prior()
    cov = prior.library[0].sum(axis=0).astype(float)[np.ix_(indices, indices)]
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(names), round(seconds * sfreq)))
    freqs = np.fft.rfftfreq(noise.shape[1], 1 / sfreq)
    spectrum = np.fft.rfft(noise) / np.sqrt(np.maximum(freqs, 1.0))
    noise = np.fft.irfft(spectrum, noise.shape[1])
    factor = np.linalg.cholesky(cov + 1e-6 * np.trace(cov) * np.eye(len(cov)))
    data = factor @ (noise / noise.std())
    data *= 1e-5 / data.std()
    info = mne.create_info(list(names), sfreq, "eeg")
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")


@pytest.fixture(scope="session")
def make_raw():
    """Return the function that makes clean recordings."""
    return _simulate


@pytest.fixture(scope="session")
def clean():
    """Return clean data."""
    return _simulate()


@pytest.fixture(scope="session")
def broken(clean):
    """Return data with two bad channels and two bad segments."""
    raw = clean.copy()
    rng = np.random.default_rng(1)
    raw._data[NAMES.index("C3")] = 2e-5 * rng.standard_normal(raw.n_times)
    raw._data[NAMES.index("O2")] = 3e-6
    inside = slice(1600, 2080)
    raw._data[NAMES.index("P4"), inside] += 3e-5 * rng.standard_normal(inside.stop - inside.start)
    raw._data[NAMES.index("F7"), slice(3280, 3440)] = 1e-6
    return raw


@pytest.fixture(scope="session")
def report(broken):
    """Return the report of find_bads on it."""
    return mne_gram.find_bads(broken, verbose="error")
