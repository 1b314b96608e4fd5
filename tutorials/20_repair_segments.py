# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Repair segments of Raw and Epochs
=================================

A channel that is bad for three seconds needs no interpolation of the whole recording. How do I mark
such a segment, what happens at its borders, and how sure is the repair? This tutorial goes through
the ways to say what is bad: an annotation, a mask from autoreject, and letting mne_gram look.
"""

# %%
# A segment of a Raw
# ------------------
#
# In the bundled recording three seconds of F4 hold electrode pops. An annotation says so. It starts
# with ``BAD_`` and has ``ch_names``, so that only F4 is meant. In a recording of your own you write
# it like this; here it replaces the one that is there.

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
# Seams
# -----
#
# The commonest way to repair a segment is to interpolate the whole channel and paste the segment
# in. That leaves a step at either end: splines know nothing of the level that F4 had a millisecond
# before. ``restore`` also uses what F4 itself did before and after, so its estimate joins.

pasted = raw.copy()
pasted.info["bads"] = ["CP2", "F4", "FT8"]
pasted.interpolate_bads()

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
for ax, (tmin, tmax), seam in zip(axes, [(8.75, 9.25), (11.75, 12.25)], [9, 12], strict=True):
    ax.axvspan(*((seam, tmax) if seam == 9 else (tmin, seam)), color="0.93", label="bad")
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
    ax.set(xlabel="Time (s)", title=f"F4 around the seam at {seam} s")
axes[0].set_ylabel("µV")
axes[0].legend(fontsize=8)
plt.show()

# %%
# Outside of the segment the recording is what it was, to the last bit. Nothing is blended there.
#
# How sure is it?
# ---------------
#
# ``report.std`` has the shape of the data and holds the standard deviation of the error of each
# sample, 0 where nothing was done. ``report.interval`` turns it into an interval at any level.
# Since we know the truth, we can count how often it lies inside.

lower, upper = report.interval(restored, level=0.9)
for channel, window in [("F4", slice(*raw.time_as_index([9, 12]))), ("CP2", slice(None))]:
    k = raw.ch_names.index(channel)
    known = truth.get_data()[k, window]
    inside = np.mean((lower[k, window] <= known) & (known <= upper[k, window]))
    std = 1e6 * report.std[k, window].mean()
    print(f"{channel}: standard deviation {std:.1f} µV, {inside:.0%} of the truth in the interval")

# %%
# The estimate of a segment is surer than that of a whole channel, as the channel's own good data
# say how it relates to the others. CP2 turned out better than the report dared to say: its interval
# is scaled by how well clean channels of this recording could be predicted on average, and CP2
# happens to be an easy one.
#
# The estimate is a mean over everything that could have been, and so it is smoother than EEG. With
# ``output="sample"`` you get one of the signals that could have been instead. Three such draws of
# CP2 show the uncertainty better than a band does: they are as rough as the truth, and they
# disagree where the others do not tell.

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
axes[0].set_title("CP2, restored all through")
axes[1].set_xlabel("Time (s)")
plt.show()

# %%
# Epochs, with the log of autoreject
# ----------------------------------
#
# autoreject tells which channels are bad in which epochs. Its ``RejectLog.labels`` is an array of
# shape ``(n_epochs, n_channels)`` with 0 for good, 1 for bad, 2 for bad and interpolated by
# autoreject, NaN for channels that it did not look at. autoreject is not needed to build this page,
# so we make such an array by hand, and spoil the epochs accordingly.

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
# Give ``restore`` the epochs from before autoreject interpolated them, and a mask of all labels
# from 1 on. NaN counts as good there; FT8 is restored because it is in ``info["bads"]``. If you
# have the epochs that autoreject returned, those with label 2 are filled by splines already, and
# ``labels == 1`` is the mask of what is still bad.

epochs_restored, report = mne_gram.restore(epochs, mask=labels >= 1, return_report=True)
report.to_data_frame()[["channel", "whole", "seconds", "expected_nmse", "expected_r"]]

# %%
# The report can draw them against the truth. The number on the right is what it expects the
# correlation to be, without having seen the truth.

fig = report.plot(truth=epochs_truth, picks=["C3", "P4", "Fz", "O1", "O2"], scores=False)

# %%
# C3 is off by a slow drift. Drifts of an electrode are its own affair: no neighbour tells of them.
# This recording is not filtered at all; with a high-pass before, the repair would only have to
# guess what the brain did.
#
# No epoch was dropped, and none was touched but for its bad channels.

untouched = ~(labels >= 1)
untouched[:, epochs.ch_names.index("FT8")] = False
assert np.array_equal(epochs_restored.get_data()[untouched], epochs.get_data()[untouched])

# %%
# Looking for what is bad
# -----------------------
#
# Without any marks, :func:`mne_gram.find_bads` looks for channels and stretches that the others do
# not predict as well as they should. We take all marks off the recording and see what it finds.

unmarked = raw.copy()
unmarked.info["bads"] = []
unmarked.annotations.delete(unmarked.annotations.description == "BAD_pop")
found = mne_gram.find_bads(unmarked)
print(found)
found.to_data_frame()

# %%
# CP2 and FT8 are bad all through, and the pops in F4 are found to a quarter of a second. FC1, whose
# slow waves are twice as large as its neighbours' and little like them, and the short stretches in
# other channels are borderline. Nothing is marked yet: look first, then call
# ``found.mark(raw)``, or hand ``found.mask(raw)`` to ``restore``. A figure of the misfits helps to
# decide: the larger, the worse the others predict a channel. Channels that fail a plainer test,
# here too much of the power line in CP2, are bad whatever their misfit.

scores = found.scores.sort_values("misfit")
fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
ax.bar(scores.index, scores["misfit"], color=[orange if bad else grey for bad in scores["bad"]])
ax.axhline(2.0, color="black", lw=1, ls="--", label="channel_threshold")
ax.set(ylabel="Misfit (log)", title="Orange: found bad", xlim=(-1, len(scores)))
ax.tick_params(axis="x", rotation=90, labelsize=7)
ax.legend()
plt.show()

# %%
# ``mne_gram.restore(raw, mask="auto")`` does both steps at once, and ``report.found`` holds what
# was found. Convenient for many recordings, but then read the reports.
#
# Electrodes that were never there
# --------------------------------
#
# :func:`mne_gram.harmonize` uses the same machinery to bring recordings of different caps to one
# set of electrodes. To see how well, we keep 19 electrodes of the recording, ask for 32, and
# compare the 13 that were added with what had been recorded there: once in the recording as it is,
# and once after a high-pass at 1 Hz.

cap = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
fig, axes = plt.subplots(2, 1, figsize=(8, 6), sharex=True, sharey=True, layout="constrained")
for ax, l_freq, title in zip(
    axes, [None, 1.0], ["as recorded", "high-passed at 1 Hz"], strict=True
):
    full = truth.copy().filter(l_freq, None)
    large, report = mne_gram.harmonize(full.copy().pick(cap), "biosemi32", return_report=True)
    added = [name for name in large.ch_names if name not in cap]
    mean = full.get_data(cap).mean(axis=0)  # what all channels share is no feat
    pairs = zip(full.get_data(added) - mean, large.get_data(added) - mean, strict=True)
    actual = [np.corrcoef(known, estimate)[0, 1] for known, estimate in pairs]
    expected = report.to_data_frame().set_index("channel").loc[added, "expected_r"]
    ax.plot(added, expected, "o", color=blue, label="expected by the report")
    ax.plot(added, actual, "x", color="black", label="with what was recorded")
    ax.set(ylabel="Correlation", ylim=(0, 1), title=f"13 electrodes added to 19, {title}")
axes[0].legend(loc="lower right", fontsize=8)
plt.show()

# %%
# The report's figures come from the clean channels, with their drifts, and electrodes differ in how
# much they drift. Above 1 Hz expectation and outcome agree much better. So filter first, if your
# analysis filters anyway.
#
# Limits
# ------
#
# A repair is an estimate from the other channels. What only the bad channel saw is lost. Many bad
# channels side by side leave little to estimate from, and what all channels share, such as a
# movement of the head, is not found by ``mask="auto"``, as the others predict it well. The interval
# assumes Gaussian errors and is scaled by how well clean samples of this recording could be
# predicted; during events that the rest of the recording does not know, such as a single large
# artefact, it is too narrow. A channel that was added or restored brings nothing that was not
# measured elsewhere: :doc:`30_when_not_to_trust_it` goes on from here.
