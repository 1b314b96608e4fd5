# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Two hundred random recordings: see ``benchmarks/fuzz.py``."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def fuzz():
    """Return the module of the benchmark."""
    if not FOLDER.is_dir():
        pytest.skip("The benchmarks are not beside the tests.")
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("fuzz")
    finally:
        sys.path.remove(str(FOLDER))


# Making the input may warn; warnings of the package and of others are checked in each case.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("start", range(0, 200, 20))
def test_what_must_always_hold(fuzz, start):
    problems = [fuzz.check_quietly(seed)[2] for seed in range(start, start + 20)]
    assert not any(problems), "\n".join(problem for problem in problems if problem)
