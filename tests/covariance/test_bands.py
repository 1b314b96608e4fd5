# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bands add up to the signal, keep to their frequencies, and tell covariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.covariance._bands import (
    BAND_EDGES,
    N_BANDS,
    STATISTICS_EDGES,
    band_products,
    degrees_of_freedom,
    filter_length,
    lowpass_taps,
    sum_bands,
)

some = settings(deadline=None, max_examples=30)
rates = st.sampled_from([20.0, 100.0, 128.0, 160.0, 250.0, 512.0])
INSIDE = (2.0, 6.0, 10.5, 21.0, 40.0)  # a frequency of each band, away from its borders


@some
@given(
    seed=st.integers(0, 1000),
    sfreq=rates,
    n_times=st.one_of(st.integers(1, 3), st.integers(1, 400)),
    scale=st.sampled_from([1e-12, 1e-5, 1e3]),
)
def test_equal_parts_add_up_to_the_signal(seed, sfreq, n_times, scale):
    part = scale * np.random.default_rng(seed).standard_normal((3, n_times)).cumsum(axis=1)
    parts = np.repeat(part[None], N_BANDS, axis=0)
    assert_array_equal(sum_bands(parts, sfreq), part)


@some
@given(seed=st.integers(0, 1000), sfreq=rates, n_times=st.integers(1, 400))
def test_bands_are_a_partition(seed, sfreq, n_times):
    signal = np.random.default_rng(seed).standard_normal((2, n_times))
    total = np.zeros_like(signal)
    for band in range(N_BANDS):
        parts = np.zeros((N_BANDS, *signal.shape))
        parts[band] = signal
        total += sum_bands(parts, sfreq)
    assert_allclose(total, signal, atol=1e-10)


@pytest.mark.parametrize("sfreq", [100.0, 160.0, 1000.0])
def test_bands_keep_to_their_frequencies(sfreq):
    times = np.arange(round(10 * sfreq)) / sfreq
    middle = slice(round(2 * sfreq), round(8 * sfreq))
    passed = np.empty((N_BANDS, len(INSIDE)))
    for column, freq in enumerate(INSIDE):
        wave = np.sin(2 * np.pi * freq * times)[None]
        for band in range(N_BANDS):
            parts = np.zeros((N_BANDS, *wave.shape))
            parts[band] = wave
            found = sum_bands(parts, sfreq)[:, middle]
            passed[band, column] = found.std() / wave[:, middle].std()
            if band == column:  # of zero phase: the wave itself
                assert_allclose(found, wave[:, middle], atol=0.02)
    assert_allclose(passed, np.eye(N_BANDS), atol=0.02)


def test_input_stays_as_it_is():
    parts = np.random.default_rng(0).standard_normal((N_BANDS, 2, 300))
    before = parts.copy()
    sum_bands(parts, 100.0)
    assert_array_equal(parts, before)


@some
@given(seed=st.integers(0, 1000), left=st.integers(0, 200), right=st.integers(0, 200))
def test_margins_are_cut_off(seed, left, right):
    parts = np.random.default_rng(seed).standard_normal((N_BANDS, 2, left + 50 + right))
    whole = sum_bands(parts, 100.0)
    cut = sum_bands(parts, 100.0, (left, right))
    assert cut.shape == (2, 50)
    assert_array_equal(cut, whole[:, left : left + 50])


def test_a_margin_of_half_a_filter_is_enough():
    sfreq = 128.0
    parts = np.random.default_rng(0).standard_normal((N_BANDS, 2, 1000))
    half = filter_length(sfreq) // 2
    piece = sum_bands(parts[..., 300 - half : 500 + half], sfreq, (half, half))
    assert_allclose(piece, sum_bands(parts, sfreq)[:, 300:500], atol=1e-12)


@pytest.mark.parametrize("sfreq", [20.0, 100.0, 2000.0])
def test_taps(sfreq):
    taps = lowpass_taps(sfreq)
    assert taps.shape == (len(BAND_EDGES), filter_length(sfreq))
    assert filter_length(sfreq) % 2 == 1
    assert_allclose(taps.sum(axis=1), 1)
    assert_allclose(taps, taps[:, ::-1], atol=1e-15)
    for row, edge in zip(taps, BAND_EDGES, strict=True):
        identity = np.count_nonzero(row) == 1
        assert identity == (edge + 1 >= sfreq / 2)


# ---------------------------------------------------------------------------------------------
# Statistics


def products_of(windows, sfreq):
    """Return the covariance of each band, averaged over windows."""
    covs = []
    for spectrum in band_products(windows, sfreq):
        cov = (spectrum @ spectrum.conj().swapaxes(1, 2)).real.mean(axis=0)
        covs.append(cov)
    return np.array(covs)


@pytest.mark.parametrize("sfreq", [100.0, 250.0])
def test_products_tell_the_covariance_in_each_band(sfreq):
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((3, 3))
    n_times = round(sfreq)
    windows = mixing @ rng.standard_normal((3000, 3, n_times))
    covs = products_of(windows, sfreq)
    # White noise has the same power in each bin of 1 Hz; 1 to 3 Hz are those of the lowest band.
    n_bins = np.array([3, 4, 5, 17, 15])
    scale = np.abs(mixing @ mixing.T).max()
    for cov, n in zip(covs, n_bins, strict=True):
        assert_allclose(cov * sfreq / 2 / n, mixing @ mixing.T, atol=0.1 * scale)


def test_products_tell_the_power_of_a_wave():
    sfreq, amplitude = 200.0, 3.0
    phases = np.linspace(0, 2 * np.pi, 40, endpoint=False)[:, None, None]
    times = np.arange(200) / sfreq
    for band, freq in enumerate(INSIDE):
        windows = amplitude * np.sin(2 * np.pi * freq * times + phases)
        power = products_of(windows, sfreq)[:, 0, 0]
        assert power[band] == pytest.approx(amplitude**2 / 2, rel=0.15)
        assert np.delete(power, band).max() < 0.02 * power[band]


@some
@given(offset=st.floats(-1e3, 1e3), slope=st.floats(-1e3, 1e3))
def test_products_see_no_offset_and_no_straight_line(offset, slope):
    windows = np.random.default_rng(0).standard_normal((4, 2, 100))
    line = offset + slope * np.linspace(-1, 1, 100)
    found = band_products(windows + line, 100.0)
    for one, other in zip(found, band_products(windows, 100.0), strict=True):
        assert_allclose(one, other, atol=1e-9)


def test_bands_above_nyquist_are_empty():
    products = band_products(np.random.default_rng(0).standard_normal((4, 2, 50)), 50.0)
    assert len(products) == N_BANDS
    assert [p.shape[-1] > 0 for p in products] == [True, True, True, True, False]


def test_degrees_of_freedom():
    dof = degrees_of_freedom(40)
    assert dof.shape == (N_BANDS,)
    assert_allclose(degrees_of_freedom(80), 2 * dof)
    assert_allclose(dof / dof.sum(), np.diff(STATISTICS_EDGES) / np.ptp(STATISTICS_EDGES))
    # A power estimate of n degrees of freedom scatters with a relative variance of 2 / n.
    sfreq, n_windows, n_repeats = 100.0, 40, 300
    signal = np.random.default_rng(0).standard_normal((n_repeats, 50 * (n_windows + 1)))
    windows = np.stack([signal[:, 50 * k : 50 * k + 100] for k in range(n_windows)])
    for spectrum, expected in zip(band_products(windows, sfreq), dof, strict=True):
        power = (np.abs(spectrum) ** 2).sum(axis=2).mean(axis=0)
        found = 2 / (power.var() / power.mean() ** 2)
        assert 0.6 < found / expected < 1.7
