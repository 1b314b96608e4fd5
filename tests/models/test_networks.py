# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The two networks: shapes, invariances, masks, initial weights, gradients."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mne_gram.models import (
    ClassificationNetwork,
    Gram,
    Tokenizer,
    gram_base,
    gram_large,
    gram_medium,
    gram_nano,
    gram_small,
    gram_tiny,
    tokenizer_base,
    tokenizer_nano,
    tokenizer_small,
    tokenizer_tiny,
)

CHANNELS = [0, 2, 17, 41, 85]


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "millions", "tolerance"),
    [(gram_base, 6.0, 0.05), (gram_medium, 47, 0.5), (gram_large, 251, 0.5)],
)
def test_encoder_sizes(build, millions, tolerance):
    with torch.device("meta"):
        gram = Gram(build())
    count = sum(p.numel() for p in gram.encoder.parameters()) / 1e6
    assert abs(count - millions) < tolerance
    assert len(gram.encoder.fusion.projections) == len(build().fused_blocks) - 1


def test_medium_runs(toy):
    """The width of Gram-Medium runs, forwards and backwards, in a few of its blocks."""
    config = replace(gram_medium(), n_classes=16, n_blocks=5, fused_blocks=(0, 4))
    gram = Gram(config)
    x, mask = toy.make_x(1), toy.make_mask(1)
    encoding = gram.eval().encode(x, CHANNELS, mask)
    assert encoding.cls.shape == (1, 400)
    assert encoding.latents.shape == (1, len(CHANNELS), toy.N_PATCHES, 400)
    assert gram.predict(x, CHANNELS, mask).shape == (1, len(CHANNELS), toy.N_PATCHES, 16)
    loss = gram.train()(x, CHANNELS, mask, torch.zeros_like(mask, dtype=torch.long))
    loss.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in gram.parameters())


def test_shapes(tokenizer, gram, toy):
    x = toy.make_x()
    tokens = tokenizer.encode(x, CHANNELS)
    shape = (2, len(CHANNELS), toy.N_PATCHES)
    assert tokens.indices.shape == shape and tokens.indices.dtype == torch.int64
    assert tokens.features.shape == tokens.quantized.shape == (*shape, 32)
    decoded = tokenizer.decode(tokens.indices, CHANNELS)
    assert decoded.shape == (*shape, 200)
    assert decoded.equal(tokenizer.decode_quantized(tokens.quantized, CHANNELS))
    encoding = gram.encode(x, CHANNELS)
    assert encoding.cls.shape == (2, 100) and encoding.latents.shape == (*shape, 100)
    assert (encoding.latents != 0).any(-1).all()
    assert gram.predict(x, CHANNELS).shape == (*shape, 64)
    classifier = ClassificationNetwork(gram, 4, seed=1).eval()
    assert classifier(x, CHANNELS).shape == (2, 4)


# --- masks --------------------------------------------------------------------------------------


def test_unequal_masks_equal_windows_one_by_one(gram, toy):
    """The shared reference has masks of one size only."""
    x, mask = toy.make_x(6), toy.make_mask(6)
    mask[3], mask[3, 2, 1] = True, False  # almost nothing visible
    mask[4], mask[4, 1, 1] = False, True  # almost everything
    assert len(set(mask.sum((1, 2)).tolist())) > 3
    targets = torch.randint(64, mask.shape, generator=torch.Generator().manual_seed(1))
    encoding, logits = gram.encode(x, CHANNELS, mask), gram.predict(x, CHANNELS, mask)
    losses = []
    for i in range(len(x)):
        row = slice(i, i + 1)
        alone = gram.encode(x[row], CHANNELS, mask[row])
        for batched, single in zip(encoding, alone, strict=True):
            torch.testing.assert_close(batched[row], single, atol=1e-5, rtol=1e-4)
        single = gram.predict(x[row], CHANNELS, mask[row])
        torch.testing.assert_close(logits[row], single, atol=1e-5, rtol=1e-4)
        losses.append(gram(x[row], CHANNELS, mask[row], targets[row]))
    assert (encoding.latents[mask] == 0).all()
    assert (encoding.latents[~mask] != 0).any(-1).all()
    # The losses are means over patches, not over windows.
    together = gram(x, CHANNELS, mask, targets)
    n_hidden = mask.sum((1, 2)).float()
    for name, weights in [
        ("cross_entropy", n_hidden),
        ("accuracy", n_hidden),
        ("spectral", 15 - n_hidden),
    ]:
        values = torch.stack([getattr(loss, name) for loss in losses])
        wanted = (values * weights).sum() / weights.sum()
        torch.testing.assert_close(getattr(together, name), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e4])
def test_masked_content_changes_nothing(gram, garbage, unequal, toy):
    x, mask = toy.make_x(3), toy.make_mask(3)
    if not unequal:
        mask = mask[:1].expand(3, -1, -1).clone()
    assert (len(set(mask.sum((1, 2)).tolist())) > 1) == unequal
    dirty = x.unflatten(2, (toy.N_PATCHES, 200)).clone()
    dirty[mask] = garbage
    dirty = dirty.flatten(2)
    targets = torch.zeros(mask.shape, dtype=torch.long)
    for clean, changed in zip(
        (*gram.encode(x, CHANNELS, mask), gram.predict(x, CHANNELS, mask)),
        (*gram.encode(dirty, CHANNELS, mask), gram.predict(dirty, CHANNELS, mask)),
        strict=True,
    ):
        assert changed.isfinite().all() and clean.equal(changed)
    gram.zero_grad()
    loss = gram(dirty, CHANNELS, mask, targets)
    loss.loss.backward()
    assert loss.loss.equal(gram(x, CHANNELS, mask, targets).loss)
    assert all(p.grad.isfinite().all() for p in gram.parameters())
    gram.zero_grad()


def test_visible_content_matters(gram, toy):
    x, mask = toy.make_x(1), toy.make_mask(1)
    changed = x.clone()
    changed[0, 0, 100] += 1  # patch (0, 0) is visible
    assert not gram.predict(x, CHANNELS, mask)[mask].allclose(
        gram.predict(changed, CHANNELS, mask)[mask], atol=1e-4
    )
    with pytest.raises(ValueError, match=r"masked in windows \[1\].*Leave these windows out"):
        both = torch.stack([mask[0], torch.ones_like(mask[0])])
        gram.encode(torch.cat([x, x]), CHANNELS, both)


def test_masks_are_checked(gram, toy):
    x, mask = toy.make_x(), toy.make_mask()
    for bad in (mask.int(), mask[:1], mask.transpose(1, 2)):
        with pytest.raises(ValueError, match="mask must be a bool tensor"):
            gram.predict(x, CHANNELS, bad)
    with pytest.raises(ValueError, match="nothing to predict"):
        gram(x, CHANNELS, torch.zeros_like(mask), torch.zeros_like(mask, dtype=torch.long))


# --- invariances --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), order=st.permutations(range(len(CHANNELS))))
def test_channel_order_does_not_matter(tokenizer, gram, seed, order, toy):
    x, mask = toy.make_x(2, seed=seed), toy.make_mask(2, seed=seed)
    moved = [CHANNELS[i] for i in order]
    tokens, tokens_moved = tokenizer.encode(x, CHANNELS), tokenizer.encode(x[:, order], moved)
    torch.testing.assert_close(
        tokens_moved.features, tokens.features[:, order], atol=1e-4, rtol=1e-3
    )
    indices = tokens.indices
    torch.testing.assert_close(
        tokenizer.decode(indices[:, order], moved),
        tokenizer.decode(indices, CHANNELS)[:, order],
        atol=1e-4,
        rtol=1e-3,
    )
    encoding = gram.encode(x, CHANNELS, mask)
    encoding_moved = gram.encode(x[:, order], moved, mask[:, order])
    torch.testing.assert_close(encoding_moved.cls, encoding.cls, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        gram.predict(x[:, order], moved, mask[:, order]),
        gram.predict(x, CHANNELS, mask)[:, order],
        atol=1e-4,
        rtol=1e-3,
    )


def test_place_matters(tokenizer, gram, toy):
    """Another channel or another second is another token."""
    x = toy.make_x()
    others = [1, *CHANNELS[1:]]
    assert not tokenizer.encode(x, CHANNELS).features.allclose(tokenizer.encode(x, others).features)
    assert not gram.encode(x, CHANNELS).cls.allclose(gram.encode(x, others).cls, atol=1e-4)
    rolled = x.roll(200, dims=2)
    assert (
        not tokenizer.encode(x, CHANNELS)
        .features.roll(1, 2)
        .allclose(tokenizer.encode(rolled, CHANNELS).features, atol=1e-4)
    )
    assert not gram.encode(x, CHANNELS).cls.allclose(gram.encode(rolled, CHANNELS).cls, atol=1e-4)


def test_channels_of_each_window(tokenizer, gram, toy):
    """``channels`` may differ between the windows of a batch."""
    x, mask = toy.make_x(), toy.make_mask()
    rows = torch.tensor([CHANNELS, CHANNELS[::-1]])
    for i, row in enumerate(rows):
        one = slice(i, i + 1)
        torch.testing.assert_close(
            gram.predict(x, rows, mask)[one],
            gram.predict(x[one], row, mask[one]),
            atol=1e-5,
            rtol=1e-4,
        )
        features = tokenizer.encode(x, rows).features[one]
        torch.testing.assert_close(
            features, tokenizer.encode(x[one], row).features, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("x", "channels", "match"),
    [
        (torch.zeros(1, 5, 3400), CHANNELS, "at most|1 to 16 patches"),
        (torch.zeros(1, 131, 200), range(131), "1 to 130 channels, got 1 patches of 131"),
        (torch.zeros(1, 0, 200), [], "0 channels|of 0 channels"),
        (torch.zeros(1, 5, 0), CHANNELS, "got 0 patches"),
        (torch.zeros(1, 5, 250), CHANNELS, "whole number of patches of 200 samples"),
        (torch.zeros(5, 200), CHANNELS, "windows, channels, patches"),
        (np.zeros((1, 5, 200), np.float32), CHANNELS, "got <class 'numpy.ndarray'>"),
        (torch.zeros(1, 5, 200, dtype=torch.int64), CHANNELS, "floating-point tensor"),
        (torch.zeros(1, 5, 600), CHANNELS[:4], "one montage index for each of the 5"),
        (torch.zeros(1, 5, 600), [0, 1, 2, 3, 130], "from 0 to 129, got values from 0 to 130"),
        (torch.zeros(1, 5, 600), [-1, 1, 2, 3, 4], "got values from -1 to 4"),
        (torch.zeros(1, 5, 600), [0.0, 1, 2, 3, 4], "must be integers"),
    ],
)
def test_windows_are_checked(tokenizer, gram, x, channels, match):
    with pytest.raises(ValueError, match=match):
        tokenizer.encode(x, list(channels))
    with pytest.raises(ValueError, match=match):
        gram.encode(x, list(channels))


def test_classes_are_checked(tokenizer, toy):
    indices = torch.zeros(1, len(CHANNELS), 2, dtype=torch.long)
    for bad, match in [
        (indices + 64, "from 0 to 63, got values from 64"),
        (indices - 1, "got values from -1"),
        (indices[0], "windows, channels, patches"),
        (indices.float(), "must be integers"),
    ]:
        with pytest.raises(ValueError, match=match):
            tokenizer.decode(bad, CHANNELS)
    with pytest.raises(ValueError, match="patches, 32"):
        tokenizer.decode_quantized(torch.zeros(1, len(CHANNELS), 2, 31), CHANNELS)
    with pytest.raises(ValueError, match="1 to 16 patches"):
        tokenizer.decode(indices.new_zeros(1, len(CHANNELS), 17), CHANNELS)


# --- first weights ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "config"), [(Gram, gram_nano()), (Tokenizer, tokenizer_nano())]
)
def test_seed(network, config):
    torch.rand(1)
    before = torch.get_rng_state()
    first, again, other = network(config, seed=3), network(config, seed=3), network(config, seed=4)
    generator = torch.Generator().manual_seed(3)
    from_generator = network(config, seed=generator)
    assert torch.get_rng_state().equal(before)
    state, moved = first.state_dict(), 0
    for name, value in state.items():
        assert value.isfinite().all()
        assert value.equal(again.state_dict()[name]) and value.equal(
            from_generator.state_dict()[name]
        )
        moved += not value.equal(other.state_dict()[name])
    assert moved > 10
    assert not network(config, seed=generator).state_dict()[name].equal(value) or value.ndim == 1
    unfilled = network(config, seed=None).state_dict()
    assert sum(value.isnan().all().item() for value in unfilled.values()) > 10
    with pytest.raises(TypeError, match="seed must be"):
        network(config, seed="1")


def test_first_weights():
    gram, tokenizer = Gram(gram_base()), Tokenizer(tokenizer_base())
    for network in (gram, tokenizer):
        for name, module in network.named_modules():
            if isinstance(module, nn.LayerNorm | nn.GroupNorm):
                assert (module.weight == 1).all() and (module.bias == 0).all()
                assert module.eps == 1e-5
            elif isinstance(module, nn.Linear):
                assert module.bias is None or (module.bias == 0).all()
                limit = 0.02
                if name.endswith(("attn.proj", "mlp.fc2")):
                    depth = int(name.split(".")[-3]) + 1
                    limit /= (2 * depth) ** 0.5
                assert 0.99 * limit < module.weight.abs().max() <= limit * (1 + 1e-6), name
    # A normal of std 0.02 cut at one std has a std of 0.54 of that.
    assert abs(gram.encoder.blocks[3].mlp.fc1.weight.std() / 0.02 - 0.5397) < 0.01
    assert gram.encoder.patch_embedding.conv2.weight.abs().max() <= 0.02
    assert (gram.encoder.patch_embedding.conv2.bias == 0).all()
    assert 0 < gram.encoder.cls.abs().max() <= 0.02
    assert (gram.encoder.fusion.weights == 1).all()
    assert (gram.encoder.blocks[0].scale1 == 0.1).all()
    assert tokenizer.encoder.blocks[0].scale1 is None
    conv = tokenizer.encoder.patch_embedding.conv2
    assert 0.8 * 24**-0.5 < conv.weight.abs().max() <= 24**-0.5 and (conv.bias != 0).all()
    assert abs(tokenizer.encoder.positions.times.std() - 0.02) < 0.001
    torch.testing.assert_close(tokenizer.codebook.norm(dim=1), torch.ones(8196))
    names = {name for name, _ in (*gram.named_parameters(), *tokenizer.named_parameters())}
    assert "codebook" not in names and "encoder.positions.channels" not in names


# --- gradients ----------------------------------------------------------------------------------


def test_gradients_pass_the_quantizer(tokenizer, toy):
    tokenizer.zero_grad()
    loss = tokenizer(toy.make_x(), CHANNELS)
    torch.testing.assert_close(loss.loss, loss.reconstruction + loss.commitment)
    torch.testing.assert_close(loss.codes.norm(dim=-1), torch.ones_like(loss.codes[..., 0]))
    assert not loss.codes.requires_grad
    loss.reconstruction.backward()
    grads = {name: p.grad for name, p in tokenizer.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    assert (grads["encoder.blocks.0.attn.query.weight"] != 0).any()
    assert (grads["code_head.0.weight"] != 0).any()
    tokenizer.zero_grad()


def test_codebook_term_has_no_gradient(tokenizer, toy):
    """The value counts the term twice, the gradient once."""
    x = toy.make_x()
    weight = tokenizer.code_head[2].weight
    (grad,) = torch.autograd.grad(tokenizer(x, CHANNELS).commitment, weight)
    tokens = tokenizer.encode(x, CHANNELS)
    codes = nn.functional.normalize(tokens.features, dim=-1)
    once = (codes - tokens.quantized).square().mean()
    torch.testing.assert_close(tokenizer(x, CHANNELS).commitment, 2 * once)
    torch.testing.assert_close(grad, torch.autograd.grad(once, weight)[0])


def test_nearest_class_is_taken(tokenizer, toy):
    tokens = tokenizer.encode(toy.make_x(), CHANNELS)
    codes = nn.functional.normalize(tokens.features, dim=-1)
    distances = torch.cdist(codes.flatten(0, 2), tokenizer.codebook)
    assert tokens.indices.flatten().equal(distances.argmin(-1))
    assert tokens.quantized.equal(tokenizer.codebook[tokens.indices])


def test_gram_learns_a_batch(toy):
    """A few steps on one batch bring the loss down, so gradients point the right way."""
    gram = Gram(replace(gram_nano(), dropout=0.0, drop_path=0.0))
    x, mask = toy.make_x(4), toy.make_mask(4)
    targets = torch.randint(64, mask.shape, generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.AdamW(gram.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = gram(x, CHANNELS, mask, targets)
        optimizer.zero_grad()
        loss.loss.backward()
        optimizer.step()
        losses.append(loss)
    assert losses[-1].cross_entropy < 0.5 * losses[0].cross_entropy
    assert losses[-1].spectral < 0.8 * losses[0].spectral
    assert losses[-1].accuracy > losses[0].accuracy


def mean_cosine(a, b):
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return ((a * b).sum(-1) / norms).mean()


def test_centered(tokenizer, toy):
    x = toy.make_x() + torch.linspace(-3, 3, 5)[:, None]
    decoded = tokenizer.decode(tokenizer.encode(x, CHANNELS).indices, CHANNELS).detach()
    decoded, patches = decoded.double().numpy(), toy.cut(x)
    wanted = 1 - mean_cosine(decoded, patches)
    assert abs(tokenizer(x, CHANNELS).reconstruction.item() - wanted) < 1e-5
    decoded, patches = (a - a.mean(-1, keepdims=True) for a in (decoded, patches))
    centered = 1 - mean_cosine(decoded, patches)
    assert abs(centered - wanted) > 1e-4
    out = tokenizer(x, CHANNELS, centered=True)
    assert abs(out.reconstruction.item() - centered) < 1e-5
    torch.testing.assert_close(out.loss, out.reconstruction + out.commitment)


def test_without_codebook(tokenizer, toy):
    x = toy.make_x()
    codes = nn.functional.normalize(tokenizer.encode(x, CHANNELS).features, dim=-1)
    decoded = tokenizer.decode_quantized(codes, CHANNELS).detach().double().numpy()
    out = tokenizer(x, CHANNELS, quantize=False)
    assert abs(out.reconstruction.item() - (1 - mean_cosine(decoded, toy.cut(x)))) < 1e-5
    assert out.commitment == 0 and out.loss == out.reconstruction
    assert abs(out.reconstruction - tokenizer(x, CHANNELS).reconstruction) > 1e-4
    grad = torch.autograd.grad(out.loss, tokenizer.code_head[0].weight)[0]
    assert grad.norm() > 0


def test_guide(tokenizer, toy):
    x = toy.make_x() + torch.linspace(-3, 3, 5)[:, None]
    generator = torch.Generator().manual_seed(1)
    guide = torch.randn(200, tokenizer.config.code_dim, generator=generator)
    codes = tokenizer.encode(x, CHANNELS).features.detach().double().numpy()
    patches = toy.cut(x)
    wanted = (patches - patches.mean(-1, keepdims=True)) @ guide.double().numpy()
    out = tokenizer(x, CHANNELS, quantize=False, guide=guide)
    assert abs(out.commitment.item() - (1 - mean_cosine(codes, wanted))) < 1e-5
    torch.testing.assert_close(out.loss, out.reconstruction + out.commitment)
    grad = torch.autograd.grad(out.commitment, tokenizer.code_head[0].weight)[0]
    assert grad.norm() > 0
    # With a codebook it has no say.
    plain, guided = tokenizer(x, CHANNELS), tokenizer(x, CHANNELS, guide=guide)
    assert plain.loss == guided.loss


@pytest.mark.parametrize(
    ("tokenizer_config", "gram_config", "millions"),
    [(tokenizer_tiny(), gram_tiny(), (2.0, 3.5)), (tokenizer_small(), gram_small(), None)],
)
def test_shapes_of_our_own(tokenizer_config, gram_config, millions):
    assert tokenizer_config.n_classes == gram_config.n_classes
    assert gram_config.predict_scale
    for config in (tokenizer_config, gram_config):
        assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config
    if millions is not None:
        networks = Tokenizer(tokenizer_config, seed=None), Gram(gram_config, seed=None)
        found = [sum(p.numel() for p in n.parameters()) / 1e6 for n in networks]
        np.testing.assert_allclose(found, millions, atol=0.05)
