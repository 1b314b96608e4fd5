# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The objects that restoration passes around: a recording, and a block of its signals."""

from dataclasses import dataclass, replace
from functools import cached_property

import mne
import numpy as np

from ._masks import BadSpans
from ._samples import Samples


@dataclass(eq=False)
class Block:
    """Signals in memory, in which bad samples are to be overwritten by estimates."""

    data: np.ndarray  # (n_channels, n_times) in volts; no value depends on bad samples
    mask: np.ndarray  # (n_channels, n_times), True where bad
    segments: list  # of (start, stop) of continuous time, from the first sample of data
    first: int  # number of the first sample in the recording
    sfreq: float

    @property
    def n_times(self):
        """Number of samples."""
        return self.data.shape[1]

    @property
    def times(self):
        """Numbers of the samples in the recording, shape (n_times,)."""
        return self.first + np.arange(self.n_times)

    def copy(self, mask=None):
        """Return a block with data of its own, and another mask if one is given."""
        return replace(self, data=self.data.copy(), mask=self.mask if mask is None else mask)

    @cached_property
    def _starts(self):
        """First samples of the segments, shape (n_segments,)."""
        return np.array([start for start, _ in self.segments])

    def find_segment(self, sample):
        """Return the segment of continuous time that contains a sample."""
        return self.segments[int(np.searchsorted(self._starts, sample, "right")) - 1]

    def kept_mean(self, carries_reference):
        """Return the mean over the good channels that carry the reference, shape (n_times,)."""
        total, count = np.zeros(self.n_times), np.zeros(self.n_times)
        carries = carries_reference > 0
        for row, wrong in zip(self.data[carries], self.mask[carries], strict=True):
            total += np.where(wrong, 0.0, row)
            count += ~wrong
        return total / np.maximum(count, 1)


@dataclass(frozen=True, eq=False)
class Recording:
    """Some channels of a recording: their samples, bad spans and description.

    Attributes
    ----------
    samples : Samples
        The signals, read and written where they are needed.
    bad : BadSpans
        What is bad.
    info : mne.Info
        The channels.
    """

    samples: Samples
    bad: BadSpans
    info: mne.Info

    @property
    def sfreq(self):
        """Sampling rate in Hz."""
        return self.info["sfreq"]

    @property
    def ch_names(self):
        """Names of the channels."""
        return self.info["ch_names"]

    @property
    def n_times(self):
        """Number of samples."""
        return self.samples.n_times

    @property
    def segments(self):
        """Segments of continuous time."""
        return self.samples.segments

    @property
    def recorded(self):
        """Segments of continuous time that are no holes."""
        holes = self.samples.holes
        return [(a, b) for a, b in self.segments if not any(x <= a and b <= y for x, y in holes)]

    def select(self, channels):
        """Return some of the channels."""
        return Recording(
            self.samples.select(channels),
            self.bad.select(channels),
            mne.pick_info(self.info, channels),
        )

    def hide(self, hidden):
        """Return the recording with more spans marked as bad."""
        return replace(self, bad=self.bad.join(hidden))

    def read_good(self, step=1):
        """Return every ``step``-th sample and which of these are good, shape (n_channels, n)."""
        return self.samples.read(step=step), ~self.bad.paint(step=step)

    def block(self, start=0, stop=None):
        """Read a block."""
        stop = self.n_times if stop is None else stop
        segments = [
            (max(a, start) - start, min(b, stop) - start)
            for a, b in self.segments
            if a < stop and b > start
        ]
        data, mask = self.samples.read(start, stop), self.bad.paint(start, stop)
        return Block(data, mask, segments, start, self.sfreq)
