# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""HMC: sleep stages of whole nights."""

import mne
import numpy as np
from mne.utils import verbose

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
        Lists of subjects by part. In sorted order, the first 20 % are ``"validation"``, the next
        20 % ``"test"`` and the rest ``"train"``.
    """
    validation, test, train = cut_share(check_subjects(subjects), 20, 40)
    return dict(train=train, validation=validation, test=test)


@verbose
@fill_doc
def read_hmc(root, *, subjects=None, part=None, transform=None, preload=False, verbose=None):
    """Read the Haaglanden Medisch Centrum sleep staging database, one night at a time.

    Parameters
    ----------
    root : path-like
        The folder that contains ``SN001.edf``, ``SN001_sleepscoring.edf``, and so on.
    %(subjects_to_read)s
    part : "train" | "validation" | "test" | None
        The part of :func:`split_hmc` to read; None for all.
    %(transform)s
    %(preload_windows)s
    %(verbose)s

    Returns
    -------
    epochs : iterator of mne.Epochs
        The windows of one night after the other, in volts. The channels are F4, C4 and O2 against
        M1, and C3 against M2. Each scored epoch of 30 s between lights off and lights on is two
        windows of 15 s. The metadata columns are ``subject, session, run, part, file, onset,
        label``.

    Raises
    ------
    FileNotFoundError
        If there are no recordings, or a scoring file is missing.
    ValueError
        If a night has an unknown stage, a stage that does not last 30 s, no lights off or on, or
        not all of the four channels.

    Notes
    -----
    For the published preprocessing, pass
    ``transform=functools.partial(mne_gram.preprocess, **RECIPES["hmc"].preprocessing)``.
    """
    check_transform(transform)
    options = dict(subjects=subjects, part=part, transform=transform, verbose=verbose)
    return read_part(_list_recordings(root), _read_recording, preload=preload, **options)


def _get_scoring(path):
    """Return the scoring file of a recording."""
    return path.with_name(f"{path.stem}{_SCORING}.edf")


def _list_recordings(root):
    """List the nights with their parts."""
    paths = list_files(root, "*.edf", "SN001.edf with SN001_sleepscoring.edf, and so on")
    paths = [path for path in paths if not path.stem.endswith(_SCORING)]
    lost = [path.name for path in paths if not _get_scoring(path).is_file()]
    if lost or not paths:
        raise FileNotFoundError(
            f"{len(lost)} of {len(paths)} recordings in {root} have no scoring file "
            f"*{_SCORING}.edf: {name_some(lost)}."
        )
    recordings = [RecordingFile(path, path.stem) for path in paths]
    return assign_parts(recordings, split_hmc)


def find_stages(annotations, place):
    """Return onsets (n_stages,) in seconds and labels of the stages between lights off and on.

    ``place`` names the file in messages. Raises ValueError if a stage is unknown or does not last
    30 s, or if lights off or on is missing.
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
    # Onsets are rounded, so that a stage may seem to begin just before lights off.
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
    return cut_epochs(raw, recording, rows, number_labels(LABELS), length=LENGTH, preload=preload)
