# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
When not to trust it
====================

Every repair looks like EEG. When is it wrong, and how can you tell? This tutorial restores channels
where there is little or nothing to estimate them from, and shows the effects of repaired channels
on spectra, ICA and connectivity.
"""

# %%
# The recording is real, and we hide channels of which we know the truth. Slow drifts, which differ
# from electrode to electrode, are filtered out first. FT8 was broken and is left out.

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.signal import welch

import mne_gram

mne.set_log_level("warning")
blue, orange = "#0072B2", "#D55E00"

_, truth = mne_gram.datasets.sample(return_truth=True)
truth.drop_channels(["FT8"]).filter(1.0, None)
truth.annotations.delete(range(len(truth.annotations)))


def hide(names, among):
    """Return the recording with some channels replaced by zeros and marked as bad."""
    raw = truth.copy().pick(among)
    raw.apply_function(lambda x: 0 * x, picks=names)
    raw.info["bads"] = names
    return raw


def read(inst, names, among):
    """Return signals relative to the mean of what was not hidden, in microvolts."""
    kept = [name for name in among if name not in names]
    return 1e6 * (inst.get_data(names) - truth.get_data(kept).mean(axis=0))


# %%
# Few channels
# ------------
#
# C3, Fz and F7 are hidden in caps of 63, 32, 19, 10 and 8 electrodes. The report gives the expected
# correlation of each restored channel with the truth. It does not use the truth: it hides clean
# samples of other channels and measures how well they are restored.

targets = ["C3", "Fz", "F7"]
caps = [
    truth.ch_names,
    mne.channels.make_standard_montage("biosemi32").ch_names,
    "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split(),
    "Fp1 Fp2 F7 Fz C3 C4 T8 Pz O1 O2".split(),
    "Fp2 F7 Fz C3 C4 T8 Pz O2".split(),
]
expected, actual = [], []
for cap in caps:
    restored, report = mne_gram.restore(hide(targets, cap), return_report=True)
    table = report.to_data_frame().set_index("channel")
    expected.append(table.loc[targets, "expected_r"].to_numpy())
    pairs = zip(read(truth, targets, cap), read(restored, targets, cap), strict=True)
    actual.append([np.corrcoef(known, estimate)[0, 1] for known, estimate in pairs])

fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
for k, ax in enumerate(axes):
    ax.plot([f"{len(cap)}" for cap in caps], np.array(expected)[:, k], "o-", color=blue)
    ax.plot([f"{len(cap)}" for cap in caps], np.array(actual)[:, k], "x--", color="black")
    ax.axhspan(0, 0.7, color=orange, alpha=0.1)
    ax.set(title=targets[k], xlabel="Electrodes in the cap", ylim=(0, 1))
axes[0].set_ylabel("Correlation")
axes[0].legend(["expected by the report", "with the truth"], fontsize=8, loc="lower left")
plt.show()

# %%
# With a correlation of 0.7, half of the variance of the channel is unexplained. In the shaded
# region the restored channel says more about its neighbours than about itself. What matters is not
# the number of electrodes but whether one is close: C3 and Fz fail once their neighbours are
# missing, and F7, at the edge of the cap and above muscles, is poor in every cap. The expected
# correlation follows the actual one, so check ``expected_r`` before you use a restored channel. But
# note F7 in the cap of 63: the report predicts the error from the position of a channel and from
# how well other channels of this recording are restored, and this F7 differed from its neighbours
# more than could be foreseen.
#
# ``expected_nmse`` is the expected squared error relative to the variance of the channel: 0 is
# perfect, and 1 is what a flat line would score.

table[["seconds", "expected_nmse", "expected_r"]]

# %%
# Segments in which all channels are bad
# --------------------------------------
#
# If all channels are bad at the same time, there is nothing to estimate the signal from.
# ``restore`` leaves such segments unchanged and says so.

gap = truth.copy()
gap.annotations.append(onset=8.0, duration=1.5, description="BAD_movement")
restored, report = mne_gram.restore(gap, return_report=True)
print(report.summary)

# %%
# They can be filled on request. The past and the future are then extrapolated into the segment.

filled, report = mne_gram.restore(gap, all_channel_gaps="fill", return_report=True)
print(report.summary)
print(sorted(set(filled.annotations.description)))

picked = dict(picks="O2", tmin=7.0, tmax=10.5)
known, times = truth.get_data(**picked, return_times=True)
lower, upper = report.interval(filled, picks="O2")
inside = slice(*truth.time_as_index([7.0, 10.5]))
fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
ends = [1e6 * end[0, inside][: len(times)] for end in (lower, upper)]
ax.fill_between(times, *ends, color=blue, alpha=0.2, lw=0, label="90 % interval")
ax.plot(times, 1e6 * known[0], color="black", lw=0.8, label="truth")
ax.plot(times, 1e6 * filled.get_data(**picked)[0], color=blue, lw=1.2, label="filled")
ax.set(xlabel="Time (s)", ylabel="µV", title="O2, all channels bad from 8 to 9.5 s")
ax.legend(ncols=3, fontsize=8, loc="lower left")
plt.show()

# %%
# After a fifth of a second the estimate is a flat line, the interval is as wide as the EEG itself,
# and the expected correlation is close to zero. Such a segment is annotated as ``INVENTED``, the
# ``BAD_`` annotation is kept, and epochs that overlap it are dropped as before. Fill these segments
# for filters that need a continuous signal, never for an analysis.
#
# Spectra
# -------
#
# The average over all compatible signals has less power than any of them. How much is missing
# depends on how well a frequency can be predicted: more is missing in muscle activity and beta than
# in alpha. A draw (``output="sample"``) has the full power at the price of a larger error. Here are
# the spectra in the cap of 19.

cap = caps[2]
mean = mne_gram.restore(hide(targets, cap), method="spatial")
draw = mne_gram.restore(hide(targets, cap), method="spatial", output="sample", random_state=0)

fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
styles = [("truth", truth, "black"), ("mean", mean, blue), ("draw", draw, orange)]
for name, ax in zip(targets, axes, strict=True):
    for label, inst, color in styles:
        signal = read(inst, targets, cap)[targets.index(name)]
        freqs, power = welch(signal, truth.info["sfreq"], nperseg=320)
        ax.semilogy(freqs, power, color=color, label=label, lw=1.2)
    ax.set(xlabel="Frequency (Hz)", title=name, xlim=(1, 57), ylim=(3e-2, None))
    ax.axvspan(45, 57, color="0.94")
axes[0].set_ylabel("Power (µV²/Hz)")
axes[0].legend()
plt.show()

# %%
# F7 retains a tenth of its power at 30 Hz. The draw restores most of it, with the typical power at
# such a position rather than that of this electrode, and only up to 45 Hz (grey beyond): the
# statistics of the model end there, and the draw equals the mean.
#
# Connectivity
# ------------
#
# A restored channel is a mixture of others, so it correlates with them more than the true channel
# did. Each dot is the correlation of C3, Fz or F7 with one of the 16 channels that were kept.

kept = [name for name in cap if name not in targets]
others = 1e6 * (truth.get_data(kept) - truth.get_data(kept).mean(axis=0))


def correlate(inst):
    """Return the correlations of hidden with kept channels."""
    signals = np.vstack([read(inst, targets, cap), others])
    return np.corrcoef(signals)[: len(targets), len(targets) :].ravel()


fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True, layout="constrained")
for ax, (label, inst, color) in zip(axes, styles[1:], strict=True):
    ax.axline((0, 0), slope=1, color="0.6", lw=1)
    ax.scatter(np.abs(correlate(truth)), np.abs(correlate(inst)), s=18, color=color)
    ax.set(xlabel="True |r|", title=f"{label} of the estimate", xlim=(0, 1), ylim=(0, 1))
    excess = np.mean(np.abs(correlate(inst)) - np.abs(correlate(truth)))
    ax.text(0.03, 0.93, f"mean excess {excess:+.2f}")
axes[0].set_ylabel("|r| with the restored channel")
plt.show()

# %%
# Most dots of the mean lie above the diagonal: part of each connection was created by the repair. A
# draw deviates in both directions, but its connections are those that the model assumes, not those
# of this brain. Exclude restored channels from connectivity analyses.
#
# Rank and ICA
# ------------
#
# The report counts the measured dimensions. In one frequency band a restored channel is a weighted
# sum of others; the weights differ between bands, so the rank of the result appears to be full. The
# additional dimensions contain no information, and an ICA that includes them finds meaningless
# components.

_, report = mne_gram.restore(hide(targets, cap), method="spatial", return_report=True)
print(f"channels {len(cap)}, measured {report.rank['eeg']}, apparent rank {report.rank_after}")
print(report.notes[0])

# %%
# The eigenvalues of the covariance do not reveal this. The last ones are smaller, but there is no
# sharp drop that an automatic estimate of the rank would detect. Pass ``report.rank`` to
# functions of MNE with a parameter ``rank``, and ``n_components=report.rank["eeg"]`` to an ICA.

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for label, inst, color in styles[:2]:
    values = np.linalg.eigvalsh(np.cov(1e6 * inst.get_data(cap)))[::-1]
    label = "all channels recorded" if label == "truth" else "three of them restored"
    ax.semilogy(range(1, len(values) + 1), values, "o-", ms=4, color=color, label=label)
ax.axvline(report.rank["eeg"] + 0.5, color="0.6", ls="--", lw=1, label="report.rank")
ax.set(xlabel="Component", ylabel="Variance (µV²)", xticks=range(1, 20, 3))
ax.legend()
plt.show()

# %%
# Summary of the limitations
# --------------------------
#
# Do not trust a restored channel with a low ``expected_r``; check it in particular at the edge of
# the cap and next to other bad channels. Do not interpret segments annotated as ``INVENTED``. Do
# not measure power in the output ``"mean"``, and do not compute connectivity with restored
# channels. Do not let ICA or a whitener estimate the rank. Finally, the report is an average over
# clean data of this recording: it cannot show that the bad channel alone recorded something, such
# as an epileptic spike below one electrode. If that is what you are looking for, no interpolation
# will recover it.
