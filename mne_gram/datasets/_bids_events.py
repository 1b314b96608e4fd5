# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""BIDS data sets: windows at events, or of recordings labelled by an entity such as the task."""

from functools import partial
from pathlib import Path

import mne
from mne.utils import _check_option, _validate_type, logger, verbose

from .._docs import fill_doc
from .._files import list_recordings, read_path
from ._cutting import cut_epochs, list_windows, number_labels
from ._recordings import (
    RecordingFile,
    apply_transform,
    check_transform,
    choose_recordings,
    keep_standard,
    name_some,
    read_each,
)

_ENTITIES = ("subject", "session", "task", "acquisition", "run")
_HINT = (
    "Events come from *_events.tsv; if the names of recordings contain the condition, use "
    "read_bids_windows."
)


@verbose
@fill_doc
def read_bids_epochs(
    root,
    event_id=None,
    tmin=0.0,
    length=4.0,
    *,
    subjects=None,
    tasks=None,
    standard_names=True,
    transform=None,
    preload=False,
    verbose=None,
):
    """Read windows at the events of a BIDS data set, one recording at a time.

    Parameters
    ----------
    root : path-like
        The data set.
    event_id : dict | None
        The descriptions of events (``trial_type``), or lists of these, by label, for example
        ``dict(left="T1", right="T2")``. None reads all events, with their descriptions as labels.
    %(tmin_length)s
    %(recordings_to_read)s
    %(standard_names)s
    %(transform)s
    %(preload_windows)s
    %(verbose)s

    Returns
    -------
    epochs : iterator of mne.Epochs
        The windows of one recording after the other, EEG channels in volts. Windows that overlap
        with ``BAD`` annotations are dropped, and recordings without any of the events skipped. The
        metadata columns are ``subject, session, run, part, file, task, onset, label``.

    Raises
    ------
    ValueError
        If the folder is not a BIDS data set, or no recording has any of the events.
    """
    _validate_type(event_id, (dict, None), "event_id")
    _validate_type(tmin, "numeric", "tmin")
    _validate_type(length, "numeric", "length")
    check_transform(transform)
    recordings, paths = _list_recordings(root, subjects, tasks)
    if event_id is None:
        event_id = {name: name for name in _find_descriptions(recordings, paths)}
        if not event_id:
            raise ValueError(f"No recording in {root} has any event. {_HINT}")
    names = _invert(event_id)
    open_raw = partial(_open, standard_names=standard_names, transform=transform)
    options = dict(tmin=tmin, length=length, preload=preload)
    read = partial(_read_events, paths=paths, open_raw=open_raw, names=names, **options)
    return _read_some(read_each(recordings, read, verbose), root, names)


@verbose
@fill_doc
def read_bids_windows(
    root,
    by="task",
    *,
    length=4.0,
    labels=None,
    subjects=None,
    tasks=None,
    standard_names=True,
    transform=None,
    preload=False,
    verbose=None,
):
    """Read adjacent windows of a BIDS data set, labelled by an entity such as the task.

    Parameters
    ----------
    root : path-like
        The data set.
    by : "task" | "session" | "acquisition" | "run" | "subject"
        The entity whose value is the label.
    length : float
        The length of the windows in seconds. A shorter remainder at the end is dropped.
    labels : list of str | None
        The values of the entity to read; None for all.
    %(recordings_to_read)s
    %(standard_names)s
    %(transform)s
    %(preload_windows)s
    %(verbose)s

    Returns
    -------
    epochs : iterator of mne.Epochs
        The windows of one recording after the other, as from :func:`read_bids_epochs`.

    Raises
    ------
    ValueError
        If the folder is not a BIDS data set, or recordings with the entity or a label are missing.
    """
    _check_option("by", by, _ENTITIES)
    _validate_type(length, "numeric", "length")
    check_transform(transform)
    recordings, paths = _list_recordings(root, subjects, tasks)
    values = {recording: getattr(paths[recording], by) for recording in recordings}
    lost = [recording.path.name for recording, value in values.items() if value is None]
    if lost:
        raise ValueError(f"{len(lost)} recordings have no {by} in their name: {name_some(lost)}.")
    known = sorted(set(values.values()))
    missing = sorted({*(labels or known)} - {*known})
    if missing:
        raise ValueError(
            f"No recording has the {by} {', '.join(missing)}, only {name_some(known)}."
        )
    labels = list(labels or known)
    recordings = [recording for recording in recordings if values[recording] in labels]
    open_raw = partial(_open, standard_names=standard_names, transform=transform)
    options = dict(event_id=number_labels(labels, first=1), length=length, preload=preload)
    read = partial(_read_whole, paths=paths, open_raw=open_raw, by=by, **options)
    return read_each(recordings, read, verbose)


def _invert(event_id):
    """Return the label of each description."""
    names = {}
    for label, descriptions in event_id.items():
        for name in [descriptions] if isinstance(descriptions, str) else descriptions:
            if names.setdefault(name, label) != label:
                raise ValueError(f"event_id gives {name!r} two labels: {names[name]} and {label}.")
    if not names:
        raise ValueError("event_id is empty: there is nothing to read.")
    return names


def _list_recordings(root, subjects, tasks):
    """List the selected recordings, and the BIDSPath of each."""
    paths = list_recordings(root)
    known = sorted({path.task for path in paths if path.task})
    unknown = sorted({*(tasks or ())} - {*known})
    if unknown:
        raise ValueError(f"There is no task {', '.join(unknown)}; the tasks are {known}.")
    places = {
        RecordingFile(
            Path(path.fpath), path.subject, path.session or "n/a", path.run or "n/a"
        ): path
        for path in paths
        if tasks is None or path.task in tasks
    }
    return choose_recordings(list(places), subjects), places


def _open(path, standard_names=False, transform=None):
    """Return the EEG channels of a BIDSPath as Raw, not loaded."""
    raw = read_path(path)
    if len(mne.pick_types(raw.info, eeg=True, exclude=())) == 0:
        raise ValueError(f"{path.basename} has no EEG channel.")
    raw.pick("eeg", exclude=())
    return apply_transform(keep_standard(raw, path.basename) if standard_names else raw, transform)


def _find_descriptions(recordings, paths):
    """Return the descriptions of all events; recordings are opened but not loaded."""
    found = set()
    for recording in recordings:
        found |= {*_open(paths[recording]).annotations.description}
    return sorted(name for name in found if not name.upper().startswith(("BAD", "EDGE")))


def _name_event(description, names):
    """Return the label of an event, or None."""
    # A type with several values is read as trial_type/value.
    return names.get(description, names.get(description.rpartition("/")[0]))


def _read_events(recording, paths, open_raw, names, tmin, length, preload):
    """Return the windows at the events of one recording, None if there are none."""
    raw = open_raw(paths[recording])
    found = [(item["onset"], _name_event(item["description"], names)) for item in raw.annotations]
    # Onsets count from the measurement date, where there is one, else from the first sample.
    start = 0.0 if raw.annotations.orig_time is None else raw.first_time
    found = [(onset - start, label) for onset, label in found if label is not None]
    if not found:
        logger.info(f"{recording.path.name} has none of the events")
        return None
    onset, label = zip(*found, strict=True)
    rows = dict(task=paths[recording].task or "n/a", onset=onset, label=label)
    return cut_epochs(
        raw,
        recording,
        rows,
        number_labels(dict.fromkeys(names.values()), first=1),
        length=length,
        before=-tmin,
        preload=preload,
        reject_by_annotation=True,
    )


def _read_some(found, root, names):
    """Yield Epochs, skip None, and raise if there were none."""
    some = False
    for epochs in found:
        if epochs is not None:
            some = True
            yield epochs
    if not some:
        raise ValueError(f"No recording in {root} has an event {', '.join(names)}. {_HINT}")


def _read_whole(recording, paths, open_raw, by, event_id, length, preload):
    """Return all windows of one recording."""
    path = paths[recording]
    raw = open_raw(path)
    onsets = list_windows(0.0, raw.n_times / raw.info["sfreq"], length)
    if len(onsets) == 0:
        raise ValueError(
            f"{recording.path.name} lasts {raw.n_times / raw.info['sfreq']:g} s, which is less "
            f"than a window of {length:g} s."
        )
    rows = dict(task=path.task or "n/a", onset=onsets, label=getattr(path, by))
    return cut_epochs(
        raw,
        recording,
        rows,
        event_id,
        length=length,
        preload=preload,
        reject_by_annotation=True,
    )
