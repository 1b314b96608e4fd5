# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of streams measures errors by delay, and when damage is found."""

import numpy as np
import pytest

import mne_gram


@pytest.fixture(scope="module")
def halves():
    """Return data to learn from, and as many that arrive later."""
    raw, _ = mne_gram.simulation.simulate_raw(42.0, sfreq=100.0, seed=3, artefacts=())
    raw.filter(1.0, 45.0)
    return raw.copy().crop(0, 20), raw.crop(20)


def test_errors(load_benchmark, halves, monkeypatch):
    bench = load_benchmark("live")
    monkeypatch.setattr(bench, "DRAWS", 1)
    monkeypatch.setattr(bench, "DELAYS", (0.0, 0.825))
    logs = bench.measure_errors(*halves, np.random.default_rng(0))
    assert list(logs) == ["spline", "0 s", "0.825 s"]
    assert max(logs["0 s"], logs["0.825 s"]) < logs["spline"] < 0.5


def test_detection(load_benchmark, halves, monkeypatch):
    bench = load_benchmark("live")
    monkeypatch.setattr(bench, "DRAWS", 1)
    monkeypatch.setattr(bench, "DAMAGES", ("flat", "loose"))
    rows, alarms = bench.measure_detection(*halves, np.random.default_rng(0))
    assert [row["kind"] for row in rows] == ["flat", "loose"]
    assert 0 < rows[0]["seconds"] <= 0.5 < rows[1]["seconds"] <= 1.5
    assert all(2 < row["recovery"] < 4 for row in rows)
    assert alarms["alarms"] < 0.5 and alarms["share"] < 0.05
