# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Weights: which there are, where they are, and how they are fetched and converted."""

import os
from dataclasses import dataclass, field
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

__all__ = [
    "GramModel",
    "ModelInfo",
    "convert_checkpoint",
    "fetch_model",
    "get_models_dir",
    "list_models",
    "load_model",
    "save_model",
]

_BUNDLED = Path(__file__).parents[1] / "data" / "models"


@dataclass(frozen=True)
class _Entry:
    """A model that is known by name."""

    description: str
    bundled: bool = False
    #: Where its files can be downloaded, ending in a slash; None if there is no direct link.
    url: str | None = None
    #: sha256 of each file, where known.
    files: dict = field(default_factory=dict)


_REGISTRY = {
    "gram-tiny": _Entry("A small model that comes with the package.", bundled=True),
    "gram-base": _Entry(
        "The published Gram-Base (Li et al. 2025). Two files to download by hand and convert."
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
    """Return the folder in which models lie.

    Parameters
    ----------
    path : path-like | None
        The folder. If None, the environment variable ``MNE_GRAM_MODELS`` tells it; else it is
        ``mne_gram-models`` in the folder that ``MNE_DATA`` (environment or MNE's configuration)
        tells, or in ``~/mne_data``.

    Returns
    -------
    path : pathlib.Path
        The folder, which need not exist.
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
    """Return where a model that is known by name is, or would be."""
    return (_BUNDLED if _get_entry(name).bundled else get_models_dir(path)) / name


def list_models():
    """List the models that are known by name.

    Returns
    -------
    models : list of ModelInfo
        One row a model: ``name``, ``where`` it is or would be, whether it is ``present``, the
        ``sha256`` of its weights where known, and a ``description``.
    """
    rows = []
    for name, entry in _REGISTRY.items():
        folder, sha256 = _get_folder(name), entry.files.get(WEIGHTS)
        if sha256 is None and is_model(folder):
            try:
                sha256 = read_config(folder)["sha256"]
            except RuntimeError:  # a broken folder is for load_model to complain about
                pass
        rows.append(ModelInfo(name, folder, is_model(folder), sha256, entry.description))
    return rows


@verbose
def load_model(name_or_path="gram-tiny", *, device=None, verbose=None):
    """Load a model.

    Parameters
    ----------
    name_or_path : path-like
        The name of a model that `list_models` lists, or a folder that `save_model`,
        `convert_checkpoint` or `fetch_model` wrote. A name goes before a folder of that name;
        write ``"./gram-tiny"`` for the latter.
    device : str | torch.device | None
        Where to put the networks. None means the CPU.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        The networks, in eval mode and float32, as ``.tokenizer`` and ``.gram`` (None where the
        model lacks one), their shapes as ``.config`` and what is known about them as ``.card``.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    RuntimeError
        If the named model is not on this machine, or its folder is broken.
    """
    from ._inference import get_device

    _validate_type(name_or_path, "path-like", "name_or_path")
    device = get_device(device)
    return read_model(locate_model(name_or_path), device)


def locate_model(name_or_path):
    """Return the folder of a model, or raise what to do."""
    if name_or_path in _REGISTRY:
        folder = _get_folder(name_or_path)
        if is_model(folder):
            return folder
        if _REGISTRY[name_or_path].bundled:
            raise RuntimeError(
                f"This release of mne_gram carries no trained model ({name_or_path!r} is not "
                f"in {folder}). Give load_model a folder with a model instead, or convert the "
                f"published checkpoint: mne_gram.fetch_model('gram-base') tells how."
            )
        raise RuntimeError(
            f"The model {name_or_path!r} is not in {folder}. Get it with "
            f"mne_gram.fetch_model({name_or_path!r})."
        )
    folder = Path(name_or_path).expanduser()
    if folder.is_file():
        raise FileNotFoundError(
            f"{folder} is a file; expected a folder with {CONFIG} and {WEIGHTS}. A published "
            f"checkpoint becomes one by mne_gram.convert_checkpoint({str(folder)!r}, 'a-folder')."
        )
    if not is_model(folder):
        raise FileNotFoundError(
            f"{str(name_or_path)!r} is neither a model known by name ({', '.join(_REGISTRY)}) nor "
            f"a folder with {CONFIG} and {WEIGHTS}."
        )
    return folder


@verbose
def fetch_model(name, *, path=None, force=False, verbose=None):
    """Get a model that is known by name.

    Parameters
    ----------
    name : str
        A name that `list_models` lists.
    path : path-like | None
        Folder in which models lie. None means the one that ``MNE_GRAM_MODELS`` or ``MNE_DATA``
        tells, see `get_models_dir`.
    force : bool
        Whether to get it again if it is there.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    folder : pathlib.Path
        The folder of the model, for `load_model`.

    Raises
    ------
    RuntimeError
        If the model has to be downloaded by hand; the message tells how.
    ValueError
        If there is no model of this name, or a downloaded file has a wrong checksum.
    """
    _validate_type(name, str, "name")
    entry = _get_entry(name)
    folder = _get_folder(name, path)
    if entry.bundled:
        return locate_model(name)
    if is_model(folder) and not force:
        return folder
    if entry.url is None:
        return _convert_downloads(name, folder)
    return _download(entry, folder, force)


def _download(entry, folder, force):
    """Download the files of a model; pooch checks each before it takes its place."""
    import pooch

    if force:
        (folder / CONFIG).unlink(missing_ok=True)
    # The configuration comes last: without it a folder is no model.
    for fname in (WEIGHTS, CONFIG):
        if force:
            (folder / fname).unlink(missing_ok=True)
        pooch.retrieve(
            entry.url + fname,
            known_hash=f"sha256:{entry.files[fname]}",
            fname=fname,
            path=folder,
        )
    return folder


def _convert_downloads(name, folder):
    """Convert published files that the user put beside or into the model's folder."""
    found = {}
    for fname in _PUBLISHED:
        places = [place / fname for place in (folder.parent, folder)]
        found[fname] = next((file for file in places if file.is_file()), None)
    stage2, stage1 = (found[fname] for fname in _PUBLISHED)
    if stage2 is not None:
        return convert_checkpoint(stage2, folder, tokenizer_fname=stage1, overwrite=True)
    pages = "\n".join(f"   {page}  (save as {fname})" for fname, page in _PUBLISHED.items())
    raise RuntimeError(
        f"The published model {name!r} has no direct link and has to be fetched by hand:\n"
        f"1. Open the authors' sharing pages in a browser:\n{pages}\n"
        f"2. Download the files and put them into\n   {folder.parent}\n"
        f"3. Call mne_gram.fetch_model({name!r}) again, which converts them; or convert them from "
        f"anywhere with\n   mne_gram weights convert base.pth {folder}\n"
        f"Stage 2 (base.pth) holds stage 1 too, so the second file may be left out."
    )


@verbose
def convert_checkpoint(fname, folder, *, tokenizer_fname=None, overwrite=False, verbose=None):
    """Turn a published checkpoint into a folder that `load_model` reads.

    Parameters
    ----------
    fname : path-like | None
        The published stage-2 file, which holds stage 1 too. None converts stage 1 alone, from
        ``tokenizer_fname``.
    folder : path-like
        Where to write the model.
    tokenizer_fname : path-like | None
        The published stage-1 file. Beside a stage-2 file it is only needed if its tokenizer has
        not the published 10 attention heads.
    overwrite : bool
        Whether to replace a model that is there.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    folder : pathlib.Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    FileExistsError
        If there is a model in the folder and ``overwrite`` is False.
    RuntimeError
        If a file cannot be read, or holds what a checkpoint does not hold.
    ValueError
        If a file is not in the published format, or the two do not belong together.

    Notes
    -----
    Nothing in the files is executed: anything but tensors, plain containers, numbers and text is
    refused. The sha256 of each file is logged and kept in the card of the model.
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
            f"The codebook should hold vectors of length 1, found lengths from {lengths.min():.4f} "
            f"to {lengths.max():.4f}. They are kept as they are."
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
    """Read a published file; log its checksum and add it to the sources."""
    import pooch

    from ..montage import CH_NAMES
    from ._published import read_published

    _validate_type(fname, "path-like", "fname")
    fname = Path(fname).expanduser()
    if not fname.is_file():
        raise FileNotFoundError(f"The checkpoint {fname} does not exist or is no file.")
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
