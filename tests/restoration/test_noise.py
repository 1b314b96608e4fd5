# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Noise for draws: the same wherever reading begins, and with the power of slow waves."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.signal import butter, sosfiltfilt

from mne_gram._recording import Recording, Samples, find_spans, group_products, subtract_mean
from mne_gram.covariance import band_products
from mne_gram.restoration._fit import Settings, fit_covariance
from mne_gram.restoration._gaussian import estimate_spatial
from mne_gram.restoration._noise import Noise, measure_slow, read_noise

SFREQ = 100.0


def make_recording(low, high, n_times=4000, segments=None):
    """Return band-limited noise of four channels, of which a quarter is bad in the first."""
    white = np.random.default_rng(0).standard_normal((4, n_times))
    sos = butter(4, (low, high), "bandpass", fs=SFREQ, output="sos")
    signals = 1e-5 * sosfiltfilt(sos, white, axis=-1)
    mask = np.zeros(signals.shape, bool)
    mask[0, :1000] = True
    signals[0, :1000] = 1.0  # garbage, which is not to be looked at
    mask[:, 1100:1200] = True  # where nothing is good
    samples = Samples(signals, np.arange(4), segments or [(0, n_times)])
    return Recording(samples, find_spans(mask), mne.create_info(4, SFREQ, "eeg"))


def test_noise_is_the_same_wherever_reading_begins():
    noise = Noise(np.random.SeedSequence(3), 2, slow=2.0)
    whole = read_noise(noise, 0, 9000, SFREQ)
    part = read_noise(noise, 4000, 5000, SFREQ)
    assert_array_equal(part[:-1], whole[:-1, :, 4000:5000])
    np.testing.assert_allclose(part[-1], whole[-1, :, 4000:5000], atol=1e-10)
    assert whole[0].var() == pytest.approx(2.0, rel=0.1)  # the lowest band carries more
    assert whole[1].var() == pytest.approx(1.0, rel=0.1)


def test_slow_waves_are_measured():
    slow = measure_slow(make_recording(0.5, 0.9))
    fast = measure_slow(make_recording(2.0, 3.5))
    assert slow == 3.0  # the bound: a window of a second hardly sees them
    assert fast == pytest.approx(1.0, abs=0.15)
    assert 1.2 < measure_slow(make_recording(0.5, 3.5)) < 2


def test_short_stretches_tell_nothing():
    segments = [(k, k + 300) for k in range(0, 4000 - 300, 300)]
    assert measure_slow(make_recording(0.5, 0.9, segments=segments)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_draws_have_the_power_of_slow_waves(seed):
    """Windows of a second miss two fifths of it, which the draw of a lost channel has all the same.

    Channels are independent of each other, so that the draw owes nothing to the others.
    """
    n_channels, n_times = 8, 12000
    white = np.random.default_rng(seed).standard_normal((n_channels, n_times))
    sos = butter(4, (0.5, 1.5), "bandpass", fs=SFREQ, output="sos")
    truth = 1e-5 * sosfiltfilt(sos, white, axis=-1) + 1e-7 * white
    windows = truth.reshape(n_channels, -1, round(SFREQ)).swapaxes(0, 1)
    carries_reference = np.ones(n_channels)
    good = np.ones(windows.shape[:2], bool)
    spectra, largest = band_products(windows, SFREQ), np.abs(windows).max(axis=2)
    (moments,) = group_products(subtract_mean(spectra, largest, good, carries_reference), good)
    mask = np.zeros(truth.shape, bool)
    mask[0] = True
    samples = Samples(truth.copy(), np.arange(n_channels), [(0, n_times)])
    info = mne.create_info(n_channels, SFREQ, "eeg")
    recording = Recording(samples, find_spans(mask), info)
    settings = Settings(seed=np.random.SeedSequence(seed))
    block = recording.block()
    estimate_spatial(block, fit_covariance(recording, moments.cov, carries_reference, settings))
    drawn = block.data

    def measure(signals):
        spectrum = np.fft.rfft(signals[0] - signals[1:].mean(axis=0))
        return (np.abs(spectrum[np.fft.rfftfreq(n_times, 1 / SFREQ) < 4]) ** 2).sum()

    assert 0.85 < measure(drawn) / measure(truth) < 1.2
