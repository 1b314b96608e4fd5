# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""EEG Motor Movement/Imagery (``mne.datasets.eegbci``): movement and imagery of fists and feet."""

import re
from functools import partial
from pathlib import Path

import mne
from mne.utils import _validate_type, verbose

from .._docs import fill_doc
from ._cutting import cut_epochs
from ._recordings import (
    RecordingFile,
    apply_transform,
    check_transform,
    keep_standard,
    name_some,
    read_each,
)

_NAME = re.compile(r"S(\d{3})R(\d{2})")
_SIDES = dict(T0="rest", T1="left", T2="right")
_LIMBS = dict(T0="rest", T1="fists", T2="feet")
# The task of each run, and the labels of its markers.
RUNS = {
    1: ("eyes_open", dict(T0="rest")),
    2: ("eyes_closed", dict(T0="rest")),
    **{run: ("movement", _SIDES) for run in (3, 7, 11)},
    **{run: ("imagery", _SIDES) for run in (4, 8, 12)},
    **{run: ("movement", _LIMBS) for run in (5, 9, 13)},
    **{run: ("imagery", _LIMBS) for run in (6, 10, 14)},
}
EVENT_ID = dict(rest=0, left=1, right=2, fists=3, feet=4)


@verbose
@fill_doc
def read_eegbci(
    files,
    *,
    labels=("left", "right"),
    tmin=0.0,
    length=4.0,
    transform=None,
    preload=False,
    verbose=None,
):
    """Read the EEG Motor Movement/Imagery Dataset, one run at a time.

    Parameters
    ----------
    files : list of path-like
        EDF files with their original names, such as ``S001R04.edf``, for example those returned by
        :func:`mne.datasets.eegbci.load_data`. Subjects move the left or right fist in runs 3, 7
        and 11 and imagine this in runs 4, 8 and 12; they move both fists or both feet in runs 5, 9
        and 13 and imagine this in runs 6, 10 and 14.
    labels : list of str
        The labels to read: ``"rest"``, ``"left"``, ``"right"``, ``"fists"`` and ``"feet"``.
    %(tmin_length)s
    %(transform)s
    %(preload_windows)s
    %(verbose)s

    Returns
    -------
    epochs : iterator of mne.Epochs
        The windows of one run after the other, with standard names of the 64 channels, in volts.
        The metadata columns are ``subject, session, run, part, file, onset, label, task``. Three
        subjects were recorded at 128 Hz and the others at 160 Hz.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If the name of a file has no run, a label is unknown, or a run has none of the labels.
    """
    _validate_type(tmin, "numeric", "tmin")
    _validate_type(length, "numeric", "length")
    check_transform(transform)
    unknown = sorted({*labels} - EVENT_ID.keys())
    if isinstance(labels, str) or unknown or not labels:
        raise ValueError(f"labels must be some of {list(EVENT_ID)}, got {labels!r}.")
    recordings = _list_recordings(files, set(labels))
    read = partial(
        _read_recording,
        labels=set(labels),
        tmin=tmin,
        length=length,
        transform=transform,
        preload=preload,
    )
    return read_each(recordings, read, verbose)


def _list_recordings(files, labels):
    """List the runs, or raise if a file is none of them."""
    if isinstance(files, str | Path):
        raise TypeError("files must be a list of files, got a single path: put it into a list.")
    recordings = []
    for path in map(Path, files):
        found = _NAME.match(path.stem)
        if found is None or int(found[2]) not in RUNS:
            raise ValueError(
                f"The name of {path.name} is not like S001R04.edf, with a run from 1 to 14."
            )
        if not path.is_file():
            raise FileNotFoundError(f"The file {path} does not exist.")
        known = {*RUNS[int(found[2])][1].values()}
        if not labels & known:
            raise ValueError(
                f"Run {int(found[2])} ({path.name}) has {', '.join(sorted(known))}, none of "
                f"{', '.join(sorted(labels))}."
            )
        recordings.append(RecordingFile(path, found[1], run=found[2]))
    if not recordings:
        raise ValueError("files is empty: there is nothing to read.")
    return recordings


def _read_recording(recording, labels, tmin, length, transform, preload):
    """Return the windows of one run."""
    raw = mne.io.read_raw_edf(recording.path, preload=False)
    task, meaning = RUNS[int(recording.run)]
    found = [
        (item["onset"], meaning[item["description"]])
        for item in raw.annotations
        if meaning.get(item["description"]) in labels
    ]
    place = recording.path.name
    if not found:
        raise ValueError(
            f"{place} has no event of {', '.join(sorted(labels))}; it has "
            f"{name_some(dict.fromkeys(raw.annotations.description)) or 'none at all'}."
        )
    raw = apply_transform(keep_standard(raw, place), transform)
    onset, label = zip(*found, strict=True)
    return cut_epochs(
        raw,
        recording,
        dict(onset=onset, label=label, task=task),
        EVENT_ID,
        length=length,
        before=-tmin,
        preload=preload,
        reject_by_annotation=True,
    )
