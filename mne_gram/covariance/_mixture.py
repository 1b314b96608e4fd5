# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Mixing a prior's library so that it resembles a recording."""

from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from ._bands import N_BANDS
from ._conditional import (
    REGULARISATION,
    contrast_basis,
    expect_covariance,
    trace,
    update_covariance,
)

# How sharply the library is weighted by fit (per degree of freedom) at first; in how many steps the
# weights are improved, first for all bands alike, then for each (of fewer contrasts than that a
# single band says too little); and the population's share in the mixture. All but the number of
# contrasts were chosen on the training subjects, each predicted by the others.
_SHARPNESS = 10.0
_N_SHARED, _N_OWN = 20, 30
_MIN_CONTRASTS = 4
_POPULATION = 0.1
# How the power of EEG is spread over the bands, for those that a recording does not contain.
_TYPICAL_SHARES = np.array([0.55, 0.13, 0.17, 0.12, 0.03])
_MAX_CONTRASTS = 64  # more do not improve the comparison of recordings
# Of a larger library, as many recordings are mixed that resemble the data most in few contrasts.
_MAX_MIXED, _FIRST_CONTRASTS = 64, 16
_RIDGE = 1e-3  # of the mean variance: keeps covariances of the library comparable


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
    strength = REGULARISATION[0][0] * len(rows)
    scale = _fit_scale(population, carries_reference, moments, known)
    first = expect_covariance(moments, scale * population, carries_reference, strength, n_iter=2)
    seen = np.unique(np.concatenate([m.good for m in moments]))
    good = seen[known[seen]]
    mixed, weights = population, None
    if len(good) > 2 and complete is not None:
        electrodes = complete(first[:, good][:, :, good], good)
        size = trace(electrodes)[:, None, None] / electrodes.shape[-1]
        mixed = rows @ (electrodes / np.where(size > 0, size, 1.0)) @ rows.T + own
    elif len(good) > 2 and len(prior.weights):
        total = population[:, good][:, :, good].sum(axis=0)
        contrasts = _find_contrasts(total, carries_reference[good])
        view = _View(rows[good], own[np.ix_(good, good)], first[:, good][:, :, good], contrasts)
        weights = _weigh_library(prior, view, max_contrasts or _MAX_CONTRASTS)
        electrodes = prior._completed.add_up(weights)
        electrodes = (1 - _POPULATION) * electrodes + _POPULATION * prior.population
        mixed = rows @ electrodes @ rows.T + own
    scale = _fit_scale(mixed, carries_reference, moments, known)
    return Mixture(scale * mixed, weights)


def adapt_covariance(prior, places, moments, **kwargs):
    """Adapt the prior to a recording: `mix_covariance`, then `update_covariance`."""
    mixed = mix_covariance(prior, places, moments, **kwargs).cov
    return update_covariance(mixed, places.carries_reference, moments)


def _fit_scale(cov, carries_reference, moments, known):
    """Return the factor per band that scales a covariance to the size of the data."""
    found = expected = 0.0
    for m in moments:
        keep = known[m.good] if known[m.good].sum() > 1 else np.ones(len(m.good), bool)
        kept, good = np.flatnonzero(keep), m.good[keep]
        carries = carries_reference[good]
        found = found + m.n_windows * _contrast_trace(m.cov, kept, carries)
        expected = expected + m.n_windows * _contrast_trace(cov, good, carries)
    factor = found / expected
    # A band that the data do not contain, above the Nyquist frequency or too slow for short epochs,
    # gets the size that the nearest band suggests.
    present = np.flatnonzero(factor > 0)
    if not len(present):
        return np.ones((N_BANDS, 1, 1))
    nearest = present[np.abs(np.arange(N_BANDS)[:, None] - present).argmin(axis=1)]
    return (factor[nearest] * _TYPICAL_SHARES / _TYPICAL_SHARES[nearest])[:, None, None]


def _contrast_trace(cov, channels, carries_reference):
    """Return the variance (n_bands,) that some channels have without their reference."""
    reference = np.zeros(cov.shape[-1])
    reference[channels] = carries_reference / max(np.linalg.norm(carries_reference), 1)
    total = np.einsum("bii->bi", cov)[:, channels].sum(axis=1)
    return total - cov @ reference @ reference


# ---------------------------------------------------------------------------------------------
# Weights of a library


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
    inverse, n = np.array(matrices, float, order="C"), matrices.shape[-1]
    diagonals = np.empty((len(matrices), n))
    for number, matrix in enumerate(inverse):
        # Transposed, it is in LAPACK's order and can be overwritten: upper triangles remain.
        factor, failed = dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        if failed:  # rounding made it indefinite
            matrix[:] = np.linalg.inv(matrices[number])
            diagonals[number] = np.exp(np.linalg.slogdet(matrices[number])[1] / (2 * n))
            continue
        diagonals[number] = matrix.diagonal()
        dpotri(factor, lower=1, overwrite_c=1)
    lower = np.tri(n, k=-1, dtype=bool)
    inverse = np.where(lower, np.swapaxes(inverse, -1, -2), inverse)
    return inverse, 2 * np.log(diagonals).sum(axis=1)


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

    def compare(self, library, numbers, n_most):
        """Return covariances of the largest contrasts: of the library, and of the recording."""
        basis = self.contrasts[-n_most:]
        candidates = library.project(basis @ self.rows, numbers)
        candidates += (basis @ self.own @ basis.T).astype(candidates.dtype)
        # Electrodes at one position, and rings of derivations, leave directions without variance.
        diagonal = np.einsum("...ii->...i", candidates)
        diagonal += _RIDGE * diagonal.mean(axis=-1, keepdims=True)
        return candidates, basis @ self.cov @ basis.T


def _weigh_library(prior, view, n_most):
    """Return weights (n_bands, n_recordings); all but the nearest recordings get none."""
    near = np.arange(len(prior.weights))
    if len(near) > _MAX_MIXED:
        compared = view.compare(prior._completed, near, _FIRST_CONTRASTS)
        rating = _rate_library(*compared, prior.weights)
        near = np.sort(np.argsort(-rating, kind="stable")[:_MAX_MIXED])
    weights = np.zeros((N_BANDS, len(prior.weights)))
    compared = view.compare(prior._completed, near, n_most)
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
    n_bands, n = candidates.shape[1:3]
    present = np.flatnonzero(trace(target) > 0)
    weights = np.exp(_rate_library(candidates, target, weights))
    flat = candidates[:, present].swapaxes(0, 1).reshape(len(present), -1, n * n)
    target = target[present]
    found = np.repeat(weights[None] / weights.sum(), len(present), axis=0)
    for step in range(_N_SHARED + (_N_OWN if n >= _MIN_CONTRASTS else 0)):
        mixed = found.astype(flat.dtype)[:, None] @ flat
        inverse, _ = _invert(mixed.reshape(target.shape))
        # Only shapes are compared: the sizes of the bands are fitted later.
        fit = inverse @ target
        seen = fit @ inverse * (n / trace(fit))[:, None, None]
        both = np.stack([seen, inverse], axis=1, dtype=flat.dtype).reshape(len(present), 2, n * n)
        gain, cost = np.moveaxis(both @ flat.swapaxes(1, 2), 1, 0)
        if step < _N_SHARED:
            gain, cost = gain.sum(axis=0), cost.sum(axis=0)
        found = found * np.sqrt(gain / cost)
        found /= found.sum(axis=1, keepdims=True)
    weights = np.repeat(found.mean(axis=0)[None], n_bands, axis=0)
    weights[present] = found
    return weights
