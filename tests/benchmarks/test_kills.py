# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Runs that are killed at random times end as an unbroken one."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")
PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bids", "training"])
def test_killed_runs(what):
    """A short version of the program finds no difference."""
    command = [sys.executable, PROGRAM, "--what", what, "--runs", "6", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"(\d+) kills in (\d+) runs.* 0 differences", done.stdout)
    assert sum(int(kills) for kills, _ in counts) == 6


@pytest.fixture(scope="module")
def kills(load_benchmark):
    return load_benchmark("kills")


def _read(name):
    return Path.read_bytes


def _write_slowly(path, parts):
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
            file.flush()
            time.sleep(0.1)


def test_half_files_are_found(kills, tmp_path):
    """A job that takes half a file for a whole one is reported, one that writes it anew is not."""

    def careless(folder):
        folder.mkdir(exist_ok=True)
        if not (folder / "a").exists():
            _write_slowly(folder / "a", (b"half ", b"whole"))

    def careful(folder):
        folder.mkdir(exist_ok=True)
        _write_slowly(folder / "a", (b"half ", b"whole"))

    def compare(*folders):
        return kills.compare_files(*folders, _read)

    for job, n_problems in ((careless, 1), (careful, 0)):
        place = tmp_path / job.__name__
        place.mkdir()
        count = kills.kill_and_resume(job, compare, 8, 0, place)
        assert len(count.problems) == n_problems
        assert count.kills == 8 if not n_problems else "a differs" in count.problems[0]


def test_failures_are_found(kills, tmp_path):
    """A process that ends with an error is a problem, and one that always does ends the program."""

    def second_time(folder):
        folder.mkdir()
        time.sleep(0.1)

    def always(folder):
        raise ValueError

    count = kills.kill_and_resume(second_time, lambda *folders: [], 8, 0, tmp_path)
    assert "a process ended with status 1" in count.problems[0]
    with pytest.raises(RuntimeError, match="fails even if it is not killed"):
        kills.kill_and_resume(always, None, 1, 0, tmp_path / "always")


def test_comparison(kills, tmp_path):
    """Different, missing and unexpected files are found, also in hidden folders; times are not."""
    for name in ("one", "two"):
        for file in (".mne_gram/staging/x", "logs/a.log", "sub-01/a.tsv", "index.html"):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text("x")
    folders = tmp_path / "one", tmp_path / "two"
    assert list(kills.compare_data_sets(*folders)) == []
    (folders[0] / "logs" / "a.log").write_text("y")
    (folders[0] / "sub-01" / "a.tsv").write_text("y")
    (folders[0] / ".mne_gram" / "staging" / "x").unlink()
    (folders[0] / ".mne_gram" / "staging" / "y").touch()
    assert list(kills.compare_data_sets(*folders)) == [
        ".mne_gram/staging/x is missing",
        ".mne_gram/staging/y is unexpected",
        "sub-01/a.tsv differs",
    ]
