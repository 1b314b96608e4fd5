# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Use the published weights
=========================

How can the weights published by the authors of Gram be used in MNE? They cannot be included in this
package, and there is no direct link to them: you download two files manually, and one call converts
them. This tutorial shows that call. Since it has to work offline, a small file of the same form
with random weights replaces the download.
"""

# %%
# Available models
# ----------------
#
# A small model comes with the package. ``gram-base`` is the published one, which is not installed
# yet. Models are stored in ``~/mne_data/mne_gram-models``, or wherever ``MNE_DATA`` or
# ``MNE_GRAM_MODELS`` points. For this page it is a temporary folder; you do not need that line.

import os
import re
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import torch

import mne_gram
from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano

mne.set_log_level("warning")
folder = Path(tempfile.mkdtemp())
os.environ["MNE_GRAM_MODELS"] = str(folder / "models")

for info in mne_gram.list_models():
    print(f"{info.name:19} {'here' if info.present else 'not here':9} {info.description}")

# %%
# Requesting the model
# --------------------
#
# :func:`mne_gram.fetch_model` explains the manual steps.

try:
    mne_gram.fetch_model("gram-base")
except RuntimeError as error:
    print(error)

# %%
# A replacement for the download
# ------------------------------
#
# Skip this block if you have the real ``base.pth``. A published file is a dictionary saved by
# ``torch.save``: ``model`` contains the tensors of stage 2, and those of stage 1 under ``vqgan.``;
# ``cf`` contains the settings. Here both stages are tiny, with random weights, under the published
# names.

BLOCKS = [
    (r"\.patch_embedding\.", ".tconv."),
    (r"\.positions\.channels$", ".ch_emb"),
    (r"\.positions\.times$", ".time_emb"),
    (r"(blocks\.\d+\.)norm([12])", r"\1ln\2"),
    (r"(blocks\.\d+\.)scale([12])", r"\1gamma_\2"),
]
STAGE_1 = [
    (r"coder\.norm\.", "coder.ln_f."),
    (r"^decoder\.project\.", "decoder.conv_emb.proj."),
    (r"^code_head\.", "encode_task_layer."),
    (r"^codebook$", "quantize.embedding.weight"),
]
STAGE_2 = [
    (r"^encoder\.fusion\.projections\.", "proj_layers."),
    (r"^encoder\.fusion\.weights$", "proj_weights"),
    (r"^encoder\.cls$", "cls_token"),
    (r"^spectral_head\.", "mimic_head."),
    (r"^decoder\.project\.", "decoder_embed."),
    (r"^decoder\.head\.", "decoder_pred."),
    (r"^encoder\.", ""),
    (r"^decoder\.", "decoder_"),
]


def rename(network, patterns, prefix=""):
    """Return the tensors of a network under their published names."""
    tensors = {}
    tables = {name: x for name, x in network.named_buffers() if ".positions." in name}
    for name, tensor in {**tables, **network.state_dict()}.items():
        if ".positions." in name:  # published tables have an axis in front
            tensor = tensor[None]
        for pattern, replacement in BLOCKS + patterns:
            name = re.sub(pattern, replacement, name)
        tensors[prefix + name] = tensor
    return tensors


tokenizer, gram = Tokenizer(tokenizer_nano(), seed=0), Gram(gram_nano(), seed=0)
settings = {"n_head": 4, "decoder_n_head": 10, "out_indices": [0, 1], "if_mff": True}
settings |= {"if_mimic": True, "if_pad_with_cls_token": True}
settings |= {"if_sandwich_norm": False, "if_causal_attention": False}
tensors = rename(gram, STAGE_2) | rename(tokenizer, STAGE_1, "vqgan.")
torch.save({"model": tensors, "cf": settings, "epoch": 49}, folder / "base.pth")

# %%
# Converting
# ----------
#
# Put the file into the folder of models and call the function again. The file is converted once;
# later calls return immediately. The sha256 of the file is logged, so that you can record which
# file your results are based on.

(folder / "models").mkdir()
shutil.copy(folder / "base.pth", folder / "models" / "base.pth")
mne_gram.fetch_model("gram-base", verbose="info")
print(*sorted(path.name for path in (folder / "models" / "gram-base").iterdir()))

# %%
# A file in another place is converted by :func:`mne_gram.convert_checkpoint`, to any folder, or on
# the command line by ``mne_gram weights convert base.pth my-gram``. The second published file,
# stage 1, is only needed if you want that stage alone: stage 2 contains it too.

mne_gram.convert_checkpoint(folder / "base.pth", folder / "my-gram")
model = mne_gram.load_model(folder / "my-gram")
print(model)
print(model.card["sources"])

# %%
# Nothing in a downloaded file is ever executed. A file that contains anything but tensors, numbers
# and text is refused.

torch.save({"model": tensors, "cf": {"window": os.getcwd}}, folder / "suspicious.pth")
try:
    mne_gram.convert_checkpoint(folder / "suspicious.pth", folder / "no")
except RuntimeError as error:
    print(str(error).replace(str(folder), "..."))

# %%
# Using the model
# ---------------
#
# From now on its name is accepted wherever a model is needed: ``compute_embedding``,
# ``compute_tokens``, ``GramClassifier(model="gram-base")``, ``restore(method="gram",
# model="gram-base")``.

raw = mne_gram.datasets.sample()
raw = mne_gram.restore(raw, method="spatial").filter(1.0, None)
raw = mne_gram.preprocess(raw, l_freq=None)
embedding = mne_gram.compute_embedding(raw, model="gram-base", preprocess=False)
print(embedding)

# %%
# Is the model any good? Plot its base classes before you use it. A trained tokenizer has EEG
# waveforms in its codebook: blinks, rhythms, drifts. Random weights, as in our replacement, give
# the same meaningless spikes for every class. If your converted file looks like the second row,
# something went wrong.

fig, axes = plt.subplots(2, 6, figsize=(11, 4), sharex=True, layout="constrained")
for row, name in zip(axes, ["gram-tiny", "gram-base"], strict=True):
    tokens = mne_gram.compute_tokens(raw, model=name, preprocess=False)
    mne_gram.viz.plot_base_classes(tokens, n_classes=6, axes=row, show=False)
    row[0].set_ylabel(name if name == "gram-tiny" else "random weights")
for ax in axes[1]:
    ax.set_xlabel("Time (s)")
plt.show()

# %%
# Limitations
# -----------
#
# The conversion is tested against outputs of the published network, so it computes what the
# authors' network computes from the same input. How well the model works on your data is another
# question. The published repository states no licence: whether you may use the weights for your
# purpose is between you and the authors, and this package neither contains nor distributes them.
# Only Gram-Base is published. It is much larger than ``gram-tiny`` and correspondingly slower. If
# you use it, cite Li et al. (2025); the card of the converted model contains the reference.
