# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Restore a first recording
=========================

One electrode has no contact, another one pops for three seconds. This tutorial repairs both, in a
recording of which the truth is known, and compares the repair with the truth and with spherical
splines, the usual remedy.
"""

# %%
# A recording with bad channels
# -----------------------------
#
# The package comes with 20 seconds of real EEG. The channel CP2 is marked as bad: it holds noise
# all through. The channel F4 is good but for three seconds, which carry an annotation that starts
# with ``BAD_`` and names the channel. This noise is made up, so the recording as it was made is
# there as well, as ``truth``. FT8 is bad in both: that electrode was broken in reality.

import matplotlib.pyplot as plt
import numpy as np

import mne_gram

raw, truth = mne_gram.datasets.sample(return_truth=True, verbose="warning")
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
mask[raw.ch_names.index("FT8")] = True
mask[raw.ch_names.index("CP2")] = True
start, stop = raw.time_as_index([9, 12])
mask[raw.ch_names.index("F4"), start:stop] = True
assert np.array_equal(restored.get_data()[~mask], raw.get_data()[~mask])

# %%
# Compare
# -------
#
# Splines know whole channels only, so they get all three channels as bad, and are judged where the
# recording was bad. FT8 is left out, as its truth is not known.

spline = raw.copy()
spline.info["bads"] = ["CP2", "F4", "FT8"]
spline.interpolate_bads()

known = [name != "FT8" for name in raw.ch_names]
for name, repaired in [("mne_gram", restored), ("spline", spline)]:
    signals = truth.get_data()[known], repaired.get_data()[known], mask[known]
    error = mne_gram.metrics.nmse(*signals)
    r = mne_gram.metrics.correlation(*signals)
    print(f"{name:>8}: normalised squared error {error:.2f}, correlation {r:.2f}")

# %%
# Two seconds of either channel. The repair of F4 joins the good data at 9 s without a step.

fig, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
for ax, channel in zip(axes, ["CP2", "F4"], strict=True):
    for inst, label in [(truth, "truth"), (restored, "mne_gram"), (spline, "spline")]:
        signal = inst.get_data(channel, tmin=8.5, tmax=10.5)[0]
        ax.plot(8.5 + np.arange(len(signal)) / raw.info["sfreq"], 1e6 * signal, label=label, lw=1)
    ax.set(title=channel, ylabel="µV")
axes[0].legend(loc="upper right", ncols=3)
axes[1].set(xlabel="time (s)")

# %%
# Use
# ---
#
# The restored recording is a Raw like any other. Repaired channels have left ``info["bads"]``, and
# repaired spans carry the annotation ``RESTORED`` in place of ``BAD_``, so that later steps use
# them.

print(restored.info["bads"])
print(sorted(set(restored.annotations.description)))
