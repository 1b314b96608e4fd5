# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Transformer blocks, shared by the tokenizer and the masked autoencoder, and initial weights.

Shapes: ``B`` windows, ``L`` tokens (a token is one patch of one channel), ``d`` features.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from ._dropout import attend, dropout


# torch's own layers draw initial weights from the global random state. These are filled by
# `init_weights` from a generator instead; until then they are NaN, which reveals omissions.
class _Unfilled:
    def reset_parameters(self):
        """Set the weights to NaN."""
        for parameter in self.parameters():
            nn.init.constant_(parameter, math.nan)


class Linear(_Unfilled, nn.Linear):
    """A linear layer whose weights are filled by `init_weights`."""

    def forward(self, x):
        """Transform the last axis, in the precision of the weights."""
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


class Conv2d(_Unfilled, nn.Conv2d):
    """A convolution whose weights are filled by `init_weights`."""


def prefers_products(x):
    """Return whether few large products are faster than many small ones where a tensor is."""
    return x.device.type != "cpu"


class Attention(nn.Module):
    """Plain multi-head self-attention."""

    def __init__(self, dim, n_heads, dropout):
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query = Linear(dim, dim)
        self.key = Linear(dim, dim)
        self.value = Linear(dim, dim)
        self.proj = Linear(dim, dim)

    def forward(self, x, valid=None, packed=None):
        """Attend from tokens ``x (B, L, d)`` to those that are ``valid (B, L)`` (None: all).

        ``packed`` are the weights of this layer, if `run_blocks` has packed them.
        """
        if packed is not None:
            x = self._attend_at_once(x, valid, packed)
        else:
            q, k, v = (
                layer(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
                for layer in (self.query, self.key, self.value)
            )
            x = attend(q, k, v, valid=valid, rate=self.dropout if self.training else 0.0)
            x = self.proj(x.transpose(1, 2).flatten(2))
        return dropout(x, self.dropout, self.training)

    @property
    def is_plain(self):
        """Whether the layers are linear; fine-tuning may have put adapters in their places."""
        layers = (self.query, self.key, self.value, self.proj)
        return all(isinstance(layer, Linear) for layer in layers)

    def _attend_at_once(self, x, valid, packed):
        """Compute query, key and value in one product, with heads as wide as kernels want."""
        x = F.linear(x.to(packed.weight.dtype), packed.weight, packed.bias)
        q, k, v = x.unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        rate = self.dropout if self.training else 0.0
        width = len(self.proj.weight) // self.n_heads
        x = attend(q, k, v, valid=valid, rate=rate, scale=width**-0.5)
        return F.linear(x.transpose(1, 2).flatten(2), packed.proj, self.proj.bias)


class PackedHeads(NamedTuple):
    """The weights of an attention layer, its ``H`` heads padded to a multiple of 8 features."""

    weight: torch.Tensor  #: of query, key and value, (3 * H * width, d)
    bias: torch.Tensor  #: likewise, (3 * H * width,)
    proj: torch.Tensor  #: (d, H * width)


def pack_heads(layers):
    """Pack the weights of attention layers of one shape, all in the same few operations."""
    n_heads, dim = layers[0].n_heads, len(layers[0].proj.weight)
    # Fast attention needs a multiple of 8; zeros change no product.
    padding = -(dim // n_heads) % 8
    inputs = [linear for one in layers for linear in (one.query, one.key, one.value)]
    weight = torch.stack([linear.weight for linear in inputs]).unflatten(1, (n_heads, -1))
    bias = torch.stack([linear.bias for linear in inputs]).unflatten(1, (n_heads, -1))
    proj = torch.stack([one.proj.weight for one in layers]).unflatten(2, (n_heads, -1))
    if padding:
        weight = F.pad(weight, (0, 0, 0, padding))
        bias, proj = F.pad(bias, (0, padding)), F.pad(proj, (0, padding))
    weight, bias = (
        both.flatten(1, 2).unflatten(0, (-1, 3)).flatten(1, 2) for both in (weight, bias)
    )
    parts = (separate(tensor) for tensor in (weight, bias, proj.flatten(2)))
    return [PackedHeads(*one) for one in zip(*parts, strict=True)]


def separate(x):
    """Return the rows of a tensor as tensors of their own, for blocks that are compiled.

    Their code would be compiled again for views that begin elsewhere in memory.
    """
    return x.unbind(0) if torch.compiler.is_compiling() else _Separate.apply(x)


class _Separate(torch.autograd.Function):
    """Copy all rows of a tensor in one operation."""

    @staticmethod
    def forward(ctx, x):
        """Return copies of the rows."""
        rows = x.unbind(0)
        copies = [torch.empty_like(row) for row in rows]
        torch._foreach_copy_(copies, rows)
        return tuple(copies)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        """Return the gradients in one tensor."""
        return torch.stack(grads)


class MLP(nn.Module):
    """Two linear layers with an exact GELU in between."""

    def __init__(self, dim, dropout):
        super().__init__()
        self.dropout = dropout
        self.fc1 = Linear(dim, 4 * dim)
        self.fc2 = Linear(4 * dim, dim)

    def forward(self, x):
        """Transform each token of ``x (B, L, d)``."""
        return dropout(self.fc2(F.gelu(self.fc1(x))), self.dropout, self.training)


class TransformerBlock(nn.Module):
    """A pre-norm transformer block, with optional layer scale and stochastic depth."""

    def __init__(self, dim, n_heads, *, dropout=0.0, drop_path=0.0, layer_scale=None):
        super().__init__()
        self.drop_path = drop_path
        # A tensor on the device, where `draw_scales` needs it.
        self.register_buffer("kept", torch.tensor(1.0 - drop_path), persistent=False)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, n_heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, dropout)
        self.scale1 = self.scale2 = None
        if layer_scale is not None:
            self.scale1 = nn.Parameter(torch.full((dim,), float(layer_scale)))
            self.scale2 = nn.Parameter(torch.full((dim,), float(layer_scale)))

    def forward(self, x, valid=None, packed=None, scales=None):
        """Transform ``x (B, L, d)``; ``valid (B, L)`` is False where a token is padding.

        `run_blocks` gives the packed weights, and the scales of both branches in training with
        stochastic depth, in place of the layer scale.
        """
        first, second = scales or (self.scale1, self.scale2)
        x = x + _scale(self.attn(self.norm1(x), valid, packed), first)
        return x + _scale(self.mlp(self.norm2(x)), second)


def _scale(x, scale):
    return x if scale is None else x * scale


def run_blocks(blocks, x, valid=None, wanted=()):
    """Return the output of the last block, and a list of those of the ``wanted`` blocks.

    The other arguments are those of one block.
    """
    packed = scales = [None] * len(blocks)
    layers = [block.attn for block in blocks]
    if prefers_products(x) and all(layer.is_plain for layer in layers):
        packed = pack_heads(layers)
    if any(block.training and block.drop_path for block in blocks):
        both = separate(draw_scales(blocks, len(x)).flatten(0, 1))
        scales = list(zip(both[::2], both[1::2], strict=True))
    outputs = []
    for i, block in enumerate(blocks):
        x = block(x, valid, packed[i], scales[i])
        if i in wanted:
            outputs.append(x)
    return x, outputs


def draw_scales(blocks, n_windows):
    """Return the scales of the branches in training, (n_blocks, 2, B, 1, d or 1).

    They are 0 where stochastic depth leaves a branch out. The others are scaled up to the same
    mean, and contain the layer scale.
    """
    kept = torch.stack([block.kept for block in blocks])[:, None, None, None, None]
    scales = (torch.rand(len(blocks), 2, n_windows, 1, 1, device=kept.device) < kept) / kept
    if blocks[0].scale1 is None:
        return scales
    layers = torch.stack([scale for block in blocks for scale in (block.scale1, block.scale2)])
    return scales * layers.unflatten(0, (-1, 2))[:, :, None, None]


def make_blocks(n_blocks, dim, n_heads, *, dropout, drop_path=0.0, layer_scale=None):
    """Return a list of blocks with stochastic depth rising linearly from 0 to ``drop_path``."""
    rates = [drop_path * i / max(n_blocks - 1, 1) for i in range(n_blocks)]
    return nn.ModuleList(
        TransformerBlock(dim, n_heads, dropout=dropout, drop_path=rate, layer_scale=layer_scale)
        for rate in rates
    )


def as_generator(seed):
    """Return ``seed`` if it is a `torch.Generator`, else a new one (on the CPU) from the int."""
    if isinstance(seed, torch.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int or a torch.Generator, got {type(seed)}.")
    return torch.Generator(device="cpu").manual_seed(seed)


@torch.no_grad()
def draw_(tensor, fill):
    """Fill a tensor of any device with numbers drawn on the CPU; leave meta tensors alone."""
    if not tensor.is_meta:
        values = torch.empty(tensor.shape, device="cpu")
        fill(values)
        tensor.copy_(values)


def draw_weight_(tensor, generator):
    """Fill a tensor with a normal of standard deviation 0.02, cut at one standard deviation."""
    draw_(
        tensor,
        lambda x: nn.init.trunc_normal_(x, std=0.02, a=-0.02, b=0.02, generator=generator),
    )


@torch.no_grad()
def init_weights(network, generator, *, torch_convolutions=False):
    """Fill linear layers and convolutions; the output weights of deeper blocks are smaller.

    With ``torch_convolutions``, convolutions start as torch's own do instead of like linear layers.
    """
    for module in network.modules():
        if isinstance(module, Conv2d) and torch_convolutions:
            bound = 1 / math.sqrt(module.weight[0].numel())
            for tensor in (module.weight, module.bias):
                draw_(tensor, lambda x, b=bound: x.uniform_(-b, b, generator=generator))
        elif isinstance(module, Linear | Conv2d):
            draw_weight_(module.weight, generator)
            if module.bias is not None:
                module.bias.zero_()
    for blocks in network.modules():
        if (
            isinstance(blocks, nn.ModuleList)
            and len(blocks)
            and isinstance(blocks[0], TransformerBlock)
        ):
            for i, block in enumerate(blocks, start=1):
                block.attn.proj.weight /= math.sqrt(2 * i)
                block.mlp.fc2.weight /= math.sqrt(2 * i)
