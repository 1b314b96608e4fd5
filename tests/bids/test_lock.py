# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Lock files: one owner at a time, and never a dead one."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from mne_gram.bids import _lock
from mne_gram.bids._lock import Lock, LostLock, hold


def _write(path, age=0.0, **changes):
    """Write the lock of another process, touched some seconds ago."""
    owner = _lock._describe_process(os.getpid()) | dict(token="other") | changes
    path.write_text(json.dumps(owner), encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)


def test_one_owner(tmp_path):
    """A second process gets the lock only after the first one releases it."""
    path = tmp_path / "locks" / "a.lock"
    with hold(path) as first:
        assert isinstance(first, Lock)
        first.check()
        with hold(path) as second:
            assert second is None
        assert path.exists()
    with hold(path) as third:
        assert third is not None
    assert list(path.parent.iterdir()) == []


def test_released_after_an_error(tmp_path):
    """The lock is released after an error."""
    with pytest.raises(KeyError), hold(tmp_path / "a.lock"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_waits(tmp_path):
    """A waiting process gets the lock when it is released."""
    path = tmp_path / "a.lock"
    first = Lock(path)
    assert first.acquire()
    timer = threading.Timer(0.3, first.release)
    timer.start()
    with hold(path, wait=10) as second:
        assert second is not None
    timer.join()


def test_dead_owner_of_this_machine(tmp_path):
    """The lock of a dead process, or of a reused PID, is taken over immediately."""
    path = tmp_path / "a.lock"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _write(path, pid=dead.pid)
    with hold(path) as lock:
        assert lock is not None
    if sys.platform == "linux":
        _write(path, pid=os.getpid(), started="1")
        with hold(path) as lock:
            assert lock is not None
    _write(path, pid=os.getpid())
    with hold(path) as lock:
        assert lock is None


@pytest.mark.parametrize("change", [dict(host="elsewhere"), dict(space="pid:[1]")])
def test_owner_elsewhere(tmp_path, change):
    """A process on another machine or in a container is alive as long as it touches its lock."""
    path = tmp_path / "a.lock"
    _write(path, age=_lock.STALE / 2, **change)
    with hold(path) as lock:
        assert lock is None
    _write(path, age=_lock.STALE * 2, **change)
    with hold(path) as lock:
        assert lock is not None


def test_empty_lock(tmp_path):
    """A lock without an owner is of a process that died creating it."""
    path = tmp_path / "a.lock"
    path.touch()
    with hold(path) as lock:
        assert lock is None
    os.utime(path, (time.time() - 60,) * 2)
    with hold(path) as lock:
        assert lock is not None


def test_heartbeat(tmp_path, monkeypatch):
    """A lock that is held is touched regularly."""
    monkeypatch.setattr(_lock, "BEAT", 0.05)
    path = tmp_path / "a.lock"
    with hold(path):
        os.utime(path, (1, 1))
        time.sleep(0.5)
        assert path.stat().st_mtime > 1e6


def test_killed_while_it_took_over(tmp_path):
    """A process that was killed while it removed a stale lock does not hold up the next one."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in ("a.lock", "a.lock.breaking"):
        _write(tmp_path / name, pid=dead.pid)
    with hold(tmp_path / "a.lock") as lock:
        assert lock is not None
    assert list(tmp_path.iterdir()) == []
    _write(tmp_path / "a.lock", pid=dead.pid)
    _write(tmp_path / "a.lock.breaking")  # by a process that is alive
    with hold(tmp_path / "a.lock") as lock:
        assert lock is None


def test_stale_locks_are_removed(tmp_path):
    """Locks of dead processes are removed, also those that no process wants; others are kept."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _write(tmp_path / "a.lock", pid=dead.pid)
    _write(tmp_path / "b.lock")
    _write(tmp_path / "c.lock", host="elsewhere")
    _lock.remove_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.lock", "c.lock"]
    _lock.remove_stale(tmp_path / "missing")


def test_lost_lock(tmp_path):
    """A process taken for dead notices before it writes, and does not remove the new lock."""
    path = tmp_path / "a.lock"
    with hold(path) as lock:
        _write(path)
        with pytest.raises(LostLock, match="taken over"):
            lock.check()
    assert json.loads(path.read_text(encoding="utf-8"))["token"] == "other"


def test_only_one_takes_over(tmp_path):
    """Of several processes that find a stale lock at the same time, one gets it."""
    path = tmp_path / "a.lock"
    for _ in range(20):
        _write(path, age=2 * _lock.STALE, host="elsewhere")
        locks, taken = [Lock(path) for _ in range(8)], []
        barrier = threading.Barrier(len(locks))

        def take(lock, barrier=barrier, taken=taken):
            barrier.wait()
            if lock.acquire():
                taken.append(lock)

        threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) <= 1  # somebody may have looked while another one broke it
        for lock in taken:
            lock.check()
            lock.release()
        path.unlink(missing_ok=True)


def test_stale_breaker(tmp_path):
    """A process that died breaking a lock does not block it forever."""
    path = tmp_path / "a.lock"
    _write(path, age=2 * _lock.STALE, host="elsewhere")
    breaker = tmp_path / "a.lock.breaking"
    breaker.touch()
    with hold(path) as lock:
        assert lock is None
    os.utime(breaker, (1, 1))
    with hold(path, wait=5) as lock:
        assert lock is not None
