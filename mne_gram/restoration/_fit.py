# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Learn from a recording what the spatial estimate needs: covariance, baselines, noise."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from mne.utils import warn

from .._recording import find_all_channel_gaps, measure_moments
from ..covariance import (
    MIN_GOOD,
    Prior,
    channel_rows,
    find_precision,
    fit_sources,
    forward_components,
    interpolation_operators,
    leave_out_own,
    mix_covariance,
    resolve_prior,
    update_covariance,
)
from ..montage import match_channels
from ._evidence import Evidence
from ._gaps import Miss
from ._noise import Noise, measure_slow
from ._patterns import Patterns

_BASELINE_SECONDS = 30.0
_POOLED = 5.0  # seconds: shorter segments, such as epochs, share their baseline
_OFFSET = 5.0  # times a channel's median absolute deviation: then baselines are subtracted


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """How a method learns from a recording and estimates; named as the options of `restore`.

    ``seed`` is a SeedSequence to draw from the posterior with, or None for its mean; ``fill_gaps``
    is whether to fill gaps of all channels.
    """

    prior: object = None
    on_missing: str = "warn"
    seed: np.random.SeedSequence | None = None
    fill_gaps: bool = False
    model: object = "gram-tiny"
    line_freq: float | None = None
    device: object = None
    batch_size: int | None = None


# ---------------------------------------------------------------------------------------------
# Covariance


@dataclass(frozen=True, eq=False)
class Statistics:
    """The covariances of a recording's clean data, and the prior that completes them.

    ``places`` locates the channels, ``moments`` are the recording's own, ``power`` is the variance
    of a typical channel if there are none, ``max_contrasts`` limits the comparison with the
    library, and ``located`` is whether all channels have positions that are used.
    """

    prior: Prior
    places: tuple
    moments: list
    power: float
    max_contrasts: int | None = None
    located: bool = True

    def measure(self, recording, max_contrasts=None):
        """Return those of another recording of the same channels, such as one that hides more."""
        moments = measure_moments(recording, self.places.carries_reference)
        return replace(
            self,
            prior=leave_out_own(self.prior, self.places, moments),
            moments=moments,
            power=1.0 if moments else _typical_power(recording),
            max_contrasts=max_contrasts,
        )

    @cached_property
    def mixture(self):
        """The prior's covariances, mixed to resemble the recording."""
        return mix_covariance(
            self.prior,
            self.places,
            self.moments,
            power=self.power,
            max_contrasts=self.max_contrasts,
        )

    def adapt(self, mixed=None, noise=0.0):
        """Update a mixed covariance by the recording's own; returns (n_bands, n, n)."""
        mixed = self.mixture.cov if mixed is None else mixed
        return update_covariance(mixed, self.places.carries_reference, self.moments, noise)

    def adapt_sphere(self):
        """Return the same with sources in a sphere in place of other subjects' recordings."""
        complete = partial(_complete_by_sphere, places=self.places)
        mixture = mix_covariance(self.prior, self.places, self.moments, complete=complete)
        return self.adapt(mixture.cov)

    @property
    def cohort_weight(self):
        """The weight of the cohort in the mixture, on average over bands; None without one."""
        n_cohort, weights = self.prior.n_cohort, self.mixture.weights
        if not n_cohort or weights is None:
            return None
        return float(weights[:, -n_cohort:].sum() / weights.sum())


def measure_statistics(recording, prior, max_contrasts=None):
    """Measure a recording's clean data; ``prior`` is as in `restore`."""
    prior = resolve_prior(prior)
    cmap = match_channels(recording.info, on_missing="ignore", verbose="error")
    places = channel_rows(cmap, prior)
    _check_overlap(prior, places)
    located = bool(np.isfinite(cmap.positions).all())
    statistics = Statistics(prior, places, [], 1.0, max_contrasts, located)
    return statistics.measure(recording, max_contrasts)


def _check_overlap(prior, places):
    """Warn if a prior without the bundled recordings knows none of the electrodes."""
    used = (np.abs(places.rows) > 0.05).any(axis=0)
    if used.any() and not (used & prior.covered).any():
        warn(
            "The prior has no recording with any electrode of these data, so what it says of them "
            "follows from a model of the head. Fit it with base='bundled', or leave prior out."
        )


def _typical_power(recording):
    """Return the median over channels of the variance of their good samples."""
    part, good = recording.read_good(recording.samples.thin())
    part = np.where(good, part, 0.0)
    count = np.maximum(good.sum(axis=1), 1)
    mean = part.sum(axis=1) / count
    variance = (((part - mean[:, None]) ** 2) * good).sum(axis=1) / count
    return np.median(variance[good.any(axis=1)])


def _complete_by_sphere(cov, good, places):
    """Complete a covariance to all electrodes by cortical sources in a sphere that explain it."""
    own = places.own[np.ix_(good, good)]
    rows, carries_reference = places.rows[good], places.carries_reference[good]
    return fit_sources(forward_components(), cov, rows, carries_reference, own)


def _find_lost(recording, statistics, on_missing):
    """Return bad channels of which it is unknown how they covary with the others."""
    bad, known = recording.bad, statistics.places.known
    seen = np.zeros(len(bad), bool)
    for moments in statistics.moments:
        seen[moments.good] = True
    nowhere = (known & ~bad.whole).sum() < MIN_GOOD  # to estimate others from
    lost = np.flatnonzero((bad.n_bad > 0) & ~seen & (nowhere | ~known))
    if len(lost):
        why = "with neither a known name nor a position"
        if nowhere:
            why = "and fewer than two good channels have a known name or a position"
        message = (
            f"Cannot restore {', '.join(recording.ch_names[k] for k in lost)}: bad (nearly) "
            f"throughout the recording, {why}. Rename channels to 10-05 names "
            "(inst.rename_channels) or set their positions (inst.set_montage)."
        )
        if on_missing == "raise":
            raise ValueError(message)
        if on_missing == "warn":
            warn(f"{message} They are left unchanged.")
    return frozenset(lost.tolist())


# ---------------------------------------------------------------------------------------------
# The spatial estimate


class Operators(Patterns):
    """Interpolation weights by pattern of good channels, each computed once.

    ``cov (n_bands, n_channels, n_channels)`` is the covariance per band, and ``excess`` how much
    larger the errors are than it predicts.
    """

    def __init__(self, cov, carries_reference, excess=1.0):
        self.cov, self.carries_reference, self.excess = cov, carries_reference, excess
        super().__init__()

    def compute(self, good, bad):
        """Return the weights per band, those for all bands at once, and the error's covariances."""
        carries = self.carries_reference
        bands, error = interpolation_operators(self.cov, carries, good, bad)
        total, _ = interpolation_operators(self.cov.sum(axis=0), carries, good, bad)
        return bands, total, error

    def find_precisions(self, channels):
        """Return the inverse of the covariance of some channels, per band and of all bands."""
        cov = np.concatenate([self.cov, self.cov.sum(axis=0)[None]])
        cov = cov[:, channels[:, None], channels]
        found = find_precision(cov, self.carries_reference[channels])
        return found[:-1], found[-1]

    def scale(self, error):
        """Return the standard deviations that follow from an error's covariances."""
        return self.excess * np.sqrt(np.einsum("bii->i", error).clip(0))

    def size(self, good, bad):
        """Return the standard deviation of bad channels, relative to the mean of the good ones."""
        carries = self.carries_reference
        share = carries[good] / max(carries[good].sum(), 1)
        frame = np.eye(len(carries))[bad]
        frame[:, good] -= np.outer(carries[bad], share)
        variance = np.einsum("ij,jk,ik->i", frame, self.cov.sum(axis=0), frame)
        return self.excess * np.sqrt(variance.clip(0))


@dataclass(frozen=True, eq=False)
class SpatialFit:
    """The spatial estimate, fitted to a recording."""

    whole: np.ndarray  # (n_channels,), whether bad throughout the recording
    operators: Operators  # how channels are estimated from each other
    baselines: dict  # by channel, from find_baselines
    noise: Noise | None  # what to draw from the posterior with; None for its mean
    fill_gaps: bool  # whether to fill gaps of all channels
    lost: frozenset  # channels that cannot be restored
    holes: np.ndarray  # (n_holes, 2), segments throughout which too few channels are good
    miss: Miss | None = None  # around the gaps of the recording; None to measure it in the block
    known: dict = field(default_factory=dict)  # gaps by channel that continue beyond the block
    cohort_weight: float | None = None  # in the mixture of the library, if there is a cohort


@dataclass(frozen=True, eq=False)
class Plan:
    """What the ``fit`` of a method returns and its ``estimate`` takes.

    ``spatial`` is None for a method that does not use it, ``evidence`` if nothing was hidden.
    """

    spatial: SpatialFit | None = None
    evidence: Evidence | None = None

    @property
    def carries_reference(self):
        """Which channels carry the reference (1) or not (0); None if that plays no role."""
        return None if self.spatial is None else self.spatial.operators.carries_reference


def fit_spatial(recording, statistics, settings, baselines=None):
    """Learn what the spatial estimate needs; ``baselines`` are to be found if None."""
    lost = _find_lost(recording, statistics, settings.on_missing)
    carries_reference = statistics.places.carries_reference
    fitted = fit_covariance(
        recording, statistics.adapt(), carries_reference, settings, lost, baselines
    )
    return replace(fitted, cohort_weight=statistics.cohort_weight)


def fit_covariance(recording, cov, carries_reference, settings, lost=frozenset(), baselines=None):
    """Learn what the spatial estimate needs in addition to the covariance."""
    if baselines is None:
        baselines = find_baselines(recording, carries_reference)
    excess = _find_excess(recording, cov, carries_reference, baselines)
    noise = None
    if settings.seed is not None:
        noise = Noise(settings.seed, len(recording.bad), measure_slow(recording))
    return SpatialFit(
        recording.bad.whole,
        Operators(cov, carries_reference, excess),
        baselines,
        noise,
        settings.fill_gaps,
        lost,
        _find_holes(recording),
    )


def move_fit(spatial, recording):
    """Return the fit for other data of the same channels, from which no covariance is learnt."""
    return replace(
        spatial,
        whole=recording.bad.whole,
        baselines=find_baselines(recording, spatial.operators.carries_reference),
        holes=_find_holes(recording),
    )


def _find_excess(recording, cov, carries_reference, baselines):
    """Return how much larger the signals are than the bands in which covariances are measured.

    Drifts and frequencies above 45 Hz are not in the covariance, but in the errors.
    """
    step = recording.samples.thin()
    part, good = recording.read_good(step)
    for channel, baseline in baselines.items():
        part[channel] -= baseline(np.arange(0, recording.n_times, step))
    others = np.flatnonzero(~recording.bad.whole)
    good = good[others]
    part = np.where(good, part[others], 0.0)
    carries = carries_reference[others]
    carried = good * carries[:, None]
    mean = (part * carried).sum(axis=0) / np.maximum(carried.sum(axis=0), 1)
    found = (((part - mean * carries[:, None]) * good) ** 2).sum(axis=1) / good.sum(axis=1)
    frame = np.eye(len(others)) - np.outer(carries, carries / max(carries.sum(), 1))
    within = frame @ cov.sum(axis=0)[np.ix_(others, others)] @ frame.T
    expected = np.diagonal(within)
    known = (good.sum(axis=1) > 1) & (expected > 0)
    return max(1.0, np.sqrt(np.median(found[known] / expected[known]))) if known.any() else 1.0


def _find_holes(recording):
    """List the segments of continuous time throughout which too few channels are good, (n, 2)."""
    gaps = find_all_channel_gaps(recording.bad)
    holes = [
        segment
        for segment in recording.segments
        if ((gaps[:, 0] <= segment[0]) & (segment[1] <= gaps[:, 1])).any()
    ]
    return np.array(holes, int).reshape(-1, 2)


# ---------------------------------------------------------------------------------------------
# Baselines


def find_baselines(recording, carries_reference):
    """Find the offsets and slow drifts of single channels, which no other channel shows.

    Returns, by channel, a function of samples: straight lines between medians over half minutes.
    """
    sfreq, carries = recording.sfreq, carries_reference
    samples, bad = recording.samples, recording.bad
    blocks = _baseline_blocks(recording.segments, sfreq)
    always = (bad.n_bad == 0) & (carries > 0)
    medians, spreads = np.full((2, len(bad), len(blocks)), np.nan)
    for block, (a, b, _) in enumerate(blocks):
        step = max(1, (b - a) // 2000)  # a median needs no more samples than that
        part, wrong = samples.read(a, b, step), bad.paint(a, b, step)
        kept = always[:, None] if always.any() else ~wrong & (carries > 0)[:, None]
        shared = np.where(kept, part, 0).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
        enough = np.flatnonzero((~wrong).sum(axis=1) * step > sfreq)
        part = part - carries[:, None] * shared
        for channel in enough:  # far faster than medians without NaN of all of them at once
            values = part[channel, ~wrong[channel]]
            medians[channel, block] = middle = np.median(values)
            spreads[channel, block] = np.median(np.abs(values - middle))
    with np.errstate(invalid="ignore"):
        if not (np.abs(medians) > _OFFSET * spreads).any():
            return {}  # high-passed data have none, and chance must not be taken for one
    baselines = {}
    nodes = [(time, block) for block, (_, _, times) in enumerate(blocks) for time in times]
    times, owner = np.array(nodes).T
    for channel, values in enumerate(medians[:, owner.astype(int)]):
        known = np.isfinite(values)
        if known.any():
            baselines[channel] = partial(np.interp, xp=times[known], fp=values[known])
    return baselines


def _baseline_blocks(segments, sfreq):
    """Cut time into blocks of a constant: start, stop and the samples at which it applies.

    From one segment to the next the baseline may jump; neighbouring epochs share a block.
    """
    blocks, pooled = [], []
    for number, (start, stop) in enumerate(segments):
        if stop - start < _POOLED * sfreq:
            pooled.append((start, stop))
            last = number == len(segments) - 1
            following = np.inf if last else segments[number + 1][1] - segments[number + 1][0]
            if (
                last
                or following >= _POOLED * sfreq
                or (stop - pooled[0][0] >= _BASELINE_SECONDS * sfreq)
            ):
                blocks.append((pooled[0][0], stop, (pooled[0][0], stop - 1)))
                pooled = []
            continue
        n_blocks = max(1, round((stop - start) / sfreq / _BASELINE_SECONDS))
        edges = np.linspace(start, stop, n_blocks + 1).astype(int)
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            ends = ([start] if a == start else []) + ([stop - 1] if b == stop else [])
            blocks.append((a, b, sorted({*ends, (a + b) // 2})))
    return blocks
