# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Where electrodes lie on the head, and how a recording's positions are laid on the template."""

from functools import cache

import mne
import numpy as np
from mne.utils import warn

from ._names import ELECTRODES, INDEX, TEMPLATE_NAMES

FAR = 0.04  # metres from its entry's place beyond which an electrode's name is not believed
AGREE = 0.025  # median of these distances, in metres, below which names and positions agree


def template_montage():
    """Return the 10-05 montage of MNE under the name that this version of MNE has for it."""
    try:
        return mne.channels.make_standard_montage("colin27_1005")
    except ValueError:  # MNE < 1.13
        return mne.channels.make_standard_montage("standard_1005")


def _head_positions(montage):
    """Return the electrode positions of a montage in MNE's head frame, by name."""
    info = mne.create_info(montage.ch_names, 200.0, "eeg")
    info.set_montage(montage)
    return {ch["ch_name"]: ch["loc"][:3].copy() for ch in info["chs"]}


@cache
def template_places():
    """Return the places of all 10-05 names in the head frame."""
    return _head_positions(template_montage())


@cache
def _electrode_positions():
    places = template_places()
    upper = {name.upper(): place for name, place in places.items()}
    positions = np.array([upper[TEMPLATE_NAMES.get(name, name).upper()] for name in ELECTRODES])
    positions.flags.writeable = False
    return positions


def electrode_positions():
    """Return where the electrodes of the montage lie on the template head.

    Returns
    -------
    positions : array, shape (114, 3)
        Metres in MNE's head frame, in the order of ``ELECTRODES``. Every row is finite.

    Notes
    -----
    The places are those of MNE's 10-05 template (``colin27_1005``, ``standard_1005`` before
    MNE 1.13) [1]_. Entries that it lacks lie where it has the same place under another name:
    CFC1 to CFC6 at FCC1h to FCC6h, CFC7/8 at FTT7h/FTT8h, CCP1 to CCP6 at CCP1h to CCP6h,
    CCP7/8 at TTP7h/TTP8h, O9/O10 at I1/I2, T1/T2 at FT9/FT10 and CB1/CB2 at PO9/PO10.

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
        Finite positions; at least 4 that are not in one plane.

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
        raise ValueError(f"A sphere needs at least 4 points, got {len(points)}.")
    # |p - c|^2 = r^2 is linear in c and in r^2 - |c|^2; centred and scaled it is well conditioned.
    centre = points.mean(axis=0)
    scale = np.abs(points - centre).max() or 1.0
    p = (points - centre) / scale
    design = np.c_[2 * p, np.ones(len(p))]
    solution, _, rank, singular = np.linalg.lstsq(design, (p**2).sum(axis=1), rcond=None)
    if rank < 4 or singular[-1] < 0.02 * singular[0]:
        raise ValueError("The points lie too nearly in one plane to determine a sphere.")
    origin = solution[:3]
    radius = np.sqrt(solution[3] + origin @ origin)
    return origin * scale + centre, float(radius * scale)


@cache
def _template_sphere():
    origin, radius = fit_sphere(np.array(list(template_places().values())))
    origin.flags.writeable = False
    return origin, radius


def template_sphere():
    """Return the sphere that fits the template head best.

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
    """Return the positions in an info, shape (n, 3), NaN where there is none to speak of."""
    positions = np.array([info["chs"][k]["loc"][:3] for k in idx], float).reshape(-1, 3)
    positions[~np.isfinite(positions).all(axis=1)] = np.nan
    positions[(positions == 0).all(axis=1)] = np.nan
    # A place that three channels share is a placeholder, not an electrode's place.
    unique, inverse, counts = np.unique(positions, axis=0, return_inverse=True, return_counts=True)
    positions[counts[inverse.ravel()] > 2] = np.nan
    return positions


def find_placed(info):
    """Return which channels of an info have a position, array of bool (n_channels,)."""
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    return np.isfinite(places).all(axis=1) & places.any(axis=1)


def _similarity(source, target):
    """Return scale, rotation and shift of the least-squares fit of source to target.

    S. Umeyama (1991), IEEE Transactions on Pattern Analysis and Machine Intelligence 13(4).
    """
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    u, s, vt = np.linalg.svd((target - mean_t).T @ (source - mean_s))
    if s[1] < 1e-2 * s[0]:
        raise ValueError("The points lie on a line: they do not determine a rotation.")
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = (s * signs).sum() / ((source - mean_s) ** 2).sum()
    return scale, rotation, mean_t - scale * rotation @ mean_s


def _transform(points, similarity):
    scale, rotation, shift = similarity
    return scale * points @ rotation.T + shift


@cache
def _ideal_sphere_similarity():
    """Return how a cap drawn on a unit sphere is laid on the template.

    Manufacturers' spherical montages stand about 8 degrees nose-up against a real head, which is
    half the distance between two electrodes. A cap with known names tells by how much.
    """
    places = _head_positions(mne.channels.make_standard_montage("biosemi64"))
    template = {name.upper(): place for name, place in template_places().items()}
    points = np.array(list(places.values()))
    origin, radius = fit_sphere(points)
    target = np.array([template[name.upper()] for name in places])
    return _similarity((points - origin) / radius, target)


def _align_by_sphere(points):
    """Lay positions without known names on the template by their sphere."""
    template_origin, template_radius = _template_sphere()
    try:
        origin, radius = fit_sphere(points)
    except ValueError:
        return points
    unit = (points - origin) / radius
    if np.ptp(np.linalg.norm(unit, axis=1)) < 0.01 and len(points) >= 16:
        return _transform(unit, _ideal_sphere_similarity())
    return unit * template_radius + template_origin


def _align_by_name(positions, entries):
    """Lay positions on the template by the electrodes whose names are of the montage.

    Returns the aligned positions and the median distance in metres of the named electrodes from
    their entries; None where fewer than 4 names, or names on a line, do not determine the fit.
    """
    target = np.full_like(positions, np.nan)
    for k, entry in enumerate(entries):
        if entry in ELECTRODES and not entry.startswith("CCP"):  # a name of two places
            target[k] = _electrode_positions()[INDEX[entry]]
    named = np.isfinite(positions + target).all(axis=1)
    use = named
    for _ in range(2):  # again without the few that are elsewhere than their name says
        if use.sum() < 4:
            return None
        try:
            similarity = _similarity(positions[use], target[use])
        except ValueError:
            return None
        aligned = _transform(positions, similarity)
        distance = np.linalg.norm(aligned - target, axis=1)
        median = np.median(distance[named])
        use = named & (distance < max(FAR, 3 * median))
    return aligned, median


def align_positions(positions, entries):
    """Lay recorded positions, shape (n, 3), on the template head; all NaN if they are not credible.

    ``entries`` holds what the channels' names say, None where they say nothing.
    """
    located = np.isfinite(positions).all(axis=1)
    if not located.any():
        return positions
    by_name = _align_by_name(positions, entries)
    # Names that are no 10-05 names fit no head: agreement itself shows that they can be believed.
    if by_name is not None and by_name[1] < AGREE:
        return by_name[0]
    n_named = sum(entry in ELECTRODES for entry, ok in zip(entries, located, strict=True) if ok)
    if by_name is not None and 2 * n_named >= located.sum():
        warn(
            "The electrode positions do not fit the channel names (median distance "
            f"{100 * by_name[1]:.0f} cm on the best fitting head), so the names are believed and "
            "the positions ignored. Check the montage, or take it off with "
            "inst.set_montage(None)."
        )
        return np.full_like(positions, np.nan)
    aligned = np.full_like(positions, np.nan)
    aligned[located] = _align_by_sphere(positions[located])
    return aligned
