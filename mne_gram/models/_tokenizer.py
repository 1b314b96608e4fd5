# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Stage 1: the tokenizer, which assigns each patch to one of a fixed number of base classes."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ._config import DECODER_DIM, DECODER_N_FILTERS, TokenizerConfig
from ._layers import Linear, as_generator, draw_, init_weights, make_blocks, run_blocks
from ._patches import PatchEmbedding, Positions, as_patches, check_window


class TokenizerOutput(NamedTuple):
    """Base classes and code vectors of a batch of windows."""

    indices: torch.Tensor  #: base classes, int64 (B, C, n)
    features: torch.Tensor  #: code vectors before normalisation, (B, C, n, code_dim)
    quantized: torch.Tensor  #: codebook vectors of the classes, (B, C, n, code_dim)


class TokenizerLoss(NamedTuple):
    """The objective of stage 1, its parts, and the data for updating the codebook."""

    loss: torch.Tensor  #: reconstruction + commitment
    reconstruction: torch.Tensor  #: mean over patches of 1 - cos(decoded, patch)
    commitment: torch.Tensor  #: commitment and codebook term together
    indices: torch.Tensor  #: base classes, (B, C, n)
    codes: torch.Tensor  #: normalised code vectors, detached, (B, C, n, code_dim)


class TokenizerEncoder(nn.Module):
    """Encode patches as features."""

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

    def forward(self, patches, channels):
        """Turn ``patches (B, C, n, 200)`` into features ``(B, C, n, d)``."""
        n_patches = patches.shape[2]
        x = self.patch_embedding(patches.flatten(1, 2))
        x = x + self.positions(channels, n_patches)
        x = F.dropout(x, self.dropout, self.training)
        x, _ = run_blocks(self.blocks, x)
        return self.norm(x).unflatten(1, (-1, n_patches))


class TokenizerDecoder(nn.Module):
    """Decode code vectors to waveforms."""

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

    def forward(self, codes, channels):
        """Turn ``codes (B, C, n, code_dim)`` into waveforms ``(B, C, n, 200)``."""
        n_patches = codes.shape[2]
        x = self.project(codes).flatten(1, 2)
        x = x + self.positions(channels, n_patches)
        x = F.dropout(x, self.dropout, self.training)
        x, _ = run_blocks(self.blocks, x)
        return self.norm(self.patch_embedding(x)).unflatten(1, (-1, n_patches))


class Tokenizer(nn.Module):
    """Base class quantization: an encoder, a codebook of unit vectors and a decoder.

    Parameters
    ----------
    config : TokenizerConfig
        The shape of the network.
    seed : int | torch.Generator | None
        Seed of the initial weights; the global random state is neither read nor changed. None
        leaves the weights NaN, to be filled by ``load_state_dict``.

    Notes
    -----
    Tokens are in channel-major order. The published network orders them time-major, but no
    operation depends on the order. Every patch attends to all others of its window, so a bad patch
    affects the classes of good ones: fill bad patches before encoding.

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
        # A buffer, as the codebook follows a moving average, not gradients.
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
        """Return the base class of every patch.

        Parameters
        ----------
        x : torch.Tensor, shape (B, C, n * 200)
            Windows in 0.1 mV at 200 Hz, with bad patches filled by estimates.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.

        Returns
        -------
        output : TokenizerOutput
            ``indices (B, C, n)``, ``features (B, C, n, code_dim)`` and
            ``quantized (B, C, n, code_dim)``.
        """
        patches, channels = as_patches(x, channels, self.encoder.positions, where="The tokenizer")
        return self._encode(patches, channels)

    def _encode(self, patches, channels):
        features = self.code_head(self.encoder(patches, channels))
        # The nearest unit vector has the largest cosine, whatever the length of the feature.
        # Half precision would confuse classes that are close.
        indices = (features.detach().float() @ self.codebook.T).argmax(-1)
        return TokenizerOutput(indices, features, self.codebook[indices])

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
            Waveforms without amplitude and offset: mean 0 and variance 1, up to the weights of the
            last LayerNorm.
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
        """Turn any code vectors into waveforms.

        Parameters
        ----------
        quantized : torch.Tensor, shape (B, C, n, code_dim)
            Code vectors. The decoder was trained on vectors of length 1.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.

        Returns
        -------
        decoded : torch.Tensor, shape (B, C, n, 200)
            Waveforms as returned by `decode`.
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
        guide=None,
        centered=False,
    ):
        """Return the training objective.

        Parameters
        ----------
        x : torch.Tensor, shape (B, C, n * 200)
            Windows in 0.1 mV.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.
        quantize : bool
            If False, the decoder gets the normalised features, as if there were no codebook.
        guide : torch.Tensor, shape (200, code_dim) | None
            Projection of the centered patches that features have to match, up to their length, if
            ``quantize`` is False; the error counts as commitment.
        centered : bool
            Whether the mean of each patch is left out of the comparison. Published: False.

        Returns
        -------
        loss : TokenizerLoss
            The objective, its parts, and the data for updating the codebook.
        """
        patches, channels = as_patches(x, channels, self.encoder.positions, where="The tokenizer")
        indices, features, quantized = self._encode(patches, channels)
        codes = F.normalize(features.float(), dim=-1)
        # The codebook term has no gradient, as the codebook is not a parameter, but is part of the
        # published value: two equal terms.
        commitment = F.mse_loss(codes, quantized) + F.mse_loss(quantized, codes.detach())
        if not quantize:
            passed, commitment = codes, torch.zeros_like(commitment)
            if guide is not None:
                wanted = (patches - patches.mean(-1, keepdim=True)).float() @ guide
                commitment = (1 - F.cosine_similarity(codes, wanted, dim=-1)).mean()
        else:
            passed = codes + (quantized - codes).detach()
        decoded = self.decoder(passed, channels).float()
        patches = patches.float()
        if centered:
            decoded = decoded - decoded.mean(-1, keepdim=True)
            patches = patches - patches.mean(-1, keepdim=True)
        cosine = F.cosine_similarity(decoded, patches, dim=-1)
        reconstruction = (1 - cosine).mean()
        loss = reconstruction + commitment
        return TokenizerLoss(loss, reconstruction, commitment, indices, codes.detach())
