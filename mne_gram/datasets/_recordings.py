# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the readers share: recordings are found, assigned to parts, and read one at a time."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mne
from mne.utils import _check_option, _validate_type, logger, verbose

from ..montage import match_channels, settle_names

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class RecordingFile:
    """A recording on disk, not yet read, and its part in the published split."""

    path: Path
    subject: str
    session: str = "n/a"
    run: str = "n/a"
    part: str = "n/a"


def list_files(root, pattern, expected):
    """Return the sorted paths that match a pattern of `pathlib.Path.rglob`.

    Raises FileNotFoundError, with the files expected, if there are none.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"The folder {root} does not exist. Give the folder of the data set."
        )
    paths = sorted(root.rglob(pattern))
    if not paths:
        raise FileNotFoundError(f"Found no {pattern} in {root}; expected {expected}.")
    return paths


def name_some(names, most=6):
    """Return the first names for a message, and how many more there are."""
    names = list(map(str, names))
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def assign_parts(recordings, split):
    """Return recordings with the part of their subject.

    ``split`` returns lists of subjects by the name of their part, given all subjects.
    """
    parts = split([recording.subject for recording in recordings])
    part_of = {subject: part for part, subjects in parts.items() for subject in subjects}
    return [replace(recording, part=part_of[recording.subject]) for recording in recordings]


def choose_recordings(recordings, subjects=None, part=None):
    """Return the recordings of some subjects, or of one part of the split; None for all.

    Raises ValueError if a subject has no recording, or no recording is left.
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
    """Raise if a transform is neither callable nor None."""
    if transform is not None and not callable(transform):
        raise TypeError(
            "transform must be a function that takes and returns a recording, or None, got "
            f"{type(transform).__name__}."
        )


def apply_transform(raw, transform, kind=mne.io.BaseRaw):
    """Return a transformed recording, which has to be of the same kind."""
    if transform is None:
        return raw
    changed = transform(raw)
    if not isinstance(changed, kind):
        raise TypeError(
            f"transform must return a recording of type {kind.__name__}, got "
            f"{type(changed).__name__}."
        )
    return changed


def read_part(recordings, read, *, subjects, part, verbose, transform, **options):
    """Return an iterator over the Epochs of the recordings of some subjects or of one part.

    ``read`` takes a RecordingFile, ``transform`` and the options.
    """
    recordings = choose_recordings(recordings, subjects, part)
    return read_each(recordings, partial(read, transform=transform, **options), verbose)


def read_each(recordings, read, verbose=None):
    """Yield the Epochs that a function returns for each RecordingFile; none are kept."""
    for recording in recordings:
        yield _read_one(recording, read, verbose=verbose)


@verbose
def _read_one(recording, read, *, verbose=None):
    logger.info(f"Reading {recording.path.name}")
    return read(recording)


def find_entries(ch_names):
    """Return the montage entry of each channel by its name alone, None if it has none."""
    return {
        name: entry if how in ("exact", "name") else None
        for name, (entry, how, _) in zip(ch_names, settle_names(ch_names), strict=True)
    }


def take_channels(raw, wanted, place):
    """Pick and order channels by montage entry, and rename them to it; in place.

    ``place`` is the recording, for the message. Raises ValueError if channels are missing.
    """
    names = {entry: name for name, entry in find_entries(raw.ch_names).items() if entry}
    missing = [entry for entry in wanted if entry not in names]
    if missing:
        raise ValueError(
            f"{place} has no channel {', '.join(missing)}; its channels are "
            f"{name_some(raw.ch_names, 40)}. All of {', '.join(wanted)} are expected."
        )
    kept = [names[entry] for entry in wanted]
    raw.pick(kept)  # in this order
    raw.rename_channels(dict(zip(kept, wanted, strict=True)))
    raw.set_channel_types(dict.fromkeys(wanted, "eeg"), on_unit_change="ignore")
    return raw


def keep_standard(raw, place):
    """Pick the channels that have a montage entry, and rename them to it; in place.

    ``place`` is the recording, for messages. Raises ValueError if there are none.
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
        logger.info(f"Left out channels of {place} without a montage entry: {name_some(others)}")
    raw.pick(list(entries))
    return raw.rename_channels(entries)


def describe(recording, rows):
    """Return the metadata of windows: the columns of a dict, after those of the recording."""
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
    """Split a list at cumulative shares in percent, rounded down; return the parts."""
    # In integers, as int(0.6 * 5) is 3 only by luck.
    cuts = [0, *(len(subjects) * share // 100 for share in shares), len(subjects)]
    return [subjects[start:stop] for start, stop in zip(cuts[:-1], cuts[1:], strict=True)]


def check_subjects(subjects, name="subjects"):
    """Return the sorted subjects, or raise if there are none."""
    if isinstance(subjects, str):
        raise TypeError(f"{name} must be a list of subjects, got the text {subjects!r}.")
    subjects = sorted(set(subjects))
    if not subjects:
        raise ValueError(f"{name} is empty: there are no subjects to split.")
    return subjects
