# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: one safetensors file with all that a run needs to resume, and metadata in JSON."""

import json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .._files import staged
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


def restore_optimizer(optimizer, names, tensors):
    """Restore the output of `collect_optimizer`."""
    for parameter, name in names.items():
        optimizer.state[parameter] = {
            key: tensors[f"{key}.{name}"].to("cpu" if key == "step" else parameter.device)
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
        raise OSError(
            f"The checkpoint of step {progress['step']} could not be written to {folder} ({exc}). "
            "Is the disk full? The last checkpoint is kept: make room, and repeat the command to "
            "resume from it."
        ) from exc


def read_checkpoint(folder, facts):
    """Return the groups of tensors, on the CPU, and the progress; None and step 0 without a file.

    Raises RuntimeError for broken files, and ValueError for the checkpoint of another run.
    """
    fname = folder / NAME
    if not fname.exists():
        return None, {"step": 0}
    try:
        with safe_open(fname, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get("mne_gram", "{}"))
            if content.get("format") != _FORMAT:
                raise RuntimeError(
                    f"{fname} is not a checkpoint of this version of mne_gram. Give another "
                    "folder, or start again with overwrite=True."
                )
            _check_facts(fname, content["facts"], facts)
            groups = {}
            for key in file.keys():  # noqa: SIM118
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, json.JSONDecodeError, OSError) as exc:
        raise RuntimeError(
            f"The checkpoint {fname} cannot be read ({exc}). Start again with overwrite=True."
        ) from exc
    return groups, content["progress"]


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
