# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The recordings of a data set: found on disk, assigned to parts, read one at a time."""

from dataclasses import dataclass, replace
from pathlib import Path

import mne
from mne.utils import _check_option, _validate_type, logger, verbose

from ..montage import match_channels, settle_names

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Recording:
    """A recording that has not been read.

    Attributes
    ----------
    path : Path
        The file.
    subject, session, run : str
        Who, and which of the person's recordings.
    part : str
        What it serves for in the published split.
    """

    path: Path
    subject: str
    session: str = "n/a"
    run: str = "n/a"
    part: str = "n/a"


def list_files(root, pattern, expected):
    """List files of a data set, refusing a folder without any.

    Parameters
    ----------
    root : path-like
        The folder.
    pattern : str
        What the files are called, as for `pathlib.Path.rglob`.
    expected : str
        What should be there, for the message.

    Returns
    -------
    paths : list of Path
        Sorted by their place.

    Raises
    ------
    FileNotFoundError
        If the folder is not there, or holds no such file.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"The folder {root} is not there. Give the data set's folder.")
    paths = sorted(root.rglob(pattern))
    if not paths:
        raise FileNotFoundError(f"Found no {pattern} in {root}; expected {expected}.")
    return paths


def name_some(names, most=6):
    """Return names for a message, not more than a reader wants to see."""
    names = list(map(str, names))
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def assign_parts(recordings, parts):
    """Return recordings with the part that their subject is in.

    Parameters
    ----------
    recordings : list of Recording
        Recordings.
    parts : dict
        Lists of subjects by the name of their part.

    Returns
    -------
    recordings : list of Recording
        The same ones, in order.
    """
    part_of = {subject: part for part, subjects in parts.items() for subject in subjects}
    return [replace(recording, part=part_of[recording.subject]) for recording in recordings]


def choose_recordings(recordings, subjects=None, part=None):
    """Return the recordings of some subjects, or of one part of the split.

    Parameters
    ----------
    recordings : list of Recording
        Recordings.
    subjects : list of str | None
        Subjects; None for all.
    part : "train" | "validation" | "test" | None
        Part of the published split; None for all.

    Returns
    -------
    recordings : list of Recording
        Those asked for, in order.

    Raises
    ------
    ValueError
        If a subject has no recording, or nothing is left.
    """
    _validate_type(subjects, (list, tuple, set, None), "subjects", "a list of str or None")
    _check_option("part", part, (None, *PARTS))
    known = sorted({recording.subject for recording in recordings})
    if subjects is not None:
        unknown = sorted({str(subject) for subject in subjects} - {*known})
        if unknown:
            raise ValueError(
                f"There is no recording of subject {', '.join(unknown)}; the subjects are "
                f"{name_some(known)}."
            )
        wanted = {str(subject) for subject in subjects}
        recordings = [recording for recording in recordings if recording.subject in wanted]
    if part is not None:
        recordings = [recording for recording in recordings if recording.part == part]
    if not recordings:
        among = f" among {len(known)} subjects" if part is not None else ""
        raise ValueError(f"No recording is left: subjects={subjects}, part={part!r}{among}.")
    return recordings


def check_transform(transform):
    """Refuse what cannot be called on a recording."""
    if transform is not None and not callable(transform):
        raise TypeError(
            "transform must be a function of a recording that returns one, or None, got "
            f"{type(transform).__name__}."
        )


def apply_transform(raw, transform, kind=mne.io.BaseRaw):
    """Return what a user's function makes of a recording."""
    if transform is None:
        return raw
    changed = transform(raw)
    if not isinstance(changed, kind):
        raise TypeError(
            f"transform must return what it is given, {kind.__name__}, got "
            f"{type(changed).__name__}."
        )
    return changed


def read_each(recordings, read, verbose=None):
    """Read recordings one at a time.

    Parameters
    ----------
    recordings : list of Recording
        Which.
    read : callable
        Takes a Recording and returns Epochs.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Yields
    ------
    epochs : mne.Epochs
        Those of one recording. None of them is kept.
    """
    for recording in recordings:
        yield _read_one(recording, read, verbose=verbose)


@verbose
def _read_one(recording, read, *, verbose=None):
    logger.info(f"Reading {recording.path.name}")
    return read(recording)


def take_channels(raw, wanted, place):
    """Keep some electrodes of a recording, by name, under their standard names; in place.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording.
    wanted : list of str
        Entries of the montage, in the order that they are to have.
    place : str
        Which recording, for the message.

    Returns
    -------
    raw : mne.io.Raw
        The same.

    Raises
    ------
    ValueError
        If some are missing.
    """
    names = {}
    for name, (entry, how, _) in zip(raw.ch_names, settle_names(raw.ch_names), strict=True):
        if entry is not None and how in ("exact", "name"):
            names[entry] = name
    missing = [entry for entry in wanted if entry not in names]
    if missing:
        raise ValueError(
            f"{place} has no channel {', '.join(missing)}; its channels are "
            f"{name_some(raw.ch_names, 40)}. All of {', '.join(wanted)} are expected."
        )
    kept = [names[entry] for entry in wanted]
    raw.pick(kept)  # which puts them into this order
    raw.rename_channels(dict(zip(kept, wanted, strict=True)))
    raw.set_channel_types(dict.fromkeys(wanted, "eeg"), on_unit_change="ignore")
    return raw


def keep_standard(raw, place):
    """Keep the channels that have an entry in the montage, under its names; in place.

    Parameters
    ----------
    raw : mne.io.Raw
        A recording of EEG channels.
    place : str
        Which recording, for messages.

    Returns
    -------
    raw : mne.io.Raw
        The same.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = match_channels(raw.info, on_missing="ignore")
    entries = {
        name: entry
        for name, entry in zip(found.ch_names, found.entries, strict=True)
        if entry is not None
    }
    if not entries:
        raise ValueError(
            f"None of the channels of {place} has an entry in the montage of the model: "
            f"{name_some(raw.ch_names, 40)}. Rename them with raw.rename_channels, or give "
            "standard_names=False."
        )
    others = [name for name in raw.ch_names if name not in entries]
    if others:
        logger.info(f"Left out of {place}, without an entry in the montage: {name_some(others)}")
    raw.pick(list(entries))
    return raw.rename_channels(entries)


def describe(recording, rows):
    """Return the metadata of a recording's windows.

    Parameters
    ----------
    recording : Recording
        The recording.
    rows : dict
        Columns of one value a window.

    Returns
    -------
    metadata : pandas.DataFrame
        With ``subject, session, run, part, file`` before these columns.
    """
    import pandas as pd

    frame = pd.DataFrame(rows)
    about = dict(
        subject=recording.subject,
        session=recording.session,
        run=recording.run,
        part=recording.part,
        file=recording.path.name,
    )
    for place, (name, value) in enumerate(about.items()):
        frame.insert(place, name, value)
    return frame


def cut_share(subjects, *shares):
    """Cut a list of subjects after some shares of it, in whole percent.

    Parameters
    ----------
    subjects : list
        Subjects in the order of the split.
    *shares : int
        Where to cut, in percent of the whole; a cut between two subjects goes down.

    Returns
    -------
    pieces : list of list
        One piece more than cuts.
    """
    # In integers: int(0.6 * 5) happens to be 3, but nobody wants to rely on that.
    cuts = [0, *(len(subjects) * share // 100 for share in shares), len(subjects)]
    return [subjects[start:stop] for start, stop in zip(cuts[:-1], cuts[1:], strict=True)]


def check_subjects(subjects, name="subjects"):
    """Return subjects as a sorted list, refusing what is no list of some."""
    if isinstance(subjects, str):
        raise TypeError(f"{name} must be a list of subjects, got the text {subjects!r}.")
    subjects = sorted(set(subjects))
    if not subjects:
        raise ValueError(f"{name} is empty: there is nobody to split.")
    return subjects
