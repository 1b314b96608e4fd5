# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""SEED-V: five emotions while watching films."""

from pathlib import Path

import mne
import numpy as np
from mne.utils import _validate_type, verbose

from .._docs import fill_doc
from ._cutting import cut_epochs, list_windows, number_labels
from ._recordings import (
    RecordingFile,
    apply_transform,
    assign_parts,
    check_subjects,
    check_transform,
    cut_share,
    find_entries,
    list_files,
    read_part,
    take_channels,
)

LABELS = ("disgust", "fear", "sad", "neutral", "happy")  # numbers 0 to 4
LENGTH = 4.0  # seconds
N_CHANNELS = 62
_DROPPED = ("M1", "M2", "VEO", "HEO")


def _table(text):
    return tuple(map(int, text.split()))


# Start and end (seconds) and label number of each film, by session.
FILMS = {
    "1": (
        _table("30 132 287 555 773 982 1271 1628 1730 2025 2227 2435 2667 2932 3204"),
        _table("102 228 524 742 920 1240 1568 1697 1994 2166 2401 2607 2901 3172 3359"),
        _table("4 1 3 2 0 4 1 3 2 0 4 1 3 2 0"),
    ),
    "2": (
        _table("30 299 548 646 836 1000 1091 1392 1657 1809 1966 2186 2333 2490 2741"),
        _table("267 488 614 773 967 1059 1331 1622 1777 1908 2153 2302 2428 2709 2817"),
        _table("2 1 3 0 4 4 0 3 2 1 3 4 1 2 0"),
    ),
    "3": (
        _table("30 353 478 674 825 908 1200 1346 1451 1711 2055 2307 2457 2726 2888"),
        _table("321 418 643 764 877 1147 1284 1418 1679 1996 2275 2425 2664 2857 3066"),
        _table("2 1 3 0 4 4 0 3 2 1 3 4 1 2 0"),
    ),
}


def split_seedv(subjects):
    """Split the subjects of SEED-V as published.

    Parameters
    ----------
    subjects : list
        All subjects. Strings are sorted as such (``"10"`` before ``"2"``), numbers by value.

    Returns
    -------
    parts : dict
        Lists of subjects by part. In sorted order, the first 20 % are ``"test"``, the next 20 %
        ``"validation"`` and the rest ``"train"``.
    """
    test, validation, train = cut_share(check_subjects(subjects), 20, 40)
    return dict(train=train, validation=validation, test=test)


@verbose
@fill_doc
def read_seedv(root, *, subjects=None, part=None, transform=None, preload=False, verbose=None):
    """Read SEED-V, one session at a time.

    Parameters
    ----------
    root : path-like
        The folder that contains the NeuroScan files ``subject_session_date.cnt``.
    %(subjects_to_read)s
    part : "train" | "validation" | "test" | None
        The part of :func:`split_seedv`, with subjects as strings, to read; None for all.
    %(transform)s
    %(preload_windows)s
    %(verbose)s

    Returns
    -------
    epochs : iterator of mne.Epochs
        The windows of one session after the other, as returned by :func:`cut_seedv`.

    Raises
    ------
    FileNotFoundError
        If there are no recordings.
    ValueError
        If the name of a file is not of this form, or its recording not as expected.

    Notes
    -----
    For the published preprocessing, pass
    ``transform=functools.partial(mne_gram.preprocess, **RECIPES["seedv"].preprocessing)``.
    """
    check_transform(transform)
    options = dict(subjects=subjects, part=part, transform=transform, verbose=verbose)
    return read_part(_list_recordings(root), _read_recording, preload=preload, **options)


def _list_recordings(root):
    """List the sessions with their parts."""
    recordings = []
    for path in list_files(root, "*.cnt", "files subject_session_date.cnt"):
        subject, *others = path.stem.split("_")
        if len(others) != 2 or others[0] not in FILMS:
            raise ValueError(
                f"The name of {path.name} is not subject_session_date.cnt with a session of "
                f"{', '.join(FILMS)}."
            )
        recordings.append(RecordingFile(path, subject, session=others[0]))
    return assign_parts(recordings, split_seedv)


def _read_recording(recording, transform, preload):
    """Return the windows of one session."""
    raw = mne.io.read_raw_cnt(recording.path, preload=False)
    return _cut(raw, recording, transform, preload)


def cut_seedv(raw, subject, session, *, transform=None, preload=False):
    """Cut a session of SEED-V into windows.

    Parameters
    ----------
    raw : mne.io.Raw
        The complete recording as distributed; it is not modified.
    subject : str
        The subject, for the metadata.
    session : "1" | "2" | "3"
        The session, which determines the films.
    transform : callable | None
        A function that takes and returns a Raw, applied before the recording is cut.
    preload : bool
        Whether to load the data immediately.

    Returns
    -------
    epochs : mne.Epochs
        Adjacent windows of 4 s, as many as fit into each of 15 films, with 62 channels in volts.
        The metadata columns are ``subject, session, run, part, file, onset, label, film``.

    Raises
    ------
    ValueError
        If there are not 62 channels, or the recording ends before the last film.
    """
    _validate_type(raw, mne.io.BaseRaw, "raw", "Raw")
    check_transform(transform)
    session = str(session)
    if session not in FILMS:
        raise ValueError(f"session must be one of {', '.join(FILMS)}, got {session}.")
    # A RawArray has no file.
    path = raw.filenames[0] if raw.filenames else None
    path = Path("the recording" if path is None else path)
    recording = RecordingFile(path, str(subject), session=session)
    return _cut(raw.copy(), recording, transform, preload)


def _cut(raw, recording, transform, preload):
    """Return the windows of a session; changes the Raw."""
    starts, stops, numbers = FILMS[recording.session]
    seconds = raw.n_times / raw.info["sfreq"]
    if seconds < stops[-1]:
        raise ValueError(
            f"{recording.path.name} lasts {seconds:g} s, and the films of session "
            f"{recording.session} last until {stops[-1]} s. Is it complete?"
        )
    raw = take_channels(raw, _find_channels(raw, recording), recording.path.name)
    raw = apply_transform(raw, transform)
    onsets = [list_windows(*film, LENGTH) for film in zip(starts, stops, strict=True)]
    counts = [len(own) for own in onsets]
    rows = dict(
        onset=np.concatenate(onsets),
        label=np.repeat([LABELS[number] for number in numbers], counts).tolist(),
        film=np.repeat(np.arange(1, len(starts) + 1), counts),
    )
    return cut_epochs(raw, recording, rows, number_labels(LABELS), length=LENGTH, preload=preload)


def _find_channels(raw, recording):
    """Return the montage entries of the 62 channels, in the order of the recording."""
    entries = find_entries(raw.ch_names)
    entries = {name: entry for name, entry in entries.items() if name.upper() not in _DROPPED}
    unknown = [name for name, entry in entries.items() if entry is None]
    if unknown or len(entries) != N_CHANNELS:
        raise ValueError(
            f"{recording.path.name} has {len(entries)} channels beside {', '.join(_DROPPED)}, "
            f"expected {N_CHANNELS} electrodes"
            + (f"; not electrodes by name: {', '.join(unknown)}." if unknown else ".")
        )
    return list(entries.values())
