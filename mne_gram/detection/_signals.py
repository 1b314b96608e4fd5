# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Blocks and windows of a recording, and a sample of its windows."""

from dataclasses import dataclass

import numpy as np
from mne.io import BaseRaw

from .._recording import annotated_spans, find_holes, split_recording
from ..covariance import WINDOW, band_products
from ..preprocessing import check_units
from ._signal_checks import measure_line

_MAX_WINDOWS = 80  # in the sample; more of them hardly change what is found
_LARGEST = 1e6  # volts


def cut_half_overlapping(segments, length):
    """Cut segments into windows that overlap by half; shorter segments have none.

    Returns lists of their starts and of the time that each stands for, (start, stop): its middle,
    and at the ends of a segment all up to the edge, so that nothing is left out.
    """
    hop, starts, cover = max(1, length // 2), [], []
    for a, b in segments:
        if b - a < length:
            continue
        own = [*range(a, b - length, hop), b - length]
        middles = [(s + t + length) // 2 for s, t in zip(own[:-1], own[1:], strict=True)]
        starts += own
        cover += zip([a, *middles], [*middles, b], strict=True)
    return starts, cover


class Signals:
    """Selected channels of Raw or Epochs, epochs laid end to end, cut into windows."""

    def __init__(self, inst, picks):
        self._inst, self._picks = inst, picks
        self.names = [inst.ch_names[pick] for pick in picks]
        self.sfreq = inst.info["sfreq"]
        self._epoch_length = len(inst.times)
        # Start and stop of each segment of continuous time, in samples.
        if isinstance(inst, BaseRaw):
            self.segments = split_recording(inst)
        else:
            step = self._epoch_length
            self.segments = [(k * step, (k + 1) * step) for k in range(len(inst))]
        self.n_times = self.segments[-1][1] if self.segments else 0
        # Row, start and stop of what annotations mark as bad.
        self.hidden = []
        for _, epoch, start, stop, names in annotated_spans(inst):
            offset = epoch * self._epoch_length
            rows = [k for k, name in enumerate(self.names) if not names or name in names]
            self.hidden += [(row, offset + start, offset + stop) for row in rows]
        self.hidden += [(row, *hole) for hole in find_holes(inst) for row in range(len(picks))]
        self._cut()

    def _cut(self):
        """Place windows in the segments: length, starts (n_windows,), cover (n_windows, 2)."""
        longest = max((b - a for a, b in self.segments), default=0)
        self.length = min(round(WINDOW * self.sfreq), longest)
        starts, cover = cut_half_overlapping(self.segments, self.length)
        self.starts = np.array(starts, int)
        self.cover = np.array(cover, int).reshape(-1, 2)

    def read(self, start, stop):
        """Return data in volts, NaN where hidden, and where that is: (n_channels, stop - start)."""
        if isinstance(self._inst, BaseRaw):
            data = np.array(self._inst.get_data(picks=self._picks, start=start, stop=stop), float)
        else:
            step = self._epoch_length
            first, last = start // step, -(-stop // step)
            data = self._inst.get_data(picks=self._picks, item=slice(first, last), copy=False)
            data = data.transpose(1, 0, 2).reshape(len(self._picks), -1)
            data = data[:, start - first * step : stop - first * step].astype(float)
        hidden = np.zeros(data.shape, bool)
        for row, a, b in self.hidden:
            if a < stop and b > start:
                hidden[row, max(a - start, 0) : b - start] = True
        data[hidden] = np.nan
        # Larger values would overflow; that they cannot be EEG is seen as well.
        return np.clip(data, -_LARGEST, _LARGEST, out=data, where=np.isfinite(data)), hidden

    def read_windows(self, index):
        """Return successive windows, shape (n_windows, n_channels, length)."""
        starts = self.starts[index]
        data, _ = self.read(starts[0], starts[-1] + self.length)
        return np.stack([data[:, s : s + self.length] for s in starts - starts[0]])

    def find_usable(self, runs):
        """Return in which windows channels contain nothing hidden and no run (row, start, ...).

        Array of bool, shape (n_windows, n_channels).
        """
        usable = np.ones((len(self.starts), len(self.names)), bool)
        for row, start, stop, *_ in [*runs, *self.hidden]:
            first = np.searchsorted(self.starts + self.length, start, "right")
            last = np.searchsorted(self.starts, stop)
            usable[first:last, row] = False
        return usable


# ---------------------------------------------------------------------------------------------
# A sample of windows that shows what is typical of the recording


@dataclass(eq=False)
class Sample:
    """Windows spread over the whole recording; amplitudes are in volts."""

    index: np.ndarray  # (n_windows,), their numbers among all windows
    spectra: list  # of (n_windows, n_channels, n_frequencies), one array per band
    usable: np.ndarray  # (n_windows, n_channels), where a channel can be judged
    std: np.ndarray  # (n_windows, n_channels), NaN where not finite
    line: np.ndarray  # the same for the root mean square of the power line
    size: float  # typical standard deviation of the EEG


def read_spectra(signals, index):
    """Return windows with 0 for those not finite, which ones are finite, and their spectra."""
    windows = signals.read_windows(index)
    finite = np.isfinite(windows).all(axis=2)
    windows[~finite] = 0.0
    return windows, finite, band_products(windows, signals.sfreq)


def draw_sample(signals, line_freqs):
    """Return the Sample of a recording."""
    n = len(signals.starts)
    index = np.linspace(0, n - 1, min(n, _MAX_WINDOWS)).round().astype(int)
    parts = []
    for number in index:
        windows, finite, spectra = read_spectra(signals, np.array([number]))
        check = np.where(finite[0][:, None], windows[0], np.nan).astype(np.float32)
        # Line noise that all channels share comes from the reference.
        centred = windows - np.median(windows, axis=1, keepdims=True)
        line = measure_line(centred, signals.sfreq, line_freqs)
        parts.append((spectra, finite, windows.std(axis=2), line, check[:, ::4]))
    check = np.concatenate([part[4] for part in parts], axis=1)
    # Pauses of the recording are stored as zeros.
    recorded = (np.nan_to_num(check) != 0).any(axis=0)
    check_units(check[:, recorded] if recorded.any() else check)
    spectra = [np.concatenate(values) for values in zip(*(part[0] for part in parts), strict=True)]
    finite, std, line = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
    std[~finite] = line[~finite] = np.nan
    moving = std[finite & (std > 0)]
    if not len(moving):
        raise ValueError(
            "No channel has a window of one second that is neither flat nor marked as bad."
        )
    size = float(np.median(moving))
    return Sample(index, spectra, finite, std, line, size)
