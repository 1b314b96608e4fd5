# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Embeddings and tokens
=====================

What does the network compute from a recording? Gram has two stages. The tokenizer assigns a number,
its base class, to each second of each channel. The encoder converts a window of all channels into a
vector, its embedding. This tutorial computes, plots and saves both.
"""

# %%
# Tokens
# ------
#
# We use the bundled recording and repair it first, because an artefact of hundreds of microvolts
# rings in filters and because all patches of a window influence each other. Both functions
# preprocess the data themselves; as 20 seconds are too short for a high-pass filter at 0.1 Hz, we
# filter at 1 Hz beforehand.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import torch

import mne_gram
from mne_gram.simulation import simulate_raw

mne.set_log_level("warning")
blue = "#0072B2"

raw = mne_gram.restore(mne_gram.datasets.sample()).filter(1.0, None)
raw = mne_gram.preprocess(raw, l_freq=None)
tokens = mne_gram.compute_tokens(raw, preprocess=False)
print(tokens)
print(tokens.data.shape)

# %%
# ``tokens.data`` has the shape ``(n_windows, n_channels, n_patches)``: 20 seconds give one window
# of 16 s, the maximum of the network, and one of 4 s that is padded with -1. As a table it has one
# row per patch.

tokens.to_data_frame().head()

# %%
# What does a class represent? A waveform of one second. These are the most frequent ones in this
# recording, with the share of patches that belong to each.

fig = mne_gram.viz.plot_base_classes(tokens, n_classes=15)

# %%
# The subject blinks often, and blinks are visible in most channels. The same blink a quarter of a
# second later is another class, because a class is a waveform at a certain time within the second.
# Some of the other classes are slow drifts, others rhythms.
#
# How well does a class describe its second? The decoder converts the classes of a window back into
# waveforms. It does not know amplitude and offset, because the tokenizer was trained to reproduce
# the shape only, so both are fitted to each second here.

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
# The bundled tokenizer is small. It preserves slow, large signals and loses fast, small ones.
#
# A good codebook has many classes, each of which is used rarely. If a few classes covered nearly
# everything, tokens would carry little information.

fig = mne_gram.viz.plot_codebook_usage(tokens)

# %%
# Embeddings
# ----------
#
# To compare embeddings we need more than one state. Three simulated subjects are awake, and asleep
# with spindles and slow waves. Preprocess before cutting the data into epochs, because filters need
# length. The metadata of an epoch are kept with its embedding.

epochs = []
for subject in range(3):
    for state in ["awake", "asleep"]:
        raw, _ = simulate_raw(60.0, asleep=state == "asleep", seed=subject)
        raw.set_annotations(None)  # of blinks, which are of no use here
        cut = mne.make_fixed_length_epochs(mne_gram.preprocess(raw), 4.0, preload=True)
        cut.metadata = pd.DataFrame(
            {"subject": f"subject {subject}", "state": state}, range(len(cut))
        )
        epochs.append(cut)
epochs = mne.concatenate_epochs(epochs)

embedding = mne_gram.compute_embedding(epochs, preprocess=False)
print(embedding)

# %%
# ``embedding.data`` is an array with one row per window. ``pool`` selects what represents a window:
# its CLS vector, as here, the mean over its patches, or one vector for each channel, second or
# patch.

for pool in ["cls", "mean", "channels", "patches"]:
    print(
        f"{pool:9}", mne_gram.compute_embedding(epochs[:5], pool=pool, preprocess=False).data.shape
    )

# %%
# The two directions in which the embeddings vary most, coloured by state and by subject.

fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for ax, color in zip(axes, ["state", "subject"], strict=True):
    mne_gram.viz.plot_embedding(embedding, color=color, axes=ax, show=False)
plt.show()

# %%
# The largest differences are between subjects, not between states. The same is true for real
# subjects, and it is the reason why a classifier has to be tested on held-out subjects:
# :doc:`50_classify_without_leaking`.
#
# Tables and files
# ----------------
#
# A data frame contains the metadata first, then the vector.

embedding.to_data_frame().iloc[:3, :10]

# %%
# Files are plain ``.npz`` without pickles. They contain the checksum of the weights, because
# embeddings and classes from different weights must not be mixed.

folder = Path(tempfile.mkdtemp())
embedding.save(folder / "sub-01_embedding.npz")
tokens.save(folder / "sub-01_tokens.npz")
again = mne_gram.read_embedding(folder / "sub-01_embedding.npz")
print(again, again.sha256[:12])
assert np.array_equal(again.data, embedding.data)

# %%
# Limitations
# -----------
#
# An embedding is only as good as the model. ``gram-tiny`` was trained for an hour on two CPU cores,
# with three hours of EEG of 70 subjects (:doc:`/gram_tiny`); the published weights
# (:doc:`90_published_weights`) are a much larger model. The class of a patch depends on the other
# patches of its window, so the same second in another window, or with other channels, can get
# another class. The dimensions of an embedding have no individual meaning. Two groups that are
# separated in a scatter plot may differ in muscle tone, amplifier or cap. And embeddings of
# recordings with different channels are comparable only as far as the network has learnt to ignore
# which channels there are.
