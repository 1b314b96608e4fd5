# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Clean windows of a recording, and their covariances.

Epochs are laid end to end, so that Raw and Epochs are handled alike.
"""

from typing import NamedTuple

import numpy as np

from .._checks import find_segments
from ..covariance import MIN_GOOD, WINDOW, Moments, band_products

# A window this many times stronger than the median counts as an artefact that nobody marked; it is
# weighted down to that limit.
_LOUD = 6.0
_ROUNDING = 1e-12
_MAX_WINDOWS = 240  # two minutes of half-overlapping windows are enough for statistics
_RUN = 10  # neighbouring windows that belong to the same half
_CHUNK_VALUES = 2**22  # of windows that are read together: 32 MB in double precision


def split_recording(raw):
    """List the segments of a Raw inside which time is continuous, and the holes between them.

    Each is a start and a stop in samples; together they are the whole recording.
    """
    cuts = np.unique([0, raw.n_times, *find_segments(raw).ravel()]).tolist()
    return list(zip(cuts[:-1], cuts[1:], strict=True))


def choose_windows(bad, segments, sfreq, max_windows):
    """Choose about ``max_windows`` for statistics, half overlapping and evenly spread.

    Returns starts (n_windows,), the length, and which channels are good (n_windows, n_channels).
    """
    length = round(WINDOW * sfreq)
    longest = max((stop - start for start, stop in segments), default=0)
    length = min(length, longest)
    step = max(1, length // 2)
    starts = np.concatenate(
        [np.arange(start, stop - length + 1, step) for start, stop in sorted(segments)]
    ).astype(int)
    # A span makes all windows bad that begin less than a window before its start, or inside it.
    changes = np.zeros((len(starts) + 1, len(bad)), np.int32)
    for column, spans in zip(changes.T, bad.spans, strict=True):
        np.add.at(column, np.searchsorted(starts, spans[:, 0] - length, "right"), 1)
        np.add.at(column, np.searchsorted(starts, spans[:, 1], "left"), -1)
    good = changes.cumsum(axis=0)[:-1] == 0
    # The fullest windows first, and the rest only where there are too few of them.
    enough = good.sum(axis=1) >= MIN_GOOD
    starts, good = starts[enough], good[enough]
    if len(starts) > max_windows:
        n_good = good.sum(axis=1)
        best = np.flatnonzero(n_good == n_good.max())
        pool = best if len(best) >= max_windows else np.arange(len(starts))
        pick = pool[np.linspace(0, len(pool) - 1, max_windows).round().astype(int)]
        # Channels that are never good in the fullest windows need some of their own.
        missing = good.any(axis=0) & ~good[pick].any(axis=0)
        extra = np.flatnonzero(good[:, missing].any(axis=1))
        if len(extra) > max_windows // 2:
            extra = extra[np.linspace(0, len(extra) - 1, max_windows // 2).round().astype(int)]
        pick = np.unique(np.concatenate([pick, extra]))
        starts, good = starts[pick], good[pick]
    return starts, length, good


def measure_moments(recording, carries_reference, max_windows=_MAX_WINDOWS):
    """Measure the covariances of clean windows from all over a recording.

    Returns a list of Moments, one per pattern of good channels, relative to the mean of these.
    """
    bad, sfreq = recording.bad, recording.sfreq
    starts, length, good = choose_windows(bad, recording.segments, sfreq, max_windows)
    if not len(starts):
        return []
    spectra, largest = _transform_windows(recording.samples, sfreq, starts, length, good)
    return group_products(subtract_mean(spectra, largest, good, carries_reference), good)


class WindowSpectra(NamedTuple):
    """The spectra of good channels in some windows; ``largest`` are the largest samples."""

    starts: np.ndarray  # (n_windows,)
    good: np.ndarray  # (n_windows, n_channels)
    spectra: list  # of arrays (n_windows, n_channels, n_frequencies), one per band
    largest: np.ndarray  # (n_windows, n_channels)


def _transform_windows(samples, sfreq, starts, length, good):
    """Return the spectra of windows, and their largest samples.

    Those of the last call are used again: what is hidden from a recording leaves most windows.
    """
    last = samples.kept.get((sfreq, length))
    old = rows = np.zeros(0, int)
    if last is not None:
        rows = np.searchsorted(last.starts, starts).clip(0, len(last.starts) - 1)
        same = (last.starts[rows] == starts) & ~(good & ~last.good[rows]).any(axis=1)
        old, rows = np.flatnonzero(same), rows[same]
    fresh = np.setdiff1d(np.arange(len(starts)), old)
    largest, usable, parts = np.zeros(good.shape), good.copy(), []
    if len(old):
        largest[old], usable[old] = last.largest[rows], last.good[rows]
        parts.append([values[rows] for values in last.spectra])
    size = max(1, _CHUNK_VALUES // max(1, good.shape[1] * length))
    for k in range(0, len(fresh), size):
        some = fresh[k : k + size]
        windows = np.stack([samples.read(a, a + length) for a in starts[some]])
        windows[~good[some]] = 0.0
        largest[some] = np.maximum(windows.max(axis=2), -windows.min(axis=2))
        parts.append(band_products(windows, sfreq))
    order = np.argsort(np.r_[old, fresh])
    spectra = [np.concatenate(values)[order] for values in zip(*parts, strict=True)]
    samples.kept[sfreq, length] = WindowSpectra(starts, usable, spectra, largest)
    return spectra, largest


def subtract_mean(spectra, largest, good, carries_reference):
    """Return spectra of windows relative to the mean of the good channels, 0 for the others.

    ``spectra`` are arrays (n_windows, n_channels, n_frequencies), one per band; ``largest`` and
    ``good`` are (n_windows, n_channels).
    """
    carried = good * carries_reference
    share = carried / np.maximum(carried.sum(axis=1, keepdims=True), 1)
    products = [
        np.where(good[..., None], values, 0) - carried[..., None] * (share[:, None] @ values)
        for values in spectra
    ]
    # Of copies of one signal, nothing but rounding errors is left.
    left = np.max([np.abs(values).max(axis=(1, 2), initial=0) for values in products], axis=0)
    silent = left <= _ROUNDING * np.where(good, largest, 0).max(axis=1)
    for values in products:
        values[silent] = 0.0
    return products


def group_products(products, good):
    """Average the cross-products of windows by which channels are good; a Moments per pattern."""
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
        cov = _average(products, members, channels, weight)
        halves = None
        if len(members) >= 4 * _RUN:
            # Neighbours overlap, so runs of them take turns.
            first = np.arange(len(members)) // _RUN % 2 == 0
            halves = np.array(
                [_average(products, members[k], channels, weight[k]) for k in (first, ~first)]
            )
        moments.append(Moments(channels, weight.sum(), cov, halves))
    return moments


def _average(products, members, channels, weight):
    """Average the cross-products of some windows and channels, shape (n_bands, n, n)."""
    cov = np.zeros((len(products), len(channels), len(channels)))
    for band, product in zip(cov, products, strict=True):
        part = product[members][:, channels] * np.sqrt(weight)[:, None, None]
        part = part.transpose(1, 0, 2).reshape(len(channels), -1)
        part = np.concatenate([part.real, part.imag], axis=1)
        band[:] = part @ part.T / weight.sum()
    return cov


def _quietness(products, good):
    """Weigh windows that are far stronger than most down to a limit, and flat ones to nothing."""
    power = sum((product.real**2 + product.imag**2).sum(axis=2) for product in products)
    power = (power * good).sum(axis=1) / good.sum(axis=1)
    alive = power > 0
    weights = np.zeros(len(power))
    if alive.any():
        weights[alive] = np.minimum(1.0, _LOUD * np.median(power[alive]) / power[alive])
    return weights
