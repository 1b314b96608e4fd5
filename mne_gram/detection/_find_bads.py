# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels and bad segments of single channels, without marking them."""

import mne
import numpy as np
from mne import BaseEpochs
from mne.utils import _validate_type, logger, verbose, warn

from .._checks import check_content, check_line_freq, check_positions, check_type, pick_eeg
from .._strays import find_other_signals, find_strays, summarise_std
from .._threads import one_blas_thread
from ..covariance import channel_rows, leave_out_own, resolve_prior
from ..montage import match_channels
from ._misfit import (
    WindowScorer,
    adapt,
    fill_roughly,
    gather_moments,
    mean_band,
    nanmedian,
    score_channels,
)
from ._report import BadsReport, Span
from ._signal_checks import check_samples, find_bridged, find_line
from ._signals import Signals, draw_sample, read_spectra

_MIN_CHANNELS = 4
_MIN_SECONDS = 2.0
_BLOCK = 48  # windows
_OFTEN = 0.5  # a channel with a larger share of bad segments is bad itself
_MOST = 0.5  # largest share of channels that can misfit: the others have to predict them
# The worst band counts by this factor, as a single band is less certain than all of them. The
# factor and both thresholds were chosen on the training subjects.
_BAND_SHARE = 0.65
_TIE = 1.0  # channels whose misfits differ by less are excluded together
_REFERENCE = 0.6  # correlation with its prediction above which a flat channel is the reference
_LOUD = 30.0  # times the typical standard deviation of the EEG


@one_blas_thread
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
    """Find bad channels and bad segments of single channels.

    Each channel is predicted from the others by the model that :func:`mne_gram.restore` uses. It is
    bad where the prediction error is much larger than expected (a misfit). Channels that are flat,
    clipped, not finite, far too large or dominated by line noise are found as well.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The data, in volts, filtered or not, with any reference. They are not modified, and a Raw
        that is not preloaded is read in blocks. Channels in ``info["bads"]`` are checked but not
        used to predict the others. Segments annotated as bad are ignored.
    picks : str | array-like | slice | None
        The channels to check; None takes all EEG channels.
    line_freq : float | None
        The power line frequency in Hz. None takes ``info["line_freq"]``, or both 50 and 60 Hz if
        that is not set.
    prior : Prior | path-like | None
        Covariances of other subjects' recordings, for example from :func:`mne_gram.fit_prior`; None
        takes those in the package.
    channel_threshold : float
        The misfit above which a channel is bad throughout the recording: the natural logarithm of
        the squared prediction error over its expected value, minus that of the median channel. A
        larger value finds fewer channels.
    span_threshold : float
        The misfit above which a channel is bad in a window of one second, relative to its typical
        misfit, in robust standard deviations. A larger value finds fewer segments.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    report : BadsReport
        The bad channels and segments, with the reasons. Its ``mark`` method marks them in a copy of
        the data, and its ``mask`` method returns a mask for :func:`mne_gram.restore`.

    Raises
    ------
    ValueError
        If there are fewer than 4 usable EEG channels or less than 2 s of data, or the data are not
        in volts.

    Notes
    -----
    The misfit is measured from 0.5 to 45 Hz in windows of one second that overlap by half, so the
    edges of bad segments are accurate to about a quarter of a second. Flat, clipped and missing
    samples are found exactly. In Epochs, a channel is bad in whole epochs. Artefacts that all
    channels share, such as movements, are not found. In a channel with neither a known name nor a
    position, only bad segments can be found by their misfit. Once findings are marked, the others
    are judged by what is left, so a second call can find more.

    Examples
    --------
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample()
    >>> report = mne_gram.find_bads(raw, verbose="error")
    >>> report.channels
    ['FC1', 'CP2', 'FT8']
    """
    _check_arguments(inst, line_freq, channel_threshold, span_threshold)
    if isinstance(inst, BaseEpochs) and not inst.preload:
        inst = inst.copy().load_data()
    picks = pick_eeg(inst, picks)
    check_content(inst)
    check_positions(inst.info)
    signals = Signals(inst, picks)
    _check_amount(signals)
    info = mne.pick_info(inst.info, picks)
    if line_freq is None:
        line_freq = info["line_freq"]
    sample = draw_sample(signals, (50.0, 60.0) if line_freq is None else (line_freq,))
    runs, reasons = check_samples(signals, sample.size)
    sample.usable &= signals.find_usable(runs)[sample.index]
    used = _find_evidence(signals, sample, info, reasons)
    reference = _find_reference(signals.names, sample, reasons)
    prior = resolve_prior(prior)
    places = channel_rows(match_channels(info, on_missing="ignore", verbose="error"), prior)
    unlocated = [name for name, known in zip(signals.names, places.known, strict=True) if not known]
    _check_located(signals.names, unlocated)
    prior = leave_out_own(
        prior, places, gather_moments(sample.spectra, np.flatnonzero(used)), always=True
    )
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
    moments = gather_moments(sample.spectra, np.arange(len(picks)))
    bridged = find_bridged(sum(moments[0].cov), used, signals.names) if moments else []
    report = BadsReport(inst, picks, reasons, spans, measures, bridged, unlocated)
    logger.info("%s", report)
    return report


def _check_arguments(inst, line_freq, channel_threshold, span_threshold):
    """Validate the arguments of find_bads."""
    check_type(inst, ("Raw", "Epochs"))
    check_line_freq(line_freq)
    _validate_type(channel_threshold, "numeric", "channel_threshold")
    _validate_type(span_threshold, "numeric", "span_threshold")
    if not min(channel_threshold, span_threshold) > 0:
        raise ValueError(
            "channel_threshold and span_threshold must be positive, got "
            f"{channel_threshold:g} and {span_threshold:g}."
        )


def _check_amount(signals):
    """Raise an error if there are too few channels or data to judge by."""
    if len(signals.names) < _MIN_CHANNELS:
        raise ValueError(
            f"Found {len(signals.names)} EEG channels, expected at least {_MIN_CHANNELS}: with "
            "fewer, it is unknown which of them is bad."
        )
    seconds = signals.n_times / signals.sfreq
    if seconds < _MIN_SECONDS or len(signals.starts) == 0:
        raise ValueError(
            f"Found {seconds:.3g} s of data, expected at least {_MIN_SECONDS:g} s, from which the "
            "typical misfit is estimated. Use the recording that these data were cropped from."
        )


def _check_located(names, unlocated):
    """Warn if next to no channel can be compared with the others over the recording."""
    located = len(names) - len(unlocated)
    if located < _MIN_CHANNELS:
        warn(
            f"Only {located} of {len(names)} channels have a known name or a position, so noisy "
            "channels cannot be found by comparing them with the others. Rename channels to 10-05 "
            "names (inst.rename_channels) or set their positions (inst.set_montage)."
        )


def _find_evidence(signals, sample, info, reasons):
    """Return which channels can predict the others, shape (n_channels,).

    Adds the reasons of channels that are no EEG by name, far too large or full of line noise.
    """
    names = signals.names
    used = np.array([name not in info["bads"] and name not in reasons for name in names])
    used &= sample.usable.any(axis=0)
    huge = nanmedian(sample.std, axis=0) > _LOUD * sample.size
    levels = summarise_std(sample.std[:, used])
    rows = np.flatnonzero(used)
    huge[rows] |= find_strays(info, rows, (*levels, np.zeros(len(rows))))
    other = find_other_signals(info, np.arange(len(names)))
    huge &= ~other
    line = find_line(nanmedian(sample.line, axis=0), used & ~huge & ~other, sample.size)
    for why, found in (("type", other), ("amplitude", huge), ("line", line)):
        for row in np.flatnonzero(found):
            reasons.setdefault(names[row], why)
    used &= ~(huge | line | other)
    if used.sum() < _MIN_CHANNELS:
        kept = ", ".join(name for name, use in zip(names, used, strict=True) if use) or "none"
        raise ValueError(
            f"Found too few usable EEG channels ({kept}), expected at least {_MIN_CHANNELS}: the "
            f"other {len(names) - used.sum()} are marked as bad, flat, clipped, far too large or "
            "dominated by line noise. Remove channels that are usable from info['bads'], or skip "
            "this recording."
        )
    return used


# ---------------------------------------------------------------------------------------------
# Judging by the other channels


def _judge_channels(names, sample, used, reasons, prior, places, threshold):
    """Exclude the worst channels until none misfits; add their reasons.

    Returns the remaining channels, array of bool (n_channels,), and the measures ``misfit`` and
    ``correlation``, arrays (n_channels,).
    """
    order = np.argsort(names)  # so that the order of channels in the file does not matter
    least = max(_MIN_CHANNELS, int((1 - _MOST) * used.sum()))
    judged, readmitted = used, False
    while True:
        bands, correlation = score_channels(
            sample.spectra, sample.usable, used, order, prior, places
        )
        misfit = _combine(bands)
        beyond = used & (misfit > threshold)
        if beyond.any():
            # A bad channel makes its neighbours look bad: exclude the worst and try again.
            worst = beyond & (misfit > misfit[beyond].max() - _TIE)
            if (used & ~worst).sum() < least:
                warn(
                    f"More than {1 - least / judged.sum():.0%} of the channels are not predicted "
                    "by the others. Only the worst are reported; please inspect the recording."
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
    """Return the row of the only flat channel, which may be the reference, else None."""
    flat = [row for row, name in enumerate(names) if reasons.get(name) == "flat"]
    if len(flat) != 1:
        return None
    std = sample.std[:, flat[0]]
    std = std[~np.isnan(std)]
    if not len(std) or std.max() > 1e-3 * sample.size:
        return None
    sample.usable[:, flat[0]] = True  # always 0, which the others may well predict
    return flat[0]


def _spare_reference(row, names, runs, reasons, measures, threshold):
    """Remove a flat channel that fits the others from the reasons, and its runs."""
    fits = measures["misfit"][row] <= threshold / 4
    if not (fits and measures["correlation"][row] >= _REFERENCE):
        return runs
    logger.info("%s is flat, as the other channels predict: it is their reference.", names[row])
    del reasons[names[row]]
    return [run for run in runs if run[0] != row]


def _combine(bands):
    """Return one misfit per channel: over all bands or of the worst, whichever is larger."""
    held = np.isfinite(bands)
    worst = np.where(held, bands, -np.inf).max(axis=0)
    return np.where(held.any(axis=0), np.maximum(mean_band(bands), _BAND_SHARE * worst), np.nan)


def _judge_windows(signals, sample, used, runs, prior, places, threshold):
    """Return runs (row, start, stop, why, score) of windows in which a channel misfits."""
    cov = adapt(sample.spectra, np.flatnonzero(used), prior, places)
    scorer = WindowScorer(cov, places.carries_reference, used, sample.spectra, sample.usable)
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
            # Such amplitudes are bad even if all channels have them.
            why = "misfit" if score > threshold else "amplitude"
            found.append((int(row), start, stop, why, score if why == "misfit" else np.nan))
    return found


# ---------------------------------------------------------------------------------------------
# From samples to segments


def _to_spans(signals, inst, runs, reasons):
    """Return the spans of all channels; one that is mostly bad gets the reason "often" instead."""
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
    """Join runs of one channel (start, stop, why, score) at most ``gap`` samples apart."""
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
    """Return one span per epoch that a run touches, with the longest run's reason."""
    n_times = len(inst.times)
    start, stop = float(inst.times[0]), float(inst.times[-1] + 1 / inst.info["sfreq"])
    epochs = {}
    for a, b, why, score in joined:
        for epoch in range(a // n_times, -(-b // n_times)):
            length = min(b, (epoch + 1) * n_times) - max(a, epoch * n_times)
            epochs[epoch] = max(epochs.get(epoch, (0,)), (length, why, score))
    return [Span(name, start, stop, why, score, epoch) for epoch, (_, why, score) in epochs.items()]
