# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``weights``: arguments in, library calls out."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import json
import sys

from ._shared import add_command
from ._wording import to_options


def add_weights(commands):
    """Add the commands ``weights list``, ``fetch`` and ``convert``."""
    parser = commands.add_parser("weights", help="list, download or convert model weights")
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    known = add_command(
        actions,
        "list",
        _run_list,
        "list the models that are known by name",
        example="mne_gram weights list --json",
    )
    known.add_argument("--json", action="store_true", help="print as JSON")
    fetch = add_command(
        actions,
        "fetch",
        _run_fetch,
        "download a model, or explain how to obtain it by hand",
        example="mne_gram weights fetch gram-base",
    )
    fetch.add_argument("name", metavar="NAME", help="name listed by 'weights list'")
    convert = add_command(
        actions,
        "convert",
        _run_convert,
        "convert a published checkpoint to a folder of weights",
        example="mne_gram weights convert base.pth gram-base",
    )
    convert.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint as downloaded")
    convert.add_argument("folder", metavar="FOLDER", help="folder to write the weights to")
    convert.add_argument("--tokenizer", metavar="CHECKPOINT", help="checkpoint of the tokenizer")
    convert.add_argument("--overwrite", action="store_true", help="overwrite existing weights")


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

    try:
        folder = fetch_model(args.name)
    except RuntimeError as exc:
        if "\n" not in str(exc):
            raise
        print(to_options(str(exc), parser), file=sys.stderr)  # steps, one per line
        raise RuntimeError(f"{args.name} has to be downloaded as described above.") from exc
    print(f"{args.name} is in {folder}.")


def _run_convert(args, parser):
    """Convert a checkpoint."""
    from ..models import convert_checkpoint

    folder = convert_checkpoint(
        args.checkpoint, args.folder, tokenizer_fname=args.tokenizer, overwrite=args.overwrite
    )
    print(f"Wrote {folder}.")
