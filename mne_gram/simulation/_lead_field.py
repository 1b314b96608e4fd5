# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Maps of sources in a spherical head at the 114 electrodes, from MNE's forward model."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..covariance import solve_sphere
from ..montage import BIPOLAR, CH_NAMES, ELECTRODES, electrode_positions, template_sphere

_BRAIN = 0.9  # of the head's radius in MNE's sphere, outside of which is the skull
_SHELL = 0.85  # depth of the cortex
_DEEP = 0.6
_N_SHELL = 3000
_N_DEEP = 200
_N_CENTRES = 1000  # patches of cortex to choose from
_LOWEST = -0.55  # no cortex below this height, relative to the radius
EXTENTS = (0.1, 0.25, 0.5, 0.9)  # standard deviations of a patch, in radians seen from the centre

# Places of eyes and scalp muscles, as (right, front, up) from the head's centre.
_EYES = np.array([[-0.40, 0.85, -0.35], [0.40, 0.85, -0.35]])
_MUSCLES = {
    "frontalis left": (-0.45, 0.88, 0.15),
    "frontalis right": (0.45, 0.88, 0.15),
    "temporalis left": (-0.93, 0.35, -0.10),
    "temporalis right": (0.93, 0.35, -0.10),
    "masseter left": (-0.92, 0.10, -0.38),
    "masseter right": (0.92, 0.10, -0.38),
    "neck left": (-0.55, -0.80, -0.25),
    "neck right": (0.55, -0.80, -0.25),
}
_MUSCLE_WIDTH = 0.35  # radians


@dataclass(frozen=True, eq=False)
class LeadField:
    """Maps of sources at the places of the montage."""

    #: Places of a channel's electrode and of the one subtracted from it (-1: none), (130, 2).
    index: np.ndarray
    #: Maps of patches of cortex, (n_patches, n_extents, 3 orientations, n_places). Their mean
    #: square, in the average reference, is 1 on average over the cortex.
    patches: np.ndarray
    centres: np.ndarray  #: of patches, (n_patches, 3), in metres, head frame
    frames: np.ndarray  #: radial and tangential orientations at the centres, (n_patches, 3, 3)
    directions: np.ndarray  #: unit vectors from the centre of the head to places, (n_places, 3)
    eyes: np.ndarray  #: maps of the eyes turning up, and right, (2, n_places), at most 1
    muscles: np.ndarray  #: (n_muscles, n_places), at most 1


def solve_forward(places, positions):
    """Return potentials (n_places, n_dipoles, 3) of dipoles in MNE's four-shell sphere.

    In volts per ampere metre along x, y and z, relative to infinity; places and positions are in
    metres, head frame. Raises ValueError for dipoles outside the brain.
    """
    origin, radius = template_sphere()
    distance = np.linalg.norm(positions - origin, axis=1, keepdims=True)
    outside = distance >= _BRAIN * radius
    if outside.any():
        raise ValueError(
            f"{outside.sum()} of {len(positions)} dipoles lie outside the brain: keep them within "
            f"{1000 * _BRAIN * radius:.0f} mm of the head's centre."
        )
    normals = (positions - origin) / np.maximum(distance, 1e-9)
    return solve_sphere(places, positions, normals, mindist=0.0)[0]


def _spiral(n):
    """Return n points spread evenly over the unit sphere above the lowest height of cortex."""
    k = np.arange(n) + 0.5
    z = 1 - k / n * (1 - _LOWEST)
    angle = np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - z**2)
    return np.c_[flat * np.cos(angle), flat * np.sin(angle), z]


def _local_frames(units):
    """Return orthonormal frames (n, 3, 3) whose first axes are the unit vectors."""
    side = np.cross(units, [0.0, 1.0, 0.0])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    return np.stack([units, side, np.cross(units, side)], axis=1)


def _blur(lead, units, centres, frames, extent):
    """Average dipoles over patches: radial ones along the local normal, and tangential ones."""
    cosine = np.clip(centres @ units.T, -1, 1)
    weights = np.exp(-0.5 * (np.arccos(cosine) / extent) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    radial = weights @ np.einsum("epk,pk->pe", lead, units)
    flat = lead - np.einsum("epk,pk->ep", lead, units)[..., None] * units
    mean = np.einsum("cp,epk->cke", weights, flat, optimize=True)
    return np.stack([radial, *np.moveaxis(frames[:, 1:] @ mean, 1, 0)], axis=1)


def _patch_maps(places):
    """Return maps, centres and frames of all patches; deep ones are the same at all extents."""
    origin, radius = template_sphere()
    units, deep, centres = _spiral(_N_SHELL), _spiral(_N_DEEP), _spiral(_N_CENTRES)
    positions = origin + radius * np.r_[_SHELL * units, _DEEP * deep]
    lead = solve_forward(places, positions)
    lead -= lead.mean(axis=0)
    cortex, inner = lead[:, :_N_SHELL], lead[:, _N_SHELL:]
    frames = _local_frames(centres)
    maps = np.stack([_blur(cortex, units, centres, frames, e) for e in EXTENTS], axis=1)
    size = np.sqrt((maps**2).mean(axis=(0, 2, 3)))
    maps /= size[:, None, None]
    deep_frames = _local_frames(deep)
    below = np.einsum("pok,epk->poe", deep_frames, inner)
    below = np.repeat(below[:, None], len(EXTENTS), axis=1) / size[0]
    return (
        np.concatenate([maps, below]),
        origin + radius * np.r_[_SHELL * centres, _DEEP * deep],
        np.concatenate([frames, deep_frames]),
    )


def _eye_maps(places, directions):
    """Return the maps of the eyes turning up and right.

    The cornea is positive, so turning it is a dipole across the eye; in blinks, lids that slide
    over the cornea have the map of a turn upwards.
    """
    origin, radius = template_sphere()
    eyes = _EYES / np.linalg.norm(_EYES, axis=1, keepdims=True)
    lead = solve_forward(places, origin + 0.88 * radius * eyes).sum(axis=1)
    up = lead @ np.array([0.0, 0.6, 0.8])
    right = lead[:, 0]
    maps = np.stack([up, right])
    maps -= np.median(maps, axis=1, keepdims=True)
    return maps / np.abs(maps).max(axis=1, keepdims=True)


@cache
def compute_lead_field():
    """Compute the maps of all sources, which takes a second or two the first time."""
    origin, _ = template_sphere()
    places, own = np.unique(electrode_positions(), axis=0, return_inverse=True)
    index = np.full((len(CH_NAMES), 2), -1)
    index[: len(ELECTRODES), 0] = own.ravel()
    for row, name in enumerate(BIPOLAR, start=len(ELECTRODES)):
        index[row] = [index[CH_NAMES.index(end), 0] for end in name.split("-")]
    directions = places - origin
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    patches, centres, frames = _patch_maps(places)
    muscles = np.array(list(_MUSCLES.values()))
    muscles /= np.linalg.norm(muscles, axis=1, keepdims=True)
    angles = np.arccos(np.clip(muscles @ directions.T, -1, 1))
    return LeadField(
        index=index,
        patches=patches.astype(np.float32),
        centres=centres,
        frames=frames,
        directions=directions,
        eyes=_eye_maps(places, directions).astype(np.float32),
        muscles=np.exp(-0.5 * (angles / _MUSCLE_WIDTH) ** 2).astype(np.float32),
    )
