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
    list_axes,
    make_grid,
    open_axes,
    open_frame,
    set_title,
)

_MARKERS = ("o", "^", "s", "v", "D", "P", "X")  # distinguish more categories than there are colours
_PATCH = 200
# Classes are decoded within windows of these channels, patches and random draws.
_AROUND = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 C4 T8 P7 P3 PZ P4 P8 O1 O2".split()
_N_PATCHES, _N_DRAWS = 8, 4


def plot_base_classes(tokens, *, model=None, n_classes=20, ch_name="Cz", axes=None, show=True):
    """Plot the waveforms of base classes.

    Parameters
    ----------
    tokens : Tokens | array-like of int
        The tokens returned by :func:`mne_gram.compute_tokens`, whose most frequent classes are
        plotted, or a list of classes to plot.
    model : path-like | GramModel | None
        The model whose tokenizer decodes them. None takes the one that computed ``tokens``, or
        ``"gram-tiny"`` for a list of classes.
    n_classes : int
        The maximum number of classes.
    ch_name : str
        The channel, an entry of the montage, for which they are decoded.
    axes : array of matplotlib.axes.Axes | None
        One per class; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure, with the waveform of each class over one second, scaled to variance 1 as the
        decoder returns no amplitude.

    Raises
    ------
    ValueError
        If there is no class to plot, ``tokens`` were computed by another model, there are too few
        axes, or the channel is not in the montage.

    Notes
    -----
    The decoder normalises over all patches of a window, so a class cannot be decoded alone. Each is
    decoded in windows of the whole head whose other patches are drawn at random from ``tokens``, or
    from all classes if a list was given, and averaged over several draws.
    """
    from mne.viz.utils import plt_show

    if ch_name.upper() not in INDEX:
        raise ValueError(
            f"ch_name must be one of mne_gram.montage.CH_NAMES, got {ch_name!r} instead."
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
    """Return the classes to plot, and for each its share among the tokens or None."""
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
                "tokens must be returned by compute_tokens or a list of base classes, got an array "
                f"of {classes.dtype} and shape {classes.shape}."
            )
        classes = classes[:n_classes]
        shares = [None] * len(classes)
    if not len(classes):
        raise ValueError("tokens contains no base class: all patches are bad, or there are none.")
    return classes, shares


def _decode(tokens, classes, model, channel):
    """Return the waveform of each class, scaled to variance 1, shape (n_classes, 200)."""
    from ..models import GramModel, decode_tokens, load_model

    if model is None:
        model = getattr(tokens, "model", None) or "gram-tiny"
    model = model if isinstance(model, GramModel) else load_model(model)
    if model.tokenizer is None:
        raise ValueError("Found a model without a tokenizer, which decodes base classes.")
    sha256 = getattr(tokens, "sha256", None)
    if sha256 is not None and sha256 != model.sha256:
        raise ValueError(
            f"The tokens were computed with other weights (sha256 {sha256[:12]}...) than the model "
            f"has ({str(model.sha256)[:12]}...), so their classes differ. Pass the model that "
            "computed them."
        )
    others = np.arange(model.tokenizer.config.n_classes)
    if hasattr(tokens, "n_classes"):
        others = tokens.data[tokens.data >= 0]
    channels = [channel, *(INDEX[name] for name in _AROUND if INDEX[name] != channel)]
    shape = (len(classes), _N_DRAWS, len(channels), _N_PATCHES)
    windows, middle = np.random.default_rng(0).choice(others, shape), _N_PATCHES // 2
    windows[:, :, 0, middle] = np.asarray(classes)[:, None]
    waveforms = np.empty((*shape[:2], _PATCH))
    for window, waveform in zip(windows, waveforms, strict=True):
        waveform[:] = decode_tokens(model, window, channels)[:, 0, middle]
    return _standardize(_standardize(waveforms).mean(axis=1))


def _standardize(waveforms):
    """Scale waveforms to mean 0 and variance 1 over the last axis."""
    waveforms = waveforms - waveforms.mean(axis=-1, keepdims=True)
    return waveforms / np.maximum(waveforms.std(axis=-1, keepdims=True), 1e-12)


def plot_codebook_usage(tokens, *, axes=None, show=True):
    """Plot how often each base class occurs.

    Parameters
    ----------
    tokens : Tokens
        The tokens returned by :func:`mne_gram.compute_tokens`.
    axes : matplotlib.axes.Axes | None
        The axes to plot in; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure, with the share of patches of each class that occurs, sorted, on logarithmic
        axes. The title gives the number of classes that occur, and the perplexity: the number of
        equally frequent classes that would be as diverse.

    Raises
    ------
    ValueError
        If all patches are bad.
    """
    from mne.viz.utils import plt_show

    _check_made_by(tokens, "n_classes", "tokens", "compute_tokens")
    counts = np.unique(tokens.data[tokens.data >= 0], return_counts=True)[1]
    if not len(counts):
        raise ValueError("tokens contains no base class: all patches are bad, or there are none.")
    shares = np.sort(counts)[::-1] / counts.sum()
    perplexity = np.exp(-(shares * np.log(shares)).sum())
    axes = open_axes(axes, (5, 3.5))
    ranks = np.arange(1, len(shares) + 1)
    axes.loglog(ranks, shares, ".-", color=BLUE, lw=1, ms=4, label="classes")
    even = 1 / tokens.n_classes
    label = f"all {tokens.n_classes} equally often"
    axes.axhline(even, color=GREY, ls="--", lw=1, label=label)
    title = f"{len(shares)} of {tokens.n_classes} classes occur, perplexity {perplexity:.0f}"
    axes.set(xlabel="Rank", ylabel="Share of patches")
    set_title(axes, title)
    open_frame(axes)
    axes.legend(fontsize=8)
    plt_show(show)
    return axes.figure


def plot_embedding(embedding, *, color=None, axes=None, show=True):
    """Plot embedding vectors along their first two principal components.

    Parameters
    ----------
    embedding : Embedding
        The embedding returned by :func:`mne_gram.compute_embedding`.
    color : str | None
        The column of ``embedding.to_data_frame()`` that sets the colour: ``"event"``, ``"onset"``,
        ``"channel"``, or a metadata column. None takes the event if there are several kinds, and
        the onset otherwise.
    axes : matplotlib.axes.Axes | None
        The axes to plot in; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure, with one dot per vector. Vectors with NaN are left out.

    Raises
    ------
    ValueError
        If there are fewer than three vectors, or no such column.

    Notes
    -----
    Do not judge from this figure how well categories can be classified: the components are the
    directions of largest variance, whatever its source.
    """
    from mne.viz.utils import plt_show

    _check_made_by(embedding, "pool", "embedding", "compute_embedding")
    _validate_type(color, (str, None), "color")
    frame = embedding.to_data_frame()
    dim = embedding.data.shape[-1]
    vectors, frame = frame.iloc[:, -dim:].to_numpy(float), frame.iloc[:, :-dim]
    there = np.isfinite(vectors).all(axis=1)
    vectors, frame = vectors[there], frame[there]
    if len(vectors) < 3:
        raise ValueError(f"Found {len(vectors)} vectors without NaN, expected at least 3.")
    if color is None:
        color = "event" if "event" in frame and frame["event"].nunique() > 1 else "onset"
    if color not in frame:
        raise ValueError(
            f"color must be one of {', '.join(map(str, frame))}, got {color!r} instead."
        )
    places, shares = _project(vectors)
    axes = open_axes(axes, (5.5, 4.5))
    _scatter(axes, places, frame[color], color)
    open_frame(axes)
    for axis, number, share in zip((axes.xaxis, axes.yaxis), (1, 2), shares, strict=True):
        axis.set_label_text(f"Principal component {number} ({share:.0%} of variance)")
    plt_show(show)
    return axes.figure


def _project(vectors):
    """Return the first two principal components (n_vectors, 2) and their variance ratios."""
    centered = vectors - vectors.mean(axis=0)
    _, values, directions = np.linalg.svd(centered, full_matrices=False)
    # The sign of a component is arbitrary: fix it, so that figures are reproducible.
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]
    return centered @ directions[:2].T, values[:2] ** 2 / max((values**2).sum(), 1e-300)


def _scatter(axes, places, values, name):
    """Plot dots, coloured by value if numeric and by category otherwise."""
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
    """Raise an error if an argument lacks an attribute of what a function returns."""
    if not hasattr(found, attribute):
        raise TypeError(
            f"{name} must be returned by {function}, got an instance of {type(found).__name__}."
        )
