# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Learning curves."""

from ..training.logs import read_log

__all__ = ["plot_curves"]

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_TRAIN, _VALIDATION, _SUBJECT = "#0072B2", "#D55E00", "#BBBBBB"
_SMOOTH = 50  # the smoothed line averages over this part of the run


def plot_curves(log, *, show=True):
    """Plot the learning curves of a run.

    Parameters
    ----------
    log : path-like | pandas.DataFrame
        Folder of the run, or what `mne_gram.training.logs.read_log` made of it.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        One axis a quantity: the training values as they are and smoothed, the validation values
        of all data, and a thin line a subject. Where the validation was logged by subject only,
        its line is the mean over subjects.
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    frame = log if isinstance(log, pd.DataFrame) else read_log(log)
    names = list(frame["name"].unique())
    n_columns = min(3, max(1, len(names)))
    n_rows = max(1, -(-len(names) // n_columns))
    fig, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(3.6 * n_columns, 0.6 + 2.4 * n_rows),
        squeeze=False,
        layout="constrained",
    )
    for axis, name in zip(axes.flat, names, strict=False):
        _plot_quantity(axis, frame[frame["name"] == name])
        axis.set(title=name, xlabel="Step")
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    if names:
        # An axis need not show every kind of line, but the legend does.
        handles = {}
        for axis in axes.flat[: len(names)]:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        fig.legend(handles.values(), handles, loc="outside upper center", ncols=3, fontsize=8)
    else:
        axes[0, 0].text(0.5, 0.5, "Nothing was logged", ha="center")
    if show:
        plt.show()
    return fig


def _plot_quantity(axis, rows):
    """Plot one quantity: training, validation, and the subjects of the validation."""
    train = rows[(rows["split"] == "train") & (rows["subject"] == "")]
    if len(train):
        mean = train.groupby("step")["value"].mean()
        axis.plot(mean.index, mean, color=_TRAIN, lw=0.5, alpha=0.3)
        window = max(1, len(mean) // _SMOOTH)
        smooth = mean.rolling(window, center=True, min_periods=1).mean()
        axis.plot(smooth.index, smooth, color=_TRAIN, lw=1.2, label="train")
    validation = rows[rows["split"] == "validation"]
    subjects = validation[validation["subject"] != ""]
    for k, (_, values) in enumerate(subjects.groupby("subject")):
        label = "subjects" if k == 0 else None
        axis.plot(values["step"], values["value"], color=_SUBJECT, lw=0.5, zorder=0, label=label)
    whole = validation[validation["subject"] == ""]
    mean = (whole if len(whole) else subjects).groupby("step")["value"].mean()
    if len(mean):
        axis.plot(mean.index, mean, "o-", color=_VALIDATION, lw=1.2, ms=2.5, label="validation")
