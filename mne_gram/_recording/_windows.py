# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Clean windows of a recording, and their covariances.

Raw and Epochs are handled alike: as channels x samples, with the pieces (start, stop) inside which
time is continuous.
"""

import numpy as np

from ..covariance import MIN_GOOD, WINDOW, Moments, band_products
from ._masks import find_spans

# A window this many times stronger than the median counts as an artefact that nobody marked; it is
# weighted down to that limit.
_LOUD = 6.0


def find_pieces(raw):
    """List the stretches of a Raw inside which time is continuous.

    Parameters
    ----------
    raw : instance of mne.io.BaseRaw
        The recording; joins are marked by ``EDGE boundary`` or ``BAD_ACQ_SKIP`` annotations.

    Returns
    -------
    pieces : list of tuple of int
        Starts and stops in samples.
    """
    n_times, sfreq = raw.n_times, raw.info["sfreq"]
    cuts = {0, n_times}
    annotations = raw.annotations
    onsets = annotations.onset - raw.first_time
    for onset, duration, text in zip(
        onsets, annotations.duration, annotations.description, strict=True
    ):
        kind = text.upper()
        if kind.startswith("EDGE") or kind.startswith("BAD_ACQ_SKIP"):
            cuts |= {round(onset * sfreq), round((onset + duration) * sfreq)}
    cuts = sorted(cut for cut in cuts if 0 <= cut <= n_times)
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def cut_windows(data, mask, pieces, sfreq, max_windows):
    """Cut windows for statistics, half overlapping and evenly spread over the recording.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals.
    mask : array of bool, shape (n_channels, n_times)
        True where bad. What stands there is not looked at.
    pieces : list of tuple of int
        Stretches of continuous time.
    sfreq : float
        Sampling rate in Hz.
    max_windows : int
        About how many at most; up to half as many are added for channels that are never good in
        those.

    Returns
    -------
    windows : array, shape (n_windows, n_channels, n_samples)
        Signals, 0 where a channel is not good throughout the window.
    good : array of bool, shape (n_windows, n_channels)
        Which channels are good throughout.
    """
    starts, length, good = choose_windows(find_spans(mask), pieces, sfreq, max_windows)
    index = starts[:, None] + np.arange(length)
    windows = np.zeros((len(starts), len(data), length))
    for channel in range(len(data)):
        usable = good[:, channel]
        windows[usable, channel] = data[channel][index[usable]]
    return windows, good


def choose_windows(bad, pieces, sfreq, max_windows):
    """Choose where :func:`cut_windows` cuts.

    Parameters
    ----------
    bad : BadSpans
        What is bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    sfreq : float
        Sampling rate in Hz.
    max_windows : int
        As in :func:`cut_windows`.

    Returns
    -------
    starts : array of int, shape (n_windows,)
        First samples.
    length : int
        Number of samples of a window.
    good : array of bool, shape (n_windows, n_channels)
        Which channels are good throughout.
    """
    length = round(WINDOW * sfreq)
    longest = max((stop - start for start, stop in pieces), default=0)
    length = min(length, longest)
    step = max(1, length // 2)
    starts = np.concatenate(
        [np.arange(start, stop - length + 1, step) for start, stop in sorted(pieces)]
    ).astype(int)
    # A span makes all windows bad that begin less than a window before its start, or inside it.
    changes = np.zeros((len(starts) + 1, len(bad)), np.int32)
    for column, spans in zip(changes.T, bad.spans, strict=True):
        np.add.at(column, np.searchsorted(starts, spans[:, 0] - length, "right"), 1)
        np.add.at(column, np.searchsorted(starts, spans[:, 1], "left"), -1)
    good = changes.cumsum(axis=0)[:-1] == 0
    # The fullest windows first: they say most, and the rest only where there are too few of them.
    enough = good.sum(axis=1) >= MIN_GOOD
    starts, good = starts[enough], good[enough]
    if len(starts) > max_windows:
        n_good = good.sum(axis=1)
        best = np.flatnonzero(n_good == n_good.max())
        pool = best if len(best) >= max_windows else np.arange(len(starts))
        pick = pool[np.linspace(0, len(pool) - 1, max_windows).round().astype(int)]
        # Channels that are never good in the fullest windows need some of their own.
        lacking = good.any(axis=0) & ~good[pick].any(axis=0)
        extra = np.flatnonzero(good[:, lacking].any(axis=1))
        if len(extra) > max_windows // 2:
            extra = extra[np.linspace(0, len(extra) - 1, max_windows // 2).round().astype(int)]
        pick = np.unique(np.concatenate([pick, extra]))
        starts, good = starts[pick], good[pick]
    return starts, length, good


def group_moments(windows, good, sfreq, units):
    """Compute the covariances of windows, grouped by which channels are good.

    Parameters
    ----------
    windows : array, shape (n_windows, n_channels, n_samples)
        Signals.
    good : array of bool, shape (n_windows, n_channels)
        Which channels are good throughout.
    sfreq : float
        Sampling rate in Hz.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.

    Returns
    -------
    moments : list of Moments
        One a pattern of good channels, relative to the mean of the good ones.
    """
    return group_products(window_products(windows, good, sfreq, units), good)


def window_products(windows, good, sfreq, units):
    """Compute each window's cross-products a band, relative to the mean of its good channels.

    Parameters
    ----------
    windows, good, sfreq, units
        As in :func:`group_moments`.

    Returns
    -------
    products : list of array, shape (n_windows, n_channels, n_frequencies)
        What :func:`mne_gram.covariance._bands.band_products` returns.
    """
    carried = good * units
    share = carried / np.maximum(carried.sum(axis=1, keepdims=True), 1)
    mean = np.einsum("wc,wct->wt", share, windows)
    windows = windows - carried[..., None] * mean[:, None]
    return band_products(windows, sfreq)


def group_products(products, good):
    """Average the cross-products of windows by which channels are good.

    Parameters
    ----------
    products : list of array, shape (n_windows, n_channels, n_frequencies)
        What :func:`window_products` returned.
    good : array of bool, shape (n_windows, n_channels)
        Which channels are good throughout.

    Returns
    -------
    moments : list of Moments
        One a pattern of good channels.
    """
    if not len(good):
        return []
    weights = _quietness(products, good)
    alive = weights > 0
    good, weights, products = good[alive], weights[alive], [p[alive] for p in products]
    patterns, inverse = np.unique(good, axis=0, return_inverse=True)
    moments = []
    for number, pattern in enumerate(patterns):
        members = np.flatnonzero(inverse.ravel() == number)
        channels = np.flatnonzero(pattern)
        weight = weights[members]
        cov = np.zeros((len(products), len(channels), len(channels)))
        for band, product in zip(cov, products, strict=True):
            part = product[members][:, channels] * np.sqrt(weight)[:, None, None]
            part = part.transpose(1, 0, 2).reshape(len(channels), -1)
            part = np.concatenate([part.real, part.imag], axis=1)
            band[:] = part @ part.T / weight.sum()
        moments.append(Moments(channels, weight.sum(), cov))
    return moments


def _quietness(products, good):
    """Weigh windows that are far stronger than most down to a limit, and flat ones to nothing."""
    power = sum((np.abs(product) ** 2).sum(axis=2) for product in products)
    power = (power * good).sum(axis=1) / good.sum(axis=1)
    alive = power > 0
    weights = np.zeros(len(power))
    if alive.any():
        weights[alive] = np.minimum(1.0, _LOUD * np.median(power[alive]) / power[alive])
    return weights
