# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""SHU-MI: motor imagery of the left or right hand over several sessions."""

import random
import re

import mne
import numpy as np
from mne.utils import _validate_type, verbose

from .._docs import fill_doc
from ..preprocessing import check_units
from ._recordings import (
    RecordingFile,
    apply_transform,
    assign_parts,
    check_subjects,
    check_transform,
    cut_share,
    describe,
    list_files,
    name_some,
    read_part,
)

LABELS = ("left", "right")  # numbers 1 and 2 in the files
SFREQ, N_CHANNELS, LENGTH = 250.0, 32, 4.0
BAND = (0.5, 40.0)  # Hz, of the trials as distributed
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
        Lists of subjects by part. After sorting, and shuffling as by Python's ``random`` with seed
        214, the first 60 % are ``"train"``, the next 20 % ``"test"`` and the rest
        ``"validation"``. The global state of ``random`` is not changed.
    """
    subjects = check_subjects(subjects)
    random.Random(SEED).shuffle(subjects)  # noqa: S311, the published split is no secret
    train, test, validation = cut_share(subjects, 60, 80)
    return dict(train=train, validation=validation, test=test)


@verbose
@fill_doc
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
        The folder that contains ``sub-001_ses-01_task_motorimagery_eeg.mat``, and so on.
    ch_names : list of str | None
        Names of the 32 channels, which are missing in the files, in the order of the arrays. None
        reads them from the column ``name`` of the file ``*_channels.tsv`` in ``root``.
    unit : float
        The unit of the values in the files, in volts.
    %(subjects_to_read)s
    part : "train" | "validation" | "test" | None
        The part of :func:`split_shumi` to read; None for all.
    transform : callable | None
        A function that takes and returns Epochs, applied to the trials of each session.
    %(verbose)s

    Returns
    -------
    epochs : iterator of mne.Epochs
        The trials of one session after the other: 4 s at 250 Hz, in volts, with the reference as
        distributed, loaded. The metadata columns are ``subject, session, run, part, file, trial,
        label``.

    Raises
    ------
    FileNotFoundError
        If there are no recordings, or no list of channels.
    ValueError
        If a file is not of the expected form.

    Notes
    -----
    The trials are distributed with a band of 0.5 to 40 Hz, which is noted in ``info``. So
    :func:`mne_gram.preprocess` with the settings of ``RECIPES["shumi"]`` only resamples them, and
    warns that the band is narrower than that of the model.
    """
    _validate_type(unit, "numeric", "unit")
    check_transform(transform)
    recordings = _list_recordings(root)
    if ch_names is None:
        ch_names = _read_names(root)
    ch_names = list(ch_names)
    if len(ch_names) != N_CHANNELS or len(set(ch_names)) != N_CHANNELS:
        raise ValueError(
            f"There must be {N_CHANNELS} different channel names, got {len(ch_names)}: "
            f"{name_some(ch_names, 40)}."
        )
    options = dict(subjects=subjects, part=part, transform=transform, verbose=verbose)
    return read_part(recordings, _read_recording, ch_names=ch_names, unit=unit, **options)


def _read_names(root):
    """Return the channel names in the table beside the files."""
    try:
        paths = list_files(root, "*channels.tsv", "a table of channels")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The files have no channel names, and there is no *_channels.tsv in {root}. Give "
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
    """List the sessions with their parts."""
    recordings = []
    for path in list_files(root, "*.mat", "sub-001_ses-01_task_motorimagery_eeg.mat, and so on"):
        found = _NAME.fullmatch(path.stem)
        if found is None:
            raise ValueError(
                f"The name of {path.name} is not sub-SUBJECT_ses-SESSION_task_motorimagery_eeg.mat."
            )
        recordings.append(RecordingFile(path, found[1], session=found[2]))
    return assign_parts(recordings, split_shumi)


def _load(path):
    """Return trials (n_trials, n_channels, n_times) and labels (n_trials,) of a file, checked."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["data", "labels"])
    except Exception as exc:  # a broken file can make the reader raise anything
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
