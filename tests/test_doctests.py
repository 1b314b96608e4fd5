# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import mne
import pytest

import mne_gram

PACKAGE = Path(mne_gram.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def list_modules():
    """Return the names of the modules that have examples."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text("utf8")]
    return [".".join(("mne_gram", *p.relative_to(PACKAGE).with_suffix("").parts)) for p in paths]


def test_there_are_examples():
    assert {"mne_gram.restoration._restore", "mne_gram.restoration._harmonize"} <= set(
        list_modules()
    )


def test_examples_of_the_page_about_interpolate_bads():
    """They run, and the page names every parameter of the installed MNE."""
    page = ROOT / "doc" / "interpolate_bads.rst"
    with mne.use_log_level("warning"):
        result = doctest.testfile(str(page), module_relative=False, optionflags=FLAGS)
    assert result.attempted >= 6 and result.failed == 0
    table = page.read_text("utf8").partition("Arguments\n")[2].partition("What else")[0]
    named = re.findall(r"^   \* - ``(\w+)``$", table, re.M)
    parameters = inspect.signature(mne.io.Raw.interpolate_bads).parameters
    assert set(parameters) - {"self"} <= {*named}, "The table of arguments misses some."
    ours = re.findall(r"^   \* - .*\n     - ``(\w+)``$", table, re.M)[1:]
    assert ours and {*ours} <= {*inspect.signature(mne_gram.restore).parameters}


@pytest.mark.parametrize("name", list_modules())
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for those that write
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=FLAGS)
    with mne.use_log_level("warning"):  # MNE logs to the standard output
        for test in finder.find(importlib.import_module(name)):
            runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0
