# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The examples in docstrings run and print what they say."""

import doctest
import importlib
from pathlib import Path

import mne
import pytest

import mne_gram

PACKAGE = Path(mne_gram.__file__).parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def list_modules():
    """Return the names of the modules that have examples."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text("utf8")]
    return [".".join(("mne_gram", *p.relative_to(PACKAGE).with_suffix("").parts)) for p in paths]


def test_there_are_examples():
    assert {"mne_gram.restoration._restore", "mne_gram.restoration._harmonize"} <= set(
        list_modules()
    )


@pytest.mark.parametrize("name", list_modules())
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for those that write
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=FLAGS)
    with mne.use_log_level("warning"):  # MNE logs to the standard output
        for test in finder.find(importlib.import_module(name)):
            runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0
