# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A recording that is read a block at a time, and the windows that it is cut into."""

from dataclasses import dataclass

import numpy as np
from mne import BaseEpochs
from mne.io import BaseRaw

from .._recording import annotated_spans, find_pieces
from ..covariance import WINDOW, band_products
from ..preprocessing import check_units
from ._signal_checks import FLAT_SECONDS, choose_clipped, find_flat, find_plateaus, measure_line

_MAX_WINDOWS = 80  # that tell what is usual; more of them hardly change it
_BLOCK_SECONDS = 30.0
_MOSTLY = 0.5  # of its time


class Signals:
    """Some channels of a Raw or Epochs, epochs one after another.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The data.
    picks : array of int, shape (n_picks,)
        The channels.

    Attributes
    ----------
    names : list of str
        Names of the channels.
    sfreq : float
        Sampling rate in Hz.
    n_times : int
        Number of samples, over all epochs.
    pieces : list of tuple of int
        Stretches of continuous time.
    length : int
        Samples of a window.
    starts : array of int, shape (n_windows,)
        First samples of windows, half overlapping.
    cover : array of int, shape (n_windows, 2)
        The samples that each window speaks for: its middle, and at the ends of a piece all there
        is. These follow one another without a gap.
    hidden : list of tuple
        Row, start and stop of what annotations mark as bad.
    """

    def __init__(self, inst, picks):
        if isinstance(inst, BaseEpochs) and not inst.preload:
            inst = inst.copy().load_data()
        self._inst, self._picks = inst, picks
        self.names = [inst.ch_names[pick] for pick in picks]
        self.sfreq = inst.info["sfreq"]
        self._epoch_length = len(inst.times)
        if isinstance(inst, BaseRaw):
            self.pieces = [(a, b) for a, b in find_pieces(inst) if b > a]
        else:
            step = self._epoch_length
            self.pieces = [(k * step, (k + 1) * step) for k in range(len(inst))]
        self.n_times = self.pieces[-1][1] if self.pieces else 0
        self.hidden = []
        for _, epoch, start, stop, names in annotated_spans(inst):
            offset = epoch * self._epoch_length
            rows = [k for k, name in enumerate(self.names) if not names or name in names]
            self.hidden += [(row, offset + start, offset + stop) for row in rows]
        if isinstance(inst, BaseRaw):
            self.hidden += [(row, *hole) for hole in _find_holes(inst) for row in range(len(picks))]
        self._cut()

    def _cut(self):
        """Place the windows."""
        longest = max((b - a for a, b in self.pieces), default=0)
        self.length = min(round(WINDOW * self.sfreq), longest)
        hop = max(1, self.length // 2)
        starts, cover = [], []
        for a, b in self.pieces:
            if b - a < self.length:
                continue
            own = [*range(a, b - self.length, hop), b - self.length]
            middles = [(s + t + self.length) // 2 for s, t in zip(own[:-1], own[1:], strict=True)]
            starts += own
            cover += zip([a, *middles], [*middles, b], strict=True)
        self.starts = np.array(starts, int)
        self.cover = np.array(cover, int).reshape(-1, 2)

    def read(self, start, stop):
        """Return all channels from one sample to another.

        Returns
        -------
        data : array, shape (n_channels, stop - start)
            In volts, NaN where annotations mark them as bad.
        hidden : array of bool, shape (n_channels, stop - start)
            Where that is.
        """
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
        return data, hidden

    def read_windows(self, index):
        """Return windows that follow one another, shape (n_windows, n_channels, length)."""
        starts = self.starts[index]
        data, _ = self.read(starts[0], starts[-1] + self.length)
        return np.stack([data[:, s : s + self.length] for s in starts - starts[0]])

    def find_usable(self, runs):
        """Tell in which windows a channel has nothing that is hidden or in a list of runs.

        Parameters
        ----------
        runs : list of tuple
            Row, start and stop first.

        Returns
        -------
        usable : array of bool, shape (n_windows, n_channels)
            True where all of it can be used.
        """
        usable = np.ones((len(self.starts), len(self.names)), bool)
        for row, start, stop, *_ in [*runs, *self.hidden]:
            first = np.searchsorted(self.starts + self.length, start, "right")
            last = np.searchsorted(self.starts, stop)
            usable[first:last, row] = False
        return usable


def _find_holes(raw):
    """List where nothing was recorded, start and stop in samples."""
    annotations, sfreq = raw.annotations, raw.info["sfreq"]
    holes = [text.upper().startswith("BAD_ACQ_SKIP") for text in annotations.description]
    starts = np.round((annotations.onset[holes] - raw.first_time) * sfreq).astype(int)
    stops = starts + np.round(annotations.duration[holes] * sfreq).astype(int)
    return list(zip(starts.clip(0).tolist(), stops.tolist(), strict=True))


def pick_spread(n, most):
    """Return at most so many indices, evenly spread."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(int)


def to_runs(mask):
    """List the runs of True of a vector as start and stop."""
    edges = np.flatnonzero(np.diff(np.r_[0, np.asarray(mask, "i1"), 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


# ---------------------------------------------------------------------------------------------
# What is usual in a recording, and what its samples give away


@dataclass(eq=False)
class Sample:
    """Windows from all over the recording.

    Attributes
    ----------
    index : array of int, shape (n_windows,)
        Which windows.
    spectra : list of array, shape (n_windows, n_channels, n_frequencies)
        Their Fourier coefficients, one array a band.
    usable : array of bool, shape (n_windows, n_channels)
        Where a channel says anything.
    std, line : array, shape (n_windows, n_channels)
        Standard deviation, and how large the power line is, in volts; NaN where some is no number.
    size : float
        How large the EEG is.
    """

    index: np.ndarray
    spectra: list
    usable: np.ndarray
    std: np.ndarray
    line: np.ndarray
    size: float


def read_spectra(signals, index):
    """Read windows; return them with 0 for what is no number, and their spectra."""
    windows = signals.read_windows(index)
    finite = np.isfinite(windows).all(axis=2)
    windows[~finite] = 0.0
    return windows, finite, band_products(windows, signals.sfreq)


def draw_sample(signals, line_freqs):
    """Read windows from all over the recording, and find out how large the EEG is."""
    index = pick_spread(len(signals.starts), _MAX_WINDOWS)
    parts = []
    for number in index:
        windows, finite, spectra = read_spectra(signals, np.array([number]))
        check = np.where(finite[0][:, None], windows[0], np.nan).astype(np.float32)
        # A line that all channels share is the reference's.
        centred = windows - np.median(windows, axis=1, keepdims=True)
        line = measure_line(centred, signals.sfreq, line_freqs)
        parts.append((spectra, finite, windows.std(axis=2), line, check[:, ::4]))
    check = np.concatenate([part[4] for part in parts], axis=1)
    # Where recording paused, files hold zeros.
    recorded = (np.nan_to_num(check) != 0).any(axis=0)
    check_units(check[:, recorded] if recorded.any() else check)
    spectra = [np.concatenate(values) for values in zip(*(part[0] for part in parts), strict=True)]
    finite, std, line = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
    std[~finite] = line[~finite] = np.nan
    size = float(np.median(std[finite & (std > 0)]))
    return Sample(index, spectra, finite, std, line, size)


def check_samples(signals, size):
    """Find what is no number, flat or clipped.

    Returns
    -------
    runs : list of tuple
        Row, start, stop, why and score (NaN).
    reasons : dict of str
        Why, of channels of which that is the larger part.
    """
    margin = round(2 * FLAT_SECONDS * signals.sfreq)
    block = max(1, round(_BLOCK_SECONDS * signals.sfreq))
    runs, n_hidden = [], np.zeros(len(signals.names), int)
    plateaus = [[] for _ in signals.names]
    limits = np.array([[np.inf, -np.inf]] * len(signals.names))
    for first, last in signals.pieces:
        for start in range(first, last, block):
            stop = min(start + block, last)
            left, right = max(first, start - margin), min(last, stop + margin)
            data, hidden = signals.read(left, right)
            flat = find_flat(data, signals.sfreq, size)
            inside = slice(start - left, stop - left)
            data, hidden, flat = data[:, inside], hidden[:, inside], flat[:, inside]
            missing = ~np.isfinite(data) & ~hidden
            n_hidden += hidden.sum(axis=1)
            data[~np.isfinite(data)] = np.nan
            for row, signal in enumerate(data):
                for why, mask in (("nan", missing[row]), ("flat", flat[row])):
                    runs += [(row, start + a, start + b, why, np.nan) for a, b in to_runs(mask)]
                limits[row] = (
                    np.fmin(limits[row, 0], np.fmin.reduce(signal)),
                    np.fmax(limits[row, 1], np.fmax.reduce(signal)),
                )
                found = find_plateaus(signal, signals.sfreq, size)
                plateaus[row] += [(start + a, start + b, value) for a, b, value in found]
    for row, found in enumerate(plateaus):
        clipped = choose_clipped(found, *limits[row], signals.sfreq)
        runs += [(row, a, b, "clipped", np.nan) for a, b in clipped]
    seen = signals.n_times - n_hidden
    reasons = {}
    for row, name in enumerate(signals.names):
        spent = {}
        for _, start, stop, why, _ in (run for run in runs if run[0] == row):
            spent[why] = spent.get(why, 0) + stop - start
        if spent and sum(spent.values()) > _MOSTLY * seen[row]:
            reasons[name] = max(spent, key=spent.get)
    return runs, reasons
