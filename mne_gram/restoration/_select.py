# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The method "auto": experts are tried on clean samples of the recording, and combined accordingly.

Clean samples are hidden, restored by every expert, and compared with what they were. Experts are
corrections of the spatial estimate; their weights minimise the squared error (see `_weights`).
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from mne.utils import logger

from .._recording import BadSpans, find_spans
from ..covariance import sum_bands
from ._evidence import Evidence
from ._fit import Operators, Plan, Statistics, fit_spatial, measure_statistics
from ._gaussian import estimate_spatial, finish
from ._spline import estimate_whole_spline, fit_head
from ._weights import KINDS, Trial

_SHARE = 0.12  # of the good channels, hidden throughout in a round
_N_CHANNELS, _MAX_ROUNDS = 15, 5  # about so many channels in all, in at most so many rounds
_INTERMITTENT_ROUNDS = 2
_N_SPANS, _SECONDS = 6, 8.0  # of time in which hidden samples are restored
_MIN_SECONDS = 1.0
_NOISE = 0.2  # of the mean variance
MAX_CONTRASTS = 32  # of the library, in a trial: enough to compare experts
_MIN_FOR_SPHERE = 8  # good channels: fewer contain little information about sources
_MIN_SAMPLES = 3  # hidden in a row
_MOST_GAPS = 200  # in a span of time that is hidden


# ---------------------------------------------------------------------------------------------
# Experts


class Expert(NamedTuple):
    """A way to estimate channels that corrects the spatial estimate.

    ``fit(recording, statistics, spatial)`` returns what ``estimate(block, fit, spatial)`` needs, or
    None where the expert is of no use.
    """

    fit: callable
    estimate: callable


def _fit_bundled(recording, statistics, spatial):
    """Leave the cohort out of the prior."""
    if statistics.prior.base is None or not recording.bad.whole.any():
        return None
    others = replace(statistics, prior=statistics.prior.base)
    return _make_operators(others.adapt(), spatial)


def _fit_sphere(recording, statistics, spatial):
    """Exchange the covariance by one that physics completes instead of other subjects' data."""
    bad = recording.bad
    if not bad.whole.any() or (bad.n_bad == 0).sum() < _MIN_FOR_SPHERE:
        return None
    return _make_operators(statistics.adapt_sphere(), spatial)


def _fit_noise(recording, statistics, spatial):
    """Suppose that electrodes are noisier than those of other subjects."""
    if not recording.bad.whole.any():
        return None
    return _make_operators(statistics.adapt(noise=_NOISE), spatial)


def _make_operators(cov, spatial):
    """Return the operators of another covariance."""
    return Operators(cov, spatial.operators.carries_reference, spatial.operators.excess)


def _estimate_whole(block, operators, spatial):
    """Estimate the channels that are bad throughout with another covariance."""
    block = block.copy(mask=block.mask & spatial.whole[:, None])
    return estimate_spatial(block, replace(spatial, operators=operators, noise=None))


def _fit_spline(recording, statistics, spatial):
    """Return the head for a spline, of channels that are bad throughout."""
    if not spatial.whole.any() or not statistics.located:
        return None  # where channels are good at other times, their own data beat a spline
    return fit_head(recording.info)


EXPERTS = {
    "bundled": Expert(_fit_bundled, _estimate_whole),
    "sphere": Expert(_fit_sphere, _estimate_whole),
    "noise": Expert(_fit_noise, _estimate_whole),
    "spline": Expert(_fit_spline, estimate_whole_spline),
}


@dataclass(frozen=True, eq=False)
class AutoPlan(Plan):
    """The spatial estimate and the experts that may correct it.

    ``experts`` contains the fit of each expert by name, ``stacks``, once it is learnt, how they are
    combined in each kind of gap, and ``statistics`` what all of them were fitted to.
    """

    experts: dict = field(default_factory=dict)
    stacks: dict = field(default_factory=dict)
    statistics: Statistics | None = None


def fit_candidates(recording, settings, max_contrasts=None, whole=None):
    """Fit the spatial estimate and the experts; ``max_contrasts`` is as in `Statistics`.

    ``whole`` is the AutoPlan of the same recording with less of it hidden, if there is one.
    """
    baselines = None
    if whole is None:
        statistics = measure_statistics(recording, settings.prior, max_contrasts)
    else:
        statistics = whole.statistics.measure(recording, max_contrasts)
        # What is hidden hides no offset of other channels; whether there are any is known.
        baselines = None if whole.spatial.baselines else {}
    spatial = fit_spatial(recording, statistics, settings, baselines)
    fits = {
        name: _attempt(name, expert.fit, recording, statistics, spatial)
        for name, expert in EXPERTS.items()
    }
    fits = {name: fit for name, fit in fits.items() if fit is not None}
    return AutoPlan(spatial, experts=fits, statistics=statistics)


def estimate_candidates(block, plan, names):
    """Estimate bad samples, which are overwritten, by the spatial estimate and the named experts.

    Returns the estimates, and by name what each expert would add to them, one array per estimate.
    """
    estimates = estimate_spatial(block, replace(plan.spatial, noise=None))
    corrections = {}
    for name in names:
        others = _attempt(name, EXPERTS[name].estimate, block, plan.experts[name], plan.spatial)
        corrections[name] = _compare(estimates, others or [], block.n_times)
    return estimates, corrections


def _attempt(name, function, *args):
    """Return what an expert does, None if it fails: the spatial estimate does without it."""
    try:
        return function(*args)
    except Exception as exc:  # an optional comparison never ends the restoration, whatever it is
        logger.info("The %s is left out of the comparison: %s: %s", name, type(exc).__name__, exc)
        return None


def _compare(estimates, others, n_times):
    """Return what other estimates add to the given ones; 0 where there is no other."""
    filled = {}
    for other in others:
        row = filled.setdefault(other.channel, np.full(n_times, np.nan))
        row[other.start : other.stop] = other.values
    changes = []
    for estimate in estimates:
        if estimate.invented or estimate.channel not in filled:
            changes.append(np.zeros(len(estimate.values)))
            continue
        change = filled[estimate.channel][estimate.start : estimate.stop] - estimate.values
        changes.append(np.where(np.isfinite(change), change, 0.0))
    return changes


# ---------------------------------------------------------------------------------------------
# Fit: hide clean samples, try the experts on them, weigh these and calibrate


def fit(recording, settings):
    """Fit the experts to a recording, and learn how to combine them."""
    plan = fit_candidates(recording, settings)
    stacks, trials = learn_stacks(recording, plan, settings)
    return replace(plan, stacks=stacks, evidence=_find_evidence(stacks, trials))


def learn_stacks(recording, plan, settings):
    """Hide clean samples, restore them by every expert, and find the weights that fit best.

    Returns a Stack and the Trial behind it for each kind of gap in the recording. What
    is hidden is always the same, so that a recording is always restored in the same way.
    """
    settings = replace(settings, on_missing="ignore", seed=None, fill_gaps=False)
    rng, bad = np.random.default_rng(0), recording.bad
    stacks, trials = {}, {}
    for kind in KINDS:
        affected = bad.whole if kind == "whole" else (bad.n_bad > 0) & ~bad.whole
        affected[sorted(plan.spatial.lost)] = False
        if not affected.any():
            continue
        trial = Trial(kind, recording.sfreq, EXPERTS, plan.experts)
        draw = _hide_channels if kind == "whole" else _hide_spans
        for hidden, spans in draw(recording, rng):
            candidates = fit_candidates(
                recording.hide(hidden), settings, max_contrasts=MAX_CONTRASTS, whole=plan
            )
            try_hidden(recording, hidden, spans, candidates, trial)
        stacks[kind], trials[kind] = trial.solve(), trial
    return stacks, trials


def try_hidden(recording, hidden, spans, plan, trial):
    """Restore what is hidden in some spans of time, and add the errors to the trial.

    ``hidden`` are the BadSpans hidden in addition to the bad samples of the recording; the
    plan was fitted without either.
    """
    tried = recording.hide(hidden)
    for start, stop in spans:
        block = tried.block(start, stop)
        away = hidden.paint(start, stop) & ~recording.bad.paint(start, stop)
        if not away.any():
            continue
        truth = block.data.copy()
        block.data[block.mask] = 0.0
        mean = block.kept_mean(plan.carries_reference)
        estimates, corrections = estimate_candidates(block, plan, plan.experts)
        for number, estimate in enumerate(estimates):
            row = away[estimate.channel, estimate.start : estimate.stop]
            if estimate.invented or row.sum() < _MIN_SAMPLES:
                continue
            inside = slice(estimate.start, estimate.stop)
            carried = plan.carries_reference[estimate.channel] * mean[inside][row]
            trial.add(
                truth[estimate.channel, inside][row] - carried,
                estimate.values[row] - carried,
                estimate.std[row],
                {name: changes[number][row] for name, changes in corrections.items()},
            )


def _hide_channels(recording, rng):
    """Draw good channels to be hidden throughout, and spans of time to restore them in."""
    # By name, so that the order of channels plays no role.
    bad, names, n_times = recording.bad, recording.ch_names, recording.n_times
    good = sorted(np.flatnonzero(bad.n_bad == 0), key=lambda k: names[k])
    good = rng.permutation(good).astype(int)
    if len(good) < 4:
        return
    size = max(1, round(_SHARE * len(good)))
    spans = _spread_spans(n_times, recording.sfreq)
    n_rounds = min(-(-_N_CHANNELS // size), _MAX_ROUNDS, len(good) // size)
    for k in range(n_rounds):
        chosen = set(good[k * size : (k + 1) * size].tolist())
        everything = np.array([[0, n_times]])
        nothing = np.zeros((0, 2), int)
        rows = tuple(everything if c in chosen else nothing for c in range(len(bad)))
        yield BadSpans(rows, n_times), spans


def _spread_spans(n_times, sfreq):
    """Return some spans of time, evenly spread over the recording."""
    length = round(_SECONDS * sfreq)
    last = n_times - length
    if last <= (_N_SPANS - 1) * length:
        edges = np.arange(0, n_times, length)
        found = [(int(a), int(min(a + length, n_times))) for a in edges]
    else:
        starts = np.linspace(0, last, _N_SPANS).round().astype(int)
        found = [(int(a), int(a) + length) for a in starts]
    return [(a, b) for a, b in found if b - a >= _MIN_SECONDS * sfreq] or found[:1]


def _hide_spans(recording, rng):
    """Draw spans to be hidden: the bad ones, moved to where the same channels are good."""
    bad, n_times = recording.bad, recording.n_times
    whole = bad.whole
    length = round(_SECONDS * recording.sfreq)
    gaps = sorted((a, b) for k, rows in enumerate(bad.spans) if not whole[k] for a, b in rows)
    if not gaps:
        return
    # Where gaps are many, fewer and shorter spans have enough of them.
    spacing = n_times / len(gaps)
    length = round(min(length, max(_MIN_SECONDS * recording.sfreq, _MOST_GAPS * spacing)))
    n_spans = int(np.clip(_N_SPANS * _MOST_GAPS * spacing / length, 1, _N_SPANS))
    picks = rng.permutation(len(gaps))[:n_spans]
    centers = sorted((gaps[k][0] + gaps[k][1]) // 2 for k in picks)
    spans = []
    for center in centers:
        a = int(np.clip(center - length // 2, 0, max(0, n_times - length)))
        if not spans or a >= spans[-1][1]:
            spans.append((a, min(a + length, n_times)))
    for _ in range(_INTERMITTENT_ROUNDS):
        parts = [np.zeros((0, 2), int) for _ in range(len(bad))]
        for a, b in spans:
            mask = bad.paint(a, b)
            mask[whole] = False
            shift = int(rng.integers((b - a) // 4, 3 * (b - a) // 4 + 1))
            hidden = np.roll(mask, shift, axis=1) & ~bad.paint(a, b)
            # Some channels have to be left to estimate the others from.
            hidden[:, (~(hidden | bad.paint(a, b))).sum(axis=0) < 4] = False
            for c, rows in enumerate(find_spans(hidden).spans):
                parts[c] = np.concatenate([parts[c], rows + a])
        yield BadSpans(tuple(parts), n_times), spans


def _find_evidence(stacks, trials):
    """Return what the report shows of the trials; None if no signal was hidden."""
    shown = next((k for k in KINDS if k in trials and trials[k].truth_power > 0), None)
    if shown is None:
        return None
    trial, stack = trials[shown], stacks[shown]
    scores, r, coverage = trial.get_scores(stack)
    spatial = 1 - np.sum(list(stack.weights.values()), axis=0)
    return Evidence(
        weights={
            "spatial": spatial,
            **{name: stack.weights[name] for name in trial.experts if stack.weights[name].any()},
        },
        scores=scores,
        r=r,
        seconds=trial.seconds,
        source="recording",
        coverage=coverage,
        calibration=stack.calibration,
    )


# ---------------------------------------------------------------------------------------------
# Estimate: combine the experts


def estimate(block, plan):
    """Estimate the bad samples of a block, which are overwritten."""
    if not plan.stacks:
        return estimate_spatial(block, plan.spatial)
    draws = _draw_errors(block, plan.spatial)
    stacks = plan.stacks.values()
    used = [name for name in plan.experts if any(s.weights[name].any() for s in stacks)]
    estimates, corrections = estimate_candidates(block, plan, used)
    combine(block, estimates, corrections, plan.stacks, plan.spatial.whole, draws)
    finish(block, estimates, plan.spatial)
    return estimates


def _draw_errors(block, spatial):
    """Draw errors of the spatial estimate, shape of the data; None if nothing is to be drawn."""
    if spatial.noise is None:
        return None
    drawn, mean = block.copy(), block.copy()
    estimate_spatial(drawn, spatial)
    estimate_spatial(mean, replace(spatial, noise=None))
    return drawn.data - mean.data


def combine(block, estimates, corrections, stacks, whole, draws=None):
    """Add the weighted corrections to the spatial estimates, and calibrate these, in place.

    ``whole (n_channels,)`` are the channels that are bad throughout; ``draws (n_channels,
    n_times)`` are errors to be added, for a draw from the posterior.
    """
    weights = {
        kind: np.array([stack.weights[name] for name in corrections])
        for kind, stack in stacks.items()
    }
    groups = {}
    for number, estimate in enumerate(estimates):
        kind = "whole" if whole[estimate.channel] else "intermittent"
        if weights[kind].any():
            place = (estimate.start, estimate.stop) if kind == "whole" else number
            groups.setdefault((kind, place), []).append(number)
        factor = 1.0 if estimate.invented else stacks[kind].calibration
        estimate.std = estimate.std * factor
        if draws is not None:
            estimate.values += factor * draws[estimate.channel, estimate.start : estimate.stop]
    for (kind, _), numbers in groups.items():
        own = [estimates[number] for number in numbers]
        parts = [[changes[k] for k in numbers] for changes in corrections.values()]
        change = _weigh(np.array(parts), weights[kind], own[0], block)
        for estimate, row in zip(own, change, strict=True):
            estimate.values += row


def _weigh(parts, weights, place, block):
    """Add up corrections ``(n_experts, n_estimates, n_times)`` of one place, band by band."""
    if not np.ptp(weights, axis=1).any():
        return np.tensordot(weights[:, 0], parts, axes=1)
    change = np.zeros(parts.shape[1:])
    for start, stop in block.segments:  # nothing is filtered over their borders
        a, b = max(start, place.start) - place.start, min(stop, place.stop) - place.start
        if b > a:
            bands = np.tensordot(weights.T, parts[..., a:b], axes=1)
            change[:, a:b] = sum_bands(bands, block.sfreq)
    return change
