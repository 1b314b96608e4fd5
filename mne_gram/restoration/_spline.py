# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The method "spline": MNE's spherical splines, only where a channel is bad."""

import contextlib
from dataclasses import dataclass

import numpy as np
from mne.channels.interpolation import _make_interpolation_matrix

from ..montage import find_placed, fit_sphere, template_sphere
from ._fit import Plan
from ._gaps import Estimate
from ._patterns import Patterns
from ._runs import find_runs, list_gaps

MIN_SPLINE = 4  # good channels
_FAR = 3.0  # times the median distance, from where an electrode is not on the head
_OUTLYING = 0.3  # of the radius: electrodes of a head are closer to its sphere


class Head(Patterns):
    """Where electrodes are: all that a spline needs; the weights of splines, each computed once.

    ``places`` are (n_channels, 3), the ``origin`` is (3,).
    """

    def __init__(self, places, origin):
        self.places, self.origin = places, origin
        super().__init__()

    def compute(self, good, bad):
        """Return the weights of channels, given as indices, (n_bad, n_good)."""
        return find_weights(self, good, bad)


@dataclass(frozen=True, eq=False)
class SplinePlan(Plan):
    """The head of a recording."""

    head: Head | None = None


def fit(recording, settings):
    """Fit the head to the positions that all channels must have."""
    return SplinePlan(head=fit_head(recording.info))


def estimate(block, plan):
    """Estimate the bad samples of a block, of unknown standard deviation."""
    return estimate_spline(block, plan.head)


def fit_head(info):
    """Return the Head of the channels in an info; raise a ValueError if it is unknown."""
    missing = ~find_placed(info)
    if missing.any():
        names = ", ".join(n for n, no in zip(info["ch_names"], missing, strict=True) if no)
        raise ValueError(
            f"A spline needs electrode positions, which are missing for {names}: set them with "
            "inst.set_montage, exclude these channels with picks, or use method='spatial'."
        )
    places = np.array([ch["loc"][:3] for ch in info["chs"]], float)
    origin = fit_origin(places)
    if origin is None:
        raise ValueError(
            "A spline needs electrode positions on a sphere; those of the recording are not on a "
            "head. Set them with inst.set_montage, or use method='spatial'."
        )
    return Head(places, origin)


def fit_origin(places):
    """Return the centre (3,) of the sphere that fits positions (n, 3), None if they are no head.

    The digitized points in an info, to which MNE fits it, may be missing or in another frame.
    """
    away = np.linalg.norm(places - np.median(places, axis=0), axis=1)
    points = places[away <= _FAR * np.median(away)]
    # As in MNE, points on the face are left out.
    upper = points[(points[:, 2] >= -1e-6) | (points[:, 1] <= 1e-6)]
    with contextlib.suppress(ValueError):
        origin, radius = fit_sphere(upper)
        if _find_near(points, origin, radius).mean() > 0.5:
            return origin
    # Too few points, or a ring of them: they may be on the template head.
    origin, radius = template_sphere()
    return origin if _find_near(points, origin, radius).all() else None


def _find_near(points, origin, radius):
    """Return which positions (n, 3) are near a sphere."""
    misses = np.abs(np.linalg.norm(points - origin, axis=1) - radius)
    return misses < _OUTLYING * radius


def estimate_spline(block, head):
    """Estimate the bad samples of a block, which are overwritten, from the channels good then."""
    data, mask = block.data, block.mask
    for a, b, _ in find_runs(mask, block.segments):
        bad = np.flatnonzero(mask[:, a])
        good = np.flatnonzero(~mask[:, a])
        if len(good) < MIN_SPLINE:
            continue
        data[bad, a:b] = head(good, bad) @ data[good, a:b]
    enough = (~mask).sum(axis=0) >= MIN_SPLINE
    return [
        Estimate(channel, a, b, data[channel, a:b].copy(), np.full(b - a, np.nan))
        for channel, a, b, _ in list_gaps(mask & enough, block.segments)
    ]


def estimate_whole_spline(block, head, spatial):
    """Estimate the channels that are bad throughout; the block has estimates of the others' gaps.

    Signals are relative to the mean of the good channels, so that the reference plays no role, and
    without baselines, which each electrode has of its own.
    """
    carries, baselines = spatial.operators.carries_reference, spatial.baselines
    block = block.copy(mask=block.mask & spatial.whole[:, None])
    times = block.times
    for channel, baseline in baselines.items():
        block.data[channel] -= baseline(times)
    mean = block.kept_mean(carries)
    block.data -= carries[:, None] * mean
    estimates = estimate_spline(block, head)
    for estimate in estimates:
        inside = slice(estimate.start, estimate.stop)
        estimate.values += carries[estimate.channel] * mean[inside]
        if estimate.channel in baselines:
            estimate.values += baselines[estimate.channel](times[inside])
    return estimates


def find_weights(head, good, bad):
    """Return the weights of MNE's spherical splines, (n_bad, n_good)."""
    away = head.places - head.origin
    return _make_interpolation_matrix(away[good], away[bad])
