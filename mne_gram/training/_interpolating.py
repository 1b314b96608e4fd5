# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""An initial state of stage 2 that predicts hidden patches from their visible neighbours."""

import numpy as np
import torch
import torch.nn.functional as F

from ..montage import ELECTRODES, electrode_positions, template_sphere

_WIDTH = 0.06  # metres along the scalp over which electrodes are similar
_NEAR, _SAME_TIME = 5.0, 6.0  # largest logits of nearby electrodes, and of the same second
_CODE_LENGTH = 8.0  # of a code vector in the decoder, where positions have length 14
_PLACE_LENGTH = 3.0  # factor on the place and time written by the first block
_HIDDEN, _VISIBLE = 0.5, 1.6  # factors for tokens without and with a code
_SHARPNESS = 2.0  # of the first guesses
_SLOPE = 2.0  # of the random units of the MLP
_RIDGE = 1e-3  # a closer fit would not survive the first steps


def _place_features(n_features):
    """Return features (114, n_features) with large products for nearby electrodes."""
    origin, radius = template_sphere()
    units = electrode_positions() - origin
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    angles = np.arccos(np.clip(units @ units.T, -1, 1))
    values, vectors = np.linalg.eigh(np.exp(-0.5 * (angles * radius / _WIDTH) ** 2))
    features = vectors * np.sqrt(np.maximum(values, 0))
    return torch.tensor(features[:, ::-1][:, :n_features].copy(), dtype=torch.float32)


def _solve_ridge(x, y, ridge=_RIDGE):
    """Return weights (n_in, n_out) with ``x @ weights`` close to ``y``."""
    x, y = x.double(), y.double()
    moments = x.T @ x
    moments += ridge * moments.diagonal().mean() * torch.eye(len(moments), device=x.device)
    return torch.linalg.solve(moments, x.T @ y).float()


@torch.no_grad()
def start_interpolating(network, tokenizer, batches):
    """Fill an untrained stage 2, in place, so that it copies the codes of visible neighbours.

    The encoder takes the tokenizer's patch embedding and blocks where shapes agree. The layer into
    the decoder maps latents to code vectors by ridge regression, along directions in which
    positions do not vary. The tables of channels and of times are the same sinusoids, added up, so
    no linear layer separates them: the MLP of the first decoder block gets random first weights
    and, by ridge regression, second weights that do. The attention of the second block attends to
    nearby electrodes in the same second and passes on their codes; the last layer compares with the
    codebook.
    """
    decoder, device = network.decoder, network.decoder.head.weight.device
    _copy_encoder(network.encoder, tokenizer.encoder)
    positions = decoder.positions(torch.arange(len(ELECTRODES), device=device), 16)[0]
    positions = F.layer_norm(positions, positions.shape[-1:])
    head_dim = positions.shape[1] // decoder.blocks[1].attn.n_heads
    code_dim = tokenizer.config.code_dim
    free = _free_directions(positions, code_dim + head_dim)
    axes, marks = free[:, :code_dim], free[:, code_dim:]
    latents, codes = [], []
    was_training = network.training
    network.eval()
    for batch in batches:
        latents.append(network.encode(batch.x, batch.channels).latents.flatten(0, 2))
        features = tokenizer.encode(batch.x, batch.channels).features
        codes.append(F.normalize(features, dim=-1).flatten(0, 2))
    network.train(was_training)
    weights = _solve_ridge(torch.cat(latents), torch.cat(codes))
    decoder.project.weight.copy_(_CODE_LENGTH * (weights @ axes.T).T)
    network.eval()
    _write_places(network, batches, marks, axes)
    network.train(was_training)
    _attend_to_neighbours(decoder.blocks[1].attn, axes, marks)
    decoder.head.weight.copy_(_SHARPNESS * tokenizer.codebook @ axes.T)


def _copy_encoder(ours, theirs):
    """Copy weights of the same shape and purpose."""
    pairs = [(ours.patch_embedding, theirs.patch_embedding)]
    pairs += list(zip(ours.blocks, theirs.blocks, strict=False))
    for new, old in pairs:
        known = old.state_dict()
        for name, value in new.state_dict().items():
            if name in known and known[name].shape == value.shape:
                value.copy_(known[name])


def _free_directions(positions, n_directions):
    """Return orthonormal columns (200, n) along which positions vary least."""
    ones = torch.ones_like(positions[:1]) * len(positions)  # a norm removes this direction
    vectors = torch.linalg.svd(torch.cat([positions, ones]).double(), full_matrices=True).Vh
    return vectors[-n_directions:].T.float().contiguous()


def _write_places(network, batches, marks, axes):
    """Fill the first MLP so that it writes place and time of a token along some directions."""
    block = network.decoder.blocks[0]
    n_marks = marks.shape[1]
    n_times = min(16, n_marks // 2)
    places = _NEAR**0.5 * _place_features(n_marks - n_times).to(marks.device)
    times = _SAME_TIME**0.5 * torch.eye(16, device=marks.device)[:, :n_times]
    weight = block.mlp.fc1.weight / block.mlp.fc1.weight.std() * _SLOPE / len(marks) ** 0.5
    block.mlp.fc1.weight.copy_(weight - (weight @ axes) @ axes.T)
    block.mlp.fc1.bias.copy_(torch.linspace(-2, 2, len(weight), device=marks.device) * _SLOPE)
    inputs, wanted = [], []
    for batch in batches:
        x = network.decoder_input(batch.x, batch.channels, batch.mask)
        x = x + block.attn(block.norm1(x))
        inputs.append(block.norm2(x)[:, 1:].flatten(0, 1))
        n_patches = batch.mask.shape[2]
        place = places[batch.channels.clamp_max(len(places) - 1)]
        place = place.unsqueeze(2).expand(-1, -1, n_patches, -1)
        time = times[:n_patches].expand(*batch.mask.shape, -1)
        # Larger where there is a code: a hidden token shall not attend to itself.
        size = torch.where(batch.mask, _HIDDEN, _VISIBLE).unsqueeze(-1)
        wanted.append((size * torch.cat([place, time], dim=-1)).flatten(0, 2))
    hidden = F.gelu(block.mlp.fc1(torch.cat(inputs)))
    hidden = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
    weights = _solve_ridge(hidden, torch.cat(wanted)) * _PLACE_LENGTH
    block.mlp.fc2.weight.copy_((weights[:-1] @ marks.T).T)
    block.mlp.fc2.bias.copy_(weights[-1] @ marks.T)


def _attend_to_neighbours(attn, axes, marks):
    """Fill an attention layer: places and times in queries and keys, codes in values."""
    width, n_heads = len(attn.query.weight), attn.n_heads
    head_dim = width // n_heads
    # Length of a token with position, code and place before the norm.
    length = (width + _CODE_LENGTH**2 + _PLACE_LENGTH**2 * (_NEAR + _SAME_TIME)) ** 0.5
    gain = head_dim**0.25 / _PLACE_LENGTH * length / width**0.5
    for layer in (attn.query, attn.key):
        layer.weight.copy_(gain * marks.T.repeat(n_heads, 1))
    attn.value.weight.add_(axes @ axes.T)
    attn.proj.weight.add_(torch.eye(width, device=axes.device))
