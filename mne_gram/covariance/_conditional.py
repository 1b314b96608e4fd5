# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The conditional Gaussian: pure linear algebra of covariances, one per frequency band.

Nothing depends on the reference: what all unipolar channels share is subtracted first and added
again in the end.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from ._bands import N_BANDS, degrees_of_freedom

# How sharply the library is weighted by fit (per degree of freedom) at first; in how many steps the
# weights are improved, first for all bands alike, then for each (of fewer contrasts than that a
# single band says too little); and the population's share in the mixture. All but the number of
# contrasts were chosen on the training subjects, each predicted by the others.
_SHARPNESS = 10.0
_N_SHARED, _N_OWN = 20, 30
_MIN_CONTRASTS = 4
_POPULATION = 0.1
# How many samples of the recording's own data, per channel, weigh as much as the prior, and the
# noise of each channel that the covariance contains, as a share of the mean variance. The first
# pair is the default; recordings with near-exact linear dependence between channels choose others.
_REGULARISATION = ((0.5, 1e-3), (2.0, 1e-3), (0.1, 1e-4), (0.02, 1e-5), (4e-3, 1e-6), (8e-4, 1e-7))
# How the power of EEG is spread over the bands, for those that a recording does not contain.
_TYPICAL_SHARES = np.array([0.55, 0.13, 0.17, 0.12, 0.03])
MIN_GOOD = 2  # good channels: one as the reference, one to learn from
_MAX_CONTRASTS = 64  # more do not improve the comparison of recordings
# Of a larger library, as many recordings are mixed that resemble the data most in few contrasts.
_MAX_MIXED, _FIRST_CONTRASTS = 64, 16
_RIDGE = 1e-3  # of the mean variance: keeps covariances of the library comparable
_TINY = 1e-9  # of the mean variance: keeps systems solvable


# ---------------------------------------------------------------------------------------------
# Linear algebra of one covariance


def contrast_basis(carries_reference):
    """Return an orthonormal basis of what is left without the reference, shape (n - 1 or n, n).

    Its rows are orthogonal to ``carries_reference``: 1 per channel, 0 for bipolar derivations.
    """
    carries_reference = np.asarray(carries_reference, float)
    n = len(carries_reference)
    if not carries_reference.any():
        return np.eye(n)
    # The Householder reflection that takes the vector onto the first axis: its other rows.
    v = carries_reference / np.linalg.norm(carries_reference)
    v[0] += 1.0
    return (np.eye(n) - np.outer(v, v) * (2 / (v @ v)))[1:]


def complete_covariance(prior, basis, cov, shrinkage=0.0):
    """Update the covariance ``prior`` of x, given that ``basis @ x`` has the covariance ``cov``.

    Shapes are (..., n, n) for ``prior``, (q, n) for ``basis`` and (..., q, q) for ``cov``, of which
    ``shrinkage`` is the share that the prior's own expectation replaces.
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


def interpolation_operators(cov, carries_reference, good, bad, ridge=_TINY):
    """Return weights (..., n_bad, n_good) that estimate bad channels, and the error's covariance.

    Rows of unipolar channels sum to 1, so the reference passes through.
    """
    carries_reference = np.asarray(carries_reference, float)
    carried = carries_reference[good]
    mean = carried / carried.sum() if carried.any() else carried
    # x - m in the frame of the kept channels' mean m.
    frame = np.eye(len(carries_reference))
    frame[:, good] -= np.outer(carries_reference, mean)
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
    return weights + np.outer(carries_reference[bad], mean), error


def find_precision(cov, carries_reference, ridge=_TINY):
    """Invert a covariance (..., n, n) independently of the reference.

    ``precision @ carries_reference`` is 0. ``(precision @ x)[i] / precision[i, i]`` is the error of
    predicting channel i from all others, and ``1 / precision[i, i]`` the expected square of it.
    """
    ones = np.asarray(carries_reference, float)
    n = len(ones)
    frame = np.eye(n) - np.outer(ones, ones) / max(ones.sum(), 1)
    cov = frame @ cov @ frame.T
    scale = trace(cov)[..., None, None] / n
    # No variance is left along ones: any variance there makes the matrix invertible.
    inverse = np.linalg.inv(cov + scale * (ridge * np.eye(n) + np.outer(ones, ones) / n))
    if not ones.any():
        return inverse
    along = inverse @ ones
    return inverse - along[..., :, None] * along[..., None, :] / (along @ ones)[..., None, None]


def precision_operators(precision, good, bad):
    """Do what `interpolation_operators` does, from what `find_precision` returns of all channels.

    Fast where few channels are bad. All channels are either good or bad.
    """
    own = precision[..., bad[:, None], bad]
    error = np.linalg.inv(own)
    return -error @ precision[..., bad[:, None], good], error


# ---------------------------------------------------------------------------------------------
# From the population to this recording


@dataclass(frozen=True, eq=False)
class Moments:
    """Covariances of windows that share the same good channels.

    ``good`` are these channels, ``n_windows`` is the (weighted) number of windows, and ``cov`` is
    their covariance in each band, in any reference, shape (n_bands, n_good, n_good). ``halves``
    are the same of two halves of the windows, shape (2, n_bands, n_good, n_good), or None.
    """

    good: np.ndarray
    n_windows: float
    cov: np.ndarray
    halves: np.ndarray | None = None


def expect_covariance(moments, prior, carries_reference, strength, n_iter):
    """Find the covariance that prior and incomplete data agree on, shape (n_bands, n, n).

    EM under an inverse-Wishart prior worth ``strength`` samples, a number or one per band
    (n_bands, 1, 1); exact for one missing pattern.
    """
    if not moments:
        return prior
    views = []
    for m in moments:
        basis = np.zeros((len(m.good), prior.shape[-1]))
        inner = contrast_basis(carries_reference[m.good])
        basis = basis[: len(inner)]
        basis[:, m.good] = inner
        present = trace(m.cov) > 0  # not in a band above the Nyquist frequency
        dof = (degrees_of_freedom(m.n_windows) * present)[:, None, None]
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
    """Compare covariances ``(..., n, n)`` with a target ``(n, n)``, whatever their scale.

    Returns Stein's loss for the best scale, per dimension, up to a constant of the target.
    """
    n = target.shape[-1]
    inverse, log_det = _invert(covs.reshape(-1, n, n))
    fit = (inverse * target).sum(axis=(1, 2))
    return (log_det / n + np.log(fit / n)).reshape(covs.shape[:-2])


def _invert(matrices):
    """Return inverses and log determinants of covariances (k, n, n); faster than by NumPy."""
    inverse, log_det = np.empty(matrices.shape), np.empty(len(matrices))
    for number, matrix in enumerate(matrices):
        factor, failed = dpotrf(matrix, lower=1)
        if failed:  # rounding made it indefinite
            inverse[number] = np.linalg.inv(matrix)
            log_det[number] = np.linalg.slogdet(matrix)[1]
            continue
        log_det[number] = 2 * np.log(np.diagonal(factor)).sum()
        inverse[number] = dpotri(factor, lower=1, overwrite_c=1)[0]  # its lower triangle
    lower = np.tri(matrices.shape[-1], k=-1, dtype=bool)
    return np.where(lower.T, np.swapaxes(inverse, -1, -2), inverse), log_det


class Mixture(NamedTuple):
    """What a prior says of a recording."""

    cov: np.ndarray  # (n_bands, n_channels, n_channels)
    weights: np.ndarray | None = None  # (n_bands, n_recordings) of the library, if it was mixed


def mix_covariance(prior, places, moments, *, power=1.0, complete=None, max_contrasts=None):
    """Mix the prior to resemble a recording; returns a Mixture.

    ``power`` is the variance of a channel without moments. ``complete`` takes the place of the
    library: it completes a covariance of some channels (given by number) to the 114 electrodes.
    """
    rows, own, carries_reference, known = places
    population = rows @ prior.population @ rows.T + own
    if not moments:
        return Mixture(power * _TYPICAL_SHARES[:, None, None] * population)
    strength = _REGULARISATION[0][0] * len(rows)
    scale = _fit_scale(population, carries_reference, moments, known)
    first = expect_covariance(moments, scale * population, carries_reference, strength, n_iter=2)
    seen = np.unique(np.concatenate([m.good for m in moments]))
    good = seen[known[seen]]
    mixed, weights = population, None
    if len(good) > 2 and complete is not None:
        electrodes = complete(first[:, good][:, :, good], good)
        size = trace(electrodes)[:, None, None] / electrodes.shape[-1]
        mixed = rows @ (electrodes / np.where(size > 0, size, 1.0)) @ rows.T + own
    elif len(good) > 2:
        total = population[:, good][:, :, good].sum(axis=0)
        contrasts = _find_contrasts(total, carries_reference[good])
        view = _View(rows[good], own[np.ix_(good, good)], first[:, good][:, :, good], contrasts)
        weights = _weigh_library(prior, view, max_contrasts or _MAX_CONTRASTS)
        used = weights.any(axis=0)
        library = prior.library[used].swapaxes(0, 1)
        electrodes = weights[:, None, used] @ library.reshape(N_BANDS, len(library[0]), -1)
        electrodes = electrodes.reshape(prior.population.shape)
        electrodes = (1 - _POPULATION) * electrodes + _POPULATION * prior.population
        mixed = rows @ electrodes @ rows.T + own
    scale = _fit_scale(mixed, carries_reference, moments, known)
    return Mixture(scale * mixed, weights)


def adapt_covariance(prior, places, moments, **kwargs):
    """Adapt the prior to a recording: `mix_covariance`, then `update_covariance`."""
    mixed = mix_covariance(prior, places, moments, **kwargs).cov
    return update_covariance(mixed, places.carries_reference, moments)


def update_covariance(mixed, carries_reference, moments, noise=0.0):
    """Update a covariance from `mix_covariance` by the recording's own, shape (n_bands, n, n).

    ``noise`` is added to each channel of the mixed covariance, as a share of the mean variance.
    """
    if noise:
        mixed = _ridged(mixed, noise)
    strength, floor = _choose_regularisation(mixed, carries_reference, moments)
    strength = strength * len(carries_reference)
    cov = expect_covariance(moments, mixed, carries_reference, strength, n_iter=3)
    size = np.median(np.einsum("bii->bi", cov), axis=1)
    return cov + floor * size[:, None, None] * np.eye(cov.shape[-1])


def _choose_regularisation(mixed, carries_reference, moments):
    """Choose how far to trust the recording's own covariance, by what half of it predicts.

    Returns two arrays (n_bands, 1, 1), as in ``_REGULARISATION``: those with which one half of the
    clean windows predicts each channel from the others best in the other half.
    """
    pairs = np.array(_REGULARISATION)
    chosen = np.zeros(N_BANDS, int)
    main = max(moments, key=lambda m: m.n_windows * len(m.good), default=None)
    if main is not None and main.halves is not None:
        basis = contrast_basis(carries_reference[main.good])
        seen = basis @ main.halves @ basis.T
        prior = basis @ mixed[:, main.good][:, :, main.good] @ basis.T
        dof = degrees_of_freedom(main.n_windows / 2)[:, None, None]
        errors = np.zeros((len(pairs), N_BANDS))
        for own, other in (seen, seen[::-1]):
            for k, (strength, floor) in enumerate(pairs):
                strength = strength * len(carries_reference)
                cov = (strength * prior + dof * own) / (strength + dof)
                errors[k] += _prediction_error(_ridged(cov, floor), other, basis)
        present = trace(main.cov) > 0
        chosen[present] = errors.argmin(axis=0)[present]
    return pairs[chosen].T[..., None, None]


def _prediction_error(cov, data, basis):
    """Return the log error of predicting each channel from the others, on average, (n_bands,).

    Covariances are those of contrasts, ``basis`` times the channels; one channel moves the mean of
    logarithms little.
    """
    inverse = np.linalg.inv(cov)
    inner = basis.T @ inverse
    scale = (inner * basis.T).sum(axis=-1)
    error = (inner @ data * inner).sum(axis=-1) / scale**2
    return np.log(np.maximum(error, 1e-300)).mean(axis=1)


def _find_contrasts(cov, carries_reference):
    """Return the directions that a reference leaves, the largest last, (n_contrasts, n)."""
    basis = contrast_basis(carries_reference)
    return np.linalg.eigh(basis @ cov @ basis.T)[1].T @ basis


class _View(NamedTuple):
    """Some channels of a recording, in which it is compared with a library."""

    rows: np.ndarray  # as in Places
    own: np.ndarray
    cov: np.ndarray  # (n_bands, n_channels, n_channels), the recording's
    contrasts: np.ndarray  # (n_contrasts, n_channels), from `_find_contrasts`

    def compare(self, library, n_most):
        """Return covariances of the largest contrasts: of the library, and of the recording."""
        basis = self.contrasts[-n_most:]
        onto = (basis @ self.rows).astype(library.dtype)
        # Electrodes at one position, and rings of derivations, leave directions without variance.
        candidates = _ridged(onto @ library @ onto.T + basis @ self.own @ basis.T, _RIDGE)
        return candidates, basis @ self.cov @ basis.T


def _weigh_library(prior, view, n_most):
    """Return weights (n_bands, n_recordings); all but the nearest recordings get none."""
    near = np.arange(len(prior.library))
    if len(near) > _MAX_MIXED:
        rating = _rate_library(*view.compare(prior.library, _FIRST_CONTRASTS), prior.weights)
        near = np.sort(np.argsort(-rating, kind="stable")[:_MAX_MIXED])
    weights = np.zeros((N_BANDS, len(prior.library)))
    compared = view.compare(prior.library[near], n_most)
    weights[:, near] = mix_library(*compared, prior.weights[near])
    return weights


def _rate_library(candidates, target, weights):
    """Return the log of the weight of each recording of a library, by its fit alone."""
    present = np.flatnonzero(trace(target) > 0)
    loss = np.mean([stein_divergence(candidates[:, b], target[b]) for b in present], axis=0)
    return np.log(weights) - _SHARPNESS * (loss - loss.min())


def mix_library(candidates, target, weights):
    """Mix covariances ``(n_recordings, n_bands, n, n)`` so that they fit ``(n_bands, n, n)``.

    Returns weights ``(n_bands, n_recordings)`` that sum to 1 in each band. Stein's loss of each
    candidate alone gives the first weights. The multiplicative steps of Zhou, Hu, Zhou and Lange
    (2019), MM algorithms for variance components models, Journal of Computational and Graphical
    Statistics 28, 350-361, then increase the likelihood; they end before they converge, which keeps
    the weights near the first ones. Bands in which the target is 0 are ignored.
    """
    n_recordings, n_bands, n = candidates.shape[:3]
    present = np.flatnonzero(trace(target) > 0)
    weights = np.exp(_rate_library(candidates, target, weights))
    flat = candidates[:, present].swapaxes(0, 1).reshape(len(present), n_recordings, n * n)
    flat, target = flat.astype(float), target[present]
    found = np.repeat(weights[None] / weights.sum(), len(present), axis=0)
    for step in range(_N_SHARED + (_N_OWN if n >= _MIN_CONTRASTS else 0)):
        mixed = (found[:, None] @ flat).reshape(len(present), n, n)
        inverse, _ = _invert(mixed)
        # Only shapes are compared: the sizes of the bands are fitted later.
        seen = inverse @ target @ inverse * (n / trace(inverse @ target))[:, None, None]
        both = np.stack([seen, inverse], axis=-1).reshape(len(present), n * n, 2)
        gain, cost = np.moveaxis(flat @ both, -1, 0)
        if step < _N_SHARED:
            gain, cost = gain.sum(axis=0), cost.sum(axis=0)
        found = found * np.sqrt(gain / cost)
        found /= found.sum(axis=1, keepdims=True)
    weights = np.repeat(found.mean(axis=0)[None], n_bands, axis=0)
    weights[present] = found
    return weights


def _fit_scale(cov, carries_reference, moments, known):
    """Return the factor per band that scales a covariance to the size of the data."""
    found = expected = 0.0
    for m in moments:
        keep = known[m.good] if known[m.good].sum() > 1 else np.ones(len(m.good), bool)
        good = m.good[keep]
        inner = contrast_basis(carries_reference[good])
        found = found + m.n_windows * trace(inner @ m.cov[:, keep][:, :, keep] @ inner.T)
        expected = expected + m.n_windows * trace(inner @ cov[:, good][:, :, good] @ inner.T)
    factor = found / expected
    # A band that the data do not contain, above the Nyquist frequency or too slow for short epochs,
    # gets the size that the nearest band suggests.
    present = np.flatnonzero(factor > 0)
    if not len(present):
        return np.ones((N_BANDS, 1, 1))
    nearest = present[np.abs(np.arange(N_BANDS)[:, None] - present).argmin(axis=1)]
    return (factor[nearest] * _TYPICAL_SHARES / _TYPICAL_SHARES[nearest])[:, None, None]
