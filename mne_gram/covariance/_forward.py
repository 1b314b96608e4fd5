# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How electrodes covary according to physics: covariances of cortical sources in a sphere."""

import hashlib
import io
from functools import lru_cache
from pathlib import Path

import mne
import numpy as np
from mne.utils import logger
from scipy.optimize import nnls

from ..montage import ELECTRODES, electrode_positions, template_sphere
from ._conditional import contrast_basis
from ._prior_file import pack_symmetric, unpack_symmetric

FORWARD_FILE = Path(__file__).parents[1] / "data" / "forward.npy"
# As benchmarks/make_forward.py writes and prints them.
_SHA256 = "f1c9454a3d57f4804471c7878d0c33c99b47fe7c5d2cd5d4580072a34e778d71"

_N_DIPOLES = 3000
_DEPTHS = (0.30, 0.50, 0.65, 0.77, 0.87)  # of the head radius; cortex ends at about 0.87


@lru_cache(maxsize=1)
def forward_components():
    """Return covariances of random cortical sources at the electrodes, (n_components, 114, 114).

    They are read from the package, or computed if that file is damaged.
    """
    try:
        content = FORWARD_FILE.read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != _SHA256:
        logger.info("%s is missing or damaged: its content is computed.", FORWARD_FILE)
        return compute_components()
    packed = np.load(io.BytesIO(content), allow_pickle=False)
    return unpack_symmetric(packed.astype(float), len(ELECTRODES))


def compute_components(seed=0):
    """Compute what `forward_components` returns.

    A four-shell sphere (MNE's) fitted to the template head contains dipoles at several depths, in
    eight parts of the head, radial and tangential. Each component has a mean variance of 1.
    """
    places, index = np.unique(electrode_positions(), axis=0, return_inverse=True)
    origin, radius = template_sphere()
    rng = np.random.default_rng(seed)
    units = rng.normal(size=(_N_DIPOLES, 3))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    units = units[units[:, 2] > -0.6]
    depth = rng.choice(_DEPTHS, len(units))
    lead, used = solve_sphere(places, origin + units * (depth * radius)[:, None], units)
    units, depth = units[used], depth[used]
    radial = np.einsum("cpk,pk->cp", lead, units)
    tangential = lead - radial[..., None] * units
    octant = (units[:, 0] > 0) + 2 * (units[:, 1] > 0) + 4 * (units[:, 2] > 0.4)
    components = []
    for level in _DEPTHS:
        for part in range(8):
            pick = (depth == level) & (octant == part)
            if pick.sum() < 5:
                continue
            components.append(radial[:, pick] @ radial[:, pick].T)
            components.append(np.einsum("cpk,dpk->cd", tangential[:, pick], tangential[:, pick]))
    components = np.array(components)[:, index][:, :, index]
    # Noise of each position; two entries at one position share it.
    components = np.concatenate([components, (index[:, None] == index[None])[None]])
    return components / np.trace(components, axis1=1, axis2=2)[:, None, None] * len(index)


def solve_sphere(places, positions, normals, **kwargs):
    """Return the potentials (n_places, n_used, 3) of dipoles in MNE's sphere, and those used.

    In metres, head frame; keyword arguments go to :func:`mne.make_forward_solution`.
    """
    names = [f"E{k}" for k in range(len(places))]
    info = mne.create_info(names, 200.0, "eeg")
    with mne.utils.use_log_level("error"):
        montage = mne.channels.make_dig_montage(
            dict(zip(names, places, strict=True)), coord_frame="head"
        )
        info.set_montage(montage)
        sphere = mne.make_sphere_model(*template_sphere())
        src = mne.setup_volume_source_space(pos=dict(rr=positions, nn=normals), sphere=sphere)
        fwd = mne.make_forward_solution(info, None, src, sphere, meg=False, eeg=True, **kwargs)
    return fwd["sol"]["data"].reshape(len(places), -1, 3), fwd["src"][0]["vertno"]


def fit_sources(components, cov, rows, carries_reference=None, own=None):
    """Mix the components to agree with ``cov (n_bands, n, n)``; returns (n_bands, 114, 114).

    ``rows (n, 114)`` and ``own (n, n)`` are as in `Places`. Weights are not negative.
    """
    basis = contrast_basis(np.ones(len(rows)) if carries_reference is None else carries_reference)
    used = rows.any(axis=0)
    onto = basis @ rows[:, used]
    parts = onto @ components[:, used][:, :, used] @ onto.T
    if own is not None:
        parts = parts + basis @ own @ basis.T
    # Of symmetric matrices, triangles are enough if what they have once weighs half.
    n = len(basis)
    share = pack_symmetric(np.sqrt(2.0 - np.eye(n)))
    design = (share * pack_symmetric(parts)).T
    seen = (share * pack_symmetric(basis @ cov @ basis.T)).T
    # In the basis of the design, which bands share, the systems are small.
    n_parts = len(parts)
    factor = np.linalg.qr(np.c_[design, seen], mode="r")[:n_parts]
    amounts = np.array([nnls(factor[:, :n_parts], one)[0] for one in factor[:, n_parts:].T])
    amounts[:, -1] = np.maximum(amounts[:, -1], 0.01 * amounts.sum(axis=1))
    fitted = amounts @ components.reshape(len(components), -1)
    return fitted.reshape(len(cov), *components.shape[1:])
