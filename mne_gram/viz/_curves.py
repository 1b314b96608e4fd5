# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Learning curves."""

from mne.utils import _validate_type

from .._files import LOG_COLUMNS, read_log
from ._style import BLUE, LIGHT, VERMILION, add_legend, list_axes, make_grid, open_frame, set_title

_SMOOTH = 25  # the smoothed line averages over 1/25 of the run


def plot_learning_curve(log, *, names=None, axes=None, show=True):
    """Plot the logged quantities of a training run over its steps.

    Parameters
    ----------
    log : path-like | pandas.DataFrame
        The folder of the run, its ``log.csv``, or the table that it contains, with columns
        ``step``, ``split``, ``subject``, ``name`` and ``value``.
    names : str | list of str | None
        The quantities to plot, such as ``["loss", "accuracy"]``; None plots all, in the order of
        the log.
    axes : matplotlib.axes.Axes | array of matplotlib.axes.Axes | None
        One per quantity; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Blue is training, pale for single steps and strong when smoothed. Vermilion is
        the mean over held-out subjects, and grey are single subjects.

    Raises
    ------
    FileNotFoundError
        If there is no log.
    ValueError
        If the file or table is not a log, a quantity was not logged, or there are too few axes.
    """
    from mne.viz.utils import plt_show

    frame = _read(log)
    names = _choose_names(frame, names)
    if axes is None:
        axes = make_grid(max(1, len(names)), 3, (3.4, 2.1), "Step")
    else:
        axes = list_axes(axes, len(names), "quantity")
        for axis in axes[: len(names)]:
            axis.set_xlabel("Step")
    for axis, name in zip(axes, names, strict=False):
        _plot_quantity(axis, frame[frame["name"] == name])
        set_title(axis, name.replace("_", " "), loc="center")
        open_frame(axis)
    if names:
        add_legend(axes[: len(names)])
    else:
        axes[0].text(0.5, 0.5, "Nothing was logged", ha="center", transform=axes[0].transAxes)
        axes[0].axis("off")
    plt_show(show)
    return axes[0].figure


def _read(log):
    """Return the table of a run."""
    import pandas as pd

    _validate_type(log, ("path-like", pd.DataFrame), "log")
    if not isinstance(log, pd.DataFrame):
        return read_log(log)
    missing = [name for name in LOG_COLUMNS if name not in log]
    if missing:
        raise ValueError(
            f"Found the columns {', '.join(map(str, log.columns)) or 'none'}, expected those of a "
            f"log: {', '.join(missing)} are missing. Pass the folder of the run."
        )
    if not all(pd.api.types.is_numeric_dtype(log[name]) for name in ("step", "value")):
        raise ValueError(
            f"The columns step and value must be numbers, got {log['step'].dtype} and "
            f"{log['value'].dtype}."
        )
    # Tables read by pandas itself have NaN for an empty subject.
    return log.assign(subject=log["subject"].astype(object).fillna(""))


def _choose_names(frame, names):
    """Return the names of the quantities to plot."""
    _validate_type(names, (str, list, tuple, None), "names")
    logged = frame["name"].unique().tolist()
    if names is None:
        return logged
    names = [names] if isinstance(names, str) else list(names)
    unknown = [str(name) for name in names if name not in logged]
    if unknown or not names:
        raise ValueError(
            f"Found names that were not logged: {', '.join(unknown) or 'none given'}. Expected "
            f"some of {', '.join(logged) or 'none, as the log is empty'}."
        )
    return names


def _plot_quantity(axis, rows):
    """Plot training and validation values of one quantity, and those of single subjects."""
    train = rows[(rows["split"] == "train") & (rows["subject"] == "")]
    if len(train):
        mean = train.groupby("step")["value"].mean()
        axis.plot(mean.index, mean, color=BLUE, lw=0.5, alpha=0.35)
        window = max(1, len(mean) // _SMOOTH)
        smooth = mean.rolling(window, center=True, min_periods=1).mean()
        options = dict(color=BLUE, lw=1.2, label="train")
        axis.plot(smooth.index, smooth, marker=_mark(smooth), **options)
    validation = rows[rows["split"] == "validation"]
    subjects = validation[validation["subject"] != ""]
    for k, (_, values) in enumerate(subjects.groupby("subject")):
        label = "subjects" if k == 0 else None
        options = dict(color=LIGHT, lw=0.8, zorder=0, label=label)
        axis.plot(values["step"], values["value"], marker=_mark(values), **options)
    whole = validation[validation["subject"] == ""]
    mean = (whole if len(whole) else subjects).groupby("step")["value"].mean()
    if len(mean):
        axis.plot(mean.index, mean, "o-", color=VERMILION, lw=1.2, ms=2.5, label="validation")


def _mark(values):
    """Return a marker for a line of a single value, which would be invisible, else None."""
    return "." if len(values) == 1 else None
