# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the signals themselves: missing, flat, clipped, line noise, bridged.

``size`` is the typical standard deviation of the EEG, so nothing here depends on units.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

_BLOCK_SECONDS = 30.0
_MOSTLY = 0.5  # a channel is bad if more than this share of its samples is
_FLAT_SECONDS = 0.2
_FLAT_RANGE = 1e-3  # of the size: less than the noise of any amplifier
_CLIPPED_RUN = 3, 0.005  # a plateau has at least this many samples and seconds, and occurs ...
_CLIPPED_OFTEN = 3  # ... this often, as a single crest may be flat, ...
_CLIPPED_ONCE = 0.025  # ... or lasts this many seconds
_CLIPPED_STEP = 0.02  # of the size: steps around the crest of a coarsely sampled wave are smaller
_LINE_RATIO = 4.0  # to the median channel; the line must also be as large as the EEG
_BRIDGED = 0.01  # of the typical variance of the difference between neighbours


def check_samples(signals, size):
    """Find samples that are not finite, flat or clipped.

    Returns runs (row, start, stop, why, score NaN), and the reasons, by name, of channels that
    mostly consist of them.
    """
    margin = round(2 * _FLAT_SECONDS * signals.sfreq)
    block = max(1, round(_BLOCK_SECONDS * signals.sfreq))
    runs, n_hidden = [], np.zeros(len(signals.names), int)
    plateaus = [[] for _ in signals.names]
    limits = np.array([[np.inf, -np.inf]] * len(signals.names))
    for first, last in signals.segments:
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
                    runs += [(row, start + a, start + b, why, np.nan) for a, b in _to_runs(mask)]
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


def _to_runs(mask):
    """Return start and stop of the runs of True in a vector."""
    edges = np.flatnonzero(np.diff(np.r_[0, np.asarray(mask, "i1"), 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def find_flat(data, sfreq, size):
    """Return where channels do not move for 0.2 s or more, shape (n_channels, n_times)."""
    length = max(3, round(_FLAT_SECONDS * sfreq))
    if data.shape[1] < length:
        return np.zeros(data.shape, bool)
    ahead = dict(size=length, axis=1, origin=-(length // 2))  # a window is labelled by its start
    finite = np.isfinite(data)
    values = np.where(finite, data, 0.0)
    spread = maximum_filter1d(values, **ahead) - minimum_filter1d(values, **ahead)
    still = (spread <= _FLAT_RANGE * size) & (minimum_filter1d(finite.view("u1"), **ahead) > 0)
    still[:, data.shape[1] - length + 1 :] = False
    behind = dict(size=length, axis=1, origin=(length - 1) // 2, mode="constant")
    return maximum_filter1d(still.view("u1"), **behind) > 0


def has_flat(data, sfreq, size):
    """Return which channels do not move for 0.2 s or more, shape (n_channels,)."""
    # Such a run contains a whole block of half its length, which is found much faster.
    length = max(3, round(_FLAT_SECONDS * sfreq)) // 2
    n_blocks = data.shape[1] // length
    blocks = data[:, : n_blocks * length].reshape(len(data), n_blocks, length)
    found = (np.ptp(blocks, axis=-1) <= _FLAT_RANGE * size).any(axis=-1)
    if found.any():
        found[found] = find_flat(data[found], sfreq, size).any(axis=1)
    return found


def find_plateaus(signal, sfreq, size):
    """Return start, stop and value of plateaus at the extremes of a signal, entered by a step."""
    shortest = max(_CLIPPED_RUN[0], round(_CLIPPED_RUN[1] * sfreq))
    if not np.isfinite(signal).any():
        return []
    plateaus = []
    for limit in (np.nanmin(signal), np.nanmax(signal)):
        for start, stop in _to_runs(signal == limit):
            around = np.r_[signal[start - 1 : start], signal[stop : stop + 1]]
            steps = np.abs(around - limit)
            if stop - start >= shortest and (steps > _CLIPPED_STEP * size).any():
                plateaus.append((start, stop, float(limit)))
    return plateaus


def choose_clipped(plateaus, low, high, sfreq):
    """Return start and stop of plateaus at the ends of the range, if long or frequent enough."""
    clipped = []
    for limit in (low, high):
        found = [(start, stop) for start, stop, value in plateaus if value == limit]
        if len(found) < _CLIPPED_OFTEN:
            found = [run for run in found if run[1] - run[0] >= _CLIPPED_ONCE * sfreq]
        clipped += found
    return sorted(clipped)


def measure_line(windows, sfreq, freqs):
    """Return the root mean square of the largest sinusoid at ``freqs``, (n_windows, n_channels).

    Frequencies above the Nyquist frequency are left out.
    """
    n_times = windows.shape[-1]
    taper = np.hanning(n_times + 2)[1:-1]
    windows = windows - windows.mean(axis=-1, keepdims=True)
    freqs = np.array([freq for freq in freqs if freq < 0.98 * sfreq / 2])
    if not len(freqs):
        return np.zeros(windows.shape[:2])
    waves = np.exp(-2j * np.pi * freqs[:, None] / sfreq * np.arange(n_times)) * taper
    return np.sqrt(2) * np.abs(windows @ waves.T).max(axis=-1) / taper.sum()


def find_line(rms, used, size):
    """Return which channels have as much line noise as EEG, and far more than the others."""
    typical = np.median(rms[used]) if used.any() else 0.0
    return rms > np.maximum(size, _LINE_RATIO * typical)


def find_bridged(cov, used, names):
    """Return the pairs of channel names in ``used`` whose signals are nearly identical."""
    rows = np.flatnonzero(used)
    if len(rows) < 3:
        return []
    cov = cov[np.ix_(rows, rows)]
    own = np.diagonal(cov)
    difference = own[:, None] + own - 2 * cov
    nearest = (difference + np.diag(np.full(len(rows), np.inf))).min(axis=1)
    close = np.argwhere(np.triu(difference < _BRIDGED * np.median(nearest), k=1))
    return [(names[rows[a]], names[rows[b]]) for a, b in close]
