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
    add_device,
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
    find_named,
    log_to_stderr,
    name_input,
    read_input,
)
from ._wording import to_options


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
    add_input(parser, "; or evoked data, -ave.fif")
    help_output = (
        "file to write: .fif, .edf, .bdf, .vhdr, .set (epochs: -epo.fif, evoked: -ave.fif)"
    )
    add("output", metavar="OUT", type=file_name(*RECORDINGS), help=help_output)
    add_input_options(parser)
    add("--find-bads", action="store_true", help="also detect bad channels and segments")
    add_prior_option(parser)
    add_restoration_options(parser)
    add_device(parser)
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
        default = f" (default: {option.default})" if option.default else ""
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            dest=f"restore_{option.name}",  # OUT is `output`
            default=option.default,
            choices=option.choices,
            type=option.type,
            nargs=option.nargs,
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
    """Restore one recording, or the conditions of a file of evoked data."""
    check_input(args, parser)
    from .._files import EVOKED_FIF, check_output, loaded

    is_evoked = not args.sample and args.input.endswith(EVOKED_FIF)
    if is_evoked and args.find_bads:
        parser.error("--find-bads is for continuous data and epochs")
    with log_to_stderr(args.verbose):
        insts = _read_evokeds(args, parser) if is_evoked else [read_input(args)]
        check_format(args, parser, insts[0])
        check_output(args.output, inst=insts[0], source=args.input, overwrite=args.overwrite)
        for path in filter(None, (args.figure, args.report)):
            check_output(path, source=args.input, overwrite=args.overwrite)
        for inst in insts:
            complete_input(inst, args)
            find_named(inst, args.restore_exclude, "--exclude")  # before more is done
        if is_evoked:
            text = _restore_evokeds(insts, args)
        else:
            with loaded(insts[0], args.tmp or os.path.dirname(os.path.abspath(args.output))):
                text = _restore_and_write(insts[0], args)
    print(text if args.json else to_options(text, parser))


def _read_evokeds(args, parser):
    """Return the Evoked of the input, all of which have to be averages."""
    from .._files import read_evokeds

    evokeds = read_evokeds(args.input)
    others = [evoked.comment for evoked in evokeds if evoked.kind != "average"]
    if others:
        raise ValueError(
            f"{args.input} contains standard errors ({', '.join(others)}), expected averages only."
        )
    if args.figure and len(evokeds) > 1:
        parser.error(f"--figure is for one condition, and {args.input} has {len(evokeds)}")
    return evokeds


def _restore(inst, args):
    """Return a restored inst and its report."""
    from ..restoration import restore

    options = get_restoration_options(args)
    options["exclude"] = find_named(inst, options["exclude"], "--exclude")
    return restore(
        inst,
        mask="auto" if args.find_bads else None,
        **options,
        prior=args.prior,
        line_freq=args.line_freq,
        device=args.device,
        batch_size=args.batch_size,
        return_report=True,
        copy=False,
    )


def _restore_and_write(inst, args):
    """Restore a loaded recording and write all files; return the text to print."""
    from .._files import write_inst

    restored, report = _restore(inst, args)
    with _staging(args) as files:
        note = write_inst(restored, files.pop(0))
        if args.report:
            report.save(files.pop(0))
        _write_figure(report, files)
        return _describe(args, report, note)


def _restore_evokeds(evokeds, args):
    """Restore all conditions of a file and write them to one; return the text to print."""
    from .._files import write_evokeds

    names = [evoked.comment for evoked in evokeds]
    restored, reports = zip(*(_restore(evoked, args) for evoked in evokeds), strict=True)
    with _staging(args) as files:
        note = write_evokeds(restored, files.pop(0))
        if args.report:
            _save_reports(files.pop(0), names, reports)
        _write_figure(reports[0], files)
        if args.json:
            return _describe(args, reports, note, names)
        texts = [f"{name}\n{report}" for name, report in zip(names, reports, strict=True)]
        return "\n\n".join([*texts, _describe(args, None, note)])


def _staging(args):
    """Return the context in which OUT, the report and the figure are written, or none of them."""
    from .._files import staged_together

    return staged_together([args.output, *_list_others(args)], args.overwrite)


def _write_figure(report, files):
    """Write the figure to the file that is left, if there is one."""
    from .._files import write_figure

    if files:
        write_figure(report.plot(show=False), files.pop(0))


def _list_others(args):
    """Return the files to write in addition to OUT, the report first."""
    return list(filter(None, (args.report, args.figure)))


def _save_reports(path, names, reports):
    """Write the reports of several conditions to one file."""
    import pandas as pd

    pairs = list(zip(names, reports, strict=True))
    if path.suffix == ".csv":
        tables = [report.to_data_frame().assign(condition=name) for name, report in pairs]
        pd.concat(tables).to_csv(path, index=False)
        return
    text = "\n\n".join(f"{name}\n{report}" for name, report in pairs)
    if path.suffix == ".json":
        text = json.dumps([dict(report.to_dict(), condition=name) for name, report in pairs])
    path.write_text(f"{text}\n", encoding="utf-8")


def _describe(args, report, note, conditions=None):
    """Return the text to print; as JSON, ``report`` is one or a list with ``conditions``."""
    if not args.json:
        lines = [] if report is None else [str(report)]
        lines.append(f"Wrote {args.output} ({note}).")
        return "\n".join(lines + [f"Wrote {path}." for path in _list_others(args)])
    result = {
        "version": __version__,
        "input": name_input(args),
        "output": args.output,
        "note": note,
    }
    if conditions is None:
        result["channels"] = _to_rows(report)
    else:
        result["conditions"] = [
            dict(condition=name, channels=_to_rows(one))
            for name, one in zip(conditions, report, strict=True)
        ]
    return json.dumps(result, indent=1)


def _to_rows(report):
    """Return the restored channels of a report for JSON."""
    return json.loads(report.to_data_frame().to_json(orient="records"))
