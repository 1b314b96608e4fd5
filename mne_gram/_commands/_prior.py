# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``prior``: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import json
from pathlib import Path

from .. import __version__
from .._counts import count
from ._shared import (
    add_command,
    add_figure,
    add_selection,
    file_name,
    get_selection,
    log_to_stderr,
)


def add_prior(commands):
    """Add the commands ``prior fit`` and ``show``."""
    parser = commands.add_parser("prior", help="learn from the recordings of a laboratory")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_fit(actions)
    show = add_command(
        actions,
        "show",
        _run_show,
        "show the recordings in a prior, and the electrodes that they cover",
        example="mne_gram prior show lab.npz\nmne_gram prior show lab.npz --json",
    )
    show.add_argument("file", metavar="FILE", help="file of 'prior fit', or of 'bids'")
    show.add_argument("--json", action="store_true", help="print as JSON")
    add_figure(show, "the recordings and the electrodes")
    show.add_argument("--overwrite", action="store_true", help="overwrite an existing figure")


def _add_fit(actions):
    """Add the command ``prior fit``."""
    parser = add_command(
        actions,
        "fit",
        _run_fit,
        "add recordings to the bundled library, to restore others of the laboratory with",
        example="mne_gram prior fit --bids-root /data/study --out lab.npz\n"
        "mne_gram prior fit sub-*_raw.fif --out lab.npz\n"
        "mne_gram restore raw.edf repaired_raw.fif --prior lab.npz",
        note="Bad channels and segments are left out. A subject counts once, however many "
        "recordings there are.\nThe subject of a file is given by --subject, its name "
        "(sub-01_raw.fif) or the subject in it;\notherwise each file is a subject.",
    )
    add = parser.add_argument
    add("input", nargs="*", metavar="IN", help="recordings, in any format that MNE reads")
    add("--bids-root", metavar="ROOT", help="all recordings of a BIDS data set")
    add_selection(parser, subject="; or, without --bids-root, the subject of each IN, in order")
    add("--out", required=True, type=file_name(".npz"), metavar="FILE", help="file to write")
    add("--find-bads", action="store_true", help="also leave out what find-bads detects")
    add("--no-base", action="store_true", help="leave out the bundled library")
    help_n_jobs = "number of recordings to measure in parallel, -1 for all cores (default: 1)"
    add("--n-jobs", type=int, default=1, metavar="N", help=help_n_jobs)
    add("--overwrite", action="store_true", help="overwrite an existing file")


def _run_fit(args, parser):
    """Estimate a prior and write it."""
    if (args.bids_root is None) == (not args.input):
        parser.error("give either recordings or --bids-root")
    selection = get_selection(args)
    if args.input and any(selection[name] for name in ("sessions", "tasks", "runs")):
        parser.error("--session, --task and --run are for --bids-root")
    subjects = selection["subjects"]
    if args.input and subjects and len(subjects) != len(args.input):
        parser.error(
            f"--subject has to name the subject of each recording, got {len(subjects)} for "
            f"{count(len(args.input), 'recording')}"
        )
    from .._files import check_output, select_recordings
    from ..cohort import fit_prior

    check_output(args.out, overwrite=args.overwrite)
    with log_to_stderr(verbose=True):
        insts = args.input
        if args.bids_root is not None:
            insts, subjects = select_recordings(Path(args.bids_root), selection), None
        prior = fit_prior(
            insts,
            subjects=subjects,
            base=None if args.no_base else "bundled",
            mask="auto" if args.find_bads else None,
            n_jobs=args.n_jobs,
        )
        prior.save(args.out, overwrite=args.overwrite)
    print("\n".join([*_format(prior), f"Wrote {args.out}."]))


def _run_show(args, parser):
    """Print what is in a prior."""
    from ..covariance import read_prior

    prior = read_prior(args.file)
    if args.figure:
        from .._files import check_output, write_figure

        check_output(args.figure, overwrite=args.overwrite)
        write_figure(prior.plot(show=False), args.figure, overwrite=args.overwrite)
    lines = _format(prior)
    if args.figure:
        lines.append(f"Wrote {args.figure}.")
    print(_to_json(prior, args) if args.json else "\n".join(lines))


def _get_cohort(prior):
    """Return the recordings that were added to the base of a prior."""
    return prior.recordings[len(prior.recordings) - prior.n_cohort :]


def _count_electrodes(prior):
    """Return in how many recordings of the cohort each electrode was good, by name."""
    from ..montage import ELECTRODES

    cohort = _get_cohort(prior)
    counts = {name: sum(k in r.channels for r in cohort) for k, name in enumerate(ELECTRODES)}
    return {name: count for name, count in counts.items() if count}


def _format(prior):
    """Return the lines that describe a prior."""
    cohort = _get_cohort(prior)
    n_base = len(prior.recordings) - len(cohort)
    lines = []
    for recording in cohort:
        data_set, subject, name = recording.source
        lines.append(
            f"{data_set}: {subject}: {name}: {count(len(recording.channels), 'electrode')}"
        )
    subjects = {recording.source[:2] for recording in cohort}
    lines.append(f"{count(len(cohort), 'recording')} of {count(len(subjects), 'subject')}.")
    base = f"{count(n_base, 'recording')} of the bundled library."
    lines.append(base if n_base else "Nothing else.")
    electrodes = ", ".join(f"{name} {n}" for name, n in _count_electrodes(prior).items())
    lines.append(f"Recordings by electrode: {electrodes or 'none'}.")
    return lines


def _to_json(prior, args):
    """Return the content of a prior as JSON."""
    from pooch import file_hash

    cohort = _get_cohort(prior)
    content = dict(
        version=__version__,
        file=args.file,
        sha256=file_hash(args.file),
        recordings=[
            dict(
                data_set=r.source[0],
                subject=r.source[1],
                file=r.source[2],
                electrodes=len(r.channels),
            )
            for r in cohort
        ],
        n_base=len(prior.recordings) - len(cohort),
        electrodes=_count_electrodes(prior),
    )
    return json.dumps(content, indent=1)
