# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels and bad stretches of channels. Nothing is marked: the user decides."""

import mne
import numpy as np
from mne import BaseEpochs
from mne.io import BaseRaw
from mne.utils import _validate_type, logger, verbose, warn

from .._recording import pick_eeg
from ..covariance import Prior, channel_rows, load_prior
from ..montage import match_channels
from ._misfit import adapt, fill_roughly, gather_moments, nanmedian, score_channels
from ._report import BadsReport, Span
from ._signal_checks import find_bridged, find_line
from ._signals import Signals, check_samples, draw_sample, read_spectra
from ._window_scores import WindowScorer

__all__ = ["BadsReport", "find_bads"]

_MIN_CHANNELS = 4
_MIN_SECONDS = 2.0
_BLOCK = 48  # windows
_OFTEN = 0.5  # of its time in bad stretches makes a channel bad all through
_MOST = 0.5  # of the channels at most may be found bad by the others, who must know better
# A single band is less sure than all of them, so its misfit counts by this factor. This and the
# two thresholds were chosen on the training subjects.
_BAND_SHARE = 0.65
_TIE = 1.0  # misfits that differ by less are taken away at once
_REFERENCE = 0.6  # correlation with the prediction of a flat channel that is the reference
_LOUD = 30.0  # times the size of the EEG


@verbose
def find_bads(
    inst,
    *,
    picks=None,
    line_freq=None,
    prior=None,
    channel_threshold=2.0,
    span_threshold=5.5,
    verbose=None,
):
    """Find bad channels, and stretches in which single channels are bad.

    A channel is bad where the others do not tell what it holds, though they should: each is
    predicted from the others by the model that restores them. Besides, there are channels that are
    flat, clipped, no numbers, huge, or full of line noise.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The data, in volts. They are left as they are. A Raw that is not preloaded is read in
        blocks. Channels in ``info["bads"]`` have no part in judging the others and are judged
        themselves; what annotations mark as bad is not looked at.
    picks : str | array-like | slice | None
        The channels to look at; None takes all EEG channels.
    line_freq : float | None
        The power line's frequency in Hz. None takes ``info["line_freq"]``, else both 50 and 60.
    prior : Prior | path-like | None
        Covariances of other people's recordings; None for those in the package.
    channel_threshold : float
        The misfit beyond which a channel is bad all through: log of the squared error over the
        expected one, relative to the median channel. A larger value finds less.
    span_threshold : float
        The misfit beyond which a window of a channel is bad, relative to what is usual for this
        channel, in robust standard deviations. A larger value finds less.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    report : BadsReport
        The bad channels, the bad stretches, and why. Its ``mark`` puts them into a copy of the
        data, its ``mask`` is what :func:`mne_gram.restore` takes.

    Raises
    ------
    ValueError
        If there is no EEG, there are fewer than 4 usable channels or 2 s to look at, or the data
        are not in volts.

    Notes
    -----
    The misfit is read between 0.5 and 45 Hz in windows of one second, half overlapping, so that
    stretches are found to about a quarter of a second; flat, clipped and missing samples are found
    to the sample. Epochs are bad as a whole, channel by channel. What all channels share, a
    movement for example, is the fault of none and not found. Channels with neither a known name
    nor a position cannot be found to misfit all through.

    The data may be filtered or not, in any reference.

    Examples
    --------
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample()
    >>> report = mne_gram.find_bads(raw, verbose="error")
    >>> report.channels
    ['FC1', 'CP2', 'FT8']
    """
    _check_arguments(inst, line_freq, channel_threshold, span_threshold)
    picks = pick_eeg(inst, picks)
    signals = Signals(inst, picks)
    _check_amount(signals)
    info = mne.pick_info(inst.info, picks)
    if line_freq is None:
        line_freq = info["line_freq"]
    sample = draw_sample(signals, (50.0, 60.0) if line_freq is None else (line_freq,))
    runs, reasons = check_samples(signals, sample.size)
    sample.usable &= signals.find_usable(runs)[sample.index]
    used = _find_evidence(signals, sample, info["bads"], reasons)
    reference = _find_reference(signals.names, sample, reasons)
    prior = prior if isinstance(prior, Prior) else load_prior(prior)
    places = channel_rows(match_channels(info, on_missing="ignore", verbose="error"), prior)
    fill_roughly(sample.spectra, sample.usable, used, prior, places)
    used, measures = _judge_channels(
        signals.names, sample, used, reasons, prior, places, channel_threshold
    )
    if reference is not None:
        runs = _spare_reference(
            reference, signals.names, runs, reasons, measures, channel_threshold
        )
    runs += _judge_windows(signals, sample, used, runs, prior, places, span_threshold)
    spans = _to_spans(signals, inst, runs, reasons)
    measures.update(line=nanmedian(sample.line, axis=0), amplitude=nanmedian(sample.std, axis=0))
    cov = sum(gather_moments(sample.spectra, np.arange(len(picks)))[0].cov)
    bridged = find_bridged(cov, used, signals.names)
    report = BadsReport(inst, picks, reasons, spans, measures, bridged)
    logger.info("%s", report)
    return report


def _check_arguments(inst, line_freq, channel_threshold, span_threshold):
    _validate_type(inst, (BaseRaw, BaseEpochs), "inst", "Raw or Epochs")
    _validate_type(line_freq, ("numeric", None), "line_freq")
    _validate_type(channel_threshold, "numeric", "channel_threshold")
    _validate_type(span_threshold, "numeric", "span_threshold")
    if not min(channel_threshold, span_threshold) > 0:
        raise ValueError(
            "channel_threshold and span_threshold must be positive, got "
            f"{channel_threshold:g} and {span_threshold:g}."
        )


def _check_amount(signals):
    """Refuse what is too little to tell good from bad."""
    if len(signals.names) < _MIN_CHANNELS:
        raise ValueError(
            f"Found {len(signals.names)} EEG channels, expected {_MIN_CHANNELS} or more: with "
            "fewer, nothing tells which of them is bad."
        )
    seconds = signals.n_times / signals.sfreq
    if seconds < _MIN_SECONDS or len(signals.starts) == 0:
        raise ValueError(
            f"Found {seconds:.3g} s of data, expected {_MIN_SECONDS:g} s or more: in less, nothing "
            "tells what is usual. Look at the recording that these data were cut from."
        )


def _find_evidence(signals, sample, bads, reasons):
    """Choose the channels to judge by; add the reasons of those that are huge or full of line.

    Returns
    -------
    used : array of bool, shape (n_channels,)
        Neither bad so far nor marked.
    """
    names = signals.names
    used = np.array([name not in bads and name not in reasons for name in names])
    used &= sample.usable.any(axis=0)
    huge = nanmedian(sample.std, axis=0) > _LOUD * sample.size
    line = find_line(nanmedian(sample.line, axis=0), used & ~huge, sample.size)
    for row in np.flatnonzero(huge | line):
        reasons.setdefault(names[row], "amplitude" if huge[row] else "line")
    used &= ~(huge | line)
    if used.sum() < _MIN_CHANNELS:
        kept = ", ".join(name for name, use in zip(names, used, strict=True) if use) or "none"
        raise ValueError(
            f"Of {len(names)} EEG channels {kept} are neither marked nor flat, clipped, huge or "
            f"full of line noise; expected {_MIN_CHANNELS} or more to judge by. Unmark channels "
            "that are usable, or leave this recording out."
        )
    return used


# ---------------------------------------------------------------------------------------------
# What the others say


def _judge_channels(names, sample, used, reasons, prior, places, threshold):
    """Take the worst channels away until none is worse than the threshold.

    Returns
    -------
    used : array of bool, shape (n_channels,)
        The channels that are left.
    measures : dict of array, shape (n_channels,)
        ``misfit`` and ``correlation``.
    """
    order = np.argsort(names)  # by name: the order of the file makes no difference
    least = max(_MIN_CHANNELS, int((1 - _MOST) * used.sum()))
    judged, readmitted = used, False
    while True:
        bands, correlation = score_channels(
            sample.spectra, sample.usable, used, order, prior, places
        )
        misfit = _combine(bands)
        beyond = used & (misfit > threshold)
        if beyond.any():
            # A bad channel makes its neighbours look bad: take the worst away, and look again.
            worst = beyond & (misfit > misfit[beyond].max() - _TIE)
            if (used & ~worst).sum() < least:
                warn(
                    f"More than {1 - least / judged.sum():.0%} of the channels misfit. Those "
                    "found so far are reported, but look at the recording yourself."
                )
                break
            used = used & ~worst
            continue
        back = judged & ~used & (misfit <= threshold)
        if readmitted or not back.any():
            break
        used, readmitted = used | back, True
    for row in np.flatnonzero((misfit > threshold) & ~used):
        reasons.setdefault(names[row], "misfit")
    return used, dict(misfit=misfit, correlation=correlation)


def _find_reference(names, sample, reasons):
    """Return the row of the only flat channel, which may be the reference, or None."""
    flat = [row for row, name in enumerate(names) if reasons.get(name) == "flat"]
    if len(flat) != 1 or np.nanmax(sample.std[:, flat[0]]) > 1e-3 * sample.size:
        return None
    sample.usable[:, flat[0]] = True  # nothing but 0, yet that may be what the others predict
    return flat[0]


def _spare_reference(row, names, runs, reasons, measures, threshold):
    """Spare a flat channel that the others predict."""
    fits = measures["misfit"][row] <= threshold / 4
    if not (fits and measures["correlation"][row] >= _REFERENCE):
        return runs
    logger.info("%s is flat, as the reference of the others would be: not bad.", names[row])
    del reasons[names[row]]
    return [run for run in runs if run[0] != row]


def _combine(bands):
    """Return one misfit a channel: that of all bands, or of the worst, whichever says more."""
    held = np.isfinite(bands)
    count = held.sum(axis=0)
    mean = np.where(held, bands, 0).sum(axis=0) / np.maximum(count, 1)
    worst = np.where(held, bands, -np.inf).max(axis=0)
    return np.where(count > 0, np.maximum(mean, _BAND_SHARE * worst), np.nan)


def _judge_windows(signals, sample, used, runs, prior, places, threshold):
    """Find the windows in which a channel is unlike itself.

    Returns
    -------
    found : list of tuple
        Row, start, stop, why and score.
    """
    cov = adapt(sample.spectra, np.flatnonzero(used), prior, places)
    scorer = WindowScorer(cov, places.units, used, sample.spectra, sample.usable)
    usable = signals.find_usable(runs)
    found = []
    for first in range(0, len(signals.starts), _BLOCK):
        index = np.arange(first, min(first + _BLOCK, len(signals.starts)))
        windows, finite, spectra = read_spectra(signals, index)
        good = usable[index] & finite & used
        scores = scorer(spectra, good, threshold)
        loud = (windows.std(axis=2) > _LOUD * sample.size) & good
        for window, row in np.argwhere((scores > threshold) | loud):
            start, stop = signals.cover[index[window]].tolist()
            score = float(scores[window, row])
            # What is loud beyond doubt is bad even if all channels are.
            why = "misfit" if score > threshold else "amplitude"
            found.append((int(row), start, stop, why, score if why == "misfit" else np.nan))
    return found


# ---------------------------------------------------------------------------------------------
# From samples to stretches


def _to_spans(signals, inst, runs, reasons):
    """Join runs to spans; a channel of which they are the larger part is bad all through."""
    spans = []
    for row, name in enumerate(signals.names):
        own = sorted(run[1:] for run in runs if run[0] == row)
        if name in reasons or not own:
            continue
        joined = _join(own, 0 if isinstance(inst, BaseEpochs) else signals.length // 2)
        if sum(stop - start for start, stop, *_ in joined) > _OFTEN * signals.n_times:
            reasons[name] = "often"
        elif isinstance(inst, BaseEpochs):
            spans += _to_epochs(joined, name, inst)
        else:
            sfreq = signals.sfreq
            spans += [Span(name, a / sfreq, b / sfreq, *rest) for a, b, *rest in joined]
    return spans


def _join(runs, gap):
    """Join runs of one channel (start, stop, why, score) that lie no farther apart than a gap."""
    joined = []
    for start, stop, why, score in sorted(runs):
        if joined and start <= joined[-1][1] + gap:
            last = joined[-1]
            last[4][why] = last[4].get(why, 0) + stop - start
            last[1] = max(last[1], stop)
            last[2] = max(last[4], key=last[4].get)
            last[3] = float(np.fmax(last[3], score))
        else:
            joined.append([start, stop, why, score, {why: stop - start}])
    return [tuple(run[:4]) for run in joined]


def _to_epochs(joined, name, inst):
    """Mark each epoch that a run touches, as a whole, with what is worst in it."""
    n_times = len(inst.times)
    start, stop = float(inst.times[0]), float(inst.times[-1] + 1 / inst.info["sfreq"])
    epochs = {}
    for a, b, why, score in joined:
        for epoch in range(a // n_times, -(-b // n_times)):
            length = min(b, (epoch + 1) * n_times) - max(a, epoch * n_times)
            epochs[epoch] = max(epochs.get(epoch, (0,)), (length, why, score))
    return [Span(name, start, stop, why, score, epoch) for epoch, (_, why, score) in epochs.items()]
