# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One recording of a corpus: reading, marking, preprocessing and quantising."""

import warnings

import mne
import numpy as np
from mne.utils import use_log_level

from .._files import CUT_SHORT, BidsRecording, read_inst, read_recording
from ..montage import find_derivations, match_channels
from ..preprocessing import VOLTS_TO_MODEL, preprocess
from ._marking import (
    SECOND,
    cut_pieces,
    find_joins,
    find_mostly_marked,
    mark_huge,
    mark_recorded,
    mark_spilled,
)
from ._sources import hide_paths

_LARGEST = 32767  # absolute value in 16 bits


def _read(source):
    """Return the EEG channels of a recording, in memory."""
    if source.root is None:
        raw = read_inst(source.path)
        if not isinstance(raw, mne.io.BaseRaw):
            raise ValueError("It contains epochs, but a corpus needs continuous recordings.")
    else:
        raw = read_recording(
            BidsRecording(source.root, source.path.relative_to(source.root))
        ).load_data()
    picks = mne.pick_types(raw.info, eeg=True, exclude=())
    if len(picks) == 0:
        raise ValueError("It has no EEG channel.")
    return raw.pick(picks)


def _bridge(raw):
    """Interpolate linearly over values that are not finite, in place, as filters spread them."""
    times = np.arange(raw.n_times)
    for signal in raw._data:
        known = np.isfinite(signal)
        if not known.all():
            signal[~known] = (
                np.interp(times[~known], times[known], signal[known]) if known.any() else 0.0
            )


def _note_joins(raw, joins):
    """Annotate joins as MNE does, so that it does not filter across them."""
    edges = [text.upper().startswith("EDGE") for text in raw.annotations.description]
    known = raw.annotations.onset[edges] - raw.first_time
    new = [join for join in joins if not (np.abs(known - join) < 0.5 / raw.info["sfreq"]).any()]
    if new:
        raw.annotations.append(raw.first_time + np.array(new), 0.0, "EDGE boundary")


def _preprocess(raw, bads, line_freq):
    """Preprocess a Raw with bad channels (a bool each) kept out of the average reference."""
    if bads.all():
        raise ValueError(
            "Every channel is bad most of the time: marked, flat, clipped or far too large."
        )
    raw.info["bads"] = [name for name, bad in zip(raw.ch_names, bads, strict=True) if bad]
    return preprocess(raw, line_freq=line_freq).get_data()


def _prepare(raw, line_freq):
    """Preprocess a Raw of EEG channels, filled in place, and mark its seconds without EEG.

    Returns data (n_channels, n_times) in volts at 200 Hz, and marks (n_channels, n_seconds).
    """
    # Derivations of two electrodes do not depend on the reference.
    referenced = ~find_derivations(raw.ch_names)
    marked = mark_recorded(raw)
    bads = find_mostly_marked(marked)
    _bridge(raw)
    data = _preprocess(raw, bads, line_freq)
    marked = marked[:, : -(-data.shape[1] // SECOND)]
    own = data.copy()
    if (referenced & ~bads).any():
        # The median is robust to huge channels, which affect all others through the average.
        own[referenced] -= np.median(data[referenced & ~bads], axis=0)
    worse = find_mostly_marked(marked | mark_huge(own)) & ~bads
    if worse.any():
        bads |= worse
        data = _preprocess(raw, bads, line_freq)
    marked = marked | mark_huge(data)
    marked[bads] = True
    averaged = referenced & ~bads
    if averaged.any():
        marked[referenced] |= mark_spilled(data[averaged], marked[averaged])
    return data, marked


def _list_spans(marked):
    """List marks as row, first second and stop second."""
    edges = np.diff(np.pad(marked.astype(int), ((0, 0), (1, 1))), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return np.column_stack([starts, stops[:, 1]]).tolist()


def quantise(data, marked, dtype):
    """Return data (n_channels, n_times) in 0.1 mV as float32, or as int16, and a scale per channel.

    Marked seconds (n_channels, n_seconds) may be clipped and do not affect the scale, which is the
    value of one step in 0.1 mV, or 1 for float32.
    """
    if dtype == "float32":
        return data.astype(np.float32), np.ones(len(data))
    clean = ~np.repeat(marked, SECOND, axis=1)[:, : data.shape[1]]
    peaks = np.abs(data).max(axis=1, where=clean, initial=0)
    peaks = np.where(peaks > 0, peaks, np.abs(data).max(axis=1))
    scale = np.where(peaks > 0, peaks, 1.0) / _LARGEST
    steps = np.round(data / scale[:, None])
    return np.clip(steps, -_LARGEST, _LARGEST).astype(np.int16), scale


def load_recording(source, dtype, line_freq):
    """Read, preprocess, mark and quantise one recording.

    Returns the array to store (n_channels, n_times) and its entries in the index. Raises any error
    of the reader, and ValueError if there is nothing to train on.
    """
    with warnings.catch_warnings(record=True) as caught, use_log_level("warning"):
        warnings.simplefilter("always")
        warnings.filterwarnings("error", CUT_SHORT, RuntimeWarning)
        raw = _read(source)
        channel_map = match_channels(raw.info, on_missing="ignore")
        rows = np.flatnonzero(channel_map.indices >= 0)
        if len(rows) == 0:
            raise ValueError("None of its channels has an entry in the montage.")
        joins, holes = find_joins(raw)
        _note_joins(raw, joins)
        data, marked = _prepare(raw, line_freq)
    pieces = cut_pieces(joins, holes, data.shape[1])
    if not pieces:
        raise ValueError("It has no second without a discontinuity.")
    data, marked = data[rows] * VOLTS_TO_MODEL, marked[rows]
    if marked.all():
        raise ValueError("Every second of every channel is marked, flat, clipped or far too large.")
    array, scale = quantise(data, marked, dtype)
    notes = [hide_paths(source, str(warning.message)) for warning in caught]
    notes = list(dict.fromkeys(notes))
    if channel_map.missing:
        notes.append(f"Left out, without an entry in the montage: {', '.join(channel_map.missing)}")
    return array, dict(
        ch_names=[channel_map.ch_names[k] for k in rows],
        channels=channel_map.indices[rows].tolist(),
        n_times=array.shape[1],
        pieces=pieces,
        bad=_list_spans(marked),
        scale=scale.tolist(),
        notes=notes,
    )
