# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands for data sets and for finding bad channels: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import argparse
import contextlib
import json
import sys

from ._main import _add_command, _get_namer


def add_bids(commands):
    """Add the commands ``bids`` and ``find-bads``."""
    _add_bids(commands)
    _add_find_bads(commands)


def _add_bids(commands):
    """Add the arguments of ``bids``."""
    parser = _add_command(
        commands,
        "bids",
        _run_bids,
        "restore or embed all recordings of a BIDS data set",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""\
Recordings that are done are skipped, so the same command goes on after it was stopped. The exit
code is 1 if a recording failed.

examples:
  mne_gram bids /data/study --dry-run
  mne_gram bids /data/study --task rest --n-jobs 4
  mne_gram bids /data/study --job embed --derivatives /scratch/embeddings
  mne_gram bids /data/study --shard "$SLURM_ARRAY_TASK_ID/20"
""",
    )
    add = parser.add_argument
    add("root", metavar="ROOT", help="the folder that holds dataset_description.json")
    jobs = ["restore", "embed", "tokens"]
    add("--job", default="restore", choices=jobs, help="what to do with each (restore)")
    for entity in ("subject", "session", "task", "run"):
        add(
            f"--{entity}",
            dest=f"{entity}s",
            nargs="+",
            metavar="LABEL",
            help=f"only these {entity}s, such as {dict(run='1').get(entity, '01')}",
        )
    add("--derivatives", metavar="FOLDER", help="where to write (ROOT/derivatives/mne-gram)")
    _add_scale(parser)
    add("--dry-run", action="store_true", help="tell what would be done and for how long")
    add("--find-bads", action="store_true", help="look for bad channels and stretches as well")
    methods = ["auto", "spatial", "gram", "spline"]
    add("--method", default="auto", choices=methods, help="how to restore (auto)")
    add("--output", default="mean", choices=["mean", "sample"], help="expected signal, or a draw")
    add("--all-channel-gaps", default="keep", choices=["keep", "fill"])
    add("--model", default="gram-tiny", help="a name that 'weights list' prints, or a folder")
    add("--line-freq", type=float, metavar="HZ", help="frequency of the power line")
    add("--random-state", type=int, metavar="SEED", help="seed of random draws")
    add("--format", default="BrainVision", choices=["BrainVision", "EDF"], help="of recordings")
    add("--std", action="store_true", help="write the uncertainty of each restored sample too")
    pools = ["cls", "mean", "channels", "times", "patches"]
    add("--pool", default="cls", choices=pools, help="what becomes of a window, to embed (cls)")
    add("--window", type=float, metavar="S", help="length of windows, to embed")
    add("--overlap", type=float, default=0.0, metavar="S", help="overlap of windows, to embed")
    add("--device", metavar="NAME", help="where networks run, such as cpu or cuda")
    add("--batch-size", type=int, metavar="N", help="windows that a network gets at once")
    add("--no-report", action="store_true", help="draw no figures and write no pages")
    add("--overwrite", action="store_true", help="do recordings again that are done")
    add("--stop-on-error", action="store_true", help="end with the first recording that fails")
    add("--json", action="store_true", help="print the table as JSON")


def _add_scale(parser):
    """Add the arguments that spread the work."""
    add = parser.add_argument
    add("--n-jobs", type=int, metavar="N", help="recordings at a time, -1 for all cores (1)")
    add("--shard", metavar="I/N", help="do only the I-th of N shares, I from 1 to N")
    add("--dask", metavar="ADDRESS", help="scheduler of a dask cluster that is to do the work")


def _run_bids(args, parser):
    """Work on a data set."""
    import mne

    from ..bids import run_bids

    n_jobs = args.n_jobs if args.n_jobs is not None else (-1 if args.dask else 1)
    # The standard output is kept for the result.
    with mne.use_log_level("INFO"), contextlib.redirect_stdout(sys.stderr), _dask(args.dask):
        report = run_bids(
            args.root,
            job=args.job,
            subjects=args.subjects,
            sessions=args.sessions,
            tasks=args.tasks,
            runs=args.runs,
            derivatives=args.derivatives,
            n_jobs=n_jobs,
            shard=args.shard,
            overwrite=args.overwrite,
            on_error="raise" if args.stop_on_error else "continue",
            dry_run=args.dry_run,
            find_bads=args.find_bads,
            method=args.method,
            output=args.output,
            model=args.model,
            line_freq=args.line_freq,
            all_channel_gaps=args.all_channel_gaps,
            random_state=args.random_state,
            format=args.format,
            save_std=args.std,
            pool=args.pool,
            window=args.window,
            overlap=args.overlap,
            report=not args.no_report,
            device=args.device,
            batch_size=args.batch_size,
        )
    print(_to_json(report) if args.json else report)
    if report.failures:
        where = f" ({report.log} tells more)" if report.log else ""
        names = ", ".join(row["recording"] for row in report.failures[:3])
        more = ", ..." if len(report.failures) > 3 else ""
        raise RuntimeError(
            f"{len(report.failures)} of {len(report.rows)} recordings failed: {names}{more}{where}."
        )


@contextlib.contextmanager
def _dask(address):
    """Let joblib use a dask cluster, if there is one."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError(
            "--dask needs the package distributed: pip install 'mne-gram[dask]'."
        ) from None
    from joblib import parallel_config

    try:
        client = Client(address, timeout="20s")
    except (OSError, ValueError) as exc:
        raise RuntimeError(
            f"Found no dask scheduler at {address} ({exc}). Start one with 'dask scheduler', and "
            "workers with 'dask worker ADDRESS'."
        ) from None
    with client, parallel_config("dask"):
        yield


def _to_json(report):
    """Return the table as JSON."""
    from .._version import __version__

    content = dict(
        version=__version__,
        folder=str(report.folder),
        index=str(report.index) if report.index else None,
        log=str(report.log) if report.log else None,
        recordings=json.loads(report.to_data_frame().to_json(orient="records")),
    )
    return json.dumps(content, indent=1)


def _add_find_bads(commands):
    """Add the arguments of ``find-bads``."""
    parser = _add_command(
        commands,
        "find-bads",
        _run_find_bads,
        "find bad channels and bad stretches of channels in a recording",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""\
Nothing in IN is changed; OUT is a copy in which is marked what was found.

examples:
  mne_gram find-bads sub-01_eeg.vhdr
  mne_gram find-bads sub-01_eeg.vhdr --json
  mne_gram find-bads sub-01_raw.fif --output sub-01_marked_raw.fif
""",
    )
    add = parser.add_argument
    add("input", nargs="?", metavar="IN", help="any format that MNE reads; epochs from -epo.fif")
    add("--sample", action="store_true", help="take the bundled sample recording as IN")
    add("--bads", nargs="+", default=[], metavar="NAME", help="channels that are known to be bad")
    add("--montage", metavar="NAME", help="template with positions, as MNE names it")
    add("--line-freq", type=float, metavar="HZ", help="frequency of the power line")
    add("--channel-threshold", type=float, default=2.0, metavar="X", help="larger finds less (2)")
    add("--span-threshold", type=float, default=5.5, metavar="X", help="larger finds less (5.5)")
    add("--output", metavar="OUT", help="write a copy with marks: .fif, .edf or .vhdr")
    add("--table", type=_get_namer(".csv"), metavar="FILE", help="write what was found as .csv")
    add("--json", action="store_true", help="print what was found as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")


def _run_find_bads(args, parser):
    """Find what is bad in one recording."""
    if args.sample == (args.input is not None):
        parser.error("give either IN or --sample")
    import mne

    from .._files import _io
    from ..datasets import sample
    from ..detection import find_bads

    log_level = mne.use_log_level("INFO" if args.verbose else "WARNING")
    with log_level, contextlib.redirect_stdout(sys.stderr):
        inst = sample() if args.sample else _io.read_inst(args.input, preload=False)
        if args.output:
            _io.check_output(args.output, inst=inst, source=args.input, overwrite=args.overwrite)
        if args.table:
            _io.check_output(args.table, source=args.input, overwrite=args.overwrite)
        _io.mark_bads(inst, args.bads)
        if args.montage is not None:
            inst.set_montage(args.montage, match_case=False, on_missing="warn")
        found = find_bads(
            inst,
            line_freq=args.line_freq,
            channel_threshold=args.channel_threshold,
            span_threshold=args.span_threshold,
        )
        lines = _write_found(found, inst, args)
    print(_describe_found(found, args) if args.json else "\n".join([str(found), *lines]))


def _write_found(found, inst, args):
    """Write what was asked for, all of it or nothing; return what to say of it."""
    from .._files import _io

    paths = [path for path in (args.output, args.table) if path]
    if not paths:
        return []
    with _io.staged_together(paths, args.overwrite) as files:
        if args.output:
            _io.write_inst(found.mark(inst, copy=False), files[0])
        if args.table:
            found.to_data_frame().to_csv(files[-1], index=False)
    return [f"Wrote {path}." for path in paths]


def _describe_found(found, args):
    """Return what was found as JSON."""
    from .._version import __version__

    table = json.loads(found.to_data_frame().to_json(orient="records"))
    content = dict(
        version=__version__,
        input="sample" if args.sample else args.input,
        output=args.output,
        channels=found.reasons,
        spans=[row for row in table if not row["whole"]],
        bridged=found.bridged,
    )
    return json.dumps(content, indent=1)
