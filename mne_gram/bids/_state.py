# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What was done with each recording, so that a run can stop and go on.

Each recording and job has a record, a JSON file in ``.mne_gram/records`` of the derivative data
set. It says what was made, of what, with which settings. Files are moved to their places between a
record that says which ones they will be and one that says that they are there.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

PRIVATE = ".mne_gram"
_FORMAT = 1
# What has to agree for a recording to be done, and how to say that it does not.
_KEY = dict(
    version="the version of mne_gram",
    parameters="the parameters",
    weights="the weights",
    input="the input",
)


class Store:
    """The records of a derivative data set.

    Parameters
    ----------
    folder : path-like
        The derivative data set.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def _get_path(self, unit, job):
        return self.folder / PRIVATE / "records" / f"{unit.name}.{job}.json"

    def get_lock_path(self, unit, job):
        """Return the lock of a recording."""
        return self.folder / PRIVATE / "locks" / f"{unit.name}.{job}.lock"

    def get_staging(self, unit, job):
        """Return where the files of a recording lie until all of them are there."""
        return self.folder / PRIVATE / "staging" / f"{unit.name}.{job}"

    def read(self, unit, job):
        """Return the record of a recording, an empty dict if there is none that can be read."""
        return read_record(self._get_path(unit, job))

    def write(self, unit, job, record):
        """Replace the record of a recording, at once."""
        name = self._get_path(unit, job).relative_to(self.folder).as_posix()
        text = json.dumps(dict(record, format=_FORMAT), indent=1, ensure_ascii=False)
        write_text(self.folder, name, text)

    def read_all(self):
        """Return all records, sorted by the name of their file."""
        paths = sorted((self.folder / PRIVATE / "records").glob("*.json"))
        return [record for path in paths if (record := read_record(path))]

    def find_reason(self, record, key):
        """Say why a recording has to be worked on, or nothing if it is done.

        Parameters
        ----------
        record : dict
            Its record.
        key : dict
            ``version``, ``parameters``, ``weights`` and ``input`` as they are now.

        Returns
        -------
        reason : str
            Why, empty if it is done.
        """
        status = record.get("status", "new")
        if status != "done":
            reasons = dict(failed="it failed before", moving="it was interrupted")
            return reasons.get(status, "it is new")
        old = record["key"]
        changed = [text for name, text in _KEY.items() if old.get(name) != key[name]]
        if changed:
            return f"{' and '.join(changed)} changed"
        wrong = [name for name, size in record["files"].items() if self._get_size(name) != size]
        return f"{wrong[0]} is missing or was changed" if wrong else ""

    def _get_size(self, name):
        path = self.folder / name
        return path.stat().st_size if path.is_file() else None

    def commit(self, unit, job, record, staged, lock):
        """Move the files of a recording to their places, and say so in its record.

        Parameters
        ----------
        unit : Unit
            The recording.
        job : str
            What was done with it.
        record : dict
            What its record is to say; ``status`` and ``files`` are added.
        staged : dict of str to pathlib.Path
            Where each file lies, by its name relative to the derivative data set. The file that
            readers open comes last.
        lock : Lock
            The lock, which has to be held still.
        """
        before = self.read(unit, job).get("files", {})
        sizes = {name: path.stat().st_size for name, path in staged.items()}
        for path in staged.values():
            _flush(path)
        lock.check()
        # From here on the files are this run's to replace, whatever happens.
        self.write(unit, job, dict(record, status="moving", files={**before, **sizes}))
        # Readers open the last one: while it is away, there is no recording to be misread.
        for name in reversed({**before, **sizes}):
            (self.folder / name).unlink(missing_ok=True)
        for name, path in staged.items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, target)
        self.write(unit, job, dict(record, status="done", files=sizes))

    def clear_staging(self, unit, job):
        """Remove what an interrupted run left; return the empty folder."""
        folder = self.get_staging(unit, job)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _flush(path):
    """Have a file written to the disk: its record must not be there before it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _replace(path, target):
    """Move a file to its place, at once."""
    os.replace(path, target)


def read_record(path):
    """Return a record, an empty dict if there is none that can be read."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_known = isinstance(record, dict) and record.get("format") == _FORMAT
    return record if is_known else {}


def write_text(folder, name, text):
    """Write a file of text at once: it is there whole, or as it was before.

    Parameters
    ----------
    folder : pathlib.Path
        The derivative data set.
    name : str
        The name of the file in it. Who writes it holds a lock.
    text : str
        The content.
    """
    temporary = get_temporary(folder, name)
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(temporary, target)


def get_temporary(folder, name):
    """Return where a file lies until it is complete: after a kill, the next run writes over it."""
    staging = folder / PRIVATE / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    return staging / f"new.{name.replace('/', '.')}"


def find_checksums(paths, root, known):
    """Return the checksum, size and time of change of some files.

    Parameters
    ----------
    paths : list of pathlib.Path
        The files.
    root : pathlib.Path
        What their names are relative to.
    known : dict
        What this function returned before. The content of a file whose size and time of change
        are the same is not read again.

    Returns
    -------
    files : dict of str to dict
        ``sha256``, ``size`` and ``mtime_ns`` by name.
    """
    files = {}
    for path in paths:
        name, stat = path.relative_to(root).as_posix(), path.stat()
        entry = dict(size=stat.st_size, mtime_ns=stat.st_mtime_ns)
        old = known.get(name, {})
        same = all(old.get(key) == value for key, value in entry.items())
        files[name] = dict(entry, sha256=old["sha256"] if same else find_sha256(path))
    return files


def find_sha256(path):
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
