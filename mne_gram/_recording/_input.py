# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Take signals out of MNE's containers, and refuse what cannot be worked with."""

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import warn

from .._marks import find_broken, find_holes
from .._strays import cut_windows, find_known, find_strays, measure_levels, warn_of_strays
from ..covariance import MIN_GOOD
from ..preprocessing import check_units
from ._masks import BadSpans
from ._recording import Recording
from ._samples import Samples
from ._windows import split_recording

_MIN_SFREQ = 100.0
_FEW_GOOD = 4


def open_recording(inst, picks, bad):
    """Return the picks of a preloaded Raw or Epochs or of an Evoked as a Recording."""
    data = inst.data if isinstance(inst, mne.Evoked) else inst._data
    n_times = data.shape[-1]
    segments = [(k * n_times, (k + 1) * n_times) for k in range(len(data) if data.ndim == 3 else 1)]
    if isinstance(inst, BaseRaw):
        segments = split_recording(inst)
    samples = Samples(data, picks, segments, find_holes(inst))
    return Recording(samples, bad, mne.pick_info(inst.info, picks))


def check_recording(recording, picked=False):
    """Refuse a recording that cannot be restored, and warn about one that is hard to restore.

    ``picked`` is whether there are EEG channels beyond those of the recording.
    """
    samples, bad, names = recording.samples, recording.bad, recording.ch_names
    part, good = recording.read_good(samples.thin())
    seen = np.where(good, part, np.nan)
    recorded = (np.nan_to_num(seen) != 0).any(axis=0)  # where recording paused, files hold zeros
    check_units(seen[:, recorded] if recorded.any() else seen)
    broken = find_broken_channels(recording)
    if broken.any():
        found = ", ".join(name for name, wrong in zip(names, broken, strict=True) if wrong)
        raise ValueError(
            "Found NaN, infinite or impossible samples (above 1 kV) that are not marked as bad in "
            f"{found}. Mark them: the channel in info['bads'], the segment by an annotation that "
            "begins with BAD, or by mask."
        )
    n_good = int((~bad.whole).sum())
    if n_good < MIN_GOOD:
        raise ValueError(
            f"{len(names) - n_good} of {len(names)} EEG channels are bad; at least {MIN_GOOD} good "
            "channels are needed to restore the others. "
            + (
                "Pass all channels to estimate from in picks, and exclude only bad ones."
                if picked
                else "Remove usable channels from info['bads'], or skip this recording."
            )
        )
    if n_good < _FEW_GOOD:
        warn(
            f"Only {n_good} channels are good, so the estimates are unreliable. See expected_nmse "
            "in the report."
        )
    if recording.sfreq < _MIN_SFREQ:
        warn(
            f"The sampling rate is {recording.sfreq:g} Hz, expected {_MIN_SFREQ:g} Hz or more. The "
            f"data contain no frequencies above {recording.sfreq / 2:g} Hz to estimate from; use "
            "the recording at its original rate."
        )


def find_broken_channels(recording):
    """Return which channels have impossible samples that are not marked as bad."""
    samples, bad = recording.samples, recording.bad
    broken = np.zeros(len(bad), bool)
    for start, stop in samples.chunks():
        broken |= (find_broken(samples.read(start, stop)) & ~bad.paint(start, stop)).any(axis=1)
    return broken


def leave_out_strays(recording):
    """Return a recording without strays, and the channels that it has, indices.

    Strays are channels that cannot be EEG. An electrode of which segments are to be restored stays,
    marked as bad throughout.
    """
    info, bad = recording.info, recording.bad
    strays = find_stray_channels(recording)
    if not strays.any():
        return recording, np.arange(len(bad))
    names = [name for name, stray in zip(recording.ch_names, strays, strict=True) if stray]
    warn_of_strays(names, info["bads"])
    hidden = strays & (bad.n_bad > 0) & find_known(info, np.arange(len(bad)))
    everything, nothing = np.array([[0, bad.n_times]]), np.zeros((0, 2), int)
    spans = BadSpans(tuple(everything if hide else nothing for hide in hidden), bad.n_times)
    kept = np.flatnonzero(hidden | ~strays)
    return recording.hide(spans).select(kept), kept


def find_stray_channels(recording):
    """Return which channels cannot be EEG, by the size of their good samples or by name."""
    levels = measure_levels(_read_windows(recording))
    return find_strays(recording.info, np.arange(len(recording.bad)), levels)


def _read_windows(recording):
    """Yield windows (n_channels, n_times), NaN where bad."""
    for start, stop in cut_windows(recording.segments, recording.sfreq):
        window = recording.samples.read(start, stop)
        window[recording.bad.paint(start, stop)] = np.nan
        yield window


def find_evidence(recording):
    """Return the indices of the channels to work with: all but good ones that are flat.

    A single flat channel is a recording's own reference, which is valid evidence.
    """
    bad, names = recording.bad, recording.ch_names
    flat = find_flat_channels(recording)
    if flat.sum() < 2 or (~flat & ~bad.whole).sum() < MIN_GOOD:
        return np.arange(len(flat))
    flat_names = ", ".join(name for name, f in zip(names, flat, strict=True) if f)
    warn(
        f"Found flat channels that are not marked as bad: {flat_names}. They are left unchanged "
        "and not used to estimate others. Mark them in info['bads'] to have them restored."
    )
    return np.flatnonzero(~flat)


def find_flat_channels(recording):
    """Return which channels have next to no variance in their good samples."""
    part, good = recording.read_good(recording.samples.thin())
    spread = np.full(len(part), np.nan)
    for k in np.flatnonzero(good.any(axis=1)):
        spread[k] = part[k, good[k]].std()
    return spread < 1e-3 * np.nanmedian(spread[spread > 0]) if (spread > 0).any() else spread < 0
