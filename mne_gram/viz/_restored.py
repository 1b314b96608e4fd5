# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restored signals, the errors of the experts, and the restored channels on the head."""

import mne
import numpy as np

from ..montage import find_placed
from ._style import (
    BLACK,
    BLUE,
    LIGHT,
    SCALE,
    VERMILION,
    add_legend,
    check_report,
    list_axes,
    open_axes,
    open_frame,
    set_title,
)

_Z90 = 1.645
_MADE_BY = "mne_gram.restore(..., return_report=True)"
_BAR = 0.32  # height of a bar of the scores in inches


def plot_restoration(
    report, *, picks=None, truth=None, n_channels=6, scores=True, axes=None, show=True
):
    """Plot restored channels before and after, with the 90 % interval.

    Parameters
    ----------
    report : RestorationReport
        The report returned by :func:`mne_gram.restore`.
    picks : str | list of str | None
        Names of restored channels, in the order to plot; None takes those with the longest
        restored time.
    truth : mne.io.Raw | mne.Epochs | mne.Evoked | None
        The recording without the artefacts, if known.
    n_channels : int
        The maximum number of channels.
    scores : bool
        Whether to add :func:`plot_scores` below the channels, if a new figure is created and the
        report has evidence.
    axes : array of matplotlib.axes.Axes | None
        One per channel; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure, with one row per channel, in microvolts. Dotted lines are the edges of the
        restored segment.

    Raises
    ------
    ValueError
        If a channel was not restored, truth does not contain it or is too short, or there are too
        few axes.
    """
    from mne.viz.utils import plt_show

    check_report(report, "RestorationReport", _MADE_BY)
    if n_channels < 1:
        raise ValueError(f"n_channels must be at least 1, got {n_channels}.")
    rows = _choose_rows(report, picks)[:n_channels]
    axes, below = _make_axes(report, len(rows), axes, scores)
    for axis, row in zip(axes, rows, strict=False):
        name = row["channel"]
        excerpt = report.excerpts[name]
        known = None if truth is None else _read(truth, excerpt, name)
        _plot_channel(axis, excerpt, row, known)
    if rows:
        axes[len(rows) - 1].set_xlabel("Time (s)")
        add_legend(axes[: len(rows)])
    else:
        axes[0].text(0.5, 0.5, "Nothing was restored", ha="center")
        axes[0].axis("off")
    if below is not None:
        plot_scores(report, axes=below, show=False)
    plt_show(show)
    return axes[0].figure


def _choose_rows(report, picks):
    """Return the rows of the report, as dicts, to plot."""
    rows = report.to_dict()["channels"]
    if picks is None:
        return sorted(rows, key=lambda row: -row["seconds"])
    picks = [picks] if isinstance(picks, str) else picks
    described = {row["channel"]: row for row in rows}
    unknown = [name for name in picks if name not in described]
    if unknown:
        raise ValueError(
            f"Found picks that were not restored: {', '.join(unknown)}. The restored channels are "
            f"{', '.join(described) or 'none'}."
        )
    return [described[name] for name in picks]


def _make_axes(report, n_rows, axes, scores):
    """Return one axes object per channel, and that of the scores or None."""
    import matplotlib.pyplot as plt

    n_rows = max(1, n_rows)
    if axes is not None:
        return list_axes(axes, n_rows, "channel"), None
    scores = scores and report.evidence is not None
    heights = [1.7] * n_rows
    if scores:
        heights.append(0.7 + _BAR * len(report.evidence.experts))
    _, axes = plt.subplots(
        len(heights),
        1,
        figsize=(9, 0.6 + sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    axes = list(axes[:, 0])
    return axes, axes.pop() if scores else None


def _plot_channel(axis, excerpt, described, truth):
    """Plot one channel around its first restored segment."""
    inside, times = excerpt.inside, excerpt.times
    row, std = excerpt.after * 1e6, excerpt.std * 1e6
    values = row[inside]
    axis.plot(times, row, color=BLACK, lw=0.7)
    before = excerpt.before * 1e6
    axis.plot(times[inside], before, color=LIGHT, lw=0.6, label="before", zorder=0)
    if np.isfinite(std).all():
        axis.fill_between(
            times[inside],
            values - _Z90 * std,
            values + _Z90 * std,
            color=BLUE,
            alpha=0.2,
            lw=0,
            label="90 % interval",
        )
    if truth is not None:
        axis.plot(times[inside], truth[inside] * 1e6, color=VERMILION, lw=0.8, label="truth")
    axis.plot(times[inside], values, color=BLUE, lw=1, label="restored")
    for seam in (inside.start, inside.stop - 1):
        if 0 < seam < len(times) - 1:
            axis.axvline(times[seam], color=BLACK, lw=0.7, ls=":")
    # Limits are relative to the median: amplifiers may add any offset.
    middle = np.nanmedian(row)
    limit = 1.3 * np.nanmax(np.abs(row - middle)) + 3 * np.nanmax(np.append(std, 0))
    if limit > 0:
        axis.set_ylim(middle - limit, middle + limit)
    if len(times) > 1:
        axis.set_xlim(times[0], times[-1])
    axis.set_ylabel("µV")
    set_title(axis, f"{described['channel']}: {described['extent']}, {described['seconds']:.1f} s")
    if described["expected_r"] is not None:
        set_title(axis, f"expected r {described['expected_r']:.2f}", loc="right")
    open_frame(axis)


def _read(truth, excerpt, name):
    """Return a channel of the truth over the time of an excerpt, shape (n_times,)."""
    if name not in truth.ch_names:
        raise ValueError(f"Found no channel {name} in truth, expected all restored channels.")
    pick = truth.ch_names.index(name)
    row = np.empty(0)
    if not isinstance(truth, mne.BaseEpochs):
        row = truth.get_data(picks=[pick])[0]
    elif excerpt.epoch < len(truth):
        row = truth.get_data(picks=[pick], copy=False)[excerpt.epoch, 0]
    stop = excerpt.start + len(excerpt.times)
    if len(row) < stop:
        raise ValueError(
            f"truth ends before the restored segment of {name}: expected the recording of the "
            "report, with all epochs and samples."
        )
    return row[excerpt.start : stop]


def plot_scores(report, *, axes=None, show=True):
    """Plot the error of each expert on hidden clean patches.

    Parameters
    ----------
    report : RestorationReport
        The report returned by :func:`mne_gram.restore`, with evidence.
    axes : matplotlib.axes.Axes | None
        The axes to plot in; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure, with one bar per expert; the method that was used is blue.

    Raises
    ------
    ValueError
        If the report has no evidence.
    """
    from mne.viz.utils import plt_show

    check_report(report, "RestorationReport", _MADE_BY)
    evidence = report.evidence
    if evidence is None:
        raise ValueError(
            "Found no scores in the report: no clean samples were hidden to compare the experts."
        )
    table = evidence.to_table()
    axes = open_axes(axes, (9, 1 + _BAR * len(table)))
    chosen = evidence.find_chosen(report.method)
    scores = np.array([row[1] for row in table], float)
    for k, (expert, score, r, weight) in enumerate(table):
        is_chosen = expert == chosen
        axes.barh(k, np.nan_to_num(score), color=BLUE if is_chosen else LIGHT, height=0.7)
        parts = [("NMSE", score), ("r", r), ("weight", weight)]
        text = ", ".join(f"{name} {value:.2f}" for name, value in parts if np.isfinite(value))
        axes.text(np.nan_to_num(score), k, f" {text}", va="center", fontsize=8)
    names = [f"{row[0]} (used)" if row[0] == chosen else row[0] for row in table]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    # Room for the numbers beside the longest bar.
    axes.set_xlim(0, 1.5 * max(np.nanmax(scores, initial=0), 1e-3))
    axes.set_xlabel("NMSE")
    set_title(axes, f"{evidence.title[0].upper()}{evidence.title[1:]}")
    open_frame(axes)
    plt_show(show)
    return axes.figure


def plot_channel_map(report, *, axes=None, show=True):
    """Plot the restored channels on the head, coloured by their expected error.

    Parameters
    ----------
    report : RestorationReport
        The report returned by :func:`mne_gram.restore`.
    axes : matplotlib.axes.Axes | None
        The axes to plot in; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Restored channels are large, labelled and coloured by the expected NMSE (white
        where the method does not estimate it), with a thick edge if the whole channel was restored.
        The other channels are dots.

    Raises
    ------
    ValueError
        If no channel has a position.
    """
    import matplotlib.pyplot as plt
    from mne.viz.utils import plt_show

    check_report(report, "RestorationReport", _MADE_BY)
    placed = find_placed(report.info)
    if not placed.any():
        raise ValueError(
            "Found no channel positions, expected at least one: set them with inst.set_montage "
            "before restoring."
        )
    info = mne.pick_info(report.info, np.flatnonzero(placed))
    axes = open_axes(axes, (5.5, 4.5))
    # MNE projects the positions; its dots are replaced.
    mne.viz.plot_sensors(info, kind="topomap", ch_type="eeg", axes=axes, show=False)
    points = axes.collections[0]
    places = np.array(points.get_offsets())
    points.set_visible(False)
    rows = {row["channel"]: row for row in report.to_dict()["channels"]}
    done = np.array([name in rows for name in info["ch_names"]])
    axes.scatter(*places[~done].T, s=12, color=LIGHT, zorder=2)
    if done.any():
        marked = [rows[name] for name in info["ch_names"] if name in rows]
        drawn = axes.scatter(
            *places[done].T,
            c=np.array([row["expected_nmse"] for row in marked], float),
            s=110,
            cmap=plt.get_cmap(f"{SCALE}_r").with_extremes(bad="white"),
            vmin=0,
            vmax=1,
            edgecolors=BLACK,
            linewidths=[2.0 if row["whole"] else 0.7 for row in marked],
            plotnonfinite=True,
            zorder=3,
        )
        for place, row in zip(places[done], marked, strict=True):
            axes.annotate(
                row["channel"],
                place,
                (0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                zorder=4,
            )
        axes.figure.colorbar(drawn, ax=axes, shrink=0.6, label="Expected NMSE")
    set_title(axes, f"{done.sum()} of {len(done)} channels restored", loc="center")
    plt_show(show)
    return axes.figure
