# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which fields of TrainingConfig the arguments of a command set."""

# Imports are nested, so that --help and wrong arguments are answered at once.
import json
import types
import typing

#: Options that stand for a field: flag, type, placeholder and help.
FIELDS = {
    "n_steps": ("--steps", int, "N", "steps of the optimiser"),
    "learning_rate": ("--learning-rate", float, "X", "largest learning rate"),
    "n_parts": ("--parts", int, "N", "parts of a step's batch, a multiple of the processes"),
    "tokens_per_part": ("--tokens-per-part", int, "N", "patches in each part"),
    "seed": ("--seed", int, "S", "where every draw comes from"),
    "simulated_share": (
        "--simulated-share",
        float,
        "X",
        "share of the parts that are simulated, from 0 to 1; with 1 no corpus is needed",
    ),
}


def add_set(parser):
    """Add the option that sets any field.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The command.
    """
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        help="any field of TrainingConfig, its value as JSON: augment=false betas=[0.9,0.95]",
    )


def get_changes(args, parser):
    """Return the fields of TrainingConfig that the arguments set.

    Parameters
    ----------
    args : argparse.Namespace
        What was given.
    parser : argparse.ArgumentParser
        The command, which tells of what is wrong and ends.

    Returns
    -------
    changes : dict
        Values by field.
    """
    from ..training import TrainingConfig

    given = {field: getattr(args, field, None) for field in FIELDS}
    changes = {field: value for field, value in given.items() if value is not None}
    kinds = typing.get_type_hints(TrainingConfig)
    for text in args.set:
        field, equals, value = text.partition("=")
        if not equals:
            parser.error(f"--set takes FIELD=VALUE, got {text!r}")
        if field not in kinds:
            parser.error(f"--set: there is no field {field!r}, only {', '.join(kinds)}")
        if field in changes:
            parser.error(f"{field} is given twice")
        kind = kinds[field]
        try:
            # A word needs no quotes of JSON inside those of the shell.
            changes[field] = value if kind is str else _convert(json.loads(value), kind)
        except ValueError:
            kind = kind.__name__ if kind in (bool, int, float) else kind
            parser.error(
                f"--set {text}: {field} is of type {kind}. Write it as JSON does: true, 3, 0.1, "
                'null, [0.9, 0.95] or {"random": 1}'
            )
    return changes


def _convert(value, kind):
    """Return a value of JSON as one of a kind, or raise ValueError."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        if not isinstance(value, list) or len(value) != len(parts):
            raise ValueError
        return tuple(_convert(*pair) for pair in zip(value, parts, strict=True))
    # To Python, true is a number as well.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and not (kind is int and isinstance(value, float))
    if not (fits if kind in (int, float) else isinstance(value, kind)):
        raise ValueError
    return value


def get_training(args, parser):
    """Return how to train a stage.

    Parameters
    ----------
    args : argparse.Namespace
        What was given.
    parser : argparse.ArgumentParser
        The command, which tells of what is wrong and ends.

    Returns
    -------
    training : TrainingConfig
        That of the preset, with what the arguments set.
    """
    changes = get_changes(args, parser)
    if args.preset == "published" and "n_steps" not in changes:
        parser.error("--preset published needs --steps, as the publication counts in epochs")
    from .. import training

    if args.preset == "published":
        publish = {"tokenizer": training.published_tokenizer, "gram": training.published_gram}
        return publish[args.stage](**changes)
    recipe = training.RECIPES[f"gram-{args.preset}"]
    settings = {"tokenizer": recipe.stage1, "gram": recipe.stage2}[args.stage]
    return training.adapt(settings, training.choose_device(args.device), changes)
