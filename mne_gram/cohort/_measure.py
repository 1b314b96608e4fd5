# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Measure the covariance of a recording, without its bad channels and segments."""

from dataclasses import dataclass

import mne
import numpy as np

from .._checks import check_content, pick_eeg
from .._marks import find_broken
from .._recording import (
    BadSpans,
    collect_spans,
    find_spans,
    measure_moments,
    merge_spans,
    open_recording,
)
from ..covariance import (
    Moments,
    RecordingCovariance,
    expect_covariance,
    forward_components,
    normalise_covariance,
)
from ..montage import ELECTRODES, match_channels

MIN_CHANNELS = 4
_FAR = 0.010  # metres between an electrode without a name and the entry that it stands for
_FLAT = 1e-3  # of the median standard deviation
_LOUD = 10.0  # times the median amplitude
_MAX_WINDOWS = 400
_MIN_WINDOWS = 8  # clean windows of one second, half overlapping, in a recording
_ENOUGH = 20  # clean windows of all channels, with which the others are not needed
_MIN_SHARE = 0.2  # of the windows in which a channel has to be clean
_ABSENT = 1e-6  # share of the variance below which a band was filtered out
_N_ITER = 6


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured in one recording, or why nothing was."""

    source: tuple  # data set, subject and file
    recording: RecordingCovariance | None  # None if the recording is left out
    reason: str = ""  # why it is left out
    dropped: tuple = ()  # of (channel, reason)

    @property
    def name(self):
        """The file, or the subject if there is none."""
        return self.source[2] or self.source[1]


def measure_recording(inst, source, mask=None):
    """Measure the covariances of a loaded Raw or Epochs at its electrodes; a Measurement.

    ``source`` is the data set, the subject and the file. ``mask`` is as in `mne_gram.restore`, and
    ``"auto"`` takes what `find_bads` finds. Covariances do not depend on unit and reference.
    """
    try:
        recording, channels, dropped = _open(inst, mask)
        found, loud = _measure(recording, channels)
    except ValueError as exc:  # of the checks here, and those that restoration makes as well
        return Measurement(source, None, str(exc))
    dropped += [(recording.ch_names[k], why) for k, why in loud]
    return Measurement(source, RecordingCovariance(source, *found), "", tuple(dropped))


# ---------------------------------------------------------------------------------------------
# Channels


def _open(inst, mask):
    """Return the usable electrodes as a Recording, their montage indices, and what was dropped."""
    check_content(inst)
    picks = pick_eeg(inst)
    if isinstance(mask, str):
        mask = _find_mask(inst, mask)
    cmap = match_channels(inst.info, on_missing="ignore", verbose="error")
    bipolar = sum(how == "bipolar" for how in cmap.how)
    is_electrode = [
        entry in ELECTRODES and not distance > _FAR
        for entry, distance in zip(cmap.entries, cmap.distances, strict=True)
    ]
    known = np.flatnonzero(is_electrode)
    if len(known) < MIN_CHANNELS:
        what = f" ({bipolar} are bipolar derivations)" if bipolar else ""
        raise ValueError(
            f"{len(known)} of {len(cmap)} EEG channels are electrodes of the montage{what}, "
            f"expected at least {MIN_CHANNELS}"
        )
    bad = collect_spans(inst, picks, mask)
    recording = open_recording(inst, picks, bad).select(known)
    recording = recording.hide(_find_not_finite(recording))
    whole, flat = recording.bad.whole, _find_flat(recording)
    names = recording.ch_names
    dropped = [(names[k], "bad") for k in np.flatnonzero(whole)]
    dropped += [(names[k], "flat") for k in np.flatnonzero(flat & ~whole)]
    keep = np.flatnonzero(~whole & ~flat)
    _check_number(len(keep), dropped)
    return recording.select(keep), cmap.indices[known[keep]], dropped


def _check_number(n, dropped):
    """Raise if too few channels are left."""
    if n < MIN_CHANNELS:
        names = ", ".join(f"{name} ({why})" for name, why in dropped)
        raise ValueError(
            f"{n} electrodes are usable, expected at least {MIN_CHANNELS}; not used: {names}"
        )


def _find_mask(inst, mask):
    """Return the mask of what `find_bads` finds."""
    from ..detection import find_bads

    mne.utils._check_option("mask", mask, ("auto",), "when it is a str")
    return find_bads(inst, verbose="error").mask(inst)


def _find_not_finite(recording):
    """Return the spans of samples that are not finite."""
    spans = [[np.empty((0, 2), int)] for _ in recording.ch_names]
    for start, stop in recording.samples.chunks():
        wrong = find_broken(recording.samples.read(start, stop))
        for row in np.flatnonzero(wrong.any(axis=1)):
            spans[row].append(find_spans(wrong[row][None]).spans[0] + start)
    return BadSpans(tuple(merge_spans(np.concatenate(s)) for s in spans), recording.n_times)


def _find_flat(recording):
    """Return which channels have no signal, shape (n_channels,)."""
    values, good = recording.read_good(recording.samples.thin())
    spread = np.zeros(len(values))
    for k in np.flatnonzero(good.any(axis=1)):
        spread[k] = np.std(values[k, good[k]])
    return ~(spread > _FLAT * np.median(spread[spread > 0])) if spread.any() else spread == 0


# ---------------------------------------------------------------------------------------------
# Covariances


def _measure(recording, channels):
    """Return montage indices and covariances of the channels that have enough clean windows.

    Also returns a list of (channel, reason) of the others.
    """
    moments = measure_moments(recording, np.ones(len(channels)), max_windows=_MAX_WINDOWS)
    n_windows = sum(m.n_windows for m in moments)
    if n_windows < _MIN_WINDOWS:
        raise ValueError(
            f"{0.5 * n_windows:.1f} s are clean, expected at least {0.5 * _MIN_WINDOWS:g} s"
        )
    clean = np.zeros(len(channels))
    for m in moments:
        clean[m.good] += m.n_windows
    rare = clean < max(_MIN_SHARE * n_windows, _MIN_WINDOWS)
    dropped = [(k, "few clean segments") for k in np.flatnonzero(rare)]
    keep = np.flatnonzero(~rare)
    _check_number(len(keep), [(recording.ch_names[k], why) for k, why in dropped])
    cov = _pool(_restrict(moments, keep), channels[keep])
    loud = _find_loud(cov)
    dropped += [(k, "amplitude") for k in keep[loud]]
    keep, cov = keep[~loud], np.ascontiguousarray(cov[:, ~loud][:, :, ~loud])
    _check_number(len(keep), [(recording.ch_names[k], why) for k, why in dropped])
    return (channels[keep], normalise_covariance(_fill_bands(cov))), dropped


def _restrict(moments, keep):
    """Return the Moments of some channels, numbered anew; patterns that are then equal are one."""
    merged = {}
    for m in moments:
        inside = np.isin(m.good, keep)
        good = np.searchsorted(keep, m.good[inside])
        if len(good) < 2:
            continue
        cov = m.cov[:, inside][:, :, inside]
        if not inside.all():
            average = np.eye(len(good)) - 1 / len(good)
            cov = average @ cov @ average
        before = merged.get(good.tobytes())
        if before is not None:
            n = before.n_windows + m.n_windows
            share = m.n_windows / n
            m = Moments(good, n, (1 - share) * before.cov + share * cov)
        else:
            m = Moments(good, m.n_windows, cov)
        merged[good.tobytes()] = m
    return list(merged.values())


def _pool(moments, channels):
    """Return one covariance of all channels, (n_bands, n, n), from windows with some of them bad.

    If all channels are clean in enough windows, these are used alone.
    """
    n = len(channels)
    whole = [m for m in moments if len(m.good) == n]
    if whole and (len(moments) == 1 or whole[0].n_windows >= _ENOUGH):
        return whole[0].cov
    # Sources in a sphere count as one sample per channel, which decides where the data do not.
    prior = forward_components().mean(axis=0)[np.ix_(channels, channels)]
    size = sum(m.n_windows * np.trace(m.cov, axis1=1, axis2=2) / len(m.good) for m in moments)
    size = size / sum(m.n_windows for m in moments)
    average = np.eye(n) - 1 / n
    prior = size[:, None, None] * prior / np.trace(average @ prior @ average) * n
    return expect_covariance(moments, prior, np.ones(n), float(n), _N_ITER)


def _find_loud(cov):
    """Return which channels are far louder than most, whatever the reference, shape (n,)."""
    total = cov.sum(axis=0)
    variance = np.diag(total)
    # Differences with the other channels; the reference of the covariance has a part of each.
    between = variance[:, None] + variance - 2 * total
    amplitude = np.median(between, axis=1)
    return amplitude > _LOUD**2 * np.median(amplitude)


def _fill_bands(cov):
    """Put the nearest band in place of bands that were filtered out or are not sampled."""
    power = np.trace(cov, axis1=1, axis2=2)
    present = np.flatnonzero(power > _ABSENT * power.sum())
    if not len(present):
        raise ValueError("the recording has no variance between 0.5 and 45 Hz")
    nearest = present[np.abs(np.arange(len(cov))[:, None] - present).argmin(axis=1)]
    return cov[nearest]
