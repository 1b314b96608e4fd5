# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What annotations mark: bad segments of channels, and holes, where nothing was recorded."""

import mne
import numpy as np
from mne import BaseEpochs
from mne.io import BaseRaw

_HOLE = "BAD_ACQ_SKIP"
_CUTS = ("BAD BOUNDARY", _HOLE)  # joins and holes of the file, not bad signals
_LARGEST = 1e3  # volts: larger values are errors of a file, with which nothing can be computed


def is_bad_annotation(text):
    """Return whether an annotation marks bad signals."""
    return text.upper().startswith("BAD") and not text.upper().startswith(_CUTS)


def _is_hole(text):
    return text.upper().startswith(_HOLE)


def count_times(inst):
    """Return the number of samples, of one epoch if there are several."""
    # The times of a long Raw would be an array as long as its data.
    return int(inst.n_times) if isinstance(inst, BaseRaw) else len(inst.times)


def annotated_spans(inst, is_wanted=is_bad_annotation):
    """List the bad annotations of a Raw or Epochs in samples, clipped to the data.

    Each is a tuple of the annotation's index, the epoch (0 for Raw), start, stop and channel names
    (none for all channels). ``is_wanted(text)`` selects other annotations.
    """
    annotations = inst.annotations
    if annotations is None or not len(annotations):
        return []
    sfreq, n_times = inst.info["sfreq"], count_times(inst)
    onsets = np.array(annotations.onset)
    if isinstance(inst, BaseRaw):
        zeros = np.array([inst.first_time])  # what MNE counts from, with and without a date
    else:
        # MNE counts epochs' annotations from the same zero as their events.
        zeros = inst.events[:, 0] / inst._raw_sfreq + inst.times[0]
    spans = []
    for index, text in enumerate(annotations.description):
        if not is_wanted(text):
            continue
        first = np.round((onsets[index] - zeros) * sfreq).astype(int)
        last = np.round((onsets[index] + annotations.duration[index] - zeros) * sfreq).astype(int)
        names = tuple(annotations.ch_names[index])
        for epoch in np.flatnonzero((last > 0) & (first < n_times) & (last > first)):
            start, stop = max(0, first[epoch]), min(n_times, last[epoch])
            spans.append((index, int(epoch), int(start), int(stop), names))
    return spans


def find_holes(inst):
    """List the starts and stops of holes in samples, of epochs laid end to end."""
    if not isinstance(inst, BaseRaw | BaseEpochs):
        return []
    n_times = count_times(inst)
    spans = annotated_spans(inst, _is_hole)
    return [(epoch * n_times + a, epoch * n_times + b) for _, epoch, a, b, _ in spans]


# ---------------------------------------------------------------------------------------------
# Samples that are missing there


def find_broken(data):
    """Return which samples are NaN, infinite or larger than any amplifier records."""
    return ~(np.abs(data) <= _LARGEST)


def empty_broken(inst, picks):
    """Set broken samples of channels to NaN, in place: filters fail on infinity, but keep NaN."""
    data = inst._data[..., picks, :]
    inst._data[..., picks, :] = np.where(find_broken(data), np.nan, data)


def fill_missing(inst, holes_only=False):
    """Fill EEG samples that are broken and marked as bad, in place, so that filters can run.

    Holes are filled with zeros, as files do, the rest by a line from the sample before to the one
    after; with ``holes_only`` it is not filled. Returns where this was done, of the shape of the
    EEG, None for nowhere.
    """
    picks = mne.pick_types(inst.info, eeg=True, exclude=())
    missing = find_broken(inst._data[..., picks, :])
    if not missing.any():
        return None
    holes, marked = paint_marks(inst, picks)
    filled = missing & (holes if holes_only else holes | marked)
    for place in np.argwhere(filled.any(axis=-1)):
        *epoch, row = place
        values = inst._data[(*epoch, picks[row])]
        values[filled[tuple(place)] & holes[tuple(place)]] = 0.0
        gap, known = filled[tuple(place)] & ~holes[tuple(place)], ~find_broken(values)
        if gap.any():
            line = (
                np.interp(np.flatnonzero(gap), np.flatnonzero(known), values[known])
                if (known.any())
                else 0.0
            )
            values[gap] = line
    return filled if filled.any() else None


def empty_filled(inst, filled):
    """Set samples that `fill_missing` filled to NaN, in place; they may be at another rate now."""
    if filled is None:
        return
    picks = mne.pick_types(inst.info, eeg=True, exclude=())
    ratio = filled.shape[-1] / count_times(inst)
    index = np.floor((np.arange(count_times(inst)) + 0.5) * ratio).astype(int)
    holes, marked = paint_marks(inst, picks)
    data = inst._data[..., picks, :]
    data[filled[..., index] & (holes | marked)] = np.nan
    inst._data[..., picks, :] = data


def find_hidden(inst, picks):
    """Return the names of channels that annotations mark as bad throughout, unless all are."""
    if not len(getattr(inst, "annotations", None) or ()):
        return []
    hidden = np.logical_or(*paint_marks(inst, picks)).all(axis=-1)
    hidden = hidden.reshape(-1, len(picks)).all(axis=0)
    return [] if hidden.all() else [inst.ch_names[k] for k in np.asarray(picks)[hidden]]


def hide_marked(inst, picks):
    """Return the data of channels, with NaN in holes and where they are marked as bad."""
    data = inst._data[..., picks, :]  # a copy
    bads = [inst.ch_names[pick] for pick in picks if inst.ch_names[pick] in inst.info["bads"]]
    if bads or len(getattr(inst, "annotations", None) or ()):
        holes, marked = paint_marks(inst, picks)
        data[holes | marked] = np.nan
    return data


def paint_marks(inst, picks):
    """Return where holes are and what is marked as bad, two arrays of the shape of the picks."""
    shape = inst._data[..., picks, :].shape
    holes, marked = np.zeros(shape, bool), np.zeros(shape, bool)
    names = [inst.ch_names[pick] for pick in picks]
    marked[..., np.isin(names, inst.info["bads"]), :] = True
    for mask, is_wanted in ((holes, _is_hole), (marked, is_bad_annotation)):
        for _, epoch, start, stop, own in annotated_spans(inst, is_wanted):
            rows = np.isin(names, own) if own else np.ones(len(names), bool)
            (mask if mask.ndim == 2 else mask[epoch])[rows, start:stop] = True
    return holes, marked
