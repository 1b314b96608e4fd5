# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Whatever holds trials, brought into the one form that features are computed from."""

from dataclasses import dataclass, field

import mne
import numpy as np
from mne.utils import _check_option, _validate_type, warn

from ..montage import CH_NAMES, match_channels
from ..preprocessing import SFREQ, check_units, find_line_freq
from ..restoration import harmonize
from ._given import Block, read_given, read_people
from ._trial_signals import to_epochs, to_network, warn_of_info

PATCH = 200  # samples in a patch, a second at 200 Hz
_N_SAMPLES = 2**20  # that tell the unit


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
        recorded = read_given(x, self.info, self.ch_names, self.sfreq)
        if self.align is not None:
            recorded = recorded._replace(people=read_people(x, self.align))
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
