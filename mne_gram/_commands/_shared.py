# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the commands share: how they are declared, where they log, how they read a recording."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import argparse
import contextlib
import os
import sys

RECORDINGS = (".fif", ".fif.gz", ".edf", ".bdf", ".vhdr", ".set")
FIGURES = (".png", ".pdf", ".svg")
ENTITIES = ("subject", "session", "task", "run")
POOLS = ("cls", "mean", "channels", "times", "patches")


def add_command(commands, name, run, summary, *, example, note=""):
    """Return the parser of a command, with what all commands share.

    ``example`` has one line per call, ``note`` follows the examples in the help.
    """
    calls = example.splitlines()
    epilog = f"example{'s' if len(calls) > 1 else ''}:\n" + "\n".join(f"  {c}" for c in calls)
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"{epilog}\n\n{note}".rstrip(),
    )
    parser.add_argument(
        "--verbose", action="store_true", help="log progress, and show the traceback of an error"
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_input(parser, other=""):
    """Add the recording that a command reads; its options follow with `add_input_options`.

    ``other`` says what a command reads instead.
    """
    parser.add_argument(
        "input",
        nargs="?",
        metavar="IN",
        help=f"recording, in any format that MNE reads (epochs: -epo.fif){other}",
    )


def add_input_options(parser):
    """Add the options that complete the recording a command reads."""
    add = parser.add_argument
    add("--sample", action="store_true", help="use the bundled sample recording as IN")
    add("--bads", nargs="+", default=[], metavar="NAME", help="names of additional bad channels")
    add("--montage", metavar="NAME", help="montage of MNE to set, such as colin27_1005")
    add("--line-freq", type=float, metavar="HZ", help="power line frequency in Hz")


def add_selection(parser, subject=""):
    """Add the options that select recordings of a BIDS data set; ``subject`` adds to its help."""
    for entity in ENTITIES:
        parser.add_argument(
            f"--{entity}",
            dest=f"{entity}s",
            nargs="+",
            metavar="LABEL",
            help=f"only these {entity}s, such as {dict(run='1', task='rest').get(entity, '01')}"
            + (subject if entity == "subject" else ""),
        )


def get_selection(args):
    """Return the labels that are asked for, by ``subjects``, ``sessions``, ``tasks``, ``runs``."""
    labels = {f"{entity}s": getattr(args, f"{entity}s") for entity in ENTITIES}
    return {name: values and split_lists(values) for name, values in labels.items()}


def split_lists(values):
    """Return the values of an option, of which some may be lists with commas: 01,02."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def add_model(parser):
    """Add the option that names a model."""
    parser.add_argument(
        "--model",
        default="gram-tiny",
        help="name listed by 'mne_gram weights list', or a folder (default: gram-tiny)",
    )


def add_prior_option(parser):
    """Add the option that names a prior."""
    parser.add_argument(
        "--prior",
        metavar="FILE",
        help="what was learned from recordings of the same laboratory, a file of 'prior fit' "
        "(default: the bundled library)",
    )


def add_encoding_options(parser):
    """Add the options that embeddings and tokens share."""
    add = parser.add_argument
    add("--window", type=float, metavar="S", help="window length in seconds (default: 16)")
    help_overlap = "overlap of windows in seconds (default: 0)"
    add("--overlap", type=float, default=0.0, metavar="S", help=help_overlap)
    add_device(parser)


def add_device(parser):
    """Add the options of how a network is run."""
    add = parser.add_argument
    add("--device", metavar="NAME", help="device for the network: cpu (default) or cuda")
    add("--batch-size", type=int, metavar="N", help="windows per batch")


def add_output_options(parser):
    """Add the options of commands that print a result and write files."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--overwrite", action="store_true", help="overwrite existing files")


def add_figure(parser, what):
    """Add the option of a figure."""
    text = f"plot {what} to a .png, .pdf or .svg file"
    parser.add_argument("--figure", type=file_name(*FIGURES), metavar="FILE", help=text)


def file_name(*extensions):
    """Return an argparse type: the name of a file with one of some extensions."""

    def check(name):
        if not name.endswith(extensions):
            raise argparse.ArgumentTypeError(f"{name} does not end in {', '.join(extensions)}")
        return name

    return check


def check_format(args, parser, inst):
    """Leave if a recording cannot be written in the format of OUT."""
    from .._files import get_format

    try:
        get_format(inst, args.output)
    except ValueError as exc:
        parser.error(str(exc))


def check_input(args, parser):
    """Leave unless exactly one of IN and ``--sample`` is given."""
    if args.sample == (args.input is not None):
        parser.error("give either IN or --sample")


@contextlib.contextmanager
def log_to_stderr(verbose):
    """Log to the standard error: the standard output is kept for the result."""
    import mne

    level = mne.use_log_level("INFO" if verbose else "WARNING")
    with level, contextlib.redirect_stdout(sys.stderr), _bars_in_terminals():
        yield


@contextlib.contextmanager
def _bars_in_terminals():
    """Draw no progress bars where they would fill a log file with their states."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    if is_terminal or "MNE_TQDM" in os.environ:
        yield
        return
    os.environ["MNE_TQDM"] = "off"
    try:
        yield
    finally:
        del os.environ["MNE_TQDM"]


def read_input(args):
    """Return the recording that is asked for, not loaded."""
    from .._files import EVOKED_FIF, read_inst
    from ..datasets import sample

    if not args.sample and args.input.endswith(EVOKED_FIF):
        raise ValueError(
            f"{args.input} has the name of evoked data, which only 'mne_gram restore' takes."
        )
    return sample() if args.sample else read_inst(args.input, preload=False)


def complete_input(inst, args):
    """Apply ``--bads`` and ``--montage`` to a recording, in place."""
    from ..montage import set_montage

    bads = find_named(inst, args.bads, "--bads")
    inst.info["bads"] += [name for name in bads if name not in inst.info["bads"]]
    if args.montage is not None:
        set_montage(inst, args.montage)


def find_named(inst, names, option):
    """Return the channels that an option names, or raise ValueError if there are none of a name."""
    from ..montage import find_channels

    parts = [[name] if name in inst.ch_names else split_lists([name]) for name in names]
    found, unknown = find_channels([name for part in parts for name in part], inst.ch_names)
    if unknown:
        raise ValueError(
            f"The recording has no channel {', '.join(unknown)}, named by {option}; its channels "
            f"are {', '.join(inst.ch_names)}."
        )
    return found


def name_input(args):
    """Return how results refer to the recording that was read."""
    return "sample" if args.sample else args.input
