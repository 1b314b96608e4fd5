# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: one safetensors file with all that a run needs to resume, and metadata in JSON."""

import json
import math

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .._files import staged
from .._formats import parse_json
from ._config import TrainingConfig

NAME = "checkpoint.safetensors"
_FORMAT = "mne_gram training checkpoint 1"


def collect_optimizer(optimizer, names):
    """Return the state of AdamW by the names of parameters; empty before the first step."""
    return {
        f"{key}.{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def get_optimizer_shapes(names):
    """Return the shapes of what `collect_optimizer` returns after a step."""
    shapes = {f"step.{name}": () for name in names.values()}
    for parameter, name in names.items():
        shapes |= {f"exp_avg.{name}": parameter.shape, f"exp_avg_sq.{name}": parameter.shape}
    return shapes


def restore_optimizer(optimizer, names, tensors):
    """Restore the output of `collect_optimizer`."""
    fused = optimizer.defaults["fused"]
    for parameter, name in names.items():
        optimizer.state[parameter] = {
            key: tensors[f"{key}.{name}"].to(
                "cpu" if key == "step" and not fused else parameter.device
            )
            for key in ("step", "exp_avg", "exp_avg_sq")
        }


def write_checkpoint(folder, groups, facts, progress):
    """Replace the checkpoint in a folder.

    ``groups`` are dicts of tensors by name, ``facts`` identify the run, and ``progress`` has at
    least ``step``. If writing fails, the last checkpoint is kept.
    """
    tensors = {
        f"{group}/{name}": value.detach().to("cpu").contiguous()
        for group, entries in groups.items()
        for name, value in entries.items()
    }
    text = json.dumps({"format": _FORMAT, "facts": facts, "progress": progress})
    try:
        with staged(folder / NAME, overwrite=True) as fname:
            save_file(tensors, fname, metadata={"mne_gram": text})
    except (OSError, SafetensorError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise OSError(
            f"The checkpoint of step {progress['step']} could not be written to {folder} "
            f"({reason}). The last checkpoint is kept: make room, and repeat the command to "
            "resume from it."
        ) from exc


def read_checkpoint(folder, facts, shapes, optional):
    """Return the groups of tensors, on the CPU, and the progress; None and step 0 without a file.

    ``shapes`` has the shape of each tensor by group and name, ``optional`` those of tensors that
    may be missing. Raises RuntimeError for broken files, ValueError for those of another run.
    """
    fname = folder / NAME
    if not fname.exists():
        return None, {"step": 0}
    try:
        with safe_open(fname, framework="pt") as file:
            content = _read_content(file)
            if content.get("format") != _FORMAT:
                raise RuntimeError(
                    f"{fname} is not a checkpoint of this version of mne_gram. Give another "
                    "folder, or start again with overwrite=True."
                )
            _check_facts(fname, content["facts"], facts)
            _check_progress(content["progress"], facts)
            return _read_tensors(file, shapes, optional), content["progress"]
    except (SafetensorError, OSError, _Damage) as exc:
        raise RuntimeError(
            f"The checkpoint {fname} cannot be read ({exc}). Start again with overwrite=True."
        ) from exc


class _Damage(Exception):
    """A checkpoint is not as it was written."""


def _require(condition, problem):
    """Raise _Damage with a problem unless a condition holds."""
    if not condition:
        raise _Damage(problem)


def _read_content(file):
    """Return format, facts and progress."""
    try:
        content = parse_json((file.metadata() or {}).get("mne_gram", "{}"))
    except ValueError as exc:
        raise _Damage(str(exc)) from None
    _require(isinstance(content, dict), "its description is no object")
    if content.get("format") == _FORMAT:
        facts = content.get("facts")
        known = isinstance(facts, dict) and isinstance(facts.get("training", {}), dict)
        _require(known, "it does not describe its run")
        _require(isinstance(content.get("progress"), dict), "it has no progress")
    return content


def _check_progress(progress, facts):
    """Raise unless the progress is possible."""
    step, seconds = progress.get("step"), progress.get("seconds", 0.0)
    training = facts.get("training", {})
    # By the clock, the number of steps is open.
    last = math.inf if training.get("minutes") else training.get("n_steps", math.inf)
    _require(type(step) is int and 0 <= step <= last, "its step is impossible")
    is_time = type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0
    _require(is_time, "its time is impossible")


def _read_tensors(file, shapes, optional):
    """Return the tensors by group and name, if they are exactly those of the run."""
    names = {key: tuple(key.split("/", 1)) for key in file.keys()}  # noqa: SIM118
    required = _flatten(shapes)
    wanted = required | _flatten(optional)
    wrong = (required.keys() - {*names.values()}) | ({*names.values()} - wanted.keys())
    listed = ", ".join(sorted("/".join(name)[:200] for name in wrong)[:5])
    _require(not wrong, f"missing or unknown tensors: {listed}")
    groups = {}
    for key, (group, name) in names.items():
        shape, tensor = wanted[group, name], file.get_slice(key)
        same = tuple(tensor.get_shape()) == tuple(shape)
        _require(same and tensor.get_dtype() == "F32", f"{key} is of another shape or type")
        value = file.get_tensor(key)
        _require(torch.isfinite(value).all(), f"{key} contains values that are not finite")
        groups.setdefault(group, {})[name] = value
    return groups


def _flatten(groups):
    """Return values of groups by pairs of group and name."""
    return {(group, name): value for group in groups for name, value in groups[group].items()}


def _check_facts(fname, found, wanted):
    """Raise if a checkpoint belongs to another run."""
    wanted = json.loads(json.dumps(wanted))
    # Settings that a checkpoint lacks had their defaults.
    defaults = json.loads(json.dumps(TrainingConfig().to_dict()))
    found = {**found, "training": {**defaults, **found.get("training", {})}}
    wanted = {**wanted, "training": {**defaults, **wanted.get("training", {})}}
    differences = list(_compare(found, wanted, ""))
    if differences:
        raise ValueError(
            f"The checkpoint {fname} belongs to another run: {'; '.join(differences)}. Give the "
            "settings of that run to resume it, another folder, or overwrite=True to start again."
        )


def _compare(found, wanted, where):
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*found, *wanted]):
            name = f"{where}.{key}" if where else key
            yield from _compare(found.get(key), wanted.get(key), name)
    elif found != wanted:
        yield f"{where} was {found!r} and is {wanted!r}"


def to_device(groups, device):
    """Return the tensors of a checkpoint on a device."""
    return {
        group: {name: value.to(device) for name, value in entries.items()}
        for group, entries in groups.items()
    }


def fill(network, tensors):
    """Copy all weights of a checkpoint into a network."""
    with torch.no_grad():
        network.load_state_dict(tensors)
