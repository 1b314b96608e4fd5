# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a report needs of the data, gathered block by block."""

from typing import NamedTuple

import mne
import numpy as np
from mne.io import BaseRaw

_EXCERPT_SECONDS = 12.0
_RANK_SAMPLES = 20_000
_RANK_TOLERANCE = 1e-6  # of the largest singular value: more than single precision rounds


class Excerpt(NamedTuple):
    """A few seconds of one channel: what was bad, with its surroundings, in volts."""

    epoch: int
    start: int
    times: np.ndarray
    inside: slice
    before: np.ndarray
    after: np.ndarray
    std: np.ndarray


class Stretch(NamedTuple):
    """The standard deviation over one restored stretch: a value a sample, or one for all."""

    channel: int
    start: int
    stop: int
    std: np.ndarray


class Tally:
    """Sums, standard deviations and excerpts of a restoration.

    Its memory does not grow with the recording, but for the standard deviations where they change
    from sample to sample.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The data. What was bad is read from it, so it has to be as it was until its block is added.
    picks : array of int, shape (n_picks,)
        The channels that are worked with.
    units : array, shape (n_picks,) | None
        1 for channels that carry the reference, 0 for bipolar derivations; None is all 1.
    output : "mean" | "sample"
        Whether the estimates are conditional means or draws.

    Attributes
    ----------
    excerpts : dict of int to Excerpt
        What figures show, by channel.
    stretches : list of Stretch
        The standard deviation of the error.
    """

    def __init__(self, inst, picks, *, units=None, output="mean"):
        self.inst, self.picks, self.output = inst, np.asarray(picks), output
        self.sfreq = inst.info["sfreq"]
        # The times of a long Raw are an array as long as its data.
        self.n_times = inst.n_times if isinstance(inst, BaseRaw) else len(inst.times)
        self.n_epochs = len(inst) if isinstance(inst, mne.BaseEpochs) else 1
        self.n_samples = self.n_epochs * self.n_times
        self.stretches, self.excerpts = [], {}
        n_picks = len(self.picks)
        self._units = np.ones(n_picks) if units is None else np.asarray(units)
        # The error of a draw is that of the mean and its own departure from it, as large again.
        self._scale = np.sqrt(2.0) if output == "sample" else 1.0
        self._moments = np.zeros((n_picks, 3))  # number, mean, sum of squared deviations
        self._error = np.zeros(n_picks)
        self._n_bad = np.zeros(n_picks, int)
        self._n_segments = np.zeros(n_picks, int)
        self._n_invented = np.zeros(n_picks, int)
        self._last_stop = np.full(n_picks, -1)
        self._seen, self._sample, self._step = 0, [], 1

    def add(self, data, bad, segments, *, offset=0, before=None):
        """Take in a block of time.

        Parameters
        ----------
        data : array, shape (n_picks, n_times) | None
            The block after restoring, in volts; None if nothing was.
        bad : array of bool, shape (n_picks, n_times)
            What was bad.
        segments : list of Segment
            The estimates, channels counted in ``picks`` and samples from the start of the block.
        offset : int
            The sample at which the block starts, epochs one after the other. Blocks come in the
            order of time; those in which nothing is bad may be left out.
        before : array, shape (n_picks, n_times) | None
            The block before restoring; None reads the little that is needed from ``inst``.
        """
        stop = offset + bad.shape[1]
        if offset < self._seen or stop > self.n_samples:
            raise ValueError(
                f"Found a block of samples {offset} to {stop}, expected blocks one after the other "
                f"within {self._seen} to {self.n_samples}."
            )
        self._seen = stop
        self._n_bad += bad.sum(axis=1)
        if data is None:
            return
        left = bad.copy()
        kept_mean = _mean_of_kept(data, bad, self._units) if segments else None
        for segment in segments:
            left[segment.channel, segment.start : segment.stop] = False
            self._add_segment(segment, kept_mean, offset)
            if segment.channel not in self.excerpts:
                self.excerpts[segment.channel] = self._cut(segment, data, before, offset)
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
        # Garbage that was left in place has no say in the rank.
        self._sample.append((offset + first, np.where(left[:, taken], np.nan, data[:, taken])))

    def _add_segment(self, segment, kept_mean, offset):
        """Add one stretch to the sums of its channel."""
        k, start, stop = segment.channel, segment.start, segment.stop
        values = segment.values - self._units[k] * kept_mean[start:stop]
        self._moments[k] = _merge(self._moments[k], values)
        std = self._scale * np.asarray(segment.std, float)
        self._error[k] += (std**2).sum()
        self._n_invented[k] += (stop - start) * segment.invented
        # A stretch that was cut where a block ends is still one.
        goes_on = start == 0 and offset == self._last_stop[k] and offset % self.n_times
        self._n_segments[k] += not goes_on
        self._last_stop[k] = offset + stop
        if (std == std[0]).all() or np.isnan(std).all():
            std = std[:1]
        self.stretches.append(Stretch(k, offset + start, offset + stop, std.astype(np.float32)))

    def _cut(self, segment, data, before, offset):
        """Keep what a figure needs of a stretch and some signal around, within the block."""
        n_times = self.n_times
        epoch, start = divmod(offset + segment.start, n_times)
        shift = epoch * n_times - offset  # from the epoch's samples to those of the block
        first, last = max(0, -shift), min(n_times, data.shape[1] - shift)
        longest = round(_EXCERPT_SECONDS * self.sfreq)
        length = min(segment.stop - segment.start, last - start, longest)
        # Some of the channel's own good signal on either side shows the seams.
        margin = (longest - length) // 2
        left, right = max(first, start - margin), min(last, start + length + margin)
        if before is None:
            old = self._read(self.picks[segment.channel], epoch, start, start + length)
        else:
            old = before[segment.channel, start + shift : start + shift + length]
        is_raw = isinstance(self.inst, BaseRaw)
        times = np.arange(left, right) / self.sfreq if is_raw else self.inst.times[left:right]
        return Excerpt(
            epoch=epoch,
            start=left,
            times=times.copy(),
            inside=slice(start - left, start + length - left),
            before=old.copy(),
            after=data[segment.channel, left + shift : right + shift].copy(),
            std=self._scale * np.asarray(segment.std[:length], float),
        )

    def _read(self, pick, epoch, start, stop):
        """Return a few samples of the data."""
        if isinstance(self.inst, mne.BaseEpochs):
            return self.inst._data[epoch, pick, start:stop]
        if isinstance(self.inst, mne.Evoked):
            return self.inst.data[pick, start:stop]
        return self.inst.get_data(picks=[pick], start=start, stop=stop)[0]

    @property
    def n_left(self):
        """Number of bad samples that were left as they were."""
        return int(self._n_bad.sum() - self._moments[:, 0].sum())

    def describe(self):
        """Describe the restored channels.

        Returns
        -------
        rows : list of dict
            A row a channel: its number among the picks, ``whole``, ``n_segments``, ``seconds``,
            ``invented``, ``expected_nmse`` and ``expected_r``.
        """
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
        """Find the rank of what is good at some time, and of that and what was restored.

        Returns
        -------
        before, after : int | None
            The ranks; None if there are too few samples to tell.
        """
        if not self._sample:
            return None, None
        sample = np.concatenate([kept for _, kept in self._sample], axis=1)
        heard = self._n_bad < self.n_samples
        ranks = [_find_rank(sample[k]) for k in (heard, heard | (self._n_segments > 0))]
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
    """Return the NMSE and r to expect of an error's mean square and an estimate's variance."""
    if not error:
        return 0.0, 1.0
    if output == "sample":  # a draw is as strong as the signal, and half of its error is its own
        nmse = error / variance
        return float(nmse), float(max(0.0, 1 - nmse / 2))
    # The signal's variance is that of its estimate and that of the error, together.
    nmse = error / (error + variance)
    return float(nmse), float(np.sqrt(1 - nmse))


def _mean_of_kept(data, bad, units):
    """Return the mean at each time of the channels that are good then."""
    total, count = np.zeros(data.shape[1]), np.zeros(data.shape[1])
    for row, wrong in zip(data[units > 0], bad[units > 0], strict=True):
        total += np.where(wrong, 0.0, row)
        count += ~wrong
    return total / np.maximum(count, 1)


def _find_rank(part):
    """Return the numerical rank of channels x samples, or None of too few samples."""
    part = part[:, np.isfinite(part).all(axis=0)]
    if part.shape[1] <= part.shape[0] or not part.size:
        return None
    # Offsets would hide the rest behind the tolerance.
    part = part - part.mean(axis=1, keepdims=True)
    values = np.linalg.svd(part, compute_uv=False)
    return int((values > _RANK_TOLERANCE * values[0]).sum()) if values[0] > 0 else 0
