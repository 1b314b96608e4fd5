# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The restored channels on the head."""

import mne
import numpy as np

from ..montage import find_placed
from ._style import BLACK, LIGHT, SCALE, check_axis, check_report, set_title


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

    check_report(report, "RestorationReport", "mne_gram.restore(..., return_report=True)")
    check_axis(axes)
    placed = find_placed(report.info)
    if not placed.any():
        raise ValueError(
            "Found no channel positions, expected at least one: set them with inst.set_montage "
            "before restoring."
        )
    info = mne.pick_info(report.info, np.flatnonzero(placed))
    if axes is None:
        _, axes = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
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
