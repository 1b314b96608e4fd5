# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""HMC: sleep stages of whole nights."""

from functools import partial

import mne
import numpy as np
from mne.utils import verbose

from ._cutting import cut_windows
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
    take_channels,
)

LABELS = ("W", "N1", "N2", "N3", "R")
CHANNELS = ("F4", "C4", "O2", "C3")
LENGTH, SCORED = 15.0, 30.0  # seconds
_SCORING, _STAGE = "_sleepscoring", "Sleep stage "
_OFF, _ON = "lights off", "lights on"


def split_hmc(subjects):
    """Split the subjects of HMC as published.

    Parameters
    ----------
    subjects : list of str
        All subjects.

    Returns
    -------
    parts : dict
        Lists of subjects: sorted, the first 20 % are ``"validation"``, the next 20 % ``"test"``
        and the rest ``"train"``.
    """
    validation, test, train = cut_share(check_subjects(subjects), 20, 40)
    return dict(train=train, validation=validation, test=test)


@verbose
def read_hmc(root, *, subjects=None, part=None, transform=None, preload=False, verbose=None):
    """Read the Haaglanden Medisch Centrum sleep staging database, one night at a time.

    Parameters
    ----------
    root : path-like
        The folder of ``SN001.edf`` and ``SN001_sleepscoring.edf``, and so on.
    subjects : list of str | None
        Whose nights to read; None for all.
    part : "train" | "validation" | "test" | None
        The part of :func:`split_hmc` to read; None for all.
    transform : callable | None
        Applied to each continuous recording before it is cut: takes and returns a Raw.
    preload : bool
        Whether to read the samples at once.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    epochs : iterator of mne.Epochs
        Those of one night after another: F4, C4 and O2 against M1 and C3 against M2, in volts,
        each scored epoch of 30 s between lights off and lights on as two windows of 15 s. The
        metadata tell ``subject, session, run, part, file, onset, label``.

    Raises
    ------
    FileNotFoundError
        If there are no recordings, or a scoring file is missing.
    ValueError
        If a night has an unknown stage, a stage that does not last 30 s, no lights off or on, or
        lacks one of the four channels.

    Notes
    -----
    The published preprocessing is
    ``transform=functools.partial(mne_gram.preprocess, **RECIPES["hmc"].preprocessing)``.
    """
    check_transform(transform)
    recordings = choose_recordings(_list_recordings(root), subjects, part)
    read = partial(_read_recording, transform=transform, preload=preload)
    return read_each(recordings, read, verbose)


def _get_scoring(path):
    """Return the file of stages that belongs to a recording."""
    return path.with_name(f"{path.stem}{_SCORING}.edf")


def _list_recordings(root):
    """List the nights with the part that they are of."""
    paths = list_files(root, "*.edf", "SN001.edf with SN001_sleepscoring.edf, and so on")
    paths = [path for path in paths if not path.stem.endswith(_SCORING)]
    lost = [path.name for path in paths if not _get_scoring(path).is_file()]
    if lost or not paths:
        raise FileNotFoundError(
            f"{len(lost)} of {len(paths)} recordings in {root} have no file {_SCORING}.edf of "
            f"stages beside them: {name_some(lost)}."
        )
    recordings = [Recording(path, path.stem) for path in paths]
    return assign_parts(recordings, split_hmc([recording.subject for recording in recordings]))


def find_stages(annotations, place):
    """Find the scored epochs of a night.

    Parameters
    ----------
    annotations : mne.Annotations
        What the scoring file holds.
    place : str
        Which file, for messages.

    Returns
    -------
    onsets : array, shape (n_stages,)
        Seconds from the start of the scoring file.
    labels : list of str
        Stages, those between lights off and lights on.

    Raises
    ------
    ValueError
        If a stage is unknown or does not last 30 s, or the night has no bounds.
    """
    times = {_OFF: [], _ON: []}
    stages = []
    for item in annotations:
        text = item["description"].strip()
        for bound in times:
            if text.lower().startswith(bound):
                times[bound].append(item["onset"])
        if text.startswith(_STAGE):
            stages.append((item["onset"], item["duration"], text.removeprefix(_STAGE)))
    unknown = sorted({label for *_, label in stages} - {*LABELS})
    if unknown:
        raise ValueError(f"{place} has sleep stages {unknown}, expected some of {LABELS}.")
    lengths = sorted({duration for _, duration, _ in stages if abs(duration - SCORED) > 1e-3})
    if lengths:
        raise ValueError(f"{place} has stages of {name_some(lengths)} s, expected {SCORED:g} s.")
    lost = [bound for bound, found in times.items() if not found]
    if lost:
        found = name_some(dict.fromkeys(annotations.description), 12)
        raise ValueError(
            f"{place} has no annotation {' and no '.join(map(repr, lost))}, which bound the "
            f"night; it has {found or 'none at all'}."
        )
    start, stop = min(times[_OFF]), max(times[_ON])
    # The clock of the annotations is rounded, so that a stage may seem to begin just before.
    inside = [
        (onset, label)
        for onset, _, label in stages
        if onset > start - 1e-3 and onset + SCORED < stop + 1e-3
    ]
    if not inside:
        raise ValueError(
            f"{place} has {len(stages)} scored epochs, and none between lights off at {start:g} s "
            f"and lights on at {stop:g} s."
        )
    onsets, labels = zip(*inside, strict=True)
    return np.array(onsets), list(labels)


def _read_recording(recording, transform, preload):
    """Return the windows of one night."""
    scoring = _get_scoring(recording.path)
    annotations = mne.read_annotations(scoring)
    onsets, labels = find_stages(annotations, scoring.name)
    raw = mne.io.read_raw_edf(recording.path, preload=False)
    if annotations.orig_time is not None and raw.info["meas_date"] is not None:
        onsets = onsets + (annotations.orig_time - raw.info["meas_date"]).total_seconds()
    raw = apply_transform(take_channels(raw, CHANNELS, recording.path.name), transform)
    halves = np.arange(0, SCORED, LENGTH)
    rows = dict(
        onset=(onsets[:, None] + halves).ravel(), label=np.repeat(labels, len(halves)).tolist()
    )
    return cut_windows(
        raw,
        describe(recording, rows),
        {label: number for number, label in enumerate(LABELS)},
        length=LENGTH,
        preload=preload,
        place=recording.path.name,
    )
