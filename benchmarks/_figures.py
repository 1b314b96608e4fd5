# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark as a page of figures: PNG files, and one HTML file that contains them all."""

import base64
import html
from pathlib import Path

import numpy as np
from _cells import BANDS, power_name
from _names import name_condition, name_method
from _summary import average_draws, find_headline, find_interval
from _truth import REGIMES, WHOLE

# The palette of Okabe and Ito, which colour-blind readers can distinguish; markers help as well.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#0072B2", "#999999")
MARKERS = "osD^vPX*"
RC = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "svg.fonttype": "none",
}
GOOD = dict(color="#009E73", alpha=0.12, lw=0, zorder=0)


def write_page(folder, rows, cells, decoding, methods, text):
    """Write the figures as PNG files and a page into a folder; return the HTML file.

    ``methods`` are in the order of the legend, ``text`` is the printed summary.
    """
    import matplotlib
    from matplotlib.figure import Figure

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    methods = [m for m in methods if not cells or any(c["method"] == m for c in cells)]
    style = {
        m: dict(color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)])
        for k, m in enumerate(methods)
    }
    peaks = average_draws(rows, "peak_amplitude")
    plots = [
        ("headline", plot_headlines, (rows, style), bool(cells)),
        ("ratios", plot_ratios, (cells, style), bool(cells)),
        ("coverage", plot_coverage, (cells, style), bool(cells)),
        ("power", plot_power, (cells, style), any(c["regime"] in WHOLE for c in cells)),
        ("erp", plot_peaks, (peaks, style), bool(peaks)),
        ("decoding", plot_decoding, (decoding, style), bool(decoding)),
    ]
    pictures = []
    with matplotlib.rc_context(RC):
        for name, plot, arguments, wanted in plots:
            if wanted:
                fig = Figure(layout="constrained")
                caption = plot(fig, *arguments)
                fig.savefig(folder / f"{name}.png", dpi=130)
                pictures.append((name, caption))
    page = folder / "restoration.html"
    page.write_text(_build_page(folder, pictures, text), encoding="utf-8")
    return page


def _build_page(folder, pictures, text):
    """Return an HTML page that needs no other file."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Restoration</title>',
        "<style>body{font-family:sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}"
        "img{max-width:100%}pre{overflow-x:auto;font-size:12px}</style></head><body>",
        "<h1>Restoring hidden samples in recordings of held-out subjects</h1>",
    ]
    for name, caption in pictures:
        data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        caption = html.escape(caption)
        parts.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    parts += [f"<pre>{html.escape(text)}</pre>", "</body></html>", ""]
    return "\n".join(parts)


def _add_legend(fig, style):
    """Add one legend above all panels."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], ls="", label=name_method(name), ms=7, **look) for name, look in style.items()
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)


def _spread(names):
    """Return the offsets of several marks in one row from its middle."""
    n = len(names)
    return dict(zip(names, 0.7 * (np.arange(n) - (n - 1) / 2) / max(n, 2), strict=True))


def _draw_marks(ax, labels, marks, style, horizontal=True):
    """Draw marks with intervals: ``marks[label][method] = (value, low, high)``."""
    offsets = _spread(list(style))
    for place, label in enumerate(labels):
        for method, (value, low, high) in marks.get(label, {}).items():
            where = place + offsets[method]
            ends = np.array([[max(value - low, 0)], [max(high - value, 0)]])
            bars = dict(capsize=2, ms=6, lw=1.3, ls="", **style[method])
            if horizontal:
                ax.errorbar(value, where, xerr=ends, **bars)
            else:
                ax.errorbar(where, value, yerr=ends, **bars)
    axis = ax.yaxis if horizontal else ax.xaxis
    axis.set_ticks(range(len(labels)), labels)
    axis.grid(False)
    if horizontal:
        ax.set_ylim(len(labels) - 0.5, -0.5)


def set_ratio_axis(axis, setter, ticks=(0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5)):
    """Set a logarithmic scale with readable numbers on an axis of ratios."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    setter("log")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def plot_headlines(fig, rows, style):
    """Draw the geometric mean over cells of each method."""
    names = [name for name in style if name != "spline"]
    parts = {
        "all cells": None,
        "whole channels": WHOLE,
        "segments, patches": [regime for regime in REGIMES if regime not in WHOLE],
    }
    marks = {}
    for label, regimes in parts.items():
        for name in names:
            head = find_headline(rows, name, regimes)
            if head is not None:
                marks.setdefault(label, {})[name] = (head["ratio"], head["low"], head["high"])
    fig.set_size_inches(8, 1.5 + 0.25 * len(names) * len(marks))
    ax = fig.subplots()
    style = {name: style[name] for name in names}
    _draw_marks(ax, list(marks), marks, style)
    ax.axvline(1, color="0.3", lw=1)
    ax.axvline(0.5, color="0.3", lw=1, ls=":")
    set_ratio_axis(ax.xaxis, ax.set_xscale)
    ax.set_xlabel("NMSE over the spline's, geometric mean over cells")
    _add_legend(fig, style)
    return (
        "Geometric mean over cells of the error relative to the spline's, with the 95 % bootstrap "
        "interval over recordings. Dotted: the goal."
    )


def plot_ratios(fig, cells, style):
    """Draw the ratio to the spline in every cell."""
    datasets = list(dict.fromkeys(c["dataset"] for c in cells))
    style = {name: look for name, look in style.items() if name != "spline"}
    fig.set_size_inches(max(8, 3.4 * len(datasets) + 1.2), 2 + 0.2 * len(style) * len(REGIMES))
    axes = np.atleast_1d(fig.subplots(1, len(datasets), sharey=True, sharex=True))
    found = {c["regime"] for c in cells}
    regimes = [regime for regime in REGIMES if regime in found]
    for ax, dataset in zip(axes, datasets, strict=True):
        marks = {}
        for c in cells:
            if c["dataset"] == dataset and c["method"] in style:
                marks.setdefault(c["regime"], {})[c["method"]] = c["ratio"], c["low"], c["high"]
        _draw_marks(ax, regimes, marks, style)
        ax.axvline(1, color="0.3", lw=1)
        n = max(c["n"] for c in cells if c["dataset"] == dataset)
        ax.set_title(f"{dataset} (n = {n})")
        set_ratio_axis(ax.xaxis, ax.set_xscale, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5))
    fig.supxlabel("NMSE over the spline's")
    _add_legend(fig, style)
    return (
        "Error relative to the spline's in the same recording by cell: median over recordings with "
        "the 95 % bootstrap interval. Left of 1 is better than the spline."
    )


def plot_coverage(fig, cells, style):
    """Draw the coverage of the 90 % intervals in every cell."""
    own = [c for c in cells if np.isfinite(c["coverage"])]
    style = {n: look for n, look in style.items() if any(c["method"] == n for c in own)}
    datasets = list(dict.fromkeys(c["dataset"] for c in cells))
    regimes = [regime for regime in REGIMES if any(c["regime"] == regime for c in own)]
    fig.set_size_inches(max(8, 3 * len(datasets) + 1.2), 4)
    axes = np.atleast_1d(fig.subplots(1, len(datasets), sharey=True))
    for ax, dataset in zip(axes, datasets, strict=True):
        marks = {}
        for c in (c for c in own if c["dataset"] == dataset):
            marks.setdefault(c["regime"], {})[c["method"]] = (c["coverage"],) * 3
        _draw_marks(ax, regimes, marks, style, horizontal=False)
        ax.axhspan(0.75, 0.99, **GOOD)
        ax.axhline(0.9, color="0.3", lw=1)
        ax.set_title(dataset)
        ax.tick_params(axis="x", labelrotation=45)
    axes[0].set_ylabel("share within the 90 % interval")
    axes[0].set_ylim(min([0.5, *(c["coverage"] - 0.02 for c in own)]), 1.0)
    _add_legend(fig, style)
    return "Share of hidden samples within the 90 % interval by cell. Shaded: the goal for a cell."


def plot_power(fig, cells, style):
    """Draw the power of restored channels relative to the truth, per band."""
    labels = [f"{low:g}-{high:g}" for low, high in BANDS]
    fig.set_size_inches(9, 4.5)
    ax = fig.subplots()
    tables = {}
    for c in (c for c in cells if c["method"] in style and c["regime"] in WHOLE):
        row = [c[name] for name in map(power_name, BANDS)]
        if np.isfinite(row).all():
            tables.setdefault(c["method"], []).append(row)
    style = {name: look for name, look in style.items() if name in tables}
    offsets = _spread(list(style))
    for method, look in style.items():
        table = np.array(tables[method])
        where = np.arange(len(BANDS)) + offsets[method]
        for row in table:
            ax.plot(where, row, ls="", ms=3, alpha=0.35, **look)
        ax.plot(where, np.exp(np.log(table).mean(axis=0)), ls="", ms=9, mec="white", **look)
    ax.axhspan(0.9, 1.1, **GOOD)
    ax.axhline(1, color="0.3", lw=1)
    set_ratio_axis(ax.yaxis, ax.set_yscale)
    ax.set_xticks(range(len(BANDS)), labels)
    ax.grid(False, axis="x")
    ax.set_xlabel("band, Hz")
    ax.set_ylabel("power over true power")
    _add_legend(fig, style)
    return (
        "Power of channels hidden throughout the recording, over their true power: cells (small) "
        "and their geometric mean (large). Shaded: the goal for draws from the posterior."
    )


def plot_peaks(fig, peaks, style):
    """Draw the error of the peak of the evoked response."""
    regimes = [regime for regime in REGIMES if any(key[1] == regime for key in peaks)]
    style = {n: look for n, look in style.items() if any(key[2] == n for key in peaks)}
    marks = {}
    for (_, regime, method), errors in peaks.items():
        if method in style:
            errors = list(errors.values())
            marks.setdefault(regime, {})[method] = (np.median(errors), *find_interval(errors))
    fig.set_size_inches(9, 4.5)
    ax = fig.subplots()
    _draw_marks(ax, regimes, marks, style, horizontal=False)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("amplitude error over amplitude")
    _add_legend(fig, style)
    return (
        "Evoked responses to pictures: error of the peak's amplitude in hidden channels, median "
        "over recordings with the 95 % bootstrap interval."
    )


def plot_decoding(fig, table, style):
    """Draw the accuracy of decoders trained on clean data."""
    tasks = list(dict.fromkeys(row["task"] for row in table))
    fig.set_size_inches(5.5 * len(tasks), 4.8)
    axes = np.atleast_1d(fig.subplots(1, len(tasks)))
    plain = dict(color="#555555", marker="o")
    for ax, task in zip(axes, tasks, strict=True):
        own = [row for row in table if row["task"] == task]
        for place, row in enumerate(own):
            ends = [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
            look = style.get(row["condition"], plain)
            ax.errorbar(row["accuracy"], place, xerr=ends, capsize=3, ms=8, lw=1.5, ls="", **look)
        ax.axvline(0.5, color="0.3", lw=1, ls=":")
        ax.axvline(own[0]["accuracy"], color="0.3", lw=1)
        ax.set_yticks(range(len(own)), [name_condition(row["condition"]) for row in own])
        ax.grid(False, axis="y")
        ax.invert_yaxis()
        ax.set_title(f"{task} ({own[0]['n']} subjects)")
        ax.set_xlabel("accuracy")
    return (
        "Decoders trained on clean data, tested with a quarter of the channels bad: mean over "
        "subjects with the 95 % bootstrap interval. Line: clean; dotted: chance."
    )
