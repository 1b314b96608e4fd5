# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Covariances in the tangent space, and band power."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mne_gram.decoding._signal_features import BANDS, BandPower, Tangent, measure_covariances

some = settings(deadline=None, max_examples=20)
KINDS = pytest.mark.parametrize("kind", [Tangent, BandPower])


def make_trials(n_trials=12, n_channels=4, n_times=800, seed=0):
    """Return coloured noise, mixed."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_channels, n_channels))
    return mixing @ rng.standard_normal((n_trials, n_channels, n_times)).cumsum(axis=-1)


def mix(x, rng):
    """Return trials, mixed by a random matrix."""
    rotation = np.linalg.qr(rng.standard_normal((x.shape[1],) * 2))[0]
    return rotation * rng.uniform(0.5, 2, x.shape[1]) @ x


def test_covariances_hold_the_power_of_their_band():
    times = np.arange(2000) / 200
    x = np.zeros((1, 2, 2000))
    x[0, 0] = 3 * np.sin(2 * np.pi * 10.5 * times)  # variance 4.5
    x[0, 1] = np.sin(2 * np.pi * 25 * times)
    cov = measure_covariances(x)[0]
    alpha, beta = [low for low, _ in BANDS].index(8), [low for low, _ in BANDS].index(20)
    total = np.trace(cov, axis1=1, axis2=2)
    assert_allclose(total[alpha], 4.5, rtol=0.02)
    assert_allclose(total[beta], 0.5, rtol=0.02)
    assert_allclose(np.delete(total, [alpha, beta]), 0, atol=1e-3)
    assert cov[alpha, 0, 0] > 10 * cov[alpha, 1, 1]


@pytest.mark.parametrize("n_times", [200, 333, 800])
def test_covariances_are_positive_with_many_channels(n_times):
    cov = measure_covariances(make_trials(3, 40, n_times))
    assert (np.linalg.eigvalsh(cov) > 0).all()
    assert_allclose(cov, cov.swapaxes(-1, -2))


def test_trials_are_measured_one_by_one(monkeypatch):
    x = make_trials()
    whole = measure_covariances(x)
    assert_allclose(measure_covariances(x[3:4])[0], whole[3])
    monkeypatch.setattr("mne_gram.decoding._signal_features._CHUNK", 1)
    assert_allclose(measure_covariances(x), whole)


@some
@given(st.integers(0, 1000))
def test_distances_do_not_depend_on_the_electrodes_mixing(seed):
    """The tangent space is affine invariant, up to the shrinkage."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((12, 4, 50))
    found = []
    for data in (x, mix(x, rng)):
        cov = np.stack([np.cov(trial) for trial in data])[:, None]
        z = Tangent().fit_mean(cov).recentre(cov)
        found.append(np.linalg.norm(z[:, None] - z[None], axis=-1))
    assert_allclose(found[0], found[1], atol=1e-6 * found[0].max())


@KINDS
def test_subjects_are_compared_with_themselves(kind):
    """Differences between subjects that are constant over their trials are removed."""
    one, other = make_trials(seed=1), 5 * make_trials(seed=1)
    x, subjects = np.concatenate([one, other]), np.repeat(["a", "b"], 12)
    measured = kind().measure(x)
    z = kind().fit_mean(measured, subjects).recentre(measured, subjects)
    assert_allclose(z[:12], z[12:], atol=1e-6)
    apart = kind().fit_mean(measured).recentre(measured)
    assert np.abs(apart[:12] - apart[12:]).max() > 1


@KINDS
def test_known_subjects_keep_their_mean_and_new_ones_get_theirs(kind):
    measured = kind().measure(make_trials())
    subjects = np.repeat(["a", "b"], 6)
    learnt = kind().fit_mean(measured, subjects)
    both = learnt.recentre(measured, subjects)
    # One trial of a known subject has the same features alone.
    assert_allclose(learnt.recentre(measured[:1], subjects[:1])[0], both[0])
    as_new = learnt.recentre(measured[:6], np.repeat("c", 6))
    assert_allclose(as_new, both[:6], atol=1e-12)


@KINDS
def test_single_trials_are_compared_with_the_mean_of_all(kind):
    """Relative to themselves, nothing of them would be left."""
    measured = kind().measure(make_trials())
    subjects = np.repeat(["a", "b"], 6)
    learnt = kind().fit_mean(measured, subjects)
    alone = learnt.recentre(measured[:1], np.array(["c"]))
    assert_allclose(alone, kind().fit_mean(measured).recentre(measured[:1]))
    assert np.abs(alone).max() > 0.1
    subjects = np.array(["a"] * 6 + ["b"] * 5 + ["c"])
    learnt = kind().fit_mean(measured, subjects)
    found = learnt.recentre(measured, subjects)
    assert_allclose(found[-1:], kind().fit_mean(measured).recentre(measured[-1:]))
    # More trials of that subject give it a mean of its own.
    later = learnt.recentre(measured[:6], np.repeat("c", 6))
    assert_allclose(later, found[:6], atol=1e-12)


@KINDS
def test_one_name_per_feature(kind):
    measured = kind().measure(make_trials())
    features = kind().fit_mean(measured)
    features.ch_names = ["C3", "C4", "Cz", "Pz"]
    names = features.get_feature_names_out()
    assert features.recentre(measured).shape == (12, len(names))
    assert len(set(names)) == len(names)


def test_power_of_one_channel_is_in_its_features():
    x = make_trials()
    louder = x.copy()
    louder[:, 1] *= 10
    change = BandPower().measure(louder) - BandPower().measure(x)
    assert_allclose(change[:, 1], 2 * np.log(10), rtol=1e-6)
    assert_allclose(np.delete(change, 1, axis=1), 0)


def test_lost_rank_is_ignored():
    """The direction that an average reference reduces to rounding errors is ignored."""
    x = make_trials()
    x -= x.mean(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2):
        cov = np.stack([np.cov(trial) for trial in x + 1e-7 * rng.standard_normal(x.shape)])
        found.append(Tangent().fit_mean(cov[:, None]).recentre(cov[:, None]))
    assert_allclose(found[0], found[1], atol=1e-3)


def test_flat_channels_give_numbers():
    x = make_trials()
    x[:, 2] = 0
    for kind in (Tangent, BandPower):
        measured = kind().measure(x)
        assert np.isfinite(kind().fit_mean(measured).recentre(measured)).all()
