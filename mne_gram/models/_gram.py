# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Stage 2: the masked autoencoder, which predicts the base classes of hidden patches."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .._docs import fill_doc
from ._config import DECODER_DIM, PATCH_LENGTH, GramConfig
from ._layers import Linear, as_generator, draw_weight_, init_weights, make_blocks, run_blocks
from ._patches import PatchEmbedding, Positions, as_patches
from ._visible import Visible, find_visible, put, take


class Encoding(NamedTuple):
    """The encoder's output for a batch of windows."""

    cls: torch.Tensor  #: one vector per window, (B, d)
    latents: torch.Tensor  #: one vector per patch, 0 where masked, (B, C, n, d)


class GramLoss(NamedTuple):
    """The objective of stage 2 and its parts."""

    loss: torch.Tensor  #: half cross-entropy, half spectral
    cross_entropy: torch.Tensor  #: mean over masked patches
    spectral: torch.Tensor  #: mean over visible patches
    accuracy: torch.Tensor  #: share of masked patches with the right class
    scale: torch.Tensor  #: error of gain and offset at masked patches, 0 without that head


class Fusion(nn.Module):
    """A weighted sum of the outputs of several blocks, each but the last after a linear layer."""

    def __init__(self, n_outputs, dim):
        super().__init__()
        self.projections = nn.ModuleList(Linear(dim, dim) for _ in range(n_outputs - 1))
        self.weights = nn.Parameter(torch.ones(n_outputs))

    def forward(self, outputs):
        """Fuse a list of ``(B, L, d)``."""
        weights = self.weights.softmax(0)
        fused = weights[-1] * outputs[-1]
        for weight, project, x in zip(weights, self.projections, outputs, strict=False):
            fused = fused + weight * project(x)
        return fused


class GramEncoder(nn.Module):
    """Encode visible patches as a CLS vector and one latent for each."""

    def __init__(self, config):
        super().__init__()
        self.fused_blocks = frozenset(config.fused_blocks)
        self.patch_embedding = PatchEmbedding(config.n_filters)
        self.positions = Positions(config.n_channels, config.max_patches, config.dim)
        self.cls = nn.Parameter(torch.full((config.dim,), math.nan))
        self.blocks = make_blocks(
            config.n_blocks,
            config.dim,
            config.n_heads,
            dropout=config.dropout,
            drop_path=config.drop_path,
            layer_scale=config.layer_scale,
        )
        self.fusion = Fusion(len(config.fused_blocks), config.dim)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, tokens, positions, valid=None):
        """Encode ``tokens (B, V, 200)``; return CLS and latents in one ``(B, 1 + V, d)``."""
        x = self.patch_embedding(tokens, valid) + positions
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)
        if valid is not None:
            valid = F.pad(valid, (1, 0), value=True)
        _, outputs = run_blocks(self.blocks, x, valid, self.fused_blocks)
        return self.norm(self.fusion(outputs))


class GramDecoder(nn.Module):
    """Decode CLS and latents to one hidden vector for every patch, masked or not."""

    def __init__(self, config):
        super().__init__()
        self.project = Linear(config.dim, DECODER_DIM)
        self.positions = Positions(config.n_channels, config.max_patches, DECODER_DIM)
        self.blocks = make_blocks(
            config.decoder_n_blocks,
            DECODER_DIM,
            config.decoder_n_heads,
            dropout=config.dropout,
            drop_path=config.drop_path,
            layer_scale=config.layer_scale,
        )
        self.norm = nn.LayerNorm(DECODER_DIM)
        self.head = Linear(DECODER_DIM, config.n_classes, bias=False)
        self.scale_head = Linear(DECODER_DIM, 2) if config.predict_scale else None

    def assemble(self, encoded, visible, positions):
        """Place ``encoded (B, 1 + V, d)`` in ``(B, 1 + L, 200)``, CLS in front."""
        x = self.project(encoded)
        cls, latents = x[:, :1], x[:, 1:]
        # Masked places start as the projected CLS, which depends on visible patches only.
        background = cls.expand(-1, positions.shape[1], -1)
        x = put(latents, visible, background) + positions
        return torch.cat([cls, x], dim=1)

    def forward(self, encoded, visible, positions):
        """Turn ``encoded (B, 1 + V, d)`` into ``(B, L, 200)``, ready for the head."""
        x = self.assemble(encoded, visible, positions)
        x, _ = run_blocks(self.blocks, x)
        return self.norm(x)[:, 1:]


class Gram(nn.Module):
    """The masked autoencoder: encoder, spectral head and decoder.

    Parameters
    ----------
    config : GramConfig
        The shape of the network.
    seed : int | torch.Generator | None
        Seed of the initial weights; the global random state is neither read nor changed. None
        leaves the weights NaN, to be filled by ``load_state_dict``.

    Notes
    -----
    Masked patches are never read, so their values, even NaN, have no effect. Windows of one batch
    may have masks of different sizes, and do not affect each other.

    The network is that of Li, Zheng and Lu (ICASSP 2025) and Li et al. (IEEE Transactions on
    Affective Computing, 2025, doi:10.1109/TAFFC.2025.3638592).
    """

    def __init__(self, config, *, seed=0):
        super().__init__()
        if not isinstance(config, GramConfig):
            raise TypeError(f"config must be a GramConfig, got {type(config)}.")
        self.config = config
        self.encoder = GramEncoder(config)
        self.spectral_head = Linear(config.dim, PATCH_LENGTH)
        self.decoder = GramDecoder(config)
        if seed is not None:
            generator = as_generator(seed)
            init_weights(self, generator)
            draw_weight_(self.encoder.cls, generator)

    @fill_doc
    def encode(self, x, channels, mask=None):
        """Encode the visible patches.

        Parameters
        ----------
        %(windows)s
        %(hidden_patches)s

        Returns
        -------
        encoding : Encoding
            ``cls (B, d)`` and ``latents (B, C, n, d)``, the latter 0 where masked.
        """
        encoded, visible, _, patches = self._encode(x, channels, mask)
        n_windows, n_channels, n_patches, _ = patches.shape
        background = encoded.new_zeros(n_windows, n_channels * n_patches, encoded.shape[2])
        latents = put(encoded[:, 1:], visible, background)
        return Encoding(encoded[:, 0], latents.unflatten(1, (n_channels, n_patches)))

    @fill_doc
    def predict_hidden(self, x, channels, mask=None):
        """Return the decoder's vector of every patch, from which the head predicts classes.

        Parameters
        ----------
        %(windows)s
        %(hidden_patches)s

        Returns
        -------
        hidden : torch.Tensor, shape (B, C, n, 200)
            ``gram.decoder.head`` turns them into logits. Apply it to ``hidden[mask]`` to save the
            memory of the logits of all patches.
        """
        encoded, visible, channels, patches = self._encode(x, channels, mask)
        return self._decode(encoded, visible, channels, patches.shape[2])

    @fill_doc
    def decoder_input(self, x, channels, mask):
        """Return the input of the first block of the decoder.

        Parameters
        ----------
        %(windows)s
        %(hidden_patches)s

        Returns
        -------
        x : torch.Tensor, shape (B, 1 + C * n, 200)
            CLS and one vector per patch, with positions added.
        """
        encoded, visible, channels, patches = self._encode(x, channels, mask)
        positions = self.decoder.positions(channels, patches.shape[2])
        return self.decoder.assemble(encoded, visible, positions)

    @fill_doc
    def predict(self, x, channels, mask=None):
        """Return the logits of each base class at every patch.

        Parameters
        ----------
        %(windows)s
        %(hidden_patches)s

        Returns
        -------
        logits : torch.Tensor, shape (B, C, n, n_classes)
            Unnormalised log probabilities. Only those at masked patches are trained; for visible
            patches use the tokenizer.
        """
        return self.decoder.head(self.predict_hidden(x, channels, mask))

    def predict_scale(self, hidden, x, mask):
        """Return the gain and offset of patches.

        Parameters
        ----------
        hidden : torch.Tensor, shape (B, C, n, 200)
            Output of `predict_hidden`.
        x : torch.Tensor, shape (B, C, n * 200)
            The windows that were its input, in 0.1 mV.
        mask : torch.Tensor of bool, shape (B, C, n)
            True where a patch is hidden.

        Returns
        -------
        gain : torch.Tensor, shape (B, C, n)
            Standard deviation of each patch over its 200 samples, 0.1 mV.
        offset : torch.Tensor, shape (B, C, n)
            Mean of each patch, 0.1 mV.

        Raises
        ------
        ValueError
            If the network has no such head.
        """
        if self.decoder.scale_head is None:
            raise ValueError(
                "This network does not predict gain and offset, as its configuration has "
                "predict_scale=False. Take them from another estimate of the signal."
            )
        unit = _visible_scale(x.unflatten(2, (-1, PATCH_LENGTH)), mask)
        predicted = self.decoder.scale_head(hidden).float()
        return predicted[..., 0].exp() * unit, predicted[..., 1] * unit

    def forward(self, x, channels, mask, targets, *, scale_weight=1.0, places=None):
        """Return the training objective.

        Parameters
        ----------
        x : torch.Tensor, shape (B, C, n * 200)
            Windows in 0.1 mV.
        channels : array-like of int, shape (C,) or (B, C)
            Montage index of each channel.
        mask : torch.Tensor of bool, shape (B, C, n)
            True where a patch is hidden, at least one in the batch.
        targets : torch.Tensor of int, shape (B, C, n)
            Base classes of the unmasked windows, from the tokenizer.
        scale_weight : float
            Weight of the error of gain and offset, where the network predicts them.
        places : Places | None
            The places of the mask, if they are known. Finding them waits for the device.

        Returns
        -------
        loss : GramLoss
            The objective, its parts and the accuracy at the masked patches.
        """
        encoded, visible, channels, patches = self._encode(x, channels, mask, places)
        mask = mask.to(patches.device)
        if places is None and not mask.any():
            raise ValueError("mask hides no patch of the batch, so there is nothing to predict.")

        def choose(values):
            """Return the hidden ones (M, ...) of values (B, C, n, ...)."""
            if places is None:
                return values[mask]
            index = places.hidden.unflatten(1, (-1, *[1] * (values.ndim - 3)))
            index = index.expand(-1, -1, *values.shape[3:])
            return values.flatten(1, 2).gather(1, index).flatten(0, 1)

        hidden = choose(self._decode(encoded, visible, channels, patches.shape[2]))
        logits = self.decoder.head(hidden).float()
        targets = choose(targets.to(logits.device, torch.int64))
        cross_entropy = F.cross_entropy(logits, targets)
        spectral = self._spectral_loss(encoded[:, 1:], take(patches.flatten(1, 2), visible))
        if visible.valid is not None:
            spectral = spectral[visible.valid]
        spectral = spectral.mean()
        accuracy = (logits.detach().argmax(-1) == targets).float().mean()
        loss, scale = (cross_entropy + spectral) / 2, cross_entropy.new_zeros(())
        if self.decoder.scale_head is not None:
            scale = self._scale_loss(hidden, patches, mask, choose)
            loss = loss + scale_weight * scale
        return GramLoss(loss, cross_entropy, spectral, accuracy, scale)

    def _scale_loss(self, hidden, patches, mask, choose):
        """Return the error of log gain and offset of the masked patches; ``hidden`` is (M, 200)."""
        patches = patches.float()
        unit = choose(_visible_scale(patches, mask).expand(mask.shape))
        patches = choose(patches)
        gain = patches.std(-1, unbiased=False) / unit
        target = torch.stack([(gain + 1e-3).log(), patches.mean(-1) / unit], dim=-1)
        # Artefacts beyond the range of a signal must not dominate the average.
        return F.smooth_l1_loss(self.decoder.scale_head(hidden).float(), target)

    def _spectral_loss(self, latents, patches):
        """Return the error of the predicted amplitude spectrum of each token, ``(B, V)``."""
        predicted = _standardize(self.spectral_head(latents).float())
        target = _standardize(torch.fft.fft(patches.float(), dim=-1).abs())
        return (predicted - target).square().mean(-1)

    def _encode(self, x, channels, mask, places=None):
        patches, channels = as_patches(x, channels, self.encoder.positions, where="Gram")
        mask = _check_mask(mask, patches).flatten(1)
        visible = find_visible(mask) if places is None else Visible(places.visible, None)
        positions = self.encoder.positions(channels, patches.shape[2])
        positions = positions.expand(len(patches), -1, -1)
        tokens = take(patches.flatten(1, 2), visible)
        encoded = self.encoder(tokens, take(positions, visible), visible.valid)
        return encoded, visible, channels, patches

    def _decode(self, encoded, visible, channels, n_patches):
        positions = self.decoder.positions(channels, n_patches)
        hidden = self.decoder(encoded, visible, positions)
        return hidden.unflatten(1, (-1, n_patches))


class ClassificationNetwork(nn.Module):
    """The encoder, with all patches visible, and a linear layer on its CLS vector."""

    def __init__(self, gram, n_classes, *, seed=0):
        super().__init__()
        self.gram = gram
        self.head = Linear(gram.config.dim, n_classes)
        init_weights(self.head, as_generator(seed))

    def forward(self, x, channels):
        """Return logits (B, n_classes) of windows ``x (B, C, n * 200)`` in 0.1 mV."""
        return self.head(self.gram.encode(x, channels).cls)


def _check_mask(mask, patches):
    """Check the mask; return it on the device of ``patches (B, C, n, 200)``."""
    if mask is None:
        return torch.zeros(patches.shape[:3], dtype=torch.bool, device=patches.device)
    mask = torch.as_tensor(mask)
    if mask.dtype != torch.bool or mask.shape != patches.shape[:3]:
        raise ValueError(
            f"mask must be a bool tensor (windows, channels, patches) = "
            f"{tuple(patches.shape[:3])}, True where hidden, got {mask.dtype} {tuple(mask.shape)}."
        )
    return mask.to(patches.device)


def _visible_scale(patches, mask):
    """Return the root mean square deviation of the visible patches, ``(B, 1, 1)``.

    The patch embedding normalises a window, so the network only knows the relative size of patches.
    """
    variance = patches.float().var(-1, unbiased=False).masked_fill(mask, 0.0)
    mean = variance.sum((1, 2), keepdim=True) / (~mask).sum((1, 2), keepdim=True)
    return mean.sqrt().clamp_min(1e-4)


def _standardize(x):
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)
