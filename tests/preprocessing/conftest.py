# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Noise with a power line."""

import mne
import numpy as np
import pytest

NAMES = ["Fp1", "F3", "Cz", "P4", "Oz"]


def _make_raw(*, sfreq=256.0, seconds=60.0, names=NAMES, line=0.0, line_freq=None, seed=0):
    """Return different noise of 10 uV and a 50 Hz line in each channel, and a stim channel."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(sfreq * seconds)) / sfreq
    data = 10e-6 * rng.standard_normal((len(names), len(times)))
    data += line * np.cos(np.arange(len(names)))[:, None] * np.sin(2 * np.pi * 50 * times)
    stim = np.zeros((1, len(times)))
    stim[0, len(times) // 2] = 3
    info = mne.create_info([*names, "STI"], sfreq, ["eeg"] * len(names) + ["stim"])
    info["line_freq"] = line_freq
    return mne.io.RawArray(np.concatenate([data, stim]), info)


def _power_at(inst, freq):
    """Return the power of the EEG within half a hertz of a frequency, mean over channels."""
    data = inst.get_data(picks="eeg")
    freqs = np.fft.rfftfreq(data.shape[-1], 1 / inst.info["sfreq"])
    power = np.abs(np.fft.rfft(data)) ** 2 / data.shape[-1]
    return power[..., np.abs(freqs - freq) < 0.5].mean()


@pytest.fixture(scope="session")
def make_raw():
    """Return the function that makes recordings."""
    return _make_raw


@pytest.fixture(scope="session")
def power_at():
    """Return the function that measures power."""
    return _power_at
