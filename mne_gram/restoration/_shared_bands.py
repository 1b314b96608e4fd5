# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Estimates of bad channels where their set changes often: what is costly is computed once."""

import numpy as np
from scipy.linalg.lapack import dposv

from ..covariance import filter_length, invert_parts, split_bands, sum_bands
from ._noise import colour_noise, read_noise

_SECONDS = 6.0  # that are filtered at once
_CROWD = 6  # runs that begin within a filter's length of each other: sharing costs less


class SharedBands:
    """Estimates some of a block's channels from the others, span by span in the order of time.

    If P is the inverse of the covariance of x, bad channels b are estimated from the others as
    ``x[b] - inv(P[b, b]) @ (P @ x)[b]``, whatever x[b] is: only the small inverse depends on b.
    """

    def __init__(self, block, channels, operators, noise=None):
        self._block, self._channels, self._noise = block, channels, noise
        self._row = np.zeros(len(block.data), int)
        self._row[channels] = np.arange(len(channels))
        self._precision, self._total = operators.find_precisions(channels)
        self._length = round(_SECONDS * block.sfreq)
        self._start = self._stop = 0
        self._bands = self._segment = None  # P @ x, (n_channels, n_bands, n_times), and where
        self._drawn = None  # noise (n_bands, n_channels, n_times), and its first sample

    def fill(self, bad, start, stop):
        """Return the broad-band estimates of a span, (n_bad, n_times)."""
        rows, data = self._row[bad], self._block.data[self._channels, start:stop]
        data[rows] = 0.0
        system, across = self._total[rows[:, None], rows], self._total[rows] @ data
        _, found, failed = dposv(system, across)
        return -(np.linalg.solve(system, across) if failed else found)

    def estimate(self, bad, span, segment):
        """Return the estimates over a span of a segment, (n_bad, n_times), and the error's cov."""
        start, stop = span
        if not self._start <= start <= stop <= self._stop or self._segment != segment:
            self._read(start, segment)
        rows = self._row[bad]
        error = invert_parts(self._precision, rows)
        bands = self._bands[rows, :, start - self._start : stop - self._start]
        factors = error.transpose(1, 2, 0).reshape(len(bad), -1)
        found = self._block.data[bad, start:stop]
        found -= factors @ bands.reshape(-1, stop - start)
        if self._noise is not None:
            found += self._draw(rows, error, span)
        return found, error

    def _read(self, start, segment):
        """Filter the signals from a sample on."""
        self._start, self._stop = start, min(segment[1], start + self._length)
        left, right, pad = widen((start, self._stop), segment, self._block.sfreq)
        if self._noise is not None:
            first = self._block.first
            drawn = read_noise(self._noise, first + left, first + right, self._block.sfreq)
            self._drawn = drawn[:, self._channels], left
        parts = split_bands(self._block.data[self._channels, left:right], self._block.sfreq)
        parts = parts[..., pad[0] : right - left - pad[1]]
        self._bands = np.empty((parts.shape[1], len(parts), parts.shape[2]))
        for number, (precision, part) in enumerate(zip(self._precision, parts, strict=True)):
            self._bands[:, number] = precision @ part
        self._segment = segment

    def _draw(self, rows, error, span):
        """Draw errors of a span, (n_bad, n_times)."""
        left, right, pad = widen(span, self._segment, self._block.sfreq)
        drawn, first = self._drawn
        drawn = drawn[:, rows, left - first : right - first]
        return sum_bands(colour_noise(error, self._block.sfreq) @ drawn, self._block.sfreq, pad)


def find_crowded(runs, margin, sfreq):
    """Return which runs (start, stop, segment) are short and near others, bool (n_runs,)."""
    starts, stops = np.array([run[:2] for run in runs], int).reshape(-1, 2).T
    reach = filter_length(sfreq)
    last = np.searchsorted(starts, starts + reach, "right")
    n_near = last - np.searchsorted(starts, starts - reach)
    return (n_near >= _CROWD) & (stops - starts + 2 * margin <= round(_SECONDS * sfreq))


def widen(span, segment, sfreq):
    """Widen a span by half a filter on either side, as far as its segment goes.

    Returns start, stop, and by how much the span was widened.
    """
    half = filter_length(sfreq) // 2
    left, right = max(segment[0], span[0] - half), min(segment[1], span[1] + half)
    return left, right, (span[0] - left, right - span[1])
