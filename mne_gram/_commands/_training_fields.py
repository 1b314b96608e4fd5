# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The fields of TrainingConfig that the arguments of a command set."""

# Imports are nested, so that --help and wrong arguments need no torch.
import contextlib
import json
import types
import typing

#: Options for single fields: flag, type, placeholder and help.
FIELDS = {
    "n_steps": ("--steps", int, "N", "optimizer steps"),
    "minutes": ("--minutes", float, "M", "minutes of training, in place of a number of steps"),
    "learning_rate": ("--learning-rate", float, "X", "highest learning rate"),
    "n_parts": ("--parts", int, "N", "parts of the batch of a step, a multiple of the processes"),
    "tokens_per_part": ("--tokens-per-part", int, "N", "patches in each part"),
    "seed": ("--seed", int, "S", "seed of all random draws"),
}


def add_set(parser):
    """Add the option that sets any field."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        help="any field of TrainingConfig, with a JSON value: augment=false betas=[0.9,0.95]",
    )


def get_changes(args, parser):
    """Return the values by field that the arguments set; wrong ones end the program."""
    from ..training import TrainingConfig

    given = {field: getattr(args, field, None) for field in FIELDS}
    changes = {field: value for field, value in given.items() if value is not None}
    if {"n_steps", "minutes"} <= set(changes):
        parser.error("give either --steps or --minutes")
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
            changes[field] = _read(value, kind)
        except ValueError:
            kind = kind.__name__ if kind in (bool, int, float) else kind
            parser.error(
                f"--set {text}: {field} is of type {kind}. Write it as JSON does: true, 3, 0.1, "
                'null, [0.9, 0.95] or {"random": 1}'
            )
    return changes


def _read(text, kind):
    """Return a text as the kind of a field, or raise ValueError."""
    if kind is str:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        # Words need no JSON quotes inside those of the shell.
        if str not in typing.get_args(kind):
            raise
        value = text
    return _convert(value, kind)


def _convert(value, kind):
    """Return a JSON value as the kind of a field, or raise ValueError."""
    if isinstance(kind, types.UnionType):
        for part in typing.get_args(kind):
            with contextlib.suppress(ValueError):
                return _convert(value, part)
        raise ValueError
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        if not isinstance(value, list) or len(value) != len(parts):
            raise ValueError
        return tuple(_convert(*pair) for pair in zip(value, parts, strict=True))
    # bool is a subclass of int.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and not (kind is int and isinstance(value, float))
    if not (fits if kind in (int, float) else isinstance(value, kind)):
        raise ValueError
    return value


def get_training(args, parser):
    """Return the settings of a stage: those of the preset, with changes by arguments."""
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
