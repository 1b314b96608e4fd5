# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Write the tables of the documentation from the results of the benchmarks.

Run ::

    python benchmarks/write_tables.py --restoration rows.csv --classification classification/
    python benchmarks/write_tables.py --uses uses.csv other_uses.csv

The tables are written to ``doc/tables`` and included by the pages of the documentation, so that no
number is typed by hand.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
from _decoding import summarize_decoding
from _names import (
    CONDITIONS,
    METHODS,
    TASKS,
    name_condition,
    name_decoder,
    name_method,
    name_regime,
    name_task,
    sort_decoders,
    sort_names,
)
from _summary import (
    average_draws,
    compare,
    find_headline,
    pool_coverage,
    pool_power,
    summarize,
)
from _truth import REGIMES, WHOLE

FOLDER = Path(__file__).resolve().parents[1] / "doc" / "tables"
HEADLINES = [
    "method",
    "all cells (95 % interval)",
    "largest cell",
    "whole channels",
    "segments, patches",
    "NMSE above 1",
    "coverage of the 90 % interval",
    "seconds per minute of EEG",
]
# Methods that are not in the table of cells.
HEADLINES_ONLY = ("auto-cohort-3", "auto-cohort-10", "auto-dirty-5")
# Methods in the table of data sets.
BY_DATASET = ("auto-cohort-5", "auto-left-out", "auto")
CLASSIFIERS = [
    "task",
    "method",
    "all subjects",
    "difference from the best classical decoder",
    "whole recordings",
    "subjects not used in pre-training",
]
BANDS = ("0.5 to 4 Hz", "4 to 8", "8 to 13", "13 to 30", "30 to 45")


def read_rows(fname):
    """Read a table of a benchmark, with numbers converted and empty cells left out."""
    with open(fname, newline="", encoding="utf-8") as file:
        return [
            {name: as_number(text) for name, text in row.items() if text != ""}
            for row in csv.DictReader(file)
        ]


def as_number(text):
    """Return text as a number if possible."""
    try:
        return float(text)
    except ValueError:
        return text


def write_rows(name, header, rows):
    """Write a table of the documentation."""
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *rows])


def format_interval(value, low, high, digits=3):
    """Return a value with its interval."""
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def write_restoration(fname):
    """Write the tables of hidden samples and of decoding."""
    rows = read_rows(fname)
    methods = sort_names(dict.fromkeys(row["method"] for row in rows), METHODS)
    cells = summarize(rows, methods)
    partly = [regime for regime in REGIMES if regime not in WHOLE]
    table = []
    for method in methods:
        heads = [find_headline(rows, method, regimes) for regimes in (None, WHOLE, partly)]
        everywhere = heads[1] is not None  # ridge needs clean data of the channel
        covered = pool_coverage(rows, method)
        table.append(
            [
                name_method(method),
                format_interval(*(heads[0][k] for k in ("ratio", "low", "high")))
                if everywhere
                else "",
                f"{heads[0]['largest']:.3f}",
                *("" if head is None else f"{head['ratio']:.3f}" for head in heads[1:]),
                f"{100 * np.mean([r['nmse'] > 1 for r in rows if r['method'] == method]):.1f} %",
                f"{100 * covered:.0f} %" if np.isfinite(covered) else "",
                f"{np.mean([r['seconds_per_minute'] for r in rows if r['method'] == method]):.2f}",
            ]
        )
    write_rows("restoration_headlines", HEADLINES, table)
    _write_cells(cells, [m for m in methods if not m.endswith("-sample")])
    _write_datasets(rows)
    powers = {method: pool_power(cells, method) for method in methods}
    table = [
        [name_method(m), *(f"{v:.2f} ({a:.2f} to {b:.2f})" for v, a, b in zip(*p, strict=True))]
        for m, p in powers.items()
        if p is not None
    ]
    write_rows("restoration_power", ["method", *BANDS], table)
    decoding = fname.with_name(f"{fname.stem}_decoding{fname.suffix}")
    if decoding.exists():
        _write_decoding(summarize_decoding(read_rows(decoding)))


def _write_datasets(rows):
    """Write the ratio over all cells of each data set, and how often the spline is better."""
    methods = [m for m in BY_DATASET if any(row["method"] == m for row in rows)]
    table = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == dataset]
        heads = [find_headline(own, method) for method in methods]
        table.append([dataset, len({row["recording"] for row in own})])
        table[-1] += [format_interval(h["ratio"], h["low"], h["high"], 2) for h in heads]
        table[-1] += [_share_worse(own, method) for method in methods]
        nmse = [c["nmse"] for c in summarize(own, ["spline"])]
        table[-1].append(f"{min(nmse):.2f} to {max(nmse):.2f}")
    table.append(["all", len({(row["dataset"], row["recording"]) for row in rows})])
    heads = [find_headline(rows, method) for method in methods]
    table[-1] += [format_interval(h["ratio"], h["low"], h["high"], 2) for h in heads]
    table[-1] += [*(_share_worse(rows, method) for method in methods), ""]
    header = ["data set", "recordings", *map(name_method, methods)]
    header += [f"{name_method(method)}: worse than the spline" for method in methods]
    write_rows("restoration_datasets", [*header, "NMSE of the spline"], table)


def _share_worse(rows, method):
    """Return in how many recordings, each kind of damage for itself, the spline is better."""
    errors = average_draws(rows)
    ratios = [
        ratio
        for dataset, regime in dict.fromkeys(key[:2] for key in errors)
        for ratio in compare(errors, dataset, regime, method).values()
    ]
    return f"{100 * np.mean(np.array(ratios) > 1):.1f} %"


def _write_cells(cells, methods):
    """Write the ratio of each cell, one column per method."""
    found = {}
    for cell in cells:
        key = cell["dataset"], cell["regime"], cell["n"]
        found.setdefault(key[:2], {})[cell["method"]] = cell
    left_out = ("auto", "spline", *HEADLINES_ONLY)
    others = [method for method in methods if method not in left_out]
    table = []
    for dataset in dict.fromkeys(key[0] for key in found):
        for regime in sort_names([key[1] for key in found if key[0] == dataset], REGIMES):
            own = found[dataset, regime]
            spline, best = own["spline"], own["auto"]
            row = [dataset, name_regime(regime), spline["n"], f"{best['ratio']:.3f}"]
            row.append(f"{best['low']:.2f} to {best['high']:.2f}")
            row += [f"{own[m]['ratio']:.3f}" if m in own else "" for m in others]
            row += [f"{spline['nmse']:.3f}", f"{best['nmse']:.3f}", f"{best['r']:.3f}"]
            table.append([*row, f"{100 * best['coverage']:.0f} %"])
    header = ["data set", "hidden", "recordings", name_method("auto"), "95 % interval"]
    header += [*map(name_method, others), "NMSE of the spline", "NMSE", "r", "coverage"]
    write_rows("restoration_cells", header, table)


def _find_place(row, tasks, order):
    """Return the sort key of a condition within its task."""
    name = row["condition"]
    return tasks.index(row["task"]), order.index(name) if name in order else len(order)


def _write_decoding(found):
    """Write the accuracy of each condition."""
    order = [*CONDITIONS, *METHODS]
    tasks = list(dict.fromkeys(row["task"] for row in found))
    found = sorted(found, key=lambda row: _find_place(row, tasks, order))
    table = [
        [
            row["task"],
            name_condition(row["condition"]),
            row["n"],
            format_interval(row["accuracy"], row["low"], row["high"]),
            format_interval(row["gain"], row["gain_low"], row["gain_high"]),
        ]
        for row in found
    ]
    header = [
        "task",
        "channels",
        "subjects",
        "accuracy (95 %)",
        "minus spline (95 %)",
    ]
    write_rows("restoration_decoding", header, table)


def write_classification(folder, name="classification"):
    """Write the table of classifiers, one row per task and method."""
    table = []
    found = [fname.stem.removesuffix("_summary") for fname in folder.glob("*_summary.csv")]
    for task in sort_names(sorted(found), TASKS):
        summary = read_rows(folder / f"{task}_summary.csv")
        gaps = read_rows(folder / f"{task}_differences.csv")
        rows = {
            row["method"]: row
            for row in summary
            if row["level"] == "window" and row["subjects"] == "all"
        }
        for method in sort_decoders(rows):
            told = _format_classifier(rows[method], summary, gaps)
            table.append([name_task(task), name_decoder(method), *told])
    header = CLASSIFIERS
    if name == "heldout":  # these are all subjects
        header = [column.replace("all", "held-out") for column in CLASSIFIERS[:-1]]
    write_rows(name, header, [row[: len(header)] for row in table])


def _format_classifier(row, summary, gaps):
    def find(**wanted):
        for other in summary:
            if all(other.get(k) == v for k, v in {"method": row["method"], **wanted}.items()):
                interval = other["balanced_accuracy"], other["low"], other["high"]
                return format_interval(*interval)
        return ""

    gap = [
        g
        for g in gaps
        if g["method"] == row["method"]
        and (g["level"], g["subjects"], g["is_best"]) == ("window", "all", "True")
    ]
    told = format_interval(*(gap[0][k] for k in ("difference", "low", "high"))) if gap else ""
    return [
        find(level="window", subjects="all"),
        told,
        find(level="recording", subjects="all"),
        find(level="window", subjects="held-out"),
    ]


def write_uses(fnames):
    """Write the table of uses and its summary; later files replace rows of earlier ones."""
    names = {"yes": "yes", "message": "no; the error names the cure", "no": "no"}
    found = {}
    for fname in fnames:
        found |= {(row["package"], row["use"]): row["works"] for row in read_rows(fname)}
    table = [[*key, names[works]] for key, works in sorted(found.items())]
    write_rows("uses", ["package", "use", "works"], table)
    packages = sorted({package for package, _ in found})
    count = Counter((package, works) for (package, _), works in found.items())
    table = [[name, *(count[name, works] for works in names)] for name in packages]
    table.append(["all", *(sum(row[k] for row in table) for k in (1, 2, 3))])
    write_rows(
        "uses_counts", ["package", "works", "the error names the cure", "does not work"], table
    )


def main(argv=None):
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--restoration", type=Path, help="what restoration.py --csv wrote")
    parser.add_argument("--classification", type=Path, help="folder of classification.py --out")
    parser.add_argument("--finetuning", type=Path, help="another one, of the fine-tuned networks")
    parser.add_argument("--heldout", type=Path, help="another one, of the tasks *-heldout")
    parser.add_argument("--uses", type=Path, nargs="+", help="what uses.py --csv wrote")
    args = parser.parse_args(argv)
    if args.restoration:
        write_restoration(args.restoration)
    if args.classification:
        write_classification(args.classification)
    if args.finetuning:
        write_classification(args.finetuning, "finetuning")
    if args.heldout:
        write_classification(args.heldout, "heldout")
    if args.uses:
        write_uses(args.uses)


if __name__ == "__main__":
    main()
