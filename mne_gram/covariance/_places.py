# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Channels as functionals of the potentials at the 114 electrodes.

A channel is a linear functional of these potentials: one of them, a weighted sum of them (an
electrode between entries), or a difference (a bipolar derivation).
"""

from typing import NamedTuple

import numpy as np

from ..montage import (
    BIPOLAR,
    ELECTRODES,
    INDEX,
    derivation_ends,
    electrode_positions,
    template_sphere,
)

_SAME_PLACE = 0.006  # metres: no farther apart than two fittings of one cap
# Variance that only an electrode between entries has, where their mean variance is 1.
_OWN_NOISE = 0.15


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
