# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Draw the figure of the front page, doc/images/restored.png, from the bundled sample."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("agg")
import matplotlib.pyplot as plt

import mne_gram

WINDOW = (8.0, 12.8)
PANELS = {"CP2": "CP2, bad throughout the recording", "F4": "F4, bad from 9 to 12 s (shaded)"}
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#C8C8C8"


def load():
    """Return the damaged sample and its truth, both from 1 to 45 Hz."""
    raw, truth = mne_gram.datasets.sample(return_truth=True, verbose="warning")
    damage = raw.get_data() - truth.get_data()
    truth.filter(1.0, 45.0, verbose="warning")
    raw._data = truth.get_data() + damage
    return raw, truth


def main():
    """Restore channels of which the truth is known, with this package and with the spline."""
    raw, truth = load()
    restored, report = mne_gram.restore(raw, return_report=True, verbose="warning")
    lower, upper = report.interval(restored, level=0.9)
    spline = raw.copy()
    spline.info["bads"] = ["CP2", "F4", "FT8"]
    spline.interpolate_bads(verbose="warning")
    good = [k for k, name in enumerate(raw.ch_names) if name not in spline.info["bads"]]
    window = slice(*raw.time_as_index(WINDOW))
    times = raw.times[window]
    mean = truth.get_data()[good].mean(axis=0)

    fig, axes = plt.subplots(2, 1, figsize=(9, 4.8), sharex=True, layout="constrained")
    for ax, (channel, title) in zip(axes, PANELS.items(), strict=True):
        row = raw.ch_names.index(channel)

        def pick(values, row=row):
            return 1e6 * (values[row] - mean)[window]  # the reference of a data set is arbitrary

        is_bad = np.ones(len(times), bool) if channel == "CP2" else (times >= 9) & (times < 12)
        size = 1.35 * np.abs(pick(truth.get_data())).max()
        noise = pick(raw.get_data()) - (np.median(pick(raw.get_data())) if is_bad.all() else 0)
        ax.plot(times, noise, color=GREY, lw=0.5, zorder=-1, label="recorded")
        pasted = np.where(is_bad, pick(spline.get_data()), np.nan)
        ax.plot(times, pasted, color=ORANGE, lw=1, label="spherical spline (MNE)")
        ax.plot(times, pick(truth.get_data()), color="black", lw=1.2, label="truth")
        ends = [np.where(is_bad, pick(end), np.nan) for end in (lower, upper)]
        ax.fill_between(times, *ends, color=BLUE, alpha=0.2, lw=0)
        mended = np.where(is_bad, pick(restored.get_data()), np.nan)
        ax.plot(times, mended, color=BLUE, lw=1.2, label="mne_gram with 90 % interval")
        if channel == "F4":
            ax.axvspan(9, 12, color="0.95", zorder=-2)
        ax.set(ylabel="µV", xlim=WINDOW, ylim=(-size, size))
        ax.set_title(title, loc="left", fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("Time (s)")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    fig.savefig(Path(__file__).parent / "images" / "restored.png", dpi=110)


if __name__ == "__main__":
    main()
