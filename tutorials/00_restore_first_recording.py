# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Restore a first recording
=========================

One electrode lost contact, another one popped for three seconds. This tutorial repairs both, in a
recording of which the truth is known, and compares the repair with the truth and with spherical
splines, the usual remedy.
"""

# %%
# A recording with bad channels
# -----------------------------
#
# The package comes with 36 seconds of real EEG. The channel C4 is marked as bad: it holds noise
# all through. The channel F3 is good but for three seconds, which carry an annotation that starts
# with ``BAD_`` and names the channel. The noise is made up, so the recording as it was made is
# there as well, as ``truth``.

import matplotlib.pyplot as plt
import numpy as np

import mne_gram

raw, truth = mne_gram.datasets.sample(return_truth=True)
print(raw.info["bads"])
print([a["description"] + " " + str(a["ch_names"]) for a in raw.annotations if a["ch_names"]])

# %%
# Repair
# ------
#
# Marking what is bad is all the preparation that :func:`mne_gram.restore` needs. It returns a copy.

restored, report = mne_gram.restore(raw, return_report=True)
print(report)

# %%
# The report has a row for each repaired channel.

report.to_data_frame()

# %%
# It can be plotted as well.

report.plot()

# %%
# What was good is as it was, bit by bit.

mask = np.zeros((len(raw.ch_names), raw.n_times), dtype=bool)
mask[raw.ch_names.index("C4")] = True
start, stop = raw.time_as_index([20, 23])
mask[raw.ch_names.index("F3"), start:stop] = True
assert np.array_equal(restored.get_data()[~mask], raw.get_data()[~mask])

# %%
# Compare
# -------
#
# Splines know whole channels only, so they get both channels as bad and are judged where the
# recording was bad.

spline = raw.copy()
spline.info["bads"] = ["C4", "F3"]
spline.interpolate_bads()

for name, repaired in [("mne_gram", restored), ("spline", spline)]:
    error = mne_gram.metrics.nmse(truth.get_data(), repaired.get_data(), mask)
    r = mne_gram.metrics.correlation(truth.get_data(), repaired.get_data(), mask)
    print(f"{name:>8}: normalised squared error {error:.2f}, correlation {r:.2f}")

# %%
# Two seconds of either channel. The repair of F3 joins the good data on both sides without a step.

fig, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
for ax, channel in zip(axes, ["C4", "F3"], strict=True):
    for inst, label in [(truth, "truth"), (restored, "mne_gram"), (spline, "spline")]:
        signal = inst.get_data(channel, tmin=19.5, tmax=21.5)[0]
        ax.plot(19.5 + np.arange(len(signal)) / raw.info["sfreq"], 1e6 * signal, label=label, lw=1)
    ax.set(title=channel, ylabel="µV")
axes[0].legend(loc="upper right", ncols=3)
axes[1].set(xlabel="time (s)")

# %%
# Use
# ---
#
# The restored recording is a Raw like any other. Repaired channels have left ``info["bads"]``, and
# repaired spans carry an annotation that does not start with ``BAD_``, so that later steps use
# them.

print(restored.info["bads"])
print(sorted(set(restored.annotations.description)))
