# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Stage 1: the tokenizer, which gives every patch one of a fixed number of base classes."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ._config import DECODER_DIM, DECODER_N_FILTERS, TokenizerConfig
from ._layers import (
    Linear,
    PatchEmbedding,
    Positions,
    as_generator,
    as_patches,
    check_window,
    draw_,
    init_weights,
    make_blocks,
)


class Tokens(NamedTuple):
    """What the tokenizer makes of a batch of windows."""

    indices: torch.Tensor  #: base classes, int64 (B, C, n)
    features: torch.Tensor  #: code vectors before they are normalised, (B, C, n, code_dim)
    quantized: torch.Tensor  #: codebook vectors of the classes, (B, C, n, code_dim)


class TokenizerLoss(NamedTuple):
    """The objective of stage 1 and its parts, and what the codebook is updated from."""

    loss: torch.Tensor  #: reconstruction + commitment
    reconstruction: torch.Tensor  #: mean over patches of 1 - cos(decoded, patch)
    commitment: torch.Tensor  #: commitment and codebook term together
    spectral: torch.Tensor  #: mean squared error of the log power, 0 where not asked for
    indices: torch.Tensor  #: base classes, (B, C, n)
    codes: torch.Tensor  #: normalised code vectors, detached, (B, C, n, code_dim)


class TokenizerEncoder(nn.Module):  # numpydoc ignore=PR01
    """Patches to features."""

    def __init__(self, config):
        super().__init__()
        self.dropout = config.dropout
        self.patch_embedding = PatchEmbedding(config.n_filters)
        self.positions = Positions(
            config.n_channels, config.max_patches, config.dim, learned_times=True
        )
        self.blocks = make_blocks(
            config.n_blocks, config.dim, config.n_heads, dropout=config.dropout
        )
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, patches, channels):  # numpydoc ignore=PR01,RT01
        """Turn ``patches (B, C, n, 200)`` into features ``(B, C, n, d)``."""
        n_patches = patches.shape[2]
        x = self.patch_embedding(patches.flatten(1, 2))
        x = x + self.positions(channels, n_patches)
        x = F.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        return self.norm(x).unflatten(1, (-1, n_patches))


class TokenizerDecoder(nn.Module):  # numpydoc ignore=PR01
    """Code vectors to waveforms."""

    def __init__(self, config):
        super().__init__()
        self.dropout = config.dropout
        self.project = Linear(config.code_dim, DECODER_DIM)
        self.positions = Positions(
            config.n_channels, config.max_patches, DECODER_DIM, learned_times=True
        )
        self.blocks = make_blocks(
            config.decoder_n_blocks, DECODER_DIM, config.decoder_n_heads, dropout=config.dropout
        )
        self.patch_embedding = PatchEmbedding(DECODER_N_FILTERS)
        self.norm = nn.LayerNorm(DECODER_DIM)

    def forward(self, codes, channels):  # numpydoc ignore=PR01,RT01
        """Turn ``codes (B, C, n, code_dim)`` into waveforms ``(B, C, n, 200)``."""
        n_patches = codes.shape[2]
        x = self.project(codes).flatten(1, 2)
        x = x + self.positions(channels, n_patches)
        x = F.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        return self.norm(self.patch_embedding(x)).unflatten(1, (-1, n_patches))


class Tokenizer(nn.Module):
    """Base class quantization: an encoder, a codebook of unit vectors and a decoder.

    Parameters
    ----------
    config : TokenizerConfig
        The shape of the network.
    seed : int | torch.Generator | None
        Where the first weights come from. The global random state is neither read nor moved.
        None leaves the weights NaN, to be filled by ``load_state_dict``.

    Notes
    -----
    Tokens stay in channel-major order. The published network orders them time-major, but no
    operation depends on the order. Every patch sees all others of its window, so what a bad
    patch holds leaks into the classes of good ones: fill bad patches before encoding.

    The network is that of Li, Zheng and Lu (ICASSP 2025) and Li et al. (IEEE Transactions on
    Affective Computing, 2025, doi:10.1109/TAFFC.2025.3638592).
    """

    def __init__(self, config, *, seed=0):
        super().__init__()
        if not isinstance(config, TokenizerConfig):
            raise TypeError(f"config must be a TokenizerConfig, got {type(config)}.")
        self.config = config
        self.encoder = TokenizerEncoder(config)
        self.code_head = nn.Sequential(
            Linear(config.dim, config.dim), nn.Tanh(), Linear(config.dim, config.code_dim)
        )
        # A buffer: the codebook follows a moving average and no gradient.
        codebook = torch.full((config.n_classes, config.code_dim), math.nan)
        self.register_buffer("codebook", codebook)
        self.decoder = TokenizerDecoder(config)
        if seed is not None:
            self._init_weights(as_generator(seed))

    @torch.no_grad()
    def _init_weights(self, generator):
        init_weights(self, generator, torch_convolutions=True)
        for part in (self.encoder, self.decoder):
            draw_(part.positions.times, lambda x: x.normal_(std=0.02, generator=generator))
        draw_(self.codebook, lambda x: x.normal_(generator=generator))
        self.codebook.copy_(F.normalize(self.codebook, dim=-1))

    def encode(self, x, channels):
        """Name the base class of every patch.

        Parameters
        ----------
        x : torch.Tensor, shape (B, C, n * 200)
            Windows in 0.1 mV at 200 Hz, bad patches already filled with an estimate.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.

        Returns
        -------
        tokens : Tokens
            ``indices (B, C, n)``, ``features (B, C, n, code_dim)`` and
            ``quantized (B, C, n, code_dim)``.
        """
        patches, channels = as_patches(x, channels, self.encoder.positions, where="The tokenizer")
        return self._encode(patches, channels)

    def _encode(self, patches, channels):
        features = self.code_head(self.encoder(patches, channels))
        # The nearest unit vector is the one with the largest cosine, and the length of the feature
        # vector changes no order. Mixed precision would confuse classes that are close.
        with torch.autocast(features.device.type, enabled=False):
            indices = (features.detach().float() @ self.codebook.T).argmax(-1)
        return Tokens(indices, features, self.codebook[indices])

    def decode(self, indices, channels):
        """Turn base classes into waveforms.

        Parameters
        ----------
        indices : torch.Tensor of int, shape (B, C, n)
            Base classes.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.

        Returns
        -------
        decoded : torch.Tensor, shape (B, C, n, 200)
            Waveforms without amplitude and offset: each has mean 0 and variance 1 up to the
            last LayerNorm's weights.
        """
        indices = torch.as_tensor(indices, device=self.codebook.device)
        if indices.is_floating_point() or indices.ndim != 3:
            raise ValueError(
                f"indices must be integers of shape (windows, channels, patches), got "
                f"{indices.dtype} {tuple(indices.shape)}."
            )
        if indices.numel() and (indices.min() < 0 or indices.max() >= len(self.codebook)):
            raise ValueError(
                f"indices must be base classes from 0 to {len(self.codebook) - 1}, got values "
                f"from {int(indices.min())} to {int(indices.max())}."
            )
        return self.decode_quantized(self.codebook[indices.long()], channels)

    def decode_quantized(self, quantized, channels):
        """Turn code vectors, which need not be in the codebook, into waveforms.

        Parameters
        ----------
        quantized : torch.Tensor, shape (B, C, n, code_dim)
            Code vectors. The decoder was trained on vectors of length 1.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.

        Returns
        -------
        decoded : torch.Tensor, shape (B, C, n, 200)
            Waveforms as `decode` returns them.
        """
        code_dim = self.config.code_dim
        if quantized.ndim != 4 or quantized.shape[3] != code_dim:
            raise ValueError(
                f"quantized must have shape (windows, channels, patches, {code_dim}), got "
                f"{tuple(quantized.shape)}."
            )
        positions = self.decoder.positions
        channels = check_window(quantized.shape[:3], channels, positions, where="The tokenizer")
        return self.decoder(quantized, channels)

    def forward(
        self,
        x,
        channels,
        *,
        quantize=True,
        noise=0.0,
        guide=None,
        centered=False,
        rotation=False,
        spectral_weight=0.0,
    ):
        """Return the training objective.

        Parameters
        ----------
        x : torch.Tensor, shape (B, C, n * 200)
            Windows in 0.1 mV.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.
        quantize : bool
            If False the decoder gets the features themselves, as if there were no codebook.
        noise : float
            Standard deviation of what is added to each feature of length 1 then, in place of the
            error that a codebook will make.
        guide : torch.Tensor, shape (200, code_dim) | None
            Then also asks features to be what this matrix makes of the centered patches, up to
            their length; the error counts as commitment.
        centered : bool
            Whether the mean of each patch is left out of the comparison. Published: False.
        rotation : bool
            If False (published), gradients pass the quantizer straight through: what the decoder
            asks of a code vector is asked of the feature as it is. If True, it is turned by the
            rotation that takes the feature to the code vector (Fifty et al., 2024,
            arXiv:2410.06424).
        spectral_weight : float
            Weight of the error of the log power spectrum. Published: 0.

        Returns
        -------
        loss : TokenizerLoss
            The objective, its parts, and what an update of the codebook needs.
        """
        patches, channels = as_patches(x, channels, self.encoder.positions, where="The tokenizer")
        indices, features, quantized = self._encode(patches, channels)
        codes = F.normalize(features.float(), dim=-1)
        # The codebook term has no gradient (the codebook is no parameter), but is part of the
        # published value: two equal terms.
        commitment = F.mse_loss(codes, quantized) + F.mse_loss(quantized, codes.detach())
        if not quantize:
            passed, commitment = codes, torch.zeros_like(commitment)
            if guide is not None:
                wanted = (patches - patches.mean(-1, keepdim=True)).float() @ guide
                commitment = (1 - F.cosine_similarity(codes, wanted, dim=-1)).mean()
            if noise:
                passed = F.normalize(codes + noise * torch.randn_like(codes), dim=-1)
        elif rotation:
            passed = _rotate(codes, quantized)
        else:
            passed = codes + (quantized - codes).detach()
        decoded = self.decoder(passed, channels).float()
        patches = patches.float()
        if centered:
            decoded = decoded - decoded.mean(-1, keepdim=True)
            patches = patches - patches.mean(-1, keepdim=True)
        cosine = F.cosine_similarity(decoded, patches, dim=-1)
        reconstruction = (1 - cosine).mean()
        spectral = reconstruction.new_zeros(())
        if spectral_weight:
            spectral = F.mse_loss(_log_power(decoded), _log_power(patches))
        loss = reconstruction + commitment + spectral_weight * spectral
        return TokenizerLoss(loss, reconstruction, commitment, spectral, indices, codes.detach())


def _rotate(codes, quantized):
    """Return ``quantized`` as the unit vectors ``codes`` turned by a constant rotation."""
    start, end = codes.detach(), quantized.detach()
    middle = F.normalize(start + end, dim=-1)
    along = (codes * middle).sum(-1, keepdim=True)
    return codes - 2 * along * middle + 2 * (codes * start).sum(-1, keepdim=True) * end


def _log_power(patches):
    """Return the log power spectrum of patches brought to variance 1, 1 to 75 Hz."""
    patches = patches - patches.mean(-1, keepdim=True)
    patches = patches / (patches.std(-1, keepdim=True) + 1e-5)
    power = torch.fft.rfft(patches, dim=-1).abs().square() / patches.shape[-1]
    # Below a thousandth of the mean power (white: 1 a bin) lies nothing that can be heard.
    return (power[..., 1:76] + 1e-3).log()
