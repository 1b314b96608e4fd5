# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The table of uses with other packages: what works, what names the cure, what is missing."""

import csv
import importlib

import mne
import pytest


@pytest.fixture
def load(parts, monkeypatch):
    """Return a function that imports a module of the benchmarks under its own name."""
    monkeypatch.syspath_prepend(str(parts.FOLDER))
    return importlib.import_module


def _fail():
    raise ValueError("This makes no sense: use\nthe other one.")


def test_outcomes(load):
    uses = load("_uses")
    outcomes = [
        (lambda: None, None, ("yes", "")),
        (lambda: None, "the other", ("no", "No error was raised.")),
        (_fail, "use the other", ("message", "This makes no sense: use the other one.")),
        (_fail, "something else", ("no", "ValueError: This makes no sense: use the other one.")),
        (_fail, None, ("no", "ValueError: This makes no sense: use the other one.")),
    ]
    for run, cure, expected in outcomes:
        assert uses.try_use(uses.Use("MNE-Python", "a use", run, cure)) == expected


def test_table(load, monkeypatch, tmp_path, capsys):
    """It counts the outcomes, and names packages that are not installed."""
    uses, make = load("uses"), load("_uses").Use
    listed = [
        make("MNE-Python", "works", lambda: None, None),
        make("MNE-Python", "fails", _fail, None),
        make("scikit-learn", "is explained", _fail, "no sense"),
        make("no-such-package", "is left out", lambda: None, None),
    ]
    monkeypatch.setattr(uses, "USES", listed)
    with mne.use_log_level("error"):
        assert uses.main(["--csv", str(tmp_path / "uses.csv")]) == 1
        assert uses.main(["--only", "scikit-learn"]) == 0
    printed = capsys.readouterr().out
    assert "no-such-package is not installed: 1 uses left out." in printed
    assert "1 of 3 uses work, 1 raise an error that names the cure, 1 do not work." in printed
    assert "0 of 1 uses work, 1 raise" in printed
    with open(tmp_path / "uses.csv", encoding="utf-8") as file:
        rows = [(row["package"], row["use"], row["works"]) for row in csv.DictReader(file)]
    works = ["yes", "no", "message"]
    assert rows == [(u.package, u.name, w) for u, w in zip(listed, works, strict=False)]


@pytest.mark.parametrize(
    "name",
    [
        "exclude and reset_bads as in interpolate_bads",
        "bad channels beside annotate_muscle_zscore",
        "current source density before",
    ],
)
def test_uses_of_mne(load, name):
    """Some of those that are quick; the benchmark runs all of them."""
    load("_uses_mne")
    uses = load("_uses")
    assert len({(use.package, use.name) for use in uses.USES}) == len(uses.USES)
    (found,) = [use for use in uses.USES if use.name == name]
    with mne.use_log_level("error"):
        works, message = uses.try_use(found)
    assert works == ("message" if found.cure else "yes"), message
