# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""TUEV: six kinds of clinical events."""

import mne
import numpy as np
from mne.utils import _validate_type, verbose

from .._docs import fill_doc
from ._cutting import cut_epochs, number_labels
from ._recordings import (
    RecordingFile,
    apply_transform,
    assign_parts,
    check_subjects,
    check_transform,
    cut_share,
    list_files,
    name_some,
    read_part,
    take_channels,
)

LABELS = ("spsw", "gped", "pled", "eyem", "artf", "bckg")  # numbers 1 to 6 in the files
CHANNELS = tuple("FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2".split())
LENGTH, BEFORE = 5.0, 2.0  # seconds
_N_DERIVATIONS = 22
_FOLDERS = ("train", "eval")


def split_tuev(train_subjects, test_subjects=()):
    """Split the subjects of TUEV as published.

    Parameters
    ----------
    train_subjects, test_subjects : list of str
        The subjects of the folders ``train`` and ``eval``.

    Returns
    -------
    parts : dict
        Lists of subjects by part. Those of ``eval`` are ``"test"``. Of the others, in reverse
        sorted order, the first 80 % are ``"train"`` and the rest ``"validation"``.

    Raises
    ------
    ValueError
        If there is no subject to train on, or one is in both folders.
    """
    train = check_subjects(train_subjects, "train_subjects")[::-1]
    test = check_subjects(test_subjects, "test_subjects") if len(test_subjects) else []
    both = sorted({*train} & {*test})
    if both:
        raise ValueError(f"Subjects of both the train and the eval set: {name_some(both)}.")
    train, validation = cut_share(train, 80)
    return dict(train=train, validation=validation, test=test)


@verbose
@fill_doc
def read_tuev(
    root,
    *,
    subjects=None,
    part=None,
    one_row_per_event=False,
    transform=None,
    verbose=None,
):
    """Read the TUH EEG Events Corpus (v2), one recording at a time.

    Parameters
    ----------
    root : path-like
        The folder that contains ``train`` and ``eval``, with EDF files and their ``.rec`` files.
    %(subjects_to_read)s
    part : "train" | "validation" | "test" | None
        The part of :func:`split_tuev` to read; None for all.
    one_row_per_event : bool
        Each row of a ``.rec`` file is an event in one of 22 bipolar derivations. If False, each
        row becomes a window, as published, so an event that is seen in several derivations gives
        several equal windows. If True, rows that differ only in the derivation become one window.
    %(transform)s
    %(verbose)s

    Returns
    -------
    epochs : iterator of mne.Epochs
        The windows of one recording after the other: 5 s from 2 s before the event, 19 channels in
        volts, loaded. The metadata columns are ``subject, session, run, part, file, onset, stop,
        label, derivation, shift``: derivations are numbers joined by commas, and ``shift`` is the
        time in seconds by which a window was moved to stay within the recording.

    Raises
    ------
    FileNotFoundError
        If there are no recordings, or a ``.rec`` file is missing.
    ValueError
        If a file is not of the expected form, or does not have all of the 19 channels.

    Notes
    -----
    For the published preprocessing, pass
    ``transform=functools.partial(mne_gram.preprocess, **RECIPES["tuev"].preprocessing)``.
    Event samples have to be unique in MNE, so those of simultaneous events are moved to the next
    free sample; ``onset`` is exact.
    """
    _validate_type(one_row_per_event, bool, "one_row_per_event")
    check_transform(transform)
    options = dict(subjects=subjects, part=part, transform=transform, verbose=verbose)
    options["one_row_per_event"] = one_row_per_event
    return read_part(_list_recordings(root), _read_recording, **options)


def _list_recordings(root):
    """List the recordings with their parts."""
    paths = list_files(root, "*.edf", "train/**/*.edf and eval/**/*.edf, each with its .rec")
    lost = [path.name for path in paths if not path.with_suffix(".rec").is_file()]
    if lost:
        raise FileNotFoundError(
            f"{len(lost)} of {len(paths)} recordings have no .rec file beside them: "
            f"{name_some(lost)}."
        )
    recordings = {folder: [] for folder in _FOLDERS}
    for path in paths:
        folders = [name for name in path.relative_to(root).parts[:-1] if name in _FOLDERS]
        if not folders:
            raise ValueError(
                f"{path} is neither in a folder train nor in a folder eval, which define the "
                "published split. Give the folder that contains these two."
            )
        is_own = path.parent.name not in _FOLDERS  # each subject has a folder
        subject = path.parent.name if is_own else path.stem.split("_")[0]
        run = path.stem.removeprefix(f"{subject}_")
        recordings[folders[0]].append(RecordingFile(path, subject, run=run))
    train, test = ([recording.subject for recording in found] for found in recordings.values())
    parts = split_tuev(train, test) if train else dict(test=test)
    return assign_parts(recordings["train"] + recordings["eval"], lambda subjects: parts)


def read_events(path):
    """Return the lines of a ``.rec`` file, shape (n_events, 4), or raise ValueError.

    The columns are derivation, start and stop in seconds, and number of the label.
    """
    text = path.read_text(encoding="utf-8")
    try:
        lines = [list(map(float, line.split(","))) for line in text.split()]
    except ValueError as exc:
        raise ValueError(f"{path} has lines that are not four numbers: {exc}.") from None
    if not lines or {len(line) for line in lines} != {4}:
        raise ValueError(
            f"{path} must have lines of channel, start, stop and label, found "
            f"{len(lines)} lines of {sorted({len(line) for line in lines})} numbers."
        )
    events = np.array(lines)
    labels = sorted({*events[:, 3].tolist()} - {*range(1, len(LABELS) + 1)})
    if labels:
        raise ValueError(f"{path} has labels {labels}, expected 1 to {len(LABELS)}.")
    derivations = sorted({*events[:, 0].tolist()} - {*range(_N_DERIVATIONS)})
    if derivations:
        raise ValueError(f"{path} has channels {derivations}, expected 0 to {_N_DERIVATIONS - 1}.")
    if not (np.isfinite(events).all() and (events[:, 1] < events[:, 2]).all()):
        raise ValueError(f"{path} has events that do not end after their start.")
    return events


def _merge_events(events):
    """Return start, stop, label and list of derivations of each event."""
    merged = {}
    for derivation, *event in events:
        merged.setdefault(tuple(event), []).append(int(derivation))
    return [(*event, sorted(derivations)) for event, derivations in merged.items()]


def _read_recording(recording, one_row_per_event, transform):
    """Return the windows of one recording."""
    events = read_events(recording.path.with_suffix(".rec"))
    raw = mne.io.read_raw_edf(recording.path, preload=False)
    raw = apply_transform(take_channels(raw, CHANNELS, recording.path.name), transform)
    if one_row_per_event:
        events = _merge_events(events)
    else:
        events = [(start, stop, label, [int(row)]) for row, start, stop, label in events]
    start, stop, label, derivations = zip(*events, strict=True)
    # Windows are moved into the recording, not dropped, so that all published events are used.
    last = raw.n_times / raw.info["sfreq"] - LENGTH + BEFORE
    moved = np.clip(start, BEFORE, max(last, BEFORE))
    rows = dict(
        onset=moved,
        stop=stop,
        label=[LABELS[int(number) - 1] for number in label],
        derivation=[",".join(map(str, numbers)) for numbers in derivations],
        shift=moved - start,
    )
    epochs = cut_epochs(
        raw,
        recording,
        rows,
        number_labels(LABELS, first=1),
        length=LENGTH,
        before=BEFORE,
        preload=True,
    )
    epochs.metadata["onset"] -= epochs.metadata["shift"]
    return epochs
