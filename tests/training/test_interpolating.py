# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The first state of stage 2 in which it copies the codes of visible neighbours."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.montage import INDEX, electrode_positions
from mne_gram.training._batches import Batch
from mne_gram.training._interpolating import (
    _free_directions,
    _place_features,
    _solve_ridge,
    start_interpolating,
)
from mne_gram.training._masks import draw_mask


@pytest.fixture(scope="module")
def networks():
    """Return a tokenizer and an untrained stage 2 of its width."""
    tokenizer = Tokenizer(replace(tokenizer_nano(), dropout=0.0), seed=0).eval()
    config = replace(
        gram_nano(), n_filters=8, n_heads=5, decoder_n_blocks=2, decoder_n_heads=5, layer_scale=None
    )
    return tokenizer, Gram(replace(config, dropout=0.0, drop_path=0.0), seed=0)


@pytest.fixture(scope="module")
def batches():
    """Return windows of a smooth field over the head with a third of the patches hidden."""
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    places = torch.as_tensor(electrode_positions()[:19], dtype=torch.float32)
    maps = torch.exp(-torch.cdist(places, places).square() / (2 * 0.06**2))
    found = []
    for _ in range(4):
        channels = torch.arange(19).repeat(8, 1)
        mask = np.stack([draw_mask("random", range(19), 13, rng, share=0.3) for _ in channels])
        # A random walk per source: most of the power is slow, as in EEG.
        steps = torch.randn(8, 19, 2600, generator=generator)
        walks = steps.cumsum(dim=-1)
        x = 0.01 * maps @ (walks - walks.mean(dim=-1, keepdim=True))
        found.append(Batch(x, channels, torch.from_numpy(mask), "random", ("",) * len(x)))
    return found


def test_features_know_distances():
    features = _place_features(24)
    alike = features @ features.T
    cz, c1, oz = (INDEX[name] for name in ("CZ", "C1", "OZ"))
    assert alike[cz, cz] > alike[cz, c1] > alike[cz, oz] + 0.3


def test_ridge_finds_weights():
    x = torch.randn(500, 7, generator=torch.Generator().manual_seed(0))
    weights = torch.arange(14.0).reshape(7, 2)
    assert torch.allclose(_solve_ridge(x, x @ weights, 1e-9), weights, atol=1e-4)


def test_free_directions(networks):
    positions = networks[1].decoder.positions(torch.arange(114), 16)[0]
    free = _free_directions(F.layer_norm(positions, (200,)), 72)
    assert torch.allclose(free.T @ free, torch.eye(72), atol=1e-5)
    assert (F.layer_norm(positions, (200,)) @ free).norm(dim=1).max() < 0.1


def test_hidden_patches_get_the_codes_of_neighbours(networks, batches):
    """Started so, stage 2 points at the right code; from noise, it does not."""
    tokenizer, network = networks
    head = network.decoder.head

    def look():
        cosines = []
        network.eval()
        with torch.no_grad():
            pseudo_inverse = torch.linalg.pinv(head.weight @ head.weight.T, rtol=1e-4)
            for batch in batches[2:]:
                hidden = network.predict_hidden(batch.x, batch.channels, batch.mask)
                codes = head(hidden) @ pseudo_inverse @ tokenizer.codebook
                # What all patches share is no knowledge of a patch.
                wanted = tokenizer.encode(batch.x, batch.channels).quantized[batch.mask]
                found = codes[batch.mask]
                found, wanted = found - found.mean(0), wanted - wanted.mean(0)
                cosines.append(F.cosine_similarity(found, wanted, dim=-1).mean())
        return torch.stack(cosines).mean().item()

    before = look()
    global_state = torch.get_rng_state()
    start_interpolating(network, tokenizer, batches[:2])
    assert torch.equal(torch.get_rng_state(), global_state)
    assert abs(before) < 0.1
    assert look() > before + 0.15
