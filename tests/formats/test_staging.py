# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files are written completely or not at all."""

import os
import signal
import sys

import pytest

from mne_gram._formats import check_free, staged, staged_together


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_dangling_links_are_files(tmp_path):
    """A link to a missing file is only replaced if that is allowed, never written through."""
    path = tmp_path / "a.txt"
    path.symlink_to(tmp_path / "missing")
    with pytest.raises(FileExistsError, match="a.txt already exists"):
        check_free([path], False)
    with pytest.raises(FileExistsError, match="a.txt already exists"):
        with staged(path, False) as file:
            file.write_text("new")
    assert path.is_symlink()
    with staged(path, True) as file:
        file.write_text("new")
    assert path.read_text() == "new" and not path.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_staged_together(tmp_path):
    """Either all of several files are moved, or none."""
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    with pytest.raises(OSError, match="no space left"):
        with staged_together(paths, False) as files:
            files[0].write_text("new")
            raise OSError("no space left")
    with pytest.raises(FileExistsError, match="a.txt already exists"):
        with staged_together(paths, False) as files:
            for file in files:
                file.write_text("new")
            paths[0].write_text("old")  # by another program meanwhile
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    with staged_together(paths, True) as files:
        for file in files:
            file.write_text("new")
        assert paths[0].read_text() == "old" and not paths[1].exists()
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert sorted(tmp_path.iterdir()) == paths


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError(13, "no")])
def test_failure_between_moves(tmp_path, monkeypatch, has_links, number, error):
    """Whichever move fails, older files are as before, and there are no new ones."""
    paths = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    paths[0].write_text("old a")
    paths[2].write_text("old c")
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    replace, moved = os.replace, []

    def fail(file, target):
        with open(file) as text:
            is_new = text.read() == "new"
        if is_new:
            if len(moved) == number:
                raise error
            moved.append(target)
        replace(file, target)

    monkeypatch.setattr("os.replace", fail)
    if not has_links:
        monkeypatch.setattr("os.link", _have_no_links, raising=False)
    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        with staged_together(paths, True) as files:
            for file in files:
                file.write_text("new")
    assert len(moved) == number
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before


def _have_no_links(*args, **kwargs):
    raise OSError("no links here")


def test_file_of_another_program(tmp_path, monkeypatch):
    """A file that appears at the last moment is not replaced, and the others are removed."""
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    check = check_free

    def appear(files, overwrite):
        check(files, overwrite)
        paths[0].write_text("theirs")

    monkeypatch.setattr("mne_gram._formats._staging.check_free", appear)
    with pytest.raises(FileExistsError, match="a.txt already exists"):
        with staged_together(paths, False) as files:
            for file in files:
                file.write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "theirs"}


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_between_moves(tmp_path, monkeypatch, name):
    """It waits until all files are in their places."""
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    link, seen = os.link, []

    def stop(number, frame):
        seen.append(sorted(path.name for path in tmp_path.glob("*.txt")))
        raise KeyboardInterrupt

    def interrupt(file, target, **kwargs):
        link(file, target, **kwargs)
        signal.raise_signal(getattr(signal, name))

    old = signal.signal(getattr(signal, name), stop)
    monkeypatch.setattr("os.link", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            with staged_together(paths, False) as files:
                for file in files:
                    file.write_text("new")
        assert signal.getsignal(getattr(signal, name)) is stop
    finally:
        signal.signal(getattr(signal, name), old)
    assert seen[0] == ["a.txt", "b.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_interrupt_while_a_move_fails(tmp_path, monkeypatch):
    """It is not lost."""

    def fail(file, target, **kwargs):
        signal.raise_signal(signal.SIGINT)
        raise PermissionError("no")

    monkeypatch.setattr("os.link", fail)
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        with staged(tmp_path / "a.txt", False) as file:
            file.write_text("new")
    assert list(tmp_path.iterdir()) == []
