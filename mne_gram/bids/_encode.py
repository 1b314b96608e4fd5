# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings or base classes of one recording: at once, or in steps that share a network."""

from dataclasses import dataclass

import numpy as np

from .._files import loaded, read_recording
from .._version import __version__
from ..features import (
    Cuts,
    Embedding,
    Tokens,
    choose_batch_size,
    compute_embedding,
    compute_tokens,
    cut_recording,
    encode_tokens,
    encode_windows,
)
from ..features._compute import _check_part, _load
from ..models import read_config
from ..models._registry import _locate
from ._sidecars import name_source, write_files
from ._work import describe_input, load_once

_PARTS = dict(embed="gram", tokens="tokenizer")


@dataclass(frozen=True)
class Windows:
    """What the network gets of a recording."""

    cuts: Cuts
    channels: np.ndarray  # montage indices
    batch_size: int


def embed_unit(unit, settings, folder):
    """Embed a recording, or name its base classes.

    Parameters
    ----------
    unit : Unit
        The recording.
    settings : Settings
        What to do.
    folder : pathlib.Path
        Where to write.

    Returns
    -------
    paths : list of pathlib.Path
        The files, the main one last.
    facts : dict
        What the row is to tell.
    """
    inst = read_recording(unit)
    facts = describe_input(inst)
    model = load_once(settings.model, settings.device)
    options = _choose_windows(unit, settings)
    options.update(device=settings.device, batch_size=settings.batch_size)
    with loaded(inst, folder):
        inst = _mark_found(inst, settings, facts)
        if settings.job == "embed":
            made = compute_embedding(inst, model=model, pool=settings.pool, **options)
        else:
            made = compute_tokens(inst, model=model, **options)
    return write_features(unit, settings, folder, made, facts), facts


def cut_unit(unit, settings, folder):
    """Read a recording and cut it into windows; no network is loaded.

    Parameters
    ----------
    unit, settings, folder
        As in :func:`embed_unit`. A large recording is kept in the folder meanwhile.

    Returns
    -------
    windows : Windows
        What the network is to get.
    fields : dict
        What a feature set is to tell of the recording.
    facts : dict
        What the row is to tell.
    """
    part = _PARTS[settings.job]
    config = read_config(_locate(settings.model))[part]
    _check_part(config, part)
    inst = read_recording(unit)
    facts = describe_input(inst)
    options = dict(picks=None, on_bads="mask", on_missing="warn", preprocess=True)
    options.update(_choose_windows(unit, settings))
    with loaded(inst, folder):
        inst = _mark_found(inst, settings, facts)
        cuts, channels, fields = cut_recording(inst, config["max_patches"], **options)
    size = settings.batch_size
    if size is None:
        size = choose_batch_size(len(channels), int(cuts.length.max()), config["max_patches"])
    return Windows(cuts, channels, size), fields, facts


def encode(settings, x, channels, mask):
    """Encode windows with the network of a job, which stays on its device.

    Parameters
    ----------
    settings : Settings
        What to do.
    x, channels, mask
        As in :func:`mne_gram.features._encoding.encode_windows`.

    Returns
    -------
    values : array, shape (n_windows, ...)
        Vectors or base classes.
    """
    model, _ = _load_network(settings)
    options = dict(mask=mask, batch_size=settings.batch_size, device=settings.device)
    if settings.job == "embed":
        return encode_windows(model, x, channels, pool=settings.pool, verbose="error", **options)
    return encode_tokens(model, x, channels, verbose="error", **options)


def make_features(settings, fields, encoded):
    """Return the feature set of a recording.

    Parameters
    ----------
    settings : Settings
        What to do.
    fields : dict
        What it tells of the recording.
    encoded : Encoded
        What the network made of it.

    Returns
    -------
    made : Embedding | Tokens
        The feature set.
    """
    model, known = _load_network(settings)
    known = dict(data=encoded.data, good=encoded.good, **fields, **known)
    if settings.job == "embed":
        return Embedding(pool=settings.pool, **known)
    return Tokens(n_classes=model.tokenizer.config.n_classes, **known)


def write_features(unit, settings, folder, made, facts):
    """Write a feature set and its sidecar.

    Parameters
    ----------
    unit, settings, folder
        As in :func:`embed_unit`.
    made : Embedding | Tokens
        The feature set.
    facts : dict
        What the row is to tell, to which is added.

    Returns
    -------
    paths : list of pathlib.Path
        The files, the main one last.
    """
    path = folder / settings.get_target(unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(path)
    facts.update(n_windows=len(made), good=float(np.mean(made.good)), shape=list(made.data.shape))
    about = dict(
        Description=f"{type(made).__name__} by the encoders of Gram; see mne_gram.read_"
        f"{type(made).__name__.lower()}.",
        Sources=[name_source(unit)],
        Version=__version__,
        Parameters=settings.parameters,
        Weights=settings.weights,
        Shape=facts["shape"],
        Channels=made.ch_names,
        Bads=facts["bads"],
        Preprocessing="200 Hz, average reference, 0.1 to 75 Hz, notch at the power line.",
    )
    write_files({".json": about}, path.with_suffix(""))
    return [path.with_suffix(".json"), path]


def _load_network(settings):
    """Return the model of a job, loaded once, and what is to be kept of where it comes from."""
    model = load_once(settings.model, settings.device)
    return _load(model, _PARTS[settings.job], settings.device)


def _choose_windows(unit, settings):
    """Return how to cut a recording."""
    options = dict(window=settings.window, overlap=settings.overlap, line_freq=settings.line_freq)
    if unit.is_epochs:  # which are windows already
        options.update(window=None, overlap=0.0)
    return options


def _mark_found(inst, settings, facts):
    """Mark what is found to be bad, if it is to be looked for."""
    if not settings.find_bads:
        return inst
    from ..detection import find_bads

    found = find_bads(inst, line_freq=settings.line_freq)
    facts["found"] = dict(channels=found.reasons, n_spans=len(found.spans))
    return found.mark(inst, copy=False)
