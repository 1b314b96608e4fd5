# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore the trials of new data, each by itself."""

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import logger, warn

from .._checks import check_content, pick_eeg
from .._counts import count
from .._recording import (
    BadSpans,
    Recording,
    Samples,
    collect_spans,
    find_holes,
    find_spans,
    merge_spans,
    open_recording,
)
from ..covariance import MIN_GOOD
from ..preprocessing import check_units
from ._alignment import add_missing, list_eeg, match_names, order_channels
from ._mark import mark
from ._trial_fit import RestoredTrial, hide_channels


def restore_trials(inst, mask, bads, fit):
    """Restore loaded data in place; returns them with the channels of a `TrialFit`.

    ``bads`` are the names of channels that are bad in addition to those that are marked, or "auto".
    """
    pick_eeg(inst)
    check_content(inst)
    names = fit.info["ch_names"]
    find = isinstance(bads, str)
    added, bad = _align(inst, mask, () if find else bads, fit)
    picks = np.array([inst.ch_names.index(name) for name in names])
    _check_level(inst, picks, bad)
    info = mne.pick_info(inst.info, picks)
    is_raw = isinstance(inst, BaseRaw)
    trials = _cut_trials(inst, picks, bad, info)
    trials = [fit.restore(trial, added, is_raw, find) for trial in trials]
    done = _join_trials(trials)
    warn_of_unused(names, done.unused)
    mark(inst, picks, done.bad, done.spans, reset_bads=True, annotate=is_raw)
    _warn_of_left(names, done, is_raw)
    others = [name for name in list_eeg(inst) if name not in names]
    if others:
        logger.info("Dropped channels that were not present in fit: %s", ", ".join(others))
    if list_eeg(inst) != names:
        inst.reorder_channels(order_channels(inst, names))
    return inst


def _align(inst, mask, bads, fit):
    """Give new data the channels of the fit, in place.

    Returns which channels were added, bool (n_channels,), and the BadSpans of all.
    """
    names = fit.info["ch_names"]
    wanted = match_names(inst, fit.info)
    added = np.isin(names, wanted.missing)
    n_found = int((~added & fit.known).sum())
    if added.any() and n_found < MIN_GOOD:
        raise ValueError(
            f"Found {count(n_found, 'channel')} of fit in the data, expected at least {MIN_GOOD}. "
            f"The data have {', '.join(list_eeg(inst))}; the Restorer was fitted to "
            f"{', '.join(names)}."
        )
    unknown = added & ~fit.known
    if unknown.any():
        raise ValueError(
            f"Cannot add {', '.join(np.array(names)[unknown])}: bad in the data passed to fit, "
            "with neither a known name nor a position. Pick other channels before fit."
        )
    present = [name for name in names if name in wanted.present]
    spans = collect_spans(inst, [inst.ch_names.index(name) for name in present], mask)
    own = dict(zip(present, spans.spans, strict=True))
    nothing = np.zeros((0, 2), int)
    bad = BadSpans(tuple(own.get(name, nothing) for name in names), spans.n_times)
    if wanted.missing:
        add_missing(inst, wanted)
    return added, bad.join(hide_channels(added | np.isin(names, bads), bad.n_times))


def _cut_trials(inst, picks, bad, info):
    """Yield one Recording per epoch, or the one of a Raw."""
    if isinstance(inst, BaseRaw):
        yield open_recording(inst, picks, bad)
        return
    n_times, holes = len(inst.times), find_holes(inst)
    for k, data in enumerate(inst._data):
        start = k * n_times
        own = find_spans(bad.paint(start, start + n_times))
        missing = [(a - start, b - start) for a, b in holes]
        yield Recording(Samples(data, picks, [(0, n_times)], missing), own, info)


def _join_trials(trials):
    """Lay RestoredTrials end to end."""
    spans, bad, start = [], [[] for _ in trials[0].bad.spans], 0
    for trial in trials:
        spans += [s._replace(start=s.start + start, stop=s.stop + start) for s in trial.spans]
        for own, new in zip(bad, trial.bad.spans, strict=True):
            own.append(new + start)
        start += trial.bad.n_times
    bad = BadSpans(tuple(merge_spans(np.concatenate(own)) for own in bad), start)
    return RestoredTrial(spans, bad, np.any([trial.unused for trial in trials], axis=0))


def _check_level(inst, picks, bad):
    """Raise an error if the good samples of new data are not in volts."""
    data = inst._data if inst._data.ndim == 3 else inst._data[None]
    n_times, thin = data.shape[-1], max(1, data.shape[-1] // 2000)
    parts = []
    for k in range(0, len(data), max(1, len(data) // 100)):
        hidden = bad.paint(k * n_times, (k + 1) * n_times, thin)
        parts.append(np.where(hidden, np.nan, data[k, picks, ::thin]))
    parts = np.concatenate(parts, axis=-1)
    if np.isfinite(parts).any():
        check_units(parts)


# ---------------------------------------------------------------------------------------------
# Warnings


def warn_of_unused(names, unused):
    """Warn of good channels (bool) that are not used."""
    if unused.any():
        found = ", ".join(name for name, k in zip(names, unused, strict=True) if k)
        warn(
            "Not used to estimate other channels, because the signals are flat, far larger than "
            f"those of the other EEG channels, or no EEG by their names: {found}. They are left "
            "unchanged; mark them in info['bads'] or by mask to have them restored."
        )


def _warn_of_left(names, done, is_raw):
    """Warn of bad samples that were not restored; in a Raw, annotations show segments."""
    n_done = np.zeros(len(names), int)
    for span in done.spans:
        n_done[span.channel] += span.stop - span.start
    left = done.bad.whole & (n_done == 0) if is_raw else done.bad.n_bad > n_done
    if left.any():
        left = [name for name, k in zip(names, left, strict=True) if k]
        warn(
            f"Not all bad samples of {', '.join(left)} could be restored: too few channels are "
            "good at these times, or they were bad in the data passed to fit, with neither a known "
            "name nor a position. They are left unchanged; missing channels follow the others."
        )
