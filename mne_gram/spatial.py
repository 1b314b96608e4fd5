# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The conditional Gaussian over electrodes, and the population prior that it starts from.

Signals are modelled as Gaussian with one covariance a frequency band. A channel is a linear
functional of the potentials at the 114 electrodes of the montage: one of them, a weighted sum of
them (an electrode between entries), or a difference (a bipolar derivation). Everything is free of
the reference: whatever is added to all unipolar channels alike is taken off first and put back.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ._bands import N_BANDS, degrees_of_freedom
from ._channel_names import derivation_ends
from .montage import BIPOLAR, ELECTRODES, INDEX, electrode_positions, template_sphere

__all__ = ["Prior", "adapt_covariance", "interpolation_operators", "load_prior"]

_PRIOR_FILE = Path(__file__).parent / "data" / "prior.npz"
# How sharply the library is weighted by fit (per degree of freedom), and how many samples of the
# recording's own data, per channel, weigh as much as the prior. Both chosen on the training
# subjects, half of them predicting the other half.
_SHARPNESS = 20.0
_STRENGTH = 0.5
# How the power of EEG is spread over the bands, for those that a recording does not tell of.
_TYPICAL_SHARES = np.array([0.55, 0.13, 0.17, 0.12, 0.03])
_MAX_CONTRASTS = 64  # more channels than that tell no better which recordings are alike
_RIDGE = 1e-3  # of the mean variance: keeps rank-deficient (ICA-cleaned) data solvable


@dataclass(frozen=True, eq=False)
class Prior:
    """Covariances of other people's recordings at the 114 electrodes.

    Attributes
    ----------
    population : array, shape (n_bands, 114, 114)
        The mean covariance, of mean variance 1.
    library : array, shape (n_recordings, n_bands, 114, 114)
        One covariance a recording, completed to all electrodes by the population's, and scaled like
        it.
    weights : array, shape (n_recordings,)
        How much each counts before a recording is looked at.
    kernel : array, shape (n_degrees,)
        Legendre coefficients of the covariance as a function of the angle between electrodes.
    sources : tuple of tuple of str
        Data set, subject and file of each recording.
    """

    population: np.ndarray
    library: np.ndarray
    weights: np.ndarray
    kernel: np.ndarray
    sources: tuple


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


def _trace(matrix):
    return np.trace(matrix, axis1=-2, axis2=-1)


def _ridged(matrix, ridge):
    n = matrix.shape[-1]
    return matrix + (ridge / n) * _trace(matrix)[..., None, None] * np.eye(n)


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
    scale = _trace(within)[..., None, None] / len(good)
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
# Channels as functionals of the 114 electrodes


def sphere_kernel(cosines, kernel):
    """Evaluate a covariance function of the angle, given by its Legendre coefficients."""
    return np.polynomial.legendre.legval(np.clip(cosines, -1, 1), kernel)


def channel_rows(cmap, prior):
    """Express channels by the potentials at the 114 electrodes.

    Parameters
    ----------
    cmap : ChannelMap
        What :func:`mne_gram.match_channels` found.
    prior : Prior
        The population prior.

    Returns
    -------
    rows : array, shape (n_channels, 114)
        The weights of the electrodes.
    own : array, shape (n_channels, n_channels)
        Covariance that the electrodes do not account for, where their mean variance is 1.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    known : array of bool, shape (n_channels,)
        Whether name or position tell where a channel is. The others start uncorrelated.
    """
    n = len(cmap.ch_names)
    rows = np.zeros((n, len(ELECTRODES)))
    own = np.zeros((n, n))
    units = np.ones(n)
    known = np.ones(n, bool)
    # An electrode that was matched from afar is not its entry: it is interpolated where it lies.
    between = [k for k in range(n) if cmap.how[k] in ("position", "none") and _located(cmap, k)]
    for k, (name, entry) in enumerate(zip(cmap.ch_names, cmap.entries, strict=True)):
        ends = entry.split("-") if entry in BIPOLAR else derivation_ends(name)
        if k in between:
            continue
        if entry in ELECTRODES:
            rows[k, INDEX[entry]] = 1.0
        elif ends is not None:  # any derivation of two electrodes, the montage's 16 or another
            rows[k, INDEX[ends[0]]], rows[k, INDEX[ends[1]]] = 1.0, -1.0
            units[k] = 0.0
        else:
            known[k] = False
            own[k, k] = 1.0
    if between:
        rows[between], own[np.ix_(between, between)] = _krige(cmap.positions[between], prior.kernel)
    return rows, own, units, known


def _located(cmap, k):
    return np.isfinite(cmap.positions[k]).all()


def _krige(positions, kernel):
    """Interpolate the electrodes' potentials at other places, and say what that misses."""
    origin, _ = template_sphere()
    places, index = np.unique(electrode_positions(), axis=0, return_index=True)
    places = places - origin
    points = positions - origin
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    free = np.r_[1e3 * kernel.sum(), kernel[1:]]  # weights then sum to one, as a reference demands
    within = sphere_kernel(places @ places.T, free) + 0.02 * np.eye(len(places))
    across = sphere_kernel(points @ places.T, free)
    weights = np.linalg.solve(within, across.T).T
    rows = np.zeros((len(points), len(ELECTRODES)))
    rows[:, index] = weights / weights.sum(axis=1, keepdims=True)
    missed = sphere_kernel(points @ points.T, free) - weights @ across.T
    scale = kernel.sum()
    return rows, missed / scale + 0.02 * np.eye(len(points))


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
        heard = _trace(m.cov) > 0  # not in a band above the Nyquist frequency
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
    fit = _trace(np.linalg.solve(covs, np.broadcast_to(target, covs.shape)))
    return log_det / n + np.log(fit / n)


def adapt_covariance(prior, rows, own, units, known, moments, *, power=1.0):
    """Fit the population prior to a recording.

    The library is weighted by how well each of its covariances fits the recording's own over the
    good channels (Stein's loss), and the weighted mean is updated by the recording's data.

    Parameters
    ----------
    prior : Prior
        The population prior.
    rows, own, units, known : array
        What :func:`channel_rows` returned.
    moments : list of Moments
        The recording's own clean data.
    power : float
        Variance of a channel, which sets the size where there are no moments.

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
    if len(good) > 2:
        view = _main_contrasts(population[:, good][:, :, good].sum(axis=0), units[good])
        target = view @ first[:, good][:, :, good] @ view.T
        onto = (view @ rows[good]).astype(prior.library.dtype)
        candidates = onto @ prior.library @ onto.T + view @ own[np.ix_(good, good)] @ view.T
        # Electrodes of one place, and rings of derivations, leave directions without variance.
        candidates = _ridged(candidates, _RIDGE)
        weights = _weigh_library(prior, candidates, target)
        mixed = rows @ np.tensordot(weights, prior.library, axes=1) @ rows.T + own
    scale = _fit_scale(mixed, units, moments, known)
    return expect_covariance(moments, scale * mixed, units, strength, n_iter=3)


def _main_contrasts(cov, units):
    """Return the directions in which channels are compared: the largest that a reference leaves."""
    basis = contrast_basis(units)
    if len(basis) <= _MAX_CONTRASTS:
        return basis
    vectors = np.linalg.eigh(basis @ cov @ basis.T)[1]
    return vectors[:, -_MAX_CONTRASTS:].T @ basis


def _weigh_library(prior, candidates, target):
    """Weigh recordings by how well their covariance fits, all bands together."""
    usable = np.flatnonzero(_trace(target) > 0)
    loss = np.mean([stein_divergence(candidates[:, b], target[b]) for b in usable], axis=0)
    weights = prior.weights * np.exp(-_SHARPNESS * (loss - loss.min()))
    return weights / weights.sum()


def _fit_scale(cov, units, moments, known):
    """Return the factor a band that brings a covariance to the size of the data."""
    found = expected = 0.0
    for m in moments:
        keep = known[m.good] if known[m.good].sum() > 1 else np.ones(len(m.good), bool)
        good = m.good[keep]
        inner = contrast_basis(units[good])
        found = found + m.n_windows * _trace(inner @ m.cov[:, keep][:, :, keep] @ inner.T)
        expected = expected + m.n_windows * _trace(inner @ cov[:, good][:, :, good] @ inner.T)
    factor = found / expected
    # A band that the data do not hold, above the Nyquist frequency or too slow for short epochs,
    # gets the size that the nearest band suggests.
    held = np.flatnonzero(factor > 0)
    if not len(held):
        return np.ones((N_BANDS, 1, 1))
    nearest = held[np.abs(np.arange(N_BANDS)[:, None] - held).argmin(axis=1)]
    return (factor[nearest] * _TYPICAL_SHARES / _TYPICAL_SHARES[nearest])[:, None, None]


# ---------------------------------------------------------------------------------------------
# The bundled prior


@dataclass(frozen=True, eq=False)
class Recording:
    """Covariance of one training recording at its own electrodes.

    Attributes
    ----------
    source : tuple of str
        Data set, subject and file.
    channels : array of int, shape (n,)
        Montage indices of its electrodes.
    cov : array, shape (n_bands, n, n)
        Covariance in each band, relative to the average of these electrodes, of mean variance 1.
    """

    source: tuple
    channels: np.ndarray
    cov: np.ndarray


def complete_recording(recording, population, shrinkage=0.1):
    """Extend a recording's covariance to all electrodes, as large as the population's there.

    Parameters
    ----------
    recording : Recording
        The recording.
    population : array, shape (n_bands, 114, 114)
        The covariance that says how the missing electrodes go with those there are.
    shrinkage : float
        Share of the population's covariance mixed in. It makes rank-deficient recordings regular.

    Returns
    -------
    cov : array, shape (n_bands, 114, 114)
        The covariance.
    """
    inner = contrast_basis(np.ones(len(recording.channels)))
    basis = np.zeros((len(inner), len(ELECTRODES)))
    basis[:, recording.channels] = inner
    seen = inner @ recording.cov @ inner.T
    scale = _trace(basis @ population @ basis.T) / _trace(seen)
    return complete_covariance(population, basis, scale[:, None, None] * seen, shrinkage)


@lru_cache(maxsize=2)
def load_prior(fname=None):
    """Load a population prior.

    Parameters
    ----------
    fname : path-like | None
        A file written by ``python -m mne_gram.training.prior``; None for the bundled one.

    Returns
    -------
    prior : Prior
        The prior. It is kept for the next call: do not write into its arrays.
    """
    with np.load(fname or _PRIOR_FILE, allow_pickle=False) as file:
        population = unpack_symmetric(file["population"].astype(float), len(ELECTRODES))
        weights, kernel = file["weights"].astype(float), file["kernel"].astype(float)
    return assemble_prior(read_recordings(fname), population, weights, kernel)


def read_recordings(fname=None):
    """Read the recordings that a prior was estimated from.

    Parameters
    ----------
    fname : path-like | None
        A file written by ``python -m mne_gram.training.prior``; None for the bundled one.

    Returns
    -------
    recordings : list of Recording
        Their covariances.
    """
    with np.load(fname or _PRIOR_FILE, allow_pickle=False) as file:
        sources = tuple(tuple(str(part) for part in row) for row in file["sources"])
        n_channels = file["n_channels"].astype(int)
        channels = np.split(file["channels"].astype(int), np.cumsum(n_channels)[:-1])
        sizes = N_BANDS * n_channels * (n_channels + 1) // 2
        covs = np.split(file["covs"].astype(float), np.cumsum(sizes)[:-1])
    return [
        Recording(source, index, unpack_symmetric(cov.reshape(N_BANDS, -1), len(index)))
        for source, index, cov in zip(sources, channels, covs, strict=True)
    ]


def assemble_prior(recordings, population, weights, kernel):
    """Make a prior of its parts (see :class:`Prior` and :class:`Recording`)."""
    # Single precision: the library is 36 MB, and these are estimates of a few digits.
    library = np.array([complete_recording(r, population) for r in recordings], np.float32)
    sources = tuple(r.source for r in recordings)
    return Prior(population, library, weights, kernel, sources)


def pack_symmetric(matrices):
    """Keep the upper triangles, shape (..., n, n) to (..., n * (n + 1) / 2)."""
    return matrices[(..., *np.triu_indices(matrices.shape[-1]))]


def unpack_symmetric(packed, n):
    """Undo :func:`pack_symmetric`."""
    matrices = np.zeros((*packed.shape[:-1], n, n))
    rows, cols = np.triu_indices(n)
    matrices[..., rows, cols] = packed
    matrices[..., cols, rows] = packed
    return matrices
