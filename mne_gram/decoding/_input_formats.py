# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Read epochs, lists of epochs, data sets of windows, or arrays with named channels."""

from typing import NamedTuple

import mne
import numpy as np
from mne.utils import _check_option

from .._checks import check_content, make_array_info
from .._marks import fill_missing, find_broken, paint_marks
from ..preprocessing import pick_good_eeg
from ._trial_filter import warn_once
from ._windows import find_recordings, read_windows

#: The units of arrays, in volts.
UNITS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "\u00b5V": 1e-6, "\u03bcV": 1e-6, "nV": 1e-9}


class TrialStack(NamedTuple):
    """Trials of one length."""

    rows: np.ndarray  #: their indices among all trials, (n,)
    data: np.ndarray  #: (n, n_channels, n_times)
    marked: np.ndarray | None = None  #: samples that annotations mark as bad, the shape of the data

    @property
    def good(self):
        """The data, with NaN where they are marked as bad."""
        return self.data if self.marked is None else np.where(self.marked, np.nan, self.data)

    def pick(self, channels):
        """Return some channels, in that order."""
        marked = None if self.marked is None else self.marked[:, channels]
        return TrialStack(self.rows, self.data[:, channels], marked)


class InputTrials(NamedTuple):
    """Trials in volts at their original sampling rate."""

    stacks: list  #: of TrialStack
    info: mne.Info  #: of the good EEG channels
    has_filters: bool  #: whether the info contains the filters that were applied
    unit: str | None = None  #: of the arrays they were read from; None for Epochs
    n_columns: int | None = None  #: of rows of flattened trials
    subjects: np.ndarray | None = None  #: the subject of each trial


def read_input(x, info, ch_names, sfreq, unit="V"):
    """Return the input as `InputTrials`; info, or ch_names and sfreq, and unit describe arrays."""
    if isinstance(x, mne.BaseEpochs):
        return _read_epochs([x])
    check_epochs(x)
    if isinstance(x, list | tuple) and any(isinstance(item, mne.BaseEpochs) for item in x):
        wrong = [k for k, e in enumerate(x) if not isinstance(e, mne.BaseEpochs) or len(e) != 1]
        if wrong:
            raise ValueError(
                "A list must contain one trial per item, either epochs of length 1 or arrays "
                f"(n_channels, n_times). Item {wrong[0]} is "
                f"{x[wrong[0]].__class__.__name__} of length {len(x[wrong[0]])}. Join epochs "
                "with mne.concatenate_epochs."
            )
        return _read_epochs(list(x))
    _check_option("unit", unit, tuple(UNITS))
    if find_recordings(x):
        x, own_info = read_windows(x)
        info, ch_names, sfreq = (own_info if info is None else info), None, None
    stacks = _read_arrays(x)
    has_filters = info is not None
    info = make_array_info(info, ch_names, sfreq)
    n_columns = None
    if stacks[0].data.ndim == 2:
        n_columns = stacks[0].data.shape[1]
        stacks = [stack._replace(data=_unflatten(stack.data, info)) for stack in stacks]
    n_channels = stacks[0].data.shape[1]
    if n_channels != len(info["ch_names"]):
        raise ValueError(
            f"X has {n_channels} channels (its second axis), but "
            f"{'info' if has_filters else 'ch_names'} has {len(info['ch_names'])}."
        )
    picks = _pick_good(info, info["bads"])
    if len(picks) < n_channels:
        stacks = [stack.pick(picks) for stack in stacks]
        info = mne.pick_info(info, picks, verbose="error")
    if UNITS[unit] != 1.0:
        stacks = [stack._replace(data=stack.data * UNITS[unit]) for stack in stacks]
    return InputTrials(stacks, info, has_filters, unit, n_columns)


def check_epochs(x):
    """Refuse a Raw, whose length is its number of samples, and Epochs without content."""
    if isinstance(x, mne.io.BaseRaw):
        raise TypeError(
            "X is a continuous recording, expected epochs: epoch it, for example with "
            "mne.make_fixed_length_epochs(raw, duration=4.0)."
        )
    if isinstance(x, mne.BaseEpochs) and x.preload:
        check_content(x)


def _pick_good(info, bads):
    """Return the indices of the good EEG channels."""
    info = info.copy()
    info["bads"] = [name for name in info["ch_names"] if name in bads]
    picks = mne.pick_types(info, eeg=True, exclude="bads")
    if len(picks) == 0:
        raise ValueError(
            f"Found no good EEG channel among the {len(info['ch_names'])} of X. Set the types of "
            "channels with epochs.set_channel_types, and remove usable channels from info['bads']."
        )
    return picks


def _read_epochs(insts):
    """Return the trials of Epochs that have the same channels."""
    insts = [inst if inst.preload else inst.copy().load_data() for inst in insts]
    for inst in insts:
        check_content(inst)
    first = insts[0]
    pick_good_eeg(first)  # checks the channels
    picks = _pick_good(first.info, {name for inst in insts for name in inst.info["bads"]})
    names = [first.ch_names[k] for k in picks]
    sfreq, known = first.info["sfreq"], {tuple(first.ch_names): picks}
    arrays, marks = [], []
    for number, inst in enumerate(insts):
        if inst.info["sfreq"] != sfreq:
            raise ValueError(
                f"Item {number} of X is sampled at {inst.info['sfreq']:g} Hz, item 0 at "
                f"{sfreq:g} Hz. Resample them to one rate."
            )
        key = tuple(inst.ch_names)
        if key not in known:
            missing = [name for name in names if name not in key]
            if missing:
                raise ValueError(
                    f"Channels of item 0 of X are missing from item {number}: "
                    f"{', '.join(missing)}. Make them equal, for example with mne_gram.harmonize."
                )
            known[key] = [key.index(name) for name in names]
        data, marked = _read_samples(inst, known[key])
        arrays.append(data)
        marks.append(marked)
    marks = _fill_marks(marks, arrays)
    lengths = {array.shape[2] for array in arrays}
    if len(lengths) == 1:
        data, marked = (x and (np.concatenate(x) if len(x) > 1 else x[0]) for x in (arrays, marks))
        stacks = [TrialStack(np.arange(len(data)), data, marked)]
    else:
        stacks = _stack([array[0] for array in arrays], marks and [mark[0] for mark in marks])
    info = mne.pick_info(first.info, picks, verbose="error")
    return InputTrials(stacks, info, True)


def _read_samples(inst, picks):
    """Return the samples of channels, and which are marked as bad; None if nothing is.

    A line replaces those that are broken there, as in :func:`mne_gram.preprocess`.
    """
    data = inst.get_data(copy=False)[:, picks]  # picks of MNE take longer than a trial
    if not inst.annotations:
        return data, None
    marked = np.logical_or(*paint_marks(inst, picks))
    n_broken = (find_broken(data) & marked).any(axis=(1, 2)).sum()
    if n_broken:
        warn_once(
            f"Samples that are marked as bad are missing in {n_broken} of {len(data)} epochs; a "
            "straight line replaces them. Restore them first with mne_gram.restore, or drop these "
            "epochs."
        )
        inst = inst.copy()
        fill_missing(inst)
        data = inst.get_data(copy=False)[:, picks]
    return data, marked if marked.any() else None


def _fill_marks(marks, arrays):
    """Return marks of all arrays, of which some may have none (None); None if no array has any."""
    if all(marked is None for marked in marks):
        return None
    pairs = zip(marks, arrays, strict=True)
    return [np.zeros(array.shape, bool) if marked is None else marked for marked, array in pairs]


def _stack(arrays, marks=None):
    """Return arrays (n_channels, n_times), and their marks, stacked by length."""
    lengths = np.array([array.shape[1] for array in arrays])
    rows = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    return [
        TrialStack(which, *(x and np.stack([x[k] for k in which]) for x in (arrays, marks)))
        for which in rows
    ]


def _read_arrays(x):
    """Return the trials of an array or a list of arrays, (n, n_channels, n_times) or flattened."""
    if (
        isinstance(x, list | tuple)
        and len(x)
        and all(isinstance(item, tuple) and item for item in x)
    ):
        x = [item[0] for item in x]  # windows with their labels
    if isinstance(x, list | tuple) and len(x) and all(np.ndim(item) == 2 for item in x):
        arrays = [_as_floats(item) for item in x]
        if len({len(array) for array in arrays}) > 1:
            counts = sorted({len(array) for array in arrays})
            raise ValueError(f"The arrays in X have different numbers of channels: {counts}.")
        return _stack(arrays)
    data = _as_floats(x)
    if data.ndim not in (2, 3) or data.size == 0:
        raise ValueError(
            f"X has shape {data.shape}, expected (n_epochs, n_channels, n_times), or rows "
            "(n_epochs, n_channels * n_times), each at least 1. X may also be mne.Epochs, or a "
            "list of arrays (n_channels, n_times)."
        )
    return [TrialStack(np.arange(len(data)), data)]


def _unflatten(data, info):
    """Return flattened trials (n, n_channels * n_times) as (n, n_channels, n_times)."""
    n_trials, n_columns = data.shape
    n_channels = len(info["ch_names"])
    if n_columns % n_channels:
        raise ValueError(
            f"X has shape {data.shape}, so its rows are taken as flattened trials, but {n_columns} "
            f"is not a multiple of the {n_channels} channels. Pass an array (n_epochs, n_channels, "
            "n_times), a single trial as X[np.newaxis], or rows with the samples of the first "
            "channel, then those of the second, and so on, as mne.decoding.Vectorizer gives them."
        )
    if n_columns == n_channels:
        raise ValueError(
            f"X has shape {data.shape}, one sample of each of the {n_channels} channels, as "
            "mne.decoding.SlidingEstimator passes them, but trials have to last at least 1 s. "
            "Slide over windows instead: pass an array (n_epochs, n_channels, n_times, n_windows), "
            "for example np.lib.stride_tricks.sliding_window_view(X, 200, axis=2)"
            "[:, :, ::20].swapaxes(2, 3)."
        )
    return data.reshape(n_trials, n_channels, -1)


def _as_floats(x):
    """Return an array of floats, or raise."""
    try:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"its elements are of type {array.dtype}")
        return array.astype(float, copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "X must be mne.Epochs, an array of real numbers (n_epochs, n_channels, n_times), a "
            "list of one-epoch Epochs or of arrays (n_channels, n_times), or a data set of windows "
            "of braindecode; got "
            f"{x.__class__.__name__} ({error})."
        ) from None
