# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files are written completely or not at all."""

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
