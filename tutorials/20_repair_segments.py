# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Repair segments of Raw and Epochs
=================================

If a channel is bad for three seconds, there is no need to interpolate the whole recording. How are
such segments marked, what happens at their edges, and how accurate is the repair? This tutorial
shows three ways to mark bad segments: annotations, a mask from autoreject, and automatic detection.
"""

# %%
# A bad segment of a Raw object
# -----------------------------
#
# In the bundled recording, three seconds of F4 contain electrode pops. They are marked by an
# annotation that starts with ``BAD_`` and has ``ch_names``, so that it applies to F4 only. In your
# own recording you would add it like this; here it replaces the existing annotation.

from types import SimpleNamespace

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_gram

mne.set_log_level("warning")
blue, orange, grey = "#0072B2", "#D55E00", "#777777"

raw, truth = mne_gram.datasets.sample(return_truth=True)
raw.annotations.delete(raw.annotations.description == "BAD_pop")
raw.annotations.append(onset=9.0, duration=3.0, description="BAD_pop", ch_names=[["F4"]])

restored, report = mne_gram.restore(raw, return_report=True)
report.to_data_frame()[["channel", "whole", "seconds", "expected_nmse", "expected_r"]]

# %%
# Edges
# -----
#
# The usual way to repair a segment is to interpolate the whole channel and to copy only the segment
# into the data. This leaves a step at both ends, because splines do not use the signal of F4
# immediately before and after the segment. ``restore`` does, so its estimate is continuous with the
# good data.

pasted = raw.copy()
pasted.info["bads"] = ["CP2", "F4", "FT8"]
pasted.interpolate_bads()

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
for ax, (tmin, tmax), edge in zip(axes, [(8.75, 9.25), (11.75, 12.25)], [9, 12], strict=True):
    ax.axvspan(*((edge, tmax) if edge == 9 else (tmin, edge)), color="0.93", label="bad")
    for inst, label, style in [
        (truth, "truth", dict(color="black", lw=2.5, alpha=0.4)),
        (pasted, "spline, pasted in", dict(color=orange, lw=1.2)),
        (restored, "restored", dict(color=blue, lw=1.2)),
    ]:
        signal, times = inst.get_data("F4", tmin=tmin, tmax=tmax, return_times=True)
        good = (times < 9) | (times >= 12)
        if inst is pasted:
            signal[:, good] = raw.get_data("F4", tmin=tmin, tmax=tmax)[:, good]
        ax.plot(times, 1e6 * signal[0], label=label, **style)
    ax.set(xlabel="Time (s)", title=f"F4 around the edge at {edge} s")
axes[0].set_ylabel("µV")
axes[0].legend(fontsize=8)
plt.show()

# %%
# Outside the segment the recording is unchanged, bit for bit: there is no cross-fade.
#
# Accuracy
# --------
#
# ``report.std`` has the shape of the data and contains the standard deviation of the error of each
# sample in volts, 0 for samples that were not repaired. ``report.interval`` converts it into an
# interval at any level. Since the true signal is known here, we can count how often it lies inside.

lower, upper = report.interval(restored, level=0.9)
for channel, window in [("F4", slice(*raw.time_as_index([9, 12]))), ("CP2", slice(None))]:
    k = raw.ch_names.index(channel)
    known = truth.get_data()[k, window]
    inside = np.mean((lower[k, window] <= known) & (known <= upper[k, window]))
    std = 1e6 * report.std[k, window].mean()
    share = f"{100 * inside:.0f} % of the true samples in the interval"
    print(f"{channel}: standard deviation {std:.1f} µV, {share}")

# %%
# A segment is estimated more accurately than a whole channel, because the channel's own good data
# show how it relates to the others. CP2 was restored better than the report predicted: its interval
# is scaled by the average error of clean channels of this recording, and CP2 is easier to predict
# than most.
#
# The estimate is an average over all signals that are compatible with the good channels, and is
# therefore smoother than EEG. With ``output="sample"`` you get one such signal instead, drawn at
# random. Three draws of CP2 show the uncertainty better than an interval does: they fluctuate as
# much as the true signal, and they differ where the other channels do not determine the signal.

draws = [
    mne_gram.restore(raw, method="spatial", output="sample", random_state=seed) for seed in range(3)
]
fig, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, sharey=True, layout="constrained")
picked = dict(picks="CP2", tmin=5.0, tmax=6.5)
known, times = truth.get_data(**picked, return_times=True)
row, (start, stop) = raw.ch_names.index("CP2"), raw.time_as_index([5.0, 6.5])
ends = [1e6 * end[row, start:stop] for end in (lower, upper)]
mean = restored.get_data(**picked)[0]
axes[0].fill_between(times, *ends, color=blue, alpha=0.2, lw=0, label="90 % interval")
axes[0].plot(times, 1e6 * mean, color=blue, lw=1, label="mean")
for k, draw in enumerate(draws):
    label = "three draws" if k == 0 else None
    axes[1].plot(times, 1e6 * draw.get_data(**picked)[0], color=blue, lw=0.7, label=label)
for ax in axes:
    ax.plot(times, 1e6 * known[0], color="black", lw=1, label="truth")
    ax.set_ylabel("µV")
    ax.legend(loc="upper right", fontsize=8, ncols=3)
axes[0].set_title("CP2, restored throughout the recording")
axes[1].set_xlabel("Time (s)")
plt.show()

# %%
# Epochs and the RejectLog of autoreject
# --------------------------------------
#
# autoreject finds bad channels in each epoch. Its ``RejectLog`` has the attributes ``labels``, of
# shape ``(n_epochs, n_channels)`` with 0 for good, 1 for bad, 2 for bad and interpolated by
# autoreject, and NaN for channels that it did not check; ``ch_names``; and ``bad_epochs``, the epochs
# that it drops. This tutorial does not depend on autoreject, so we write such an object by hand and
# add artefacts to the epochs accordingly.

epochs_truth = mne.make_fixed_length_epochs(truth, duration=2.0, preload=True)
epochs = epochs_truth.copy()
labels = np.zeros((len(epochs), len(epochs.ch_names)))
labels[:, epochs.ch_names.index("FT8")] = np.nan  # in info["bads"], so autoreject leaves it out
rng = np.random.default_rng(0)
for epoch, channel, label in [(1, "C3", 1), (4, "P4", 2), (6, "Fz", 1), (7, "O1", 2), (7, "O2", 2)]:
    k = epochs.ch_names.index(channel)
    labels[epoch, k] = label
    epochs._data[epoch, k] += 2e-5 * np.cumsum(rng.standard_normal(len(epochs.times)))

# %%
# The log is the mask. Channels with label 1 or 2 are restored, channels with NaN are not (FT8 is,
# because it is in ``info["bads"]``). The epochs can be those that autoreject was given, or those
# that it returned: what it interpolated there is restored again, from the measured channels. To
# keep its interpolation, pass ``log.labels[~log.bad_epochs] == 1`` instead.

log = SimpleNamespace(
    labels=labels, ch_names=epochs.ch_names, bad_epochs=np.zeros(len(epochs), bool)
)
epochs_restored, report = mne_gram.restore(epochs, mask=log, return_report=True)
report.to_data_frame()[["channel", "whole", "seconds", "expected_nmse", "expected_r"]]

# %%
# The report can plot the repairs together with the true signals. The number on the right is the
# expected correlation, computed without the true signals.

fig = report.plot(truth=epochs_truth, picks=["C3", "P4", "Fz", "O1", "O2"], scores=False)

# %%
# C3 is off by a slow drift. Drifts differ from electrode to electrode, so they cannot be predicted
# from the neighbours. This recording is not filtered; a high-pass filter would have removed them.
#
# No epoch was dropped, and only the bad channels were changed.

untouched = ~(labels >= 1)
untouched[:, epochs.ch_names.index("FT8")] = False
assert np.array_equal(epochs_restored.get_data()[untouched], epochs.get_data()[untouched])

# %%
# Finding bad channels and segments
# ---------------------------------
#
# If nothing is marked yet, :func:`mne_gram.find_bads` looks for channels and segments that the
# other channels do not predict as well as expected. We remove the marks from the recording and see
# what it finds.

unmarked = raw.copy()
unmarked.info["bads"] = []
unmarked.annotations.delete(unmarked.annotations.description == "BAD_pop")
found = mne_gram.find_bads(unmarked)
print(found)
found.to_data_frame()

# %%
# CP2 and FT8 are found to be bad channels, and the pops in F4 are located to within a quarter of a
# second. FC1 is borderline: its slow waves differ from those of its neighbours and are twice as
# large. So are the short segments in other channels. Nothing is marked yet: inspect the result
# first, then call ``found.mark(raw)`` or pass ``found.mask(raw)`` to ``restore``. A figure of the
# misfits helps to decide: the larger the misfit, the worse the others predict a channel. Channels
# that fail a simpler test, such as CP2 with its line noise, are bad whatever their misfit.

scores = found.scores.sort_values("misfit")
fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
ax.bar(scores.index, scores["misfit"], color=[orange if bad else grey for bad in scores["bad"]])
ax.axhline(2.0, color="black", lw=1, ls="--", label="channel_threshold")
ax.set(ylabel="Misfit (log ratio)", title="Orange: found to be bad", xlim=(-1, len(scores)))
ax.tick_params(axis="x", rotation=90, labelsize=7)
ax.legend()
plt.show()

# %%
# ``mne_gram.restore(raw, mask="auto")`` finds and restores in one call, and ``report.found``
# contains what was found. This is convenient for many recordings, but read the reports.
#
# Missing electrodes
# ------------------
#
# :func:`mne_gram.harmonize` brings recordings from different caps to one set of electrodes; it
# estimates missing electrodes like bad channels. To test it, we keep 19 electrodes of the
# recording, ask for 32, and compare the 13 that were added with what was recorded there: once in
# the recording as it is, and once after a high-pass filter at 1 Hz.

cap = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
fig, axes = plt.subplots(2, 1, figsize=(8, 6), sharex=True, sharey=True, layout="constrained")
for ax, l_freq, title in zip(
    axes, [None, 1.0], ["as recorded", "high-passed at 1 Hz"], strict=True
):
    full = truth.copy().filter(l_freq, None)
    large, report = mne_gram.harmonize(full.copy().pick(cap), "biosemi32", return_report=True)
    added = [name for name in large.ch_names if name not in cap]
    mean = full.get_data(cap).mean(axis=0)  # what all channels share is easy to predict
    pairs = zip(full.get_data(added) - mean, large.get_data(added) - mean, strict=True)
    actual = [np.corrcoef(known, estimate)[0, 1] for known, estimate in pairs]
    expected = report.to_data_frame().set_index("channel").loc[added, "expected_r"]
    ax.plot(added, expected, "o", color=blue, label="expected by the report")
    ax.plot(added, actual, "x", color="black", label="actual")
    ax.set(ylabel="Correlation", ylim=(0, 1), title=f"13 electrodes added to 19, {title}")
axes[0].legend(loc="lower right", fontsize=8)
plt.show()

# %%
# The expected values are computed from the clean channels with their drifts, and electrodes differ
# in how much they drift. Above 1 Hz the expected and actual correlations agree much better. If your
# analysis includes a high-pass filter, apply it before ``harmonize``.
#
# Limitations
# -----------
#
# A repair is an estimate from the other channels: activity that only the bad channel recorded is
# lost. Many neighbouring bad channels leave little to estimate from, and artefacts shared by all
# channels, such as head movements, are not found by ``mask="auto"``, because the channels predict
# each other well. The interval assumes Gaussian errors and is scaled by how well clean samples of
# this recording could be predicted; during events that do not occur in the rest of the recording,
# such as a single large artefact, it is too narrow. An added or restored channel contains nothing
# that was not measured elsewhere; :doc:`30_when_not_to_trust_it` explains what follows from this.
