# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Who a prior was estimated from, and how well it knows each electrode."""

import mne
import numpy as np

from .._counts import count
from ..montage import ELECTRODES, electrode_positions
from ._style import BLUE, GREY, SCALE, VERMILION, check_report, list_axes, open_frame, set_title

_LABELLED = 40  # electrodes of a cohort, with more of which their names would overlap


def plot_prior(prior, *, axes=None, show=True):
    """Plot who a prior was estimated from, and how well it knows each electrode.

    Parameters
    ----------
    prior : Prior
        The prior, from :func:`mne_gram.fit_prior` or :func:`mne_gram.read_prior`.
    axes : array of matplotlib.axes.Axes | None
        Two axes to plot in; None creates a figure.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. The bars are the subjects of each data set; those of the cohort are red. In the
        map of the head, the colour is the number of subjects in whom an electrode was measured;
        small grey dots were measured in none, and follow from the others and a model of the head.
        Electrodes that were measured in the cohort have a red edge.
    """
    import matplotlib.pyplot as plt
    from mne.viz.utils import plt_show

    check_report(prior, "Prior", "mne_gram.fit_prior or mne_gram.read_prior")
    if axes is None:
        _, axes = plt.subplots(
            1, 2, figsize=(10, 4.5), layout="constrained", width_ratios=[1.0, 1.3]
        )
    bars, head = list_axes(axes, 2, "panel")[:2]
    first = len(prior.recordings) - prior.n_cohort
    groups = [(prior.recordings[:first], BLUE), (prior.recordings[first:], VERMILION)]
    _plot_subjects(bars, groups)
    _plot_head(head, prior.recordings, groups[1][0])
    plt_show(show)
    return bars.figure


def _plot_subjects(axis, groups):
    """Plot the number of subjects of each data set, the cohort last."""
    labels = []
    for recordings, colour in groups:
        for dataset in dict.fromkeys(r.source[0] for r in recordings):
            own = [r.source[1] for r in recordings if r.source[0] == dataset]
            axis.barh(len(labels), len(set(own)), color=colour, height=0.7)
            axis.annotate(
                count(len(own), "recording"),
                (len(set(own)), len(labels)),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
            labels.append(dataset + " (cohort)" * (colour == VERMILION))
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xlabel("Subjects")
    axis.set_xlim(0, 1.45 * axis.dataLim.x1)
    axis.invert_yaxis()
    open_frame(axis)
    set_title(axis, "Recordings of the prior")


def _plot_head(axis, recordings, cohort):
    """Plot in how many subjects each electrode was measured."""
    counts, own, names = _count_subjects(recordings), _count_subjects(cohort), np.array(ELECTRODES)
    info = mne.create_info(list(ELECTRODES), 100.0, "eeg")
    places = dict(zip(ELECTRODES, electrode_positions(), strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    # MNE projects the positions; its dots are replaced.
    mne.viz.plot_sensors(info, kind="topomap", ch_type="eeg", axes=axis, show=False)
    points = axis.collections[0]
    places = np.array(points.get_offsets())
    points.set_visible(False)
    known = counts > 0
    axis.scatter(*places[~known].T, s=6, color=GREY, zorder=2)
    drawn = axis.scatter(
        *places[known].T,
        c=counts[known],
        s=90,
        cmap=SCALE,
        vmin=0,
        edgecolors=[VERMILION if n else GREY for n in own[known]],
        linewidths=[1.8 if n else 0.5 for n in own[known]],
        zorder=3,
    )
    if 0 < (own > 0).sum() <= _LABELLED:
        for place, name in zip(places[own > 0], names[own > 0], strict=True):
            axis.annotate(
                name, place, (0, 7), textcoords="offset points", ha="center", fontsize=6, zorder=4
            )
    axis.figure.colorbar(drawn, ax=axis, shrink=0.6, label="Subjects")
    set_title(axis, f"{known.sum()} electrodes were measured", loc="center")


def _count_subjects(recordings):
    """Return in how many subjects each electrode was measured, shape (114,)."""
    subjects = {}
    for r in recordings:
        subjects.setdefault(r.source[:2], set()).update(r.channels.tolist())
    return np.array([sum(k in s for s in subjects.values()) for k in range(len(ELECTRODES))])
