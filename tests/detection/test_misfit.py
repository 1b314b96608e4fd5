# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Misfits in closed form, and scores of windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mne_gram.covariance import band_products, interpolation_operators
from mne_gram.detection._misfit import (
    WindowScorer,
    compare,
    drop_channel,
    find_precision,
    predict_each,
)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(5, 9), st.booleans())
def test_errors_in_closed_form(seed, n_channels, bipolar):
    """The precision gives the errors of predicting each channel from the others."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((5, n_channels, 2 * n_channels))
    cov = factor @ factor.swapaxes(1, 2)
    units = np.ones(n_channels)
    units[0] = 0.0 if bipolar else 1.0
    used = np.ones(n_channels, bool)
    spectra = band_products(rng.standard_normal((3, n_channels, 200)), 200.0)
    precision = find_precision(cov, units, ridge=0)
    assert_allclose(precision @ units, 0, atol=1e-9 * np.abs(precision).max())
    missing = int(rng.integers(n_channels))
    for dropped in (None, missing):
        if dropped is not None:
            precision, used[dropped] = drop_channel(precision, dropped), False
        for channel in np.flatnonzero(used):
            good = np.setdiff1d(np.flatnonzero(used), channel)
            weights, error = interpolation_operators(cov, units, good, [channel], ridge=0)
            for band, values in enumerate(spectra):
                missed = values[:, [channel]] - weights[band] @ values[:, good]
                own = precision[band, channel, channel]
                assert_allclose((precision[band] @ values)[:, [channel]] / own, missed, atol=1e-7)
                assert_allclose(1 / own, error[band, 0, 0], rtol=1e-6)
    misfit = predict_each(spectra, precision, units, used)
    assert np.isnan(misfit[..., missing]).all() and np.isfinite(misfit[..., used]).all()


def test_error_of_gain_is_forgiven():
    """A prediction that is a fifth too small is expected, one of another shape is not."""
    rng = np.random.default_rng(0)
    predicted, other = rng.standard_normal((2, 4, 3, 20)) + 1j * rng.standard_normal((2, 4, 3, 20))
    expected = [np.full(3, 1e-3)]
    misfit, correlation = compare([(1.2 * predicted, predicted)], expected)
    assert (misfit < -0.5).all()
    assert_allclose(correlation, 1.0)
    misfit, correlation = compare([(other, predicted)], expected)
    assert (misfit > 2).all() and (np.abs(correlation) < 0.7).all()


@pytest.fixture(scope="module")
def scorer_parts():
    """Return windows of mixtures of three signals, which are usable, and their scorer."""
    rng = np.random.default_rng(5)
    mixing = rng.standard_normal((8, 3))
    data = mixing @ rng.standard_normal((3, 60 * 200)) + 0.3 * rng.standard_normal((8, 60 * 200))
    windows = data.reshape(8, 60, 200).transpose(1, 0, 2)
    spectra = band_products(windows, 200.0)
    cov = np.array([sum((v @ v.conj().swapaxes(1, 2)).real) / 60 for v in spectra])
    usable = np.ones((60, 8), bool)
    used = np.ones(8, bool)
    return windows, usable, WindowScorer(cov, np.ones(8), used, spectra, usable)


def test_one_fault_is_one_channels(scorer_parts):
    """A fault that spoils all predictions is attributed to the channel that has it."""
    windows, usable, scorer = scorer_parts
    windows = windows[:4].copy()
    windows[2, 5] += 100 * np.random.default_rng(0).standard_normal(200)
    scores = scorer(band_products(windows, 200.0), usable[:4], 6.0)
    assert np.argwhere(scores > 6).tolist() == [[2, 5]]
    usable = usable[:4].copy()
    usable[2, 5] = False
    scores = scorer(band_products(windows, 200.0), usable, 6.0)
    assert (scores < 6).all() and scores[2, 5] == -np.inf


def test_common_fault_is_no_channels(scorer_parts):
    """Where all channels misfit alike, none is found."""
    windows, usable, scorer = scorer_parts
    windows = windows[:4].copy()
    windows[1] += 8 * np.random.default_rng(0).standard_normal((8, 200))
    scores = scorer(band_products(windows, 200.0), usable[:4], 6.0)
    assert (scores < 6).all()
