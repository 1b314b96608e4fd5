# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures."""

import mne
import numpy as np

__all__ = ["plot_restoration"]

_SECONDS = 12.0
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

    first, restored = {}, {}
    for segment in report._segments:
        first.setdefault(segment.channel, segment)
        length = segment.stop - segment.start
        restored[segment.channel] = restored.get(segment.channel, 0) + length
    rows = sorted(first, key=lambda channel: -restored[channel])[:n_channels]
    n_rows = max(1, len(rows))
    fig, axes = plt.subplots(
        n_rows, 1, figsize=(9, 1 + 1.6 * n_rows), squeeze=False, layout="constrained"
    )
    for axis, channel in zip(axes[:, 0], rows, strict=False):
        _plot_channel(axis, report, first[channel], truth)
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


def _plot_channel(axis, report, segment, truth):
    """Plot one channel around its first restored stretch."""
    inst, n_times = report._inst, report._n_times
    sfreq = inst.info["sfreq"]
    epoch, start = divmod(segment.start, n_times)
    length = min(segment.stop - segment.start, n_times - start)
    # Some of the channel's own good signal on either side shows the seams.
    margin = max(0, round(_SECONDS * sfreq) - length) // 2
    left, right = max(0, start - margin), min(n_times, start + length + margin)
    right = min(right, left + round(_SECONDS * sfreq))
    stop = min(start + length, right)
    pick = report._picks[segment.channel]
    times = inst.times[left:right]
    row = _read(inst, epoch, pick)[left:right] * 1e6
    inside = slice(start - left, stop - left)
    values, std = row[inside], segment.std[: stop - start] * 1e6
    axis.plot(times, row, color=_GOOD, lw=0.7)
    before = report._before[segment.channel][: stop - start] * 1e6
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
        known = _read(truth, epoch, truth.ch_names.index(inst.ch_names[pick]))[left:right] * 1e6
        axis.plot(times[inside], known[inside], color=_TRUTH, lw=0.8, label="truth")
    axis.plot(times[inside], values, color=_RESTORED, lw=1, label="restored")
    limit = 1.3 * np.abs(row).max() + 3 * np.nanmax(np.append(std, 0))
    axis.set(ylim=(-limit, limit) if limit > 0 else None, xlim=(times[0], times[-1]))
    described = {r["channel"]: r for r in report._rows}[inst.ch_names[pick]]
    axis.set_ylabel(f"{inst.ch_names[pick]} (µV)")
    if np.isfinite(described["expected_r"]):
        axis.set_title(f"expected r {described['expected_r']:.2f}", fontsize=8, loc="right")


def _read(inst, epoch, pick):
    """Return one channel of one epoch, of a Raw or of an Evoked."""
    if isinstance(inst, mne.BaseEpochs):
        return inst.get_data(picks=[pick], copy=False)[epoch, 0]
    return inst.get_data(picks=[pick])[0]
