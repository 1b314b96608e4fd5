# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Whatever holds trials, brought into the one form that features are computed from."""

from dataclasses import dataclass, field
from typing import NamedTuple

import mne
import numpy as np
from mne.utils import _check_option, _validate_type, warn

from ..harmonization import harmonize
from ..montage import CH_NAMES, match_channels
from ..preprocessing import SFREQ, _eeg_picks, check_units, find_line_freq
from .trial_signals import to_epochs, to_network, warn_of_info

PATCH = 200  # samples in a patch, a second at 200 Hz
_N_SAMPLES = 2**20  # that tell the unit


class Block(NamedTuple):
    """Trials of one length."""

    rows: np.ndarray  #: which of all trials they are, (n,)
    data: np.ndarray  #: (n, n_channels, n_times)


@dataclass(frozen=True)
class Trials:
    """Trials at 200 Hz in 0.1 mV.

    Attributes
    ----------
    blocks : list of Block
        The trials, float32, those of one length together.
    ch_names : list of str
        The channels.
    channels : array of int, shape (n_channels,)
        Their indices in the montage.
    people : array, shape (n_trials,) | None
        Whose trial each is, where that is told.
    """

    blocks: list
    ch_names: list
    channels: np.ndarray
    people: np.ndarray | None = None

    def __len__(self):
        """Return the number of trials."""
        return sum(len(block.rows) for block in self.blocks)

    def map(self, function):
        """Apply a function to the trials of each length; return its rows in the trials' order.

        Parameters
        ----------
        function : callable
            Of an array, shape (n, n_channels, n_times), returns one of shape (n, ...).

        Returns
        -------
        values : array, shape (n_trials, ...)
            A row a trial.
        """
        parts = [np.asarray(function(block.data)) for block in self.blocks]
        values = np.empty((len(self), *parts[0].shape[1:]), parts[0].dtype)
        for block, part in zip(self.blocks, parts, strict=True):
            values[block.rows] = part
        return values


class _Recorded(NamedTuple):
    """Trials as they were given: in volts, at their own rate."""

    blocks: list  # of Block
    info: mne.Info  # of the good EEG channels
    is_described: bool  # whether the info tells what was filtered
    people: np.ndarray | None = None  # whose trial each is


@dataclass
class TrialReader:
    """Reads trials, first those to learn from and then others of the same channels.

    Parameters
    ----------
    info : mne.Info | None
        What the rows of arrays are.
    ch_names : list of str | None
        The same without an info: the names of the channels.
    sfreq : float | None
        The sampling rate of arrays in Hz, with ``ch_names``.
    line_freq : float | False | None
        The power line's frequency, as in :func:`mne_gram.preprocess`.
    reference : "average" | None
        As in :func:`mne_gram.preprocess`.
    missing : "raise" | "harmonize"
        What to do about channels that later trials lack.
    align : str | None
        The column of the epochs' metadata that names the person.
    """

    info: object = None
    ch_names: object = None
    sfreq: object = None
    line_freq: object = None
    reference: object = "average"
    missing: str = "raise"
    align: str | None = None
    #: What was learnt: the names and montage indices of the channels, and the line's frequency.
    names: list = field(default=None, init=False)
    channels: np.ndarray = field(default=None, init=False)
    line: object = field(default=None, init=False)

    def fit_read(self, x):
        """Read trials and remember their channels and the power line's frequency.

        Parameters
        ----------
        x : mne.Epochs | list | array, shape (n_trials, n_channels, n_times)
            The trials.

        Returns
        -------
        trials : Trials
            What they hold.
        """
        _check_option("missing", self.missing, ("raise", "harmonize"))
        _check_option("reference", self.reference, ("average", None))
        recorded = self._open(x)
        self.channels = match_channels(recorded.info, verbose="error").indices
        self.names = list(recorded.info["ch_names"])
        self.line = _choose_line(recorded, self.line_freq)
        if recorded.is_described:
            longest = max(recorded.blocks, key=lambda block: block.data.shape[2]).data
            warn_of_info(longest, recorded.info, self.line, self.reference)
        return self._prepare(recorded)

    def read(self, x):
        """Read trials of the channels that were met before.

        Parameters
        ----------
        x : mne.Epochs | list | array, shape (n_trials, n_channels, n_times)
            The trials.

        Returns
        -------
        trials : Trials
            What they hold, in the order of channels of the first ones.
        """
        return self._prepare(self._arrange(self._open(x)))

    def _open(self, x):
        """Return trials in volts, of channels that are good."""
        recorded = _read(x, self.info, self.ch_names, self.sfreq)
        if self.align is not None:
            recorded = recorded._replace(people=_read_people(x, self.align))
        sfreq = recorded.info["sfreq"]
        shortest = min(block.data.shape[2] for block in recorded.blocks)
        if round(shortest * SFREQ / sfreq) < PATCH:
            raise ValueError(
                f"The shortest epoch has {shortest} samples, {shortest / sfreq:.3g} s at "
                f"{sfreq:g} Hz. The model sees whole seconds: give epochs of at least 1 s."
            )
        return recorded

    def _arrange(self, recorded):
        """Put the channels into the order that was learnt; add those that lack, or refuse."""
        found = list(recorded.info["ch_names"])
        if found == self.names:
            return recorded
        entries = match_channels(recorded.info, on_missing="ignore", verbose="error").indices
        places = {int(entry): k for k, entry in enumerate(entries) if entry >= 0}
        order = [
            found.index(name) if name in found else places.get(int(entry))
            for name, entry in zip(self.names, self.channels, strict=True)
        ]
        lacking = [name for name, k in zip(self.names, order, strict=True) if k is None]
        if not lacking:
            blocks = [Block(rows, data[:, order]) for rows, data in recorded.blocks]
            info = mne.pick_info(recorded.info, order, verbose="error")
            return recorded._replace(blocks=blocks, info=info)
        if self.missing == "raise":
            raise ValueError(
                f"{len(lacking)} of the {len(self.names)} channels that the model was fitted to "
                f"are not among the good EEG channels of X: {', '.join(lacking)}. Fit the model "
                "without them (epochs.pick), or let them be estimated with missing='harmonize'."
            )
        wanted = [CH_NAMES[entry] for entry in self.channels]
        blocks = []
        for rows, data in recorded.blocks:
            epochs = harmonize(
                to_epochs(data, recorded.info), wanted, method="spatial", copy=False,
                verbose="error",
            )  # fmt: skip
            blocks.append(Block(rows, epochs.get_data(copy=False)))
        return recorded._replace(blocks=blocks, info=epochs.info)

    def _prepare(self, recorded):
        """Filter, resample, re-reference and scale."""
        blocks = []
        for rows, data in recorded.blocks:
            _check_finite(data, recorded.info["ch_names"])
            _check_units(data, recorded)
            data = to_network(data, recorded.info, self.line, self.reference)
            blocks.append(Block(rows, data))
        return Trials(blocks, list(self.names), self.channels, recorded.people)


# ---------------------------------------------------------------------------------------------
# What may be given


def _read(x, info, ch_names, sfreq):
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
    return _Recorded(blocks, info, is_described)


def _read_people(x, column):
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
    return _Recorded(blocks, info, True)


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


def _choose_line(recorded, line_freq):
    """Return the power line's frequency that is taken out of all trials, or None."""
    _validate_type(line_freq, ("numeric", bool, None), "line_freq")
    if line_freq is False:
        return None
    if line_freq is True or (line_freq is not None and line_freq <= 0):
        raise ValueError(f"line_freq must be a positive frequency, False or None, got {line_freq}.")
    if line_freq is None:
        line_freq = recorded.info["line_freq"]
    if line_freq is None:
        data = max(recorded.blocks, key=lambda block: block.data.size).data
        if not np.isfinite(data).all():
            return None  # which is refused later, with the names of the channels
        line_freq = find_line_freq(data, recorded.info["sfreq"])
        if line_freq is not None:
            warn(
                f"Found a peak of the power line at {line_freq:g} Hz, which is taken out. Give "
                "line_freq to say what it is, False to leave it in."
            )
    return line_freq


def _check_finite(data, ch_names):
    """Refuse NaN, a trial at a time: a bad channel would be bad in all of them."""
    finite = np.isfinite(data.sum(axis=2))
    if finite.all():
        return
    names = [name for name, ok in zip(ch_names, finite.all(axis=0), strict=True) if not ok]
    n_bad = int((~finite.all(axis=1)).sum())
    raise ValueError(
        f"Found NaN or infinity in {n_bad} of {len(data)} epochs, in {', '.join(names)}. Drop "
        "these epochs, mark the channels as bad in info['bads'], or repair them first with "
        "mne_gram.restore."
    )


def _check_units(data, recorded):
    """Refuse what cannot be volts, and say how to mend it."""
    try:
        check_units(data[:: max(1, data.size // _N_SAMPLES)])
    except ValueError as error:
        if recorded.is_described:
            raise
        raise ValueError(
            f"{str(error).split('. ')[0]}. X has to be in volts: multiply microvolts, which MOABB "
            "gives unless return_epochs=True, by 1e-6."
        ) from None
