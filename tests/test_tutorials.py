# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The tutorials run from the first line to the last."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "tutorials"
NAMES = sorted(path.name for path in FOLDER.glob("*.py"))
QUICK = "90_published_weights.py"


@pytest.mark.parametrize(
    "name", [n if n == QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_tutorial_runs(name, tmp_path):
    """Nothing fails, and nothing is written into the working directory or the repository."""
    before = sorted(FOLDER.iterdir())
    command = [sys.executable, FOLDER / name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list(tmp_path.iterdir())
    assert [path for path in sorted(FOLDER.iterdir()) if path.suffix != ".pyc"] == before
