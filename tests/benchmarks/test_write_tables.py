# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the documentation: what the benchmarks wrote, summed up as by hand."""

import csv
import importlib
from pathlib import Path

import numpy as np
import pytest

from mne_gram.evaluation import write_table

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("The benchmarks are not beside the tests.", allow_module_level=True)
POWERS = ["power_0.5_4", "power_4_8", "power_8_13", "power_13_30", "power_30_45"]
WHOLE, PARTS = ("one", "10%", "25%", "50%", "cluster"), ("segments", "patches")


@pytest.fixture
def make_tables(tmp_path, monkeypatch):
    """Return a function that runs the script and reads a table that it wrote."""
    monkeypatch.syspath_prepend(FOLDER)
    script = importlib.import_module("write_tables")
    monkeypatch.setattr(script, "FOLDER", tmp_path / "tables")

    def make(name, *arguments):
        script.main([str(argument) for argument in arguments])
        with open(tmp_path / "tables" / f"{name}.csv", newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return [dict(zip(header, row, strict=True)) for row in rows]

    return make


def make_row(dataset, recording, regime, method, nmse):
    """Return a row as benchmarks/restoration.py writes it."""
    first, is_whole = recording == "r0", regime in WHOLE
    row = dict(dataset=dataset, regime=regime, subject=recording, recording=recording, draw=0)
    row.update(method=method, output="mean", seconds_per_minute=2.0 if method == "auto" else 0.5)
    row.update(nmse=nmse, r=0.7, n_hidden=300 if first else 100)
    if method == "auto":
        power = {"a": 0.4, "b": 0.9}[dataset] if is_whole else np.nan
        row.update(dict.fromkeys(POWERS, power), coverage=0.8 if first else 1.0)
    return row


@pytest.fixture
def rows(tmp_path):
    """Write rows of three recordings in all regimes, and return the file.

    In ``a``, auto has 0.4 of the spline's error in one recording and 0.6 in the other, in ``b`` 0.5
    in the only one; half of that in parts of channels.
    """
    table = []
    for dataset, recording, spline, ratio in (
        ("a", "r0", 1.0, 0.4),
        ("a", "r1", 0.5, 0.6),
        ("b", "r2", 0.8, 0.5),
    ):
        for regime in (*WHOLE, *PARTS):
            error = 2.4 if (dataset, regime) == ("b", "one") else spline
            auto = error * ratio * (1.0 if regime in WHOLE else 0.5)
            table.append(make_row(dataset, recording, regime, "spline", error))
            table.append(make_row(dataset, recording, regime, "auto", auto))
            if regime == "segments":
                table.append(make_row(dataset, recording, regime, "ridge", 0.5 * error))
    write_table(tmp_path / "rows.csv", table)
    return tmp_path / "rows.csv"


DEFAULT = "mne_gram, data set in the library"  # what auto is called


def test_headlines(make_tables, rows):
    auto, ridge, spline = make_tables("restoration_headlines", "--restoration", rows)
    assert auto["method"] == DEFAULT and ridge["method"] == "ridge on own clean data"
    assert spline["method"] == "spherical spline (MNE)"
    assert spline["all cells (95 % interval)"] == "1.000 (1.000 to 1.000)"
    # Ten cells of 0.5 and four of 0.25; with both draws of the same recording of ``a``, its seven
    # cells are 0.8 or 1.2 times that.
    middle = (0.5**10 * 0.25**4) ** (1 / 14)
    edges = [middle * factor ** (7 / 14) for factor in (0.8, 1.2)]
    text = f"{middle:.3f} ({edges[0]:.3f} to {edges[1]:.3f})"
    assert auto["all cells (95 % interval)"] == text == "0.410 (0.367 to 0.449)"
    parts = "segments, patches"
    assert (auto["largest cell"], auto["whole channels"], auto[parts]) == (
        "0.500",
        "0.500",
        "0.250",
    )
    assert auto["NMSE above 1"] == "4.8 %"  # one of 21 rows: half of 2.4
    covered = "coverage of the 90 % interval"
    assert auto[covered] == "88 %"  # (300 * 0.8 + 100 + 100) / 500
    assert spline[covered] == "" and auto["seconds per minute of EEG"] == "2.00"
    # A method that has not all regimes has no mean over all cells.
    assert ridge["all cells (95 % interval)"] == ridge["whole channels"] == ""
    assert ridge[parts] == "0.500"


def test_cells(make_tables, rows):
    cells = make_tables("restoration_cells", "--restoration", rows)
    assert len(cells) == 14
    found = {(cell["data set"], cell["hidden"]): cell for cell in cells}
    ridge = "ridge on own clean data"
    assert found["a", "segments"][ridge] == "0.500"
    assert [cell["hidden"] for cell in cells[:2]] == ["one channel", "10 % of channels"]
    assert found["a", "one channel"] == {
        "data set": "a",
        "hidden": "one channel",
        "recordings": "2",
        DEFAULT: "0.500",
        "95 % interval": "0.40 to 0.60",
        ridge: "",
        "NMSE of the spline": "0.750",
        "NMSE": "0.350",  # of 0.4 * 1 and 0.6 * 0.5
        "r": "0.700",
        "coverage": "90 %",
    }


def test_datasets(make_tables, rows):
    first, second, every = make_tables("restoration_datasets", "--restoration", rows)
    worse = f"{DEFAULT}: worse than the spline"
    middle = 0.5 * (0.5**2) ** (1 / 7)  # seven cells of 0.5, of which two are half of that
    assert first == {
        "data set": "a",
        "recordings": "2",
        DEFAULT: f"{middle:.2f} ({0.8 * middle:.2f} to {1.2 * middle:.2f})",
        worse: "0.0 %",
        "NMSE of the spline": "0.75 to 0.75",
    }
    assert second["NMSE of the spline"] == "0.80 to 2.40"
    assert (every["data set"], every["recordings"]) == ("all", "3")
    text = rows.read_text(encoding="utf-8").replace(
        "a,one,r0,r0,0,auto,mean,2.0,0.4", "a,one,r0,r0,0,auto,mean,2.0,1.1"
    )
    rows.write_text(text, encoding="utf-8")
    first, _, every = make_tables("restoration_datasets", "--restoration", rows)
    assert (first[worse], every[worse]) == ("7.1 %", "4.8 %")  # one of 14, and of 21


def test_power(make_tables, rows):
    (row,) = make_tables("restoration_power", "--restoration", rows)
    bands = ["0.5 to 4 Hz", "4 to 8", "8 to 13", "13 to 30", "30 to 45"]
    # The square root of 0.4 * 0.9, from whole channels alone.
    assert row == {
        "method": DEFAULT,
        **dict.fromkeys(bands, "0.60 (0.40 to 0.90)"),
    }


def test_decoding(make_tables, rows):
    found = [("p0", 0, 0.8, 0.5), ("p0", 1, 0.6, 0.5), ("p1", 0, 0.9, 0.5)]
    table = [
        dict(task="eyes", subject=who, draw=draw, condition=condition, accuracy=value, n_trials=30)
        for who, draw, clean, spline in found
        for condition, value in (("clean", clean), ("spline", spline), ("auto-left-out", spline))
    ]
    write_table(rows.with_name("rows_decoding.csv"), table)
    clean, unseen, spline = make_tables("restoration_decoding", "--restoration", rows)
    assert clean == {
        "task": "eyes",
        "channels": "clean",
        "subjects": "2",
        "accuracy (95 %)": "0.800 (0.700 to 0.900)",
        "minus spline (95 %)": "0.300 (0.200 to 0.400)",
    }
    assert spline["channels"] == "spherical spline (MNE)"
    assert unseen["channels"] == "mne_gram, no cohort"
    assert unseen["minus spline (95 %)"] == "0.000 (0.000 to 0.000)"


def test_classification(make_tables, tmp_path):
    def score(method, level, subjects, value):
        row = dict(task="eegmat", level=level, subjects=subjects, n_subjects=9, method=method)
        return {**row, "balanced_accuracy": value, "low": value - 0.1, "high": value + 0.1}

    summary = [
        score("csp-lda", "window", "all", 0.6),
        score("gram-probe", "window", "all", 0.75),
        score("gram-probe", "window", "held-out", 0.7),
        score("gram-probe", "recording", "all", 0.8),
        score("chance", "window", "all", 0.5),
    ]
    gap = dict(method="gram-probe", level="window", subjects="all", low=0.05, high=0.25)
    differences = [
        {**gap, "baseline": "bandpower-lr", "difference": 0.3, "is_best": False},
        {**gap, "baseline": "csp-lda", "difference": 0.15, "is_best": True},
        {**gap, "baseline": "csp-lda", "difference": 0.1, "is_best": True, "subjects": "held-out"},
    ]
    for name, table in (("summary", summary), ("differences", differences)):
        write_table(tmp_path / f"eegmat_{name}.csv", table)
    gram, classical, chance = make_tables("classification", "--classification", tmp_path)
    assert gram == {
        "task": "rest or arithmetic (eegmat)",
        "method": "GramClassifier()",
        "all subjects": "0.750 (0.650 to 0.850)",
        "difference from the best classical decoder": "0.150 (0.050 to 0.250)",
        "whole recordings": "0.800 (0.700 to 0.900)",
        "subjects not used in pre-training": "0.700 (0.600 to 0.800)",
    }
    assert classical["method"] == "common spatial patterns, LDA" and chance["method"] == "chance"
    assert classical["difference from the best classical decoder"] == ""
    assert classical["whole recordings"] == ""
    gram, *_ = make_tables("heldout", "--heldout", tmp_path)
    assert list(gram) == [
        "task",
        "method",
        "held-out subjects",
        "difference from the best classical decoder",
        "whole recordings",
    ]
    assert gram["held-out subjects"] == "0.750 (0.650 to 0.850)"


def test_names_of_classifiers(monkeypatch):
    """A method of the benchmark reads as it is written in Python."""
    monkeypatch.syspath_prepend(FOLDER)
    names = importlib.import_module("_names")
    long = 'gram-probe+align=subject+features="tangent"'
    assert names.name_decoder(long) == 'GramClassifier(align="subject", features="tangent")'
    assert names.name_decoder("gram-lora+n_epochs=4") == 'GramClassifier("lora", n_epochs=4)'
    order = names.sort_decoders(["chance", "csp-lda", long, "gram-probe", "x"])
    assert order == ["gram-probe", long, "csp-lda", "chance", "x"]


def test_figures_of_the_tables(make_tables, rows, tmp_path, monkeypatch):
    """They are drawn from the tables alone; names are on the axis, where nothing cuts them off."""
    make_tables("restoration_headlines", "--restoration", rows)
    script = importlib.import_module("draw_tables")
    monkeypatch.setattr(script, "DOC", tmp_path)
    (tmp_path / "images").mkdir()
    script.main()
    images = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert images == ["restoration_headline.png", "restoration_ratios.png"]
    fig = script.Figure()
    script.plot_headline(fig, script.read_table("restoration_headlines"))
    labels = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert labels == [DEFAULT, "ridge on own clean data"]


def test_uses(make_tables, tmp_path):
    """Uses of several files are in one table, where the later file counts, and in a summary."""
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    header = "package,use,works,message\n"
    first.write_text(header + "skorch,a net,no,broken\nskorch,a grid,yes,\n", "utf-8")
    second.write_text(header + "skorch,a net,yes,\nMOABB,arrays,message,set unit\n", "utf-8")
    rows = make_tables("uses", "--uses", first, second)
    assert [tuple(row.values()) for row in rows] == [
        ("MOABB", "arrays", "no; the error names the cure"),
        ("skorch", "a grid", "yes"),
        ("skorch", "a net", "yes"),
    ]
    counts = make_tables("uses_counts", "--uses", first, second)
    assert [list(row.values()) for row in counts] == [
        ["MOABB", "0", "1", "0"],
        ["skorch", "2", "0", "0"],
        ["all", "2", "1", "0"],
    ]
