# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Channels, montages and preprocessing
====================================

Which of my channels does the model know, and in which form does it want them? Gram was trained on a
fixed list of 130 channel names. This tutorial shows how the channels of a recording find their
places in that list, what to do about those that do not, and what
:func:`mne_gram.preprocess` does to the signals.
"""

# %%
# Names
# -----
#
# The list is :data:`mne_gram.montage.CH_NAMES`: 114 electrodes and 16 bipolar derivations. A
# channel enters the network as its place in this list, never as its place in your file, so the
# order of your channels makes no difference.

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_gram

mne.set_log_level("warning")
print(len(mne_gram.montage.CH_NAMES), *mne_gram.montage.CH_NAMES[:6], "...")

# %%
# Files from clinics and from old amplifiers bring names of their own.
# :func:`mne_gram.match_channels` reads most of them. Here it is asked not to complain about those
# that it cannot place, so that we see the whole table.

names = ["EEG Fp1-LE", "EEG F7-REF", "Fc5.", "Cz..", "T3", "A1", "FP1-F7", "F7-FP1", "EEG 001"]
info = mne.create_info(names, 200.0, "eeg")
print(mne_gram.match_channels(info, on_missing="ignore"))

# %%
# Read the column ``how`` from the top:
#
# - ``name``: prefix, reference and dots were taken off. ``T3`` is the old name of ``T7``; the model
#   was trained with the new names, so the entry is T7.
# - ``exact``: the name is that of the entry. Capitals do not matter.
# - ``bipolar``: one of the 16 derivations that the list holds.
# - ``none``: the note says why. ``F7-FP1`` is refused, although its mirror image is in the list:
#   its sign is the opposite. ``EEG 001`` could be anything.
#
# Unless it is told otherwise, the function stops at channels without an entry and says what to do.

try:
    mne_gram.match_channels(info)
except ValueError as error:
    print(error)

# %%
# Positions
# ---------
#
# Some caps have names that say nothing, such as ``E1`` to ``E64``. If the recording has positions,
# these decide: an electrode takes the nearest free entry within 2 cm. This is the table of an EGI
# cap, as a data frame.

montage = mne.channels.make_standard_montage("GSN-HydroCel-64_1.0")
info = mne.create_info(montage.ch_names, 200.0, "eeg").set_montage(montage)
channel_map = mne_gram.match_channels(info, on_missing="ignore")
channel_map.to_data_frame()[["channel", "entry", "how", "distance"]].head(8)

# %%
# And this is its map beside that of the bundled recording, whose names are all in the list. Grey
# dots are entries that nobody took. Every cap fills a part of the list, and the network takes any
# part.

sample = mne_gram.datasets.sample()
fig, axes = plt.subplots(1, 2, figsize=(11, 5.5), layout="constrained")
for ax, drawn in zip(axes, [mne_gram.match_channels(sample.info), channel_map], strict=True):
    drawn.plot(axes=ax, show=False)
fig.suptitle("The bundled recording, matched by name; an EGI cap, matched by position")
plt.show()

# %%
# Nine electrodes of the EGI cap take no entry: they lie on the face and neck, where the list has
# none, or so near to others that the entry is taken. Functions that need the network, such as
# :func:`mne_gram.compute_embedding`, leave such channels out and warn. :func:`mne_gram.restore`
# needs no entry where a channel has a position.
#
# Preprocessing
# -------------
#
# The network knows EEG at 200 Hz, from 0.1 to 75 Hz, without the power line, in average reference.
# :func:`mne_gram.preprocess` brings a recording there on a copy, and MNE does all of the work. Data
# stay in volts. Here it gets two minutes of simulated EEG at 500 Hz, to which an amplifier added
# the power line, white noise and slow drifts.

raw, _ = mne_gram.training.simulate_raw(120.0, sfreq=500.0, line_freq=50.0, seed=3)
rng = np.random.default_rng(0)
raw.apply_function(lambda x: x + 5e-6 * rng.standard_normal(len(x)))
raw.apply_function(lambda x: x + 1e-6 * np.cumsum(rng.standard_normal(len(x))))
clean = mne_gram.preprocess(raw)
print(clean.info["sfreq"], clean.info["highpass"], clean.info["lowpass"])

# %%
# The figure shows what has gone: the line at 50 Hz, and what lies beyond the edges of the band. In
# between, nothing changed but the reference.

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for inst, label, color in [(raw, "before", "#AAAAAA"), (clean, "after", "#0072B2")]:
    spectrum = inst.compute_psd(n_fft=int(40 * inst.info["sfreq"]))
    power = spectrum.get_data().mean(axis=0)
    ax.loglog(spectrum.freqs, 1e12 * power, label=label, color=color, lw=1)
ax.axvspan(0.1, 75, color="#0072B2", alpha=0.07, label="what the network knows")
ax.set(xlabel="Frequency (Hz)", ylabel="Power (µV²/Hz)", xlim=(0.025, 250), ylim=(1e-4, None))
ax.legend()
plt.show()

# %%
# You rarely call it yourself: :func:`mne_gram.compute_embedding`,
# :func:`mne_gram.compute_tokens` and the classifiers do. :func:`mne_gram.restore` leaves rate, band
# and reference of your data as they are, so it needs no preprocessing at all.
#
# What errors look like
# ---------------------
#
# A file whose header is wrong about the unit is the commonest trap. Nothing is guessed; the message
# says what was found, what was expected and which line of code mends it.

microvolts = raw.copy().apply_function(lambda x: 1e6 * x)
try:
    mne_gram.preprocess(microvolts)
except ValueError as error:
    print(error)

# %%
# An amplifier that writes the right unit and a broken electrode:

broken = raw.copy().apply_function(lambda x: x * float("nan"), picks=["Cz"])
try:
    mne_gram.preprocess(broken)
except ValueError as error:
    print(error)

# %%
# What is unusual but possible is a warning, not an error: data that were filtered more tightly than
# the model's band, a power line whose frequency nobody stated, a reference that is not the average.
#
# Limits
# ------
#
# Matching by position allows 2 cm. An entry 1.5 cm away is the best there is, but not the same
# place, so an embedding of an EGI cap is not quite comparable with one of a 10-20 cap. Names are
# believed unless positions contradict them; if a recording has wrong names and no positions,
# nothing can notice. A high-pass at 0.1 Hz needs 33 s without a cut: in shorter recordings and in
# epochs the mean is subtracted instead, with a warning, so preprocess before you epoch. And a unit
# can only be checked by its size: data in a tenth of a millivolt pass as very large EEG.
