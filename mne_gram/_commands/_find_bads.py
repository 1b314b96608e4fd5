# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command ``find-bads``: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import json
import os
import sys

from .. import __version__
from .._counts import count
from ._shared import (
    RECORDINGS,
    add_command,
    add_input,
    add_input_options,
    add_output_options,
    add_prior_option,
    add_selection,
    check_format,
    check_input,
    complete_input,
    file_name,
    find_named,
    get_selection,
    log_to_stderr,
    name_input,
    read_input,
)
from ._wording import to_options


def add_find_bads(commands):
    """Add the command ``find-bads``."""
    parser = add_command(
        commands,
        "find-bads",
        _run_find_bads,
        "find bad channels and bad segments of single channels in a recording or a BIDS data set",
        example="mne_gram find-bads sub-01_eeg.vhdr\n"
        "mne_gram find-bads sub-01_eeg.vhdr --json\n"
        "mne_gram find-bads sub-01_raw.fif --output sub-01_marked_raw.fif\n"
        "mne_gram find-bads /data/study --task rest --write --dry-run\n"
        "mne_gram find-bads /data/study/sub-01/eeg/sub-01_task-rest_eeg.vhdr --write",
        note="The recording is never changed; OUT is a copy with the bad channels and segments "
        "marked.\n--write changes channels.tsv and events.tsv of a BIDS data set, after a backup "
        "in ROOT/sourcedata.",
    )
    add = parser.add_argument
    add_input(parser, "; or a BIDS root")
    add_input_options(parser)
    add("--picks", nargs="+", metavar="NAME", help="channels to check (default: all EEG channels)")
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
    help_output = "write a marked copy of IN: .fif, .edf, .bdf, .vhdr or .set"
    add("--output", metavar="OUT", type=file_name(*RECORDINGS), help=help_output)
    add("--table", type=file_name(".csv"), metavar="FILE", help="write the findings to a .csv file")
    help_write = "mark the findings in channels.tsv and events.tsv of the BIDS data set"
    add("--write", action="store_true", help=help_write)
    help_dry_run = "with --write: only list the files that would be changed"
    add("--dry-run", action="store_true", help=help_dry_run)
    add_selection(parser)
    add_output_options(parser)


def _run_find_bads(args, parser):
    """Find the bad channels and segments of a recording, or of those of a data set."""
    check_input(args, parser)
    if args.dry_run and not args.write:
        parser.error("--dry-run is for --write")
    is_root = not args.sample and _is_root(args.input)
    if (is_root or args.write) and args.output:
        parser.error("--output is for a single recording, without --write")
    if args.write and args.sample:
        parser.error("--write is for recordings of a BIDS data set, and --sample is not one")
    if is_root or args.write:
        _run_in_data_set(args)
    else:
        if any(get_selection(args).values()):
            parser.error("--subject, --session, --task and --run are for a BIDS root")
        _run_in_file(args, parser)


def _is_root(path):
    """Return whether the input is meant as a BIDS root; folders of recordings have extensions."""
    is_folder = os.path.isdir(path) and not os.path.splitext(os.path.abspath(path))[1]
    return is_folder or os.path.isfile(os.path.join(path, "dataset_description.json"))


def _get_options(args):
    """Return the options of `mne_gram.find_bads`."""
    return dict(
        line_freq=args.line_freq,
        prior=args.prior,
        channel_threshold=args.channel_threshold,
        span_threshold=args.span_threshold,
    )


def _choose(inst, args):
    """Return the channels to check, None for all."""
    return find_named(inst, args.picks, "--picks") if args.picks else None


def _run_in_file(args, parser):
    """Find the bad channels and segments of one recording."""
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
        found = find_bads(inst, picks=_choose(inst, args), **_get_options(args))
        lines = _write_found(found, inst, args)
    if not args.json and not args.output and (found.channels or found.spans):
        lines.append("Nothing is marked yet: add --output or, in a BIDS data set, --write.")
    text = to_options(str(found), parser).strip()
    print(_to_json(found, args) if args.json else "\n".join([text, *lines]))


def _run_in_data_set(args):
    """Find the bad channels and segments of recordings of a data set, and mark them if asked."""
    from .._files import check_output
    from ..bids import find_bads_in, select_for_marks

    out = None if args.json else sys.stdout  # the library prints to the standard error
    with log_to_stderr(args.verbose):
        if args.table:
            check_output(args.table, overwrite=args.overwrite)
        calls = find_bads_in(
            select_for_marks(args.input, get_selection(args)),
            write=args.write and not args.dry_run,
            show=lambda row: _print(_describe_row(row), out),
            prepare=lambda inst: complete_input(inst, args),
            choose=lambda inst: _choose(inst, args),
            **_get_options(args),
        )
        rows = []
        for row in calls:
            rows.append(row)
            _print(_describe_outcome(row, args), out)
    if args.table:
        _write_table(rows, args)
    if args.json:
        print(_rows_to_json(rows, args))
    failed = [row["recording"] for row in rows if row["status"] == "failed"]
    if failed:
        names = ", ".join(failed[:3]) + (", ..." if len(failed) > 3 else "")
        raise RuntimeError(f"{len(failed)} of {len(rows)} recordings failed: {names}.")


def _print(lines, out):
    """Print lines to a stream, if there is one."""
    for line in lines if out else ():
        print(line, file=out, flush=True)


def _describe_row(row):
    """Yield the lines that report what was found in a recording."""
    found = row["found"]
    n_new = int((row["table"]["marked"] == "new").sum())
    yield (
        f"{row['recording']}: {count(len(found.channels), 'bad channel')}, "
        f"{count(len(found.spans), 'bad segment')}, {n_new} of them new"
    )
    if len(row["table"]):
        table = _join_channels(row["table"], len(found.ch_names) - len(found.channels))
        table = table.drop(columns="whole").round(dict(start=3, stop=3))
        yield from (f"  {line}" for line in table.to_string(index=False).splitlines())


def _join_channels(table, n_channels):
    """Return a table in which segments of all ``n_channels`` channels are one row."""
    same = ["start", "stop", "why", "whole"]
    sizes = table.groupby(same)["channel"].transform("size")
    of_all = (sizes >= max(n_channels, 2)) & ~table["whole"].astype(bool)
    table = table.assign(channel=table["channel"].where(~of_all, "all"))
    return table[~of_all | ~table.duplicated(["channel", *same])]


def _describe_outcome(row, args):
    """Yield the lines that report which files were changed, or why not."""
    if row["status"] == "failed":
        yield f"{row['recording']}: failed: {to_options(row['why'], args.parser)}"
    elif args.write and row["files"]:
        done = "Would write" if args.dry_run else "Wrote"
        yield f"  {done} {', '.join(row['files'])}."
        if row["backup"]:
            yield f"  Backup: {row['backup']}."


def _write_table(rows, args):
    """Write the findings of all recordings to one table."""
    import pandas as pd

    from .._files import staged

    tables = [row["table"].assign(recording=row["recording"]) for row in rows]
    tables = [table for table in tables if len(table)] or tables
    with staged(args.table, args.overwrite) as file:
        pd.concat(tables).to_csv(file, index=False)
    if not args.json:
        print(f"Wrote {args.table}.")


def _rows_to_json(rows, args):
    """Return the findings of recordings of a data set as JSON."""
    recordings = [
        {key: row[key] for key in ("recording", "status", "why", "files", "backup")}
        | dict(found=json.loads(row["table"].to_json(orient="records")))
        for row in rows
    ]
    content = dict(version=__version__, input=args.input, written=args.write and not args.dry_run)
    return json.dumps(content | dict(recordings=recordings), indent=1)


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
