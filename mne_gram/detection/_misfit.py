# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How well each channel is predicted by the others.

*Spectra* are the Fourier coefficients of windows, one array ``(n_windows, n_channels,
n_frequencies)`` per band. A *misfit* is the log of a squared prediction error relative to the
expected one.
"""

import numpy as np

from ..covariance import Moments, adapt_covariance, find_precision, interpolation_operators

# No prediction has exactly the right gain: this share of the predicted power counts as expected
# error. Otherwise a blink would make every frontal channel look bad.
_GAIN_ERROR = 0.1
_ROUNDING = 1e-24  # of the power
_N_GROUPS = 4
_LOUD = 6.0  # the power of a window counts up to this multiple of the median
_MOST = 1 / 3  # largest share of channels that can be found bad in one window


# ---------------------------------------------------------------------------------------------
# Whole channels: predicted by a model that was not fitted to them


def gather_moments(spectra, channels):
    """Return a list with the moments of some channels, loud windows weighted down."""
    spectra = [values[:, channels] for values in spectra]
    power, contrasts = np.zeros((2, len(spectra[0])))
    for values in spectra:
        power = power + (np.abs(values) ** 2).sum(axis=(1, 2))
        moved = values - values.mean(axis=1, keepdims=True)
        contrasts = contrasts + (np.abs(moved) ** 2).sum(axis=(1, 2))
    if contrasts.sum() <= _ROUNDING * power.sum():
        return []  # all channels are copies of one signal
    alive = power[power > 0]
    typical = np.median(alive) if len(alive) else 1.0
    weights = np.minimum(1.0, _LOUD * typical / np.maximum(power, typical))
    weights[power == 0] = 0.0
    cov = np.zeros((len(spectra), len(channels), len(channels)))
    for band, values in zip(cov, spectra, strict=True):
        parts = (
            np.concatenate([values.real, values.imag], axis=-1) * np.sqrt(weights)[:, None, None]
        )
        flat = parts.transpose(1, 0, 2).reshape(len(channels), -1)
        band[:] = flat @ flat.T / max(weights.sum(), 1e-12)
    return [Moments(np.asarray(channels), weights.sum(), cov)]


def adapt(spectra, channels, prior, places):
    """Adapt the prior to some channels; the others keep the covariance that it predicts."""
    return adapt_covariance(prior, places, gather_moments(spectra, channels))


def fill_roughly(spectra, usable, used, prior, places):
    """Fill unusable windows of channels in place with predictions from the other channels."""
    whole = (usable | ~used).all(axis=1)
    if whole.all():
        return
    rows = np.flatnonzero(used)
    clean = [values[whole] for values in spectra]
    moments = gather_moments(clean, rows) if whole.sum() >= 5 else []
    cov = adapt_covariance(prior, places, moments)
    patterns, inverse = np.unique(usable & used, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        good, bad = np.flatnonzero(pattern), np.flatnonzero(used & ~pattern)
        if not len(bad):
            continue
        members = np.flatnonzero(inverse.ravel() == number)
        weights = np.zeros((len(spectra), len(bad), len(good)))
        if len(good) >= 2:
            weights = interpolation_operators(cov, places.carries_reference, good, bad)[0]
        for values, weight in zip(spectra, weights, strict=True):
            if values.shape[-1]:
                values[np.ix_(members, bad)] = weight @ values[members][:, good]


def predict_left_out(spectra, cov, carries_reference, good, left):
    """Measure the misfit of channels ``left``, predicted from ``good``.

    Returns misfit (n_bands, n_windows, n_left), NaN in bands without data, and correlation with the
    prediction over all bands (n_windows, n_left). ``cov`` was fitted without the channels ``left``.
    """
    weights, error = interpolation_operators(cov, carries_reference, good, left)
    share = carries_reference[good] / max(carries_reference[good].sum(), 1)
    pairs = []
    for values, weight in zip(spectra, weights, strict=True):
        mean = np.einsum("c,wcf->wf", share, values[:, good])
        values = values - carries_reference[:, None] * mean[:, None]
        pairs.append((values[:, left], weight @ values[:, good]))
    return compare(pairs, np.diagonal(error, axis1=1, axis2=2))


def compare(pairs, expected):
    """Compare channels with predictions: one pair of spectra and one expected error per band."""
    misfit = np.full((len(pairs), *pairs[0][0].shape[:2]), np.nan)
    sums = np.zeros((3, *pairs[0][0].shape[:2]))
    for row, (values, predicted), error in zip(misfit, pairs, expected, strict=True):
        if not values.shape[-1]:
            continue
        power = (np.abs(predicted) ** 2).sum(axis=-1)
        scale = np.maximum(error + _GAIN_ERROR * power, np.finfo(float).tiny)
        found = (np.abs(values - predicted) ** 2).sum(axis=-1)
        row[:] = np.log(np.maximum(found / scale, 1e-6))
        sums[0] += (values * predicted.conj()).real.sum(axis=-1)
        sums[1] += (np.abs(values) ** 2).sum(axis=-1)
        sums[2] += power
    norm = np.sqrt(sums[1] * sums[2])
    return misfit, np.divide(sums[0], norm, out=np.zeros_like(norm), where=norm > 0)


def score_channels(spectra, usable, used, order, prior, places):
    """Score channels by the misfit to a model that was not fitted to them.

    Channels in ``used`` are dealt in ``order`` into groups, each predicted from the rest. Returns
    misfit (n_bands, n_channels), NaN where the prior does not cover a channel, and correlation.
    """
    # A covariance fitted to a bad channel would take its noise for normal.
    n_windows, n_channels = usable.shape
    windowed = np.full((len(spectra), n_windows, n_channels), np.nan)
    correlation = np.full((n_windows, n_channels), np.nan)
    dealt = order[used[order] & places.known[order]]
    groups = [dealt[start::_N_GROUPS] for start in range(_N_GROUPS)]
    groups.append(np.flatnonzero(~used & places.known))
    for group in groups:
        good = np.setdiff1d(np.flatnonzero(used), group)
        if not len(group) or len(good) < 2:
            continue
        cov = adapt(spectra, good, prior, places)
        found = predict_left_out(spectra, cov, places.carries_reference, good, group)
        windowed[:, :, group], correlation[:, group] = found
    windowed[:, ~usable] = np.nan
    correlation[~usable] = np.nan
    # A window in which all channels are hard to predict says nothing about any of them.
    windowed -= nanmedian(windowed[:, :, used], axis=2)[..., None]
    misfit = nanmedian(windowed, axis=1)
    return misfit - nanmedian(misfit[:, used], axis=1)[:, None], nanmedian(correlation, axis=0)


def nanmedian(values, axis):
    """Return the median of the values that are not NaN; NaN, without a warning, if all are."""
    values = np.sort(values, axis=axis)  # NaN comes last
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low, high = (count - 1).clip(0) // 2, count // 2
    high = np.minimum(high, values.shape[axis] - 1)
    pick = [np.take_along_axis(values, index, axis=axis) for index in (low, high)]
    return np.squeeze(np.where(count > 0, (pick[0] + pick[1]) / 2, np.nan), axis=axis)


# ---------------------------------------------------------------------------------------------
# Windows: each channel predicted from all others, in closed form


def drop_channel(precision, channel):
    """Return the precision of the other channels; the row and column of this channel become 0."""
    row = precision[..., channel, :]
    left = precision - row[..., :, None] * row[..., None, :] / row[..., channel, None, None]
    left[..., channel, :] = left[..., :, channel] = 0.0
    return left


def predict_each(spectra, precision, carries_reference, used):
    """Measure the misfit of each channel in ``used``, predicted from all others in ``used``.

    Returns an array (n_bands, n_windows, n_channels), NaN for other channels and empty bands.
    """
    share = carries_reference * used
    share = share / max(share.sum(), 1)
    own = np.diagonal(precision, axis1=1, axis2=2)[:, used]
    pairs = []
    for values, matrix, scale in zip(spectra, precision, own, strict=True):
        missed = matrix[used] @ values / scale[:, None]
        mean = np.einsum("c,wcf->wf", share, values)
        values = (values - carries_reference[:, None] * mean[:, None])[:, used]
        pairs.append((values, values - missed))
    misfit = np.full((len(spectra), len(spectra[0]), len(carries_reference)), np.nan)
    misfit[..., used] = compare(pairs, 1 / own)[0]
    return misfit


class WindowScorer:
    """Score windows of channels relative to the typical misfit in the recording.

    ``spectra`` and ``usable`` (n_windows, n_channels) are windows from the whole recording, ``cov``
    (n_bands, n_channels, n_channels) is adapted to it, ``used`` are the channels to score.
    """

    def __init__(self, cov, carries_reference, used, spectra, usable):
        self._carries_reference, self._used = carries_reference, used
        rows = np.flatnonzero(used)
        start = np.zeros_like(cov)
        start[:, rows[:, None], rows] = find_precision(
            cov[:, rows[:, None], rows], carries_reference[rows]
        )
        self._start, self._kept = start, {}
        misfit = self._measure(spectra, usable)
        self._level = nanmedian(nanmedian(misfit, axis=2), axis=1)
        relative = self._excuse(misfit)
        self._usual = nanmedian(relative, axis=1)
        relative = relative - self._usual[:, None]
        pooled = np.concatenate([relative, mean_band(relative)[None]])
        pooled = np.abs(pooled.reshape(len(pooled), -1))
        self._spread = 1.4826 * nanmedian(pooled, axis=1)

    def _precision(self, dropped):
        """Return the precision without some channels (indices in any order)."""
        key = tuple(sorted(dropped))
        if not key:
            return self._start
        if key not in self._kept:
            if len(self._kept) > 64:  # successive windows often miss the same channels
                self._kept.clear()
            self._kept[key] = drop_channel(self._precision(key[:-1]), key[-1])
        return self._kept[key]

    def _measure(self, spectra, usable):
        """Measure the misfit of windows, grouped by their usable channels."""
        misfit = np.full((len(spectra), *usable.shape), np.nan)
        patterns, inverse = usable & self._used, np.zeros(1, int)
        if len(patterns) > 1:
            patterns, inverse = np.unique(patterns, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            if pattern.sum() < 3:
                continue
            members = np.flatnonzero(inverse.ravel() == number)
            precision = self._precision(np.flatnonzero(self._used & ~pattern).tolist())
            subset = [values[members] for values in spectra]
            misfit[:, members] = predict_each(subset, precision, self._carries_reference, pattern)
        return misfit

    def _excuse(self, misfit):
        """Subtract the excess that all channels share in a window."""
        common = nanmedian(misfit, axis=2) - self._level[:, None]
        return misfit - np.maximum(np.nan_to_num(common), 0)[..., None]

    def _rate(self, misfit):
        """Return the largest excess over the typical misfit, in robust standard deviations."""
        excess = self._excuse(misfit) - self._usual[:, None]
        excess = np.concatenate([excess, mean_band(excess)[None]])
        with np.errstate(invalid="ignore"):
            scores = excess / np.maximum(self._spread, 1e-3)[:, None, None]
        return np.where(np.isfinite(scores), scores, -np.inf).max(axis=0)

    def __call__(self, spectra, usable, threshold):
        """Score windows; channels beyond the threshold no longer predict the others.

        Returns an array (n_windows, n_channels), ``-inf`` where a channel is not scored.
        """
        usable = usable & self._used
        scores = self._rate(self._measure(spectra, usable))
        most = max(1, int(_MOST * self._used.sum()))
        for window in np.flatnonzero((scores > threshold).any(axis=1)):
            subset = [values[window : window + 1] for values in spectra]
            left, found = usable[window].copy(), {}
            current = scores[window].copy()
            while len(found) < most and current.max() > threshold and left.sum() > 3:
                worst = int(current.argmax())
                found[worst] = current[worst]
                left[worst] = False
                current = self._rate(self._measure(subset, left[None]))[0]
            scores[window] = current
            scores[window, list(found)] = list(found.values())
        return scores


def mean_band(values):
    """Return the mean over the bands, the first axis, that contain data."""
    held = np.isfinite(values)
    count = held.sum(axis=0)
    total = np.where(held, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
