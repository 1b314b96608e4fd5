# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One recording from lock to journal: processed completely or not at all, unless up to date.

`process_recording` takes all the steps. Where recordings share batches, the steps are taken one by
one: `lock_recording`, `prepare_recording`, `finish_recording`. They return *facts*, a dict that
becomes the row of the recording in the report and is kept in the journal.
"""

import os
import time
import traceback
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from mne.utils import use_log_level

from .. import __version__
from .._files import list_input_files
from .._formats import remove_tree
from ._cohort import measure_for_prior
from ._encode import encode_recording, make_features, read_windows, write_features
from ._journal import Journal, find_checksums
from ._lock import hold
from ._restore import restore_recording

# A separate folder: a reading process can outlive the one that holds the lock, and must not empty
# the folder of the next one.
_READING = ".reading"
# What the entry of a recording keeps when it fails.
_KEPT = ("files", "key", "stat", "was_damaged")
JOB_FUNCTIONS = dict(
    restore=restore_recording,
    embed=encode_recording,
    tokens=encode_recording,
    prior=measure_for_prior,
)


@dataclass(frozen=True)
class Outdated:
    """Why a recording has to be processed, and the key and file stats of its next entry."""

    why: str
    key: dict
    stat: dict


@dataclass(frozen=True)
class Prepared:
    """What is kept of a recording while its windows wait for the network."""

    outdated: Outdated
    fields: dict
    facts: dict
    notes: list
    seconds: float


def process_recording(recording, settings):
    """Process a recording, unless it is up to date or another run has its lock.

    Returns its row: ``recording``, ``job``, ``status`` (``"done"``, ``"skipped"``, ``"busy"`` or
    ``"failed"``), ``why``, ``seconds`` and the facts of the job.
    """
    start = time.perf_counter()
    with ExitStack() as stack:
        facts = lock = lock_recording(recording, settings, stack)
        if not isinstance(lock, dict):
            facts = _attempt(_process_locked, recording, settings, lock)
            if facts["status"] == "failed":
                facts = note_failure(recording, settings, facts)
    return make_row(recording, settings, facts, time.perf_counter() - start)


def lock_recording(recording, settings, stack):
    """Return the lock of a recording, held until an ExitStack ends; the facts if there is none."""
    if not recording.is_named_by_bids:  # nothing is written under such a name, not even an entry
        return describe_failure(ValueError(recording.problem), recording)
    path = Journal(settings.folder).get_lock_path(recording, settings.job)
    try:
        lock = stack.enter_context(hold(path))
    except OSError as exc:  # not even a lock can be written
        return describe_failure(exc, recording)
    if lock is None:
        return dict(status="busy", why="another run is processing it")
    clear_staging(recording, settings)
    return lock


def clear_staging(recording, settings):
    """Remove what an interrupted run left of a recording; the lock is held."""
    journal = Journal(settings.folder)
    for part in ("", _READING):
        remove_tree(journal.get_staging(recording, settings.job + part))


def make_row(recording, settings, facts, seconds):
    """Return the row of a recording, as `process_recording` does."""
    return {
        "recording": recording.label,
        "job": settings.job,
        "why": "",
        **facts,
        "seconds": seconds,
    }


def prepare_recording(recording, settings):
    """Read a recording and cut it into windows, unless it is up to date.

    Returns its WindowedRecording and Prepared, or the facts if it is up to date or failed. Writes
    neither results nor an entry: this process can outlive the one that holds the lock.
    """
    return _attempt(_prepare_locked, recording, settings)


def finish_recording(recording, settings, lock, prepared, encoded):
    """Write the results of the network for a prepared recording; return the facts.

    Runs in threads, so it neither catches warnings nor changes the log level of the process.
    """
    start = time.perf_counter()
    notes = [*prepared.notes, *encoded.notes]
    try:
        if encoded.error is not None:
            raise encoded.error
        with _staging(recording, settings) as folder:
            facts = dict(prepared.facts, notes=notes)
            made = make_features(settings, prepared.fields, encoded)
            paths = write_features(recording, settings, folder, made, facts)
            seconds = prepared.seconds + encoded.seconds
            facts.update(compute_seconds=seconds + time.perf_counter() - start)
            return _commit(recording, settings, lock, prepared.outdated, folder, paths, facts)
    except Exception as exc:  # one broken recording must not end the batch, whatever it is
        return note_failure(recording, settings, describe_failure(exc, recording, notes))


def note_failure(recording, settings, facts):
    """Enter a failure in the journal, and return its facts; the lock is held."""
    journal = Journal(settings.folder)
    try:
        old = journal.read(recording, settings.job)
        kept = {key: old[key] for key in _KEPT if key in old}
        entry = {**kept, **_describe(recording, settings), **facts, "row": facts}
        journal.write(recording, settings.job, entry)
    except (OSError, ValueError) as exc:  # not even an entry can be written
        return describe_failure(exc, recording, facts["notes"])
    return facts


def describe_failure(exc, recording, notes=()):
    """Return the facts of a failure, its message on one line."""
    line = " ".join(str(exc).split()).replace(f"{recording.root}/", "")
    expected = isinstance(exc, OSError | RuntimeError | TypeError | ValueError)
    return dict(
        status="failed",
        why=line if expected and line else f"{type(exc).__name__}: {line}",
        traceback="".join(traceback.format_exception(type(exc), exc, exc.__traceback__)),
        notes=list(notes),
    )


def compute_key(recording, settings, entry):
    """Return the key of a recording, by which it is up to date or not, and its file stats.

    The key has ``version``, ``parameters``, ``weights`` and the checksums of the ``input``; the
    stats add sizes and times. Known checksums are taken from the entry.
    """
    stat = find_checksums(list_input_files(recording), recording.root, entry.get("stat", {}))
    key = dict(
        version=__version__,
        parameters=settings.parameters,
        weights=settings.weights,
        input={name: file["sha256"] for name, file in stat.items()},
    )
    return key, stat


def _attempt(step, recording, settings, *args):
    """Return the result of a step, or the facts of its failure."""
    with warnings.catch_warnings(record=True) as caught, use_log_level("warning"):
        warnings.simplefilter("always")
        try:
            return step(recording, settings, *args, caught)
        except Exception as exc:  # one broken recording must not end the batch, whatever it is
            return describe_failure(exc, recording, _list_notes(caught))


def _list_notes(caught):
    """Return the messages of caught warnings, each once; what is for developers is left out."""
    texts = [
        " ".join(str(warning.message).split())
        for warning in caught
        if not issubclass(warning.category, DeprecationWarning | FutureWarning)
    ]
    return list(dict.fromkeys(texts))


def _describe(recording, settings):
    """Return what every entry has."""
    return dict(
        recording=recording.label,
        entities=recording.entities,
        job=settings.job,
        version=__version__,
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def _process_locked(recording, settings, lock, caught):
    """Process a recording whose lock is held; return the facts."""
    outdated = _find_outdated(recording, settings)
    if isinstance(outdated, dict):
        return outdated
    with _staging(recording, settings) as folder:
        start = time.perf_counter()
        paths, facts = JOB_FUNCTIONS[settings.job](recording, settings, folder)
        facts.update(compute_seconds=time.perf_counter() - start, notes=_list_notes(caught))
        return _commit(recording, settings, lock, outdated, folder, paths, facts)


def _prepare_locked(recording, settings, caught):
    """Process a recording, whose lock is held, up to where the network is needed."""
    start = time.perf_counter()
    outdated = _find_outdated(recording, settings)
    if isinstance(outdated, dict):
        return outdated
    with _staging(recording, settings, _READING) as folder:
        windows, fields, facts = read_windows(recording, settings, folder)
    seconds = time.perf_counter() - start
    return windows, Prepared(outdated, fields, facts, _list_notes(caught), seconds)


def _find_outdated(recording, settings):
    """Return why a recording is Outdated, or the facts of one that is up to date."""
    if recording.problem:
        raise ValueError(recording.problem)
    journal = Journal(settings.folder)
    entry = journal.read(recording, settings.job)
    key, stat = compute_key(recording, settings, entry)
    why = journal.find_reason(entry, key)
    if not why and not settings.overwrite:
        return dict(entry["row"], status="skipped", why="")
    _check_foreign(settings, recording, entry)
    return Outdated(why or "overwritten", key, stat)


def _check_foreign(settings, recording, entry):
    """Raise if the output exists and is not in the entry, hence not of this package.

    Where the entry was damaged, the output is taken for that of the entry.
    """
    name = settings.get_target(recording)
    is_known = name in entry.get("files", {}) or entry.get("was_damaged")
    if os.path.lexists(settings.folder / name) and not is_known and not settings.overwrite:
        raise FileExistsError(
            f"{name} already exists, and was not written by an earlier run. Move it, or allow "
            "overwriting."
        )


@contextmanager
def _staging(recording, settings, part=""):
    """Yield an empty folder for the files of a recording until they are complete."""
    folder = Journal(settings.folder).clear_staging(recording, settings.job + part)
    try:
        yield folder
    finally:
        remove_tree(folder)


def _commit(recording, settings, lock, outdated, folder, paths, facts):
    """Move the files of a recording to their places; return the facts."""
    journal = Journal(settings.folder)
    # A foreign file may have appeared in the meantime.
    _check_foreign(settings, recording, journal.read(recording, settings.job))
    description = _describe(recording, settings)
    entry = dict(description, key=outdated.key, stat=outdated.stat, row=facts)
    staged = {path.relative_to(folder).as_posix(): path for path in paths}
    journal.commit(recording, settings.job, entry, staged, lock)
    return dict(facts, status="done", why=outdated.why)
