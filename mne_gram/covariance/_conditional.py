# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The conditional Gaussian: pure linear algebra of covariances, one per frequency band.

Nothing depends on the reference: what all unipolar channels share is subtracted first and added
again in the end.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from ._bands import N_BANDS, degrees_of_freedom

# How many samples of the recording's own data, per channel, weigh as much as the prior, and the
# noise of each channel that the covariance contains, as a share of the mean variance. The first
# pair is the default; recordings with near-exact linear dependence between channels choose others.
REGULARISATION = ((0.5, 1e-3), (2.0, 1e-3), (0.1, 1e-4), (0.02, 1e-5), (4e-3, 1e-6), (8e-4, 1e-7))
MIN_GOOD = 2  # good channels: one as the reference, one to learn from
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


def find_gain(prior, basis):
    """Return the weights (..., q, n) that predict x from ``basis @ x``, and its covariance."""
    seen = basis @ prior
    expected = seen @ basis.T
    return np.linalg.solve(add_ridge(expected, 1e-9), seen), expected


def trace(matrix):
    """Return the traces of matrices, shape (..., n, n) to (...)."""
    return np.trace(matrix, axis1=-2, axis2=-1)


def add_ridge(matrix, ridge):
    """Add a share of the mean variance to the diagonals of covariances (..., n, n)."""
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


def invert_parts(precision, bad):
    """Return the inverses of ``precision[:, bad, bad]``, from `find_precision`, (n, n_bad, n_bad).

    They are the covariances of the error of estimating bad channels from all others.
    """
    parts = precision[:, bad[:, None], bad]
    for part in parts.swapaxes(1, 2):  # as LAPACK stores it
        factor, failed = dpotrf(part, lower=1)
        # The upper triangle becomes 0.
        part[:] = np.tril(_invert_rounded(part)) if failed else dpotri(factor, lower=1)[0]
    parts = parts + parts.swapaxes(1, 2)
    diagonal = np.arange(len(bad))
    parts[:, diagonal, diagonal] /= 2
    return parts


def _invert_rounded(part):
    """Invert symmetric matrices (..., n, n) that rounding may have made singular or indefinite.

    The largest value of a precision is the inverse of its ridge, so no error gets larger than the
    typical variance of a channel.
    """
    values, vectors = np.linalg.eigh(part)
    values = np.maximum(values, _TINY * values[..., -1:])
    return vectors / values[..., None, :] @ np.swapaxes(vectors, -1, -2)


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
    fixed, count, views, hidden = strength * prior, strength, [], []
    for m in moments:
        present = trace(m.cov) > 0  # not in a band above the Nyquist frequency
        dof = (degrees_of_freedom(m.n_windows) * present)[:, None, None]
        seen = np.zeros(prior.shape)
        seen[:, m.good[:, None], m.good] = _subtract_reference(m.cov, carries_reference[m.good])
        fixed, count = fixed + dof * seen, count + dof
        hidden.append(_find_hidden(m.good, carries_reference))
        views.append((hidden[-1], seen, dof))
    hidden = np.concatenate(hidden, axis=1)
    borders = np.cumsum([len(own.T) for own, _, _ in views])[:-1]
    cov = prior
    for _ in range(n_iter if len(views) > 1 else 1):
        precision = np.linalg.inv(add_ridge(cov, _TINY))
        changes = []
        parts = np.split(precision @ hidden, borders, axis=-1)
        for along, (own, seen, dof) in zip(parts, views, strict=True):
            part = own.T @ along
            try:
                error = np.linalg.inv(part)
            except np.linalg.LinAlgError:
                error = _invert_rounded(part)
            gain = along @ error
            moved = seen @ gain
            within = error + np.swapaxes(gain, -1, -2) @ moved
            changes.append(dof * (own @ (within / 2) - moved))
        change = np.concatenate(changes, axis=-1) @ hidden.T
        cov = (fixed + change + np.swapaxes(change, -1, -2)) / count
    return cov


def _subtract_reference(cov, carries_reference):
    """Return covariances (n_bands, n, n) without what the reference adds to the channels."""
    unit = carries_reference / max(np.linalg.norm(carries_reference), 1)
    along = cov @ unit
    shared = along[..., :, None] * unit
    left = cov - shared - np.swapaxes(shared, -1, -2)
    return left + (along @ unit)[..., None, None] * np.outer(unit, unit)


def _find_hidden(good, carries_reference):
    """Return the directions of which good channels say nothing, (n, n_hidden).

    These are bad channels, and the reference of the good ones.
    """
    bad = np.ones(len(carries_reference), bool)
    bad[good] = False
    reference = np.where(bad, 0.0, carries_reference)
    return np.c_[np.eye(len(bad))[:, bad], reference[:, None][:, : int(reference.any())]]


def update_covariance(mixed, carries_reference, moments, noise=0.0):
    """Update a covariance from `mix_covariance` by the recording's own, shape (n_bands, n, n).

    ``noise`` is added to each channel of the mixed covariance, as a share of the mean variance.
    """
    if noise:
        mixed = add_ridge(mixed, noise)
    strength, floor = _choose_regularisation(mixed, carries_reference, moments)
    strength = strength * len(carries_reference)
    cov = expect_covariance(moments, mixed, carries_reference, strength, n_iter=3)
    size = np.median(np.einsum("bii->bi", cov), axis=1)
    return cov + floor * size[:, None, None] * np.eye(cov.shape[-1])


def _choose_regularisation(mixed, carries_reference, moments):
    """Choose how far to trust the recording's own covariance, by what half of it predicts.

    Returns two arrays (n_bands, 1, 1), as in ``REGULARISATION``: those with which one half of the
    clean windows predicts each channel from the others best in the other half.
    """
    pairs = np.array(REGULARISATION)
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
                errors[k] += _prediction_error(add_ridge(cov, floor), other, basis)
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
