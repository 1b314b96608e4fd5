# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The jobs ``embed`` and ``tokens``: one recording at once, or in steps that share a network."""

from dataclasses import dataclass

import numpy as np

from .. import __version__
from .._files import loaded, read_recording
from ..features import (
    Cuts,
    Embedding,
    Tokens,
    check_part,
    compute_embedding,
    compute_tokens,
    cut_recording,
    load_network,
)
from ..models import (
    choose_batch_size,
    encode_tokens,
    encode_windows,
    locate_model,
    read_config,
)
from ._restore import describe_input, find_prior, load_cached
from ._sidecars import name_source, write_files

_NETWORKS = dict(embed="gram", tokens="tokenizer")


@dataclass(frozen=True)
class WindowedRecording:
    """The windows of a recording, as the network gets them."""

    cuts: Cuts
    channels: np.ndarray  # montage indices
    batch_size: int


def encode_recording(recording, settings, folder):
    """Compute the embedding or tokens of a recording, and write them to a folder.

    Returns the paths, the main file last, and the facts.
    """
    inst = read_recording(recording)
    facts = describe_input(inst)
    model = load_cached(settings.model, settings.device)
    options = _choose_windows(recording, settings)
    options.update(device=settings.device, batch_size=settings.batch_size)
    with loaded(inst, folder):
        inst = _mark_found(recording, inst, settings, facts)
        if settings.job == "embed":
            made = compute_embedding(inst, model=model, pool=settings.pool, **options)
        else:
            made = compute_tokens(inst, model=model, **options)
    return write_features(recording, settings, folder, made, facts), facts


def read_windows(recording, settings, folder):
    """Read a recording and cut it into windows; no network is loaded.

    Returns the WindowedRecording, the fields of its Embedding or Tokens, and the facts. Samples of
    a large recording are kept in the folder while it is read.
    """
    network = _NETWORKS[settings.job]
    config = read_config(locate_model(settings.model))[network]
    check_part(config, network)
    inst = read_recording(recording)
    facts = describe_input(inst)
    options = dict(picks=None, on_bads="mask", on_missing="warn", preprocess=True)
    options.update(_choose_windows(recording, settings))
    with loaded(inst, folder):
        inst = _mark_found(recording, inst, settings, facts)
        cuts, channels, fields = cut_recording(inst, config["max_patches"], **options)
    size = settings.batch_size
    if size is None:
        size = choose_batch_size(len(channels), int(cuts.length.max()), config["max_patches"])
    return WindowedRecording(cuts, channels, size), fields, facts


def encode_batch(settings, x, channels, mask):
    """Return embeddings or tokens of windows, shape (n_windows, ...).

    ``x``, ``channels`` and ``mask`` are those of `encode_windows`.
    """
    model, _ = _load_network(settings)
    options = dict(mask=mask, batch_size=settings.batch_size, device=settings.device)
    if settings.job == "embed":
        return encode_windows(model, x, channels, pool=settings.pool, verbose="error", **options)
    return encode_tokens(model, x, channels, verbose="error", **options)


def make_features(settings, fields, encoded):
    """Return the Embedding or Tokens of a recording, from its fields and its Encoded windows."""
    model, origin = _load_network(settings)
    known = dict(data=encoded.data, good=encoded.good, **fields, **origin)
    if settings.job == "embed":
        return Embedding(pool=settings.pool, **known)
    return Tokens(n_classes=model.tokenizer.config.n_classes, **known)


def write_features(recording, settings, folder, made, facts):
    """Write an Embedding or Tokens with its sidecar, and add to the facts.

    Returns the paths, the main file last.
    """
    path = folder / settings.get_target(recording)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(path)
    facts.update(n_windows=len(made), good=float(np.mean(made.good)), shape=list(made.data.shape))
    kind = type(made).__name__
    sidecar = dict(
        Description=f"{kind} computed by the networks of Gram; see mne_gram.read_{kind.lower()}.",
        Sources=[name_source(recording)],
        Version=__version__,
        Parameters=settings.parameters,
        Weights=settings.weights,
        Shape=facts["shape"],
        Channels=made.ch_names,
        Bads=facts["bads"],
        Preprocessing="200 Hz, average reference, 0.1 to 75 Hz, notch at the power line.",
    )
    write_files({".json": sidecar}, path.with_suffix(""))
    return [path.with_suffix(".json"), path]


def _load_network(settings):
    """Return the model of a job, loaded once per process, and the fields of its origin."""
    model = load_cached(settings.model, settings.device)
    return load_network(model, _NETWORKS[settings.job], settings.device)


def _choose_windows(recording, settings):
    """Return how to cut a recording; epochs are windows already."""
    options = dict(window=settings.window, overlap=settings.overlap, line_freq=settings.line_freq)
    if recording.is_epochs:
        options.update(window=None, overlap=0.0)
    return options


def _mark_found(recording, inst, settings, facts):
    """Detect and mark bad channels and segments, if this is asked for."""
    if not settings.find_bads:
        return inst
    from ..detection import find_bads

    prior, facts["prior"] = find_prior(recording, settings)
    found = find_bads(inst, line_freq=settings.line_freq, prior=prior)
    facts["found"] = dict(channels=found.reasons, n_spans=len(found.spans))
    return found.mark(inst, copy=False)
