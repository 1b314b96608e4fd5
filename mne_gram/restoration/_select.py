# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Try experts on clean samples of the recording that are hidden for the purpose.

The less a recording has to show, the more counts what was found on the training people.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .._recording import BadSpans, find_spans
from ..covariance import N_BANDS, split_bands
from ._evidence import Evidence
from ._stacking import EXPERTS, KINDS, Stack, estimate_experts, weigh_experts

_DEFAULTS = Path(__file__).parents[1] / "data" / "stacking.json"
_SHARE = 0.12  # of the good channels, hidden all through in a round
_N_CHANNELS, _MAX_ROUNDS = 15, 5  # about so many channels in all, in at most so many rounds
_PASSING_ROUNDS = 2
_N_STRETCHES, _SECONDS = 6, 8.0
_MIN_SECONDS = 1.0
_PSEUDO_CHANNELS = 4.0  # so many hidden channels count as much as the training people do
_NORMAL_90 = 1.6449


@dataclass(frozen=True, eq=False)
class Sums:
    """Products of errors and corrections, summed over hidden samples.

    Attributes
    ----------
    count : float
        Hidden channels (or stretches) that they rest on.
    gram : array, shape (n_bands, n_experts, n_experts)
        Products of corrections, over the squared error of the spatial estimate in that band.
    across : array, shape (n_bands, n_experts)
        Products of corrections and that error, likewise.

    Notes
    -----
    Each hidden stretch is scaled by the size of its own error before it is added.
    """

    count: float
    gram: np.ndarray
    across: np.ndarray


def learn_stack(samples, bad, plan, refit, seed=0):
    """Hide clean samples, restore them by every expert, and find the weights that fit best.

    Parameters
    ----------
    samples : Samples
        The signals.
    bad : BadSpans
        What is bad.
    plan : Plan
        What was learnt from the recording.
    refit : callable
        Called with what is bad and what is hidden as one BadSpans, returns a plan without looking
        at it.
    seed : int
        Seed of what is hidden. The weights depend on it a little, so it is always the same.

    Returns
    -------
    stacks : dict of str to Stack
        For each kind of gap that the recording has.
    trials : dict of str to Trial
        What they were learnt from.
    """
    rng = np.random.default_rng(seed)
    stacks, trials = {}, {}
    for kind in KINDS:
        affected = bad.whole if kind == "whole" else (bad.n_bad > 0) & ~bad.whole
        affected[sorted(plan.lost)] = False
        if not affected.any():
            continue
        trial = Trial(kind, plan.info["sfreq"], plan.expert_names)
        draw = _hide_channels if kind == "whole" else _hide_stretches
        for hidden, stretches in draw(samples, bad, plan, rng):
            try_hidden(samples, bad, hidden, stretches, refit(bad.join(hidden)), trial)
        stacks[kind], trials[kind] = trial.solve(), trial
    return stacks, trials


class Trial:
    """Errors on hidden samples, as they come in.

    Parameters
    ----------
    kind : str
        Kind of gap.
    sfreq : float
        Sampling rate in Hz.
    experts : iterable of str
        Those that may get a weight.
    """

    def __init__(self, kind, sfreq, experts=EXPERTS):
        self.kind, self.sfreq, self.experts = kind, sfreq, tuple(experts)
        self.seconds = 0.0
        self._entries = []

    def add(self, truth, estimate, std, corrections):
        """Add one stretch of one channel that was hidden.

        Parameters
        ----------
        truth, estimate, std : array, shape (n_times,)
            What was hidden, the spatial estimate (both without the mean of what was seen), and the
            standard deviation that it claims.
        corrections : dict of str to array, shape (n_times,)
            What each expert would add.
        """
        n_times = len(truth)
        rows = [corrections.get(name, 0.0) + np.zeros(n_times) for name in EXPERTS]
        both = np.stack([truth, truth - estimate, *rows])
        if self.kind == "whole":
            # Offsets and drifts are each electrode's own: no expert is judged by them.
            both = _detrend(both)
            parts = split_bands(both, self.sfreq)  # (n_bands, 2 + n_experts, n_times)
        else:  # too short for filters
            parts = np.concatenate([both[None], np.zeros((N_BANDS - 1, *both.shape))])
        self._entries.append((parts @ np.swapaxes(parts, -1, -2), n_times, both, std))
        self.seconds += n_times / self.sfreq

    def get_sums(self):
        """Return what the weights follow from; None if nothing was hidden."""
        if not self._entries:
            return None
        # Each channel counts as much as the next: otherwise a loud one would decide alone.
        sizes = np.array([products[:, 1, 1].sum() / n for products, n, *_ in self._entries])
        sizes = np.maximum(sizes, 1e-6 * sizes.mean() + 1e-30)
        total = sum(entry[0] / size for entry, size in zip(self._entries, sizes, strict=True))
        error = np.maximum(total[:, 1, 1], 1e-30)
        return Sums(
            len(self._entries),
            total[:, 2:, 2:] / error[:, None, None],
            total[:, 2:, 1] / error[:, None],
        )

    def solve(self, defaults=None):
        """Return weights and calibration."""
        defaults = load_defaults()[self.kind] if defaults is None else defaults
        sums, base = self.get_sums(), defaults["sums"]
        share = 0.0
        if sums is not None:
            # Stretches of one channel repeat each other.
            count = sums.count / (_N_STRETCHES if self.kind == "whole" else 1)
            share = count / (count + _PSEUDO_CHANNELS)
        gram, across = (1 - share) * base.gram, (1 - share) * base.across
        if sums is not None:
            gram, across = gram + share * sums.gram, across + share * sums.across
        weights = weigh_experts(gram, across, self.kind, self.experts)
        calibration = np.log(defaults["calibration"]) * (1 - share)
        if sums is not None:
            calibration += share * np.log(self.get_calibration(weights))
        return Stack(weights, float(np.exp(calibration)))

    def get_calibration(self, weights):
        """Return the factor that puts 90 % of the hidden samples into the 90 % interval."""
        ratios = []
        for _, _, both, std in self._entries:
            left = both[1] - weights.mean(axis=1) @ both[2:]
            ratios.append(np.abs(left) / np.maximum(std, 1e-30))
        return float(np.clip(np.quantile(np.concatenate(ratios), 0.9) / _NORMAL_90, 0.2, 5.0))

    def get_scores(self, stack):
        """Return NMSE and r of every expert and of their combination, and the coverage."""
        errors, crosses, powers, inside, n_times = {}, {}, {}, 0, 0
        truth_power = 0.0
        for _, n, both, std in self._entries:
            truth, error = both[:2]
            truth_power += truth @ truth
            mixed = stack.weights.mean(axis=1) @ both[2:]
            changes = {"spatial": np.zeros(n), "auto": mixed}
            changes |= dict(zip(EXPERTS, both[2:], strict=True))
            for name, change in changes.items():
                if name not in ("spatial", "auto") and not change.any():
                    continue
                left = error - change
                guess = truth - left
                errors[name] = errors.get(name, 0.0) + left @ left
                crosses[name] = crosses.get(name, 0.0) + guess @ truth
                powers[name] = powers.get(name, 0.0) + guess @ guess
            inside += (np.abs(error - mixed) <= _NORMAL_90 * stack.calibration * std).sum()
            n_times += n
        scores = {name: float(value / truth_power) for name, value in errors.items()}
        r = {
            name: float(crosses[name] / np.sqrt(powers[name] * truth_power))
            for name in errors
            if powers[name] > 0
        }
        return scores, r, float(inside / n_times)


def tell_evidence(stacks, trials):
    """Put what was learnt into the form that the report shows; None if nothing was hidden."""
    shown = next((k for k in KINDS if k in trials and trials[k].seconds), None)
    if shown is None:
        return None
    scores, r, coverage = trials[shown].get_scores(stacks[shown])
    used = trials[shown].experts
    pairs = zip(EXPERTS, stacks[shown].weights, strict=True)
    weights = {name: values for name, values in pairs if name in used}
    spatial = 1 - stacks[shown].weights.sum(axis=0)
    return Evidence(
        weights={"spatial": spatial, **weights},
        scores=scores,
        r=r,
        seconds=trials[shown].seconds,
        source="recording",
        coverage=coverage,
        calibration=stacks[shown].calibration,
    )


def _detrend(rows):
    """Take the straight line off each row."""
    n_times = rows.shape[-1]
    rows = rows - rows.mean(axis=-1, keepdims=True)
    if n_times < 3:
        return rows
    ramp = np.linspace(-1, 1, n_times)
    return rows - (rows @ ramp / (ramp @ ramp))[:, None] * ramp


def try_hidden(samples, bad, hidden, stretches, plan, trial):
    """Restore what is hidden in some stretches of time.

    Parameters
    ----------
    samples : Samples
        The signals.
    bad, hidden : BadSpans
        What is bad, and what is hidden besides.
    stretches : list of tuple of int
        Starts and stops in samples.
    plan : Plan
        What was learnt without looking at either.
    trial : Trial
        Takes the errors.
    """
    for start, stop in stretches:
        truth = samples.read(start, stop)
        away = hidden.paint(start, stop) & ~bad.paint(start, stop)
        if not away.any():
            continue
        mask = bad.paint(start, stop) | away
        pieces = [
            (max(a, start) - start, min(b, stop) - start)
            for a, b in samples.pieces
            if a < stop and b > start
        ]
        data = np.where(mask, 0.0, truth)
        good = ~mask & (plan.units > 0)[:, None]
        mean = np.where(good, data, 0.0).sum(axis=0) / np.maximum(good.sum(axis=0), 1)
        segments, corrections = estimate_experts(data, mask, pieces, plan, start)
        for number, segment in enumerate(segments):
            row = away[segment.channel, segment.start : segment.stop]
            if segment.invented or row.sum() < 3:
                continue
            part = slice(segment.start, segment.stop)
            carried = plan.units[segment.channel] * mean[part][row]
            trial.add(
                truth[segment.channel, part][row] - carried,
                segment.values[row] - carried,
                segment.std[row],
                {
                    name: (changes[number] + np.zeros(len(row)))[row]
                    for name, changes in corrections.items()
                },
            )


def _hide_channels(samples, bad, plan, rng):
    """Draw good channels to be hidden all through, and stretches of time to judge them in."""
    # By name, so that the order of channels plays no role.
    names = plan.info["ch_names"]
    good = sorted(np.flatnonzero(bad.n_bad == 0), key=lambda k: names[k])
    good = rng.permutation(good).astype(int)
    if len(good) < 4:
        return
    size = max(1, round(_SHARE * len(good)))
    stretches = _spread_stretches(samples, plan.info["sfreq"])
    n_rounds = min(-(-_N_CHANNELS // size), _MAX_ROUNDS, len(good) // size)
    for k in range(n_rounds):
        chosen = set(good[k * size : (k + 1) * size].tolist())
        everything = np.array([[0, samples.n_times]])
        nothing = np.zeros((0, 2), int)
        spans = tuple(everything if c in chosen else nothing for c in range(len(bad)))
        yield BadSpans(spans, samples.n_times), stretches


def _spread_stretches(samples, sfreq):
    """Return some stretches of time, evenly spread over the recording."""
    length = round(_SECONDS * sfreq)
    last = samples.n_times - length
    if last <= (_N_STRETCHES - 1) * length:
        edges = np.arange(0, samples.n_times, length)
        found = [(int(a), int(min(a + length, samples.n_times))) for a in edges]
    else:
        starts = np.linspace(0, last, _N_STRETCHES).round().astype(int)
        found = [(int(a), int(a) + length) for a in starts]
    return [(a, b) for a, b in found if b - a >= _MIN_SECONDS * sfreq] or found[:1]


def _hide_stretches(samples, bad, plan, rng):
    """Draw stretches to be hidden: the bad ones, moved to where the same channels are good."""
    whole = bad.whole
    length = round(_SECONDS * plan.info["sfreq"])
    spans = sorted((a, b) for k, rows in enumerate(bad.spans) if not whole[k] for a, b in rows)
    if not spans:
        return
    picks = rng.permutation(len(spans))[:_N_STRETCHES]
    centers = sorted((spans[k][0] + spans[k][1]) // 2 for k in picks)
    stretches = []
    for center in centers:
        a = int(np.clip(center - length // 2, 0, max(0, samples.n_times - length)))
        if not stretches or a >= stretches[-1][1]:
            stretches.append((a, min(a + length, samples.n_times)))
    for _ in range(_PASSING_ROUNDS):
        parts = [np.zeros((0, 2), int) for _ in range(len(bad))]
        for a, b in stretches:
            mask = bad.paint(a, b)
            mask[whole] = False
            shift = int(rng.integers((b - a) // 4, 3 * (b - a) // 4 + 1))
            hidden = np.roll(mask, shift, axis=1) & ~bad.paint(a, b)
            # Somebody has to be left to tell.
            hidden[:, (~(hidden | bad.paint(a, b))).sum(axis=0) < 4] = False
            for c, rows in enumerate(find_spans(hidden).spans):
                parts[c] = np.concatenate([parts[c], rows + a])
        yield BadSpans(tuple(parts), samples.n_times), stretches


@lru_cache(maxsize=1)
def load_defaults():
    """Return what was found on the training people, by kind of gap."""
    content = json.loads(_DEFAULTS.read_text(encoding="utf-8"))
    if content["experts"] != list(EXPERTS):
        raise RuntimeError(f"{_DEFAULTS} is of other experts: {content['experts']}.")
    return {
        kind: dict(
            sums=Sums(
                content[kind]["count"],
                np.array(content[kind]["gram"]),
                np.array(content[kind]["across"]),
            ),
            calibration=content[kind]["calibration"],
        )
        for kind in KINDS
    }
