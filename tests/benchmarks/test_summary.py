# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The summary of the benchmark of restoration: its numbers, goals, text and figures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


def test_summary(parts):
    rows = [
        *parts.rows_of("a", "one", "spline", [1.0, 0.5, 0.8]),
        *parts.rows_of("a", "one", "spatial", [0.5, 0.1, 0.8], coverage=0.9, power_4_8=0.7),
        *parts.rows_of("b", "segments", "spline", [0.4]),
        *parts.rows_of("b", "segments", "spatial", [0.1]),
        *parts.rows_of("b", "segments", "ridge", [0.2]),
    ]
    found = parts.summary.summarize(rows, ["spline", "ridge", "spatial"])
    table = {(c["dataset"], c["regime"], c["method"]): c for c in found}
    assert len(table) == len(found) == 5
    cell = table["a", "one", "spatial"]
    assert cell["n"] == 3
    assert cell["nmse"] == pytest.approx(0.5)
    assert cell["ratio"] == pytest.approx(0.5)  # the median of 0.5, 0.2 and 1
    assert cell["low"] == pytest.approx(0.2) and cell["high"] == pytest.approx(1.0)
    assert cell["above_one"] == pytest.approx(1 / 6)  # 0.8 * 1.5 of six draws
    assert cell["coverage"] == pytest.approx(0.9)
    assert cell["power_4_8"] == pytest.approx(0.7) and np.isnan(cell["power_8_13"])
    assert table["a", "one", "spline"]["ratio"] == 1
    assert np.isnan(table["a", "one", "spline"]["coverage"])
    assert table["b", "segments", "ridge"]["ratio"] == pytest.approx(0.5)


def test_headline(parts):
    rows = [
        *parts.rows_of("a", "one", "spline", [1.0, 1.0, 1.0]),
        *parts.rows_of("a", "one", "spatial", [0.4, 0.2, 0.8]),
        *parts.rows_of("a", "segments", "spline", [1.0, 1.0, 1.0]),
        *parts.rows_of("a", "segments", "spatial", [0.8, 0.4, 0.1]),
        *parts.rows_of("b", "one", "spline", [0.5]),
        *parts.rows_of("b", "one", "spatial", [0.05]),
    ]
    head = parts.summary.find_headline(rows, "spatial")
    assert head["n_cells"] == 3 and head["largest"] == pytest.approx(0.4)
    assert head["ratio"] == pytest.approx((0.4 * 0.4 * 0.1) ** (1 / 3))
    # Recordings are drawn with all their regimes: (0.4, 0.8), (0.2, 0.4) and (0.8, 0.1) can be the
    # medians together, (0.2, 0.1) can't.
    assert head["low"] == pytest.approx((0.2 * 0.4 * 0.1) ** (1 / 3))
    assert head["high"] == pytest.approx((0.4 * 0.8 * 0.1) ** (1 / 3))
    whole = parts.summary.find_headline(rows, "spatial", parts.truths.WHOLE)
    assert whole["ratio"] == pytest.approx(0.2) and whole["n_cells"] == 2
    assert parts.summary.find_headline(rows, "ridge") is None
    assert parts.summary.find_headline(rows, "spatial", ["patches"]) is None


def test_pooled_coverage_counts_samples(parts):
    rows = [
        *parts.rows_of("a", "one", "spatial", [1.0], coverage=0.8, n_hidden=300),
        *parts.rows_of("a", "50%", "spatial", [1.0], coverage=1.0, n_hidden=100),
        *parts.rows_of("a", "50%", "spline", [1.0], n_hidden=100),
    ]
    assert parts.summary.pool_coverage(rows, "spatial") == pytest.approx(0.85)
    assert np.isnan(parts.summary.pool_coverage(rows, "spline"))


def test_pooled_power(parts):
    names = [parts.cells.power_name(band) for band in parts.cells.BANDS]
    rows = [
        *parts.rows_of("a", "one", "spline", [1.0]),
        *parts.rows_of("a", "one", "auto", [1.0], **dict.fromkeys(names, 0.4)),
        *parts.rows_of("b", "one", "spline", [1.0]),
        *parts.rows_of("b", "one", "auto", [1.0], **dict.fromkeys(names, 0.9)),
    ]
    means, low, high = parts.summary.pool_power(
        parts.summary.summarize(rows, ["auto", "spline"]), "auto"
    )
    assert_allclose([means, low, high], np.repeat([[0.6], [0.4], [0.9]], len(names), axis=1))
    assert parts.summary.pool_power(parts.summary.summarize(rows, ["spline"]), "spline") is None


@pytest.mark.parametrize(
    ("auto", "spatial", "ridge", "expected"),
    [
        (0.4, 0.41, 0.5, [True, True, True, True]),
        (0.6, 0.61, 0.7, [False, True, True, True]),
        (1.2, 1.21, 1.1, [False, False, False, False]),  # worse than the spline by a fifth
        (0.4, 0.3, 0.5, [True, True, True, False]),
        (0.45, 0.46, 0.4, [True, True, False, True]),
    ],
)
def test_goals(auto, spatial, ridge, expected, parts):
    errors = dict(spline=1.0, auto=auto, spatial=spatial, ridge=ridge)
    rows = [
        row for name, x in errors.items() for row in parts.rows_of("a", "segments", name, [x, x])
    ]
    goals = parts.summary.find_goals(
        rows, parts.summary.summarize(rows, list(errors)), list(errors)
    )
    assert [met for met, _ in goals] == expected
    assert all(text.startswith("auto: ") for _, text in goals)


@pytest.mark.parametrize(
    ("coverage", "met"), [((0.9, 0.9), True), ((0.97, 0.97), False), ((0.99, 0.74), False)]
)
def test_goal_of_coverage(coverage, met, parts):
    rows = parts.rows_of("a", "one", "spline", [1.0]) + parts.rows_of("b", "one", "spline", [1.0])
    for dataset, covered in zip("ab", coverage, strict=True):
        rows += parts.rows_of(dataset, "one", "auto", [0.3], coverage=covered, n_hidden=10)
    goals = parts.summary.find_goals(
        rows, parts.summary.summarize(rows, ["spline", "auto"]), ["auto"]
    )
    assert [found for found, text in goals if "covers" in text] == [met]


def test_goal_of_power(parts):
    names = [parts.cells.power_name(band) for band in parts.cells.BANDS]
    for powers, met in (([0.95] * 5, True), ([1, 1, 1, 1, 0.8], False)):
        rows = parts.rows_of("a", "one", "spline", [1.0])
        rows += parts.rows_of(
            "a", "one", "auto-sample", [1.0], **dict(zip(names, powers, strict=True))
        )
        found = parts.summary.summarize(rows, ["spline", "auto-sample"])
        (goal,) = parts.summary.find_goals(rows, found, ["spline", "auto-sample"])
        assert goal[0] == met


def test_printed_summary(parts):
    rows = [
        *parts.rows_of("a", "one", "spline", [1.0]),
        *parts.rows_of("a", "one", "spatial", [0.4], coverage=0.9),
        *parts.rows_of("b", "segments", "spline", [0.5]),
        *parts.rows_of("b", "segments", "spatial", [0.05]),
        *parts.rows_of("alcohol", "one", "spline", [1.0], peak_amplitude=0.5, peak_latency=20.0),
        *parts.rows_of("alcohol", "one", "spatial", [0.2], peak_amplitude=0.1, peak_latency=10.0),
    ]
    names = ["spline", "spatial", "auto"]
    text = parts.tables.format_summary(rows, parts.summary.summarize(rows, names), names)
    (headline,) = [line for line in text.splitlines() if "over 3 cells" in line and "spat" in line]
    assert "0.200 (0.200-0.200) over 3 cells (largest 0.400)" in headline  # 0.4 * 0.2 * 0.1
    assert "whole channels 0.283" in headline and "segments and patches 0.100" in headline
    (peak,) = [line for line in text.splitlines() if line.startswith("  one       spatial")]
    assert peak.split()[2:] == ["0.100", "(0.100-0.100)", "0.200", "10.0"]
    assert "0.900 pooled" in text


# ---------------------------------------------------------------------------------------------
# Figures


def test_page(tmp_path, parts):
    names = [parts.cells.power_name(band) for band in parts.cells.BANDS]
    more = dict(zip(names, [0.5, 0.6, 0.7, 0.8, 0.9], strict=True), coverage=0.9)
    rows = [
        *parts.rows_of(
            "alcohol", "one", "spline", [1.0, 0.8], peak_amplitude=0.5, peak_latency=2.0
        ),
        *parts.rows_of(
            "alcohol", "one", "auto", [0.4, 0.2], peak_amplitude=0.1, peak_latency=1.0, **more
        ),
        *parts.rows_of("eegmat", "segments", "spline", [0.5]),
        *parts.rows_of("eegmat", "segments", "auto", [0.1]),
    ]
    accuracy = dict(n=2, accuracy=0.8, low=0.7, high=0.9)
    table = [dict(task="eyes", condition=name, **accuracy) for name in ("clean", "bad", "auto")]
    found = parts.summary.summarize(rows, ["spline", "auto"])
    page = parts.figures.write_page(
        tmp_path / "new", rows, found, table, ["spline", "auto"], "1 < 2"
    )
    pictures = {path.stem for path in page.parent.glob("*.png")}
    assert pictures == {"headline", "ratios", "coverage", "power", "erp", "decoding"}
    text = page.read_text(encoding="utf-8")
    assert text.count('src="data:image/png;base64,') == 6 and "1 &lt; 2" in text
    only = parts.figures.write_page(tmp_path / "few", [], [], table, ["spline", "auto"], "")
    assert {path.stem for path in only.parent.glob("*.png")} == {"decoding"}
