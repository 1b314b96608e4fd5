# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the spatial expert learns from a recording, and keeps while it estimates."""

from dataclasses import dataclass, field

import numpy as np

from .._recording import find_untold
from ..covariance import interpolation_operators
from ._baselines import find_baselines
from ._gaps import Miss
from ._noise import Noise, measure_slow


class Operators:
    """Interpolation weights by pattern of good channels, computed once each.

    Parameters
    ----------
    cov : array, shape (n_bands, n_channels, n_channels)
        Covariance of the channels a band.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    excess : float
        How much larger the errors are than the covariance tells.
    """

    def __init__(self, cov, units, excess=1.0):
        self._cov, self._units, self.excess, self._kept = cov, units, excess, {}

    def __call__(self, good, bad):
        """Return the weights a band, those for all bands at once, and the errors."""
        key = (good.tobytes(), bad.tobytes())
        if key not in self._kept:
            bands, error = interpolation_operators(self._cov, self._units, good, bad)
            total, _ = interpolation_operators(self._cov.sum(axis=0), self._units, good, bad)
            if len(self._kept) > 64:  # neighbours in time repeat, far ones seldom do
                self._kept.clear()
            self._kept[key] = bands, total, error
        return self._kept[key]

    def spread(self, good, bad):
        """Return the standard deviation of the error of each bad channel."""
        return self.excess * np.sqrt(np.einsum("bii->i", self(good, bad)[2]).clip(0))

    def size(self, good, bad):
        """Return the standard deviation of bad channels, relative to the mean of the good ones."""
        share = self._units[good] / max(self._units[good].sum(), 1)
        frame = np.eye(len(self._units))[bad]
        frame[:, good] -= np.outer(self._units[bad], share)
        variance = np.einsum("ij,jk,ik->i", frame, self._cov.sum(axis=0), frame)
        return self.excess * np.sqrt(variance.clip(0))


@dataclass(frozen=True, eq=False)
class SpatialFit:
    """What the spatial expert has learnt from a recording.

    Attributes
    ----------
    sfreq : float
        Sampling rate in Hz.
    whole : array of bool, shape (n_channels,)
        Channels that are bad all through the recording.
    operators : Operators
        How channels tell of each other.
    baselines : dict of int to callable
        What :func:`mne_gram.restoration._baselines.find_baselines` returned.
    noise : Noise | None
        What to draw from the posterior with; None for its mean.
    fill_gaps : bool
        Whether to invent what no good channel tells.
    miss : Miss | None
        How estimates fare around the gaps of the recording; None to learn that from the signals
        that are repaired.
    known : dict of int to list of Surroundings
        Gaps, a channel, that go on where the signals that are repaired end.
    holes : array of int, shape (n_holes, 2)
        Stretches of continuous time all through which too few channels are good.
    """

    sfreq: float
    whole: np.ndarray
    operators: Operators
    baselines: dict = field(default_factory=dict)
    noise: Noise | None = None
    fill_gaps: bool = False
    miss: Miss | None = None
    known: dict = field(default_factory=dict)
    holes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))


def fit_spatial(samples, bad, sfreq, cov, units, *, seed=None, fill_gaps=False):
    """Learn what the spatial expert needs besides the covariance.

    Parameters
    ----------
    samples : Samples
        The signals, read in places.
    bad : BadSpans
        What is bad.
    sfreq : float
        Sampling rate in Hz.
    cov : array, shape (n_bands, n_channels, n_channels)
        Covariance of the channels a band.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    seed : numpy.random.SeedSequence | None
        Draw from the posterior with this seed instead of taking its mean.
    fill_gaps : bool
        Whether to invent what no good channel tells.

    Returns
    -------
    fit : SpatialFit
        What was learnt.
    """
    baselines = find_baselines(samples, bad, units, sfreq)
    step = samples.thin()
    part = samples.read(step=step)
    for channel, baseline in baselines.items():
        part[channel] -= baseline(np.arange(0, samples.n_times, step))
    return SpatialFit(
        sfreq,
        bad.whole,
        Operators(cov, units, _find_excess(part, bad.paint(step=step), bad.whole, cov, units)),
        baselines,
        noise=None if seed is None else Noise(seed, len(bad), measure_slow(samples, bad, sfreq)),
        fill_gaps=fill_gaps,
        holes=_find_holes(bad, samples.pieces),
    )


def _find_excess(part, mask, whole, cov, units):
    """Return how much larger the signals are than the bands in which covariances are read.

    Drifts and what lies above 45 Hz are not in the covariance, but in the errors.
    """
    others = np.flatnonzero(~whole)
    good = ~mask[others]
    part = np.where(good, part[others], 0.0)
    carried = good * units[others, None]
    mean = (part * carried).sum(axis=0) / np.maximum(carried.sum(axis=0), 1)
    found = (((part - mean * units[others, None]) * good) ** 2).sum(axis=1) / good.sum(axis=1)
    share = units[others] / max(units[others].sum(), 1)
    frame = np.eye(len(others)) - np.outer(units[others], share)
    within = frame @ cov.sum(axis=0)[np.ix_(others, others)] @ frame.T
    expected = np.diagonal(within)
    known = (good.sum(axis=1) > 1) & (expected > 0)
    return max(1.0, np.sqrt(np.median(found[known] / expected[known]))) if known.any() else 1.0


def _find_holes(bad, pieces):
    """List the stretches of continuous time all through which too few channels are good."""
    untold = find_untold(bad)
    holes = [
        piece for piece in pieces if ((untold[:, 0] <= piece[0]) & (piece[1] <= untold[:, 1])).any()
    ]
    return np.array(holes, int).reshape(-1, 2)
