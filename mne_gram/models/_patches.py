# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Patches: checks of windows, their embedding and their positions.

Shapes: ``B`` windows, ``L`` tokens (a token is one patch of one channel), ``d`` features.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ._config import FEATURES_PER_FILTER, N_GROUPS, PATCH_LENGTH
from ._layers import Conv2d, prefers_products


class WindowNorm(nn.GroupNorm):
    """GroupNorm with one mean and variance per group over all *valid* tokens of a window."""

    def forward(self, x, valid=None):
        """Normalise ``x (B, F, L, T)``; ``valid (B, L)`` is False where a token is padding."""
        if valid is None:
            return super().forward(x)
        grouped = x.float().unflatten(1, (self.num_groups, -1))  # (B, G, F / G, L, T)
        keep = valid[:, None, None, :, None].to(grouped.dtype)
        grouped = self._normalise(grouped, keep, (2, 3, 4))
        return grouped.flatten(1, 2) * self.weight[:, None, None] + self.bias[:, None, None]

    def forward_rows(self, x, valid=None):
        """Normalise ``x (B, L, T * F)``, one row per token."""
        grouped = x.float().unflatten(2, (FEATURES_PER_FILTER, self.num_groups, -1))
        keep = None if valid is None else valid[:, :, None, None, None].to(grouped.dtype)
        grouped = self._normalise(grouped, keep, (1, 2, 4))
        weight, bias = (v.unflatten(0, (self.num_groups, -1)) for v in (self.weight, self.bias))
        return (grouped * weight + bias).flatten(2)

    def _normalise(self, x, keep, dims):
        """Normalise over some dimensions; ``keep`` is 0 at padding, None without padding."""
        if keep is None:
            var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
            return (x - mean) * (var + self.eps).rsqrt()
        count = keep.sum(dims, keepdim=True) * math.prod(
            x.shape[dim] for dim in dims if keep.shape[dim] == 1
        )
        mean = (x * keep).sum(dims, keepdim=True) / count
        var = ((x - mean).square() * keep).sum(dims, keepdim=True) / count
        return (x - mean) * (var + self.eps).rsqrt()


class PatchEmbedding(nn.Module):
    """Three convolutions along the 200 samples of each patch, separately for each."""

    def __init__(self, n_filters):
        super().__init__()
        self.conv1 = Conv2d(1, n_filters, (1, 15), stride=(1, 8), padding=(0, 7))
        self.norm1 = WindowNorm(N_GROUPS, n_filters)
        self.conv2 = Conv2d(n_filters, n_filters, (1, 3), padding=(0, 1))
        self.norm2 = WindowNorm(N_GROUPS, n_filters)
        self.conv3 = Conv2d(n_filters, n_filters, (1, 3), padding=(0, 1))
        self.norm3 = WindowNorm(N_GROUPS, n_filters)
        self.register_buffer("taps1", find_taps(PATCH_LENGTH, 15, 8), persistent=False)
        self.register_buffer("taps2", find_taps(FEATURES_PER_FILTER, 3, 1), persistent=False)

    def forward(self, patches, valid=None):
        """Turn ``(B, L, 200)`` into ``(B, L, 25 * n_filters)``, feature ``t * n_filters + f``."""
        if prefers_products(patches):
            return self._multiply(patches, valid)
        x = patches.unsqueeze(1).to(self.conv1.weight.dtype)
        x = F.gelu(self.norm1(self.conv1(x), valid))
        x = F.gelu(self.norm2(self.conv2(x), valid))
        x = F.gelu(self.norm3(self.conv3(x), valid))
        return x.permute(0, 2, 3, 1).flatten(2)

    def _multiply(self, x, valid):
        """Compute the same by products with the banded matrices of the convolutions."""
        for conv, norm, taps in (
            (self.conv1, self.norm1, self.taps1),
            (self.conv2, self.norm2, self.taps2),
            (self.conv3, self.norm3, self.taps2),
        ):
            weight = conv.weight.squeeze(2)  # (F, inputs, taps)
            matrix = torch.einsum("fgk,kst->sgtf", weight, taps.to(weight.dtype))
            matrix = matrix.flatten(2).flatten(0, 1)
            x = x.to(weight.dtype) @ matrix + conv.bias.repeat(FEATURES_PER_FILTER)
            x = F.gelu(norm.forward_rows(x, valid))
        return x


def find_taps(n_samples, length, stride):
    """Return which sample each tap of a centered convolution reads, (length, n_samples, 25)."""
    samples = torch.arange(n_samples)[:, None]
    starts = stride * torch.arange(FEATURES_PER_FILTER) - length // 2
    return torch.stack([(samples == starts + k).float() for k in range(length)])


def sinusoid_table(n_rows, dim):
    """Return ``(n_rows, dim)``: sines in the even columns, cosines in the odd ones."""
    rate = 1000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.arange(n_rows, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1).float()


class Positions(nn.Module):
    """The position of a token: the sum of a row for its channel and one for its time."""

    def __init__(self, n_channels, max_patches, dim, *, learned_times=False):
        super().__init__()
        # Fixed tables are computed, not stored, as half precision would distort them.
        self.register_buffer("channels", sinusoid_table(n_channels, dim), persistent=False)
        if learned_times:
            self.times = nn.Parameter(torch.full((max_patches, dim), math.nan))
        else:
            self.register_buffer("times", sinusoid_table(max_patches, dim), persistent=False)

    def forward(self, channels, n_patches):
        """Return ``(1, L, d)`` for ``channels (C,)``, ``(B, L, d)`` for ``channels (B, C)``."""
        both = self.channels[channels].unsqueeze(-2) + self.times[:n_patches]  # (..., C, n, d)
        both = both.flatten(-3, -2)
        return both if both.ndim == 3 else both.unsqueeze(0)


def check_window(shape, channels, positions, *, where):
    """Check shape ``(B, C, n)`` and channels against the position tables; return the channels.

    ``where`` is the name of the network, for messages.
    """
    n_windows, n_channels, n_patches = shape
    n_rows, max_patches = len(positions.channels), len(positions.times)
    if not (1 <= n_channels <= n_rows and 1 <= n_patches <= max_patches):
        raise ValueError(
            f"{where} takes windows of 1 to {max_patches} patches (seconds) and 1 to {n_rows} "
            f"channels, got {n_patches} patches of {n_channels} channels. Cut longer recordings "
            f"into windows, and keep one channel for each montage entry."
        )
    channels = torch.as_tensor(channels)
    if channels.shape not in ((n_channels,), (n_windows, n_channels)):
        raise ValueError(
            f"channels must contain one montage index for each of the {n_channels} channels, "
            f"got shape {tuple(channels.shape)}."
        )
    if channels.dtype == torch.bool or channels.is_floating_point() or channels.is_complex():
        raise ValueError(f"channels must be integers (montage indices), got {channels.dtype}.")
    # Reading values of another device would wait for it, and compiled code cannot depend on them.
    read = channels.device.type == "cpu" and channels.numel() and not torch.compiler.is_compiling()
    if read and (channels.min() < 0 or channels.max() >= n_rows):
        raise ValueError(
            f"channels must be montage indices from 0 to {n_rows - 1}, got values from "
            f"{int(channels.min())} to {int(channels.max())}."
        )
    return channels.to(positions.channels.device, torch.int64)


def as_patches(x, channels, positions, *, where):
    """Check windows ``x (B, C, n * 200)``; return patches (B, C, n, 200) and channels.

    ``where`` is the name of the network, for messages.
    """
    if not isinstance(x, torch.Tensor) or x.ndim != 3 or not x.is_floating_point():
        found = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, torch.Tensor) else str(type(x))
        raise ValueError(
            f"{where} needs a floating-point tensor (windows, channels, patches * {PATCH_LENGTH}) "
            f"in 0.1 mV, got {found}."
        )
    n_windows, n_channels, n_samples = x.shape
    if n_samples % PATCH_LENGTH:
        raise ValueError(
            f"{where} needs a whole number of patches of {PATCH_LENGTH} samples (one second at "
            f"200 Hz), got {n_samples} samples."
        )
    n_patches = n_samples // PATCH_LENGTH
    channels = check_window((n_windows, n_channels, n_patches), channels, positions, where=where)
    x = x.to(positions.channels.device, positions.channels.dtype)
    return x.unflatten(2, (n_patches, PATCH_LENGTH)), channels
