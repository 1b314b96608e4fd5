# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One recording of a data set: done as a whole or not at all, and only if it is not done yet.

:func:`run_unit` does all of it at once. Where several recordings share a network, it is done in
steps that others come between: :func:`take`, :func:`prepare_unit`, :func:`finish_unit`.
"""

import time
import traceback
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from shutil import rmtree

from mne.utils import use_log_level

from .._files import list_input_files
from .._version import __version__
from ._encode import cut_unit, embed_unit, make_features, write_features
from ._lock import hold
from ._state import Store, find_checksums
from ._work import restore_unit

# A folder apart: who reads can outlive who holds the lock, and must not empty the next one's.
_READING = ".reading"
WORK = dict(restore=restore_unit, embed=embed_unit, tokens=embed_unit)


@dataclass(frozen=True)
class Todo:
    """What has to be done with a recording that is not done: why, and what its record is to say."""

    why: str
    key: dict
    stat: dict


@dataclass(frozen=True)
class Prepared:
    """What is known of a recording whose windows wait for the network."""

    todo: Todo
    fields: dict
    facts: dict
    notes: list
    seconds: float


def run_unit(unit, settings):
    """Do a recording, unless it is done or somebody else is at it.

    Parameters
    ----------
    unit : Unit
        The recording.
    settings : Settings
        What to do.

    Returns
    -------
    row : dict
        A row of the table: ``recording``, ``status`` (``"done"``, ``"skipped"``, ``"busy"`` or
        ``"failed"``), ``why``, ``seconds``, and what the record keeps.
    """
    start = time.perf_counter()
    with ExitStack() as stack:
        facts = lock = take(unit, settings, stack)
        if not isinstance(lock, dict):
            facts = _attempt(_run_locked, unit, settings, lock)
            if facts["status"] == "failed":
                facts = record_failure(unit, settings, facts)
    return make_row(unit, settings, facts, time.perf_counter() - start)


def take(unit, settings, stack):
    """Take the lock of a recording.

    Parameters
    ----------
    unit : Unit
        The recording.
    settings : Settings
        What to do.
    stack : contextlib.ExitStack
        The lock is held until this ends.

    Returns
    -------
    lock : Lock | dict
        The lock; the facts if it cannot be taken.
    """
    path = Store(settings.folder).get_lock_path(unit, settings.job)
    try:
        lock = stack.enter_context(hold(path))
    except OSError as exc:  # not even a lock can be written
        return describe_failure(exc, unit)
    if lock is None:
        return dict(status="busy", why="another run is at it")
    clear(unit, settings)
    return lock


def clear(unit, settings):
    """Remove what an interrupted run left of its work on a recording; the lock is held."""
    for part in ("", _READING):
        rmtree(Store(settings.folder).get_staging(unit, settings.job + part), ignore_errors=True)


def make_row(unit, settings, facts, seconds):
    """Return the row of a recording, as :func:`run_unit` does."""
    about = dict(recording=unit.path.as_posix(), job=settings.job, why="")
    return {**about, **facts, "seconds": seconds}


def prepare_unit(unit, settings):
    """Read a recording and cut it into windows, unless it is done.

    Parameters
    ----------
    unit : Unit
        The recording. Somebody, perhaps another process, holds its lock.
    settings : Settings
        What to do.

    Returns
    -------
    prepared : tuple of Windows, Prepared | dict
        What the network is to get, and what is to be kept meanwhile; the facts if the recording is
        done already or has failed.

    Notes
    -----
    No results and no record are written: if the holder of the lock is killed, the process that
    this runs in can outlive the lock.
    """
    return _attempt(_prepare_locked, unit, settings)


def finish_unit(unit, settings, lock, prepared, encoded):
    """Write what the network made of a recording.

    Parameters
    ----------
    unit : Unit
        The recording.
    settings : Settings
        What to do.
    lock : Lock
        Its lock, which this process holds.
    prepared : Prepared
        What :func:`prepare_unit` told of it.
    encoded : Encoded
        What the network made of its windows.

    Returns
    -------
    facts : dict
        What the row is to tell.

    Notes
    -----
    This runs in threads, so it neither catches warnings nor changes the level of the log, which
    are of the whole process.
    """
    start = time.perf_counter()
    notes = [*prepared.notes, *encoded.notes]
    try:
        if encoded.error is not None:
            raise encoded.error
        with _staging(unit, settings) as folder:
            facts = dict(prepared.facts, notes=notes)
            made = make_features(settings, prepared.fields, encoded)
            paths = write_features(unit, settings, folder, made, facts)
            seconds = prepared.seconds + encoded.seconds
            facts.update(compute_seconds=seconds + time.perf_counter() - start)
            return _commit(unit, settings, lock, prepared.todo, folder, paths, facts)
    except Exception as exc:  # one broken recording must not end the batch, whatever it is
        return record_failure(unit, settings, describe_failure(exc, unit, notes))


def record_failure(unit, settings, facts):
    """Put the facts of a failure on record, and return them; the lock is held."""
    store = Store(settings.folder)
    try:
        old = store.read(unit, settings.job)
        kept = {key: old[key] for key in ("files", "key", "stat") if key in old}
        store.write(
            unit, settings.job, {**kept, **_describe(unit, settings), **facts, "row": facts}
        )
    except OSError as exc:  # not even a record can be written
        return describe_failure(exc, unit, facts["notes"])
    return facts


def describe_failure(exc, unit, notes=()):
    """Return the facts of a failure, its message on one line."""
    line = " ".join(str(exc).split()).replace(f"{unit.root}/", "")
    expected = isinstance(exc, OSError | RuntimeError | TypeError | ValueError)
    return dict(
        status="failed",
        why=line if expected and line else f"{type(exc).__name__}: {line}",
        traceback="".join(traceback.format_exception(type(exc), exc, exc.__traceback__)),
        notes=list(notes),
    )


def find_key(unit, settings, record):
    """Return what has to agree for a recording to be done.

    Parameters
    ----------
    unit : Unit
        The recording.
    settings : Settings
        What to do.
    record : dict
        Its record, which knows checksums.

    Returns
    -------
    key : dict
        ``version``, ``parameters``, ``weights`` and the checksums of the ``input``.
    stat : dict
        The same checksums, with sizes and times of change.
    """
    stat = find_checksums(list_input_files(unit), unit.root, record.get("stat", {}))
    key = dict(
        version=__version__,
        parameters=settings.parameters,
        weights=settings.weights,
        input={name: entry["sha256"] for name, entry in stat.items()},
    )
    return key, stat


def _attempt(step, unit, settings, *args):
    """Take a step; return what it does, or the facts of its failure."""
    with warnings.catch_warnings(record=True) as caught, use_log_level("error"):
        warnings.simplefilter("always")
        try:
            return step(unit, settings, *args, caught)
        except Exception as exc:  # one broken recording must not end the batch, whatever it is
            return describe_failure(exc, unit, _list_notes(caught))


def _list_notes(caught):
    """Return the warnings that a recording gave, each once."""
    return list(dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught))


def _describe(unit, settings):
    """Return what every record says."""
    return dict(
        recording=unit.path.as_posix(),
        entities=unit.entities,
        job=settings.job,
        version=__version__,
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def _run_locked(unit, settings, lock, caught):
    """Do a recording; return the facts."""
    todo = _find_todo(unit, settings)
    if isinstance(todo, dict):
        return todo
    with _staging(unit, settings) as folder:
        start = time.perf_counter()
        made, facts = WORK[settings.job](unit, settings, folder)
        facts.update(compute_seconds=time.perf_counter() - start, notes=_list_notes(caught))
        return _commit(unit, settings, lock, todo, folder, made, facts)


def _prepare_locked(unit, settings, caught):
    """Do a recording up to where the network is needed."""
    start = time.perf_counter()
    todo = _find_todo(unit, settings)
    if isinstance(todo, dict):
        return todo
    with _staging(unit, settings, _READING) as folder:
        windows, fields, facts = cut_unit(unit, settings, folder)
    seconds = time.perf_counter() - start
    return windows, Prepared(todo, fields, facts, _list_notes(caught), seconds)


def _find_todo(unit, settings):
    """Return what has to be done with a recording, or the facts of one that is done."""
    if unit.problem:
        raise ValueError(unit.problem)
    store = Store(settings.folder)
    record = store.read(unit, settings.job)
    key, stat = find_key(unit, settings, record)
    why = store.find_reason(record, key)
    if not why and not settings.overwrite:
        return dict(record["row"], status="skipped", why="")
    _check_foreign(settings, unit, record)
    return Todo(why or "overwritten", key, stat)


def _check_foreign(settings, unit, record):
    """Raise if a file is in the way that no run of this package has made."""
    name = settings.get_target(unit)
    taken = (settings.folder / name).exists() and name not in record.get("files", {})
    if taken and not settings.overwrite:
        raise FileExistsError(
            f"{name} exists already, and no run noted that it made it. Move it away, or allow "
            "overwriting."
        )


@contextmanager
def _staging(unit, settings, part=""):
    """Yield an empty folder for the files of a recording until all of them are there."""
    folder = Store(settings.folder).clear_staging(unit, settings.job + part)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def _commit(unit, settings, lock, todo, folder, made, facts):
    """Move the files of a recording to their places; return the facts."""
    store = Store(settings.folder)
    _check_foreign(settings, unit, store.read(unit, settings.job))  # it may have come meanwhile
    content = dict(_describe(unit, settings), key=todo.key, stat=todo.stat, row=facts)
    staged = {path.relative_to(folder).as_posix(): path for path in made}
    store.commit(unit, settings.job, content, staged, lock)
    return dict(facts, status="done", why=todo.why)
