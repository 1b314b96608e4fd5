# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels in new data by a covariance that was fitted to earlier data.

Each window, a trial or a second of a stream, is judged by itself. A channel is compared with its
prediction from the good ones by four *measures*, in the mean over bands unless stated otherwise:
the misfit, the misfit of the worst band, how much lower than expected the correlation is, and how
much smaller the signal is than the prediction.
"""

from dataclasses import dataclass

import numpy as np
from mne.io import BaseRaw

from .._recording import BadSpans, merge_spans
from ..covariance import WINDOW, band_products, find_precision
from ._find_bads import find_bads
from ._misfit import compare, nanmedian
from ._signal_checks import find_line, has_flat, measure_line
from ._signals import cut_half_overlapping

_SECONDS = 2.0  # of the windows of a Raw, which are judged as trials are
_MAX_WINDOWS = 60  # of each half of the earlier data, that show what is typical
_FEW = 4  # windows: in fewer, there are no halves
_MIN_CHANNELS = 4
_MOST = 0.5  # largest share of channels that can misfit: the others have to predict them
_LOUD = 30.0  # times the typical standard deviation of the EEG
_LARGEST = 1e3  # volts
_HIGHEST = 0.95  # correlation: where the rank is low, a prediction can be perfect
# The measures of good channels are typically no lower than this, and vary by no less. In such
# standard deviations, channels beyond the first threshold do not predict the others, and those
# beyond the second are bad. In shorter windows the spread grows with this power of the ratio. All
# were chosen on the training subjects.
_LEAST_TYPICAL = -0.5
_LEAST_SPREAD = np.array([0.1, 0.2, 0.1, 0.1])
_DOUBTFUL, _BAD = 3.5, 6.0
_SHORTENED = 0.65
# Below this share of the median correlation with its prediction, a channel to learn from is bad.
_UNRELATED = 0.45


def find_training_bads(inst, prior):
    """Return the mask of bad channels and segments in training data.

    They are those of `find_bads`, and channels that the others do not predict.

    White noise as large as the EEG may have a misfit that is not unusual, but is not predicted.
    """
    report = find_bads(inst, prior=prior)
    mask = report.mask(inst)
    correlation = report.scores["correlation"].to_numpy()
    if not np.isnan(correlation).all():
        unrelated = correlation < _UNRELATED * np.nanmedian(correlation)
        rows = [inst.ch_names.index(n) for n in np.array(report.ch_names)[unrelated]]
        mask[(..., rows, slice(None)) if isinstance(inst, BaseRaw) else (..., rows)] = True
    return mask


@dataclass(frozen=True, eq=False)
class Check:
    """What is typical of good channels in earlier data; nothing that is judged changes it.

    ``size`` is the typical standard deviation of the EEG, and ``still (n_channels,)`` are channels
    that may be flat. ``typical (n_measures, n_channels)`` and ``spread (n_measures,)`` are those of
    the measures in windows of ``seconds``.
    """

    cov: np.ndarray  # (n_bands, n_channels, n_channels)
    precision: np.ndarray  # the same
    carries_reference: np.ndarray  # (n_channels,)
    still: np.ndarray
    size: float
    seconds: float
    typical: np.ndarray
    spread: np.ndarray


# ---------------------------------------------------------------------------------------------
# Earlier data


def fit_check(recording, cov, carries_reference, still, fit):
    """Learn from a recording what is typical of good channels; None if there are too few.

    ``cov`` is its covariance, and ``fit(part)`` returns that of a part: that of one half shows what
    is typical in the other.
    """
    carries_reference, sfreq = np.asarray(carries_reference, float), recording.sfreq
    windows = _cut_windows(recording, _SECONDS)
    halves = [(cov, windows)]
    if len(windows) >= _FEW:
        first, second = windows[: len(windows) // 2], windows[len(windows) // 2 :]
        pairs = ((first, second), (second, first))
        halves = [(fit(_keep(recording, own)), other) for own, other in pairs]
    found, sizes = [], []
    for half, other in halves:
        precision = find_precision(half, carries_reference)
        for start, stop, *_ in _thin(other):
            signals, good = _read(recording, start, stop)
            spectra = _transform(signals, sfreq)
            if good.sum() < _MIN_CHANNELS or not _has_band(spectra):
                continue
            measures = _measure(half, precision, carries_reference, spectra, good)
            found.append(np.where(good, measures, np.nan))
            sizes.append(signals[good & ~still].std(axis=1))
    if not found:
        return None
    typical, spread = _summarise(np.array(found))
    sizes = np.concatenate(sizes)
    size = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 1.0
    seconds = (windows[0][1] - windows[0][0]) / sfreq  # of short epochs, all
    precision = find_precision(cov, carries_reference)
    return Check(cov, precision, carries_reference, still, size, seconds, typical, spread)


def _summarise(found):
    """Return the typical value of measures (n_windows, n_measures, n_channels), and the spread."""
    typical = np.maximum(nanmedian(found, axis=0), _LEAST_TYPICAL)
    typical = np.where(np.isnan(typical), nanmedian(typical, axis=1)[:, None], typical)
    rest = [_relate(measures, typical, np.isfinite(measures[0])) for measures in found]
    rest = np.abs(rest).swapaxes(0, 1).reshape(len(typical), -1)
    return typical, np.maximum(1.4826 * nanmedian(rest, axis=1), _LEAST_SPREAD)


# ---------------------------------------------------------------------------------------------
# New data


def find_bad_spans(check, recording, is_raw):
    """Return the BadSpans of channels of new data that are bad and not marked as such.

    A trial is judged as a whole; other data are cut into windows that overlap by half.
    """
    edges = [(0, recording.n_times, 0, recording.n_times)]
    if is_raw:
        edges = _cut_windows(recording, check.seconds, with_short=True)
    spans = [[] for _ in recording.ch_names]
    for start, stop, first, last in edges:
        signals, good = _read(recording, start, stop)
        reasons, _ = judge(check, signals, good, recording.sfreq, recording.info["line_freq"])
        for row in np.flatnonzero(np.any(list(reasons.values()), axis=0)):
            spans[row].append((first, last))
    return BadSpans(tuple(merge_spans(own) for own in spans), recording.n_times)


def judge(check, signals, good, sfreq, line_freq):
    """Find bad channels among the ``good`` of a window (n_channels, n_times), which is overwritten.

    Returns a dict of bool arrays (n_channels,) by reason, and the misfit as a multiple of the
    threshold, ``-inf`` where it is not known.
    """
    with np.errstate(invalid="ignore"):
        broken = ~(np.abs(signals) <= _LARGEST).all(axis=1)  # NaN too
    signals[broken | ~good] = 0.0
    reasons = dict(nan=broken & good)
    flat = has_flat(signals, sfreq, check.size)
    reasons["flat"] = flat & ~check.still & ~broken & good
    reasons["amplitude"] = (signals.std(axis=1) > _LOUD * check.size) & good
    left = good & ~np.any(list(reasons.values()), axis=0)
    middle = np.median(signals[left], axis=0) if left.any() else 0.0
    freqs = (50.0, 60.0) if line_freq is None else (line_freq,)
    line = measure_line((signals - middle)[None], sfreq, freqs)[0]
    reasons["line"] = find_line(line, left, check.size) & left
    left = left & ~reasons["line"]
    scores = np.full(len(good), -np.inf)
    spectra = _transform(np.where(left[:, None], signals, 0.0), sfreq)
    if left.sum() >= _MIN_CHANNELS and _has_band(spectra):
        ratio = check.seconds * sfreq / signals.shape[1]
        spread = check.spread * max(1.0, ratio) ** _SHORTENED
        scores[left] = _score(check, spectra, left, spread)[left] / _BAD
    reasons["misfit"] = scores > 1
    return reasons, scores


def _score(check, spectra, left, spread):
    """Exclude the worst channel until none is doubtful; return the scores of all (n_channels,)."""
    least = max(_MIN_CHANNELS, int(np.ceil((1 - _MOST) * left.sum())))
    while True:
        measures = _measure(check.cov, check.precision, check.carries_reference, spectra, left)
        measures = _relate(measures, check.typical, left) / spread[:, None]
        scores = measures.max(axis=0)
        doubtful = left & (measures[:3].max(axis=0) > _DOUBTFUL)
        if not doubtful.any() or left.sum() <= least:
            return scores
        # The sum, because a bad channel that others depend on makes these misfit in one measure
        # even more than itself, but not in all. A loud one makes them look faint.
        worst = np.where(doubtful, measures[:3].sum(axis=0), -np.inf).argmax()
        left = left & (np.arange(len(left)) != worst)


# ---------------------------------------------------------------------------------------------
# Measures


def _transform(signals, sfreq):
    """Return the Fourier coefficients per band of windows of one second or less, side by side."""
    n_times = signals.shape[1]
    length = min(round(WINDOW * sfreq), n_times)
    starts = [*range(0, n_times - length, max(1, length // 2)), n_times - length]
    windows = np.stack([signals[:, start : start + length] for start in starts])
    spectra = [np.concatenate(values, axis=-1) for values in band_products(windows, sfreq)]
    return [values / np.sqrt(len(starts)) for values in spectra]


def _has_band(spectra):
    """Return whether windows are long enough for any band."""
    return any(values.shape[-1] for values in spectra)


def _relate(measures, typical, good):
    """Subtract what is typical, and what the good channels have in common."""
    measures = measures - typical
    return measures - np.median(measures[:, good], axis=1)[:, None]


def _measure(cov, precision, carries_reference, spectra, good):
    """Return the measures of all channels, predicted from the (other) good ones.

    Their shape is (n_measures, n_channels); larger is worse.
    """
    rows, others = np.flatnonzero(good), np.flatnonzero(~good)
    weights, expected = np.empty((len(cov), len(good), len(rows))), np.empty(cov.shape[:2])
    error = np.linalg.inv(precision[:, others[:, None], others])
    weights[:, others] = -error @ precision[:, others[:, None], rows]
    expected[:, others] = np.diagonal(error, axis1=1, axis2=2)
    within = precision[:, rows[:, None], rows]
    within = within + precision[:, rows[:, None], others] @ weights[:, others]
    expected[:, rows] = 1 / np.diagonal(within, axis1=1, axis2=2)
    weights[:, rows] = np.eye(len(rows)) - within * expected[:, rows, None]
    share = carries_reference * good / max(carries_reference[good].sum(), 1)
    shared = cov @ share
    variance = np.diagonal(cov, axis1=1, axis2=2) - 2 * carries_reference * shared
    variance = variance + carries_reference**2 * (shared @ share)[:, None]
    misfit, lost, faint = [], [], []
    for band, values in enumerate(spectra):
        if not values.shape[-1]:
            continue
        values = values - carries_reference[:, None] * (share @ values)
        pair = values[None], (weights[band] @ values[rows])[None]
        excess, correlation = compare([pair], expected[band : band + 1])
        misfit.append(excess[0, 0])
        likely = np.sqrt((1 - expected[band] / variance[band]).clip(0, _HIGHEST**2))
        lost.append(np.arctanh(likely) - np.arctanh(correlation[0].clip(-_HIGHEST, _HIGHEST)))
        power = [(np.abs(part[0]) ** 2).sum(axis=-1) / variance[band] for part in pair]
        faint.append(np.log(power[1].clip(1e-4)) - np.log(power[0].clip(1e-4)))
    mean = [np.mean(values, axis=0) for values in (misfit, lost, faint)]
    return np.array([mean[0], np.max(misfit, axis=0), *mean[1:]])


# ---------------------------------------------------------------------------------------------
# Windows


def _read(recording, start, stop):
    """Return signals, 0 where bad, and which channels are not marked, (n_channels,)."""
    good = ~recording.bad.paint(start, stop).any(axis=1)
    return np.where(good[:, None], recording.samples.read(start, stop), 0.0), good


def _cut_windows(recording, seconds, with_short=False):
    """Cut data into windows that overlap by half: their starts, stops, and what each stands for.

    Where all segments are shorter, as in epochs, the longest are windows themselves; ``with_short``
    adds those that are shorter than a window. Holes are left out.
    """
    segments = recording.recorded
    length = min(round(seconds * recording.sfreq), max((b - a for a, b in segments), default=0))
    starts, cover = cut_half_overlapping(segments, length)
    windows = [(a, a + length, *edges) for a, edges in zip(starts, cover, strict=True)]
    if with_short:
        windows += [(a, b, a, b) for a, b in segments if b - a < length]
    return windows


def _thin(windows):
    """Return a number of windows that is enough."""
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), _MAX_WINDOWS)).round().astype(int)
    return [windows[k] for k in chosen]


def _keep(recording, windows):
    """Return a recording in which everything but some windows is marked as bad."""
    inside = merge_spans([window[:2] for window in windows])
    every = BadSpans((np.array([[0, recording.n_times]]),), recording.n_times)
    outside = every.subtract(BadSpans((inside,), recording.n_times)).spans[0]
    return recording.hide(BadSpans((outside,) * len(recording.bad), recording.n_times))
