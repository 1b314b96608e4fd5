# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: all that a run needs to go on, in one file that is there whole or not at all.

The file is a safetensors file; what is no tensor lies in its metadata as JSON.
"""

import json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .._files import staged
from ._config import TrainingConfig

NAME = "checkpoint.safetensors"
_FORMAT = "mne_gram training checkpoint 1"


def collect_optimizer(optimizer, names):
    """Return the running averages of AdamW by the names of the parameters.

    Parameters
    ----------
    optimizer : torch.optim.AdamW
        The optimiser.
    names : dict
        Parameter to name.

    Returns
    -------
    tensors : dict
        Name to tensor; empty before the first step.
    """
    return {
        f"{key}.{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer, names, tensors):
    """Fill AdamW with what `collect_optimizer` returned."""
    for parameter, name in names.items():
        optimizer.state[parameter] = {
            key: tensors[f"{key}.{name}"].to("cpu" if key == "step" else parameter.device)
            for key in ("step", "exp_avg", "exp_avg_sq")
        }


def write_checkpoint(folder, groups, facts, progress):
    """Write a checkpoint in place of the last one.

    Parameters
    ----------
    folder : pathlib.Path
        Where the run is kept.
    groups : dict
        Group name to a dict of tensors.
    facts : dict
        What the run is: it must be the same when it goes on.
    progress : dict
        How far it has come: at least ``step``.

    Raises
    ------
    OSError
        If it could not be written, for instance because the disk is full. The last checkpoint is
        still there.
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
            "Is the disk full? The last checkpoint was not touched: make room, and give the same "
            "command again to go on from it."
        ) from exc


def read_checkpoint(folder, facts):
    """Read a checkpoint.

    Parameters
    ----------
    folder : pathlib.Path
        Where the run is kept.
    facts : dict
        What the run is.

    Returns
    -------
    groups : dict | None
        Group name to a dict of tensors on the CPU. None if there is no checkpoint.
    progress : dict
        How far it has come.

    Raises
    ------
    RuntimeError
        If the file is none of ours or broken.
    ValueError
        If it is of a run with other settings, another network or another corpus.
    """
    fname = folder / NAME
    if not fname.exists():
        return None, {"step": 0}
    try:
        with safe_open(fname, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get("mne_gram", "{}"))
            if content.get("format") != _FORMAT:
                raise RuntimeError(
                    f"{fname} is no checkpoint of this version of mne_gram. Give another folder, "
                    "or start anew with overwrite=True."
                )
            _check_facts(fname, content["facts"], facts)
            groups = {}
            for key in file.keys():  # noqa: SIM118
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, json.JSONDecodeError, OSError) as exc:
        raise RuntimeError(
            f"The checkpoint {fname} cannot be read ({exc}). Start anew with overwrite=True."
        ) from exc
    return groups, content["progress"]


def _check_facts(fname, found, wanted):
    """Raise if a checkpoint is of another run."""
    wanted = json.loads(json.dumps(wanted))
    # A run that began before a setting existed had its default.
    defaults = json.loads(json.dumps(TrainingConfig().to_dict()))
    found = {**found, "training": {**defaults, **found.get("training", {})}}
    wanted = {**wanted, "training": {**defaults, **wanted.get("training", {})}}
    differences = list(_compare(found, wanted, ""))
    if differences:
        raise ValueError(
            f"The checkpoint {fname} is of another run: {'; '.join(differences)}. Give the "
            "settings it was started with to go on, another folder, or overwrite=True to start "
            "anew."
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
