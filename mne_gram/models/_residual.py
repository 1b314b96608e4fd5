# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Stage 2 for restoration: what a spatial estimate misses, and how sure that is."""

import math
from typing import NamedTuple

import torch
from torch import nn

from ._config import PATCH_LENGTH, ResidualConfig
from ._layers import (
    Linear,
    PatchEmbedding,
    Positions,
    as_generator,
    as_patches,
    draw_weight_,
    init_weights,
    make_blocks,
)

# Edges of the bands in which signals are mixed, in Hz, as those of the spatial estimate.
_EDGES = (4.0, 8.0, 13.0, 30.0)
_SFREQ = 200.0


class Correction(NamedTuple):
    """What the network makes of a batch of windows."""

    waveform: torch.Tensor  #: to be added to the estimate, in 0.1 mV, (B, C, n, 200)
    log_variance: torch.Tensor  #: log of the ratio to the estimate's own variance, (B, C, n)


def split_bands(x):
    """Split ``x (..., T)`` into parts that add up to it, ``(..., 5, T)``."""
    spectrum = torch.fft.rfft(x.float())
    freqs = torch.fft.rfftfreq(x.shape[-1], 1 / _SFREQ, device=x.device)
    edges = torch.tensor(_EDGES, device=x.device)
    # Soft edges, 2 Hz wide, ring less.
    below = ((edges[:, None] - freqs) / 2 + 0.5).clamp(0, 1)
    below = torch.cat([below, torch.ones_like(freqs)[None]])
    gains = torch.diff(below, dim=0, prepend=torch.zeros_like(freqs)[None])
    return torch.fft.irfft(spectrum.unsqueeze(-2) * gains, n=x.shape[-1])


class Residual(nn.Module):
    """A transformer over all patches that corrects those which are estimates.

    Parameters
    ----------
    config : ResidualConfig
        The shape of the network.
    seed : int | torch.Generator | None
        Where the first weights come from; None leaves them NaN. The first correction is nothing.

    Notes
    -----
    A correction has two parts. One mixes the signals of the same second, band by band, with weights
    that attention gives: interpolation whose coefficients depend on what is going on. The other is
    drawn sample by sample from the token's vector. Both scale with the signals.
    """

    def __init__(self, config, *, seed=0):
        super().__init__()
        if not isinstance(config, ResidualConfig):
            raise TypeError(f"config must be a ResidualConfig, got {type(config)}.")
        self.config = config
        dim = config.dim
        self.n_bands = len(_EDGES) + 1
        self.patch_embedding = PatchEmbedding(config.n_filters)
        self.positions = Positions(config.n_channels, config.max_patches, dim)
        self.estimated = nn.Parameter(torch.full((dim,), math.nan))
        self.size = Linear(1, dim)
        self.blocks = make_blocks(
            config.n_blocks, dim, config.n_heads, dropout=config.dropout, layer_scale=None
        )
        self.norm = nn.LayerNorm(dim)
        self.query = Linear(dim, self.n_bands * config.mix_dim)
        self.key = Linear(dim, self.n_bands * config.mix_dim)
        self.head = Linear(dim, PATCH_LENGTH + 1)
        if seed is not None:
            generator = as_generator(seed)
            init_weights(self, generator)
            draw_weight_(self.estimated, generator)
            with torch.no_grad():
                for layer in (self.query, self.head):
                    layer.weight.zero_()

    def forward(self, x, channels, mask, spread):
        """Correct estimates.

        Parameters
        ----------
        x : torch.Tensor, shape (B, C, n * 200)
            Windows in 0.1 mV with estimates where nothing was measured, relative to the mean of
            what was.
        channels : torch.Tensor of int, shape (C,) or (B, C)
            Montage index of each channel.
        mask : torch.Tensor of bool, shape (B, C, n)
            True where a patch holds estimates.
        spread : torch.Tensor, shape (B, C, n)
            Standard deviation of the estimates' error in 0.1 mV, 0 where measured.

        Returns
        -------
        correction : Correction
            Of all patches, to be used where ``mask`` is True.
        """
        patches, channels = as_patches(x, channels, self.positions, where="Residual")
        n_windows, n_channels, n_patches, _ = patches.shape
        size = patches.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-6)
        relative = torch.log((spread / size[..., 0]).clamp_min(1e-3)).unsqueeze(-1)
        tokens = self.patch_embedding((patches / size).flatten(1, 2))
        tokens = tokens + self.positions(channels, n_patches)
        hint = self.estimated + self.size(relative)
        tokens = tokens + torch.where(mask.unsqueeze(-1), hint, 0.0).flatten(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens).unflatten(1, (n_channels, n_patches))
        mixed = self._mix(tokens, x.to(tokens.dtype))
        out = self.head(tokens)
        drawn = out[..., :-1] * spread.unsqueeze(-1)
        return Correction(mixed + drawn, 4 * torch.tanh(out[..., -1] / 4))

    def _mix(self, tokens, x):
        """Weigh the signals of the same second by attention, which may be negative."""
        n_patches = tokens.shape[2]
        tokens = tokens.transpose(1, 2)  # (B, n, C, d)
        query, key = (
            layer(tokens).unflatten(-1, (self.n_bands, -1)) for layer in (self.query, self.key)
        )
        weights = torch.einsum("bncfd,bngfd->bnfcg", query, key) / self.config.mix_dim**0.5
        weights = weights / tokens.shape[2] ** 0.5
        bands = split_bands(x).unflatten(-1, (n_patches, PATCH_LENGTH))  # (B, C, f, n, 200)
        bands = bands.permute(0, 3, 2, 1, 4)
        # All bands at once: (B, n, C, f * C) @ (B, n, f * C, 200).
        weights = weights.transpose(2, 3).flatten(3)
        return (weights @ bands.flatten(2, 3)).transpose(1, 2)

    @torch.no_grad()
    def start_from(self, gram):
        """Take patch embedding and blocks of stage 2's encoder as far as shapes agree.

        Parameters
        ----------
        gram : Gram
            The trained stage 2.
        """
        encoder = gram.encoder
        pairs = [(self.patch_embedding, encoder.patch_embedding)]
        pairs += list(zip(self.blocks, encoder.blocks, strict=False))
        for new, old in pairs:
            known = old.state_dict()
            for name, value in new.state_dict().items():
                if name in known and known[name].shape == value.shape:
                    value.copy_(known[name])


def residual_loss(correction, target, hidden, spread):
    """Return the Gaussian negative log-likelihood of what was hidden, and its parts.

    Parameters
    ----------
    correction : Correction
        From the network.
    target : torch.Tensor, shape (B, C, n, 200)
        What the estimates miss, 0.1 mV.
    hidden : torch.Tensor of bool, shape (B, C, n, 200)
        Which samples count.
    spread : torch.Tensor, shape (B, C, n)
        Standard deviation that the estimates claim.

    Returns
    -------
    loss, explained : torch.Tensor
        The mean over hidden patches, and the share of the miss that the correction takes away.
    """
    scale = spread.clamp_min(1e-4).unsqueeze(-1)
    count = hidden.sum(-1)
    square = (((target - correction.waveform) / scale).square() * hidden).sum(-1)
    square = square / count.clamp_min(1)
    before = ((target / scale).square() * hidden).sum(-1) / count.clamp_min(1)
    used = count > 0
    log_variance = correction.log_variance
    likelihood = 0.5 * (square * torch.exp(-log_variance) + log_variance)
    weight = count[used] / PATCH_LENGTH
    loss = (likelihood[used] * weight).sum() / weight.sum()
    # Without the few patches where the estimate failed altogether, which would drown the rest.
    limit = before[used].clamp(max=10) / before[used].clamp_min(1e-6)
    after = (square[used] * limit * weight).sum() / (before[used] * limit * weight).sum()
    return loss, 1 - after
