# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command ``restore``: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import json
import os

from .. import __version__
from ._shared import (
    RECORDINGS,
    add_command,
    add_figure,
    add_input,
    add_input_options,
    add_model,
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


def add_restore(commands):
    """Add the command ``restore``."""
    parser = add_command(
        commands,
        "restore",
        _run_restore,
        "restore bad channels and bad segments of a recording",
        example="mne_gram restore raw.edf repaired_raw.fif --bads T7 O1 --figure repaired.png\n"
        "mne_gram restore raw.edf repaired_raw.fif --find-bads --report repaired.txt\n"
        "mne_gram restore --sample repaired_raw.fif",
    )
    add = parser.add_argument
    add_input(parser)
    help_output = "file to write: .fif, .edf or .vhdr (epochs: -epo.fif)"
    add("output", metavar="OUT", type=file_name(*RECORDINGS), help=help_output)
    add_input_options(parser)
    add("--find-bads", action="store_true", help="also detect bad channels and segments")
    add_prior_option(parser)
    add_restoration_options(parser)
    add_figure(parser, "the recording before and after")
    add(
        "--report",
        type=file_name(".txt", ".json", ".csv"),
        metavar="FILE",
        help="write the report to a .txt, .json or .csv file",
    )
    add_output_options(parser)
    add(
        "--tmp",
        metavar="FOLDER",
        help="folder for a temporary file, which a large recording needs: 8 bytes per sample and "
        "channel (default: the folder of OUT)",
    )


def add_restoration_options(parser):
    """Add the options of `mne_gram.restore`, and its methods to the help."""
    from ..restoration import METHODS, OPTIONS

    for option in OPTIONS.values():
        default = "" if option.default is None else f" (default: {option.default})"
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            dest=f"restore_{option.name}",  # OUT is `output`
            default=option.default,
            choices=option.choices,
            type=option.type,
            metavar=option.metavar,
            help=option.help + default,
        )
    add_model(parser)
    methods = "\n".join(f"  {m.name:9}{m.description}" for m in METHODS.values())
    parser.epilog += f"\n\nmethods:\n{methods}"


def get_restoration_options(args):
    """Return the values of the options of `mne_gram.restore`."""
    from ..restoration import OPTIONS

    options = {name: getattr(args, f"restore_{name}") for name in OPTIONS}
    return options | dict(model=args.model)


def _run_restore(args, parser):
    """Restore one recording."""
    check_input(args, parser)
    from .._files import check_output, loaded

    with log_to_stderr(args.verbose):
        inst = read_input(args)
        check_format(args, parser, inst)
        check_output(args.output, inst=inst, source=args.input, overwrite=args.overwrite)
        for path in filter(None, (args.figure, args.report)):
            check_output(path, source=args.input, overwrite=args.overwrite)
        complete_input(inst, args)
        with loaded(inst, args.tmp or os.path.dirname(os.path.abspath(args.output))):
            text = _restore_and_write(inst, args)
    print(text)


def _restore_and_write(inst, args):
    """Restore a loaded recording and write all files; return the text to print."""
    from .._files import staged_together, write_figure, write_inst
    from ..restoration import restore

    restored, report = restore(
        inst,
        mask="auto" if args.find_bads else None,
        **get_restoration_options(args),
        prior=args.prior,
        line_freq=args.line_freq,
        return_report=True,
        copy=False,
    )
    others = list(filter(None, (args.report, args.figure)))
    # A failure, however late, leaves none of the files behind.
    with staged_together([args.output, *others], args.overwrite) as files:
        note = write_inst(restored, files.pop(0))
        if args.report:
            report.save(files.pop(0))
        if args.figure:
            write_figure(report.plot(show=False), files.pop(0))
        return _describe(args, report, note, others)


def _describe(args, report, note, others):
    """Return the text to print."""
    if not args.json:
        lines = [str(report), f"Wrote {args.output} ({note})."]
        return "\n".join(lines + [f"Wrote {path}." for path in others])
    result = {
        "version": __version__,
        "input": name_input(args),
        "output": args.output,
        "note": note,
        "channels": json.loads(report.to_data_frame().to_json(orient="records")),
    }
    return json.dumps(result, indent=1)
