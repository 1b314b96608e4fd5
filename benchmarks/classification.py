# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classify with the bundled model and with classical decoders, in the same folds.

Run ::

    python benchmarks/classification.py --tasks eegmat,mdd,eegmmi,eegmmi-within --seeds 5

``eegmat``: rest or arithmetic; ``mdd``: eyes closed or open; both in windows of 4 s of recordings
that are preprocessed as a whole, with people in five folds (``GroupKFold``, shuffled by the seed).
``eegmmi``: left or right fist imagined, the 4 s after the cue, across people in the same way;
``eegmmi-within``: each person's 30 trials in five stratified folds of their own.

Scores are pooled over the folds of a seed, never averaged over them; intervals are over people.
The bundled model has met the signals (without labels) of three quarters of these people. ``unmet``
are the others, the 4th, 8th, ... of each data set in sorted order. Nothing was chosen by them.
"""

import argparse
import os
import re
import time
from pathlib import Path

from _cost import measure_cost, tell_costs

from mne_gram._files import list_recordings
from mne_gram.datasets import read_bids_epochs, read_bids_windows
from mne_gram.evaluation._classify import compare_classifiers, write_comparison
from mne_gram.evaluation._figures import plot_scores
from mne_gram.evaluation._methods import DEFAULT, parse_method
from mne_gram.evaluation._tables import tell_seconds, tell_summary, write_table
from mne_gram.evaluation._tasks import IMAGERY_BAND, STATE_BAND, make_task, make_transform
from mne_gram.training import split_subjects

WINDOW = 4.0  # seconds
STATES = dict(eegmat=("rest", "arithmetic"), mdd=("eyesopen", "eyesclosed"))
IMAGERY = dict(left="T1", right="T2")
TASKS = (*STATES, "eegmmi", "eegmmi-within")
METHODS = (*DEFAULT, "gram-probe+align=subject")


def load_task(name, shared, max_people=None):
    """Read and preprocess the recordings of a task.

    Parameters
    ----------
    name : str
        One of ``TASKS``.
    shared : Path
        The folder of the data sets' folder ``eeg``.
    max_people : int | None
        At most this many people.

    Returns
    -------
    task : Task
        The task.
    """
    dataset, _, within = name.partition("-")
    root = shared / "eeg" / dataset
    people = sorted({path.subject for path in list_recordings(root)})
    options = dict(length=WINDOW, subjects=people[:max_people], transform=make_transform())
    options["verbose"] = "error"  # that the data were filtered before is told by the README
    if dataset in STATES:
        labels = list(STATES[dataset])
        found = read_bids_windows(root, "task", labels=labels, **options)
    else:
        labels = list(IMAGERY)
        found = read_bids_epochs(root, IMAGERY, **options)
    return make_task(
        name,
        found,
        labels=labels,
        protocol=within or "across",
        band=STATE_BAND if dataset in STATES else IMAGERY_BAND,
        unmet=tuple(split_subjects(people)[1]),
    )


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
    add("--seeds", type=int, default=5, help="how many (0, 10, 20, ...)")
    add("--folds", type=int, default=5)
    add("--max-people", type=int, help="at most this many people a data set")
    add("--out", type=Path, default=Path("classification"), help="folder of all that is written")
    add("--csv", type=Path, help="write a row a task, method, seed and fold to this file too")
    add("--figures", type=Path, help="write the figure of all tasks into this folder")
    add("--cost", action="store_true", help="measure seconds and memory of one fold instead")
    add("--jobs", type=int, default=2, help="processes, of one thread each")
    args = parser.parse_args(argv)
    args.tasks = args.tasks.split(",")
    args.methods = re.split(",(?=[a-z])", args.methods)  # not within [[8,13],[13,30]]
    unknown = ", ".join(sorted({*args.tasks} - {*TASKS}))
    if unknown:
        parser.error(f"unknown tasks: {unknown}; there are {', '.join(TASKS)}")
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
        task = load_task(name, args.shared, args.max_people)
        n_people = len(set(task.subjects))
        seconds = time.perf_counter() - start
        print(f"{name}: {len(task.y)} windows of {n_people} people ({seconds:.0f} s)", flush=True)
        if args.cost:
            print(tell_costs([measure_cost(task, method) for method in args.methods]), flush=True)
            continue
        results, failures = compare_classifiers(
            task,
            args.methods,
            args.out / "units",
            seeds=[10 * k for k in range(args.seeds)],
            n_folds=args.folds,
            n_jobs=args.jobs,
        )
        n_failed += len(failures)
        rows, own, differences = write_comparison(args.out, task, results)
        folds, summary = folds + rows, summary + own
        # At once: the next task may take long.
        print(f"\n{tell_summary(own, differences)}\n\n{tell_seconds(rows)}\n", flush=True)
    if args.csv and folds:
        write_table(args.csv, folds)
    if args.figures and summary:
        args.figures.mkdir(parents=True, exist_ok=True)
        plot_scores(summary).savefig(args.figures / "classification.png", dpi=150)
    print(f"{time.perf_counter() - start:.0f} s")
    return 1 if n_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
