# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A fit to earlier data, and how it restores trials one by one."""

from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import mne
import numpy as np

from .._recording import (
    BadSpans,
    find_broken_channels,
    find_flat_channels,
    find_stray_channels,
)
from ..covariance import MIN_GOOD
from ..detection import Check, find_bad_spans, fit_check
from ._blocks import restore_blocks
from ._fit import Plan, Settings, SpatialFit, fit_spatial, measure_statistics, move_fit
from ._methods import METHODS
from ._spline import MIN_SPLINE, Head, SplinePlan, find_weights, fit_head
from ._tally import RestoredSpan


class RestoredTrial(NamedTuple):
    """What was done to a trial: restored ``spans``, what was ``bad``, which good ones not used."""

    spans: list
    bad: BadSpans
    unused: np.ndarray


@dataclass(frozen=True, eq=False)
class TrialFit:
    """The fit to earlier data of the channels in ``info``. Restoring a trial does not change it.

    ``still (n_channels,)`` is which channel is always flat, being the reference. ``searched`` is
    whether bad channels of the earlier data have been found and left out.
    """

    info: mne.Info
    spatial: SpatialFit
    head: Head | None  # for splines; None restores by the covariance
    still: np.ndarray
    check: Check | None  # what is typical of good channels; None where too few were good
    searched: bool

    @property
    def covariance(self):
        """The covariance in each band, (n_bands, n_channels, n_channels)."""
        return self.spatial.operators.cov

    @property
    def known(self):
        """Which channels can be used and restored, bool (n_channels,)."""
        known = np.ones(len(self.still), bool)
        known[list(self.spatial.lost)] = False
        return known

    @property
    def min_good(self):
        """How many good channels are needed to restore others."""
        return MIN_GOOD if self.head is None else MIN_SPLINE

    def weights(self, good, bad):
        """Return broadband weights (n_bad, n_good): ``bad = weights @ good``, sample by sample.

        Channels are indices, those with a signal that is `known`. The reference passes through.
        """
        good, bad = np.asarray(good), np.asarray(bad)
        if self.head is not None:
            return find_weights(self.head, good, bad)
        return self.spatial.operators(good, bad)[1]

    def restore(self, trial, added, is_raw, find):
        """Restore a trial in place, a Recording; ``added (n_channels,)`` are channels of NaN.

        ``find`` is whether to find bad channels in addition to those that are marked.
        """
        if added.any():
            self._predict(trial, added)
        unknown = hide_channels(~self.known, trial.n_times)
        if find:
            trial = trial.hide(find_bad_spans(self.check, trial.hide(unknown), is_raw))
        _check_broken(trial)
        wanted = trial.bad
        unused = np.zeros(len(wanted), bool)
        if not wanted.n_bad.any():
            return RestoredTrial([], wanted, unused)
        unused = find_stray_channels(trial) | (find_flat_channels(trial) & ~self.still)
        trial = trial.hide(unknown).hide(hide_channels(unused, trial.n_times))
        if (~trial.bad.whole).sum() < self.min_good:
            return RestoredTrial([], wanted, unused)
        plan = SplinePlan(head=self.head)
        if self.head is None:
            plan = Plan(move_fit(self.spatial, trial))
        method = METHODS["spatial" if self.head is None else "spline"]
        spans = restore_blocks(trial, method, plan, _Spans(), wanted)
        return RestoredTrial(spans, wanted, unused & (wanted.n_bad == 0))

    def _predict(self, trial, added):
        """Fill added channels from all others, which stays where too few of these are good."""
        old, new = np.flatnonzero(~added & self.known), np.flatnonzero(added)
        weights = self.spatial.operators(old, new)[1]
        for start, stop in trial.samples.chunks():
            values = weights @ np.nan_to_num(trial.samples.read(start, stop)[old])
            for channel, row in zip(new, values, strict=True):
                trial.samples.write(channel, start, row)


class _Spans:
    """The restored spans of a trial; takes the place of a Tally."""

    def __init__(self):
        self.spans = []

    def add(self, block, estimates, bad):
        """Add the estimates of a block."""
        self.spans += [
            RestoredSpan(e.channel, block.first + e.start, block.first + e.stop, e.invented, e.std)
            for e in estimates
        ]


def describe_channels(info):
    """Return an info of the same good channels, without what it says of subject and recording."""
    channels = mne.create_info(info["ch_names"], info["sfreq"], "eeg")
    with channels._unlock():
        for key in ("chs", "projs", "custom_ref_applied", "line_freq", "highpass", "lowpass"):
            channels[key] = deepcopy(info[key])
    return channels


def fit_trials(recording, prior, *, with_spline=False, searched=False):
    """Learn from a recording; returns a `TrialFit`."""
    still = find_flat_channels(recording)
    if still.sum() != 1:
        still[:] = False
    statistics = measure_statistics(recording, prior)
    spatial = fit_spatial(recording, statistics, Settings(prior=prior, on_missing="ignore"))
    head = fit_head(recording.info) if with_spline else None
    carries_reference = statistics.places.carries_reference
    check = fit_check(
        recording,
        spatial.operators.cov,
        carries_reference,
        still,
        lambda part: measure_statistics(part, prior).adapt(),
    )
    if searched and check is None:
        raise ValueError(
            "Found no data in fit that are long enough, with enough good channels, which "
            "bads='auto' needs. Mark bad channels yourself and set bads=None."
        )
    return TrialFit(describe_channels(recording.info), spatial, head, still, check, searched)


def hide_channels(channels, n_times):
    """Return BadSpans of channels (bool) that are bad throughout."""
    everything, nothing = np.array([[0, n_times]]), np.zeros((0, 2), int)
    return BadSpans(tuple(everything if bad else nothing for bad in channels), n_times)


def _check_broken(trial):
    """Raise an error if good samples are NaN, infinite or impossible."""
    broken = find_broken_channels(trial)
    if broken.any():
        names = ", ".join(n for n, k in zip(trial.ch_names, broken, strict=True) if k)
        raise ValueError(
            "Found NaN, infinite or impossible samples (above 1 kV) that are not marked as bad in "
            f"{names}. Mark them in info['bads'] or by mask, or set bads='auto'."
        )
