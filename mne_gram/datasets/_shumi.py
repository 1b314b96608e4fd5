# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""SHU-MI: imagery of the left or the right hand over several sessions."""

import random
import re
from functools import partial

import mne
import numpy as np
from mne.utils import _validate_type, verbose

from ..preprocessing import check_units
from ._recordings import (
    Recording,
    apply_transform,
    assign_parts,
    check_subjects,
    check_transform,
    choose_recordings,
    cut_share,
    describe,
    list_files,
    name_some,
    read_each,
)

LABELS = ("left", "right")  # numbers 1 and 2 in the files
SFREQ, N_CHANNELS, LENGTH = 250.0, 32, 4.0
BAND = (0.5, 40.0)  # Hz, in which the trials are delivered
SEED = 214
_NAME = re.compile(r"sub-(\w+?)_ses-(\w+?)_task_motorimagery_eeg")


def split_shumi(subjects):
    """Split the subjects of SHU-MI as published.

    Parameters
    ----------
    subjects : list of str
        All subjects.

    Returns
    -------
    parts : dict
        Lists of subjects: sorted, then shuffled as Python's ``random.seed(214)`` has it, the
        first 60 % are ``"train"``, the next 20 % ``"test"`` and the rest ``"validation"``. The
        global state of the module ``random`` is left alone.
    """
    subjects = check_subjects(subjects)
    random.Random(SEED).shuffle(subjects)
    train, test, validation = cut_share(subjects, 60, 80)
    return dict(train=train, validation=validation, test=test)


@verbose
def read_shumi(
    root,
    *,
    ch_names=None,
    unit=1e-6,
    subjects=None,
    part=None,
    transform=None,
    verbose=None,
):
    """Read SHU-MI, one session at a time.

    Parameters
    ----------
    root : path-like
        The folder of ``sub-001_ses-01_task_motorimagery_eeg.mat``, and so on.
    ch_names : list of str | None
        Names of the 32 channels in the order of the arrays, which the files do not hold. None
        takes them from the column ``name`` of the file ``*_channels.tsv`` in ``root``.
    unit : float
        What the numbers in the files count in, in volts.
    subjects : list of str | None
        Whose sessions to read; None for all.
    part : "train" | "validation" | "test" | None
        The part of :func:`split_shumi` to read; None for all.
    transform : callable | None
        Applied to the trials of each session: takes and returns Epochs.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    epochs : iterator of mne.Epochs
        Those of one session after another: trials of 4 s at 250 Hz, in volts, in the reference
        in which they are delivered, loaded. The metadata tell ``subject, session, run, part,
        file, trial, label``.

    Raises
    ------
    FileNotFoundError
        If there are no recordings, or no list of channels.
    ValueError
        If a file is not of the form expected.

    Notes
    -----
    The trials are delivered in 0.5-40 Hz, which the info says, so that
    :func:`mne_gram.preprocess` with the settings of ``RECIPES["shumi"]`` only resamples them,
    and warns that the band is narrower than the model's.
    """
    _validate_type(unit, "numeric", "unit")
    check_transform(transform)
    recordings = choose_recordings(_list_recordings(root), subjects, part)
    if ch_names is None:
        ch_names = _read_names(root)
    ch_names = list(ch_names)
    if len(ch_names) != N_CHANNELS or len(set(ch_names)) != N_CHANNELS:
        raise ValueError(
            f"There must be {N_CHANNELS} different channel names, got {len(ch_names)}: "
            f"{name_some(ch_names, 40)}."
        )
    read = partial(_read_recording, ch_names=ch_names, unit=unit, transform=transform)
    return read_each(recordings, read, verbose)


def _read_names(root):
    """Return the channel names that a table beside the files lists."""
    try:
        paths = list_files(root, "*channels.tsv", "a table of channels")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The files hold no channel names, and there is no *_channels.tsv in {root}. Give "
            f"ch_names, the {N_CHANNELS} names in the order of the arrays."
        ) from None
    tables = {_read_column(path) for path in paths}
    if len(tables) > 1:
        raise ValueError(f"The tables of channels in {root} do not agree. Give ch_names.")
    return tables.pop()


def _read_column(path):
    """Return the column ``name`` of a table."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    if not lines or "name" not in lines[0]:
        raise ValueError(f"{path} has no column called name, which lists the channels.")
    column = lines[0].index("name")
    return tuple(line[column].strip() for line in lines[1:])


def _list_recordings(root):
    """List the sessions with the part that they are of."""
    recordings = []
    for path in list_files(root, "*.mat", "sub-001_ses-01_task_motorimagery_eeg.mat, and so on"):
        found = _NAME.fullmatch(path.stem)
        if found is None:
            raise ValueError(
                f"The name of {path.name} is not sub-SUBJECT_ses-SESSION_task_motorimagery_eeg.mat."
            )
        recordings.append(Recording(path, found[1], session=found[2]))
    return assign_parts(recordings, split_shumi([recording.subject for recording in recordings]))


def _load(path):
    """Return trials and labels of a file, after refusing what is not of the form expected."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["data", "labels"])
    except Exception as exc:  # a broken file makes the reader raise whatever it trips over
        raise ValueError(f"{path} cannot be read as a .mat file: {exc}") from exc
    lost = [name for name in ("data", "labels") if name not in content]
    if lost:
        raise ValueError(f"{path} has no variable {' and no '.join(lost)}.")
    data, labels = np.asarray(content["data"], float), np.ravel(content["labels"])
    n_times = round(SFREQ * LENGTH)
    if data.ndim != 3 or data.shape[1:] != (N_CHANNELS, n_times):
        raise ValueError(
            f"data of {path.name} must have the shape (n_trials, {N_CHANNELS}, {n_times}), got "
            f"{data.shape}."
        )
    if len(labels) != len(data):
        raise ValueError(f"{path.name} has {len(data)} trials and {len(labels)} labels.")
    unknown = sorted({*labels.tolist()} - {1, 2})
    if unknown:
        raise ValueError(f"{path.name} has labels {unknown}, expected 1 (left) and 2 (right).")
    return data, labels.astype(int)


def _read_recording(recording, ch_names, unit, transform):
    """Return the trials of one session."""
    data, labels = _load(recording.path)
    data = data * unit
    try:
        check_units(data)
    except ValueError as exc:
        raise ValueError(f"With unit={unit:g}, {recording.path.name}: {exc}") from None
    info = mne.create_info(ch_names, SFREQ, "eeg")
    with info._unlock():
        info["highpass"], info["lowpass"] = BAND
    n_times = data.shape[-1]
    rows = dict(trial=np.arange(1, len(data) + 1), label=[LABELS[number - 1] for number in labels])
    epochs = mne.EpochsArray(
        data,
        info,
        np.column_stack([n_times * np.arange(len(data)), np.zeros(len(data), int), labels]),
        event_id=dict(zip(LABELS, (1, 2), strict=True)),
        metadata=describe(recording, rows),
        on_missing="ignore",
    )
    return apply_transform(epochs, transform, mne.BaseEpochs)
