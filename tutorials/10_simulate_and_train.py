# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Simulate EEG, and train on it
=============================

How to make EEG of which everything is known, and how the networks are trained. The training here
is a toy of a few steps that needs no recordings; :doc:`/pretraining` says how it is done in
earnest.
"""

# %%
# EEG with ground truth
# ---------------------
# :func:`mne_gram.training.simulate_raw` returns a recording and what it is made of: what the brain
# gave, and each kind of artefact, which add up to the recording.
import tempfile
from pathlib import Path

import mne
import numpy as np

import mne_gram
from mne_gram.models import tokenizer_nano
from mne_gram.training.logs import read_log

raw, truth = mne_gram.training.simulate_raw(20.0, bads=["C3"], seed=1)
print(raw)
for kind, part in truth.parts.items():
    print(f"{kind:10} {1e6 * np.std(part):6.2f} µV")

# %%
# One channel was made noisy. How well is it repaired? The truth knows.
restored = mne_gram.restore(raw)
channel = raw.ch_names.index("C3")
for name, data in (("noisy", raw.get_data()), ("restored", restored.get_data())):
    r = np.corrcoef(data[channel], truth.clean[channel])[0, 1]
    print(f"{name:10} correlation with what C3 would have been {r:.2f}")

# %%
# Training
# --------
# Stage 1 learns a codebook of patches of one second. Without a corpus, all batches are simulated.
# What is trained here is the smallest network there is, for a few steps; the bundled model took
# some thousands.
out = Path(tempfile.mkdtemp())
training = mne_gram.training.TrainingConfig(
    n_steps=30,
    n_parts=1,
    tokens_per_part=1024,
    learning_rate=2e-3,
    simulated_share=1.0,
    code_gain=40.0,
    free_steps=20,
    start_tokens=1024,
    log_every=1,
)
config = tokenizer_nano()
with mne.use_log_level("warning"):
    model = mne_gram.pretrain_tokenizer(None, out, config=config, training=training)
print(model)

# %%
# The folder of the run holds a checkpoint, from which the same call goes on after an interruption,
# the model, and the log. Nothing is quantised in the first 20 steps; then the codebook starts.
log = read_log(out)
losses = log[log["name"] == "reconstruction"]["value"].to_numpy()
print(np.round(losses[::3], 2))
