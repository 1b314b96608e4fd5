# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What trials may be given as: epochs, a list of them, or arrays with named channels."""

from typing import NamedTuple

import mne
import numpy as np
from mne.utils import _validate_type

from ..preprocessing import _eeg_picks


class Block(NamedTuple):
    """Trials of one length."""

    rows: np.ndarray  #: which of all trials they are, (n,)
    data: np.ndarray  #: (n, n_channels, n_times)


class Recorded(NamedTuple):
    """Trials as they were given: in volts, at their own rate."""

    blocks: list  # of Block
    info: mne.Info  # of the good EEG channels
    is_described: bool  # whether the info tells what was filtered
    people: np.ndarray | None = None  # whose trial each is


def read_given(x, info, ch_names, sfreq):
    """Return what was given as trials in volts."""
    if isinstance(x, mne.BaseEpochs):
        return _read_epochs([x])
    if isinstance(x, mne.io.BaseRaw):
        raise TypeError(
            "X is a continuous recording, expected epochs: cut it, for example with "
            "mne.make_fixed_length_epochs(raw, duration=4.0)."
        )
    if isinstance(x, list | tuple) and any(isinstance(item, mne.BaseEpochs) for item in x):
        wrong = [k for k, e in enumerate(x) if not isinstance(e, mne.BaseEpochs) or len(e) != 1]
        if wrong:
            raise ValueError(
                "A list has to hold one trial an item, epochs of length 1 or arrays "
                f"(n_channels, n_times), but not both. Item {wrong[0]} is "
                f"{x[wrong[0]].__class__.__name__} of length {len(x[wrong[0]])}. Join epochs with "
                "mne.concatenate_epochs."
            )
        return _read_epochs(list(x))
    blocks = _read_arrays(x)
    info, is_described = _describe_arrays(info, ch_names, sfreq)
    n_channels = blocks[0].data.shape[1]
    if n_channels != len(info["ch_names"]):
        raise ValueError(
            f"X has {n_channels} channels (its second axis), but "
            f"{'info' if is_described else 'ch_names'} names {len(info['ch_names'])}."
        )
    picks = _pick_good(info, info["bads"])
    if len(picks) < n_channels:
        blocks = [Block(rows, data[:, picks]) for rows, data in blocks]
        info = mne.pick_info(info, picks, verbose="error")
    return Recorded(blocks, info, is_described)


def read_people(x, column):
    """Return what a column of the epochs' metadata says of each trial."""
    import pandas as pd

    insts = [x] if isinstance(x, mne.BaseEpochs) else x
    if not all(isinstance(inst, mne.BaseEpochs) for inst in insts):
        raise TypeError(
            f"align={column!r} names a column of the metadata of epochs, and X is an array. Give "
            "mne.EpochsArray(X, info, metadata=...), or align=None."
        )
    values = []
    for inst in insts:
        if inst.metadata is None or column not in inst.metadata:
            found = "none" if inst.metadata is None else ", ".join(map(str, inst.metadata.columns))
            raise ValueError(
                f"align={column!r} is not a column of the epochs' metadata (which are: {found}). "
                "It has to say whose trial each is; set epochs.metadata, or align=None."
            )
        values.append(inst.metadata[column])
    people = pd.concat(values)
    if people.isna().any():
        raise ValueError(
            f"The column {column!r} of the metadata lacks {people.isna().sum()} values."
        )
    return people.to_numpy()


def _pick_good(info, bads):
    """Return the EEG channels that are not bad."""
    info = info.copy()
    info["bads"] = [name for name in info["ch_names"] if name in bads]
    picks = mne.pick_types(info, eeg=True, exclude="bads")
    if len(picks) == 0:
        raise ValueError(
            f"Found no good EEG channel among the {len(info['ch_names'])} of X. Set the types of "
            "channels with epochs.set_channel_types, and unmark bad ones that are usable."
        )
    return picks


def _read_epochs(insts):
    """Return the trials of epochs that have the same channels."""
    if sum(map(len, insts)) == 0:
        raise ValueError("X holds no epoch: all were dropped, or none was cut.")
    first = insts[0]
    _eeg_picks(first)  # refuses what no remedy of ours can mend
    picks = _pick_good(first.info, {name for inst in insts for name in inst.info["bads"]})
    names = [first.ch_names[k] for k in picks]
    sfreq, known = first.info["sfreq"], {tuple(first.ch_names): picks}
    arrays = []
    for number, inst in enumerate(insts):
        if inst.info["sfreq"] != sfreq:
            raise ValueError(
                f"Item {number} of X is sampled at {inst.info['sfreq']:g} Hz, item 0 at "
                f"{sfreq:g} Hz. Resample them to one rate."
            )
        key = tuple(inst.ch_names)
        if key not in known:
            lacking = [name for name in names if name not in key]
            if lacking:
                raise ValueError(
                    f"Item {number} of X lacks channels that item 0 has: {', '.join(lacking)}. "
                    "Bring all to the same channels, for example with mne_gram.harmonize."
                )
            known[key] = [key.index(name) for name in names]
        # Asking MNE for picks costs more than a trial does.
        arrays.append(inst.get_data(copy=False)[:, known[key]])
    lengths = {array.shape[2] for array in arrays}
    if len(lengths) == 1:
        data = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        blocks = [Block(np.arange(len(data)), data)]
    else:
        blocks = _group([array[0] for array in arrays])
    info = mne.pick_info(first.info, picks, verbose="error")
    return Recorded(blocks, info, True)


def _group(arrays):
    """Put arrays (n_channels, n_times) of one length together."""
    lengths = np.array([array.shape[1] for array in arrays])
    rows = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    return [Block(which, np.stack([arrays[k] for k in which])) for which in rows]


def _read_arrays(x):
    """Return the trials of an array, or of a list of arrays."""
    if isinstance(x, list | tuple) and len(x) and all(np.ndim(item) == 2 for item in x):
        arrays = [_as_floats(item) for item in x]
        if len({len(array) for array in arrays}) > 1:
            counts = sorted({len(array) for array in arrays})
            raise ValueError(f"The arrays in X have different numbers of channels: {counts}.")
        return _group(arrays)
    data = _as_floats(x)
    if data.ndim != 3 or data.size == 0:
        raise ValueError(
            f"X has shape {data.shape}, expected (n_epochs, n_channels, n_times), none of them 0. "
            "X may also be mne.Epochs, or a list with an array (n_channels, n_times) for each "
            "epoch."
        )
    return [Block(np.arange(len(data)), data)]


def _as_floats(x):
    """Return an array of floats, or say what cannot be one."""
    try:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"its elements are of type {array.dtype}")
        return array.astype(float, copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "X has to be mne.Epochs, an array of real numbers (n_epochs, n_channels, n_times) in "
            "volts, or a list with one-epoch Epochs or an array (n_channels, n_times) for each "
            f"epoch; got {x.__class__.__name__} ({error})."
        ) from None


def _describe_arrays(info, ch_names, sfreq):
    """Return the info of arrays, and whether it tells how they were filtered."""
    if info is not None:
        _validate_type(info, mne.Info, "info", "an instance of mne.Info, such as epochs.info")
        if ch_names is not None or sfreq is not None:
            raise ValueError("Give either info, or ch_names and sfreq, but not both.")
        return info, True
    if ch_names is None or sfreq is None:
        raise ValueError(
            "X is an array, which does not tell what its channels are: give the constructor "
            "info=epochs.info, or ch_names=[...] and sfreq=... in Hz."
        )
    if isinstance(ch_names, str) or len(set(ch_names)) != len(ch_names):
        raise ValueError(f"ch_names must be a list of different names, got {ch_names!r}.")
    _validate_type(sfreq, "numeric", "sfreq")
    if not sfreq > 0:
        raise ValueError(f"sfreq must be a positive rate in Hz, got {sfreq}.")
    return mne.create_info(list(ch_names), float(sfreq), "eeg", verbose="error"), False
