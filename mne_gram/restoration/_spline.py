# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The method "spline": MNE's spherical splines, only where a channel is bad."""

from dataclasses import dataclass

import mne
import numpy as np

from ..montage import find_placed
from ._fit import Plan
from ._gaps import Estimate
from ._gaussian import find_runs, list_gaps

_MIN_GOOD = 4  # good channels


@dataclass(frozen=True, eq=False)
class SplinePlan(Plan):
    """All that a spline needs: the positions in an info."""

    info: mne.Info | None = None


def fit(recording, settings):
    """Check that all channels have positions."""
    check_positions(recording.info)
    return SplinePlan(info=recording.info)


def estimate(block, plan):
    """Estimate the bad samples of a block, of unknown standard deviation."""
    return estimate_spline(block, plan.info)


def check_positions(info):
    """Raise a ValueError if channels have no positions."""
    missing = ~find_placed(info)
    if missing.any():
        names = ", ".join(n for n, no in zip(info["ch_names"], missing, strict=True) if no)
        raise ValueError(
            f"A spline needs electrode positions, which are missing for {names}: set them with "
            "inst.set_montage, exclude these channels with picks, or use method='spatial'."
        )


def estimate_spline(block, info):
    """Estimate the bad samples of a block, which are overwritten, from the channels good then."""
    data, mask, weights = block.data, block.mask, {}
    for a, b, _ in find_runs(mask, block.segments):
        bad = np.flatnonzero(mask[:, a])
        good = np.flatnonzero(~mask[:, a])
        if len(good) < _MIN_GOOD:
            continue
        key = bad.tobytes()
        if key not in weights:
            weights[key] = _spline_weights(info, good, bad)
        data[bad, a:b] = weights[key] @ data[good, a:b]
    enough = (~mask).sum(axis=0) >= _MIN_GOOD
    return [
        Estimate(channel, a, b, data[channel, a:b].copy(), np.full(b - a, np.nan))
        for channel, a, b, _ in list_gaps(mask & enough, block.segments)
    ]


def estimate_whole_spline(block, info, spatial):
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
    estimates = estimate_spline(block, info)
    for estimate in estimates:
        inside = slice(estimate.start, estimate.stop)
        estimate.values += carries[estimate.channel] * mean[inside]
        if estimate.channel in baselines:
            estimate.values += baselines[estimate.channel](times[inside])
    return estimates


def _spline_weights(info, good, bad):
    """Read the interpolation matrix off MNE by interpolating unit vectors, (n_bad, n_good)."""
    info = info.copy()
    info["bads"] = [info["ch_names"][k] for k in bad]
    impulses = np.zeros((len(info["ch_names"]), len(good)))
    impulses[good, np.arange(len(good))] = 1.0
    evoked = mne.EvokedArray(impulses, info, verbose="error")
    with mne.utils.use_log_level("error"):
        evoked.interpolate_bads(reset_bads=False, mode="accurate")
    return evoked.data[bad]
