# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Pre-train your own
==================

How do I train Gram on my own recordings? This tutorial goes all the way with a toy: simulated
recordings as files, a corpus, the two stages of training, and a model that the rest of the package
takes. Every step is the real one, only smaller. :doc:`/pretraining` says how it is done in earnest.
"""

# %%
# Recordings
# ----------
#
# Here :func:`mne_gram.training.simulate_raw` makes them: each seed is another person, and the truth
# tells what a recording is made of. That is of use beyond this page, whenever you want to know how
# well a method does. The figure shows four seconds of one channel, part by part; they add up.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_gram
from mne_gram.models import gram_nano, tokenizer_nano
from mne_gram.training import read_log

mne.set_log_level("warning")
blue, orange = "#0072B2", "#D55E00"

raw, truth = mne_gram.training.simulate_raw(20.0, seed=1)
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
# Six people with 40 seconds each, written as files. Use your own in any format that MNE reads, or
# whole BIDS data sets.

folder = Path(tempfile.mkdtemp())
files = []
for person in range(1, 7):
    raw, _ = mne_gram.training.simulate_raw(40.0, seed=person)
    files.append(folder / f"sub-{person:02d}_raw.fif")
    raw.save(files[-1])

# %%
# The corpus
# ----------
#
# :func:`mne_gram.training.prepare_corpus` preprocesses every recording once and stores it in a form
# that training can read at random. Seconds that are flat, clipped or huge, bad channels and
# ``BAD_`` annotations are marked and not trained on. Repeat the call when files were added: it does
# what is new.

corpus = mne_gram.training.prepare_corpus(folder / "corpus", files=files)
print(corpus)

# %%
# Stage 1: the tokenizer
# ----------------------
#
# The tokenizer learns a codebook of waveforms of a second. ``tokenizer_nano`` is the smallest
# network there is. For the first 30 steps it learns without a codebook, which makes a good start;
# then the codebook is made from what it knows by then. Every third person is not trained on but
# watched. A fifth of the batches is simulated, to show that the two can be mixed.

training = mne_gram.training.TrainingConfig(
    n_steps=50,
    n_parts=1,
    tokens_per_part=256,
    learning_rate=2e-3,
    simulated_share=0.2,
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
# The second stage hides a part of each window and learns to name the classes of what is hidden. The
# same call, with the tokenizer of before.

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
# Look at the curves
# ------------------
#
# Everything is logged to ``log.csv`` in the folder of the run, and drawn to ``curves.png``. Two
# things matter: that the loss of people who are watched falls with that of the others, and that
# many classes are in use, which the perplexity tells: as many equally frequent ones would be as
# diverse.

logs = {stage: read_log(folder / stage) for stage in ["tokenizer", "gram"]}
log = logs["tokenizer"]
perplexity = log.loc[log["name"] == "perplexity", "value"].iloc[-1]
print(f"Perplexity in people who are watched: {perplexity:.0f} of 64 classes")

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
axes[0].legend(["trained on", "watched", "the codebook starts"], fontsize=8)
axes[1].legend(["trained on", "watched", "guessing among 64 classes"], fontsize=8)
plt.show()

# %%
# The first stage has learnt rough waveforms. The second has hardly begun: it is a little better
# than guessing. That takes thousands of steps.
#
# Use it
# ------
#
# The folder of each run has the model in ``model/``, which all of the package takes by its path.
# Its card says what it was trained on, so whoever shares the folder shares that too.

model = mne_gram.load_model(folder / "gram" / "model")
print(sorted(model.card))
print(mne_gram.compute_embedding(raw, model=folder / "gram" / "model"))

# %%
# If a run is stopped, give the same call again: it goes on from its last checkpoint, to the same
# result. On the command line the three steps are ``mne_gram pretrain prepare``, ``tokenizer`` and
# ``gram``, and ``mne_gram pretrain recipe gram-tiny --bids-root A --out models`` makes a model like
# the bundled one in one go.
#
# Limits
# ------
#
# This toy has seen three minutes of simulated EEG, and its embeddings are useless. The bundled
# ``gram-tiny`` took thousands of steps on recordings of 70 people, and still is small beside the
# published network. A loss that falls does not say that embeddings are good for your
# question: test that on a task. Simulated EEG has the spectra and the geometry of real EEG, but
# only the rhythms and artefacts that somebody thought of. And recordings of people go into the
# weights: check that their consent allows you to share a model.
