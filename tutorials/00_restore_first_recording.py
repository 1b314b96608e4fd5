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
import mne
import numpy as np

import mne_gram

mne.set_log_level("warning")
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

report.to_data_frame()[["channel", "whole", "seconds", "expected_nmse", "expected_r"]]

# %%
# It can be plotted as well. Grey is what was there, blue the repair with its 90 % interval, black
# the good data around. The bars below tell how the candidates did on clean samples of this very
# recording that were hidden to try them; ``auto`` combines them by that.

fig = report.plot()

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
# Two seconds of either channel, relative to the mean of the good channels: what all channels share
# is no feat. The repair of F4 joins the good data at 9 s without a step.

mean = truth.copy().pick([name for name in raw.ch_names if name not in ["CP2", "F4", "FT8"]])
mean = mean.get_data(tmin=8.5, tmax=10.5).mean(axis=0)
fig, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
for ax, channel in zip(axes, ["CP2", "F4"], strict=True):
    for inst, label, color in [
        (truth, "truth", "black"),
        (spline, "spline", "#D55E00"),
        (restored, "mne_gram", "#0072B2"),
    ]:
        signal, times = inst.get_data(channel, tmin=8.5, tmax=10.5, return_times=True)
        ax.plot(times, 1e6 * (signal[0] - mean), label=label, color=color, lw=1)
    ax.set(title=channel, ylabel="µV")
axes[1].axvspan(9, 10.5, color="0.94", zorder=0)
axes[0].legend(loc="upper right", ncols=3)
axes[1].set(xlabel="Time (s)", title="F4, bad from 9 s on (grey)")
plt.show()

# %%
# Use
# ---
#
# The restored recording is a Raw like any other. Repaired channels have left ``info["bads"]``, and
# repaired spans carry the annotation ``RESTORED`` in place of ``BAD_``, so that later steps use
# them.

print(restored.info["bads"])
print(sorted(set(restored.annotations.description)))

# %%
# Limits
# ------
#
# A repair is an estimate from the other channels, and what only the bad electrode saw is lost. The
# report says for each channel how much to expect; :doc:`30_when_not_to_trust_it` shows where it
# fails, and what repaired channels do to spectra, ICA and connectivity. Nothing here looked for bad
# channels: they had to be marked. :doc:`20_repair_segments` lets mne_gram look.
