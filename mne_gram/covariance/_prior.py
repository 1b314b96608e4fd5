# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The population prior: how the 114 electrodes covary in recordings of other subjects.

A channel is a linear functional of the potentials at these electrodes: one of them, a weighted sum
of them (an electrode between entries), or a difference (a bipolar derivation).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mne.utils import _validate_type

from ..montage import (
    BIPOLAR,
    ELECTRODES,
    INDEX,
    derivation_ends,
    electrode_positions,
    template_sphere,
)
from ._conditional import complete_covariance, contrast_basis, trace
from ._prior_file import read_prior_file, write_prior_file

_SAME_PLACE = 0.006  # metres: no farther apart than two fittings of one cap
# Variance that only an electrode between entries has, where their mean variance is 1.
_OWN_NOISE = 0.15
PRIOR_FILE = Path(__file__).parents[1] / "data" / "prior.npz"


@dataclass(frozen=True, eq=False)
class RecordingCovariance:
    """Covariance of one training recording at its own electrodes."""

    source: tuple  # data set, subject and file
    channels: np.ndarray  # (n,), montage indices
    cov: np.ndarray  # (n_bands, n, n), average reference, mean variance 1


@dataclass(frozen=True, eq=False)
class Prior:
    """Covariances of other subjects' recordings at the 114 electrodes.

    Attributes
    ----------
    population : array, shape (n_bands, 114, 114)
        The mean covariance, of mean variance 1.
    library : array, shape (n_recordings, n_bands, 114, 114)
        One covariance per recording, completed to all electrodes by the population's, and scaled
        like it.
    weights : array, shape (n_recordings,)
        The weight of each before it is compared with the recording at hand.
    kernel : array, shape (n_degrees,)
        Legendre coefficients of the covariance as a function of the angle between electrodes.
    recordings : tuple of RecordingCovariance
        The recordings of the library, as measured.
    base : Prior | None
        The prior that a cohort was added to, whose recordings come first in the library; None if
        there is no cohort, or nothing else.
    n_cohort : int
        The number of recordings that were measured for this prior, the last ones of the library.
    """

    population: np.ndarray
    library: np.ndarray
    weights: np.ndarray
    kernel: np.ndarray
    recordings: tuple
    base: "Prior | None" = None
    n_cohort: int = 0

    def save(self, fname, overwrite=False):
        """Save the prior, without pickles; :func:`mne_gram.read_prior` reads it.

        Parameters
        ----------
        fname : path-like
            The file to write, which ends in ``.npz``. It contains the base as well, and is
            written completely or not at all.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite=False``.
        """
        write_prior_file(self, fname, overwrite=overwrite)

    @property
    def sources(self):
        """Data set, subject and file of each recording, a tuple of tuples of str."""
        return tuple(r.source for r in self.recordings)


# ---------------------------------------------------------------------------------------------
# Channels as functionals of the 114 electrodes


def sphere_kernel(cosines, kernel):
    """Evaluate a covariance function of the angle, given by its Legendre coefficients."""
    return np.polynomial.legendre.legval(np.clip(cosines, -1, 1), kernel)


class Places(NamedTuple):
    """Channels as functionals of the potentials at the 114 electrodes."""

    rows: np.ndarray  # (n_channels, 114), weights of the electrodes
    own: np.ndarray  # (n_channels, n_channels) that they do not explain; their variance is 1
    carries_reference: np.ndarray  # 1 per channel, 0 for bipolar derivations
    known: np.ndarray  # whether name or position locate a channel


def channel_rows(cmap, prior):
    """Express the channels of a ChannelMap by the potentials at the 114 electrodes."""
    n = len(cmap.ch_names)
    rows = np.zeros((n, len(ELECTRODES)))
    own = np.zeros((n, n))
    carries_reference = np.ones(n)
    known = np.ones(n, bool)
    # An electrode that was matched from afar is not its entry: it is interpolated where it lies.
    between = [
        k
        for k in range(n)
        if cmap.how[k] in ("position", "none")
        and np.isfinite(cmap.positions[k]).all()
        and not cmap.distances[k] <= _SAME_PLACE
    ]
    for k, (name, entry) in enumerate(zip(cmap.ch_names, cmap.entries, strict=True)):
        ends = entry.split("-") if entry in BIPOLAR else derivation_ends(name)
        if k in between:
            continue
        if entry in ELECTRODES:
            rows[k, INDEX[entry]] = 1.0
        elif ends is not None:  # any derivation of two electrodes, the montage's 16 or another
            rows[k, INDEX[ends[0]]], rows[k, INDEX[ends[1]]] = 1.0, -1.0
            carries_reference[k] = 0.0
        else:
            known[k] = False
            own[k, k] = 1.0
    if between:
        rows[between], own[np.ix_(between, between)] = _krige(cmap.positions[between], prior.kernel)
    return Places(rows, own, carries_reference, known)


def _krige(positions, kernel):
    """Interpolate the electrodes' potentials at other positions; return weights and error."""
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
    return rows, missed / scale + _OWN_NOISE * np.eye(len(points))


# ---------------------------------------------------------------------------------------------
# The bundled prior


def complete_recording(recording, population, shrinkage=0.1):
    """Extend a recording's covariance to all electrodes, scaled as the population's is there.

    Returns ``(n_bands, 114, 114)``. ``shrinkage`` is the share of the population's covariance; it
    makes rank-deficient data regular.
    """
    inner = contrast_basis(np.ones(len(recording.channels)))
    basis = np.zeros((len(inner), len(ELECTRODES)))
    basis[:, recording.channels] = inner
    seen = inner @ recording.cov @ inner.T
    scale = trace(basis @ population @ basis.T) / trace(seen)
    return complete_covariance(population, basis, scale[:, None, None] * seen, shrinkage)


def assemble_prior(recordings, population, weights, kernel, base=None, n_cohort=0):
    """Make a prior of its parts (see `Prior` and `RecordingCovariance`)."""
    # Single precision: the library is 36 MB, and these are estimates of a few digits.
    library = np.array([complete_recording(r, population) for r in recordings], np.float32)
    return Prior(population, library, weights, kernel, tuple(recordings), base, n_cohort)


# ---------------------------------------------------------------------------------------------
# Files


def read_prior(fname):
    """Read a prior that was saved with ``prior.save``.

    Parameters
    ----------
    fname : path-like
        The file, which ends in ``.npz``.

    Returns
    -------
    prior : Prior
        The prior.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a prior, or its arrays are not valid: of another type, shape or version,
        not finite, covariances that are not positive semi-definite, weights that are not positive.

    Notes
    -----
    Nothing is unpickled, and sizes are checked before anything is unpacked, so a file from others
    can be read without risk.
    """
    _validate_type(fname, "path-like", "fname")
    parts = read_prior_file(fname)
    recordings = tuple(RecordingCovariance(*recording) for recording in parts.pop("recordings"))
    base = parts.pop("base")
    if base is not None:
        known = recordings[: len(recordings) - parts["n_cohort"]]
        base = assemble_prior(known, **base)
    return assemble_prior(recordings, **parts, base=base)


def load_prior(fname=None):
    """Load a population prior; the last ones stay in memory.

    Parameters
    ----------
    fname : path-like | None
        A file as for :func:`mne_gram.read_prior`; None for the prior in the package.

    Returns
    -------
    prior : Prior
        The prior. It is cached: do not write into its arrays.
    """
    path = Path(fname or PRIOR_FILE)
    if not path.is_file():
        return read_prior(path)  # which explains what is wrong
    state = path.stat()
    return _read_cached(path.resolve(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read_cached(path, *state):
    """Read a prior; ``state`` changes with the content of the file."""
    return read_prior(path)


def resolve_prior(prior):
    """Return the Prior that an argument means: a Prior, a file, or the bundled one."""
    _validate_type(prior, (Prior, "path-like", None), "prior", "a Prior, path-like or None")
    if isinstance(prior, Prior):
        return prior
    return load_prior(None if prior == "bundled" else prior)


def read_recordings(fname=None):
    """Return the RecordingCovariances that a prior was estimated from; None for the bundled one."""
    return list(load_prior(fname).recordings)
