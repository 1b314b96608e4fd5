# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a comparison: confusion matrices, and balanced accuracy with its intervals."""

import numpy as np

from ._methods import BASELINES
from ._scores import count_confusions, pool_folds
from ._tables import CHANCE

# Okabe and Ito's palette, which colour-blind readers can distinguish.
_OWN, _CLASSICAL, _CHANCE = "#D55E00", "#0072B2", "#BBBBBB"


def plot_confusions(task, results):
    """Return a figure with one confusion matrix per method.

    Rows are the true classes; shares of these over all seeds, and below the number of windows,
    the mean over seeds.
    """
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(result.method for result in results))
    n_classes = len(task.labels)
    side = 1.4 + 0.5 * n_classes
    fig = Figure(figsize=(side * len(methods), side + 0.4), layout="constrained")
    axes = fig.subplots(1, len(methods), squeeze=False)[0]
    for axis, method in zip(axes, methods, strict=True):
        counts = _sum_confusions(task, [own for own in results if own.method == method])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for i, j in np.ndindex(shares.shape):
            color = "white" if shares[i, j] > 0.5 else "black"
            text = f"{shares[i, j]:.2f}\n{counts[i, j]:.0f}"
            axis.text(j, i, text, ha="center", va="center", color=color, fontsize=7)
        axis.set_xticks(range(n_classes), task.labels, rotation=30, ha="right")
        axis.set_yticks(range(n_classes), task.labels)
        axis.set(title=method, xlabel="Predicted")
    axes[0].set_ylabel("True")
    fig.suptitle(f"{task.name}, windows")
    return fig


def _sum_confusions(task, results):
    """Return the confusion matrix over subjects, mean over seeds."""
    seeds = {}
    for result in results:
        seeds.setdefault(result.seed, []).append(result)
    predictions = [pool_folds(task, own) for own in seeds.values()]
    subjects = np.unique(predictions[0].subjects)
    return count_confusions(predictions, subjects, len(task.labels)).sum(axis=0)


def plot_scores(summary):
    """Return a figure of the balanced accuracy of all methods, one axis per task and level.

    Points with 95 % intervals over subjects, filled for all subjects and open for groups; the grey
    band covers 95 % of chance.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys = list(dict.fromkeys((row["task"], row["level"]) for row in summary))
    methods = list(dict.fromkeys(r["method"] for r in summary if r["method"] != CHANCE))
    groups = [name for name in dict.fromkeys(row["subjects"] for row in summary) if name != "all"]
    n_columns = min(3, len(keys))
    n_rows = -(-len(keys) // n_columns)
    size = (3.6 * n_columns + 0.6, (0.9 + 0.32 * len(methods)) * n_rows + 0.7)
    fig = Figure(figsize=size, layout="constrained")
    axes = fig.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(keys) :]:
        axis.axis("off")
    for axis, key in zip(axes.flat, keys, strict=False):
        for row in (row for row in summary if (row["task"], row["level"]) == key):
            _plot_row(axis, row, methods)
        axis.set_yticks(range(len(methods)), methods)
        axis.set(title=f"{key[0]}, {key[1]}s", xlabel="Balanced accuracy")
    axes[0, 0].invert_yaxis()
    handles = [Line2D([], [], marker="o", color="k", mfc="k", label="all subjects")]
    if groups:
        handles.append(Line2D([], [], marker="o", color="k", mfc="w", label=", ".join(groups)))
    handles.append(Patch(color=_CHANCE, alpha=0.4, lw=0, label="95 % of chance"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return fig


def _plot_row(axis, row, methods):
    """Plot one row of the summary."""
    is_all = row["subjects"] == "all"
    if row["method"] == CHANCE:
        if is_all:
            axis.axvspan(row["low"], row["high"], color=_CHANCE, alpha=0.4, lw=0)
        return
    color = _CLASSICAL if row["method"] in BASELINES else _OWN
    place = methods.index(row["method"]) + (-0.12 if is_all else 0.12)
    axis.plot([row["low"], row["high"]], [place, place], color=color, lw=1.2)
    face = color if is_all else "white"
    axis.plot(row["balanced_accuracy"], place, "o", color=color, mfc=face, ms=5)
