# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The conditional Gaussian: its algebra, mixtures of a library, learning and adaptation."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.covariance import _mixture
from mne_gram.covariance._bands import N_BANDS, degrees_of_freedom
from mne_gram.covariance._conditional import (
    Moments,
    contrast_basis,
    expect_covariance,
    find_precision,
    interpolation_operators,
    invert_parts,
)
from mne_gram.covariance._library import Library
from mne_gram.covariance._mixture import adapt_covariance, mix_library, stein_divergence
from mne_gram.covariance._places import Places, channel_rows
from mne_gram.covariance._prior import Prior, RecordingCovariance, load_prior
from mne_gram.covariance._prior_file import pack_symmetric, unpack_symmetric
from mne_gram.montage import (
    ELECTRODES,
    INDEX,
)

some = settings(deadline=None, max_examples=30)
TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()


def draw_cov(n, seed, rank=None):
    """Draw a covariance, of full rank unless told otherwise."""
    factor = np.random.default_rng(seed).standard_normal((n, rank or 2 * n))
    return factor @ factor.T / factor.shape[1]


# ---------------------------------------------------------------------------------------------
# Algebra


@some
@given(carries=st.lists(st.booleans(), min_size=1, max_size=12))
def test_contrasts_are_orthonormal_and_free_of_the_reference(carries):
    carries = np.array(carries, float)
    basis = contrast_basis(carries)
    assert basis.shape == (len(carries) - bool(carries.any()), len(carries))
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
    assert_allclose(basis @ carries, 0, atol=1e-12)


@some
@given(n=st.integers(1, 8), seed=st.integers(0, 100))
def test_packing_is_undone(n, seed):
    matrices = np.array([[draw_cov(n, seed + k) for k in range(3)]])
    packed = pack_symmetric(matrices)
    assert packed.shape == (1, 3, n * (n + 1) // 2)
    assert_array_equal(unpack_symmetric(packed, n), matrices)


def draw_problem(seed, n=9, n_bad=3):
    """Draw a covariance, and which channels are sought."""
    order = np.random.default_rng(seed).permutation(n)
    return draw_cov(n, seed), np.sort(order[n_bad:]), np.sort(order[:n_bad])


@some
@given(seed=st.integers(0, 1000))
def test_operators_are_the_conditional_mean_of_derivations(seed):
    """Where no reference is taken off, this is the textbook formula."""
    cov, good, bad = draw_problem(seed)
    weights, error = interpolation_operators(cov, np.zeros(9), good, bad, ridge=0.0)
    within = cov[np.ix_(good, good)]
    expected = np.linalg.solve(within, cov[np.ix_(good, bad)]).T
    assert_allclose(weights, expected, atol=1e-9)
    left = cov[np.ix_(bad, bad)] - expected @ cov[np.ix_(good, bad)]
    assert_allclose(error, left, atol=1e-9)


@some
@given(seed=st.integers(0, 1000), n_bad=st.integers(1, 6), bipolar=st.integers(0, 2))
def test_operators_follow_from_the_precision(seed, n_bad, bipolar):
    """Whatever carries the reference, both ways give the same weights and errors."""
    cov, good, bad = draw_problem(seed, n_bad=n_bad)
    carries_reference = np.ones(9)
    carries_reference[np.random.default_rng(seed).permutation(9)[:bipolar]] = 0.0
    if not carries_reference[good].any():
        return
    expected = interpolation_operators(np.array([cov, 2 * cov]), carries_reference, good, bad)
    precision = find_precision(np.array([cov, 2 * cov]), carries_reference)
    error = invert_parts(precision, bad)
    assert_allclose(error, expected[1], atol=1e-5)
    assert_allclose(-error @ precision[:, bad[:, None], good], expected[0], atol=1e-5)


@some
@given(seed=st.integers(0, 1000))
def test_operators_are_the_conditional_mean_in_the_frame_of_the_good(seed):
    cov, good, bad = draw_problem(seed)
    weights, error = interpolation_operators(cov, np.ones(9), good, bad, ridge=0.0)
    # What is known are the contrasts of the good channels, what is sought is bad minus mean.
    contrasts = np.zeros((len(good) - 1, 9))
    contrasts[:, good] = contrast_basis(np.ones(len(good)))
    sought = np.eye(9)[bad]
    sought[:, good] -= 1 / len(good)
    gain = np.linalg.solve(contrasts @ cov @ contrasts.T, contrasts @ cov @ sought.T).T
    expected = gain @ contrasts[:, good] + 1 / len(good)
    assert_allclose(weights, expected, atol=1e-7)
    left = sought @ cov @ sought.T - gain @ contrasts @ cov @ sought.T
    assert_allclose(error, left, atol=1e-7)


@some
@given(
    seed=st.integers(0, 1000),
    ridge=st.sampled_from([0.0, 1e-3, 0.1]),
    carries=st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_weights_let_the_reference_through(seed, ridge, carries):
    cov, good, bad = draw_problem(seed)
    carries = np.array(carries, float)
    carries[good[:2]] = 1.0  # something to refer to
    weights, error = interpolation_operators(cov, carries, good, bad, ridge=ridge)
    # What is added to all unipolar channels appears in the unipolar estimates, and only there.
    assert_allclose(weights @ carries[good], carries[bad], atol=1e-8)
    assert np.linalg.eigvalsh(error).min() > -1e-8
    # It doesn't matter in which reference the covariance is.
    frame = np.eye(9) - np.outer(carries, np.random.default_rng(seed).dirichlet(np.ones(9)))
    again, error_again = interpolation_operators(frame @ cov @ frame.T, carries, good, bad, ridge)
    assert_allclose(again, weights, atol=1e-6)
    assert_allclose(error_again, error, atol=1e-6)


@some
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-12, 1e6]))
def test_weights_have_no_unit(seed, scale):
    cov, good, bad = draw_problem(seed)
    weights, error = interpolation_operators(cov, np.ones(9), good, bad)
    again, error_again = interpolation_operators(scale * cov, np.ones(9), good, bad)
    assert_allclose(again, weights, atol=1e-7)
    assert_allclose(error_again, scale * error, atol=1e-7 * scale)


def test_operators_of_many_bands_at_once():
    covs = np.stack([draw_cov(6, seed) for seed in range(4)])
    good, bad = np.array([0, 2, 3, 5]), np.array([1, 4])
    weights, error = interpolation_operators(covs, np.ones(6), good, bad)
    assert weights.shape == (4, 2, 4) and error.shape == (4, 2, 2)
    for cov, w, e in zip(covs, weights, error, strict=True):
        one, left = interpolation_operators(cov, np.ones(6), good, bad)
        assert_allclose(w, one, atol=1e-12)
        assert_allclose(e, left, atol=1e-12)


def test_derivations_that_depend_on_each_other_are_exact():
    """A loop of derivations adds up to nothing, so any of them follows from the others."""
    names = ["FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1"]
    rows = np.zeros((8, 114))
    for row, name in zip(rows, names, strict=True):
        first, second = name.split("-")
        row[INDEX[first]], row[INDEX[second]] = 1.0, -1.0
    cov = rows @ draw_cov(114, 0) @ rows.T
    weights, error = interpolation_operators(
        cov, np.zeros(8), np.arange(1, 8), np.array([0]), ridge=1e-9
    )
    assert_allclose(weights[0], [-1, -1, -1, 1, 1, 1, 1], atol=1e-5)
    assert_allclose(error, 0, atol=1e-6)
    # A difference between two electrodes that are there is theirs, whatever the reference.
    rows = np.vstack([np.eye(114)[[INDEX["C3"], INDEX["P3"], INDEX["CZ"]]], rows[6]])
    weights, _ = interpolation_operators(
        rows @ draw_cov(114, 0) @ rows.T,
        np.array([1.0, 1, 1, 0]),
        np.arange(3),
        np.array([3]),
        ridge=1e-9,
    )
    assert_allclose(weights[0], [1, -1, 0], atol=1e-5)


@some
@given(seed=st.integers(0, 1000), scale=st.floats(1e-9, 1e9))
def test_stein_divergence_is_smallest_at_the_truth(seed, scale):
    truth = draw_cov(6, seed)
    others = np.stack([draw_cov(6, seed + k) for k in range(1, 20)])
    divergence = stein_divergence(np.concatenate([truth[None], others]), truth)
    assert divergence.shape == (20,)
    assert divergence.argmin() == 0
    # Neither the candidate's scale nor the target's changes the order.
    again = stein_divergence(scale * np.concatenate([truth[None], others]), truth)
    assert_allclose(again, divergence, atol=1e-6)
    again = stein_divergence(np.concatenate([truth[None], others]), scale * truth)
    assert_allclose(np.diff(again), np.diff(divergence), atol=1e-6)


def test_stein_divergence_of_a_singular_target():
    truth = draw_cov(6, 0, rank=4)
    assert np.isfinite(stein_divergence(np.stack([draw_cov(6, k) for k in range(3)]), truth)).all()


# ---------------------------------------------------------------------------------------------
# Mixing a library


def draw_library(n_recordings, n, seed):
    """Draw covariances in every band, shape (n_recordings, n_bands, n, n)."""
    return np.stack(
        [
            np.stack([draw_cov(n, seed + 100 * k + band) for band in range(N_BANDS)])
            for k in range(n_recordings)
        ]
    )


def test_a_mixture_is_found():
    library = draw_library(6, 8, 0)
    truth = 0.6 * library[1] + 0.4 * library[4]
    weights = mix_library(library, truth, np.ones(6))
    assert weights.shape == (N_BANDS, 6)
    assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
    assert (weights[:, [1, 4]].sum(axis=1) > 0.9).all()
    assert_allclose(weights[:, 1], 0.6, atol=0.1)


def test_a_mixture_fits_better_than_the_best_alone():
    library = draw_library(6, 8, 0)
    truth = library[[0, 2, 5]].mean(axis=0)
    weights = mix_library(library, truth, np.ones(6))
    for band in range(N_BANDS):
        mixed = np.tensordot(weights[band], library[:, band], axes=1)
        alone = stein_divergence(library[:, band], truth[band]).min()
        assert stein_divergence(mixed, truth[band]) < alone - 0.01


def test_each_band_has_a_mixture_of_its_own():
    library = draw_library(4, 8, 0)
    truth = library[0].copy()
    truth[3:] = library[2, 3:]
    weights = mix_library(library, truth, np.ones(4))
    assert (weights[:3].argmax(axis=1) == 0).all()
    assert (weights[3:].argmax(axis=1) == 2).all()


@pytest.mark.parametrize(("n", "alike"), [(2, True), (3, True), (4, False)])
def test_few_contrasts_have_one_mixture_for_all_bands(n, alike):
    weights = mix_library(draw_library(5, n, 0), draw_library(1, n, 77)[0], np.ones(5))
    assert np.allclose(weights, weights[0]) == alike


@some
@given(st.integers(0, 99), st.floats(-6, 6))
def test_mixtures_have_no_unit_and_no_order(seed, scale):
    library, beforehand = draw_library(4, 5, seed), np.array([1.0, 0.5, 2.0, 1.0])
    truth = draw_library(1, 5, seed + 7)[0]
    weights = mix_library(library, truth, beforehand)
    assert_allclose(mix_library(library, 10**scale * truth, beforehand), weights, rtol=1e-6)
    order = np.random.default_rng(seed).permutation(4)
    assert_allclose(mix_library(library[order], truth, beforehand[order]), weights[:, order])


def test_a_large_library_is_pruned(monkeypatch):
    """As many recordings as are mixed are compared closely, and the mixture is as good."""
    n_recordings, compared = 40, []
    covs = draw_library(n_recordings, len(ELECTRODES), 0)
    recordings = [RecordingCovariance((), np.arange(len(ELECTRODES)), cov) for cov in covs]
    prior = Prior(covs.mean(axis=0), np.ones(n_recordings), None, tuple(recordings))
    truth = np.tensordot([0.5, 0.3, 0.2], prior.library[[7, 23, 31]], axes=1)
    n = 24
    rows = np.eye(len(ELECTRODES))[:n]
    places = Places(rows, np.zeros((n, n)), np.ones(n), np.ones(n, bool))
    moments = [Moments(np.arange(n), 100.0, truth[:, :n, :n])]

    def count(candidates, *args):
        compared.append(candidates.shape[0])
        return mix_library(candidates, *args)

    monkeypatch.setattr(_mixture, "mix_library", count)
    whole = _mixture.mix_covariance(prior, places, moments)
    monkeypatch.setattr(_mixture, "_MAX_MIXED", 10)
    pruned = _mixture.mix_covariance(prior, places, moments)
    assert compared == [n_recordings, 10]
    assert pruned.weights.shape == whole.weights.shape
    assert (pruned.weights.any(axis=0).sum() == 10) and pruned.weights[:, [7, 23, 31]].all()
    assert_allclose(pruned.weights.sum(axis=1), 1.0)
    for band in range(N_BANDS):
        loss = stein_divergence(
            np.array([pruned.cov[band], whole.cov[band], truth[band, :n, :n]]), truth[band, :n, :n]
        )
        assert loss[0] < loss[1] + 0.01 * abs(loss[1] - loss[2])


def test_a_band_without_signal_has_no_say():
    library = draw_library(4, 6, 0)
    truth = library[1].copy()
    truth[-1] = 0.0
    weights = mix_library(library, truth, np.ones(4))
    assert np.isfinite(weights).all()
    assert_allclose(weights[-1], weights[:-1].mean(axis=0))


# ---------------------------------------------------------------------------------------------
# Learning from incomplete windows


def draw_moments(cov, pattern, n_windows, seed):
    """Draw what windows with some good channels say about a covariance, in every band alike."""
    rng = np.random.default_rng(seed)
    pattern = np.asarray(pattern)
    x = np.linalg.cholesky(cov) @ rng.standard_normal((len(cov), 4 * n_windows))
    x = x[pattern] - x[pattern].mean(axis=0)
    return Moments(pattern, n_windows, np.repeat((x @ x.T / x.shape[1])[None], N_BANDS, axis=0))


def misfit(found, truth):
    """Compare two covariances in the frame of the average."""
    average = np.eye(len(truth)) - 1 / len(truth)
    found, truth = average @ found @ average, average @ truth @ average
    return np.linalg.norm(found - truth) / np.linalg.norm(truth)


def test_covariance_is_found_from_incomplete_windows():
    truth = draw_cov(6, 3)
    prior = np.repeat(np.eye(6)[None], N_BANDS, axis=0)
    patterns = ([0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [0, 2, 3, 5], [0, 1, 4, 5])
    moments = [draw_moments(truth, pattern, 3000, k) for k, pattern in enumerate(patterns)]
    found = expect_covariance(moments, prior, np.ones(6), strength=30.0, n_iter=30)
    for cov in found:
        assert misfit(cov, truth) < 0.1 < 0.3 < misfit(np.eye(6), truth)
        assert np.linalg.eigvalsh(cov).min() > 0


def test_more_data_move_the_covariance_further():
    truth = draw_cov(6, 3)
    prior = np.repeat(np.eye(6)[None], N_BANDS, axis=0)
    errors = []
    for n_windows in (1, 30, 3000):
        moments = [Moments(np.arange(6), n_windows, np.repeat(truth[None], N_BANDS, axis=0))]
        found = expect_covariance(moments, prior, np.ones(6), strength=300.0, n_iter=3)
        errors.append(misfit(found[2], truth))
    assert errors[0] > 0.9 * misfit(np.eye(6), truth)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_without_data_the_prior_stays():
    prior = np.repeat(draw_cov(4, 0)[None], N_BANDS, axis=0)
    assert expect_covariance([], prior, np.ones(4), 300.0, 3) is prior


def expect_by_contrasts(moments, prior, carries, strength):
    """Do one step of `expect_covariance`, as the regression on contrasts of the good channels."""
    total, count = strength * prior, np.full((N_BANDS, 1, 1), strength)
    for m in moments:
        basis = np.zeros((len(contrast_basis(carries[m.good])), len(carries)))
        basis[:, m.good] = contrast_basis(carries[m.good])
        seen = basis[:, m.good] @ m.cov @ basis[:, m.good].T
        gain = np.linalg.pinv(basis @ prior @ basis.T, hermitian=True) @ basis @ prior
        left = seen - basis @ prior @ basis.T
        dof = degrees_of_freedom(m.n_windows)[:, None, None]
        total = total + dof * (prior + gain.swapaxes(1, 2) @ left @ gain)
        count = count + dof
    return total / count


@pytest.mark.parametrize("rank", [14, 5])
@pytest.mark.parametrize("carries", [np.ones(7), np.zeros(7), np.array([1.0, 0, 1, 1, 0, 0, 1])])
def test_what_was_seen_predicts_the_rest(carries, rank):
    """Also if channels depend on each other, as derivations in a ring do."""
    roots = np.random.default_rng(0).standard_normal((N_BANDS, 7, rank))
    prior = roots @ roots.swapaxes(1, 2)
    roots = roots @ np.random.default_rng(1).standard_normal((rank, 20))
    truth = roots @ roots.swapaxes(1, 2) / 20
    moments = [
        Moments(np.array(good), 20.0, truth[:, good][:, :, good])
        for good in ([0, 1, 2, 3, 4], [1, 3, 5, 6], [0, 1, 2, 3, 4, 5, 6], [4, 5])
    ]
    found = expect_covariance(moments, prior, carries, 30.0, n_iter=1)
    assert_allclose(found, found.swapaxes(1, 2), atol=1e-9)
    assert_allclose(found, expect_by_contrasts(moments, prior, carries, 30.0), atol=1e-5)


def test_one_pattern_needs_one_iteration():
    truth, start = draw_cov(6, 3), draw_cov(6, 4)
    prior = np.repeat(start[None], N_BANDS, axis=0)
    moments = draw_moments(truth, [0, 1, 3, 5], 50, 0)
    # Two halves of the same pattern are iterated; they are the same data.
    halves = [Moments(moments.good, 25, moments.cov)] * 2
    one = expect_covariance([moments], prior, np.ones(6), 100.0, n_iter=1)
    many = expect_covariance(halves, prior, np.ones(6), 100.0, n_iter=20)
    assert_allclose(one, many, atol=1e-8)


def test_the_reference_of_the_moments_does_not_matter():
    truth = draw_cov(6, 3)
    prior = np.repeat(draw_cov(6, 4)[None], N_BANDS, axis=0)
    good = np.array([0, 1, 3, 5])
    frame = np.eye(4) - np.outer(np.ones(4), [1.0, 0, 0, 0])  # the first channel as reference
    seen = truth[np.ix_(good, good)]
    found = []
    for cov in (seen, frame @ seen @ frame.T):
        moments = [Moments(good, 50, np.repeat(cov[None], N_BANDS, axis=0))]
        found.append(expect_covariance(moments, prior, np.ones(6), 100.0, 1))
    assert_allclose(found[0], found[1], atol=1e-8)


# ---------------------------------------------------------------------------------------------
# Adaptation


def whole_moments(cov, n_windows=100):
    """Return what good windows of all channels say."""
    return [Moments(np.arange(cov.shape[-1]), n_windows, cov)]


def test_without_data_it_is_the_population(prior, map_names):
    places = rows, own, carries, known = channel_rows(map_names(TEN_TWENTY), prior)
    cov = adapt_covariance(prior, places, [], power=3.0)
    expected = rows @ prior.population @ rows.T
    noise = 1e-3 * np.median(np.einsum("bii->bi", expected), axis=1)
    expected = expected + noise[:, None, None] * np.eye(len(rows))
    for band in range(N_BANDS):  # its shape band by band, and the power all together
        assert_allclose(cov[band] / np.trace(cov[band]), expected[band] / np.trace(expected[band]))
    shares = np.trace(cov, axis1=1, axis2=2) / np.trace(expected, axis1=1, axis2=2)
    assert_allclose(shares.sum(), 3.0)
    assert (shares > 0).all() and shares.argmax() == 0


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 1.0])
def test_the_library_entry_like_the_recording_is_preferred(prior, place, map_names):
    """The good channels of somebody in the library tell what the bad ones look like."""
    sought = {INDEX["CP3"], INDEX["FC4"], INDEX["PO7"]}
    known = [k for k, r in enumerate(load_prior().recordings) if sought <= set(r.channels.tolist())]
    k = known[round(place * (len(known) - 1))]
    names = [*TEN_TWENTY, "CP3", "FC4", "PO7"]
    places = rows, own, carries, known = channel_rows(map_names(names), prior)
    truth = rows @ prior.library[k].astype(float) @ rows.T
    good, bad = np.arange(19), np.arange(19, 22)
    seen = [Moments(good, 20, 1e-10 * truth[:, :19, :19])]
    adapted = adapt_covariance(prior, places, seen)
    population = 1e-10 * rows @ prior.population @ rows.T
    error = []
    for cov in (adapted, population, 1e-10 * truth):
        weights, _ = interpolation_operators(cov, carries, good, bad)
        full = np.zeros((N_BANDS, 3, 22))
        full[..., good] = weights
        full[..., bad] = -np.eye(3)
        error.append(np.trace((full @ truth @ full.swapaxes(1, 2)).sum(axis=0)))
    assert error[0] < 1.1 * error[2]
    assert error[0] - error[2] < 0.6 * (error[1] - error[2])


def test_scale_of_the_recording(prior, map_names):
    places = rows, own, carries, known = channel_rows(map_names(TEN_TWENTY), prior)
    truth = rows @ prior.population @ rows.T
    power = np.array([5.0, 1.0, 2.0, 0.5, 0.2])[:, None, None] * 1e-10  # volts squared
    cov = adapt_covariance(prior, places, whole_moments(power * truth))
    inner = contrast_basis(carries)
    found = np.einsum("bii->b", inner @ cov @ inner.T)
    assert_allclose(found, np.einsum("bii->b", inner @ (power * truth) @ inner.T), rtol=0.05)
    # Microvolts or volts, the same covariance.
    again = adapt_covariance(prior, places, whole_moments(1e12 * power * truth))
    assert_allclose(again, 1e12 * cov, rtol=1e-4)


def test_adapted_covariances_are_covariances(prior, map_names):
    places = rows, own, carries, known = channel_rows(map_names([*TEN_TWENTY, "mystery"]), prior)
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((N_BANDS, 20, 5))  # of rank 5, as after an ICA
    cov = adapt_covariance(prior, places, whole_moments(factor @ factor.swapaxes(1, 2)))
    assert cov.shape == (N_BANDS, 20, 20)
    assert_allclose(cov, cov.swapaxes(1, 2), atol=1e-9)
    assert np.linalg.eigvalsh(cov).min() > 0


def test_an_unknown_channel_is_learnt_from_its_own_data(prior, map_names):
    names = [*TEN_TWENTY, "mystery"]
    places = rows, own, carries, known = channel_rows(map_names(names), prior)
    cz = names.index("Cz")
    truth = np.zeros((N_BANDS, 20, 20))
    truth[:, :19, :19] = rows[:19] @ prior.population @ rows[:19].T
    truth[:, 19, :19] = truth[:, :19, 19] = truth[:, cz, :19]  # a twin of Cz
    truth[:, 19, 19] = truth[:, cz, cz]
    good, bad = np.arange(19), np.array([19])
    share = []
    for n_windows in (2, 2000):
        moments = whole_moments(truth, n_windows)
        cov = adapt_covariance(prior, places, moments)
        weights, _ = interpolation_operators(cov.sum(axis=0), carries, good, bad)
        share.append(weights[0, cz])
    assert share[1] > 0.95 and share[1] > share[0] + 0.2


def test_more_channels_than_contrasts(prior, map_names):
    names = [n for n in ELECTRODES if n not in ("T3", "T4", "T5", "T6", "T1", "T2", "CB1", "CB2")]
    places = rows, own, carries, known = channel_rows(map_names(names), prior)
    truth = 1e-10 * rows @ prior.library[2].astype(float) @ rows.T
    cov = adapt_covariance(prior, places, whole_moments(truth, 30))
    wrong = 1e-10 * rows @ prior.population @ rows.T
    for band in range(N_BANDS):
        assert misfit(cov[band], truth[band]) < 0.7 * misfit(wrong[band], truth[band])


def _halves(cov, seed, n_samples=400):
    """Return Moments of all channels with two halves, from samples of a covariance per band."""
    rng = np.random.default_rng(seed)
    n = cov.shape[-1]
    factor = np.linalg.cholesky(cov + 1e-12 * np.eye(n))
    parts = factor @ rng.standard_normal((2, N_BANDS, n, n_samples))
    halves = parts @ parts.swapaxes(-1, -2) / n_samples
    return [Moments(np.arange(n), 100, halves.mean(axis=0), halves)]


@pytest.mark.parametrize("loud", [1.0, 100.0])
def test_near_exact_dependence_is_used(prior, map_names, loud):
    """A channel that the others predict almost exactly is restored so; one channel is loud."""
    places = rows, own, carries, known = channel_rows(map_names(TEN_TWENTY), prior)
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((N_BANDS, 19, 8))
    exact = mixing @ mixing.swapaxes(1, 2) + 1e-6 * np.eye(19)
    exact[:, 5] *= loud
    exact[:, :, 5] *= loud
    noisy = rows @ prior.library[0].astype(float) @ rows.T
    noisy += 0.3 * np.trace(noisy, axis1=1, axis2=2)[:, None, None] / 19 * np.eye(19)
    good, bad = np.arange(18), np.array([18])
    missed = {}
    for name, truth in (("exact", exact), ("noisy", noisy)):
        for halves in (True, False):
            moments = _halves(truth, 1)
            if not halves:
                moments = [dataclasses.replace(moments[0], halves=None)]
            cov = adapt_covariance(prior, places, moments)
            weights, _ = interpolation_operators(cov, carries, good, bad)
            full = np.concatenate([weights, -np.ones((N_BANDS, 1, 1))], axis=-1)
            missed[name, halves] = np.trace((full @ truth @ full.swapaxes(1, 2)).sum(axis=0))
    assert missed["exact", True] < 0.1 * missed["exact", False]
    assert missed["noisy", True] < 1.02 * missed["noisy", False]


def test_recordings_hold_no_reference():
    covs = np.repeat(draw_cov(5, 0)[None], 5, axis=0)
    recording = RecordingCovariance(("a", "b", "c"), np.arange(5), covs)
    population = np.repeat(draw_cov(114, 1)[None], N_BANDS, axis=0)
    frame = np.eye(5) - np.outer(np.ones(5), [1.0, 0, 0, 0, 0])
    moved = dataclasses.replace(recording, cov=frame @ recording.cov @ frame.T)
    one, other = (Library([r], population).complete() for r in (recording, moved))
    assert_allclose(one, other, atol=1e-6)


def test_parts_of_copies_are_inverted():
    """Where rounding leaves nothing else, as in exact copies, errors are finite and positive."""
    precision = np.eye(4)[None] + np.zeros((2, 1, 1))
    precision[0, 1:3, 1:3] = 1e9 * np.array([[1.0, -1.0], [-1.0, 1.0]])  # singular
    precision[1, 1:3, 1:3] = 1e9 * np.array([[1.0, 1.0], [1.0, 1.0]]) - 1e-3 * np.eye(2)
    error = invert_parts(precision, np.array([1, 2]))
    assert np.isfinite(error).all()
    assert_allclose(error, error.swapaxes(1, 2))
    assert (np.linalg.eigvalsh(error) > 0).all()
    assert (np.diagonal(error, axis1=1, axis2=2) < 1.1).all()
