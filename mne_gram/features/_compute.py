# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings and tokens of recordings."""

import numpy as np
from mne.utils import ProgressBar, _check_option, _validate_type, verbose, warn

from .._docs import fill_doc
from ..models import POOLS, GramModel, encode_tokens, encode_windows, load_model
from ._cuts import cut_recording
from ._sets import Embedding, Tokens, describe_bad

_CHUNK = 32768  # patches that are cut at once, about 30 MB


@verbose
@fill_doc
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
    """Compute embeddings of a recording with the encoder of Gram.

    Parameters
    ----------
    %(inst)s
    %(model_or_loaded)s
        It needs stage 2.
    pool : "cls" | "mean" | "channels" | "times" | "patches"
        How a window is pooled: its CLS vector, the mean over its patches (seconds of channels),
        the mean over time of each channel, the mean over channels of each second, or one vector
        per patch.
    %(picks)s
    %(window)s
    %(overlap)s
    %(line_freq)s
    on_bads : "mask" | "ignore"
        What to do about ``info["bads"]`` and annotations that start with ``BAD``: hide these
        patches from the network and leave them out of means, or use them as if they were good.
    %(on_missing)s
    %(preprocess)s
    %(batch_size)s
    %(device)s
    %(verbose)s

    Returns
    -------
    embedding : Embedding
        The vectors with times, channel names and, for Epochs, events and metadata.

    Raises
    ------
    %(no_patch)s

    Notes
    -----
    A Raw is preprocessed as a whole and then cut into windows, separately for each segment between
    ``edge`` and ``BAD_ACQ_SKIP`` annotations. The last window of a segment may be shorter. Less
    than a second at its end, or at the end of each epoch, cannot be used; the log says how much.
    Windows longer than 16 s are split into parts as equal as possible, whose vectors are averaged.

    The network never reads bad channels and segments: they can only have an influence through
    filters and resampling, next to a bad segment. Large artefacts, whose filter ringing lasts for
    seconds, are better restored first (:func:`mne_gram.restore`). Windows without a good patch are
    NaN, with a warning.

    Epochs shorter than 33 s cannot be high-passed at 0.1 Hz: filter the Raw before epoching, or
    apply :func:`mne_gram.preprocess` to it and set ``preprocess=False``.
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
@fill_doc
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
    """Compute the token (base class) of every second of every channel with the tokenizer of Gram.

    Parameters
    ----------
    %(inst)s
    %(model_or_loaded)s
        It needs a tokenizer.
    %(picks)s
    %(window)s
    %(overlap)s
    %(line_freq)s
    on_bads : "mask" | "ignore"
        What to do about ``info["bads"]`` and annotations that start with ``BAD``: these patches
        get no token (-1) and do not influence others, or they are used as if they were good.
    %(on_missing)s
    %(preprocess)s
    %(batch_size)s
    %(device)s
    %(verbose)s

    Returns
    -------
    tokens : Tokens
        The tokens with times, channel names and, for Epochs, events and metadata.

    Raises
    ------
    %(no_patch)s

    Notes
    -----
    The token of a patch depends on the other patches of its window. The rest is as in
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
    """Return a model that has a network, and its name and checksum."""
    _validate_type(model, (GramModel, "path-like"), "model", "a name, a folder or a GramModel")
    name = str(model)
    if isinstance(model, GramModel):
        name = model.card.get("name")
    else:
        model = load_model(model, device=device)
    check_part(getattr(model, part), part)
    return model, dict(model=name, sha256=model.sha256)


def check_part(found, part):
    """Raise if a part of a model, or of its configuration, is missing."""
    if found is None:
        need = {"gram": "stage 2", "tokenizer": "the tokenizer (stage 1)"}[part]
        raise ValueError(
            f"The model does not contain {need}, which is needed here. Load one that does, such as "
            "'gram-tiny'."
        )


def _encode(cuts, encode, model, channels, options):
    """Encode windows in chunks; return the results and the share of good patches, (n_windows,)."""
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
