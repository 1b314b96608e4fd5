# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of the cost of restoring."""

import csv

import numpy as np
import pytest


@pytest.fixture
def module(load_benchmark):
    """Return the module of the sweep."""
    return load_benchmark("_sweep")


def test_masks(module):
    """Each kind of mask is what its name says, and leaves channels to restore from."""
    assert {case.bad for case in module.CASES} >= {"one", "scattered", "detection", "patches"}
    for bad in {case.bad for case in module.CASES} - {"detection"}:
        mask = module.draw_mask(module.Case(16, 100, 20, bad))
        whole = mask.all(axis=1)
        assert mask.any() and (~mask).any(axis=0).all()
        assert whole.any() == (bad == "one" or bad.endswith("%"))
    assert module.draw_mask(module.Case(64, 100, 2, "30 %"))[:, 0].sum() == 19
    assert np.isclose(module.draw_mask(module.Case(16, 100, 9, "scattered")).mean(), 0.4, atol=0.02)


def test_sweep(module, monkeypatch, tmp_path, capsys):
    """Rows have the ratio to the limit and to other packages, and the worst is named."""
    costs = {"one": 3.0, "segments": 2.0, "detection": 1.0}

    def measure(case, method):
        if method == "auto":
            return costs[case.bad], 10.0
        return (0.5, 1.0) if case.bad == "one" else (np.nan, np.nan)

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(module, "warm_up", lambda: None)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    cases = [module.Case(64, 160, 20, bad) for bad in costs]
    rows = module.sweep(cases, tmp_path / "speed.csv")
    assert [row["over the limit"] for row in rows] == ["1.00", "0.67", "0.33"]
    assert [row["times interpolate_bads"] for row in rows] == ["6.0", "", ""]
    assert capsys.readouterr().out.splitlines()[-1].startswith("Worst: channels 64")
    with open(tmp_path / "speed.csv", encoding="utf-8") as file:
        assert [row["bad"] for row in csv.DictReader(file)] == list(costs)


def test_cases_run(module):
    """Both sides of a comparison restore the same channels of the same data."""
    case = module.Case(16, 100, 4, "10 %")
    for method in ("auto", "interpolate_bads"):
        restored = module.prepare(case, method)()
        restored = restored[0] if isinstance(restored, tuple) else restored
        assert not restored.info["bads"]
    assert module.prepare(module.Case(16, 100, 4, "segments"), "interpolate_bads") is None
