# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The conditional Gaussian: pure linear algebra of covariances, one a frequency band.

Everything is free of the reference: whatever is added to all unipolar channels alike is taken off
first and put back.
"""

from dataclasses import dataclass

import numpy as np

from ._bands import N_BANDS, degrees_of_freedom

__all__ = ["adapt_covariance", "interpolation_operators"]

# How sharply the library is weighted by fit (per degree of freedom) at first; in how many steps the
# weights are improved, first for all bands alike, then for each (of fewer contrasts than that a
# single band says too little); the population's share in the mixture; and how many samples of the
# recording's own data, per channel, weigh as much as the prior. All but the number of contrasts
# were chosen on the training subjects, each predicted by the others.
_SHARPNESS = 10.0
_N_SHARED, _N_OWN = 20, 30
_MIN_CONTRASTS = 4
_POPULATION = 0.1
_STRENGTH = 0.5
# How the power of EEG is spread over the bands, for those that a recording does not tell of.
_TYPICAL_SHARES = np.array([0.55, 0.13, 0.17, 0.12, 0.03])
MIN_GOOD = 2  # good channels: one to refer to, one to learn from
_MAX_CONTRASTS = 64  # more channels than that tell no better which recordings are alike
_RIDGE = 1e-3  # of the mean variance: keeps rank-deficient (ICA-cleaned) data solvable


# ---------------------------------------------------------------------------------------------
# Linear algebra of one covariance


def contrast_basis(units):
    """Return an orthonormal basis of what is left when the reference is taken off.

    Parameters
    ----------
    units : array, shape (n,)
        1 where a channel carries the reference, 0 where not (bipolar derivations).

    Returns
    -------
    basis : array, shape (n - 1 or n, n)
        Rows orthogonal to ``units``.
    """
    units = np.asarray(units, float)
    n = len(units)
    if not units.any():
        return np.eye(n)
    # The Householder reflection that takes units onto the first axis: its other rows are the basis.
    v = units / np.linalg.norm(units)
    v[0] += 1.0
    return (np.eye(n) - np.outer(v, v) * (2 / (v @ v)))[1:]


def complete_covariance(prior, basis, cov, shrinkage=0.0):
    """Update a covariance by what was seen of it.

    The expectation of the covariance of ``x`` under ``x ~ N(0, prior)`` when ``basis @ x`` is known
    to have the covariance ``cov``.

    Parameters
    ----------
    prior : array, shape (..., n, n)
        The covariance before.
    basis : array, shape (q, n)
        What was seen.
    cov : array, shape (..., q, q)
        Its covariance.
    shrinkage : float
        Share of the prior's own idea of ``cov`` that is mixed in.

    Returns
    -------
    updated : array, shape (..., n, n)
        The covariance after; ``basis @ updated @ basis.T`` is ``cov`` if nothing is mixed in.
    """
    seen = basis @ prior
    expected = seen @ basis.T
    gain = np.linalg.solve(_ridged(expected, 1e-9), seen)
    target = (1 - shrinkage) * cov + shrinkage * expected
    return prior + np.swapaxes(gain, -1, -2) @ (target - expected) @ gain


def trace(matrix):
    """Return the traces of matrices, shape (..., n, n) to (...)."""
    return np.trace(matrix, axis1=-2, axis2=-1)


def _ridged(matrix, ridge):
    n = matrix.shape[-1]
    return matrix + (ridge / n) * trace(matrix)[..., None, None] * np.eye(n)


def interpolation_operators(cov, units, good, bad, ridge=_RIDGE):
    """Compute the weights that estimate bad channels from good ones, and what they miss.

    Parameters
    ----------
    cov : array, shape (..., n, n)
        Covariance of all channels, in any reference.
    units : array, shape (n,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    good, bad : array of int
        Indices of the channels that are known and of those that are sought.
    ridge : float
        Added to the diagonal, relative to the mean variance of the good channels.

    Returns
    -------
    weights : array, shape (..., n_bad, n_good)
        The conditional mean is ``weights @ x[good]``. Rows of unipolar channels sum to 1, so that a
        change of reference goes straight through.
    error : array, shape (..., n_bad, n_bad)
        The conditional covariance, relative to the mean of the good unipolar channels.
    """
    units = np.asarray(units, float)
    carried = units[good]
    mean = carried / carried.sum() if carried.any() else carried
    # x - m in the frame of the kept channels' mean m.
    frame = np.eye(len(units))
    frame[:, good] -= np.outer(units, mean)
    cov = frame @ cov @ frame.T
    within = cov[..., good, :][..., good]
    scale = trace(within)[..., None, None] / len(good)
    # The frame leaves one direction without variance; filling it makes the system solvable and,
    # as nothing points there, changes nothing else.
    norm = carried @ carried
    fill = np.outer(carried, carried) / norm if norm else 0.0
    across = cov[..., good, :][..., bad]
    system = within + scale * (ridge * np.eye(len(good)) + fill)
    weights = np.swapaxes(np.linalg.solve(system, across), -1, -2)
    error = cov[..., bad, :][..., bad] - weights @ across
    weights = weights - (weights @ carried)[..., None] * mean
    return weights + np.outer(units[bad], mean), error


# ---------------------------------------------------------------------------------------------
# From the population to this recording


@dataclass(frozen=True, eq=False)
class Moments:
    """Covariances of windows that share the same good channels.

    Attributes
    ----------
    good : array of int
        The channels that are good there.
    n_windows : float
        How many windows (weighted).
    cov : array, shape (n_bands, n_good, n_good)
        Their covariance in each band, in whatever reference.
    """

    good: np.ndarray
    n_windows: float
    cov: np.ndarray


def expect_covariance(moments, prior, units, strength, n_iter):
    """Find the covariance that prior and incomplete data agree on.

    Expectation-maximisation for a Gaussian with missing channels under an inverse-Wishart prior.

    Parameters
    ----------
    moments : list of Moments
        The data, one entry a pattern of missing channels.
    prior : array, shape (n_bands, n, n)
        The prior's mode.
    units : array, shape (n,)
        1 for channels that carry the reference.
    strength : float
        How many samples the prior is worth.
    n_iter : int
        Number of iterations; one is exact where a single pattern is all there is.

    Returns
    -------
    cov : array, shape (n_bands, n, n)
        The covariance.
    """
    if not moments:
        return prior
    views = []
    for m in moments:
        basis = np.zeros((len(m.good), prior.shape[-1]))
        inner = contrast_basis(units[m.good])
        basis = basis[: len(inner)]
        basis[:, m.good] = inner
        heard = trace(m.cov) > 0  # not in a band above the Nyquist frequency
        dof = (degrees_of_freedom(m.n_windows) * heard)[:, None, None]
        views.append((basis, inner @ m.cov @ inner.T, dof))
    cov = prior
    for _ in range(n_iter if len(views) > 1 else 1):
        total = strength * prior
        count = strength
        for basis, seen, dof in views:
            total = total + dof * complete_covariance(cov, basis, seen)
            count = count + dof
        cov = total / count
    return cov


def stein_divergence(covs, target):
    """Compare covariances with a target, whatever their scale.

    Parameters
    ----------
    covs : array, shape (..., n, n)
        Positive definite candidates.
    target : array, shape (n, n)
        A covariance, which may be singular.

    Returns
    -------
    divergence : array, shape (...)
        Stein's loss for the best scale, per dimension, up to a constant of the target.
    """
    n = target.shape[-1]
    log_det = np.linalg.slogdet(covs)[1]
    fit = trace(np.linalg.solve(covs, np.broadcast_to(target, covs.shape)))
    return log_det / n + np.log(fit / n)


def adapt_covariance(
    prior,
    rows,
    own,
    units,
    known,
    moments,
    *,
    power=1.0,
    complete=None,
    max_contrasts=_MAX_CONTRASTS,
):
    """Fit the population prior to a recording.

    The library is mixed so that it fits the recording's own covariance over the good channels, and
    the mixture is updated by the recording's data.

    Parameters
    ----------
    prior : Prior
        The population prior.
    rows, own, units, known : array
        What :func:`mne_gram.covariance._prior.channel_rows` returned.
    moments : list of Moments
        The recording's own clean data.
    power : float
        Variance of a channel, which sets the size where there are no moments.
    complete : callable | None
        Takes the place of the library: called with a covariance a band of some channels and their
        numbers, it returns one of the 114 electrodes.
    max_contrasts : int
        In how many directions the library is compared with the recording, at most.

    Returns
    -------
    cov : array, shape (n_bands, n_channels, n_channels)
        One covariance a band, in volts squared where the moments are.
    """
    population = rows @ prior.population @ rows.T + own
    if not moments:
        return power * _TYPICAL_SHARES[:, None, None] * population
    strength = _STRENGTH * len(rows)
    scale = _fit_scale(population, units, moments, known)
    first = expect_covariance(moments, scale * population, units, strength, n_iter=2)
    seen = np.unique(np.concatenate([m.good for m in moments]))
    good = seen[known[seen]]
    mixed = population
    if len(good) > 2 and complete is not None:
        electrodes = complete(first[:, good][:, :, good], good)
        size = trace(electrodes)[:, None, None] / electrodes.shape[-1]
        mixed = rows @ (electrodes / np.where(size > 0, size, 1.0)) @ rows.T + own
    elif len(good) > 2:
        total = population[:, good][:, :, good].sum(axis=0)
        view = _main_contrasts(total, units[good], max_contrasts)
        target = view @ first[:, good][:, :, good] @ view.T
        onto = (view @ rows[good]).astype(prior.library.dtype)
        candidates = onto @ prior.library @ onto.T + view @ own[np.ix_(good, good)] @ view.T
        # Electrodes of one place, and rings of derivations, leave directions without variance.
        candidates = _ridged(candidates, _RIDGE)
        weights = mix_library(candidates, target, prior.weights)
        bands = zip(weights, prior.library.swapaxes(0, 1), strict=True)
        electrodes = np.array([np.tensordot(weight, covs, axes=1) for weight, covs in bands])
        electrodes = (1 - _POPULATION) * electrodes + _POPULATION * prior.population
        mixed = rows @ electrodes @ rows.T + own
    scale = _fit_scale(mixed, units, moments, known)
    return expect_covariance(moments, scale * mixed, units, strength, n_iter=3)


def _main_contrasts(cov, units, n_most):
    """Return the directions in which channels are compared: the largest that a reference leaves."""
    basis = contrast_basis(units)
    if len(basis) <= n_most:
        return basis
    vectors = np.linalg.eigh(basis @ cov @ basis.T)[1]
    return vectors[:, -n_most:].T @ basis


def mix_library(candidates, target, weights):
    """Mix covariances so that a Gaussian with their sum fits what was seen.

    Parameters
    ----------
    candidates : array, shape (n_recordings, n_bands, n, n)
        Positive definite covariances.
    target : array, shape (n_bands, n, n)
        What was seen, of any scale. Bands that are 0 have no say.
    weights : array, shape (n_recordings,)
        How much each counts beforehand.

    Returns
    -------
    weights : array, shape (n_bands, n_recordings)
        The weights, which sum to 1 in each band.

    Notes
    -----
    Stein's loss of each candidate alone gives the first weights. The likelihood of the mixture is
    then increased by the multiplicative steps of Zhou, Hu, Zhou and Lange (2019), MM algorithms for
    variance components models, Journal of Computational and Graphical Statistics 28, 350-361. They
    end before they converge, which keeps the weights near the first ones.
    """
    n_recordings, n_bands, n = candidates.shape[:3]
    heard = np.flatnonzero(trace(target) > 0)
    loss = np.mean([stein_divergence(candidates[:, b], target[b]) for b in heard], axis=0)
    weights = weights * np.exp(-_SHARPNESS * (loss - loss.min()))
    flat = candidates[:, heard].swapaxes(0, 1).reshape(len(heard), n_recordings, n * n)
    flat, target = flat.astype(float), target[heard]
    found = np.repeat(weights[None] / weights.sum(), len(heard), axis=0)
    for step in range(_N_SHARED + (_N_OWN if n >= _MIN_CONTRASTS else 0)):
        mixed = (found[:, None] @ flat).reshape(len(heard), n, n)
        inverse = np.linalg.inv(mixed)
        inverse = (inverse + np.swapaxes(inverse, -1, -2)) / 2
        # Only shapes are compared: the sizes of the bands are fitted later.
        seen = inverse @ target @ inverse * (n / trace(inverse @ target))[:, None, None]
        gain = (flat @ seen.reshape(len(heard), n * n, 1))[..., 0]
        cost = (flat @ inverse.reshape(len(heard), n * n, 1))[..., 0]
        if step < _N_SHARED:
            gain, cost = gain.sum(axis=0), cost.sum(axis=0)
        found = found * np.sqrt(gain / cost)
        found /= found.sum(axis=1, keepdims=True)
    weights = np.repeat(found.mean(axis=0)[None], n_bands, axis=0)
    weights[heard] = found
    return weights


def _fit_scale(cov, units, moments, known):
    """Return the factor a band that brings a covariance to the size of the data."""
    found = expected = 0.0
    for m in moments:
        keep = known[m.good] if known[m.good].sum() > 1 else np.ones(len(m.good), bool)
        good = m.good[keep]
        inner = contrast_basis(units[good])
        found = found + m.n_windows * trace(inner @ m.cov[:, keep][:, :, keep] @ inner.T)
        expected = expected + m.n_windows * trace(inner @ cov[:, good][:, :, good] @ inner.T)
    factor = found / expected
    # A band that the data do not hold, above the Nyquist frequency or too slow for short epochs,
    # gets the size that the nearest band suggests.
    held = np.flatnonzero(factor > 0)
    if not len(held):
        return np.ones((N_BANDS, 1, 1))
    nearest = held[np.abs(np.arange(N_BANDS)[:, None] - held).argmin(axis=1)]
    return (factor[nearest] * _TYPICAL_SHARES / _TYPICAL_SHARES[nearest])[:, None, None]
