# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands of benchmarks: arguments in, library calls out, and no logic of their own."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import contextlib
import sys
from pathlib import Path

from ._shared import add_command

_RECIPES = ("tuev", "hmc", "seedv", "shumi")


def add_bench(commands):
    """Add the commands of benchmarks."""
    parser = commands.add_parser("bench", help="hold methods against each other on your own data")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_classify(actions)


def _add_classify(actions):
    """Add the arguments of ``classify``."""
    parser = add_command(
        actions,
        "classify",
        _run_classify,
        "hold classifiers against each other in the same folds",
        example="mne_gram bench classify /data/study --out results --event left=T1 right=T2\n"
        "mne_gram bench classify /data/study --out results --by task --seeds 5\n\n"
        "What is done already is not done again: the same command goes on where it stopped.",
    )
    add = parser.add_argument
    add("root", metavar="ROOT", help="a BIDS data set, or with --recipe the owner's folder")
    add("--out", required=True, metavar="FOLDER", help="where tables and figures go")
    add("--recipe", choices=_RECIPES, help="read and split ROOT as published")
    add(
        "--event",
        nargs="+",
        action="extend",
        metavar="LABEL=EVENT",
        help="events to classify: left=T1 right=T2; without, all events under their own names",
    )
    add(
        "--by",
        choices=["task", "session", "acquisition", "run"],
        help="classify whole recordings by this part of their names, instead of events",
    )
    add("--labels", nargs="+", metavar="LABEL", help="with --by: the values that count")
    add("--tasks", nargs="+", metavar="TASK", help="recordings of these tasks only")
    add("--tmin", type=float, default=0.0, metavar="S", help="start of a window after its event")
    add("--window", type=float, default=4.0, metavar="S", help="length of a window (4 s)")
    add("--within", action="store_true", help="split the trials of each person, not people")
    add("--subjects", nargs="+", metavar="NAME", help="only these people")
    add("--max-windows", type=int, metavar="N", help="at most N windows of a recording")
    add("--ch-names", nargs="+", metavar="NAME", help="the channels of SHU-MI, in order")
    _add_comparison(parser)


def _add_comparison(parser):
    """Add the arguments that say what is compared, and how."""
    add = parser.add_argument
    add(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="csp-lda, tangent-lr, bandpower-lr, gram-probe, gram-lora, gram-full; arguments of "
        "GramClassifier as in gram-probe+pool=mean (default: the first four)",
    )
    add("--seeds", type=int, default=5, metavar="N", help="how many seeds: 0, 10, 20, ... (5)")
    add("--folds", type=int, default=5, metavar="N", help="how many folds (5)")
    add("--line-freq", type=float, metavar="HZ", help="frequency of the power line")
    add("--name", metavar="NAME", help="what the task is called (the name of ROOT)")
    add("--jobs", type=int, default=1, metavar="N", help="processes, of one thread each")


def _run_classify(args, parser):
    """Compare classifiers."""
    _check_arguments(args, parser)
    import mne

    from ..evaluation import (
        DEFAULT,
        compare_classifiers,
        parse_method,
        tell_seconds,
        tell_summary,
        write_comparison,
    )

    methods = args.methods or list(DEFAULT)
    for name in methods:
        parse_method(name)  # wrong ones are told before anything is read
    log_level = mne.use_log_level("INFO" if args.verbose else "WARNING")
    with log_level, contextlib.redirect_stdout(sys.stderr):
        task = _load_task(args)
        results, failures = compare_classifiers(
            task,
            methods,
            Path(args.out) / "units",
            seeds=[10 * k for k in range(args.seeds)],
            n_folds=args.folds,
            n_jobs=args.jobs,
        )
        rows, summary, differences = write_comparison(args.out, task, results)
    print(f"{tell_summary(summary, differences)}\n\n{tell_seconds(rows)}")
    print(f"Tables and figures are in {args.out}.")
    if failures:
        where, reason = failures[0]
        raise RuntimeError(f"{len(failures)} fits failed, the first ({where}) by {reason}")


def _check_arguments(args, parser):
    """Refuse arguments that contradict each other."""
    given = {"--event": args.event, "--by": args.by, "--tasks": args.tasks}
    given["--within"] = args.within
    if args.recipe:
        wrong = [name for name, value in given.items() if value]
        if wrong:
            parser.error(f"--recipe settles what {', '.join(wrong)} would say")
    elif args.event and args.by:
        parser.error("give either --event or --by")
    if args.labels and not args.by:
        parser.error("--labels goes with --by")
    if args.ch_names and args.recipe != "shumi":
        parser.error("--ch-names goes with --recipe shumi")
    for name in ("seeds", "folds", "jobs"):
        least = 2 if name == "folds" else 1
        if getattr(args, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(args, name)}")
    for text in args.event or ():
        if not all(text.partition("=")):
            parser.error(f"--event takes LABEL=EVENT, got {text!r}")


def _load_task(args):
    """Read the data set."""
    from ..evaluation import load_bids_task, load_recipe_task

    options = dict(name=args.name, subjects=args.subjects, max_windows=args.max_windows)
    options["line_freq"] = args.line_freq
    if args.recipe:
        if args.ch_names:
            options["ch_names"] = args.ch_names
        return load_recipe_task(args.recipe, args.root, **options)
    events = {}
    for text in args.event or ():
        label, _, event = text.partition("=")
        events.setdefault(label, []).append(event)
    return load_bids_task(
        args.root,
        events=events or None,
        by=args.by,
        labels=args.labels,
        tasks=args.tasks,
        tmin=args.tmin,
        length=args.window,
        within=args.within,
        **options,
    )
