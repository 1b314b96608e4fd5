# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Draw the picture of the front page, doc/images/restored.png, from the bundled sample."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

import mne_gram

CHANNEL, WINDOW = "CP2", (4.0, 8.0)


def main():
    """Restore a channel of which the truth is known, by this package and by the spline."""
    raw, truth = mne_gram.datasets.sample(return_truth=True, verbose="warning")
    restored, report = mne_gram.restore(raw, return_report=True, verbose="warning")
    spline = raw.copy().interpolate_bads(verbose="warning")
    row = raw.ch_names.index(CHANNEL)
    start, stop = raw.time_as_index(WINDOW)
    times = raw.times[start:stop]
    good = [k for k in range(len(raw.ch_names)) if raw.ch_names[k] not in raw.info["bads"]]

    def pick(inst):
        # Relative to the mean of the good channels: the reference of a data set tells nothing.
        data = inst.get_data()
        return 1e6 * (data[row] - data[good].mean(axis=0))[start:stop]

    std = 1.645e6 * report.std[row, start:stop]
    fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
    ax.plot(times, pick(spline), color="#d55e00", lw=1, label="spherical spline")
    ax.plot(times, pick(truth), color="black", lw=1.2, label="truth")
    value = pick(restored)
    ax.fill_between(times, value - std, value + std, color="#0072b2", alpha=0.2, lw=0)
    ax.plot(times, value, color="#0072b2", lw=1.2, label="mne_gram, with its 90 % interval")
    ax.set(
        xlabel="Time (s)", ylabel="µV", xlim=WINDOW, title=f"{CHANNEL}, which was bad all through"
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3, frameon=False)
    fig.savefig(Path(__file__).parent / "images" / "restored.png", dpi=100)


if __name__ == "__main__":
    main()
