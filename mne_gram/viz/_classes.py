# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures of base classes and embeddings."""

import numpy as np
from mne.utils import _validate_type

from ..montage import INDEX
from ._style import (
    BLUE,
    GREY,
    PALETTE,
    SCALE,
    add_legend_beside,
    check_axis,
    list_axes,
    make_grid,
    open_frame,
    set_title,
)

_MARKERS = ("o", "^", "s", "v", "D", "P", "X")  # tell further kinds, beside the colour
_PATCH = 200
# What a class is decoded among: channels all over the head, some seconds, several draws.
_AROUND = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 C4 T8 P7 P3 PZ P4 P8 O1 O2".split()
_N_PATCHES, _N_DRAWS = 8, 4


def plot_base_classes(tokens, *, model=None, n_classes=20, ch_name="Cz", axes=None, show=True):
    """Plot what base classes look like.

    Parameters
    ----------
    tokens : Tokens | array-like of int
        What :func:`mne_gram.compute_tokens` returned, of which the most frequent classes are
        plotted; or the classes to plot.
    model : path-like | GramModel | None
        The model whose tokenizer decodes them. None takes the one that named ``tokens``, or
        ``"gram-tiny"``.
    n_classes : int
        At most this many classes.
    ch_name : str
        The channel, an entry of the montage, at which they are decoded.
    axes : array of matplotlib.axes.Axes | None
        An axis a class; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: the waveform of each class over one second. The decoder gives no amplitude, so
        they are brought to variance 1.

    Raises
    ------
    ValueError
        If there is no class to plot, the model is another one than that which named them, there
        are too few axes, or the channel is no entry of the montage.

    Notes
    -----
    The decoder normalises over all patches of a window, and makes nothing of a class that stands
    alone. So each is decoded among others, drawn at random from ``tokens`` (from all classes, if
    only some were named), on a window of the whole head, and averaged over a few such draws.
    """
    from mne.viz.utils import plt_show

    if ch_name.upper() not in INDEX:
        raise ValueError(
            f"{ch_name} is no entry of the montage; mne_gram.montage.CH_NAMES lists them."
        )
    classes, shares = _choose_classes(tokens, n_classes)
    if axes is not None:
        axes = list_axes(axes, len(classes), "class")
    waveforms = _decode(tokens, classes, model, INDEX[ch_name.upper()])
    if axes is None:
        axes = make_grid(len(classes), 5, (1.7, 1.2), "Time (s)", sharey=True)
    times = np.arange(_PATCH) / _PATCH
    for axis, number, share, waveform in zip(axes, classes, shares, waveforms, strict=False):
        axis.plot(times, waveform, color=BLUE, lw=0.9)
        text = f"{number}" if share is None else f"{number}: {share:.1%}"
        set_title(axis, text)
        axis.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"), yticks=())
        open_frame(axis)
    plt_show(show)
    return axes[0].figure


def _choose_classes(tokens, n_classes):
    """Return the classes to plot, and the share of each among the tokens or None."""
    if n_classes < 1:
        raise ValueError(f"n_classes must be at least 1, got {n_classes}.")
    if hasattr(tokens, "n_classes"):  # what compute_tokens returned
        named, counts = np.unique(tokens.data[tokens.data >= 0], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:n_classes]
        classes, shares = named[order], counts[order] / max(1, counts.sum())
    else:
        classes = np.asarray(tokens)
        if classes.ndim != 1 or (classes.size and classes.dtype.kind not in "iu"):
            raise ValueError(
                "tokens must be what compute_tokens returned or a list of base classes, got an "
                f"array of {classes.dtype} {classes.shape}."
            )
        classes = classes[:n_classes]
        shares = [None] * len(classes)
    if not len(classes):
        raise ValueError("tokens holds no base class: all patches were bad, or there are none.")
    return classes, shares


def _decode(tokens, classes, model, channel):
    """Return the waveform of each class, decoded among others and brought to variance 1."""
    import torch

    from ..models import GramModel, load_model

    if model is None:
        model = getattr(tokens, "model", None) or "gram-tiny"
    model = model if isinstance(model, GramModel) else load_model(model)
    if model.tokenizer is None:
        raise ValueError("The model has no tokenizer to decode base classes with.")
    named_by = getattr(tokens, "sha256", None)
    if named_by is not None and named_by != model.sha256:
        raise ValueError(
            f"The base classes were named by other weights (sha256 {named_by[:12]}...) than those "
            f"of the model ({str(model.sha256)[:12]}...): their numbers mean nothing to it. Give "
            "the model that named them."
        )
    others = np.arange(model.tokenizer.config.n_classes)
    if hasattr(tokens, "n_classes"):
        others = tokens.data[tokens.data >= 0]
    channels = [channel, *(INDEX[name] for name in _AROUND if INDEX[name] != channel)]
    shape = (len(classes), _N_DRAWS, len(channels), _N_PATCHES)
    windows, middle = np.random.default_rng(0).choice(others, shape), _N_PATCHES // 2
    windows[:, :, 0, middle] = np.asarray(classes)[:, None]
    waveforms = np.empty((*shape[:2], _PATCH))
    with torch.inference_mode():
        for window, waveform in zip(windows, waveforms, strict=True):
            decoded = model.tokenizer.decode(torch.from_numpy(window), channels)
            waveform[:] = decoded[:, 0, middle].cpu().numpy()
    return _standardize(_standardize(waveforms).mean(axis=1))


def _standardize(waveforms):
    """Bring waveforms to mean 0 and variance 1."""
    waveforms = waveforms - waveforms.mean(axis=-1, keepdims=True)
    return waveforms / np.maximum(waveforms.std(axis=-1, keepdims=True), 1e-12)


def plot_codebook_usage(tokens, *, axes=None, show=True):
    """Plot how often each base class occurs.

    Parameters
    ----------
    tokens : Tokens
        What :func:`mne_gram.compute_tokens` returned.
    axes : matplotlib.axes.Axes | None
        Where to plot; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: the share of patches of each class that occurs, the most frequent first, on
        logarithmic axes. The title tells how many occur, and the perplexity: how many equally
        frequent classes would be as diverse.

    Raises
    ------
    ValueError
        If all patches were bad.
    """
    import matplotlib.pyplot as plt
    from mne.viz.utils import plt_show

    check_axis(axes)
    _check_made_by(tokens, "n_classes", "tokens", "compute_tokens")
    counts = np.unique(tokens.data[tokens.data >= 0], return_counts=True)[1]
    if not len(counts):
        raise ValueError("tokens holds no base class: all patches were bad, or there are none.")
    shares = np.sort(counts)[::-1] / counts.sum()
    perplexity = np.exp(-(shares * np.log(shares)).sum())
    if axes is None:
        _, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    ranks = np.arange(1, len(shares) + 1)
    axes.loglog(ranks, shares, ".-", color=BLUE, lw=1, ms=4, label="classes")
    even = 1 / tokens.n_classes
    label = f"all {tokens.n_classes} alike"
    axes.axhline(even, color=GREY, ls="--", lw=1, label=label)
    title = f"{len(shares)} of {tokens.n_classes} classes occur, perplexity {perplexity:.0f}"
    axes.set(xlabel="Rank", ylabel="Share of patches")
    set_title(axes, title)
    open_frame(axes)
    axes.legend(fontsize=8)
    plt_show(show)
    return axes.figure


def plot_embedding(embedding, *, color=None, axes=None, show=True):
    """Plot the two directions in which vectors vary most.

    Parameters
    ----------
    embedding : Embedding
        What :func:`mne_gram.compute_embedding` returned.
    color : str | None
        The column of ``embedding.to_data_frame()`` that tells the colour: ``"event"``,
        ``"onset"``, ``"channel"``, or one of the metadata. None takes the event where there are
        several kinds, else the onset.
    axes : matplotlib.axes.Axes | None
        Where to plot; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: a dot a vector, at its first two principal components. Vectors that are NaN
        are left out.

    Raises
    ------
    ValueError
        If there are fewer than three vectors, or no such column.

    Notes
    -----
    That kinds lie apart here, or do not, is no measure of how well they can be told apart: the
    two directions are those of most variance, whatever it comes from.
    """
    import matplotlib.pyplot as plt
    from mne.viz.utils import plt_show

    check_axis(axes)
    _check_made_by(embedding, "pool", "embedding", "compute_embedding")
    _validate_type(color, (str, None), "color")
    frame = embedding.to_data_frame()
    dim = embedding.data.shape[-1]
    vectors, frame = frame.iloc[:, -dim:].to_numpy(float), frame.iloc[:, :-dim]
    there = np.isfinite(vectors).all(axis=1)
    vectors, frame = vectors[there], frame[there]
    if len(vectors) < 3:
        raise ValueError(f"Found {len(vectors)} vectors that are not NaN, expected at least 3.")
    if color is None:
        color = "event" if "event" in frame and frame["event"].nunique() > 1 else "onset"
    if color not in frame:
        raise ValueError(f"There is no column {color!r}, only {', '.join(map(str, frame))}.")
    places, shares = _project(vectors)
    if axes is None:
        _, axes = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
    _scatter(axes, places, frame[color], color)
    open_frame(axes)
    for axis, number, share in zip((axes.xaxis, axes.yaxis), (1, 2), shares, strict=True):
        axis.set_label_text(f"Principal component {number} ({share:.0%} of variance)")
    plt_show(show)
    return axes.figure


def _project(vectors):
    """Return the first two principal components, and their shares of the variance."""
    centered = vectors - vectors.mean(axis=0)
    _, values, directions = np.linalg.svd(centered, full_matrices=False)
    # A direction has no sign of its own; the same data shall always give the same figure.
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]
    return centered @ directions[:2].T, values[:2] ** 2 / max((values**2).sum(), 1e-300)


def _scatter(axes, places, values, name):
    """Draw dots, coloured along a scale of numbers or by kind."""
    if values.dtype.kind in "fiu":
        drawn = axes.scatter(*places.T, c=values.to_numpy(), s=14, cmap=SCALE)
        axes.figure.colorbar(drawn, ax=axes, label="Onset (s)" if name == "onset" else name)
        return
    kinds = values.astype(str)
    for k, kind in enumerate(sorted(kinds.unique())):
        color = PALETTE[k % len(PALETTE)]
        marker = _MARKERS[(k + k // len(PALETTE)) % len(_MARKERS)]
        rows = (kinds == kind).to_numpy()
        axes.scatter(*places[rows].T, s=16, color=color, marker=marker, label=kind, alpha=0.8)
    add_legend_beside(axes, title=name, fontsize=8, ncols=1 + kinds.nunique() // 20)


def _check_made_by(found, attribute, name, function):
    """Raise unless an argument has an attribute of what a function returns."""
    if not hasattr(found, attribute):
        raise TypeError(
            f"{name} must be what {function} returned, got an instance of {type(found).__name__}."
        )
