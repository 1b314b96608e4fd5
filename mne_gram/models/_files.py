# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A model and its folder: ``config.json`` and ``model.safetensors``.

The configuration has the shapes of the networks, the sha256 of the weights and a card with their
origin; names of weights start with ``tokenizer.`` and ``gram.``.
"""

import json
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mne.utils import _check_option, _validate_type, logger, verbose

from .._formats import make_scratch_folder, read_json_object, writing

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_FORMAT, _FORMAT_VERSION = "mne_gram", 1
_PARTS = ("tokenizer", "gram")
_DTYPES = ("float32", "float16", "bfloat16")
_FLOATS = ("F64", "F32", "F16", "BF16")  # as safetensors names them
_N_BLOCKS = ("n_blocks", "decoder_n_blocks")
_TEXTS = ("name", "description")  # of a card
_LARGEST_CONFIG = 2**20  # bytes
_LARGEST_TABLES = 2**24  # numbers that are computed from the configuration alone


@dataclass
class GramModel:
    """The networks of a model and their card.

    Parameters
    ----------
    tokenizer : mne_gram.models.Tokenizer | None
        Stage 1, or None.
    gram : mne_gram.models.Gram | None
        Stage 2, or None.
    card : dict
        Origin of the weights, in entries for JSON.
    sha256 : str | None
        Checksum of the file of the weights, if they were read from one.
    """

    tokenizer: object = None
    gram: object = None
    card: dict = field(default_factory=dict)
    sha256: str | None = None

    def __post_init__(self):
        if self.tokenizer is None and self.gram is None:
            raise ValueError("A model needs a tokenizer, stage 2 or both, got neither.")
        if self.tokenizer is None or self.gram is None:
            return
        for name in ("n_classes", "n_channels"):
            ours = [getattr(part.config, name) for part in (self.tokenizer, self.gram)]
            if ours[0] != ours[1]:
                raise ValueError(
                    f"The two stages do not fit together: {name} is {ours[0]} in the tokenizer "
                    f"and {ours[1]} in stage 2."
                )

    @property
    def config(self):
        """Shapes of the networks as dicts; None for a missing network."""
        parts = {name: getattr(self, name) for name in _PARTS}
        return {name: part and part.config.to_dict() for name, part in parts.items()}

    def __repr__(self):
        parts = [
            f"{name}: {sum(p.numel() for p in part.parameters()) / 1e6:.1f} M parameters"
            for name in _PARTS
            if (part := getattr(self, name)) is not None
        ]
        return f"<GramModel | {self.card.get('name', 'unnamed')}, {', '.join(parts)}>"


def is_model(folder):
    """Return whether a folder has the files of a model, valid or not."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def read_model(folder, device):
    """Read a model from a folder, in eval mode and float32; RuntimeError for invalid files."""
    config = read_config(folder)
    logger.info(f"Loading the model in {folder} (sha256 {config['sha256']}).")
    with _open_weights(folder, config["sha256"]) as file:
        _check_shapes(config, file, folder)
        networks = _build_networks(config, folder)
        _fill_networks(networks, file, folder)
    networks = {name: part.to(device).eval() for name, part in networks.items()}
    return GramModel(**networks, card=config["card"], sha256=config["sha256"])


def read_config(folder):
    """Read and check ``config.json``."""
    fname = folder / CONFIG
    try:
        config = read_json_object(fname, max_bytes=_LARGEST_CONFIG)
    except ValueError as error:
        raise RuntimeError(f"{error} Write or fetch it again.") from None
    if config.get("format") != _FORMAT:
        raise RuntimeError(
            f"{fname} does not describe a model of mne_gram: expected the entry "
            f'"format": "{_FORMAT}". Give a folder that mne_gram wrote.'
        )
    if config.get("format_version") != _FORMAT_VERSION:
        raise RuntimeError(
            f"{fname} is of format version {config.get('format_version')!r}, this mne_gram reads "
            f"version {_FORMAT_VERSION}. Update mne_gram, or fetch or convert the model again."
        )
    kinds = dict(sha256=str, card=dict, tokenizer=dict | None, gram=dict | None)
    wrong = [k for k, kind in kinds.items() if k not in config or not isinstance(config[k], kind)]
    if not wrong:
        card = config["card"]
        texts, stages = [card.get(key) for key in _TEXTS], card.get("stages", {})
        known = all(isinstance(text, str | None) for text in texts)
        wrong = [] if known and isinstance(stages, dict) else ["card"]
    if wrong:
        raise RuntimeError(
            f"{fname} has missing or invalid entries {wrong}. Write or fetch it again."
        )
    return config


@contextmanager
def _open_weights(folder, sha256):
    """Open ``model.safetensors``, of which the header is read, if it has the right checksum."""
    import pooch
    from safetensors import SafetensorError, safe_open

    fname = folder / WEIGHTS
    found = pooch.file_hash(fname, alg="sha256")
    if found != sha256:
        raise RuntimeError(
            f"{fname} is not the file described by {CONFIG}: its sha256 is {found}, expected "
            f"{sha256[:64]}. It was changed or is incomplete: write or fetch the model again."
        )
    try:
        with safe_open(fname, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise RuntimeError(f"{fname} is not a safetensors file ({error}).") from None


def _check_shapes(config, file, folder):
    """Raise unless the tensors are exactly those of the configured networks.

    Only headers are read, and the networks take no memory.
    """
    import torch

    found = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
    blocks = [(config[name] or {}).get(key) for name in _PARTS for key in _N_BLOCKS]
    too_many = [n for n in blocks if isinstance(n, int) and n > len(found)]
    if too_many:
        raise RuntimeError(
            f"{folder / WEIGHTS} does not fit {CONFIG}: it has {len(found)} tensors, too few for "
            f"{too_many[0]} blocks. Write or fetch the model again."
        )
    with torch.device("meta"):
        networks = _build_networks(config, folder)
    wanted = {
        f"{name}.{key}": tuple(value.shape)
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    shapes = {key: tuple(found[key].get_shape()) for key in wanted if key in found}
    problems = {
        "Missing": [key for key in wanted if key not in found],
        "unexpected": [key for key in found if key not in wanted],
        "of wrong shape": [
            f"{key} {shape}, expected {wanted[key]}"
            for key, shape in shapes.items()
            if shape != wanted[key]
        ],
        "not floating-point": [key for key in shapes if found[key].get_dtype() not in _FLOATS],
    }
    if any(problems.values()):
        raise RuntimeError(
            f"{folder / WEIGHTS} does not fit {CONFIG}. "
            + "; ".join(f"{what}: {_list_names(names)}" for what, names in problems.items())
            + ". Write or fetch the model again."
        )
    tables = sum(buffer.numel() for network in networks.values() for buffer in network.buffers())
    if tables - sum(map(math.prod, shapes.values())) > _LARGEST_TABLES:
        raise RuntimeError(
            f"{folder / CONFIG} describes networks with tables of {tables} numbers for channels "
            f"and times, expected at most {_LARGEST_TABLES}. Write or fetch the model again."
        )


def _list_names(names):
    """Return at most ten names as text."""
    names = [name[:200] for name in names]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{names[:10]}{more}" if names else "none"


def _build_networks(config, folder):
    """Return networks of the configured shapes, without weights."""
    from . import Gram, GramConfig, Tokenizer, TokenizerConfig

    kinds = dict(tokenizer=(Tokenizer, TokenizerConfig), gram=(Gram, GramConfig))
    networks = {}
    for name, (network, config_class) in kinds.items():
        if config[name] is None:
            continue
        try:
            networks[name] = network(config_class.from_dict(config[name]), seed=None)
        except (ValueError, RuntimeError, TypeError, OverflowError) as error:  # torch: too large
            raise RuntimeError(f"{folder / CONFIG}, entry {name!r}: {error}") from None
    return networks


def _fill_networks(networks, file, folder):
    """Copy the tensors, whose names and shapes were checked, into the networks."""
    import torch

    for name, network in networks.items():
        state = {key: file.get_tensor(f"{name}.{key}") for key in network.state_dict()}
        wrong = [f"{name}.{key}" for key, value in state.items() if not torch.isfinite(value).all()]
        if wrong:
            raise RuntimeError(
                f"{folder / WEIGHTS} contains weights that are not finite: {_list_names(wrong)}. "
                "Write or fetch the model again."
            )
        # Copying casts half precision to the float32 of the network.
        network.load_state_dict(state)


@verbose
def save_model(model, folder, *, dtype="float32", overwrite=False, verbose=None):
    """Write a model to a folder.

    Parameters
    ----------
    model : GramModel
        The model.
    folder : path-like
        The folder, which is created if needed, complete at once. Other files in an existing folder
        are not touched.
    dtype : ``"float32"`` | ``"float16"`` | ``"bfloat16"``
        Type of the stored weights; `load_model` always returns float32.
    overwrite : bool
        Whether to replace an existing model.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    folder : pathlib.Path
        The folder.

    Raises
    ------
    FileExistsError
        If there is a model in the folder and ``overwrite`` is False.
    ValueError
        If a weight is not finite in ``dtype``.
    """
    import pooch
    from safetensors.torch import save_file

    _validate_type(model, GramModel, "model")
    _check_option("dtype", dtype, _DTYPES)
    folder = check_target(folder, overwrite)
    tensors = _get_tensors(model, dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with writing(folder.parent), make_scratch_folder(folder.parent) as parent:
        new = Path(parent) / folder.name
        new.mkdir()
        save_file(tensors, new / WEIGHTS, metadata={"format": "pt"})
        os.chmod(new / WEIGHTS, 0o644)  # safetensors makes it readable to its owner only
        config = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "sha256": pooch.file_hash(new / WEIGHTS, alg="sha256"),
            **model.config,
            "card": model.card,
        }
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (new / CONFIG).write_text(text, encoding="utf-8")
        if folder.exists():
            # The configuration goes last; its checksum reveals a pair of an old and a new file.
            for name in (WEIGHTS, CONFIG):
                os.replace(new / name, folder / name)
        else:
            os.replace(new, folder)
    logger.info(f"Wrote the model to {folder} (sha256 of the weights {config['sha256']}).")
    return folder


def check_target(folder, overwrite):
    """Raise if a model cannot be written to a folder."""
    _validate_type(folder, "path-like", "folder")
    folder = Path(folder).expanduser()
    if os.path.lexists(folder) and not folder.is_dir():
        kind = "link to nothing" if folder.is_symlink() else "file"
        raise FileExistsError(f"{folder} is a {kind}; expected a folder or nothing.")
    taken = [name for name in (CONFIG, WEIGHTS) if os.path.lexists(folder / name)]
    if taken and not overwrite:
        raise FileExistsError(
            f"{folder} already contains {' and '.join(taken)}. Give another folder, or pass "
            f"overwrite=True."
        )
    return folder


def _get_tensors(model, dtype):
    """Return all weights by their prefixed names, on the CPU."""
    import torch

    tensors = {}
    for part in _PARTS:
        network = getattr(model, part)
        for name, value in network.state_dict().items() if network is not None else ():
            value = value.detach().to("cpu", getattr(torch, dtype)).contiguous()
            if not torch.isfinite(value).all():
                raise ValueError(
                    f"The weight {part}.{name} is not finite in {dtype}. "
                    + ("Store it as float32." if dtype == "float16" else "Training went wrong.")
                )
            tensors[f"{part}.{name}"] = value
    return tensors
