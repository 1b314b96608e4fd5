# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Hide samples of real recordings, restore them, and compare with the truth.

Only held-out subjects are used (the 4th, 8th, ... of each data set in sorted order), whose
recordings are not used in anything that is part of the package. Run ::

    python benchmarks/restoration.py --methods spline,spatial --quick

There are three parts. ``cells``: samples are hidden by seeded masks, and each method is compared
with the spline in the same recording (``_cells.py``, ``_summary.py``), in ``alcohol`` also by the
peak of the evoked response (``_erp.py``). ``decoding``: decoders trained on clean data are tested
with bad channels (``_decoding.py``). ``garbage``: whether the content of bad samples influences the
result (``_garbage.py``). ``_methods.py`` lists the names for ``--methods``.
"""

import argparse
import csv
import os
import time
from pathlib import Path

import mne
from _cells import measure_recording, run_jobs
from _decoding import (
    TASKS,
    decode,
    extract_subject,
    format_decoding,
    group_subjects,
    summarize_decoding,
)
from _figures import write_page
from _garbage import compare_garbage, format_garbage
from _methods import WHOLE, expand_methods, load_priors, parse_method, pick_priors
from _summary import summarize
from _tables import format_summary
from _truth import DATASETS, REGIMES, SECONDS, draw_mask, fill, flat, list_held_out, load_truth

__all__ = ["draw_mask", "fill", "flat", "load_truth", "main", "parse_args"]

PARTS = ("cells", "decoding", "garbage")
QUICK_REGIMES = ("25%", "segments")  # of the garbage part


def run_cells(args, priors):
    """Measure all methods on all recordings; return one row each."""
    jobs = []
    for dataset in args.datasets:
        paths = list_paths(args, dataset)
        jobs += [
            (args, dataset, path, pick_priors(priors, dataset, path.subject)) for path in paths
        ]
        subjects = {path.subject for path in paths}
        print(f"{dataset}: {len(paths)} recordings of {len(subjects)} subjects", flush=True)
    rows = []
    for found in run_jobs(measure_recording, jobs, args.jobs):
        rows += found
    return rows


def run_decoding(args, priors):
    """Decode with bad channels as they are, dropped and restored; one row per subject and draw."""
    rows = []
    for task, dataset in TASKS.items():
        if dataset not in args.datasets:
            continue
        paths = list_held_out(args.shared / "eeg" / dataset, everyone=args.everyone)
        subjects = group_subjects(paths)[: args.max_recordings]
        jobs = [(args, task, own, pick_priors(priors, dataset)) for own in subjects]
        rows += decode(task, list(run_jobs(extract_subject, jobs, args.jobs)))
        print(f"{task}: {len(subjects)} subjects", flush=True)
    return rows


def run_garbage(args, priors):
    """Restore one recording per data set with several fillings of bad samples."""
    jobs = []
    settings = argparse.Namespace(**vars(args))
    if args.quick:
        settings.regimes = [regime for regime in args.regimes if regime in QUICK_REGIMES]
    for dataset in args.datasets:
        (path,) = list_held_out(args.shared / "eeg" / dataset, most=1)
        jobs.append((settings, dataset, path, pick_priors(priors, dataset)))
    return [row for rows in run_jobs(compare_garbage, jobs, args.jobs) for row in rows]


def list_paths(args, dataset):
    """List the requested recordings of a data set."""
    root = args.shared / "eeg" / dataset
    return list_held_out(root, quick=args.quick, most=args.max_recordings)


def parse_args(argv=None):
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=os.environ.get("MNE_GRAM_SHARED", root.parent / "shared"))
    add("--methods", default="spline,ridge,spatial,auto")
    add("--datasets", default=",".join(DATASETS))
    add("--regimes", default=",".join(REGIMES))
    add("--parts", default=",".join(PARTS), help="cells, decoding, garbage")
    add("--quick", action="store_true", help="one recording per subject, fewer draws")
    add("--max-recordings", type=int, help="maximum number of recordings (subjects) per data set")
    add("--seconds", type=float, default=SECONDS, help="length of continuous recordings")
    add("--unfiltered", action="store_true", help="keep drifts and line in the truth")
    add("--draws", type=int, default=1, help="masks per recording and regime")
    add("--decoding-draws", type=int, help="masks per subject; 5, or 1 with --quick")
    add(
        "--everyone",
        action="store_true",
        help="decode training subjects as well, see the README",
    )
    leave_out = "use priors estimated without the data set at hand, only or also"
    add("--leave-out", nargs="?", const="only", choices=("only", "also"), help=leave_out)
    add("--prior", default=None, help="another prior than the bundled one")
    add("--model", default=None, help="another network than the default")
    add("--jobs", type=int, default=2, help="processes, of one thread each")
    add("--csv", type=Path, help="write one row per recording, regime, draw and method")
    add("--figures", type=Path, help="write a page of figures into this folder")
    args = parser.parse_args(argv)
    for name in ("methods", "datasets", "regimes", "parts"):
        setattr(args, name, getattr(args, name).split(","))
    for name, known in (("datasets", DATASETS), ("regimes", REGIMES), ("parts", PARTS)):
        unknown = ", ".join(sorted(set(getattr(args, name)) - set(known)))
        if unknown:
            parser.error(f"unknown {name}: {unknown}; there are {', '.join(known)}")
    args.methods = expand_methods(args.methods, args.leave_out)
    if args.decoding_draws is None:
        args.decoding_draws = 1 if args.quick else 5
    args.shared = Path(args.shared)
    if not (args.shared / "eeg").is_dir():
        parser.error(f"no recordings in {args.shared}; set MNE_GRAM_SHARED to their folder")
    return args


def write_table(fname, rows):
    """Write rows as a table, with the columns of all of them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(fname, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def main(argv=None):
    """Run the benchmark."""
    args = parse_args(argv)
    start = time.perf_counter()
    left_out = any(parse_method(name).library != WHOLE for name in args.methods)
    with mne.utils.use_log_level("ERROR"):
        priors = load_priors(args.prior, args.datasets if left_out else ())
    rows, cells, decoding, texts = [], [], [], []

    def finish(ending, table, text):
        """Print and write the result of one part at once, as the next one may take long."""
        texts.append(text)
        print(f"\n{text}\n", flush=True)
        if args.csv and table:
            write_table(args.csv.with_name(f"{args.csv.stem}{ending}{args.csv.suffix}"), table)

    if "cells" in args.parts:
        rows = run_cells(args, priors)
        cells = summarize(rows, args.methods)
        finish("", rows, format_summary(rows, cells, args.methods))
    if "decoding" in args.parts and set(TASKS.values()) & set(args.datasets):
        found = run_decoding(args, priors)
        decoding = summarize_decoding(found)
        finish("_decoding", found, format_decoding(decoding))
    if "garbage" in args.parts:
        found = run_garbage(args, priors)
        finish("_garbage", found, format_garbage(found))
    if args.figures:
        page = write_page(args.figures, rows, cells, decoding, args.methods, "\n\n".join(texts))
        print(f"The figures: {page}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
