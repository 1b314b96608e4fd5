# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A map of the restored channels on the head."""

import mne
import numpy as np

from ..montage import find_placed
from ._style import BLACK, LIGHT, SCALE, check_axis, check_report, set_title


def plot_channel_map(report, *, axes=None, show=True):
    """Plot on the head which channels were restored, and with which error to expect.

    Parameters
    ----------
    report : RestorationReport
        What :func:`mne_gram.restore` returned.
    axes : matplotlib.axes.Axes | None
        Where to plot; None makes a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Restored channels are large, named and coloured by the expected NMSE (white
        where the method does not tell), those bad all through have a thick edge; the others are
        dots.

    Raises
    ------
    ValueError
        If no channel has a position.
    """
    import matplotlib.pyplot as plt
    from mne.viz.utils import plt_show

    check_report(report, "RestorationReport", "mne_gram.restore(..., return_report=True)")
    check_axis(axes)
    placed = find_placed(report._info)
    if not placed.any():
        raise ValueError(
            "Found no channel with a position, expected some: set them with inst.set_montage "
            "before restoring."
        )
    info = mne.pick_info(report._info, np.flatnonzero(placed))
    if axes is None:
        _, axes = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
    # Only where MNE puts the channels is of use here.
    mne.viz.plot_sensors(info, kind="topomap", ch_type="eeg", axes=axes, show=False)
    points = axes.collections[0]
    places = np.array(points.get_offsets())
    points.set_visible(False)
    rows = {row["channel"]: row for row in report._rows}
    done = np.array([name in rows for name in info["ch_names"]])
    axes.scatter(*places[~done].T, s=12, color=LIGHT, zorder=2)
    if done.any():
        marked = [rows[name] for name in info["ch_names"] if name in rows]
        drawn = axes.scatter(
            *places[done].T,
            c=[row["expected_nmse"] for row in marked],
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
