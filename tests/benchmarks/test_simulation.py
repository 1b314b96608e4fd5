# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Simulated windows for the comparison with recordings: units, reference, spectra, maps."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.montage import BIPOLAR, CH_NAMES, electrode_positions
from mne_gram.simulation._sources import Head

PLACES = np.unique(electrode_positions(), axis=0, return_index=True)[1]
TEN_TWENTY = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2".split()


@pytest.fixture(scope="module")
def draw(load_benchmark):
    return partial(load_benchmark("simulation").draw_windows, Head())


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _windows(n, names):
    return torch.tensor([CH_NAMES.index(name) for name in names]).expand(n, -1)


def test_draw_deterministic(draw):
    """A generator's seed decides all; no other randomness is used or moved."""
    channels = _windows(3, TEN_TWENTY)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (draw(channels, 2, _generator(1)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.allclose(one, draw(channels, 2, _generator(2)))
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 99), st.integers(1, 6), st.integers(1, 40), st.integers(1, 5))
def test_draw_anything(draw, seed, n_windows, n_channels, n_patches):
    """Any electrodes and lengths: finite, of EEG's size, referenced to their average."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(114)[:n_channels] for _ in range(n_windows)])
    x = draw(torch.from_numpy(rows), n_patches, _generator(seed))
    assert x.shape == (n_windows, n_channels, 200 * n_patches) and x.dtype == torch.float32
    assert torch.isfinite(x).all()
    assert (x.std(dim=-1) > 1e-4).all()
    if n_channels > 1:
        np.testing.assert_allclose(x.mean(dim=1), 0, atol=1e-4)


def test_draw_units(draw):
    """In units of 0.1 mV the typical channel has some 10 uV, and subjects differ."""
    x = draw(_windows(200, TEN_TWENTY), 4, _generator(0))
    std = 100 * x.std(dim=-1).median(dim=1).values.numpy()
    assert 5 < np.median(std) < 20
    assert 3 < np.percentile(std, 95) / np.percentile(std, 5) < 30


def test_draw_bipolar(draw):
    """Derivations are the differences of their ends, noise and all."""
    names = ["FP1", "F7", "T7", "P7", "O1", "FP1-F7", "F7-T7", "P7-O1"]
    x = draw(_windows(4, names), 2, _generator(0))
    np.testing.assert_allclose(x[:, 5], x[:, 0] - x[:, 1], atol=1e-4)
    np.testing.assert_allclose(x[:, 6], x[:, 1] - x[:, 2], atol=1e-4)
    np.testing.assert_allclose(x[:, 7], x[:, 3] - x[:, 4], atol=1e-4)
    np.testing.assert_allclose(x[:, :5].mean(dim=1), 0, atol=1e-4)
    alone = draw(_windows(4, BIPOLAR), 1, _generator(0))
    assert (alone.std(dim=-1) > 1e-3).all()


def _band_power(x, low, high):
    x = x - x.mean(axis=-1, keepdims=True)
    power = np.abs(np.fft.rfft(x * np.hanning(x.shape[-1]))) ** 2
    freqs = np.fft.rfftfreq(x.shape[-1], 1 / 200)
    return power[..., (freqs >= low) & (freqs < high)].sum(axis=-1)


def test_draw_spectrum(draw):
    """Power falls with frequency and ends at 75 Hz; alpha is largest at the back."""
    x = draw(_windows(150, TEN_TWENTY), 4, _generator(0)).numpy()
    bands = [(0.5, 4), (4, 8), (13, 30), (30, 70), (80, 100)]
    delta, theta, beta, gamma, above = (
        np.median(_band_power(x, *band) / (band[1] - band[0])) for band in bands
    )
    assert delta > 2 * theta > 4 * beta > 6 * gamma
    assert above < 0.01 * gamma
    alpha = np.median(_band_power(x, 8, 12) / _band_power(x, 1, 70), axis=0)
    share = dict(zip(TEN_TWENTY, alpha, strict=True))
    assert min(share["O1"], share["O2"]) > 1.3 * max(share["FP1"], share["F7"], share["FZ"])


def test_draw_covariance(draw):
    """Neighbours are alike, and opposite sides of the head are not."""
    x = draw(torch.from_numpy(PLACES)[None].expand(30, -1), 4, _generator(0)).numpy()
    corr = np.mean([np.corrcoef(window) for window in x], axis=0)
    places = electrode_positions()[PLACES]
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    by_distance = [
        corr[(distance > low) & (distance < low + 0.02)].mean() for low in (0.02, 0.05, 0.08, 0.14)
    ]
    assert by_distance[0] > 0.5 > by_distance[1] > 0.25 > by_distance[2] > 0 > by_distance[3]


def test_draw_no_seam(draw):
    """The end of a window is no more like its start than two moments of noise are."""
    x = draw(_windows(300, TEN_TWENTY), 2, _generator(0)).numpy()
    x = x / x.std(axis=-1, keepdims=True)
    ends = np.abs(x[..., 0] - x[..., -1]).mean()
    middle = np.abs(x[..., 0] - x[..., 200]).mean()
    step = np.abs(np.diff(x, axis=-1)).mean()
    assert ends > 0.8 * middle > 2 * step
