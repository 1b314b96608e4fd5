# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Pre-train your own
==================

How can Gram be trained on your own recordings? This tutorial shows the complete process with a toy
example: simulated recordings as files, a corpus, the two stages of training, and a model that the
rest of the package accepts. Every step is the real one, only smaller. :doc:`/pretraining` describes
how to do it at full scale.
"""

# %%
# Recordings
# ----------
#
# The recordings are made by :func:`mne_gram.simulation.simulate_raw`: each seed is another subject,
# and the truth contains the components of the recording. This is also useful to test how well a
# method works. The figure shows four seconds of one channel and its components, which add up to the
# recording.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_gram
from mne_gram.models import gram_nano, tokenizer_nano
from mne_gram.simulation import simulate_raw
from mne_gram.training import read_log

mne.set_log_level("warning")
blue, orange = "#0072B2", "#D55E00"

raw, truth = simulate_raw(20.0, seed=1)
row, window = raw.ch_names.index("Fp1"), slice(0, 800)
fig, axes = plt.subplots(len(truth.parts) + 1, 1, figsize=(8, 6), sharex=True, layout="constrained")
for ax, (kind, part) in zip(
    axes, {**truth.parts, "recording": raw.get_data()}.items(), strict=True
):
    color = "black" if kind == "recording" else blue
    ax.plot(raw.times[window], 1e6 * part[row, window], color=color, lw=0.8)
    ax.set_ylabel(f"{kind}\n(µV)")
axes[0].set_title("Fp1 of a simulated recording")
axes[-1].set_xlabel("Time (s)")
plt.show()

# %%
# Six subjects with 40 seconds each, written to files. Use your own files in any format that MNE
# reads, or whole BIDS data sets.

folder = Path(tempfile.mkdtemp())
files = []
for subject in range(1, 7):
    raw, _ = simulate_raw(40.0, seed=subject)
    files.append(folder / f"sub-{subject:02d}_raw.fif")
    raw.save(files[-1])

# %%
# The corpus
# ----------
#
# :func:`mne_gram.training.prepare_corpus` preprocesses every recording once and stores it for fast
# random access during training. Flat, clipped and very large seconds, bad channels and ``BAD_``
# annotations are marked and excluded from training. Repeat the call after adding files: it only
# processes what is new.

corpus = mne_gram.training.prepare_corpus(folder / "corpus", files=files)
print(corpus)

# %%
# Stage 1: the tokenizer
# ----------------------
#
# The tokenizer learns a codebook of one-second waveforms. ``tokenizer_nano`` is the smallest
# available network. For the first 30 steps it learns without a codebook, which is a good start; the
# codebook is then initialised from what it has learnt. Every third subject is used for validation,
# not for training.

training = mne_gram.training.TrainingConfig(
    n_steps=50,
    n_parts=1,
    tokens_per_part=256,
    learning_rate=2e-3,
    code_gain=40.0,
    free_steps=30,
    start_tokens=256,
    hold_out_every=3,
    average=0.9,
    validate_every=25,
    log_every=1,
)
first = mne_gram.pretrain_tokenizer(
    corpus, folder / "tokenizer", config=tokenizer_nano(), training=training
)
print(first)

# %%
# Stage 2: the masked autoencoder
# -------------------------------
#
# The second stage hides some patches of each window and learns to predict their classes. The call
# is the same, with the tokenizer from the first stage.

training = mne_gram.training.TrainingConfig(
    n_steps=30,
    n_parts=1,
    tokens_per_part=256,
    learning_rate=2e-3,
    hold_out_every=3,
    average=0.9,
    validate_every=15,
    log_every=1,
)
model = mne_gram.pretrain(corpus, first, folder / "gram", config=gram_nano(), training=training)
print(model)

# %%
# Learning curves
# ---------------
#
# Everything is logged to ``log.csv`` in the folder of the run and plotted to ``curves.png``. Two
# things matter: that the loss in validation subjects falls together with that in training subjects,
# and that many classes are in use. The latter is measured by the perplexity, the number of equally
# frequent classes with the same diversity.

logs = {stage: read_log(folder / stage) for stage in ["tokenizer", "gram"]}
log = logs["tokenizer"]
perplexity = log.loc[log["name"] == "perplexity", "value"].iloc[-1]
print(f"Perplexity in validation subjects: {perplexity:.0f} of 64 classes")

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
panels = [
    ("tokenizer", ("reconstruction", "cosine"), "Stage 1: error of the waveforms (1 - cosine)"),
    ("gram", ("cross_entropy", "cross_entropy"), "Stage 2: cross-entropy of hidden classes"),
]
for ax, (stage, names, title) in zip(axes, panels, strict=True):
    log = logs[stage]
    for name, split, color in zip(names, ["train", "validation"], [blue, orange], strict=True):
        rows = log[(log["name"] == name) & (log["split"] == split)]
        mean = rows.groupby("step")["value"].mean()
        mean = 1 - mean if name == "cosine" else mean
        ax.plot(mean.index, mean, ".-" if split == "train" else "o-", color=color, lw=1)
    ax.set(title=title, xlabel="Step")
axes[0].axvline(30, color="0.6", ls=":")
axes[1].axhline(np.log(64), color="0.6", ls=":")
axes[0].legend(["training", "validation", "the codebook starts"], fontsize=8)
axes[1].legend(["training", "validation", "guessing among 64 classes"], fontsize=8)
plt.show()

# %%
# The first stage has learnt approximate waveforms. The second has hardly started: it is slightly
# better than guessing. More takes thousands of steps.
#
# Using the model
# ---------------
#
# The folder of each run contains the model in ``model/``, and all functions of the package accept
# its path. Its card describes the training data, so sharing the folder also shares that
# information.

model = mne_gram.load_model(folder / "gram" / "model")
print(sorted(model.card))
print(mne_gram.compute_embedding(raw, model=folder / "gram" / "model"))

# %%
# To resume a run after an interruption, repeat the call: it continues from its last checkpoint,
# with the same result. On the command line the three steps are ``mne_gram pretrain prepare``,
# ``tokenizer`` and ``gram``, and ``mne_gram pretrain recipe gram-tiny --bids-root A --out models``
# makes a model like the bundled one in a single step.
#
# Limitations
# -----------
#
# This toy was trained on three minutes of simulated EEG, and its embeddings are useless. The
# bundled ``gram-tiny`` was trained for thousands of steps on recordings of 70 subjects, and is
# still small compared with the published network. A decreasing loss does not show that embeddings
# are useful for your question: test them on a task. Simulated EEG has the spectra and the geometry
# of real EEG, but only the rhythms and artefacts that were built into it. And the weights are
# derived from recordings of your subjects: check that their consent allows you to share a model.
