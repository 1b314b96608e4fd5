# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures."""

import mne
import numpy as np

__all__ = ["plot_restoration"]

_Z90 = 1.645
# Okabe and Ito's palette, which colour-blind readers can tell apart.
_GARBAGE, _RESTORED, _TRUTH, _GOOD = "#BBBBBB", "#0072B2", "#D55E00", "#000000"


def plot_restoration(report, *, truth=None, n_channels=6, show=True):
    """Plot restored channels before and after, with the 90 % interval.

    Parameters
    ----------
    report : RestorationReport
        What :func:`mne_gram.restore` returned.
    truth : mne.io.Raw | mne.Epochs | mne.Evoked | None
        The recording without its garbage, where it is known.
    n_channels : int
        At most this many channels, those with the most restored time first.
    show : bool
        Whether to show the figure.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure: a row a channel, in microvolts.
    """
    import matplotlib.pyplot as plt

    described = {row["channel"]: row for row in report._rows}
    names = {channel: report._names[channel] for channel in report._excerpts}
    rows = sorted(names, key=lambda channel: -described[names[channel]]["seconds"])[:n_channels]
    n_rows = max(1, len(rows))
    fig, axes = plt.subplots(
        n_rows, 1, figsize=(9, 1 + 1.6 * n_rows), squeeze=False, layout="constrained"
    )
    for axis, channel in zip(axes[:, 0], rows, strict=False):
        row = described[names[channel]]
        known = None if truth is None else _read(truth, report._excerpts[channel], names[channel])
        _plot_channel(axis, report._excerpts[channel], row, known)
    if rows:
        axes[-1, 0].set_xlabel("Time (s)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    else:
        axes[0, 0].text(0.5, 0.5, "Nothing was restored", ha="center")
        axes[0, 0].axis("off")
    if show:
        plt.show()
    return fig


def _plot_channel(axis, excerpt, described, truth):
    """Plot one channel around its first restored stretch."""
    inside, times = excerpt.inside, excerpt.times
    row, std = excerpt.after * 1e6, excerpt.std * 1e6
    values = row[inside]
    axis.plot(times, row, color=_GOOD, lw=0.7)
    before = excerpt.before * 1e6
    axis.plot(times[inside], before, color=_GARBAGE, lw=0.6, label="before", zorder=0)
    if np.isfinite(std).all():
        axis.fill_between(
            times[inside],
            values - _Z90 * std,
            values + _Z90 * std,
            color=_RESTORED,
            alpha=0.2,
            lw=0,
            label="90 % interval",
        )
    if truth is not None:
        axis.plot(times[inside], truth[inside] * 1e6, color=_TRUTH, lw=0.8, label="truth")
    axis.plot(times[inside], values, color=_RESTORED, lw=1, label="restored")
    # Around the channel's own level, which an amplifier may have put anywhere.
    middle = np.nanmedian(row)
    limit = 1.3 * np.nanmax(np.abs(row - middle)) + 3 * np.nanmax(np.append(std, 0))
    if limit > 0:
        axis.set_ylim(middle - limit, middle + limit)
    if len(times) > 1:
        axis.set_xlim(times[0], times[-1])
    axis.set_ylabel(f"{described['channel']} (µV)")
    if np.isfinite(described["expected_r"]):
        axis.set_title(f"expected r {described['expected_r']:.2f}", fontsize=8, loc="right")


def _read(truth, excerpt, name):
    """Return a channel of the truth over the time of an excerpt."""
    pick = truth.ch_names.index(name)
    if isinstance(truth, mne.BaseEpochs):
        row = truth.get_data(picks=[pick], copy=False)[excerpt.epoch, 0]
    else:
        row = truth.get_data(picks=[pick])[0]
    return row[excerpt.start : excerpt.start + len(excerpt.times)]
