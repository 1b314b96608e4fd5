# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Draw the figures of doc/benchmarks.rst from the tables in ``doc/tables``.

Run ``python benchmarks/draw_tables.py`` after ``benchmarks/write_tables.py``; it runs no benchmark.
It writes doc/images/restoration_headline.png and restoration_ratios.png.
"""

import csv
import re
from pathlib import Path

import matplotlib
import numpy as np
from _figures import RC, set_ratio_axis
from _names import METHODS, REGIMES
from matplotlib.figure import Figure

DOC = Path(__file__).resolve().parents[1] / "doc"
KINDS = {  # column of the table: its marker and colour
    "all cells (95 % interval)": ("o", "#000000", "all kinds of damage, 95 % interval"),
    "whole channels": ("s", "#0072B2", "whole channels"),
    "segments, patches": ("D", "#D55E00", "segments and patches"),
}
LOOKS = {
    "auto-cohort-5": dict(color="#CC79A7", marker="v"),
    "auto-left-out": dict(color="#56B4E9", marker="s"),
    "auto": dict(color="#0072B2", marker="o"),
    "ridge": dict(color="#009E73", marker="D"),
    "mne": dict(color="#E69F00", marker="^"),
}


def read_table(name):
    """Read a table of the documentation."""
    with open(DOC / "tables" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_numbers(text):
    """Return the numbers of a cell: a value, or an interval, or both."""
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def plot_headline(fig, table):
    """Draw the geometric means, one row per method."""
    fig.set_size_inches(8.5, 4.6)
    ax = fig.subplots()
    spline = METHODS["spline"]
    rows = [row for row in table if row["method"] != spline]
    for place, row in enumerate(rows):
        for offset, (column, (marker, color, _)) in zip((-0.2, 0, 0.2), KINDS.items(), strict=True):
            numbers = read_numbers(row[column])
            if not numbers:
                continue
            value, *ends = numbers
            error = [[value - ends[0]], [ends[1] - value]] if ends else None
            look = dict(marker=marker, color=color, ms=7, capsize=3, lw=1.5)
            ax.errorbar(value, place + offset, xerr=error, **look)
    ax.axvline(1, color="0.3", lw=1)
    ax.text(0.99, -0.7, spline, ha="right", va="bottom", color="0.3")
    set_ratio_axis(ax.xaxis, ax.set_xscale)
    ax.set_yticks(range(len(rows)), [row["method"] for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.75)
    ax.grid(False, axis="y")
    ax.set_xlabel("Squared error relative to the spherical spline (log scale)")
    handles = [ax.plot([], [], m, color=c, ms=7, label=label)[0] for m, c, label in KINDS.values()]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def plot_ratios(fig, table):
    """Draw every cell, one panel per data set."""
    datasets = list(dict.fromkeys(row["data set"] for row in table))
    found = {row["hidden"] for row in table}
    regimes = [name for name in REGIMES.values() if name in found]
    fig.set_size_inches(9, 8.4)
    shape = ((len(datasets) + 1) // 2, 2)
    axes = fig.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
    offsets = np.linspace(-0.27, 0.27, len(LOOKS))
    for ax, dataset in zip(axes, datasets, strict=False):
        rows = [row for row in table if row["data set"] == dataset]
        for row in rows:
            place = regimes.index(row["hidden"])
            for offset, (method, look) in zip(offsets, LOOKS.items(), strict=True):
                for value in read_numbers(row.get(METHODS[method], "")):
                    ax.plot(value, place + offset, ms=6.5, **look)
            low, high = read_numbers(row["95 % interval"])
            height = place + offsets[list(LOOKS).index("auto")]
            ax.plot([low, high], [height] * 2, color=LOOKS["auto"]["color"], lw=1.5)
        ax.axvline(1, color="0.3", lw=1)
        ax.set_title(f"{dataset} ({rows[0]['recordings']} recordings)", fontsize=11)
        ax.grid(False, axis="y")
    axes[0].set_yticks(range(len(regimes)), regimes)
    axes[0].set_ylim(len(regimes) - 0.5, -0.5)
    set_ratio_axis(axes[0].xaxis, axes[0].set_xscale)
    fig.supxlabel("Squared error relative to the spherical spline (log scale)", fontsize=11)
    handles = [
        axes[0].plot([], [], ls="", ms=7, label=METHODS[method], **look)[0]
        for method, look in LOOKS.items()
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)


def main():
    """Draw both figures."""
    figures = {
        "restoration_headline": (plot_headline, "restoration_headlines"),
        "restoration_ratios": (plot_ratios, "restoration_cells"),
    }
    with matplotlib.rc_context(RC):
        for name, (plot, table) in figures.items():
            fig = Figure(layout="constrained")
            plot(fig, read_table(table))
            fig.savefig(DOC / "images" / f"{name}.png", dpi=130)


if __name__ == "__main__":
    main()
