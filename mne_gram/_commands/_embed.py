# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``embed`` and ``tokens``: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import json

from .. import __version__
from ._shared import (
    POOLS,
    add_command,
    add_encoding_options,
    add_figure,
    add_input,
    add_input_options,
    add_model,
    add_output_options,
    check_input,
    complete_input,
    file_name,
    find_named,
    log_to_stderr,
    name_input,
    read_input,
)

_EXAMPLES = {
    "embed": "mne_gram embed sub-01_eeg.vhdr sub-01.npz --window 4 --pool mean",
    "tokens": "mne_gram tokens sub-01_eeg.vhdr sub-01.csv --window 4",
}
_NOTES = {
    "embed": "In Python: embedding = mne_gram.read_embedding('sub-01.npz')",
    "tokens": "The table has one row per channel and second. mne_gram.read_tokens reads .npz.",
}


def add_embed(commands):
    """Add the commands ``embed`` and ``tokens``."""
    parser = _add_encoding(commands, "embed", "compute embeddings of a recording")
    parser.add_argument(
        "--pool",
        default="cls",
        choices=POOLS,
        help="pooling over the window: its CLS vector (default), the mean over its patches, or "
        "one vector per channel, second or patch",
    )
    _add_encoding(commands, "tokens", "compute the token of each second of each channel")


def _add_encoding(commands, name, summary):
    """Return the parser of one command, with what both share."""
    parser = add_command(
        *(commands, name, _run_encoding, summary), example=_EXAMPLES[name], note=_NOTES[name]
    )
    parser.set_defaults(command=name, pool=None)
    add = parser.add_argument
    add_input(parser)
    add("output", metavar="OUT", type=file_name(".npz", ".csv"), help="file to write: .npz or .csv")
    add_input_options(parser)
    add("--picks", nargs="+", metavar="NAME", help="channels to use (default: all EEG channels)")
    add(
        "--on-bads",
        default="mask",
        choices=["mask", "ignore"],
        help="mask bad channels and segments (default), or use them like good data",
    )
    add("--no-preprocess", action="store_true", help="IN is already preprocessed (at 200 Hz)")
    add_model(parser)
    add_encoding_options(parser)
    add_figure(parser, "the result")
    add_output_options(parser)
    return parser


def _run_encoding(args, parser):
    """Encode one recording."""
    check_input(args, parser)
    from .._files import check_output, staged_together, write_figure

    files = [args.output, *([args.figure] if args.figure else [])]
    with log_to_stderr(args.verbose):
        for path in files:
            check_output(path, source=args.input, overwrite=args.overwrite)
        inst = read_input(args)
        complete_input(inst, args)
        if args.picks:
            args.picks = find_named(inst, args.picks, "--picks")
        found = _encode(inst, args)
        # A failure, however late, leaves none of the files behind.
        with staged_together(files, args.overwrite) as staged:
            if args.output.endswith(".csv"):
                found.to_data_frame().to_csv(staged[0], index=False)
            else:
                found.save(staged[0])
            if args.figure:
                write_figure(_plot(found), staged[1])
    print(_describe(args, found, files))


def _encode(inst, args):
    """Return the embedding or the tokens."""
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
    """Return the text to print."""
    if not args.json:
        return "\n".join([repr(found), *(f"Wrote {path}." for path in files)])
    result = {
        "version": __version__,
        "input": name_input(args),
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
