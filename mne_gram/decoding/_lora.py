# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Low-rank adapters: what a frozen linear layer gives is corrected by a product of two thin ones.

Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..models import draw_

_UP, _DOWN = ".up", ".down"


class Adapter(nn.Module):  # numpydoc ignore=PR01
    """A frozen linear layer and its correction, which is zero at first."""

    def __init__(self, linear, rank, generator):
        super().__init__()
        self.linear = linear
        weight = linear.weight
        self.down = nn.Parameter(weight.new_empty(rank, linear.in_features))
        self.up = nn.Parameter(weight.new_zeros(linear.out_features, rank))
        bound = linear.in_features**-0.5
        draw_(self.down, lambda x: x.uniform_(-bound, bound, generator=generator))

    def forward(self, x):  # numpydoc ignore=PR01,RT01
        """Transform ``x (..., in_features)``."""
        return self.linear(x) + F.linear(F.linear(x, self.down), self.up)


def add_adapters(encoder, rank, generator):
    """Freeze an encoder and give each linear layer of its blocks an adapter, in place.

    Parameters
    ----------
    encoder : mne_gram.models._gram.GramEncoder
        The encoder.
    rank : int
        How many directions a layer may change.
    generator : torch.Generator
        Where the first numbers come from.
    """
    encoder.requires_grad_(False)
    for name, layer in _linear_layers(encoder):
        parent, _, last = name.rpartition(".")
        setattr(encoder.get_submodule(parent), last, Adapter(layer, rank, generator))


def merge_adapters(encoder, tensors):
    """Add what adapters learnt to the weights of an encoder that has none, in place.

    Parameters
    ----------
    encoder : mne_gram.models._gram.GramEncoder
        The encoder that the adapters were learnt for.
    tensors : dict of torch.Tensor
        Their parameters, named as `add_adapters` makes them.
    """
    with torch.no_grad():
        for name, layer in _linear_layers(encoder):
            layer.weight += tensors[name + _UP] @ tensors[name + _DOWN]


def _linear_layers(encoder):
    """Return names and layers, in order."""
    return [
        (f"blocks.{name}", layer)
        for name, layer in encoder.blocks.named_modules()
        if isinstance(layer, nn.Linear)
    ]
