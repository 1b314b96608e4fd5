# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How badly each channel fits what the others say of it.

Signals are here as *spectra*: the Fourier coefficients of windows that
:func:`mne_gram.covariance._bands.band_products` returns, one array of the shape
``(n_windows, n_channels, n_frequencies)`` a band. A *misfit* is the logarithm of a squared error of
prediction over what was
to be expected of it.
"""

import numpy as np

from ..covariance import Moments, adapt_covariance, interpolation_operators, trace

_RIDGE = 1e-3  # of the mean variance, as for interpolation
# No prediction has quite the right gain: this share of the predicted power counts as expected
# error. It keeps a blink, of which each frontal channel tells, from being called a fault of each.
_GAIN_ERROR = 0.1
_N_GROUPS = 4
_LOUD = 6.0  # windows this much stronger than the median one count no more than that


# ---------------------------------------------------------------------------------------------
# Whole channels: predicted by a model that has not seen them


def gather_moments(spectra, channels):
    """Compute the covariance of some channels, with loud windows weighted down.

    Returns
    -------
    moments : list of Moments
        One entry, for :func:`mne_gram.covariance._conditional.adapt_covariance`.
    """
    spectra = [values[:, channels] for values in spectra]
    power = sum((np.abs(values) ** 2).sum(axis=(1, 2)) for values in spectra)
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
    """Fit the population prior to what some channels held; the others keep what it says of them."""
    return adapt_covariance(prior, *places, gather_moments(spectra, channels))


def fill_roughly(spectra, usable, used, prior, places):
    """Fill windows of channels that say nothing there, in place, by what the others say."""
    whole = (usable | ~used).all(axis=1)
    if whole.all():
        return
    rows = np.flatnonzero(used)
    clean = [values[whole] for values in spectra]
    moments = gather_moments(clean, rows) if whole.sum() >= 5 else []
    cov = adapt_covariance(prior, *places, moments)
    patterns, inverse = np.unique(usable & used, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        good, bad = np.flatnonzero(pattern), np.flatnonzero(used & ~pattern)
        if not len(bad):
            continue
        members = np.flatnonzero(inverse.ravel() == number)
        weights = np.zeros((len(spectra), len(bad), len(good)))
        if len(good) >= 2:
            weights = interpolation_operators(cov, places.units, good, bad)[0]
        for values, weight in zip(spectra, weights, strict=True):
            if values.shape[-1]:
                values[np.ix_(members, bad)] = weight @ values[members][:, good]


def predict_left_out(spectra, cov, units, good, left):
    """Measure the misfit of channels that had no part in the covariance.

    Parameters
    ----------
    spectra : list of array
        The windows.
    cov : array, shape (n_bands, n_channels, n_channels)
        The covariance that was made without the channels ``left``.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    good, left : array of int
        The channels to predict from, and to predict.

    Returns
    -------
    misfit : array, shape (n_bands, n_windows, n_left)
        NaN in bands that hold nothing.
    correlation : array, shape (n_windows, n_left)
        Of channel and prediction, over all bands.
    """
    weights, error = interpolation_operators(cov, units, good, left)
    pairs = []
    for values, weight in zip(spectra, weights, strict=True):
        mean = np.einsum("c,wcf->wf", units[good] / max(units[good].sum(), 1), values[:, good])
        values = values - units[:, None] * mean[:, None]
        pairs.append((values[:, left], weight @ values[:, good]))
    return _compare(pairs, np.diagonal(error, axis1=1, axis2=2))


def _compare(pairs, expected):
    """Compare channels with their predictions, a pair of spectra and an expected error a band."""
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
    """Score channels by how badly a model that has not seen them predicts them.

    A covariance that learnt from a bad channel would take its noise for normal. So the channels
    are dealt into groups, and each group is predicted by the population prior adapted to the
    others. Channels that are not in use are predicted from all that are.

    Parameters
    ----------
    spectra : list of array
        The windows.
    usable : array of bool, shape (n_windows, n_channels)
        Where a channel says anything; elsewhere it is filled roughly and not scored.
    used : array of bool, shape (n_channels,)
        The channels to learn and to predict from.
    order : array of int, shape (n_channels,)
        In which order to deal them, so that the result doesn't depend on that of the file.
    prior, places
        The population prior, and what :func:`mne_gram.covariance._prior.channel_rows` returned.

    Returns
    -------
    misfit : array, shape (n_bands, n_channels)
        Median over windows, relative to the median channel in each window. NaN for channels of
        which the prior knows nothing.
    correlation : array, shape (n_channels,)
        Median over windows of the correlation with the prediction.
    """
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
        found = predict_left_out(spectra, cov, places.units, good, group)
        windowed[:, :, group], correlation[:, group] = found
    windowed[:, ~usable] = np.nan
    correlation[~usable] = np.nan
    # A window in which all channels are hard to predict is no fault of any.
    windowed -= nanmedian(windowed[:, :, used], axis=2)[..., None]
    misfit = nanmedian(windowed, axis=1)
    return misfit - nanmedian(misfit[:, used], axis=1)[:, None], nanmedian(correlation, axis=0)


def nanmedian(values, axis):
    """Return the median of what is not NaN, NaN where nothing is (and no warning)."""
    values = np.sort(values, axis=axis)  # NaN comes last
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low, high = (count - 1).clip(0) // 2, count // 2
    high = np.minimum(high, values.shape[axis] - 1)
    pick = [np.take_along_axis(values, index, axis=axis) for index in (low, high)]
    return np.squeeze(np.where(count > 0, (pick[0] + pick[1]) / 2, np.nan), axis=axis)


# ---------------------------------------------------------------------------------------------
# Windows: each channel predicted by all others, in closed form


def find_precision(cov, units, ridge=_RIDGE):
    """Invert a covariance in the frame that knows nothing of the reference.

    Parameters
    ----------
    cov : array, shape (..., n, n)
        Covariance in any reference.
    units : array, shape (n,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    ridge : float
        Added to the diagonal, relative to the mean variance.

    Returns
    -------
    precision : array, shape (..., n, n)
        The limit of the inverse when anything may be added to all channels alike: ``precision @
        units`` is 0. ``(precision @ x)[i] / precision[i, i]`` is what the prediction of channel
        ``i`` by all others misses, and ``1 / precision[i, i]`` the expected square of that.
    """
    units = np.asarray(units, float)
    n = len(units)
    frame = np.eye(n) - np.outer(units, units) / max(units.sum(), 1)
    cov = frame @ cov @ frame.T
    scale = trace(cov)[..., None, None] / n
    # As nothing is left along units, any variance may stand there while inverting.
    inverse = np.linalg.inv(cov + scale * (ridge * np.eye(n) + np.outer(units, units) / n))
    if not units.any():
        return inverse
    along = inverse @ units
    return inverse - along[..., :, None] * along[..., None, :] / (along @ units)[..., None, None]


def drop_channel(precision, channel):
    """Return the precision of the other channels alone; the channel's own row becomes 0."""
    row = precision[..., channel, :]
    left = precision - row[..., :, None] * row[..., None, :] / row[..., channel, None, None]
    left[..., channel, :] = left[..., :, channel] = 0.0
    return left


def predict_each(spectra, precision, units, used):
    """Measure the misfit of each channel in use, predicted by all the others in use.

    Parameters
    ----------
    spectra : list of array
        The windows.
    precision : array, shape (n_bands, n_channels, n_channels)
        Rows of channels that are not in use are 0.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    used : array of bool, shape (n_channels,)
        The channels in use.

    Returns
    -------
    misfit : array, shape (n_bands, n_windows, n_channels)
        NaN for channels not in use and bands that hold nothing.
    """
    share = units * used
    share = share / max(share.sum(), 1)
    own = np.diagonal(precision, axis1=1, axis2=2)[:, used]
    pairs = []
    for values, matrix, scale in zip(spectra, precision, own, strict=True):
        missed = matrix[used] @ values / scale[:, None]
        values = values - units[:, None] * np.einsum("c,wcf->wf", share, values)[:, None]
        values = values[:, used]
        pairs.append((values, values - missed))
    misfit = np.full((len(spectra), len(spectra[0]), len(units)), np.nan)
    misfit[..., used] = _compare(pairs, 1 / own)[0]
    return misfit
