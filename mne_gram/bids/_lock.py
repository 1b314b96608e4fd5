# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Locks that keep two runs off one recording, on one machine or on many that share a disk.

A lock is a file that can only be made once. It names its owner, and is touched while that lives, so
that the lock of a process that is dead is told from one that is at work.
"""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

BEAT = 20.0  # seconds between touches
STALE = 600.0  # without a touch for so long, an owner on another machine is dead
_STALE_EMPTY = 10.0  # a lock without content is of a process that died while it made it


class LostLock(RuntimeError):
    """Somebody else took a lock that was held."""


def _describe_process(pid):
    """Return what a process is told by: where it runs, its number and when it began."""
    space, started = "", ""
    try:
        space = os.readlink("/proc/self/ns/pid")  # containers count processes for themselves
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):  # not Linux, or no such process
        pass
    return dict(host=socket.gethostname(), space=space, pid=pid, started=started)


class Lock:
    """A lock that is held while a recording is worked on.

    Parameters
    ----------
    path : pathlib.Path
        The file, in a folder that exists.
    """

    def __init__(self, path):
        self.path = path
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread = None

    def acquire(self):
        """Take the lock, if nobody who lives has it.

        Returns
        -------
        taken : bool
            Whether it was taken.
        """
        taken = self._make() or (self._break_stale() and self._make())
        if taken:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()
        return taken

    def check(self):
        """Raise LostLock if the lock is no longer this one."""
        if _read(self.path).get("token") != self._token:
            raise LostLock(
                f"The lock {self.path.name} was taken over by another run, for which this one "
                "seemed to be dead. Nothing was written."
            )

    def release(self):
        """Give the lock back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if _read(self.path).get("token") == self._token:
            with suppress(OSError):  # then it is stale when this process has ended
                self.path.unlink(missing_ok=True)

    def _make(self):
        content = json.dumps(dict(_describe_process(os.getpid()), token=self._token))
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        return True

    def _break_stale(self):
        """Remove the lock of a dead process; one at a time, so that no new one is removed."""
        if not _is_stale(self.path):
            return False
        breaker = self.path.with_name(f"{self.path.name}.breaking")
        try:
            os.close(os.open(breaker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            if _get_age(breaker) > STALE:  # its maker died within a millisecond's work
                breaker.unlink(missing_ok=True)
            return False
        try:
            if _is_stale(self.path):
                self.path.unlink(missing_ok=True)
            return True
        finally:
            breaker.unlink(missing_ok=True)

    def _beat(self):
        while not self._stop.wait(BEAT):
            try:
                os.utime(self.path)
            except OSError:  # check() tells, before anything is written
                return


def _read(path):
    """Return what a lock says, or nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_stale(path):
    """Tell whether the owner of a lock is dead."""
    owner, age = _read(path), _get_age(path)
    if not owner:
        return age > _STALE_EMPTY
    here = _describe_process(os.getpid())
    if os.name == "posix" and all(owner.get(key) == here[key] for key in ("host", "space")):
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it lives, and is somebody else's
            pass
        started = _describe_process(owner["pid"])["started"]
        return started != owner.get("started", started)  # the number was given out again
    return age > STALE


def _get_age(path):
    """Return how many seconds ago a file was touched, by the clock of its own disk."""
    probe = path.with_name(f".clock-{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:  # released meanwhile
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def hold(path, wait=0.0):
    """Hold a lock for as long as the context lasts.

    Parameters
    ----------
    path : pathlib.Path
        The file. Its folder is made.
    wait : float
        Seconds to wait for it.

    Yields
    ------
    lock : Lock | None
        The lock, or None if somebody else has it.
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
