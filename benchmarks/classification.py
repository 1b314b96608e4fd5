# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Compare the bundled model with classical decoders, in the same folds.

Run ::

    python benchmarks/classification.py --tasks eegmat,mdd,eegmmi,eegmmi-within --seeds 5

``eegmat``: rest or arithmetic; ``mdd``: eyes closed or open; both in windows of 4 s of recordings
that are preprocessed as a whole, with subjects in five folds (``GroupKFold``, shuffled by seed).
``eegmmi``: imagery of the left or right fist, the 4 s after the cue, across subjects in the same
way; ``eegmmi-within``: each subject's 30 trials in five stratified folds. ``eegmat-heldout``,
``mdd-heldout`` and ``eegmmi-heldout``: four fifths of the subjects that the model was pre-trained
on, drawn by seed, against all others, with at most 8 windows per recording (imagery: 30).

Scores are pooled over the folds of a seed, never averaged over them; intervals are over subjects.
The bundled model was pre-trained on the signals (without labels) of three quarters of these
subjects. ``held-out`` are the others, the 4th, 8th, ... of each data set in sorted order. No
setting was chosen by them.
"""

import argparse
import os
import re
import time
from pathlib import Path

import numpy as np
from _cost import format_costs, measure_cost

from mne_gram._files import list_recordings
from mne_gram.datasets import read_bids_epochs, read_bids_windows
from mne_gram.evaluation import (
    DEFAULT,
    IMAGERY_BAND,
    STATE_BAND,
    compare_classifiers,
    format_seconds,
    format_summary,
    make_task,
    make_transform,
    parse_method,
    plot_scores,
    write_comparison,
    write_table,
)
from mne_gram.training import split_subjects

WINDOW = 4.0  # seconds
STATES = dict(eegmat=("rest", "arithmetic"), mdd=("eyesopen", "eyesclosed"))
IMAGERY = dict(left="T1", right="T2")
TASKS = (*STATES, "eegmmi", "eegmmi-within")
HELD_OUT = tuple(f"{name}-heldout" for name in (*STATES, "eegmmi"))
METHODS = (*DEFAULT, "gram-probe+align=subject")


def load_task(name, shared, max_subjects=None):
    """Read a task; return it and the subjects that the bundled model was not pre-trained on."""
    dataset, _, protocol = name.partition("-")
    root = shared / "eeg" / dataset
    subjects = sorted({path.subject for path in list_recordings(root)})
    held_out = split_subjects(subjects)[1]
    options = dict(length=WINDOW, subjects=subjects[:max_subjects], transform=make_transform())
    options["verbose"] = "error"  # the data were filtered before, as the README describes
    if dataset in STATES:
        labels = list(STATES[dataset])
        recordings = read_bids_windows(root, "task", labels=labels, **options)
    else:
        labels = list(IMAGERY)
        recordings = read_bids_epochs(root, IMAGERY, **options)
    task = make_task(
        name,
        recordings,
        labels=labels,
        protocol={"": "across", "heldout": "held-out"}.get(protocol, protocol),
        max_windows=8 if name in HELD_OUT and dataset in STATES else None,
        band=STATE_BAND if dataset in STATES else IMAGERY_BAND,
    )
    is_test = np.isin(task.subjects, held_out)
    task.epochs.metadata["part"] = np.where(is_test, "test", "train")
    return task, held_out


def parse_args(argv=None):
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=os.environ.get("MNE_GRAM_SHARED", root.parent / "shared"))
    add("--tasks", default=",".join(TASKS))
    add(
        "--methods",
        default=",".join(METHODS),
        help="also gram-lora, gram-probe+bands=[[8,30]], ...",
    )
    add("--seeds", type=int, default=5, help="number of seeds (0, 10, 20, ...)")
    add("--folds", type=int, default=5)
    add("--max-subjects", type=int, help="at most this many subjects per data set")
    add(
        "--out",
        type=Path,
        default=Path("classification"),
        help="folder of results, tables and figures",
    )
    add("--csv", type=Path, help="write one row per task, method, seed and fold to this file")
    add("--figures", type=Path, help="write the figure of all tasks into this folder")
    add("--cost", action="store_true", help="measure seconds and memory of one fold instead")
    add("--jobs", type=int, default=2, help="number of processes, with one thread each")
    args = parser.parse_args(argv)
    args.tasks = args.tasks.split(",")
    args.methods = re.split(",(?=[a-z])", args.methods)  # not within [[8,13],[13,30]]
    unknown = ", ".join(sorted({*args.tasks} - {*TASKS, *HELD_OUT}))
    if unknown:
        parser.error(f"unknown tasks: {unknown}; there are {', '.join((*TASKS, *HELD_OUT))}")
    try:
        for name in args.methods:
            parse_method(name)
    except ValueError as exc:
        parser.error(str(exc))
    args.shared = Path(args.shared)
    if not (args.shared / "eeg").is_dir():
        parser.error(f"no recordings in {args.shared}; set MNE_GRAM_SHARED to their folder")
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse_args(argv)
    start = time.perf_counter()
    folds, summary, n_failed = [], [], 0
    for name in args.tasks:
        task, held_out = load_task(name, args.shared, args.max_subjects)
        n_subjects = len(set(task.subjects))
        seconds = time.perf_counter() - start
        print(
            f"{name}: {len(task.y)} windows of {n_subjects} subjects ({seconds:.0f} s)", flush=True
        )
        if args.cost:
            print(format_costs([measure_cost(task, method) for method in args.methods]), flush=True)
            continue
        results, failures = compare_classifiers(
            task,
            args.methods,
            args.out / "fold_results",
            seeds=[10 * k for k in range(args.seeds)],
            n_folds=args.folds,
            n_jobs=args.jobs,
        )
        n_failed += len(failures)
        groups = {} if name in HELD_OUT else {"held-out": held_out}
        rows, own, differences = write_comparison(args.out, task, results, groups)
        folds, summary = folds + rows, summary + own
        # Printed at once, because the next task may take long.
        print(f"\n{format_summary(own, differences)}\n\n{format_seconds(rows)}\n", flush=True)
    if args.csv and folds:
        write_table(args.csv, folds)
    if args.figures and summary:
        args.figures.mkdir(parents=True, exist_ok=True)
        plot_scores(summary).savefig(args.figures / "classification.png", dpi=150)
    print(f"{time.perf_counter() - start:.0f} s")
    return 1 if n_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
