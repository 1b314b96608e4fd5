# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bad channels and segments over time."""

import numpy as np

from ._style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    add_legend_beside,
    check_report,
    open_axes,
    open_frame,
    set_title,
)

# Colour and hatch of each reason.
_STYLES = {
    "misfit": (VERMILION, ""),
    "amplitude": (ORANGE, ""),
    "flat": (BLUE, "//"),
    "clipped": (SKY, "\\\\"),
    "line": (GREEN, ".."),
    "often": (PURPLE, "xx"),
    "nan": (BLACK, ""),
    "type": (BLACK, "//"),
}


def plot_bads(report, *, axes=None, show=True):
    """Plot when which channels are bad.

    Parameters
    ----------
    report : BadsReport
        The report returned by :func:`mne_gram.find_bads`.
    axes : matplotlib.axes.Axes | None
        The axes to plot in; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure, with one row per channel that was checked. Coloured bars are bad segments, and
        extend over the whole recording for bad channels. The horizontal axis is in seconds for Raw
        and in epochs for Epochs.
    """
    from matplotlib.patches import Patch
    from mne.viz.utils import plt_show

    check_report(report, "BadsReport", "mne_gram.find_bads")
    names = report.ch_names
    table = report.to_data_frame()
    start, stop = report.start, report.stop
    if report.n_epochs is not None:
        start, stop = -0.5, report.n_epochs - 0.5
    axes = open_axes(axes, (8, min(1.2 + 0.16 * max(len(names), 8), 14)))
    rows = {name: row for row, name in enumerate(names)}
    for row in table.itertuples():
        colour, hatch = _STYLES[row.why]
        left, right = row.start, row.stop
        if row.whole:
            left, right = start, stop
        elif row.epoch >= 0:
            left, right = row.epoch - 0.5, row.epoch + 0.5
        axes.broken_barh(
            [(left, right - left)],
            (rows[row.channel] - 0.4, 0.8),
            facecolor=colour,
            hatch=hatch,
            edgecolor="white" if hatch else colour,
            linewidth=0.0 if hatch else 0.5,
        )
    axes.set(xlim=(start, stop), ylim=(len(names) - 0.5, -0.5))
    axes.set_xlabel("Time (s)" if report.n_epochs is None else "Epoch")
    shown = np.arange(0, len(names), 1 + (len(names) - 1) // 70)
    axes.set_yticks(
        shown, [names[k] for k in shown], fontsize="x-small" if len(names) > 32 else None
    )
    found = [why for why in _STYLES if why in set(table["why"])]
    handles = [
        Patch(facecolor=_STYLES[why][0], hatch=_STYLES[why][1], edgecolor="white", label=why)
        for why in found
    ]
    if handles:
        add_legend_beside(axes, handles=handles)
    else:
        set_title(axes, "No bad channels or segments")
    open_frame(axes)
    plt_show(show)
    return axes.figure
