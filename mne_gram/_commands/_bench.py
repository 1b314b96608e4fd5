# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command ``bench classify``."""

# Imports are nested, so that --help and argument errors are fast.
from pathlib import Path

from .._counts import count
from ._shared import add_command, log_to_stderr

_RECIPES = ("tuev", "hmc", "seedv", "shumi")


def add_bench(commands):
    """Add the commands of benchmarks."""
    parser = commands.add_parser("bench", help="compare methods on your own data")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_classify(actions)


def _add_classify(actions):
    """Add the arguments of ``classify``."""
    parser = add_command(
        actions,
        "classify",
        _run_classify,
        "compare classifiers in the same folds",
        example="mne_gram bench classify /data/study --out results --event left=T1 right=T2\n"
        "mne_gram bench classify /data/study --out results --by task --seeds 5",
        note="Existing results are reused, so after an interruption the same command resumes.",
    )
    add = parser.add_argument
    add(
        "root",
        metavar="ROOT",
        help="a BIDS data set, or with --recipe the folder of the downloaded files",
    )
    add("--out", required=True, metavar="FOLDER", help="folder of tables and figures")
    add("--recipe", choices=_RECIPES, help="read and split ROOT as published")
    add(
        "--event",
        nargs="+",
        action="extend",
        metavar="LABEL=EVENT",
        help="events to classify, such as left=T1 right=T2 (default: all events, by their names)",
    )
    add(
        "--by",
        choices=["task", "session", "acquisition", "run"],
        help="classify whole recordings by this BIDS entity instead of events",
    )
    add("--labels", nargs="+", metavar="LABEL", help="with --by: the values to use")
    add("--tasks", nargs="+", metavar="TASK", help="use only recordings of these tasks")
    add(
        "--tmin",
        type=float,
        default=0.0,
        metavar="S",
        help="start of a window relative to its event in seconds (default: 0)",
    )
    add(
        "--window",
        type=float,
        default=4.0,
        metavar="S",
        help="length of a window in seconds (default: 4)",
    )
    add(
        "--within", action="store_true", help="split within each subject instead of across subjects"
    )
    add("--subjects", nargs="+", metavar="NAME", help="use only these subjects")
    add("--max-windows", type=int, metavar="N", help="at most N windows per recording")
    add("--ch-names", nargs="+", metavar="NAME", help="the channels of SHU-MI, in order")
    _add_comparison(parser)


def _add_comparison(parser):
    """Add the arguments of the methods, folds and preprocessing."""
    add = parser.add_argument
    add(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="csp-lda, tangent-lr, bandpower-lr, gram-probe, gram-lora, gram-full, with arguments "
        "of GramClassifier as in gram-probe+pool=mean (default: the first four)",
    )
    help_seeds = "number of seeds, which are 0, 10, 20, ... (default: 5)"
    add("--seeds", type=int, default=5, metavar="N", help=help_seeds)
    add("--folds", type=int, default=5, metavar="N", help="number of folds (default: 5)")
    add("--line-freq", type=float, metavar="HZ", help="power line frequency in Hz")
    add("--name", metavar="NAME", help="name of the task (default: that of ROOT)")
    add(
        "--jobs", type=int, default=1, metavar="N", help="number of processes, with one thread each"
    )


def _run_classify(args, parser):
    """Compare classifiers."""
    _check_arguments(args, parser)
    from ..evaluation import (
        DEFAULT,
        compare_classifiers,
        format_seconds,
        format_summary,
        parse_method,
        write_comparison,
    )

    methods = args.methods or list(DEFAULT)
    for name in methods:
        parse_method(name)  # raises before anything is read
    with log_to_stderr(args.verbose):
        task = _load_task(args)
        results, failures = compare_classifiers(
            task,
            methods,
            Path(args.out) / "fold_results",
            seeds=[10 * k for k in range(args.seeds)],
            n_folds=args.folds,
            n_jobs=args.jobs,
        )
        folds, summary, differences = write_comparison(args.out, task, results)
    print(f"{format_summary(summary, differences)}\n\n{format_seconds(folds)}")
    print(f"Tables and figures are in {args.out}.")
    if failures:
        where, reason = failures[0]
        raise RuntimeError(
            f"{count(len(failures), 'fit')} failed, the first ({where}) with {reason}"
        )


def _check_arguments(args, parser):
    """Exit with an error if arguments contradict each other."""
    given = {"--event": args.event, "--by": args.by, "--tasks": args.tasks}
    given["--within"] = args.within
    if args.recipe:
        wrong = [name for name, value in given.items() if value]
        if wrong:
            parser.error(f"--recipe cannot be combined with {', '.join(wrong)}")
    elif args.event and args.by:
        parser.error("use either --event or --by")
    if args.labels and not args.by:
        parser.error("--labels needs --by")
    if args.ch_names and args.recipe != "shumi":
        parser.error("--ch-names needs --recipe shumi")
    for name in ("seeds", "folds", "jobs"):
        least = 2 if name == "folds" else 1
        if getattr(args, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(args, name)}")
    for text in args.event or ():
        if not all(text.partition("=")):
            parser.error(f"--event expects LABEL=EVENT, got {text!r}")


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
