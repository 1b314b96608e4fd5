# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How unlike itself a channel is, window by window."""

import numpy as np

from ._misfit import drop_channel, find_precision, nanmedian, predict_each

_MOST = 1 / 3  # of the channels of a window may be found bad in it; of more, nobody can tell


class WindowScorer:
    """Score windows of channels against what is usual in the recording.

    Parameters
    ----------
    cov : array, shape (n_bands, n_channels, n_channels)
        Covariance, adapted to the recording.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    used : array of bool, shape (n_channels,)
        The channels to score.
    spectra, usable
        Windows from all over the recording, which tell what is usual, and where channels are
        usable in them.
    """

    def __init__(self, cov, units, used, spectra, usable):
        self._units, self._used = units, used
        rows = np.flatnonzero(used)
        start = np.zeros_like(cov)
        start[:, rows[:, None], rows] = find_precision(cov[:, rows[:, None], rows], units[rows])
        self._start, self._kept = start, {}
        misfit = self._measure(spectra, usable)
        self._level = nanmedian(nanmedian(misfit, axis=2), axis=1)
        relative = self._excuse(misfit)
        self._usual = nanmedian(relative, axis=1)
        relative = relative - self._usual[:, None]
        pooled = np.concatenate([relative, _mean_band(relative)[None]])
        pooled = np.abs(pooled.reshape(len(pooled), -1))
        self._spread = 1.4826 * nanmedian(pooled, axis=1)

    def _precision(self, dropped):
        """Return the precision without some channels (indices in any order)."""
        key = tuple(sorted(dropped))
        if not key:
            return self._start
        if key not in self._kept:
            if len(self._kept) > 64:  # neighbours in time repeat, far ones seldom do
                self._kept.clear()
            self._kept[key] = drop_channel(self._precision(key[:-1]), key[-1])
        return self._kept[key]

    def _measure(self, spectra, usable):
        """Measure the misfit of windows, those with the same usable channels at once."""
        misfit = np.full((len(spectra), *usable.shape), np.nan)
        patterns, inverse = np.unique(usable & self._used, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            if pattern.sum() < 3:
                continue
            members = np.flatnonzero(inverse.ravel() == number)
            precision = self._precision(np.flatnonzero(self._used & ~pattern).tolist())
            part = [values[members] for values in spectra]
            misfit[:, members] = predict_each(part, precision, self._units, pattern)
        return misfit

    def _excuse(self, misfit):
        """Take off what all channels have too much of in a window: that is no fault of any."""
        common = nanmedian(misfit, axis=2) - self._level[:, None]
        return misfit - np.maximum(np.nan_to_num(common), 0)[..., None]

    def _rate(self, misfit):
        """Return the largest excess over what is usual, in robust standard deviations."""
        excess = self._excuse(misfit) - self._usual[:, None]
        excess = np.concatenate([excess, _mean_band(excess)[None]])
        with np.errstate(invalid="ignore"):
            scores = excess / np.maximum(self._spread, 1e-3)[:, None, None]
        return np.where(np.isfinite(scores), scores, -np.inf).max(axis=0)

    def __call__(self, spectra, usable, threshold):
        """Score windows; a channel beyond the threshold has no part in judging the others.

        Returns
        -------
        scores : array, shape (n_windows, n_channels)
            ``-inf`` where a channel is not scored.
        """
        usable = usable & self._used
        scores = self._rate(self._measure(spectra, usable))
        most = max(1, int(_MOST * self._used.sum()))
        for window in np.flatnonzero((scores > threshold).any(axis=1)):
            part = [values[window : window + 1] for values in spectra]
            left, found = usable[window].copy(), {}
            current = scores[window].copy()
            while len(found) < most and current.max() > threshold and left.sum() > 3:
                worst = int(current.argmax())
                found[worst] = current[worst]
                left[worst] = False
                current = self._rate(self._measure(part, left[None]))[0]
            scores[window] = current
            scores[window, list(found)] = list(found.values())
        return scores


def _mean_band(values):
    """Return the mean over the bands that hold something."""
    held = np.isfinite(values)
    count = held.sum(axis=0)
    total = np.where(held, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
