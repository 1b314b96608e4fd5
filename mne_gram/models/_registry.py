# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The known models: listing, loading, and converting published checkpoints."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mne
from mne.utils import _validate_type, logger, verbose, warn

from ._files import (
    CONFIG,
    WEIGHTS,
    GramModel,
    check_target,
    is_model,
    read_config,
    read_model,
    save_model,
)

_BUNDLED = Path(__file__).parents[1] / "data" / "models"


@dataclass(frozen=True)
class _Entry:
    """A model that is known by name."""

    description: str
    bundled: bool = False


_REGISTRY = {
    "gram-tiny": _Entry("A small model that is part of the package.", bundled=True),
    "gram-base": _Entry(
        "The published Gram-Base (Li et al. 2025), to be downloaded manually and converted."
    ),
}
#: Pages and file names of the published checkpoints: stage 2 and, optionally, stage 1.
_PUBLISHED = {
    "base.pth": "https://cloud.bcmi.sjtu.edu.cn/sharing/eIMaE7DFr",
    "base_class_quantization.pth": "https://cloud.bcmi.sjtu.edu.cn/sharing/J2PX8p185",
}
_CITATION = (
    "Zi-Yi Li, Wei-Long Zheng, Jiwen Xu, Yong Lu, Bao-Liang Lu. IEEE Transactions on Affective "
    "Computing, 2025, doi:10.1109/TAFFC.2025.3638592"
)


class ModelInfo(NamedTuple):
    """A row of the list of models."""

    name: str
    where: Path
    present: bool
    sha256: str | None
    description: str


def get_models_dir(path=None):
    """Return the folder of downloaded models.

    Parameters
    ----------
    path : path-like | None
        The folder. None means that of the environment variable ``MNE_GRAM_MODELS``, or
        ``mne_gram-models`` in the folder ``MNE_DATA`` (environment or MNE's configuration), or in
        ``~/mne_data``.

    Returns
    -------
    path : pathlib.Path
        The folder, which may not exist.
    """
    if path is None:
        path = os.environ.get("MNE_GRAM_MODELS")
    if not path:
        path = Path(mne.get_config("MNE_DATA") or "~/mne_data") / "mne_gram-models"
    return Path(path).expanduser()


def _get_entry(name):
    if name not in _REGISTRY:
        raise ValueError(f"There is no model named {name!r}. Known are {', '.join(_REGISTRY)}.")
    return _REGISTRY[name]


def _get_folder(name, path=None):
    """Return the folder of a known model, which may not exist."""
    return (_BUNDLED if _get_entry(name).bundled else get_models_dir(path)) / name


def list_models():
    """List the models that are known by name.

    Returns
    -------
    models : list of ModelInfo
        One row per model: ``name``, ``where`` it is expected, whether it is ``present``, the
        ``sha256`` of its weights if present, and a ``description``.
    """
    rows = []
    for name, entry in _REGISTRY.items():
        folder, sha256 = _get_folder(name), None
        if is_model(folder):
            try:
                sha256 = read_config(folder)["sha256"]
            except RuntimeError:  # load_model reports broken folders
                pass
        rows.append(ModelInfo(name, folder, is_model(folder), sha256, entry.description))
    return rows


@verbose
def load_model(name_or_path="gram-tiny", *, device=None, verbose=None):
    """Load a model.

    Parameters
    ----------
    name_or_path : path-like
        The name of a model from `list_models`, or a folder from `save_model`,
        `convert_checkpoint` or `fetch_model`. Names take precedence over folders; use
        ``"./gram-tiny"`` for a folder of that name.
    device : str | torch.device | None
        Device of the networks. None means the CPU.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        The networks, in eval mode and float32, as ``.tokenizer`` and ``.gram`` (None if missing),
        their shapes as ``.config`` and their origin as ``.card``.

    Raises
    ------
    FileNotFoundError
        If the folder is not a model, or the name is unknown.
    RuntimeError
        If the named model has not been downloaded, or its folder is invalid.
    """
    from ._inference import get_device

    _validate_type(name_or_path, "path-like", "name_or_path")
    device = get_device(device)
    return read_model(locate_model(name_or_path), device)


def locate_model(name_or_path):
    """Return the folder of a model, or raise with instructions."""
    if name_or_path in _REGISTRY:
        folder = _get_folder(name_or_path)
        if is_model(folder):
            return folder
        if _REGISTRY[name_or_path].bundled:
            raise RuntimeError(
                f"This installation of mne_gram has no trained model ({name_or_path!r} is not in "
                f"{folder}). Load a folder with a model instead, or convert the published "
                f"checkpoint, as described by mne_gram.fetch_model('gram-base')."
            )
        raise RuntimeError(
            f"The model {name_or_path!r} is not in {folder}. Get it with "
            f"mne_gram.fetch_model({name_or_path!r})."
        )
    folder = Path(name_or_path).expanduser()
    if folder.is_file():
        raise FileNotFoundError(
            f"{folder} is a file; expected a folder with {CONFIG} and {WEIGHTS}. Convert published "
            f"checkpoints with mne_gram.convert_checkpoint({str(folder)!r}, 'a-folder')."
        )
    if not is_model(folder):
        raise FileNotFoundError(
            f"{str(name_or_path)!r} is neither a known model ({', '.join(_REGISTRY)}) nor a folder "
            f"with {CONFIG} and {WEIGHTS}."
        )
    return folder


@verbose
def fetch_model(name, *, path=None, force=False, verbose=None):
    """Return the folder of a known model, converting published files if needed.

    Parameters
    ----------
    name : str
        A name from `list_models`.
    path : path-like | None
        Folder of downloaded models. None means that of `get_models_dir`.
    force : bool
        Whether to convert published files again.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    folder : pathlib.Path
        The folder of the model, for `load_model`.

    Raises
    ------
    RuntimeError
        If the model has to be downloaded manually; the message describes how.
    ValueError
        If the name is unknown.
    """
    _validate_type(name, str, "name")
    if _get_entry(name).bundled:
        return locate_model(name)
    folder = _get_folder(name, path)
    if is_model(folder) and not force:
        return folder
    return _convert_downloads(name, folder)


def _convert_downloads(name, folder):
    """Convert published files next to or in the folder of the model."""
    found = {}
    for fname in _PUBLISHED:
        places = [place / fname for place in (folder.parent, folder)]
        found[fname] = next((file for file in places if file.is_file()), None)
    stage2, stage1 = (found[fname] for fname in _PUBLISHED)
    if stage2 is not None:
        return convert_checkpoint(stage2, folder, tokenizer_fname=stage1, overwrite=True)
    pages = "\n".join(f"   {page}  (save as {fname})" for fname, page in _PUBLISHED.items())
    raise RuntimeError(
        f"The published model {name!r} has no direct link and has to be downloaded manually:\n"
        f"1. Open the authors' sharing pages in a browser:\n{pages}\n"
        f"2. Download the files to\n   {folder.parent}\n"
        f"3. Call mne_gram.fetch_model({name!r}) again, which converts them; or convert them in "
        f"another folder with\n   mne_gram weights convert base.pth {folder}\n"
        f"Stage 2 (base.pth) includes stage 1, so the second file is optional."
    )


@verbose
def convert_checkpoint(fname, folder, *, tokenizer_fname=None, overwrite=False, verbose=None):
    """Convert a published checkpoint to a folder for `load_model`.

    Parameters
    ----------
    fname : path-like | None
        The published stage-2 file, which includes stage 1. None converts stage 1 alone, from
        ``tokenizer_fname``.
    folder : path-like
        Folder of the converted model.
    tokenizer_fname : path-like | None
        The published stage-1 file. With a stage-2 file it is only needed for tokenizers without
        the published 10 attention heads.
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
    FileNotFoundError
        If a file does not exist.
    FileExistsError
        If there is a model in the folder and ``overwrite`` is False.
    RuntimeError
        If a file cannot be read, or contains other objects than a checkpoint.
    ValueError
        If a file is not in the published format, or the two do not fit together.

    Notes
    -----
    Nothing in the files is executed: anything other than tensors, plain containers, numbers and
    text is refused. The sha256 of each file is logged and stored in the card of the model.
    """
    from . import _published as published

    folder = check_target(folder, overwrite)
    if fname is None and tokenizer_fname is None:
        raise ValueError("fname and tokenizer_fname are both None, so there is nothing to convert.")
    sources, gram, tensors = [], None, {}
    if fname is not None:
        tensors, cf = _read_source(fname, sources)
        gram = published.convert_gram(tensors, cf, fname=fname)
    if tokenizer_fname is None:
        tokenizer = published.convert_tokenizer(tensors, None, fname=fname)
    else:
        alone, cf = _read_source(tokenizer_fname, sources)
        tokenizer = published.convert_tokenizer(alone, cf, fname=tokenizer_fname)
        published.check_same_tokenizer(tensors, alone, fname=fname, tokenizer_fname=tokenizer_fname)
    lengths = tokenizer.codebook.norm(dim=1)
    if (lengths - 1).abs().max() > 1e-3:
        warn(
            f"The codebook should contain vectors of length 1, found lengths from "
            f"{lengths.min():.4f} to {lengths.max():.4f}. They are not changed."
        )
    card = {
        "name": folder.name,
        "description": "Converted from the published checkpoint.",
        "citation": _CITATION,
        "sources": sources,
    }
    model = GramModel(tokenizer, gram, card=card)
    return save_model(model, folder, overwrite=overwrite)


def _read_source(fname, sources):
    """Read a published file, and log its checksum and add it to the sources."""
    import pooch

    from ..montage import CH_NAMES
    from ._published_reader import read_published

    _validate_type(fname, "path-like", "fname")
    fname = Path(fname).expanduser()
    if not fname.is_file():
        raise FileNotFoundError(f"The checkpoint {fname} does not exist or is not a file.")
    sha256 = pooch.file_hash(fname, alg="sha256")
    logger.info(f"sha256 of {fname}: {sha256}")
    tensors, cf = read_published(fname)
    if cf.get("all_ch_list", list(CH_NAMES)) != list(CH_NAMES):
        raise ValueError(
            f"{fname} was trained on another montage: its list of channels is not the published "
            f"list of {len(CH_NAMES)} names. Use the published checkpoint."
        )
    sources.append({"file": fname.name, "sha256": sha256})
    return tensors, cf
