# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Lock files: only one run processes a recording, on one machine or on several with a shared disk.

A lock file can only be created once. It names its owner, which touches it regularly, so that the
lock of a dead process can be distinguished from that of a running one.
"""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from .._formats import read_json_object

BEAT = 20.0  # seconds between touches
STALE = 600.0  # seconds without a touch after which an owner on another machine is dead
_MOST_BYTES = 2**16  # of a lock file
_LARGEST_PID = 2**31 - 1
_STALE_EMPTY = 10.0  # the same for a lock without content, whose owner died creating it


class LostLock(RuntimeError):
    """Another process took over a lock that was held."""


def _describe_process(pid):
    """Return what identifies a process: host, PID namespace, PID and start time."""
    space, started = "", ""
    try:
        space = os.readlink("/proc/self/ns/pid")  # each container has its own PIDs
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):  # not Linux, or no such process
        pass
    return dict(host=socket.gethostname(), space=space, pid=pid, started=started)


class Lock:
    """A lock file, in a folder that exists."""

    def __init__(self, path):
        self.path = path
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread = None

    def acquire(self):
        """Try to take the lock; return whether it was free, or its owner dead."""
        taken = self._create() or (_break_stale(self.path) and self._create())
        if taken:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()
        return taken

    def check(self):
        """Raise LostLock if the lock is no longer held."""
        if _read(self.path).get("token") != self._token:
            raise LostLock(
                f"The lock {self.path.name} was taken over by another run, because this one seemed "
                "to have stopped. Nothing was written."
            )

    def release(self):
        """Release the lock."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if _read(self.path).get("token") == self._token:
            with suppress(OSError):  # it then becomes stale when this process ends
                self.path.unlink(missing_ok=True)

    def _create(self):
        return _create(self.path, self._token)

    def _beat(self):
        while not self._stop.wait(BEAT):
            try:
                os.utime(self.path)
            except OSError:  # check() finds out before anything is written
                return


def _create(path, token):
    """Create a lock file; return whether there was none."""
    content = json.dumps(dict(_describe_process(os.getpid()), token=token))
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    return True


def _break_stale(path):
    """Remove the lock of a dead process; one process at a time, lest it remove a new lock."""
    if not _is_stale(path):
        return False
    breaker = path.with_name(f"{path.name}.breaking")
    if not _create(breaker, uuid.uuid4().hex):
        if not _is_stale(breaker):
            return False
        breaker.unlink(missing_ok=True)  # its owner died within the next lines
        if not _create(breaker, uuid.uuid4().hex):
            return False
    try:
        if _is_stale(path):
            path.unlink(missing_ok=True)
        return True
    finally:
        breaker.unlink(missing_ok=True)


def remove_stale(folder):
    """Remove the locks of dead processes in a folder, which nobody may want to take over."""
    for path in sorted(folder.glob("*.lock")):
        _break_stale(path)


def _read(path):
    """Return the content of a lock file, empty if it is not that of a process."""
    try:
        content = read_json_object(path, max_bytes=_MOST_BYTES)
    except (OSError, ValueError):
        return {}
    pid = content.get("pid")
    texts = [content.get(key) for key in ("host", "space", "started", "token")]
    is_lock = type(pid) is int and 0 < pid <= _LARGEST_PID
    return content if is_lock and all(isinstance(text, str) for text in texts) else {}


def _is_stale(path):
    """Return whether the owner of a lock is dead."""
    owner = _read(path)
    if not owner:
        return _get_age(path) > _STALE_EMPTY
    here = _describe_process(os.getpid())
    if os.name == "posix" and all(owner.get(key) == here[key] for key in ("host", "space")):
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it is alive, and of another user
            pass
        started = _describe_process(owner["pid"])["started"]
        return started != owner.get("started", started)  # the PID was reused
    return _get_age(path) > STALE


def _get_age(path):
    """Return how many seconds ago a file was touched, by the clock of its file system."""
    probe = path.with_name(f".clock-{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.lstat().st_mtime
    except FileNotFoundError:  # released in the meantime
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def hold(path, wait=0.0):
    """Hold a lock during the context, after waiting for it at most some seconds.

    Yields the lock, or None if another process holds it. The folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, until = Lock(path), time.monotonic() + wait
    while not lock.acquire():
        if time.monotonic() >= until:
            yield None
            return
        time.sleep(0.1)
    try:
        yield lock
    finally:
        lock.release()
