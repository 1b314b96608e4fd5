# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command ``bids``: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import contextlib
import json

from .. import __version__
from ._restore import add_restoration_options, get_restoration_options
from ._shared import (
    POOLS,
    add_command,
    add_encoding_options,
    add_selection,
    get_selection,
    log_to_stderr,
    split_lists,
)
from ._wording import to_options


def add_bids(commands):
    """Add the command ``bids``."""
    parser = add_command(
        commands,
        "bids",
        _run_bids,
        "restore or embed all recordings of a BIDS data set",
        example="mne_gram bids /data/study --dry-run\n"
        "mne_gram bids /data/study --task rest --n-jobs 4\n"
        "mne_gram bids /data/study --job embed --derivatives /scratch/embeddings\n"
        "mne_gram bids /data/study --job prior --n-jobs 4\n"
        'mne_gram bids /data/study --shard "$SLURM_ARRAY_TASK_ID/20"',
        note="Recordings that are up to date are skipped, so after an interruption the same "
        "command resumes.\nThe exit code is 1 if any recording failed.",
    )
    add = parser.add_argument
    add("root", metavar="ROOT", help="BIDS root, the folder with dataset_description.json")
    jobs = ["restore", "embed", "tokens", "prior"]
    add("--job", default="restore", choices=jobs, help="what to compute (default: restore)")
    add_selection(parser)
    help_derivatives = "output folder (default: ROOT/derivatives/mne-gram)"
    add("--derivatives", metavar="FOLDER", help=help_derivatives)
    _add_scale_options(parser)
    help_dry_run = "only list what would be done, and estimate the run time"
    add("--dry-run", action="store_true", help=help_dry_run)
    add("--find-bads", action="store_true", help="also detect bad channels and segments")
    add(
        "--prior",
        default="dataset",
        metavar="dataset|bundled|FILE",
        help="what to add to the bundled library: the recordings of this data set (default, from "
        "three subjects on), nothing, or what is in a file of 'mne_gram prior fit'",
    )
    help_refit = "make the prior of the data set again, and restore again with it"
    add("--refit-prior", action="store_true", help=help_refit)
    add_restoration_options(parser)
    add("--line-freq", type=float, metavar="HZ", help="power line frequency in Hz")
    add(
        "--format",
        default="BrainVision",
        choices=["BrainVision", "EDF"],
        help="format of restored recordings (default: BrainVision)",
    )
    add(
        "--naming",
        default="derivative",
        choices=["derivative", "raw"],
        help="names of restored recordings: with desc-restored (default), or those of the source, "
        "as MNE-BIDS-Pipeline reads them",
    )
    add("--std", action="store_true", help="also write the standard deviation of the error")
    add("--pool", default="cls", choices=POOLS, help="pooling of embeddings (default: cls)")
    add_encoding_options(parser)
    add("--no-report", action="store_true", help="do not write figures and HTML pages")
    help_overwrite = (
        "process recordings again that are up to date, and replace files that mne_gram did not "
        "write"
    )
    add("--overwrite", action="store_true", help=help_overwrite)
    add("--stop-on-error", action="store_true", help="stop at the first recording that fails")
    add("--json", action="store_true", help="print the table as JSON")


def _add_scale_options(parser):
    """Add the options that distribute the work."""
    add = parser.add_argument
    help_n_jobs = "number of recordings to process in parallel, -1 for all cores (default: 1)"
    add("--n-jobs", type=int, metavar="N", help=help_n_jobs)
    help_shard = "process only the I-th of N shares of the recordings, I from 1 to N"
    add("--shard", metavar="I/N", help=help_shard)
    add("--dask", metavar="ADDRESS", help="use the dask cluster whose scheduler has this address")


def _run_bids(args, parser):
    """Process a data set."""
    from ..bids import run_bids

    options = get_restoration_options(args)
    options["exclude"] = split_lists(options["exclude"])
    n_jobs = args.n_jobs if args.n_jobs is not None else (-1 if args.dask else 1)
    with log_to_stderr(verbose=True), _dask(args.dask):
        report = run_bids(
            args.root,
            job=args.job,
            **get_selection(args),
            derivatives=args.derivatives,
            n_jobs=n_jobs,
            shard=args.shard,
            overwrite=args.overwrite,
            on_error="raise" if args.stop_on_error else "continue",
            dry_run=args.dry_run,
            find_bads=args.find_bads,
            prior=args.prior,
            refit_prior=args.refit_prior,
            **options,
            line_freq=args.line_freq,
            format=args.format,
            save_std=args.std,
            naming=args.naming,
            pool=args.pool,
            window=args.window,
            overlap=args.overlap,
            report=not args.no_report,
            device=args.device,
            batch_size=args.batch_size,
        )
    print(_to_json(report) if args.json else to_options(str(report), parser))
    if report.failures:
        where = f" (see {report.log})" if report.log else ""
        names = ", ".join(row["recording"] for row in report.failures[:3])
        more = ", ..." if len(report.failures) > 3 else ""
        raise RuntimeError(
            f"{len(report.failures)} of {len(report.rows)} recordings failed: {names}{more}{where}."
        )


@contextlib.contextmanager
def _dask(address):
    """Let joblib use a dask cluster, if an address is given."""
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
    content = dict(
        version=__version__,
        folder=str(report.folder),
        index=str(report.index) if report.index else None,
        log=str(report.log) if report.log else None,
        prior=report.prior,
        recordings=json.loads(report.to_data_frame().convert_dtypes().to_json(orient="records")),
    )
    return json.dumps(content, indent=1)
