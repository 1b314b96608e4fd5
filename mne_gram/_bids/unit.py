# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One recording of a data set: done as a whole or not at all, and only if it is not done yet."""

import time
import traceback
import warnings
from shutil import rmtree

from mne.utils import use_log_level

from .._version import __version__
from .lock import hold
from .read import list_input_files
from .state import Store, find_checksums
from .work import WORK


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
    start, store = time.perf_counter(), Store(settings.folder)
    row = dict(recording=unit.path.as_posix(), job=settings.job, why="")
    with warnings.catch_warnings(record=True) as caught, use_log_level("error"):
        warnings.simplefilter("always")
        try:
            with hold(store.get_lock_path(unit, settings.job)) as lock:
                if lock is None:
                    row.update(status="busy", why="another run is at it")
                else:
                    row.update(_try_locked(unit, settings, store, lock, caught))
        except OSError as exc:  # not even a lock can be written
            row.update(_describe_failure(exc, unit, caught))
    return dict(row, seconds=time.perf_counter() - start)


def _try_locked(unit, settings, store, lock, caught):
    """Do a recording that nobody else is at; return the facts, also those of a failure."""
    try:
        if unit.problem:
            raise ValueError(unit.problem)
        return _run_locked(unit, settings, store, lock, caught)
    except Exception as exc:  # one broken recording must not end the batch, whatever it is
        facts = _describe_failure(exc, unit, caught)
    old = store.read(unit, settings.job)
    kept = {key: old[key] for key in ("files", "key", "stat") if key in old}
    store.write(unit, settings.job, {**kept, **_describe(unit, settings), **facts, "row": facts})
    return facts


def _describe_failure(exc, unit, caught):
    """Return the facts of a failure, its message on one line."""
    line = " ".join(str(exc).split()).replace(f"{unit.root}/", "")
    expected = isinstance(exc, OSError | RuntimeError | TypeError | ValueError)
    return dict(
        status="failed",
        why=line if expected and line else f"{type(exc).__name__}: {line}",
        traceback="".join(traceback.format_exception(type(exc), exc, exc.__traceback__)),
        notes=_list_notes(caught),
    )


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


def _run_locked(unit, settings, store, lock, caught):
    """Do a recording; return the facts."""
    record = store.read(unit, settings.job)
    key, stat = find_key(unit, settings, record)
    why = store.find_reason(record, key)
    if not why and not settings.overwrite:
        return dict(record["row"], status="skipped", why="")
    _check_foreign(settings, unit, record)
    folder = store.clear_staging(unit, settings.job)
    try:
        start = time.perf_counter()
        made, facts = WORK[settings.job](unit, settings, folder)
        facts.update(compute_seconds=time.perf_counter() - start, notes=_list_notes(caught))
        content = dict(_describe(unit, settings), key=key, stat=stat, row=facts)
        staged = {path.relative_to(folder).as_posix(): path for path in made}
        store.commit(unit, settings.job, content, staged, lock)
    finally:
        rmtree(folder, ignore_errors=True)
    return dict(facts, status="done", why=why or "overwritten")


def _check_foreign(settings, unit, record):
    """Raise if a file is in the way that no run of this package has made."""
    name = settings.get_target(unit)
    taken = (settings.folder / name).exists() and name not in record.get("files", {})
    if taken and not settings.overwrite:
        raise FileExistsError(
            f"{name} exists already, and no run noted that it made it. Move it away, or allow "
            "overwriting."
        )
