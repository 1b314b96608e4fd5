# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a report needs of the data, gathered block by block."""

from typing import NamedTuple

import mne
import numpy as np
from mne.io import BaseRaw

from .._recording import count_times
from ._rank import count_dimensions

_EXCERPT_SECONDS = 12.0
_RANK_SAMPLES = 20_000


class Excerpt(NamedTuple):
    """A few seconds of one channel: a restored span and its surroundings, in volts.

    ``start`` is the first sample in the ``epoch``, ``inside`` the slice of ``times (n,)`` and
    ``after (n,)`` that was restored; ``before`` and ``std`` are of that slice only.
    """

    epoch: int
    start: int
    times: np.ndarray
    inside: slice
    before: np.ndarray
    after: np.ndarray
    std: np.ndarray


class RestoredSpan(NamedTuple):
    """A restored span of one channel, with its standard deviations: one per sample, or one for all.

    ``invented`` is whether it was filled from past and future samples alone.
    """

    channel: int
    start: int
    stop: int
    invented: bool
    std: np.ndarray


class Tally:
    """Sums, standard deviations and excerpts of a restoration, in little memory.

    ``inst`` has to contain its bad samples until their block is added.
    """

    def __init__(self, inst, picks, *, carries_reference=None, output="mean"):
        self.inst, self.picks, self.output = inst, np.asarray(picks), output
        self.sfreq = inst.info["sfreq"]
        self.n_times = count_times(inst)
        self.n_epochs = len(inst) if isinstance(inst, mne.BaseEpochs) else 1
        self.n_samples = self.n_epochs * self.n_times
        self.spans, self.excerpts = [], {}
        n_picks = len(self.picks)
        self._carries_reference = (
            np.ones(n_picks) if carries_reference is None else np.asarray(carries_reference)
        )
        # The error of a draw is that of the mean and its own departure from it, as large again.
        self._scale = np.sqrt(2.0) if output == "sample" else 1.0
        self._moments = np.zeros((n_picks, 3))  # number, mean, sum of squared deviations
        self._error = np.zeros(n_picks)
        self._n_bad = np.zeros(n_picks, int)
        self._n_segments = np.zeros(n_picks, int)
        self._n_invented = np.zeros(n_picks, int)
        self._last = {}  # by channel, where its last span ended and whether it was invented
        self._seen, self._sample, self._step = 0, [], 1

    def add(self, block, estimates, bad=None):
        """Add a block after it was restored, with its estimates.

        Blocks come in the order of time; those in which nothing is bad may be left out. ``bad`` is
        what was to be restored if the mask of the block contains more.
        """
        offset, data = block.first, block.data
        bad = block.mask if bad is None else bad
        stop = offset + block.n_times
        if offset < self._seen or stop > self.n_samples:
            raise ValueError(
                f"Found a block of samples {offset} to {stop}, expected blocks one after the other "
                f"within {self._seen} to {self.n_samples}."
            )
        self._seen = stop
        self._n_bad += bad.sum(axis=1)
        left = bad.copy()
        by_channel = {}
        for number, estimate in enumerate(estimates):
            left[estimate.channel, estimate.start : estimate.stop] = False
            by_channel.setdefault(estimate.channel, []).append(number)
        kept_mean = block.kept_mean(self._carries_reference) if estimates else None
        spans = {}
        for channel, numbers in by_channel.items():
            own = [estimates[number] for number in numbers]
            spans |= zip(numbers, self._add_channel(own, kept_mean, offset), strict=True)
            if channel not in self.excerpts:
                self.excerpts[channel] = self._cut(own[0], data, offset)
        self.spans += [spans[number] for number in range(len(estimates))]
        self._keep_sample(data, left, offset)

    def _keep_sample(self, data, left, offset):
        """Keep some samples of a block for the rank, as dense as there is room for.

        How much of the recording is added is only known in the end: samples are taken at a step
        that doubles, also for those that were kept before, whenever they become too many.
        """
        n_kept = sum(kept.shape[1] for _, kept in self._sample)
        while n_kept + len(range(-offset % self._step, data.shape[1], self._step)) > _RANK_SAMPLES:
            old, self._step = self._step, 2 * self._step
            for k, (first, kept) in enumerate(self._sample):
                skip = int(first % self._step > 0)
                self._sample[k] = first + skip * old, kept[:, skip::2].copy()
            n_kept = sum(kept.shape[1] for _, kept in self._sample)
        first = -offset % self._step
        taken = slice(first, None, self._step)
        # Garbage that was left in place must not count in the rank.
        self._sample.append((offset + first, np.where(left[:, taken], np.nan, data[:, taken])))

    def _add_channel(self, estimates, kept_mean, offset):
        """Add the estimates of a channel to its sums; return a RestoredSpan for each."""
        k = estimates[0].channel
        places = [slice(estimate.start, estimate.stop) for estimate in estimates]
        mean = np.concatenate([kept_mean[place] for place in places])
        values = np.concatenate([estimate.values for estimate in estimates])
        self._moments[k] = _merge(self._moments[k], values - self._carries_reference[k] * mean)
        std = self._scale * np.concatenate([estimate.std for estimate in estimates])
        self._error[k] += std @ std
        sizes = np.array([place.stop - place.start for place in places])
        self._n_invented[k] += sizes @ [estimate.invented for estimate in estimates]
        # A span that was cut where a block ends is still one.
        begins = offset + places[0].start, bool(estimates[0].invented)
        continues = places[0].start == 0 and begins == self._last.get(k) and offset % self.n_times
        self._n_segments[k] += len(estimates) - bool(continues)
        self._last[k] = offset + places[-1].stop, bool(estimates[-1].invented)
        starts = np.cumsum(sizes) - sizes
        low, high = np.minimum.reduceat(std, starts), np.maximum.reduceat(std, starts)
        constant = (low == high) | np.isnan(np.fmin.reduceat(std, starts))
        stops, std = np.where(constant, starts + 1, starts + sizes), std.astype(np.float32)
        return [
            RestoredSpan(
                k, offset + place.start, offset + place.stop, estimate.invented, std[a:b].copy()
            )
            for estimate, place, a, b in zip(
                estimates, places, starts.tolist(), stops.tolist(), strict=True
            )
        ]

    def _cut(self, estimate, data, offset):
        """Keep what a figure needs of an estimate and some signal around, within the block."""
        n_times = self.n_times
        epoch, start = divmod(offset + estimate.start, n_times)
        shift = epoch * n_times - offset  # from the epoch's samples to those of the block
        first, last = max(0, -shift), min(n_times, data.shape[1] - shift)
        longest = round(_EXCERPT_SECONDS * self.sfreq)
        length = min(estimate.stop - estimate.start, last - start, longest)
        # Some of the channel's own good signal on either side shows the seams.
        margin = (longest - length) // 2
        left, right = max(first, start - margin), min(last, start + length + margin)
        is_raw = isinstance(self.inst, BaseRaw)
        times = np.arange(left, right) / self.sfreq if is_raw else self.inst.times[left:right]
        return Excerpt(
            epoch=epoch,
            start=left,
            times=times.copy(),
            inside=slice(start - left, start + length - left),
            before=self._read(self.picks[estimate.channel], epoch, start, start + length).copy(),
            after=data[estimate.channel, left + shift : right + shift].copy(),
            std=self._scale * np.asarray(estimate.std[:length], float),
        )

    def _read(self, pick, epoch, start, stop):
        """Return a few samples of the data, as they were before."""
        if isinstance(self.inst, mne.BaseEpochs):
            return self.inst._data[epoch, pick, start:stop]
        if isinstance(self.inst, mne.Evoked):
            return self.inst.data[pick, start:stop]
        return self.inst.get_data(picks=[pick], start=start, stop=stop)[0]

    @property
    def n_left(self):
        """Number of bad samples that were left unchanged."""
        return int(self._n_bad.sum() - self._moments[:, 0].sum())

    def describe(self):
        """Return a dict per restored channel, its number among the picks and its sums."""
        rows = []
        for k in np.flatnonzero(self._n_segments):
            number, _, squares = self._moments[k]
            nmse, r = _expect(self._error[k] / number, squares / number, self.output)
            rows.append(
                dict(
                    channel=int(k),
                    whole=bool(self._n_bad[k] == self.n_samples),
                    n_segments=int(self._n_segments[k]),
                    seconds=float(number / self.sfreq),
                    invented=float(self._n_invented[k] / self.sfreq),
                    expected_nmse=nmse,
                    expected_r=r,
                )
            )
        return rows

    def find_ranks(self):
        """Return the rank of what is good at some time, and of that and what was restored.

        None for both if there are too few samples.
        """
        if not self._sample:
            return None, None
        sample = np.concatenate([kept for _, kept in self._sample], axis=1)
        good = self._n_bad < self.n_samples
        ranks = [count_dimensions(sample[k]) for k in (good, good | (self._n_segments > 0))]
        return (None, None) if None in ranks else tuple(ranks)


def _merge(moments, values):
    """Add values to a number, a mean and a sum of squared deviations."""
    # Not sums of squares: an electrode's offset would swallow the signal.
    number, mean, squares = moments
    total = number + len(values)
    shift = values.mean() - mean
    squares += ((values - values.mean()) ** 2).sum() + shift**2 * number * len(values) / total
    return total, mean + shift * len(values) / total, squares


def _expect(error, variance, output):
    """Return the expected NMSE and r from an error's mean square and an estimate's variance."""
    if not error:
        return 0.0, 1.0
    if not variance:  # of a single sample
        return np.nan, np.nan
    if output == "sample":  # a draw is as strong as the signal, and half of its error is its own
        nmse = error / variance
        return float(nmse), float(max(0.0, 1 - nmse / 2))
    # The signal's variance is that of its estimate and that of the error, together.
    nmse = error / (error + variance)
    return float(nmse), float(np.sqrt(1 - nmse))
