# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Channels, montages and preprocessing
====================================

Which of your channels does the model know, and which preprocessing does it need? Gram was trained
on a fixed list of 130 channel names. This tutorial shows how the channels of a recording are
matched to that list, what to do about channels that are not in it, and what
:func:`mne_gram.preprocess` does to the signals.
"""

# %%
# Channel names
# -------------
#
# The list is :data:`mne_gram.montage.CH_NAMES`: 114 electrodes and 16 bipolar derivations. The
# network identifies a channel by its place in this list, not by its place in your file, so the
# order of your channels does not matter.

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_gram
from mne_gram.simulation import simulate_raw

mne.set_log_level("warning")
print(len(mne_gram.montage.CH_NAMES), *mne_gram.montage.CH_NAMES[:6], "...")

# %%
# Files from hospitals and old amplifiers use other names. :func:`mne_gram.match_channels`
# understands most of them. Here it is told to ignore channels that it cannot match, so that the
# complete table is shown.

names = ["EEG Fp1-LE", "EEG F7-REF", "Fc5.", "Cz..", "T3", "A1", "FP1-F7", "F7-FP1", "EEG 001"]
info = mne.create_info(names, 200.0, "eeg")
print(mne_gram.match_channels(info, on_missing="ignore"))

# %%
# The column ``how`` explains each match, from the top:
#
# - ``name``: prefix, reference and dots were removed. ``T3`` is the old name of ``T7``; the model
#   was trained with the new names, so the entry is T7.
# - ``exact``: the name is that of the entry. Upper and lower case are equivalent.
# - ``bipolar``: one of the 16 derivations in the list.
# - ``none``: the note gives the reason. ``F7-FP1`` is refused although its mirror image is in the
#   list, because its sign is opposite. ``EEG 001`` could be any electrode.
#
# By default, channels without an entry raise an error that says what to do.

try:
    mne_gram.match_channels(info)
except ValueError as error:
    print(error)

# %%
# Positions
# ---------
#
# Some caps have names without a meaning, such as ``E1`` to ``E64``. If the recording has electrode
# positions, these are used: an electrode takes the nearest free entry within 2 cm. This is the
# table for an EGI cap, as a data frame.

montage = mne.channels.make_standard_montage("GSN-HydroCel-64_1.0")
info = mne.create_info(montage.ch_names, 200.0, "eeg").set_montage(montage)
channel_map = mne_gram.match_channels(info, on_missing="ignore")
channel_map.to_data_frame()[["channel", "entry", "how", "distance"]].head(8)

# %%
# The map of this cap, next to that of the bundled recording, whose names are all in the list. Grey
# dots are entries without a channel. Every cap uses only some of the entries, and the network
# accepts any subset.

sample = mne_gram.datasets.sample()
fig, axes = plt.subplots(1, 2, figsize=(11, 5.5), layout="constrained")
for ax, drawn in zip(axes, [mne_gram.match_channels(sample.info), channel_map], strict=True):
    drawn.plot(axes=ax, show=False)
fig.suptitle("The bundled recording, matched by name; an EGI cap, matched by position")
plt.show()

# %%
# Nine electrodes of the EGI cap have no entry: they are on the face and neck, where the list has
# none, or so close to others that the entry is taken. Functions that need the network, such as
# :func:`mne_gram.compute_embedding`, leave out such channels with a warning.
# :func:`mne_gram.restore` does not need an entry if a channel has a position.
#
# Preprocessing
# -------------
#
# The network was trained on EEG at 200 Hz, from 0.1 to 75 Hz, without line noise and in average
# reference. :func:`mne_gram.preprocess` converts a copy of a recording accordingly, using MNE's own
# functions. Data remain in volts. Here it is applied to two minutes of simulated EEG at 500 Hz with
# line noise, white noise and slow drifts.

raw, _ = simulate_raw(120.0, sfreq=500.0, line_freq=50.0, seed=3)
rng = np.random.default_rng(0)
raw.apply_function(lambda x: x + 5e-6 * rng.standard_normal(len(x)))
raw.apply_function(lambda x: x + 1e-6 * np.cumsum(rng.standard_normal(len(x))))
clean = mne_gram.preprocess(raw)
print(clean.info["sfreq"], clean.info["highpass"], clean.info["lowpass"])

# %%
# The figure shows what was removed: the line at 50 Hz and everything outside the pass-band. In
# between, only the reference has changed.

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for inst, label, color in [(raw, "before", "#AAAAAA"), (clean, "after", "#0072B2")]:
    spectrum = inst.compute_psd(n_fft=int(40 * inst.info["sfreq"]))
    power = spectrum.get_data().mean(axis=0)
    ax.loglog(spectrum.freqs, 1e12 * power, label=label, color=color, lw=1)
ax.axvspan(0.1, 75, color="#0072B2", alpha=0.07, label="pass-band of the network")
ax.set(xlabel="Frequency (Hz)", ylabel="Power (µV²/Hz)", xlim=(0.025, 250), ylim=(1e-4, None))
ax.legend()
plt.show()

# %%
# You rarely need to call it yourself: :func:`mne_gram.compute_embedding`,
# :func:`mne_gram.compute_tokens` and the classifiers do. :func:`mne_gram.restore` preserves
# sampling rate, band and reference of your data, so it needs no preprocessing.
#
# Error messages
# --------------
#
# The most common problem is a file whose header has the wrong unit. The package does not guess; the
# message says what was found, what was expected and which line of code fixes it.

microvolts = raw.copy().apply_function(lambda x: 1e6 * x)
try:
    mne_gram.preprocess(microvolts)
except ValueError as error:
    print(error)

# %%
# The right unit, but a broken electrode:

broken = raw.copy().apply_function(lambda x: x * float("nan"), picks=["Cz"])
try:
    mne_gram.preprocess(broken)
except ValueError as error:
    print(error)

# %%
# Unusual but possible data cause a warning instead of an error: data that were filtered more
# narrowly than the band of the model, an unknown line frequency, or a reference other than the
# average.
#
# Limitations
# -----------
#
# Matching by position allows 2 cm. An entry 1.5 cm away is the best available, but not the same
# place, so embeddings of an EGI cap are not fully comparable with those of a 10-20 cap. Names are
# trusted unless positions contradict them; wrong names without positions cannot be detected. A
# high-pass at 0.1 Hz needs 33 s without interruption: in shorter recordings and in epochs the mean
# is subtracted instead, with a warning, so preprocess before you epoch. And a unit can only be
# checked by the amplitude: data in tenths of a millivolt pass as very large EEG.
