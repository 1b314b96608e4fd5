# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Embeddings and tokens
=====================

What does the network make of my recording? Gram has two halves. The tokenizer gives each second of
each channel a number, its base class. The encoder turns a window of all channels into a vector, its
embedding. This tutorial computes both, looks at them, and stores them.
"""

# %%
# Tokens
# ------
#
# We take the bundled recording and repair it first: an artefact of hundreds of microvolts rings in
# filters, and all patches of a window see each other. Both functions preprocess by themselves; as
# 20 seconds are too short for a high-pass at 0.1 Hz, we filter at 1 Hz before.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import torch

import mne_gram

mne.set_log_level("warning")
blue = "#0072B2"

raw = mne_gram.restore(mne_gram.datasets.sample()).filter(1.0, None)
raw = mne_gram.preprocess(raw, l_freq=None)
tokens = mne_gram.compute_tokens(raw, preprocess=False)
print(tokens)
print(tokens.data.shape)

# %%
# ``tokens.data`` has the shape ``(n_windows, n_channels, n_patches)``: 20 seconds make a window of
# 16 s, which is what the network takes at once, and one of 4 s that is padded with -1. As a table
# it has a row a patch.

tokens.to_data_frame().head()

# %%
# What does a class stand for? A waveform of one second. These are the most frequent ones of this
# recording, with the share of patches that they name.

fig = mne_gram.viz.plot_base_classes(tokens, n_classes=15)

# %%
# The person blinks a lot, and a blink goes into most channels. The same blink a quarter of a second
# later is another class: a class is a shape at a place within the second. Some of the other classes
# are slow drifts, some are rhythms.
#
# How well does a class describe its second? The decoder turns the classes of a window back into
# waveforms. It knows neither amplitude nor offset, as the tokenizer was trained to get the shape
# right, so both are fitted to each second here.

model = mne_gram.load_model("gram-tiny")
rows = mne_gram.match_channels(raw.info).indices.tolist()
with torch.inference_mode():
    waveforms = model.tokenizer.decode(torch.from_numpy(tokens.data[:1]), rows)[0].numpy()

fig, axes = plt.subplots(3, 1, figsize=(10, 6), sharex=True, layout="constrained")
for ax, channel in zip(axes, ["Fpz", "Cz", "Oz"], strict=True):
    k = raw.ch_names.index(channel)
    signal = 1e6 * raw.get_data(channel, stop=1200)[0]
    ax.plot(raw.times[:1200], signal, color="black", lw=0.8, label="signal")
    for second in range(6):
        patch = signal[200 * second : 200 * (second + 1)]
        gain, offset = np.polyfit(waveforms[k, second], patch, 1)
        times = second + np.arange(200) / 200
        label = "class, decoded" if second == 0 else None
        ax.plot(times, gain * waveforms[k, second] + offset, color=blue, lw=1.5, label=label)
        ax.axvline(second, color="0.8", lw=0.7)
        ax.annotate(tokens.data[0, k, second], (second + 0.04, 0.04), fontsize=8, color=blue,
                    xycoords=("data", "axes fraction"))  # fmt: skip
    ax.set(title=channel, ylabel="µV", xlim=(0, 6))
axes[0].legend(loc="upper right", ncols=2, fontsize=8)
axes[-1].set_xlabel("Time (s)")
plt.show()

# %%
# The bundled tokenizer is small. It keeps what is slow and large, and gives up what is fast and
# small.
#
# Many classes, each used rarely, is what a codebook should look like. If a few classes named nearly
# everything, tokens would tell little.

fig = mne_gram.viz.plot_codebook_usage(tokens)

# %%
# Embeddings
# ----------
#
# For vectors we need more than one state. Three simulated people are awake, and asleep with
# spindles and slow waves. Preprocessing comes before cutting into epochs, as filters need length.
# What the metadata say about an epoch stays with its vector.

epochs = []
for person in range(3):
    for state in ["awake", "asleep"]:
        raw, _ = mne_gram.training.simulate_raw(60.0, asleep=state == "asleep", seed=person)
        raw.set_annotations(None)  # of blinks, which are of no use here
        cut = mne.make_fixed_length_epochs(mne_gram.preprocess(raw), 4.0, preload=True)
        cut.metadata = pd.DataFrame({"person": f"person {person}", "state": state}, range(len(cut)))
        epochs.append(cut)
epochs = mne.concatenate_epochs(epochs)

embedding = mne_gram.compute_embedding(epochs, preprocess=False)
print(embedding)

# %%
# ``embedding.data`` is an array, a row a window, ready for anything. ``pool`` decides what becomes
# of a window: its CLS vector, as here, the mean over its patches, or one vector for each channel,
# second or patch.

for pool in ["cls", "mean", "channels", "patches"]:
    print(
        f"{pool:9}", mne_gram.compute_embedding(epochs[:5], pool=pool, preprocess=False).data.shape
    )

# %%
# The two directions in which the vectors vary most, once coloured by state and once by person.

fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for ax, color in zip(axes, ["state", "person"], strict=True):
    mne_gram.viz.plot_embedding(embedding, color=color, axes=ax, show=False)
plt.show()

# %%
# What differs most is who it is, not what the person does. That is so with real people too, and it
# is why a classifier has to be tested on people that it has not seen:
# :doc:`50_classify_without_leaking`.
#
# Tables and files
# ----------------
#
# A data frame has the metadata in front and the vector behind.

embedding.to_data_frame().iloc[:3, :10]

# %%
# Files are plain ``.npz`` without pickles. They hold the checksum of the weights, as vectors and
# classes of different weights must not be mixed.

folder = Path(tempfile.mkdtemp())
embedding.save(folder / "sub-01_embedding.npz")
tokens.save(folder / "sub-01_tokens.npz")
again = mne_gram.read_embedding(folder / "sub-01_embedding.npz")
print(again, again.sha256[:12])
assert np.array_equal(again.data, embedding.data)

# %%
# Limits
# ------
#
# An embedding is as good as the model. ``gram-tiny`` was trained for an hour on a laptop's worth of
# cores, with three hours of EEG of 70 people (:doc:`/gram_tiny`); the published weights
# (:doc:`90_published_weights`) are another league. The class of a patch depends on the other
# patches of its window, so the same second in another window, or with other channels, can get
# another class. Dimensions of a vector have no meaning one by one. Two groups that lie apart in a
# scatter plot may differ in muscle tone, amplifier or cap. And vectors of recordings with different
# channels can be compared only as far as the network has learnt to ignore which channels there
# were.
