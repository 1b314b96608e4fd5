# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The weights of experts, from their errors on hidden samples.

They are not negative and add up to at most 1, the rest being that of the spatial estimate. The
errors are pooled with those on the training subjects: the less data a recording has, the more these
count.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from ..covariance import N_BANDS, split_bands

KINDS = ("whole", "intermittent")
_DEFAULTS = Path(__file__).parents[1] / "data" / "stacking.json"
_PSEUDO_CHANNELS = 4.0  # so many hidden channels count as much as the training subjects
_SPANS_OF_CHANNEL = 6  # entries of one channel repeat each other: so many count as one
_NORMAL_90 = 1.6449
_TOGETHER = 2**16  # samples of entries that are filtered at once


@dataclass(frozen=True, eq=False)
class Sums:
    """Products of errors and corrections of hidden samples, over the squared error of the band."""

    count: float  # hidden spans
    gram: np.ndarray  # (n_bands, n_experts, n_experts), of corrections
    across: np.ndarray  # (n_bands, n_experts), of corrections and the error


@dataclass(frozen=True, eq=False)
class Stack:
    """How experts are combined in one kind of gap.

    ``weights`` are arrays (n_bands,) by expert; the standard deviation of the spatial estimate is
    multiplied by ``calibration``.
    """

    weights: dict
    calibration: float


def solve_weights(gram, across):
    """Minimise ``w' gram w - 2 across w`` over weights that are not negative and sum to at most 1.

    ``gram (n, n)`` are products of corrections, ``across (n,)`` products of corrections and error.
    Corrections that are nothing get the weight 0.
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
        # On the border of the simplex: one more equation, of great weight, enforces it.
        heavy = 1e3 * np.sqrt(np.diagonal(part).max())
        system = np.vstack([factor, np.full(len(used), heavy)])
        found, _ = nnls(system, np.r_[np.linalg.solve(factor.T, across[used]), heavy])
        found /= max(1.0, found.sum())
    weights[used] = found
    return weights


def weigh_experts(sums, kind, experts):
    """Find the weight of each expert in each band; in intermittent gaps all bands share it."""
    weights = np.zeros((len(experts), N_BANDS))
    for band in range(N_BANDS if kind == "whole" else 1):
        weights[:, band] = solve_weights(sums.gram[band], sums.across[band])
    if kind != "whole":  # such gaps are too short to be filtered
        weights[:] = weights[:, :1]
    return dict(zip(experts, weights, strict=True))


class Trial:
    """Errors on hidden samples in one kind of gap, as they come in.

    ``experts`` are the names of all that there are, ``available`` of those in this recording.
    """

    def __init__(self, kind, sfreq, experts, available):
        self.kind, self.sfreq = kind, sfreq
        self.experts, self.available = tuple(experts), tuple(available)
        self.seconds = self.truth_power = 0.0
        self._entries, self._products = [], []  # of entries, the latter as far as computed

    def add(self, truth, estimate, std, corrections):
        """Add one span of one channel that was hidden, each an array (n_times,).

        Truth and spatial estimate are without the mean of the good channels; ``std`` is the
        expected standard deviation of the error, ``corrections`` what each expert would add.
        """
        n_times = len(truth)
        rows = [corrections.get(name, 0.0) + np.zeros(n_times) for name in self.experts]
        both = np.stack([truth, truth - estimate, *rows])
        if self.kind == "whole":
            # Offsets and drifts are each electrode's own: no expert is judged by them.
            both = _detrend(both)
        self._entries.append((both, std))
        self.truth_power += both[0] @ both[0]
        self.seconds += n_times / self.sfreq

    def _measure(self):
        """Return the products of each entry, per band (n_bands, 1 + n_experts, 1 + n_experts)."""
        new = self._entries[len(self._products) :]
        by_length = {}
        for number, (both, _) in enumerate(new):
            by_length.setdefault(both.shape[1], []).append(number)
        found = [None] * len(new)
        for n_times, same in by_length.items():
            size = max(1, _TOGETHER // n_times)
            for some in (same[k : k + size] for k in range(0, len(same), size)):
                products = self._multiply(np.stack([new[k][0][1:] for k in some]))
                for k, own in zip(some, products, strict=True):
                    found[k] = own
        self._products += found
        return self._products

    def _multiply(self, rows):
        """Return products per band of errors and corrections (n_entries, n_rows, n_times)."""
        n_entries, n_rows, n_times = rows.shape
        used = np.flatnonzero(rows.any(axis=(0, 2)))
        parts = rows[None, :, used]
        if self.kind == "whole":  # other gaps are too short for filters
            flat = split_bands(parts.reshape(-1, n_times), self.sfreq)
            parts = flat.reshape(N_BANDS, n_entries, len(used), n_times)
        products = np.zeros((n_entries, N_BANDS, n_rows, n_rows))
        found = (parts @ np.swapaxes(parts, -1, -2)).swapaxes(0, 1)
        products[:, : found.shape[1], used[:, None], used] = found
        return products

    def get_sums(self):
        """Return what the weights follow from; None if nothing was hidden."""
        if not self._entries:
            return None
        # Each channel counts as much as the next: otherwise a loud one would decide alone.
        products = np.array(self._measure())
        lengths = np.array([both.shape[1] for both, _ in self._entries])
        sizes = products[:, :, 0, 0].sum(axis=1) / lengths
        sizes = np.maximum(sizes, 1e-6 * sizes.mean() + 1e-30)
        total = (products / sizes[:, None, None, None]).sum(axis=0)
        error = np.maximum(total[:, 0, 0], 1e-30)
        return Sums(
            len(self._entries),
            total[:, 1:, 1:] / error[:, None, None],
            total[:, 1:, 0] / error[:, None],
        )

    def solve(self):
        """Return weights and calibration, pooled with those of the training subjects."""
        defaults, sums = load_defaults(self.experts)[self.kind], self.get_sums()
        base, share = defaults["sums"], 0.0
        if sums is not None:
            count = sums.count / (_SPANS_OF_CHANNEL if self.kind == "whole" else 1)
            share = count / (count + _PSEUDO_CHANNELS)
        gram, across = (1 - share) * base.gram, (1 - share) * base.across
        if sums is not None:
            gram, across = gram + share * sums.gram, across + share * sums.across
        there = np.isin(self.experts, self.available)
        pooled = Sums(base.count, gram * (there[:, None] & there), across * there)
        weights = weigh_experts(pooled, self.kind, self.experts)
        calibration = np.log(defaults["calibration"]) * (1 - share)
        if sums is not None:
            calibration += share * np.log(self.get_calibration(weights))
        return Stack(weights, float(np.exp(calibration)))

    def get_calibration(self, weights):
        """Return the factor that puts 90 % of the hidden samples into the 90 % interval."""
        means = np.array([weights[name].mean() for name in self.experts])
        ratios = []
        for both, std in self._entries:
            left = both[1] - means @ both[2:]
            ratios.append(np.abs(left) / np.maximum(std, 1e-30))
        return float(np.clip(np.quantile(np.concatenate(ratios), 0.9) / _NORMAL_90, 0.2, 5.0))

    def get_scores(self, stack):
        """Return NMSE and r of every expert and of their combination, by name, and the coverage.

        Requires that the truth has any power.
        """
        means = np.array([stack.weights[name].mean() for name in self.experts])
        errors, crosses, powers, inside, n_times = {}, {}, {}, 0, 0
        for both, std in self._entries:
            truth, error = both[:2]
            mixed = means @ both[2:]
            changes = {"spatial": np.zeros(len(truth)), "auto": mixed}
            changes |= dict(zip(self.experts, both[2:], strict=True))
            for name, change in changes.items():
                if name not in ("spatial", "auto") and not change.any():
                    continue
                left = error - change
                guess = truth - left
                errors[name] = errors.get(name, 0.0) + left @ left
                crosses[name] = crosses.get(name, 0.0) + guess @ truth
                powers[name] = powers.get(name, 0.0) + guess @ guess
            inside += (np.abs(error - mixed) <= _NORMAL_90 * stack.calibration * std).sum()
            n_times += len(truth)
        scores = {name: float(value / self.truth_power) for name, value in errors.items()}
        r = {
            name: float(crosses[name] / np.sqrt(powers[name] * self.truth_power))
            for name in errors
            if powers[name] > 0
        }
        return scores, r, float(inside / n_times)


def _detrend(rows):
    """Subtract its straight line from each row."""
    n_times = rows.shape[-1]
    rows = rows - rows.mean(axis=-1, keepdims=True)
    if n_times < 3:
        return rows
    ramp = np.linspace(-1, 1, n_times)
    return rows - (rows @ ramp / (ramp @ ramp))[:, None] * ramp


@lru_cache(maxsize=1)
def load_defaults(experts):
    """Return what was found on the training subjects, ``sums`` and ``calibration`` by kind."""
    content = json.loads(_DEFAULTS.read_text(encoding="utf-8"))
    if content["experts"] != list(experts):
        raise RuntimeError(
            f"{_DEFAULTS} was made with the experts {content['experts']}, expected {list(experts)}."
        )
    defaults = {}
    for kind in KINDS:
        own = content[kind]
        sums = Sums(own["count"], np.array(own["gram"]), np.array(own["across"]))
        defaults[kind] = dict(sums=sums, calibration=own["calibration"])
    return defaults
