# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files are written completely or not at all."""

import pytest

from mne_gram._formats import staged_together


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
