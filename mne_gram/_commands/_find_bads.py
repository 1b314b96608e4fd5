# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command ``find-bads``: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import json

from .. import __version__
from ._shared import (
    RECORDINGS,
    add_command,
    add_input,
    add_input_options,
    add_output_options,
    add_prior_option,
    check_format,
    check_input,
    complete_input,
    file_name,
    log_to_stderr,
    name_input,
    read_input,
)


def add_find_bads(commands):
    """Add the command ``find-bads``."""
    parser = add_command(
        commands,
        "find-bads",
        _run_find_bads,
        "find bad channels and bad segments of single channels in a recording",
        example="mne_gram find-bads sub-01_eeg.vhdr\n"
        "mne_gram find-bads sub-01_eeg.vhdr --json\n"
        "mne_gram find-bads sub-01_raw.fif --output sub-01_marked_raw.fif",
        note="IN is never changed; OUT is a copy with the bad channels and segments marked.",
    )
    add = parser.add_argument
    add_input(parser)
    add_input_options(parser)
    add(
        "--channel-threshold",
        type=float,
        default=2.0,
        metavar="X",
        help="threshold for bad channels; higher values find fewer (default: 2)",
    )
    add(
        "--span-threshold",
        type=float,
        default=5.5,
        metavar="X",
        help="threshold for bad segments; higher values find fewer (default: 5.5)",
    )
    add_prior_option(parser)
    help_output = "write a marked copy of IN: .fif, .edf or .vhdr"
    add("--output", metavar="OUT", type=file_name(*RECORDINGS), help=help_output)
    add("--table", type=file_name(".csv"), metavar="FILE", help="write the findings to a .csv file")
    add_output_options(parser)


def _run_find_bads(args, parser):
    """Find the bad channels and segments of one recording."""
    check_input(args, parser)
    from .._files import check_output
    from ..detection import find_bads

    with log_to_stderr(args.verbose):
        inst = read_input(args)
        if args.output:
            check_format(args, parser, inst)
            check_output(args.output, inst=inst, source=args.input, overwrite=args.overwrite)
        if args.table:
            check_output(args.table, source=args.input, overwrite=args.overwrite)
        complete_input(inst, args)
        found = find_bads(
            inst,
            line_freq=args.line_freq,
            prior=args.prior,
            channel_threshold=args.channel_threshold,
            span_threshold=args.span_threshold,
        )
        lines = _write_found(found, inst, args)
    print(_to_json(found, args) if args.json else "\n".join([str(found), *lines]))


def _write_found(found, inst, args):
    """Write the files asked for, all of them or none; return the lines that report it."""
    from .._files import staged_together, write_inst

    paths = [path for path in (args.output, args.table) if path]
    if not paths:
        return []
    with staged_together(paths, args.overwrite) as files:
        if args.output:
            write_inst(found.mark(inst, copy=False), files[0])
        if args.table:
            found.to_data_frame().to_csv(files[-1], index=False)
    return [f"Wrote {path}." for path in paths]


def _to_json(found, args):
    """Return the findings as JSON."""
    table = json.loads(found.to_data_frame().to_json(orient="records"))
    content = dict(
        version=__version__,
        input=name_input(args),
        output=args.output,
        channels=found.reasons,
        spans=[row for row in table if not row["whole"]],
        bridged=found.bridged,
    )
    return json.dumps(content, indent=1)
