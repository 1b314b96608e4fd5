# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels in new trials by a covariance that was fitted to earlier data.

Each trial is judged by itself. A channel is compared with its prediction from the good ones, by
three *measures*: the log of the squared error relative to the expected one, in the mean over bands
and in the worst band, and how much lower than expected it correlates with the prediction.
"""

import numpy as np
from mne.io import BaseRaw

from .._recording import BadSpans, find_spans, merge_spans
from ..covariance import WINDOW, band_products, interpolation_operators
from ._find_bads import find_bads
from ._misfit import find_precision, nanmedian
from ._signal_checks import find_flat, find_line, measure_line
from ._signals import cut_half_overlapping

_PIECE_SECONDS = 2.0  # of a Raw, which are judged as trials are
_MAX_PIECES = 60  # of each half of the earlier data, that show what is typical
_FEW = 4  # pieces: in fewer, there are no halves
_MIN_CHANNELS = 4
_MOST = 0.5  # largest share of channels that can misfit: the others have to predict them
_GAIN_ERROR = 0.1  # share of the predicted power that counts as expected error
_LOUD = 30.0  # times the typical standard deviation of the EEG
_FLAT = 1e-3  # likewise
# The worst band counts by this factor, as a single band is less certain than all of them; the
# measures of good channels are typically no lower than this, and vary by no less; and in such
# standard deviations, a channel is bad beyond this threshold. All were chosen on the training
# subjects.
_BAND_SHARE = 0.8
_LEAST_TYPICAL = -0.5
_LEAST_SPREAD = np.array([0.1, 0.15, 0.1])
_THRESHOLD = 5.0
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


class TrialCheck:
    """What is typical of good channels in earlier data, and which channels of new trials are not.

    ``recording`` is the earlier data, and ``fit(recording)`` returns covariances (n_bands,
    n_channels, n_channels). Those fitted to one half show what is typical in the other.
    """

    def __init__(self, recording, cov, carries_reference, fit):
        self._cov, self._carries = cov, np.asarray(carries_reference, float)
        self._seconds = _PIECE_SECONDS
        pieces = cut_pieces(recording, self._seconds)
        if pieces:
            self._seconds = (pieces[0][1] - pieces[0][0]) / recording.sfreq  # short epochs
        std = np.array([self._read(recording, *piece)[0].std(axis=1) for piece in _thin(pieces)])
        self._size = float(np.median(std[std > 0])) if (std > 0).any() else 1.0
        self._still = (std <= _FLAT * self._size).all(axis=0)
        halves = [pieces, pieces]
        if len(pieces) >= _FEW:
            halves = [pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]]
        found = []
        for own, other in (halves, halves[::-1]):
            half = self._cov
            if len(pieces) >= _FEW:
                half = fit(_keep(recording, own))
            for piece in _thin(other):
                signals, good = self._read(recording, *piece)
                spectra = self._transform(signals, recording)
                if good.sum() >= _MIN_CHANNELS and _has_band(spectra):
                    measures = self._measure(spectra, good, half)
                    found.append(np.where(good, measures, np.nan))
        if not found:
            raise ValueError(
                f"Found no data in fit that are long enough, with {_MIN_CHANNELS} good channels, "
                "which bads='auto' needs. Mark bad channels yourself and set bads=None."
            )
        self._learn(np.array(found))

    def _learn(self, found):
        """Learn what is typical from measures (n_pieces, n_measures, n_channels), NaN where bad."""
        typical = np.maximum(nanmedian(found, axis=0), _LEAST_TYPICAL)
        general = nanmedian(typical, axis=1)[:, None]
        self._typical = np.where(np.isnan(typical), general, typical)
        rest = np.array([self._excuse(one, np.isfinite(one[0])) for one in found])
        spread = 1.4826 * nanmedian(np.abs(rest).swapaxes(0, 1).reshape(rest.shape[1], -1), axis=1)
        self._spread = np.maximum(spread, _LEAST_SPREAD)

    # ---------------------------------------------------------------------------------------------
    # New data

    def __call__(self, recording, is_raw):
        """Return the BadSpans of channels of new data that are bad and not marked as such.

        A trial is judged as a whole; other data are cut into pieces that overlap by half.
        """
        if not is_raw:
            signals, good = self._read(recording, 0, recording.n_times)
            bad = self._judge(signals, good, recording)
            return find_spans(np.repeat(bad[:, None], recording.n_times, axis=1))
        spans = [[] for _ in recording.ch_names]
        for start, stop, first, last in cut_pieces(recording, self._seconds, with_short=True):
            for row in np.flatnonzero(self._judge(*self._read(recording, start, stop), recording)):
                spans[row].append((first, last))
        return BadSpans(tuple(merge_spans(own) for own in spans), recording.n_times)

    def _read(self, recording, start, stop, *_):
        """Return signals, 0 where bad, and which channels are not marked, (n_channels,)."""
        good = ~recording.bad.paint(start, stop).any(axis=1)
        return np.where(good[:, None], recording.samples.read(start, stop), 0.0), good

    def _judge(self, signals, good, recording):
        """Return which good channels are bad after all, (n_channels,)."""
        with np.errstate(invalid="ignore"):
            broken = ~(np.abs(signals) <= 1e3).all(axis=1)  # volts; NaN too
        signals[broken] = 0.0
        std, sfreq = signals.std(axis=1), recording.sfreq
        found = broken | (std > _LOUD * self._size)
        found |= find_flat(signals, sfreq, self._size).any(axis=1) & ~self._still
        found &= good
        left = good & ~found
        if not left.any():
            return found
        freqs = recording.info["line_freq"]
        freqs = (50.0, 60.0) if freqs is None else (freqs,)
        moved = signals - np.median(signals[left], axis=0)
        found |= left & find_line(measure_line(moved[None], sfreq, freqs)[0], left, self._size)
        left &= ~found
        spectra = self._transform(signals, recording)
        if left.sum() < _MIN_CHANNELS or not _has_band(spectra):
            return found
        seconds = signals.shape[1] / sfreq
        spread = self._spread * np.sqrt(max(1.0, self._seconds / seconds))
        return found | self._find_misfits(spectra, left, spread)

    def _find_misfits(self, spectra, left, spread):
        """Exclude the worst channel until none misfits, then admit those that fit the others."""
        judged, least = left, max(_MIN_CHANNELS, int(np.ceil((1 - _MOST) * left.sum())))
        while True:
            measures = self._excuse(self._measure(spectra, left, self._cov), left) / spread[:, None]
            scores = measures.max(axis=0)
            beyond = left & (scores > _THRESHOLD)
            if not beyond.any() or left.sum() <= least:
                return judged & (scores > _THRESHOLD)
            # The sum, because a bad channel that others depend on makes these misfit in one measure
            # even more than itself, but not in all.
            worst = np.where(beyond, measures.sum(axis=0), -np.inf).argmax()
            left = left & (np.arange(len(left)) != worst)

    # ---------------------------------------------------------------------------------------------
    # Measures

    def _transform(self, signals, recording):
        """Return the Fourier coefficients per band of windows of one second or less."""
        n_times = signals.shape[1]
        length = min(round(WINDOW * recording.sfreq), n_times)
        starts = [*range(0, n_times - length, max(1, length // 2)), n_times - length]
        windows = np.stack([signals[:, start : start + length] for start in starts])
        return band_products(windows, recording.sfreq)

    def _excuse(self, measures, good):
        """Subtract what is typical, and the excess that all good channels share."""
        measures = measures - self._typical
        common = np.median(measures[:, good], axis=1)
        return measures - np.maximum(common, 0)[:, None]

    def _measure(self, spectra, good, cov):
        """Return the measures of all channels, predicted from the (other) good ones.

        Their shape is (n_measures, n_channels); larger is worse.
        """
        rows, others = np.flatnonzero(good), np.flatnonzero(~good)
        carries = self._carries
        share = carries[rows] / max(carries[rows].sum(), 1)
        within = cov[:, rows[:, None], rows]
        precision = find_precision(within, carries[rows])
        weights, error = interpolation_operators(cov, carries, rows, others)
        frame = np.eye(len(carries))
        frame[:, rows] -= np.outer(carries, share)
        variance = np.einsum("ij,bjk,ik->bi", frame, cov, frame)
        expected = np.empty_like(variance)
        expected[:, rows] = 1 / np.diagonal(precision, axis1=1, axis2=2)
        expected[:, others] = np.diagonal(error, axis1=1, axis2=2)
        misfit, lost = [], []
        for band, values in enumerate(spectra):
            if not values.shape[-1]:
                continue
            mean = np.einsum("c,wcf->wf", share, values[:, rows])
            values = values - carries[:, None] * mean[:, None]
            predicted = np.empty_like(values)
            missed = precision[band] @ values[:, rows] * expected[band, rows, None]
            predicted[:, rows] = values[:, rows] - missed
            predicted[:, others] = weights[band] @ values[:, rows]
            misfit.append(_compare(values, predicted, expected[band]))
            lost.append(_lose(values, predicted, 1 - expected[band] / variance[band]))
        misfit = np.array(misfit)
        measures = misfit.mean(axis=0), _BAND_SHARE * misfit.max(axis=0), np.mean(lost, axis=0)
        return np.array(measures)


def _has_band(spectra):
    """Return whether windows are long enough for any band."""
    return any(values.shape[-1] for values in spectra)


def _compare(values, predicted, expected):
    """Return the log of the squared error relative to the expected one, (n_channels,)."""
    power = (np.abs(predicted) ** 2).sum(axis=(0, 2))
    scale = len(values) * expected + _GAIN_ERROR * power
    error = (np.abs(values - predicted) ** 2).sum(axis=(0, 2))
    return np.log(np.maximum(error / np.maximum(scale, np.finfo(float).tiny), 1e-6))


def _lose(values, predicted, explained):
    """Return how far Fisher's z of the correlation is below that expected, (n_channels,)."""
    across = (values * predicted.conj()).real.sum(axis=(0, 2))
    norm = np.sqrt(
        (np.abs(values) ** 2).sum(axis=(0, 2)) * (np.abs(predicted) ** 2).sum(axis=(0, 2))
    )
    found = np.divide(across, norm, out=np.zeros_like(norm), where=norm > 0)
    limit = 0.95  # where the rank is low, a prediction can be perfect
    expected = np.sqrt(explained.clip(0, limit**2))
    return np.arctanh(expected) - np.arctanh(found.clip(-limit, limit))


# ---------------------------------------------------------------------------------------------
# Pieces


def cut_pieces(recording, seconds, with_short=False):
    """Cut data into pieces that overlap by half: their starts, stops, and what each stands for.

    Where all segments are shorter, as in epochs, the longest are pieces themselves; ``with_short``
    adds those that are shorter than a piece. Holes are left out.
    """
    segments = recording.recorded
    length = min(round(seconds * recording.sfreq), max((b - a for a, b in segments), default=0))
    starts, cover = cut_half_overlapping(segments, length)
    pieces = [(a, a + length, *edges) for a, edges in zip(starts, cover, strict=True)]
    if with_short:
        pieces += [(a, b, a, b) for a, b in segments if b - a < length]
    return pieces


def _thin(pieces):
    """Return a number of pieces that is enough."""
    chosen = np.linspace(0, len(pieces) - 1, min(len(pieces), _MAX_PIECES)).round().astype(int)
    return [pieces[k] for k in chosen]


def _keep(recording, pieces):
    """Return a recording in which everything but some pieces is marked as bad."""
    inside = merge_spans([piece[:2] for piece in pieces])
    every = BadSpans((np.array([[0, recording.n_times]]),), recording.n_times)
    outside = every.subtract(BadSpans((inside,), recording.n_times)).spans[0]
    return recording.hide(BadSpans((outside,) * len(recording.bad), recording.n_times))
