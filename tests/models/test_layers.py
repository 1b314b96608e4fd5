# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the networks are built of."""

import numpy as np
import torch
from torch import nn

from mne_gram.models._layers import draw_scales, make_blocks, run_blocks
from mne_gram.models._patches import PatchEmbedding, WindowNorm, sinusoid_table

# --- bricks -------------------------------------------------------------------------------------


def test_sinusoid_table():
    table = sinusoid_table(130, 200).double().numpy()
    for p, i in [(0, 0), (1, 0), (129, 3), (64, 99)]:
        angle = p / 1000 ** (2 * i / 200)
        np.testing.assert_allclose(
            table[p, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6
        )


def test_patch_embedding_is_time_first_and_local(toy):
    """Feature ``t * F + f`` comes from the samples around ``8 * t`` of its own patch."""
    embed = toy.enliven(PatchEmbedding(8))
    for name in ("norm1", "norm2", "norm3"):  # the norms alone make patches touch
        setattr(embed, name, _Identity())
    x = torch.randn(1, 4, 200, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[0, 2, 80] += 1
    touched = (embed(x) != embed(changed)).reshape(4, 25, 8).any(-1).nonzero()
    assert set(touched[:, 0].tolist()) == {2}
    assert {8, 9, 10, 11, 12} >= set(touched[:, 1].tolist()) >= {9, 10, 11}


class _Identity(nn.Module):
    def forward(self, x, valid=None):
        return x


def test_window_norm_without_padding(toy):
    norm = toy.enliven(WindowNorm(4, 8))
    x = torch.randn(3, 8, 5, 25, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(norm(x, valid), norm(x))
    valid[1, 3:] = False
    torch.testing.assert_close(norm(x, valid)[1:2, :, :3], norm(x[1:2, :, :3]))


def test_stochastic_depth_and_layer_scale(toy):
    blocks = make_blocks(5, 20, 2, dropout=0.0, drop_path=0.1, layer_scale=1e-5)
    assert [round(b.drop_path, 3) for b in blocks] == [0.0, 0.025, 0.05, 0.075, 0.1]
    assert all((b.scale1 == 1e-5).all() and (b.scale2 == 1e-5).all() for b in blocks)
    blocks = toy.enliven(make_blocks(2, 20, 2, dropout=0.0, drop_path=0.999999))
    x = torch.randn(4, 3, 20, generator=torch.Generator().manual_seed(0))
    second, (first,) = run_blocks(blocks, x, wanted=(0,))
    assert not first.allclose(x) and not second.allclose(first)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert run_blocks(blocks.train(), x)[0].equal(first)
        # Branches of a window are left out one by one, and the others are scaled up.
        options = dict(dropout=0.0, drop_path=0.5)
        scales = draw_scales(make_blocks(3, 20, 2, **options), 4000)
        both = draw_scales(make_blocks(3, 20, 2, **options, layer_scale=0.1), 4000)
    assert scales.shape == (3, 2, 4000, 1, 1) and (scales[0] == 1).all()
    for scale, rate in ((scales[1], 0.25), (scales[2], 0.5)):
        assert set(scale.unique().tolist()) == {0.0, scale.max().item()}
        assert abs(scale.max() * (1 - rate) - 1) < 1e-6
        assert (abs((scale == 0).float().mean((1, 2, 3)) - rate) < 0.03).all()
        assert not scale[0].equal(scale[1])
    assert both.shape == (3, 2, 4000, 1, 20) and both[2].max().isclose(torch.tensor(0.2))


def test_dropout_only_in_training(tokenizer, gram, toy):
    x, mask = toy.make_x(), toy.make_mask()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for network, args in ((tokenizer, (x, toy.CHANNELS)), (gram, (x, toy.CHANNELS, mask))):
            try:
                network.train()
                assert not network.encode(*args)[1].equal(network.encode(*args)[1])
            finally:
                network.eval()
            assert network.encode(*args)[1].equal(network.encode(*args)[1])
