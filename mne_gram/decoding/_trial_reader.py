# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Read and preprocess trials, always with the channels of the first ones."""

from dataclasses import dataclass, field

import mne
import numpy as np
from mne.utils import _check_option, _validate_type

from .._marks import find_broken
from .._strays import describe_strays, find_strays, measure_levels
from ..models import PATCH_LENGTH
from ..montage import CH_NAMES, check_matched, describe_missing, match_channels
from ..preprocessing import SFREQ, check_units, find_line_freq, measure_level
from ..restoration import harmonize
from ._input_formats import UNITS, TrialStack, read_input
from ._subjects import read_subjects
from ._trial_filter import preprocess_trials, to_epochs, warn_of_info, warn_once

_N_SAMPLES = 2**20  # used to check the unit
_ROWS = (
    "X has two axes, so its rows were taken as flattened trials: pass a single trial (n_channels, "
    "n_times) as X[np.newaxis]."
)
_NEAR = 0.1  # the deviation from 1 of what is taken as scaled to 1, as a subset of it may be


@dataclass(frozen=True)
class Trials:
    """Trials at 200 Hz in 0.1 mV."""

    stacks: list  #: of TrialStack, float32
    ch_names: list
    channels: np.ndarray  #: montage indices, (n_channels,)
    subjects: np.ndarray | None = None  #: the subject of each trial, (n_trials,)

    def __len__(self):
        return sum(len(stack.rows) for stack in self.stacks)

    def map(self, function):
        """Apply a function (n, n_channels, n_times) -> (n, ...) to all trials, (n_trials, ...)."""
        parts = [np.asarray(function(stack.data)) for stack in self.stacks]
        values = np.empty((len(self), *parts[0].shape[1:]), parts[0].dtype)
        for stack, part in zip(self.stacks, parts, strict=True):
            values[stack.rows] = part
        return values


def whole_seconds(x):
    """Return trials (..., n_times) at 200 Hz up to the end of their last whole second."""
    return x[..., : x.shape[-1] // PATCH_LENGTH * PATCH_LENGTH]


@dataclass
class TrialReader:
    """Reads trials; the parameters are those of `GramFeatures`."""

    info: object = None
    ch_names: object = None
    sfreq: object = None
    unit: str = "V"
    line_freq: object = None
    reference: object = "average"
    missing: str = "raise"
    align: str | None = None
    #: Set by `fit_read`: names and montage indices of the channels, and the line frequency.
    names: list = field(default=None, init=False)
    channels: np.ndarray = field(default=None, init=False)
    line: object = field(default=None, init=False)
    #: Set by `fit_read`, if it applies: seconds of all trials, and columns of flattened ones.
    duration: float | None = field(default=None, init=False)
    n_columns: int | None = field(default=None, init=False)

    def fit_read(self, x, groups=None):
        """Read trials; remember their channels and the power line frequency."""
        _check_option("missing", self.missing, ("raise", "harmonize"))
        _check_option("reference", self.reference, ("average", None))
        self.duration = None
        trials = self._open(x, groups)
        _warn_of_scaling(trials)
        self.n_columns, self.duration = trials.n_columns, _find_duration(trials)
        strays = _find_strays(trials)
        if strays:
            warn_once(describe_strays(strays))
            trials = _pick(trials, np.flatnonzero(~np.isin(trials.info["ch_names"], strays)))
        trials, self.channels = _leave_out_unmatched(trials)
        _check_samples(trials)
        self.names = list(trials.info["ch_names"])
        self.line = _choose_line(trials, self.line_freq)
        if trials.has_filters:
            longest = max(trials.stacks, key=lambda stack: stack.data.shape[2]).data
            warn_of_info(longest, trials.info, self.line, self.reference)
        return self._prepare(trials)

    def read(self, x, groups=None):
        """Read trials with the channels of those in `fit_read`, in the same order."""
        trials = self._arrange(self._open(x, groups))
        strays = _find_strays(trials)
        if strays:
            warn_once(
                "The features are not reliable, because the signals are far larger than those of "
                f"the other EEG channels, unlike in the trials of fit: {', '.join(strays)}. Mark "
                "them in info['bads'] and set missing='harmonize', or restore them first with "
                "mne_gram.restore."
            )
        _check_samples(trials)
        return self._prepare(trials)

    def _open(self, x, groups):
        """Return the good EEG channels as `InputTrials`."""
        trials = read_input(x, self.info, self.ch_names, self.sfreq, self.unit)
        if self.align is not None:
            trials = trials._replace(subjects=read_subjects(x, self.align, groups))
        self._check_rows(trials)
        sfreq = trials.info["sfreq"]
        shortest = min(stack.data.shape[2] for stack in trials.stacks)
        if round(shortest * SFREQ / sfreq) < PATCH_LENGTH:
            raise ValueError(
                f"The shortest epoch has {shortest} samples, {shortest / sfreq:.3g} s at "
                f"{sfreq:g} Hz. The model takes whole seconds: pass epochs of at least 1 s."
                + (f" {_ROWS}" if trials.n_columns else "")
            )
        return trials

    def _check_rows(self, trials):
        """Raise if flattened trials last longer or shorter than those of `fit_read`."""
        if trials.n_columns is None or self.duration is None:
            return
        duration = _find_duration(trials)
        if not np.isclose(duration, self.duration):
            raise ValueError(
                f"The trials of X last {duration:.3g} s, but those of fit {self.duration:.3g} s. "
                + _ROWS
            )

    def _arrange(self, trials):
        """Put the channels into the order of the first trials; estimate missing ones, or raise."""
        found = list(trials.info["ch_names"])
        if found == self.names:
            return trials
        entries = match_channels(trials.info, on_missing="ignore", verbose="error").indices
        places = {int(entry): k for k, entry in enumerate(entries) if entry >= 0}
        order = [
            found.index(name) if name in found else places.get(int(entry))
            for name, entry in zip(self.names, self.channels, strict=True)
        ]
        missing = [name for name, k in zip(self.names, order, strict=True) if k is None]
        if not missing:
            return _pick(trials, order)
        if self.missing == "raise":
            raise ValueError(
                f"{len(missing)} of the {len(self.names)} channels that the model was fitted to "
                f"are not among the good EEG channels of X: {', '.join(missing)}. Fit the model "
                "without them (epochs.pick), or have them estimated with missing='harmonize'."
            )
        wanted = [CH_NAMES[entry] for entry in self.channels]
        stacks = []
        for rows, data, _ in trials.stacks:
            epochs = to_epochs(data, trials.info)
            epochs = harmonize(epochs, wanted, method="spatial", copy=False, verbose="error")
            stacks.append(TrialStack(rows, epochs.get_data(copy=False)))
        return trials._replace(stacks=stacks, info=epochs.info)

    def _prepare(self, trials):
        """Filter, resample, re-reference and scale; return `Trials`."""
        stacks = []
        for rows, data, _ in trials.stacks:
            data = preprocess_trials(data, trials.info, self.line, self.reference)
            stacks.append(TrialStack(rows, data))
        return Trials(stacks, list(self.names), self.channels, trials.subjects)


def _pick(trials, channels):
    """Return trials with some channels (indices), in that order."""
    stacks = [stack.pick(channels) for stack in trials.stacks]
    info = mne.pick_info(trials.info, channels, verbose="error")
    return trials._replace(stacks=stacks, info=info)


def _leave_out_unmatched(trials):
    """Leave out channels that the model does not know; return trials and montage indices."""
    cmap = match_channels(trials.info, on_missing="ignore", verbose="error")
    matched = check_matched(cmap)
    if not matched.all():
        warn_once(f"{describe_missing(cmap)} They are left out.")
        trials = _pick(trials, np.flatnonzero(matched))
    return trials, cmap.indices[matched]


def _find_strays(trials):
    """Return the names of channels that are far too large to be EEG."""
    levels = measure_levels(x for stack in trials.stacks for x in stack.good)
    names = np.array(trials.info["ch_names"])
    return names[find_strays(trials.info, np.arange(len(names)), levels)].tolist()


def _choose_line(trials, line_freq):
    """Return the power line frequency to remove from all trials, or None."""
    _validate_type(line_freq, ("numeric", bool, None), "line_freq")
    if line_freq is False:
        return None
    if line_freq is True or (line_freq is not None and line_freq <= 0):
        raise ValueError(f"line_freq must be a positive frequency, False or None, got {line_freq}.")
    if line_freq is None:
        line_freq = trials.info["line_freq"]
    if line_freq is None:
        data = max(trials.stacks, key=lambda stack: stack.data.size).good
        line_freq = find_line_freq(data, trials.info["sfreq"])
        if line_freq is not None:
            warn_once(
                f"Found a power line peak at {line_freq:g} Hz, which is removed. Set line_freq to "
                "the frequency, or to False to keep it."
            )
    return line_freq


def _check_samples(trials):
    """Raise if good samples are not in volts, or broken."""
    for stack in trials.stacks:
        _check_units(stack.good, trials.unit)
        _check_finite(stack.data, trials.info["ch_names"])


def _check_finite(data, ch_names):
    """Raise if there are broken samples in data (n_trials, n_channels, n_times)."""
    broken = find_broken(np.maximum(data.max(axis=2), -data.min(axis=2)))
    if not broken.any():
        return
    names = np.array(ch_names)[broken.any(axis=0)]
    n_bad = int(broken.any(axis=1).sum())
    raise ValueError(
        f"Found NaN, infinite or impossible samples (above 1 kV) in {n_bad} of {len(data)} epochs, "
        f"in {', '.join(names)}. Drop these epochs, mark the channels as bad in info['bads'], or "
        "restore them first with mne_gram.restore."
    )


def _find_duration(trials):
    """Return the duration of the trials in seconds, or None if they differ."""
    lengths = {stack.data.shape[2] for stack in trials.stacks}
    return lengths.pop() / trials.info["sfreq"] if len(lengths) == 1 else None


_SCALED = (
    "If X was scaled before (mne.decoding.Scaler, StandardScaler), its unit is lost: leave the "
    "scaling out, which is not needed."
)
_LARGER = {"V": "uV", "mV": "uV", "uV": "nV"}  # the likely unit of values that are too large
_SMALLER = {"mV": "V", "uV": "V", "nV": "uV"}
_NAMES = {"V": "volts", "uV": "microvolts, as MOABB gives them", "nV": "nanovolts"}


def _check_units(data, unit):
    """Raise if data in volts, read from arrays in a unit (None: Epochs), cannot be in volts."""
    data = data[:: max(1, data.size // _N_SAMPLES)]
    try:
        check_units(data)
    except ValueError as error:
        level = measure_level(data)
        other = (_LARGER if level > 1e-2 else _SMALLER).get(unit)
        if other is None or level == 0:
            raise
        raise ValueError(
            f"{str(error).split('. ')[0]}, so X is not in {unit}. Set unit={other!r} if it is in "
            f"{_NAMES[other]}. {_SCALED}"
        ) from None


def _warn_of_scaling(trials):
    """Warn of arrays in which each channel has a variance, or a quartile range, of one."""
    if UNITS.get(trials.unit, 1.0) == 1.0:
        return  # values near 1 V raise an error
    step = max(1, sum(stack.data.size for stack in trials.stacks) // _N_SAMPLES)
    parts = [stack.data[..., ::step].swapaxes(0, 1) for stack in trials.stacks]
    data = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    data = data[data.any(axis=1)] / UNITS[trials.unit]
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = data.std(axis=1), np.subtract(*np.percentile(data, [75, 25], axis=1))
    if any(len(size) and np.all(np.abs(size - 1) < _NEAR) for size in sizes):
        warn_once(
            "All channels of X have a standard deviation, or an interquartile range, of 1 "
            f"{trials.unit}. {_SCALED}"
        )
