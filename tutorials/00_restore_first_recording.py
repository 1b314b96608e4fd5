# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Restore a first recording
=========================

One electrode has lost contact, and another one has electrode pops for three seconds. This tutorial
repairs both channels in a recording whose true signals are known, and compares the result with
these and with the usual method, spherical spline interpolation.
"""

# %%
# A recording with bad channels
# -----------------------------
#
# The package contains 20 seconds of real EEG. The channel CP2 is marked as bad: it contains noise
# throughout the recording. The channel F4 is good except for three seconds, which have an
# annotation that starts with ``BAD_`` and names the channel. This noise is artificial, so the
# recording without it is available as ``truth``. FT8 is bad in both, because that electrode really
# was broken.

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
# :func:`mne_gram.restore` only needs bad channels and segments to be marked. It returns a copy.

restored, report = mne_gram.restore(raw, return_report=True)
print(report)

# %%
# As a data frame, the report has one row per repaired channel: whether the whole channel was bad,
# how many seconds of it were repaired, and the expected accuracy of the repair. This is given as
# the normalised mean squared error (NMSE, relative to the power of the true signal: 0 is perfect)
# and as the correlation r with the true signal.

report.to_data_frame()[["channel", "whole", "seconds", "expected_nmse", "expected_r"]]

# %%
# The report can also be plotted. The original data are grey, the repair with its 90 % interval is
# blue, and the good data around it are black. The bars below the signals show the error of each
# method on clean samples of the same recording that were hidden for this purpose; ``auto`` weights
# the methods accordingly.

fig = report.plot()

# %%
# Good samples are unchanged, bit for bit.

mask = np.zeros((len(raw.ch_names), raw.n_times), dtype=bool)
mask[raw.ch_names.index("FT8")] = True
mask[raw.ch_names.index("CP2")] = True
start, stop = raw.time_as_index([9, 12])
mask[raw.ch_names.index("F4"), start:stop] = True
assert np.array_equal(restored.get_data()[~mask], raw.get_data()[~mask])

# %%
# Comparison
# ----------
#
# ``interpolate_bads`` only interpolates whole channels, so all three channels are marked as bad for
# it, and the comparison is limited to the bad samples. FT8 is left out because its true signal is
# not known.

spline = raw.copy()
spline.info["bads"] = ["CP2", "F4", "FT8"]
spline.interpolate_bads()

known = [name != "FT8" for name in raw.ch_names]
for name, repaired in [("mne_gram", restored), ("spline", spline)]:
    signals = truth.get_data()[known], repaired.get_data()[known], mask[known]
    error = mne_gram.metrics.nmse(*signals)
    r = mne_gram.metrics.correlation(*signals)
    print(f"{name:>8}: NMSE {error:.2f}, correlation {r:.2f}")

# %%
# The next figure shows two seconds of both channels, relative to the mean of the good channels,
# because what all channels share is easy to predict. The repair of F4 continues the good data
# without a step at 9 s.

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
# Using the result
# ----------------
#
# The restored recording is an ordinary Raw object. Repaired channels are no longer in
# ``info["bads"]``, and repaired segments have the annotation ``RESTORED`` instead of ``BAD_``, so
# that later processing steps use them.

print(restored.info["bads"])
print(sorted(set(restored.annotations.description)))

# %%
# Restored channels add nothing that was measured. ``report.rank`` counts what was, and MNE accepts
# it wherever there is a parameter ``rank``; an ICA takes ``n_components=report.rank["eeg"]``.

print(report.rank)

# %%
# The report can be a section of an :class:`mne.Report`, with the table of channels and figures.

page = mne.Report(title="First recording", verbose="error")
report.add_to(page, section="Restoration")
print(page.get_contents()[0])

# %%
# If a script calls ``raw.interpolate_bads()`` today, :doc:`/interpolate_bads` compares the arguments.

# %%
# Limitations
# -----------
#
# A repair is an estimate from the other channels: activity that only the bad electrode recorded is
# lost. The report gives the expected error of each channel; :doc:`30_when_not_to_trust_it` shows
# where repairs fail and how repaired channels affect spectra, ICA and connectivity. Here the bad
# channels were already marked; :doc:`20_repair_segments` shows how mne_gram finds them.
