# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``embed`` and ``tokens``: arguments in, library calls out, no logic of their own."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import argparse
import contextlib
import json
import sys

from .._version import __version__
from ._main import _add_command, _get_namer

_EXAMPLES = {
    "embed": (
        "example: mne_gram embed sub-01_eeg.vhdr sub-01.npz --window 4 --pool mean\n"
        "then in Python: embedding = mne_gram.read_embedding('sub-01.npz')"
    ),
    "tokens": (
        "example: mne_gram tokens sub-01_eeg.vhdr sub-01.csv --window 4\n"
        "a row of the table is a second of a channel; .npz is read by mne_gram.read_tokens"
    ),
}


def add_embed(commands):
    """Add the commands that encode recordings."""
    parser = _add_encoding(commands, "embed", "turn a recording into vectors")
    parser.add_argument(
        "--pool",
        default="cls",
        choices=["cls", "mean", "channels", "times", "patches"],
        help="what becomes of a window: its CLS vector (the default), the mean over its patches, a "
        "vector a channel, a second or a patch",
    )
    _add_encoding(commands, "tokens", "name the base class of every second of every channel")


def _add_encoding(commands, name, summary):
    """Return the parser of one command, with what both share."""
    parser = _add_command(
        *(commands, name, _run_encoding, summary),
        **dict(epilog=_EXAMPLES[name], formatter_class=argparse.RawDescriptionHelpFormatter),
    )
    parser.set_defaults(command=name, pool=None)
    add = parser.add_argument
    add("input", nargs="?", metavar="IN", help="any format that MNE reads; epochs from -epo.fif")
    add("output", metavar="OUT", type=_get_namer(".npz", ".csv"), help=".npz, or .csv for a table")
    add("--sample", action="store_true", help="take the bundled sample recording as IN")
    add("--window", type=float, metavar="S", help="length of windows in seconds (16)")
    add("--overlap", type=float, default=0.0, metavar="S", help="seconds by which they overlap")
    add("--picks", nargs="+", metavar="NAME", help="channels; all EEG if not given")
    add("--bads", nargs="+", default=[], metavar="NAME", help="further channels that are bad")
    add(
        "--on-bads",
        default="mask",
        choices=["mask", "ignore"],
        help="hide what is bad from the network (the default), or use it as if it were good",
    )
    add("--montage", metavar="NAME", help="template with positions, as MNE names it")
    add("--line-freq", type=float, metavar="HZ", help="frequency of the power line")
    add("--no-preprocess", action="store_true", help="the input was preprocessed before (200 Hz)")
    add("--model", default="gram-tiny", help="a name that 'weights list' prints, or a folder")
    add("--device", help="cpu (the default) or cuda")
    add("--batch-size", type=int, metavar="N", help="windows that the network gets at once")
    add(
        "--figure",
        type=_get_namer(".png", ".pdf", ".svg"),
        metavar="FILE",
        help="write a figure of the result as .png, .pdf or .svg",
    )
    add("--json", action="store_true", help="print what was done as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")
    return parser


def _run_encoding(args, parser):
    """Encode one recording."""
    if args.sample == (args.input is not None):
        parser.error("give either IN or --sample")
    import mne

    from .._files import _io
    from ..datasets import sample

    files = [args.output, *([args.figure] if args.figure else [])]
    # The standard output is kept for the result.
    log_level = mne.use_log_level("INFO" if args.verbose else "WARNING")
    with log_level, contextlib.redirect_stdout(sys.stderr):
        for path in files:
            _io.check_output(path, source=args.input, overwrite=args.overwrite)
        inst = sample() if args.sample else _io.read_inst(args.input, preload=False)
        _io.mark_bads(inst, args.bads)
        if args.montage is not None:
            inst.set_montage(args.montage, match_case=False, on_missing="warn")
        found = _encode(inst, args)
        # A failure, however late, leaves none of the files behind.
        with _io.staged_together(files, args.overwrite) as staged:
            if args.output.endswith(".csv"):
                found.to_data_frame().to_csv(staged[0], index=False)
            else:
                found.save(staged[0])
            if args.figure:
                _io.write_figure(_plot(found), staged[1])
    print(_describe(args, found, files))


def _encode(inst, args):
    """Return the embedding, or the base classes."""
    from ..features import compute_embedding, compute_tokens

    options = dict(
        model=args.model,
        picks=args.picks,
        window=args.window,
        overlap=args.overlap,
        line_freq=args.line_freq,
        on_bads=args.on_bads,
        preprocess=not args.no_preprocess,
        batch_size=args.batch_size,
        device=args.device,
    )
    if args.command == "embed":
        return compute_embedding(inst, pool=args.pool, **options)
    return compute_tokens(inst, **options)


def _plot(found):
    """Return the figure of a result."""
    from ..features import Embedding
    from ..viz import plot_codebook_usage, plot_embedding

    plot = plot_embedding if isinstance(found, Embedding) else plot_codebook_usage
    return plot(found, show=False)


def _describe(args, found, files):
    """Return what is printed."""
    if not args.json:
        return "\n".join([repr(found), *(f"Wrote {path}." for path in files)])
    result = {
        "version": __version__,
        "input": "sample" if args.sample else args.input,
        "output": args.output,
        "kind": type(found).__name__,
        "pool": args.pool,
        "model": found.model,
        "sha256": found.sha256,
        "shape": list(found.data.shape),
        "ch_names": found.ch_names,
        "onsets": found.onsets.tolist(),
        "durations": found.durations.tolist(),
        "good": found.good.tolist(),
    }
    return json.dumps(result, indent=1)
