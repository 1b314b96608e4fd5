# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Electrode positions on the template head, and alignment of recorded positions to it."""

from functools import cache

import mne
import numpy as np
from mne.utils import warn

from ._names import ELECTRODES, INDEX, TEMPLATE_NAMES
from ._standard import make_montage

FAR = 0.04  # metres from its entry beyond which an electrode is not the one of its name
AGREE = 0.025  # names and positions agree if the median distance in metres is below this
_ON_CIRCLE = 0.15  # of the mean squared distance: electrodes of a ring deviate less from a circle


def template_montage():
    """Return the 10-05 montage, whose name depends on the version of MNE."""
    return make_montage("colin27_1005")


def _head_positions(montage):
    """Return the electrode positions of a montage in MNE's head frame, by name."""
    info = mne.create_info(montage.ch_names, 200.0, "eeg")
    info.set_montage(montage)
    return {ch["ch_name"]: ch["loc"][:3].copy() for ch in info["chs"]}


@cache
def template_places():
    """Return the position of each 10-05 name in the head frame, a dict of arrays (3,)."""
    return _head_positions(template_montage())


@cache
def _electrode_positions():
    """Return electrode_positions, read-only."""
    places = template_places()
    upper = {name.upper(): place for name, place in places.items()}
    positions = np.array([upper[TEMPLATE_NAMES.get(name, name).upper()] for name in ELECTRODES])
    positions.flags.writeable = False
    return positions


def electrode_positions():
    """Return the positions of the electrodes of the montage on the template head.

    Returns
    -------
    positions : array, shape (114, 3)
        Metres in MNE's head frame, in the order of ``ELECTRODES``. Every row is finite.

    Notes
    -----
    The positions are those of MNE's 10-05 template (``colin27_1005``, ``standard_1005`` before
    MNE 1.13) [1]_. Entries that it does not contain take the position of another name: CFC1 to CFC6
    that of FCC1h to FCC6h, CFC7/8 of FTT7h/FTT8h, CCP1 to CCP6 of CCP1h to CCP6h, CCP7/8 of
    TTP7h/TTP8h, O9/O10 of I1/I2, T1/T2 of FT9/FT10, and CB1/CB2 of PO9/PO10.

    References
    ----------
    .. [1] R. Oostenveld and P. Praamstra (2001). The five percent electrode system for
       high-resolution EEG and ERP measurements. Clinical Neurophysiology, 112(4), 713-719.
    """
    return _electrode_positions().copy()


def fit_sphere(points):
    """Fit a sphere to points by linear least squares.

    Parameters
    ----------
    points : array, shape (n_points, 3)
        At least 4 finite positions that are not in one plane.

    Returns
    -------
    origin : array, shape (3,)
        The centre, in the unit of the points.
    radius : float
        The radius.

    Raises
    ------
    ValueError
        If the points do not determine a sphere.
    """
    points = np.asarray(points, float)
    if len(points) < 4:
        raise ValueError(f"Found {len(points)} points, expected at least 4 to fit a sphere.")
    # |p - c|^2 = r^2 is linear in c and r^2 - |c|^2, and well conditioned if centred and scaled.
    centre = points.mean(axis=0)
    scale = np.abs(points - centre).max() or 1.0
    p = (points - centre) / scale
    design = np.c_[2 * p, np.ones(len(p))]
    solution, _, rank, singular = np.linalg.lstsq(design, (p**2).sum(axis=1), rcond=None)
    if rank < 4 or singular[-1] < 0.02 * singular[0]:
        raise ValueError("Found points in one plane, which do not determine a sphere.")
    origin = solution[:3]
    radius = np.sqrt(solution[3] + origin @ origin)
    return origin * scale + centre, float(radius * scale)


@cache
def _template_sphere():
    """Return template_sphere, read-only."""
    origin, radius = fit_sphere(np.array(list(template_places().values())))
    origin.flags.writeable = False
    return origin, radius


def template_sphere():
    """Return the best-fitting sphere of the template head.

    Returns
    -------
    origin : array, shape (3,)
        The centre in metres, in the head frame of :func:`electrode_positions`.
    radius : float
        The radius in metres.
    """
    origin, radius = _template_sphere()
    return origin.copy(), radius


def read_positions(info, idx):
    """Return the positions of channels in an info, shape (n, 3), NaN where missing."""
    positions = np.array([info["chs"][k]["loc"][:3] for k in idx], float).reshape(-1, 3)
    positions[~np.isfinite(positions).all(axis=1)] = np.nan
    positions[(positions == 0).all(axis=1)] = np.nan
    # A position that three channels share is a placeholder.
    unique, inverse, counts = np.unique(positions, axis=0, return_inverse=True, return_counts=True)
    positions[counts[inverse.ravel()] > 2] = np.nan
    return positions


def find_placed(info):
    """Return which channels of an info have a position, array of bool (n_channels,)."""
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    return np.isfinite(places).all(axis=1) & places.any(axis=1)


def fit_similarity(source, target):
    """Return scale, rotation and shift of the least-squares fit of source to target, both (n, 3).

    S. Umeyama (1991), IEEE Transactions on Pattern Analysis and Machine Intelligence 13(4).
    """
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    u, s, vt = np.linalg.svd((target - mean_t).T @ (source - mean_s))
    if not s[1] >= 1e-2 * s[0] > 0:
        raise ValueError(
            "Found points on one line or at one place, which do not determine a rotation."
        )
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = (s * signs).sum() / ((source - mean_s) ** 2).sum()
    return scale, rotation, mean_t - scale * rotation @ mean_s


def apply_similarity(points, similarity):
    """Apply scale, rotation and shift to points (n, 3)."""
    scale, rotation, shift = similarity
    return scale * points @ rotation.T + shift


@cache
def _ideal_sphere_similarity():
    """Return the similarity that aligns spherical montages, on the unit sphere, to the template.

    They are tilted nose-up by about 8 degrees, half the distance between two electrodes, which is
    estimated here from a cap with known names.
    """
    places = _head_positions(mne.channels.make_standard_montage("biosemi64"))
    template = {name.upper(): place for name, place in template_places().items()}
    points = np.array(list(places.values()))
    origin, radius = fit_sphere(points)
    target = np.array([template[name.upper()] for name in places])
    return fit_similarity((points - origin) / radius, target)


def _align_by_sphere(points):
    """Align positions (n, 3) without known names to the template by their sphere."""
    template_origin, template_radius = _template_sphere()
    try:
        origin, radius = fit_sphere(points)
    except ValueError:
        return points
    unit = (points - origin) / radius
    if np.ptp(np.linalg.norm(unit, axis=1)) < 0.01 and len(points) >= 16:
        return apply_similarity(unit, _ideal_sphere_similarity())
    return unit * template_radius + template_origin


def _is_flat(points):
    """Return whether points (n, 3) fill a part of a plane; those of a ring of electrodes do not."""
    if len(points) < 5:
        return False
    points = points - points.mean(axis=0)
    size, axes = np.linalg.svd(points, full_matrices=False)[1:]
    if size[2] > 1e-3 * size[1]:
        return False
    plane = points @ axes[:2].T
    square = (plane**2).sum(axis=1)
    design = np.c_[2 * plane, np.ones(len(plane))]  # a circle, as in fit_sphere
    missed = square - design @ np.linalg.lstsq(design, square, rcond=None)[0]
    return missed.std() > _ON_CIRCLE * square.mean()


def _align_by_name(positions, entries):
    """Align positions (n, 3) to the template by the electrodes with known names.

    Returns the aligned positions and the median distance in metres from the named entries, or None
    if fewer than 4 names, or names on one line, do not determine the fit.
    """
    target = np.full_like(positions, np.nan)
    for k, entry in enumerate(entries):
        if entry in ELECTRODES and not entry.startswith("CCP"):  # a name with two positions
            target[k] = _electrode_positions()[INDEX[entry]]
    named = np.isfinite(positions + target).all(axis=1)
    use = named
    for _ in range(2):  # a second time without the few that contradict their names
        if use.sum() < 4:
            return None
        try:
            similarity = fit_similarity(positions[use], target[use])
        except ValueError:
            return None
        aligned = apply_similarity(positions, similarity)
        distance = np.linalg.norm(aligned - target, axis=1)
        median = np.median(distance[named])
        use = named & (distance < max(FAR, 3 * median))
    return aligned, median


def align_positions(positions, entries):
    """Align recorded positions (n, 3) to the template head; all NaN if they contradict the names.

    ``entries`` are those of the channel names, None where unknown.
    """
    located = np.isfinite(positions).all(axis=1)
    if not located.any():
        return positions
    by_name = _align_by_name(positions, entries)
    # Names from another system fit no head, so agreement shows that the names can be trusted.
    if by_name is not None and by_name[1] < AGREE:
        return by_name[0]
    n_named = sum(entry in ELECTRODES for entry, ok in zip(entries, located, strict=True) if ok)
    if by_name is not None and 2 * n_named >= located.sum():
        warn(
            "The electrode positions do not fit the channel names (median distance "
            f"{100 * by_name[1]:.0f} cm after alignment), so the positions are ignored. Check the "
            "montage, or remove it with inst.set_montage(None)."
        )
        return np.full_like(positions, np.nan)
    aligned = np.full_like(positions, np.nan)
    if _is_flat(positions[located]):
        warn(
            "The electrode positions lie in one plane, as on a drawing of a head, so the positions "
            "are ignored. Set a montage with three-dimensional positions, or remove it with "
            "inst.set_montage(None)."
        )
        return aligned
    aligned[located] = _align_by_sphere(positions[located])
    return aligned
