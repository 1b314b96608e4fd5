# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files of priors: what a prior was estimated from, without its library, which follows from that.

Anybody may have made a file, so all of it is checked before it is used.
"""

from pathlib import Path

import numpy as np
from mne.utils import _validate_type

from .. import __version__
from .._formats import Member, read_npz, staged
from ..montage import ELECTRODES
from ._bands import N_BANDS

_VERSION = 1
_MOST_RECORDINGS = 4096
_MAX_BYTES = 2**28
_MOST_TEXT = 200  # characters
_MIN_CHANNELS = 3
# The least eigenvalue over the largest: files have 16-bit floats, which rounds rank-deficient
# covariances to slightly indefinite ones.
_ROUNDING = 1e-3
_N = len(ELECTRODES)
_PACKED = _N * (_N + 1) // 2

_PARTS = dict(
    population=Member("f", 2, (N_BANDS, _PACKED), finite=True),
    weights=Member("f", 1, finite=True),
    kernel=Member("f", 1, finite=True),
)
_MEMBERS = _PARTS | dict(
    version=Member("iu", 0, optional=True),
    made_by=Member("U", 0, optional=True),
    covs=Member("f", 1, finite=True),
    channels=Member("iu", 1),
    n_channels=Member("iu", 1),
    sources=Member("U", 2, (None, 3)),
    n_cohort=Member("iu", 0, optional=True),
)
_MEMBERS |= {f"base_{k}": member._replace(optional=True) for k, member in _PARTS.items()}


def pack_symmetric(matrices):
    """Keep the upper triangles, shape (..., n, n) to (..., n * (n + 1) / 2)."""
    return matrices[(..., *np.triu_indices(matrices.shape[-1]))]


def unpack_symmetric(packed, n):
    """Undo :func:`pack_symmetric`."""
    matrices = np.zeros((*packed.shape[:-1], n, n), packed.dtype)
    rows, cols = np.triu_indices(n)
    matrices[..., rows, cols] = packed
    matrices[..., cols, rows] = packed
    return matrices


# ---------------------------------------------------------------------------------------------
# Writing


def write_prior_file(prior, fname, *, overwrite):
    """Write a Prior, completely or not at all."""
    _validate_type(fname, "path-like", "fname")
    fname = Path(fname)
    if fname.suffix != ".npz":
        raise ValueError(f"The file name must end in .npz, got {fname.name}.")
    arrays = dict(
        version=np.array(_VERSION),
        made_by=np.array(f"mne_gram {__version__}"),
        n_cohort=np.array(prior.n_cohort),
        **pack_recordings(prior.recordings),
        **_pack_parts(prior),
    )
    if prior.base is not None:
        arrays |= {f"base_{name}": part for name, part in _pack_parts(prior.base).items()}
    with staged(fname, overwrite) as path:
        np.savez_compressed(path, **arrays)


def _pack_parts(prior):
    """Return the arrays that do not belong to single recordings."""
    population = pack_symmetric(prior.population).astype(np.float32)
    return dict(population=population, weights=prior.weights, kernel=prior.kernel)


def pack_recordings(recordings):
    """Return the arrays of recordings, of different numbers of channels, laid end to end."""
    return dict(
        covs=np.concatenate([pack_symmetric(r.cov).ravel() for r in recordings]).astype(np.float16),
        channels=np.concatenate([r.channels for r in recordings]).astype(np.uint8),
        n_channels=np.array([len(r.channels) for r in recordings]),
        sources=np.array([r.source for r in recordings]),
    )


# ---------------------------------------------------------------------------------------------
# Reading


def read_prior_file(fname):
    """Return the arrays of a file after a check of all of them, and what `unpack_recordings` does.

    Raises FileNotFoundError if there is no such file, and ValueError if it is not a valid prior.
    """
    fname = Path(fname)
    arrays = read_npz(fname, _MEMBERS, max_bytes=_MAX_BYTES)
    version = int(arrays.pop("version", _VERSION))
    if version != _VERSION:
        raise _refuse(
            fname,
            f"its format is version {version}, this mne_gram reads version {_VERSION} "
            f"(the file was made by {str(arrays.get('made_by', 'an unknown version'))[:60]!r})",
            "Update mne_gram, or fit the prior again",
        )
    recordings = unpack_recordings(fname, arrays)
    n = len(recordings)
    n_cohort = int(arrays.get("n_cohort", 0))
    if not 0 <= n_cohort <= n:
        raise _refuse(fname, f"n_cohort is {n_cohort}, expected 0 to {n}, the recordings")
    base = {name for name in arrays if name.startswith("base_")}
    if base and len(base) < len(_PARTS):
        raise _refuse(fname, f"the base has only {', '.join(sorted(base))}")
    if base and not 0 < n_cohort < n:
        raise _refuse(fname, f"it has a base, but {n_cohort} of {n} recordings are the cohort's")
    parts = _check_parts(fname, arrays, "", n)
    parts["base"] = _check_parts(fname, arrays, "base_", n - n_cohort) if base else None
    return dict(parts, recordings=recordings, n_cohort=n_cohort)


def _refuse(fname, found, cure="Read a file that Prior.save wrote, or fit the prior again"):
    """Return the error about a file."""
    return ValueError(f"{fname} is not a valid prior: {found}. {cure}.")


def _check_parts(fname, arrays, prefix, n_recordings):
    """Return population (n_bands, 114, 114), weights and kernel if they are valid."""
    population, weights, kernel = (arrays[prefix + name].astype(float) for name in _PARTS)
    if weights.shape != (n_recordings,) or not (weights > 0).all():
        raise _refuse(
            fname,
            f"{prefix}weights has the shape {weights.shape} and the least value "
            f"{weights.min(initial=np.inf):g}, expected ({n_recordings},) and positive values",
        )
    if not 0 < len(kernel) <= _N or not (kernel >= 0).all() or not 0 < kernel.sum() < 1e6:
        raise _refuse(fname, f"{prefix}kernel does not have 1 to {_N} coefficients of at least 0")
    population = unpack_symmetric(population, _N)
    _check_covariance(fname, population, f"{prefix}population")
    return dict(population=population, weights=weights, kernel=kernel)


def unpack_recordings(fname, arrays):
    """Return the source, channels (n,) and covariances (n_bands, n, n) of each recording."""
    n_channels, sources = arrays["n_channels"].astype(int), arrays["sources"]
    n = len(n_channels)
    if not 0 < n <= _MOST_RECORDINGS or len(sources) != n:
        raise _refuse(
            fname,
            f"it has {n} recordings and {len(sources)} sources, expected as many sources as "
            f"recordings, and 1 to {_MOST_RECORDINGS} of them",
        )
    if sources.dtype.itemsize > 4 * _MOST_TEXT:
        raise _refuse(fname, f"names in sources are longer than {_MOST_TEXT} characters")
    if not (_MIN_CHANNELS <= n_channels.min() and n_channels.max() <= _N):
        raise _refuse(
            fname,
            f"a recording has {n_channels.min()} to {n_channels.max()} channels, expected "
            f"{_MIN_CHANNELS} to {_N}",
        )
    sizes = N_BANDS * n_channels * (n_channels + 1) // 2
    for name, size in (("channels", n_channels.sum()), ("covs", sizes.sum())):
        if len(arrays[name]) != size:
            raise _refuse(fname, f"{name} has {len(arrays[name])} values, expected {size}")
    channels = np.split(arrays["channels"].astype(int), np.cumsum(n_channels)[:-1])
    # In single precision, which holds the values of the file exactly.
    covs = np.split(arrays["covs"].astype(np.float32), np.cumsum(sizes)[:-1])
    found = []
    for source, index, cov in zip(sources.tolist(), channels, covs, strict=True):
        what = f"recording {' / '.join(source)}"
        if len(set(index.tolist())) < len(index) or not (0 <= index.min() <= index.max() < _N):
            raise _refuse(fname, f"{what} has electrodes twice, or numbers that are not 0 to 113")
        cov = unpack_symmetric(cov.reshape(N_BANDS, -1), len(index))
        _check_covariance(fname, cov, what)
        found.append((tuple(source), index, cov))
    return found


def _check_covariance(fname, cov, what):
    """Raise unless covariances (n_bands, n, n) are positive semi-definite, of mean variance 1."""
    variance = np.trace(cov, axis1=1, axis2=2) / cov.shape[-1]
    if not np.allclose(variance, 1.0, atol=0.05):
        raise _refuse(
            fname,
            f"{what} has mean variances from {variance.min():.3g} to {variance.max():.3g}, "
            "expected 1",
        )
    try:  # if this succeeds, it does more quickly than eigenvalues
        np.linalg.cholesky(cov + _ROUNDING * np.eye(cov.shape[-1]) / 2)
        return
    except np.linalg.LinAlgError:
        pass
    values = np.linalg.eigvalsh(cov)
    if (values[:, 0] < -_ROUNDING * values[:, -1]).any():
        raise _refuse(fname, f"the covariance of {what} is not positive semi-definite")
