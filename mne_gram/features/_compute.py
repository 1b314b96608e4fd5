# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings and base classes of recordings."""

import numpy as np
from mne.utils import ProgressBar, _check_option, _validate_type, verbose, warn

from ..models import GramModel
from ._cuts import cut_recording
from ._encoding import POOLS, describe_bad, encode_tokens, encode_windows
from ._sets import Embedding, Tokens, read_embedding, read_tokens

__all__ = [
    "Embedding",
    "Tokens",
    "compute_embedding",
    "compute_tokens",
    "read_embedding",
    "read_tokens",
]

_CHUNK = 32768  # patches that are cut at a time, about 30 MB


@verbose
def compute_embedding(
    inst,
    *,
    model="gram-tiny",
    pool="cls",
    picks=None,
    window=None,
    overlap=0.0,
    line_freq=None,
    on_bads="mask",
    on_missing="warn",
    preprocess=True,
    batch_size=None,
    device=None,
    verbose=None,
):
    """Turn a recording into vectors with the encoder of Gram.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The recording, in volts. It is left as it is.
    model : path-like | GramModel
        A name that :func:`mne_gram.list_models` lists, a folder, or a model that is loaded. It
        needs stage 2.
    pool : ``"cls"`` | ``"mean"`` | ``"channels"`` | ``"times"`` | ``"patches"``
        What becomes of a window: its CLS vector, the mean over its patches (seconds of
        channels), the mean over time of each channel, the mean over channels of each second, or
        one vector a patch.
    picks : str | array-like | slice | None
        EEG channels to embed; None takes all. The average reference is of all in any case.
    window : float | None
        For a Raw, the length of windows in whole seconds; None takes what the network takes at
        once (16 s). Epochs are windows already.
    overlap : float
        For a Raw, by how many seconds windows overlap.
    line_freq : float | False | None
        As in :func:`mne_gram.preprocess`.
    on_bads : ``"mask"`` | ``"ignore"``
        What to do about ``info["bads"]`` and annotations that start with ``BAD``: hide these
        patches from the network and leave them out of means, or use them as if they were good.
    on_missing : ``"raise"`` | ``"warn"`` | ``"ignore"``
        What to do about channels that take no entry of the montage. They are left out.
    preprocess : bool
        Whether to pass the recording through :func:`mne_gram.preprocess`. With False it has to
        be at 200 Hz already.
    batch_size : int | None
        Windows that the network gets at once. None chooses by their size.
    device : str | torch.device | None
        Where to compute. None computes where the model is.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    embedding : Embedding
        The vectors with times, channel names, and what belongs to Epochs.

    Raises
    ------
    ValueError
        If no patch (one second) fits into an epoch or a stretch of the Raw, no channel takes an
        entry of the montage, or the recording cannot be preprocessed.

    Notes
    -----
    A Raw is preprocessed as a whole and then cut, stretch by stretch between ``edge`` and
    ``BAD_ACQ_SKIP`` annotations. The last window of a stretch may be shorter. Less than a second
    at its end, or at the end of each epoch, cannot be used; the log says how much. Windows
    longer than 16 s are cut into parts as equal as possible, whose vectors are averaged.

    The network never reads what is bad: only what filters and resampling carry into the
    neighbourhood of a bad stretch can have an influence. Large artefacts, which ring for
    seconds, are better repaired first (:func:`mne_gram.restore`). Windows in which nothing is
    good are NaN, with a warning.

    Epochs shorter than 33 s cannot be high-passed at 0.1 Hz: filter the Raw before you cut it,
    or pass it through :func:`mne_gram.preprocess`, and give ``preprocess=False``.
    """
    _check_option("pool", pool, POOLS)
    model, known = load_network(model, "gram", device)
    cuts, channels, fields = cut_recording(
        *(inst, model.gram.config.max_patches),
        **dict(picks=picks, window=window, overlap=overlap, line_freq=line_freq),
        **dict(on_bads=on_bads, on_missing=on_missing, preprocess=preprocess),
    )

    options = dict(pool=pool, batch_size=batch_size, device=device, verbose="error")
    data, good = _encode(cuts, encode_windows, model, channels, options)
    return Embedding(data=data, good=good, pool=pool, **fields, **known)


@verbose
def compute_tokens(
    inst,
    *,
    model="gram-tiny",
    picks=None,
    window=None,
    overlap=0.0,
    line_freq=None,
    on_bads="mask",
    on_missing="warn",
    preprocess=True,
    batch_size=None,
    device=None,
    verbose=None,
):
    """Name the base class of every second of every channel with the tokenizer of Gram.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The recording, in volts. It is left as it is.
    model : path-like | GramModel
        A name that :func:`mne_gram.list_models` lists, a folder, or a model that is loaded. It
        needs a tokenizer.
    picks : str | array-like | slice | None
        EEG channels to use; None takes all. The average reference is of all in any case.
    window : float | None
        For a Raw, the length of windows in whole seconds; None takes what the network takes at
        once (16 s). Epochs are windows already.
    overlap : float
        For a Raw, by how many seconds windows overlap.
    line_freq : float | False | None
        As in :func:`mne_gram.preprocess`.
    on_bads : ``"mask"`` | ``"ignore"``
        What to do about ``info["bads"]`` and annotations that start with ``BAD``: these patches
        get no class (-1) and have no part in those of others, or they are used as if good.
    on_missing : ``"raise"`` | ``"warn"`` | ``"ignore"``
        What to do about channels that take no entry of the montage. They are left out.
    preprocess : bool
        Whether to pass the recording through :func:`mne_gram.preprocess`. With False it has to
        be at 200 Hz already.
    batch_size : int | None
        Windows that the network gets at once. None chooses by their size.
    device : str | torch.device | None
        Where to compute. None computes where the model is.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    tokens : Tokens
        The base classes with times, channel names, and what belongs to Epochs.

    Raises
    ------
    ValueError
        If no patch (one second) fits into an epoch or a stretch of the Raw, no channel takes an
        entry of the montage, or the recording cannot be preprocessed.

    Notes
    -----
    The class of a patch depends on the other patches of its window. All else is as in
    :func:`mne_gram.compute_embedding`.
    """
    model, known = load_network(model, "tokenizer", device)
    cuts, channels, fields = cut_recording(
        *(inst, model.tokenizer.config.max_patches),
        **dict(picks=picks, window=window, overlap=overlap, line_freq=line_freq),
        **dict(on_bads=on_bads, on_missing=on_missing, preprocess=preprocess),
    )

    options = dict(batch_size=batch_size, device=device, verbose="error")
    data, good = _encode(cuts, encode_tokens, model, channels, options)
    n_classes = model.tokenizer.config.n_classes
    return Tokens(data=data, good=good, n_classes=n_classes, **fields, **known)


def load_network(model, part, device):
    """Return a model that has a network, and what is to be kept of where it comes from."""
    from ..models import load_model

    _validate_type(model, (GramModel, "path-like"), "model", "a name, a folder or a GramModel")
    name = str(model)
    if isinstance(model, GramModel):
        name = model.card.get("name")
    else:
        model = load_model(model, device=device)
    check_part(getattr(model, part), part)
    return model, dict(model=name, sha256=model.sha256)


def check_part(found, part):
    """Raise if a model, or its configuration, lacks a part."""
    if found is None:
        need = {"gram": "stage 2", "tokenizer": "the tokenizer (stage 1)"}[part]
        raise ValueError(
            f"The model has no part that is {need}, which is needed here. Load one that has it, "
            "such as 'gram-tiny'."
        )


def _encode(cuts, encode, model, channels, options):
    """Encode all windows, some at a time; return the results and how much of each is good."""
    n_patches = int(cuts.length.max())
    step = max(1, _CHUNK // (len(channels) * n_patches))
    step = max(step, options["batch_size"] or 0)
    starts = range(0, len(cuts), step)
    data, good = None, np.zeros(len(cuts))
    for start in ProgressBar(starts, mesg="Encoding windows"):
        rows = slice(start, start + step)
        part = cuts.select(rows)
        x, mask = part.cut(n_patches)
        values = encode(model, x, channels, mask=mask, **options)
        if data is None:
            data = np.empty((len(cuts), *values.shape[1:]), values.dtype)
        data[rows] = values
        good[rows] = part.get_good(mask)
    if not good.all():
        warn(describe_bad(data, good))
    return data, good
