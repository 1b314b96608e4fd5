# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The journal of a derivative data set: what was done with each recording, so that runs resume.

Each recording and job has an entry, a JSON file in ``.mne_gram/records``: the files that were made,
from which input and with which settings. Files are moved to their places between an entry that
announces them and one that confirms them.
"""

import json
import os
from pathlib import Path

from pooch import file_hash

from .._formats import find_place, read_json_object, remove_tree
from ._entries import FORMAT, PRIVATE, is_valid

_DAMAGED = dict(status="damaged", was_damaged=True)
# The parts of a key, and how a change of each is reported.
_KEY = dict(
    version="the version of mne_gram",
    parameters="the parameters",
    weights="the weights",
    input="the input",
)


class Journal:
    """The journal of the derivative data set in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def _get_path(self, recording, job):
        return self.folder / PRIVATE / "records" / f"{recording.name}.{job}.json"

    def get_lock_path(self, recording, job):
        """Return the lock file of a recording."""
        return self.folder / PRIVATE / "locks" / f"{recording.name}.{job}.lock"

    def get_staging(self, recording, job):
        """Return the folder of the files of a recording until they are complete."""
        return self.folder / PRIVATE / "staging" / f"{recording.name}.{job}"

    def read(self, recording, job):
        """Return the entry of a recording, an empty dict if there is none.

        The status of an entry that is not valid is ``"damaged"``, and nothing else of it is used.
        """
        return self._read(self._get_path(recording, job))

    def _read(self, path):
        if not os.path.lexists(path):
            return {}
        try:
            entry = read_json_object(path)
        except (OSError, ValueError):
            return dict(_DAMAGED)
        return entry if is_valid(entry, self.folder, path.name) else dict(_DAMAGED)

    def write(self, recording, job, entry):
        """Replace the entry of a recording atomically."""
        name = self._get_path(recording, job).relative_to(self.folder).as_posix()
        text = json.dumps(dict(entry, format=FORMAT), indent=1, ensure_ascii=False)
        write_text(self.folder, name, text)

    def read_all(self):
        """Return all valid entries, sorted by file name."""
        paths = sorted((self.folder / PRIVATE / "records").glob("*.json"))
        entries = [self._read(path) for path in paths]
        return [entry for entry in entries if entry.get("status", "damaged") != "damaged"]

    def find_reason(self, entry, key):
        """Return why a recording has to be processed, empty if its entry is up to date.

        ``key`` has ``version``, ``parameters``, ``weights`` and ``input`` as they are now.
        """
        status = entry.get("status", "new")
        if status != "done":
            reasons = dict(failed="it failed before", moving="it was interrupted")
            reasons["damaged"] = "its record was damaged"
            return reasons.get(status, "it is new")
        old = entry["key"]
        changed = [text for name, text in _KEY.items() if old.get(name) != key[name]]
        if changed:
            return f"{' and '.join(changed)} changed"
        wrong = [name for name, size in entry["files"].items() if self._get_size(name) != size]
        return f"{wrong[0]} is missing or was changed" if wrong else ""

    def _get_size(self, name):
        path = self.folder / name
        return path.stat().st_size if path.is_file() else None

    def commit(self, recording, job, entry, staged, lock):
        """Move the files of a recording to their places, and confirm this in its entry.

        ``staged`` maps the name of each file in the data set to its present path, the file that
        readers open last. The lock of the recording has to be held.
        """
        before = self.read(recording, job).get("files", {})
        sizes = {name: path.stat().st_size for name, path in staged.items()}
        places = {name: find_place(self.folder, name) for name in {**before, **sizes}}
        for path in staged.values():
            _flush(path)
        lock.check()
        # From here on, a later run may replace these files, whatever happens.
        self.write(recording, job, dict(entry, status="moving", files={**before, **sizes}))
        # Without the file that readers open, no incomplete recording is read.
        for place in reversed(places.values()):
            place.unlink(missing_ok=True)
        for name, path in staged.items():
            places[name].parent.mkdir(parents=True, exist_ok=True)
            _replace(path, places[name])
        self.write(recording, job, dict(entry, status="done", files=sizes))

    def clear_staging(self, recording, job):
        """Remove what an interrupted run left; return the empty folder."""
        folder = self.get_staging(recording, job)
        remove_tree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _flush(path):
    """Write a file through to the disk, so that no entry precedes it there."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _replace(path, target):
    """Move a file to its place atomically."""
    os.replace(path, target)


def write_text(folder, name, text):
    """Write a text file of the derivative data set atomically; the caller holds a lock on it."""
    target = find_place(folder, name)
    temporary = get_temporary(folder, name)
    with temporary.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(temporary, target)


def get_temporary(folder, name):
    """Return the path of a file until it is complete: always the same, so that none remain.

    What an interrupted run left there is removed, so that no link is written through.
    """
    path = find_place(folder, f"{PRIVATE}/staging/new.{name.replace('/', '.')}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path


def find_checksums(paths, root, known):
    """Return ``sha256``, ``size`` and ``mtime_ns`` of files, by their names relative to a root.

    ``known`` is an earlier result: a file of the same size and time is not read again.
    """
    files = {}
    for path in paths:
        name, stat = path.relative_to(root).as_posix(), path.stat()
        entry = dict(size=stat.st_size, mtime_ns=stat.st_mtime_ns)
        old = known.get(name, {})
        same = all(old.get(key) == value for key, value in entry.items())
        files[name] = dict(entry, sha256=old["sha256"] if same else file_hash(path))
    return files
