# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Noise for draws: the same wherever reading begins, and with the power of slow waves."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.signal import butter, sosfiltfilt

from mne_gram._recording._masks import find_spans
from mne_gram._recording._samples import Samples
from mne_gram._recording._windows import group_moments
from mne_gram.restoration._gaussian import repair_spatial
from mne_gram.restoration._noise import Noise, measure_slow, read_noise

SFREQ = 100.0


def make_samples(low, high, n_times=4000, pieces=None):
    """Return band-limited noise of four channels, of which a quarter is bad in the first."""
    white = np.random.default_rng(0).standard_normal((4, n_times))
    sos = butter(4, (low, high), "bandpass", fs=SFREQ, output="sos")
    signals = 1e-5 * sosfiltfilt(sos, white, axis=-1)
    mask = np.zeros(signals.shape, bool)
    mask[0, :1000] = True
    signals[0, :1000] = 1.0  # garbage, which is not to be looked at
    mask[:, 1100:1200] = True  # where nothing is good
    return Samples(signals, np.arange(4), pieces or [(0, n_times)]), find_spans(mask)


def test_noise_is_the_same_wherever_reading_begins():
    noise = Noise(np.random.SeedSequence(3), 2, slow=2.0)
    whole = read_noise(noise, 0, 9000, SFREQ)
    part = read_noise(noise, 4000, 5000, SFREQ)
    assert_array_equal(part[:-1], whole[:-1, :, 4000:5000])
    np.testing.assert_allclose(part[-1], whole[-1, :, 4000:5000], atol=1e-10)
    assert whole[0].var() == pytest.approx(2.0, rel=0.1)  # the lowest band carries more
    assert whole[1].var() == pytest.approx(1.0, rel=0.1)


def test_slow_waves_are_measured():
    slow = measure_slow(*make_samples(0.5, 0.9), SFREQ)
    fast = measure_slow(*make_samples(2.0, 3.5), SFREQ)
    assert slow == 3.0  # the bound: a window of a second hardly sees them
    assert fast == pytest.approx(1.0, abs=0.15)
    assert 1.2 < measure_slow(*make_samples(0.5, 3.5), SFREQ) < 2


def test_short_stretches_tell_nothing():
    pieces = [(k, k + 300) for k in range(0, 4000 - 300, 300)]
    assert measure_slow(*make_samples(0.5, 0.9, pieces=pieces), SFREQ) == 1.0


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
    units = np.ones(n_channels)
    (moments,) = group_moments(windows, np.ones(windows.shape[:2], bool), SFREQ, units)
    mask = np.zeros(truth.shape, bool)
    mask[0] = True
    drawn = truth.copy()
    options = dict(seed=np.random.SeedSequence(seed))
    repair_spatial(drawn, mask, [(0, n_times)], SFREQ, moments.cov, units, **options)

    def measure(signals):
        spectrum = np.fft.rfft(signals[0] - signals[1:].mean(axis=0))
        return (np.abs(spectrum[np.fft.rfftfreq(n_times, 1 / SFREQ) < 4]) ** 2).sum()

    assert 0.85 < measure(drawn) / measure(truth) < 1.2
