# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A fine-tuned encoder: its low-rank adapters, what is stored of it, and its predictions.

Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..models import (
    PATCH_LENGTH,
    ClassificationNetwork,
    GramModel,
    draw_,
    encode_windows,
    split_patches,
)
from ._trial_reader import whole_seconds

_UP, _DOWN = ".up", ".down"


@dataclass(frozen=True)
class Adaptation:
    """What fine-tuning changed, as arrays, which need neither a device nor the network."""

    kind: str  #: "lora" or "full"
    tensors: dict  #: arrays by name: of the adapters, or of the whole encoder
    coef: np.ndarray  #: of the linear layer on the CLS vector, (n_classes, dim)
    intercept: np.ndarray  #: (n_classes,)
    sha256: str  #: checksum of the weights that training started from
    history: list  #: dicts of epoch, loss, validation_loss, validation_kappa; epoch 0 is the start
    best_epoch: int  #: the epoch of the tensors


class AdaptedNetwork(ClassificationNetwork):
    """The encoder and a linear layer, for windows of any length."""

    def forward(self, x, channels):
        """Classify windows (B, C, n * 200); longer ones in parts, as `encode_windows` does."""
        n_patches = x.shape[2] // PATCH_LENGTH
        cls = 0.0
        for start, stop in split_patches(n_patches, self.gram.config.max_patches):
            part = x[..., start * PATCH_LENGTH : stop * PATCH_LENGTH]
            cls = cls + self.gram.encode(part, channels).cls * ((stop - start) / n_patches)
        return self.head(cls)


class Adapter(nn.Module):
    """A frozen linear layer and its low-rank correction, which is zero at first."""

    def __init__(self, linear, rank, generator):
        super().__init__()
        self.linear = linear
        weight = linear.weight
        self.down = nn.Parameter(weight.new_empty(rank, linear.in_features))
        self.up = nn.Parameter(weight.new_zeros(linear.out_features, rank))
        bound = linear.in_features**-0.5
        draw_(self.down, lambda x: x.uniform_(-bound, bound, generator=generator))

    def forward(self, x):
        """Transform ``x (..., in_features)``."""
        return self.linear(x) + F.linear(F.linear(x, self.down), self.up)


def add_adapters(encoder, rank, generator):
    """Freeze a GramEncoder and give each linear layer of its blocks an adapter, in place."""
    encoder.requires_grad_(False)
    for name, layer in _linear_layers(encoder):
        parent, _, last = name.rpartition(".")
        setattr(encoder.get_submodule(parent), last, Adapter(layer, rank, generator))


def _merge_adapters(encoder, tensors):
    """Add the products of adapters to the weights of an encoder without adapters, in place."""
    with torch.no_grad():
        for name, layer in _linear_layers(encoder):
            layer.weight += tensors[name + _UP] @ tensors[name + _DOWN]


def _linear_layers(encoder):
    """Return the linear layers of the blocks with their names, in order."""
    return [
        (f"blocks.{name}", layer)
        for name, layer in encoder.blocks.named_modules()
        if isinstance(layer, nn.Linear)
    ]


def copy_encoder(gram):
    """Return a copy of a Gram that contains only its encoder."""
    left_out = {id(part): None for part in (gram.decoder, gram.spectral_head)}
    return copy.deepcopy(gram, left_out).requires_grad_(False)


def apply_adaptation(backbone, adaptation):
    """Return a GramModel with the adapted encoder; ``backbone`` is not modified."""
    gram = copy_encoder(backbone.gram)
    device = next(gram.parameters()).device
    tensors = {name: torch.as_tensor(v).to(device) for name, v in adaptation.tensors.items()}
    if adaptation.kind == "lora":
        _merge_adapters(gram.encoder, tensors)
    else:
        gram.encoder.load_state_dict(tensors)
    return GramModel(gram=gram, card=backbone.card, sha256=backbone.sha256)


def predict_adapted(backbone, adaptation, trials):
    """Return unnormalised log probabilities of trials, shape (n_trials, n_classes)."""
    model = apply_adaptation(backbone, adaptation)
    cls = trials.map(
        lambda x: encode_windows(model, whole_seconds(x), trials.channels, verbose="warning")
    )
    return cls.astype(float) @ adaptation.coef.T.astype(float) + adaptation.intercept
