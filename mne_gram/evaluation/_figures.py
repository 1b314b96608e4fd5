# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a comparison: confusion matrices, and balanced accuracy with its intervals."""

import numpy as np

from ._scores import count_confusions, pool_folds

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_OWN, _CLASSICAL, _CHANCE = "#D55E00", "#0072B2", "#BBBBBB"


def plot_confusions(task, results):
    """Plot a confusion matrix a method.

    Parameters
    ----------
    task : Task
        The task.
    results : list of Result
        All results.

    Returns
    -------
    fig : matplotlib.figure.Figure
        Rows are the true classes; shares of these, over all seeds, with the number of windows
        (mean over seeds) below.
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
    """Return the confusion matrix over people, mean over seeds."""
    seeds = {}
    for result in results:
        seeds.setdefault(result.seed, []).append(result)
    answers = [pool_folds(task, own) for own in seeds.values()]
    people = np.unique(answers[0].subjects)
    return count_confusions(answers, people, len(task.labels)).sum(axis=0)


def plot_scores(summary):
    """Plot the balanced accuracy of all methods.

    Parameters
    ----------
    summary : list of dict
        What :func:`mne_gram.evaluation._tables.summarize` returns, of one task or several.

    Returns
    -------
    fig : matplotlib.figure.Figure
        An axis a task and level: points with 95 % intervals over people, filled for all people,
        open for those that the model never met; the grey band holds 95 % of chance.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from ._methods import BASELINES
    from ._tables import CHANCE

    keys = list(dict.fromkeys((row["task"], row["level"]) for row in summary))
    methods = list(dict.fromkeys(r["method"] for r in summary if r["method"] != CHANCE))
    n_columns = min(3, len(keys))
    n_rows = -(-len(keys) // n_columns)
    size = (3.6 * n_columns + 0.6, (0.9 + 0.32 * len(methods)) * n_rows + 0.7)
    fig = Figure(figsize=size, layout="constrained")
    axes = fig.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(keys) :]:
        axis.axis("off")
    for axis, key in zip(axes.flat, keys, strict=False):
        for row in (row for row in summary if (row["task"], row["level"]) == key):
            if row["method"] == CHANCE:
                if row["people"] == "all":
                    axis.axvspan(row["low"], row["high"], color=_CHANCE, alpha=0.4, lw=0)
                continue
            color = _CLASSICAL if row["method"] in BASELINES else _OWN
            is_all = row["people"] == "all"
            place = methods.index(row["method"]) + (-0.12 if is_all else 0.12)
            axis.plot([row["low"], row["high"]], [place, place], color=color, lw=1.2)
            face = color if is_all else "white"
            axis.plot(row["balanced_accuracy"], place, "o", color=color, mfc=face, ms=5)
        axis.set_yticks(range(len(methods)), methods)
        axis.set(title=f"{key[0]}, {key[1]}s", xlabel="Balanced accuracy")
    axes[0, 0].invert_yaxis()
    handles = [Line2D([], [], marker="o", color="k", mfc="k", label="all people")]
    if any(row["people"] == "unmet" for row in summary):
        text = "people the model never met"
        handles.append(Line2D([], [], marker="o", color="k", mfc="w", label=text))
    handles.append(Patch(color=_CHANCE, alpha=0.4, lw=0, label="95 % of chance"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return fig
