# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command line: arguments in, library calls out, and no logic of its own."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import argparse
import contextlib
import json
import os
import sys
import traceback
import warnings

from .._version import __version__


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str | None
        The arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 if all went well, 1 after a failure, 130 after Ctrl-C; both are told in one line on the
        standard error. Wrong arguments leave by ``SystemExit`` with code 2.
    """
    parser = _build_parser()
    args = parser.parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            args.run(args, args.parser)
    except Exception as exc:
        if args.verbose:
            traceback.print_exc()
        print(f"mne_gram: error: {_get_line(exc)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as exc:
        print(f"mne_gram: {str(exc) or 'stopped.'}", file=sys.stderr)
        return 130
    return 0


def _get_line(exc):
    """Return the message of an exception on one line."""
    line = " ".join(str(exc).split())
    expected = isinstance(exc, (OSError, RuntimeError, TypeError, ValueError))
    return line if expected and line else f"{type(exc).__name__}: {line}"


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """Print a warning on one line, without the place in the code that it comes from."""
    print(f"mne_gram: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _build_parser():
    """Return the parser of all commands."""
    from ._bench import add_bench  # which take their tools from here
    from ._bids import add_bids
    from ._embed import add_embed
    from ._pretrain import add_pretrain

    parser = argparse.ArgumentParser(
        prog="mne_gram",
        description="Repair bad channels and bad segments of EEG, embed and classify it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""\
examples:
  mne_gram restore raw.fif repaired_raw.fif --bads T7 --report repaired.txt
  mne_gram bids /data/study --dry-run
  mne_gram COMMAND --help

A command leaves with 0 if all went well, 1 after a failure, 2 if the arguments are wrong.
""",
    )
    parser.add_argument("--version", action="version", version=f"mne_gram {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_restore(commands)
    add_embed(commands)
    add_bids(commands)
    _add_weights(commands)
    add_pretrain(commands)
    add_bench(commands)
    _add_command(
        commands,
        "sys_info",
        _run_sys_info,
        "print versions, for reports of problems",
        example="mne_gram sys_info > versions.txt",
    )
    return parser


def _add_command(commands, name, run, summary, example=None, **kwargs):
    """Return the parser of one command, with what all commands share."""
    if example is not None:
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        kwargs["epilog"] = "example:\n" + "\n".join(f"  {line}" for line in example.splitlines())
    parser = commands.add_parser(name, help=summary, description=f"{summary}.", **kwargs)
    parser.add_argument(
        "--verbose", action="store_true", help="log progress, and show where an error comes from"
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_restore(commands):
    """Add the arguments of ``restore``."""
    parser = _add_command(
        commands,
        "restore",
        _run_restore,
        "repair what is marked as bad in a recording",
        example="mne_gram restore raw.edf repaired_raw.fif --bads T7 O1 --figure repaired.png\n"
        "mne_gram restore raw.edf repaired_raw.fif --find-bads --report repaired.txt\n"
        "mne_gram restore --sample repaired_raw.fif",
    )
    add = parser.add_argument
    add("input", nargs="?", metavar="IN", help="any format that MNE reads; epochs from -epo.fif")
    add("output", metavar="OUT", help=".fif, .edf or .vhdr; -epo.fif for epochs")
    add("--sample", action="store_true", help="take the bundled sample recording as IN")
    add("--bads", nargs="+", default=[], metavar="NAME", help="further channels that are bad")
    add("--find-bads", action="store_true", help="look for bad channels and stretches as well")
    add("--montage", metavar="NAME", help="template with positions, as MNE names it")
    add("--line-freq", type=float, metavar="HZ", help="frequency of the power line")
    add("--method", default="auto", choices=["auto", "spatial", "gram", "spline"])
    add(
        "--output",
        default="mean",
        choices=["mean", "sample"],
        dest="kind",
        help="the expected signal, or one draw that has the power of real EEG",
    )
    add("--all-channel-gaps", default="keep", choices=["keep", "fill"])
    add("--model", default="gram-tiny", help="a name that 'weights list' prints, or a folder")
    add("--random-state", type=int, metavar="SEED", help="seed of random draws")
    add(
        "--figure",
        type=_get_namer(".png", ".pdf", ".svg"),
        metavar="FILE",
        help="write a figure of before and after as .png, .pdf or .svg",
    )
    add(
        "--report",
        type=_get_namer(".txt", ".json", ".csv"),
        metavar="FILE",
        help="write the report as .txt, .json or .csv",
    )
    add("--json", action="store_true", help="print the report as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")
    add(
        "--tmp",
        metavar="FOLDER",
        help="where a large recording is kept meanwhile, 8 bytes a sample (default: beside OUT)",
    )


def _get_namer(*extensions):
    """Return a check that an argument names a file with one of some extensions."""

    def check(name):
        if not name.endswith(extensions):
            raise argparse.ArgumentTypeError(f"{name} does not end in {', '.join(extensions)}")
        return name

    return check


def _run_restore(args, parser):
    """Restore one recording."""
    if args.sample == (args.input is not None):
        parser.error("give either IN or --sample")
    import mne

    from .._files import _io
    from ..datasets import sample

    # The standard output is kept for the result.
    log_level = mne.use_log_level("INFO" if args.verbose else "WARNING")
    with log_level, contextlib.redirect_stdout(sys.stderr):
        inst = sample() if args.sample else _io.read_inst(args.input, preload=False)
        _io.check_output(args.output, inst=inst, source=args.input, overwrite=args.overwrite)
        for path in filter(None, (args.figure, args.report)):
            _io.check_output(path, source=args.input, overwrite=args.overwrite)
        _io.mark_bads(inst, args.bads)
        if args.montage is not None:
            inst.set_montage(args.montage, match_case=False, on_missing="warn")
        with _io.loaded(inst, args.tmp or os.path.dirname(os.path.abspath(args.output))):
            text = _restore_and_write(inst, args)
    print(text)


def _restore_and_write(inst, args):
    """Restore a recording that is loaded, write all files and return what is to be printed."""
    from .._files import _io
    from ..restoration import restore

    restored, report = restore(
        inst,
        mask="auto" if args.find_bads else None,
        method=args.method,
        output=args.kind,
        model=args.model,
        line_freq=args.line_freq,
        all_channel_gaps=args.all_channel_gaps,
        return_report=True,
        random_state=args.random_state,
        copy=False,
    )
    others = list(filter(None, (args.report, args.figure)))
    # A failure, however late, leaves none of the files behind.
    with _io.staged_together([args.output, *others], args.overwrite) as files:
        note = _io.write_inst(restored, files.pop(0))
        if args.report:
            report.save(files.pop(0))
        if args.figure:
            _io.write_figure(report.plot(show=False), files.pop(0))
        return _describe(args, report, note, others)


def _describe(args, report, note, others):
    """Return what ``restore`` prints."""
    if not args.json:
        lines = [str(report), f"Wrote {args.output} ({note})."]
        return "\n".join(lines + [f"Wrote {path}." for path in others])
    result = {
        "version": __version__,
        "input": "sample" if args.sample else args.input,
        "output": args.output,
        "note": note,
        "channels": json.loads(report.to_data_frame().to_json(orient="records")),
    }
    return json.dumps(result, indent=1)


def _add_weights(commands):
    """Add the commands that deal with weights."""
    parser = commands.add_parser("weights", help="list, fetch or convert weights of the networks")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    known = _add_command(
        actions,
        "list",
        _run_list,
        "print the weights that are known by name",
        example="mne_gram weights list --json",
    )
    known.add_argument("--json", action="store_true", help="print as JSON")
    fetch = _add_command(
        actions,
        "fetch",
        _run_fetch,
        "bring weights that are known by name, or say how to get them by hand",
        example="mne_gram weights fetch gram-base",
    )
    fetch.add_argument("name", metavar="NAME", help="a name that 'weights list' prints")
    convert = _add_command(
        actions,
        "convert",
        _run_convert,
        "turn a published checkpoint into a folder of weights",
        example="mne_gram weights convert base.pth gram-base",
    )
    convert.add_argument("checkpoint", metavar="CHECKPOINT", help="the file as downloaded")
    convert.add_argument("folder", metavar="FOLDER", help="where to write the weights")
    convert.add_argument("--tokenizer", metavar="CHECKPOINT", help="the file of stage 1 as well")
    convert.add_argument("--overwrite", action="store_true", help="replace weights that are there")


def _run_list(args, parser):
    """Print the names of weights."""
    from ..models import list_models

    if args.json:
        models = [
            dict(name=m.name, present=m.present, where=str(m.where), sha256=m.sha256)
            for m in list_models()
        ]
        print(json.dumps(models, indent=1))
        return
    for model in list_models():
        state = "present" if model.present else "absent"
        print(f"{model.name}\t{state}\t{model.where}\t{model.description}")


def _run_fetch(args, parser):
    """Download weights."""
    from ..models import fetch_model

    print(f"{args.name} is in {fetch_model(args.name)}.")


def _run_convert(args, parser):
    """Convert a checkpoint."""
    from ..models import convert_checkpoint

    folder = convert_checkpoint(
        args.checkpoint, args.folder, tokenizer_fname=args.tokenizer, overwrite=args.overwrite
    )
    print(f"Wrote {folder}.")


def _run_sys_info(args, parser):
    """Print versions."""
    from ._sys_info import sys_info

    sys_info()
