# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Combine experts by how they restore clean samples of the recording that were hidden.

All experts are told as corrections of the spatial estimate. Their weights minimise the squared
error on hidden samples, pooled with what was found on the training people: the less a recording has
to show, the more these count. Weights are not negative and add up to at most 1, the rest being the
spatial estimate's.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from ..covariance import N_BANDS, sum_bands
from ._gaussian import estimate_spatial

KINDS = ("whole", "passing")
EXPERTS = ("sphere", "spline")
# Tried on hidden samples, for the user to see, but given no weight: a share of the spline did not
# lower the error (benchmarks/restoration.py, method auto-with-spline).
COMPARED = ("spline",)


@dataclass(frozen=True, eq=False)
class Stack:
    """What was learnt of the experts for one kind of gap.

    Attributes
    ----------
    weights : array, shape (n_experts, n_bands)
        Weights of the corrections, experts as in ``EXPERTS``.
    calibration : float
        What the spatial estimate's standard deviation is multiplied by.
    """

    weights: np.ndarray
    calibration: float


def solve_weights(gram, across):
    """Minimise ``w' gram w - 2 across w`` over weights that are not negative and sum to at most 1.

    Parameters
    ----------
    gram : array, shape (n, n)
        Products of corrections.
    across : array, shape (n,)
        Products of corrections and error.

    Returns
    -------
    weights : array, shape (n,)
        The weights; 0 for corrections that are nothing.
    """
    n = len(across)
    weights = np.zeros(n)
    used = np.flatnonzero(np.diagonal(gram) > 1e-12)
    if not len(used):
        return weights
    part = gram[np.ix_(used, used)]
    part = part + 1e-6 * np.diagonal(part).mean() * np.eye(len(used))
    factor = np.linalg.cholesky(part).T
    found, _ = nnls(factor, np.linalg.solve(factor.T, across[used]))
    if found.sum() > 1:
        # On the border of the simplex: one more equation, of great weight, says so.
        heavy = 1e3 * np.sqrt(np.diagonal(part).max())
        system = np.vstack([factor, np.full(len(used), heavy)])
        found, _ = nnls(system, np.r_[np.linalg.solve(factor.T, across[used]), heavy])
        found /= max(1.0, found.sum())
    weights[used] = found
    return weights


def weigh_experts(gram, across, kind, experts=EXPERTS):
    """Find the weights of the experts there are, band by band where gaps are long enough.

    Parameters
    ----------
    gram : array, shape (n_bands, n_experts, n_experts)
        Products of corrections.
    across : array, shape (n_bands, n_experts)
        Products of corrections and error.
    kind : ``"whole"`` | ``"passing"``
        The kind of gap.
    experts : iterable of str
        Those that may get a weight.

    Returns
    -------
    weights : array, shape (n_experts, n_bands)
        The weights, experts as in ``EXPERTS``.
    """
    weights = np.zeros((len(EXPERTS), N_BANDS))
    used = [k for k, name in enumerate(EXPERTS) if name in experts]
    if kind == "passing":
        weights[used] = solve_weights(gram[0][np.ix_(used, used)], across[0][used])[:, None]
        return weights
    for band in range(N_BANDS):
        weights[used, band] = solve_weights(gram[band][np.ix_(used, used)], across[band][used])
    return weights


# ---------------------------------------------------------------------------------------------
# Estimates of all experts


def estimate_experts(data, mask, pieces, plan, first=0):
    """Estimate bad samples by every expert that a plan has.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts; bad samples are overwritten by the spatial estimate.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    plan : Plan
        What was learnt from the recording.
    first : int
        Number of the first sample in the recording.

    Returns
    -------
    segments : list of Segment
        The spatial estimate.
    corrections : dict of str to list of array
        What each expert would add to it, segment by segment; 0 where it has no estimate.
    """
    spatial = replace(plan.spatial, noise=None)
    segments = estimate_spatial(data, mask, pieces, spatial, first)
    segments = [segment for segment in segments if segment.channel not in plan.lost]
    corrections = {}
    whole = mask & plan.spatial.whole[:, None]
    if plan.sphere is not None and whole.any():
        other = estimate_spatial(data.copy(), whole, pieces, plan.sphere, first)
        corrections["sphere"] = _compare(segments, other, data.shape)
    for name, expert in plan.experts.items():
        if plan.stacks and name in COMPARED:
            continue
        corrections[name] = _compare(
            segments, expert(data, mask, pieces, segments, first), data.shape
        )
    return segments, corrections


def _compare(segments, others, shape):
    """Return what one estimate adds to another, segment by segment."""
    filled = {}
    for other in others:
        row = filled.setdefault(other.channel, np.full(shape[1], np.nan))
        row[other.start : other.stop] = other.values
    nothing = np.full(shape[1], np.nan)
    changes = []
    for segment in segments:
        row = filled.get(segment.channel, nothing)[segment.start : segment.stop]
        known = np.isfinite(row) & (not segment.invented)
        changes.append(np.where(known, row - segment.values, 0.0))
    return changes


def combine(segments, corrections, stacks, whole, pieces, sfreq, draws=None):
    """Add the weighted corrections to the spatial estimate, in place.

    Parameters
    ----------
    segments : list of Segment
        The spatial estimate.
    corrections : dict of str to list of array
        From `estimate_experts`.
    stacks : dict of str to Stack
        The weights for each kind of gap.
    whole : array of bool, shape (n_channels,)
        Channels that are bad all through.
    pieces : list of tuple of int
        Stretches of continuous time: nothing is filtered over their borders.
    sfreq : float
        Sampling rate in Hz.
    draws : array, shape (n_channels, n_times) | None
        Errors to be added, for a draw from the posterior.
    """
    groups = {}
    for number, segment in enumerate(segments):
        kind = "whole" if whole[segment.channel] else "passing"
        place = (segment.start, segment.stop) if kind == "whole" else number
        groups.setdefault((kind, place), []).append(number)
    for (kind, _), numbers in groups.items():
        own = [segments[number] for number in numbers]
        parts = [[corrections[name][k] for k in numbers] for name in EXPERTS if name in corrections]
        used = [k for k, name in enumerate(EXPERTS) if name in corrections]
        weights = stacks[kind].weights[used]
        if weights.any():
            change = _weigh(np.array(parts), weights, own[0], pieces, sfreq)
            for segment, row in zip(own, change, strict=True):
                segment.values += row
        for segment in own:
            factor = 1.0 if segment.invented else stacks[kind].calibration
            segment.std = segment.std * factor
            if draws is not None:
                segment.values += factor * draws[segment.channel, segment.start : segment.stop]


def _weigh(parts, weights, place, pieces, sfreq):
    """Add up corrections ``(n_experts, n_segments, n_times)`` of one place, band by band."""
    if not np.ptp(weights, axis=1).any():
        return np.tensordot(weights[:, 0], parts, axes=1)
    change = np.zeros(parts.shape[1:])
    for start, stop in pieces:
        a, b = max(start, place.start) - place.start, min(stop, place.stop) - place.start
        if b > a:
            change[:, a:b] = sum_bands(np.tensordot(weights.T, parts[..., a:b], axes=1), sfreq)
    return change
