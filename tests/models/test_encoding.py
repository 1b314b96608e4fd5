# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Vectors and base classes of many windows: pooling, masks, batches."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.models import (
    POOLS,
    Gram,
    Tokenizer,
    encode_tokens,
    encode_windows,
    gram_nano,
    split_patches,
    tokenizer_nano,
)
from mne_gram.models._registry import GramModel

CHANNELS = np.array([0, 2, 17, 41])
ATOL = 2e-5


@pytest.fixture(scope="module")
def model():
    """Return a model whose weights are large enough for every input to matter."""
    gram, tokenizer = Gram(gram_nano(), seed=1).eval(), Tokenizer(tokenizer_nano()).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (*gram.parameters(), *tokenizer.parameters()):
            if parameter.ndim > 1:
                scale = parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return GramModel(tokenizer, gram)


def draw(n_patches=5, share=0.3, seed=0):
    """Return windows with bad patches: a channel, a second and scattered ones."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, 4, n_patches * 200)).astype(np.float32)
    mask = rng.random((4, 4, n_patches)) < share
    mask[:, 0, 0] = False
    mask[0] = False
    mask[1, 2] = True
    mask[2, :, 1] = True
    return x, mask


def average(values, axis):
    """Average what is there, NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def test_unmasked_is_what_the_networks_say(model):
    x, _ = draw()
    with torch.inference_mode():
        encoding = model.gram.encode(torch.from_numpy(x), CHANNELS)
        indices = model.tokenizer.encode(torch.from_numpy(x), CHANNELS).indices
    assert_allclose(encode_windows(model, x, CHANNELS), encoding.cls, atol=ATOL)
    latents = encode_windows(model, x, CHANNELS, pool="patches")
    assert_allclose(latents, encoding.latents, atol=ATOL)
    assert_array_equal(encode_tokens(model, x, CHANNELS), indices)


@pytest.mark.parametrize("n_patches", [5, 21])
@pytest.mark.parametrize(("pool", "axis"), [("mean", (1, 2)), ("channels", 2), ("times", 1)])
def test_pools_are_means_of_patches(model, n_patches, pool, axis):
    x, mask = draw(n_patches)
    patches = encode_windows(model, x, CHANNELS, mask=mask, pool="patches")
    assert_array_equal(np.isnan(patches).all(axis=-1), mask)
    pooled = encode_windows(model, x, CHANNELS, mask=mask, pool=pool)
    assert pooled.dtype == np.float32
    assert_allclose(pooled, average(patches, axis), atol=ATOL)


def test_long_windows_are_cut_and_weighted(model):
    x, mask = draw(21)
    mask[3, :, :11] = True  # the first part of a window has nothing to say
    cls = encode_windows(model, x, CHANNELS, mask=mask)
    parts = [slice(0, 11), slice(11, 21)]
    halves = [
        encode_windows(model, x[..., s.start * 200 : s.stop * 200], CHANNELS, mask=mask[..., s])
        for s in parts
    ]
    weights = np.array([(~mask[..., s]).sum((1, 2)) for s in parts])[..., None]
    assert weights[0, 3] == 0 and np.isnan(halves[0][3]).all()
    assert_allclose(cls, np.nansum(halves * weights, 0) / weights.sum(0), atol=ATOL)
    tokens = encode_tokens(model, x, CHANNELS, mask=mask)
    assert_array_equal(
        tokens[..., 11:], encode_tokens(model, x[..., 2200:], CHANNELS, mask=mask[..., 11:])
    )


@given(n_patches=st.integers(1, 200), longest=st.integers(1, 20))
def test_parts_are_equal_and_few(n_patches, longest):
    parts = split_patches(n_patches, longest)
    lengths = [b - a for a, b in parts]
    assert [p for a, b in parts for p in range(a, b)] == list(range(n_patches))
    assert max(lengths) <= longest and max(lengths) - min(lengths) <= 1
    assert len(parts) == -(-n_patches // longest)


@pytest.mark.parametrize("value", [1e4, np.nan, np.inf])
def test_masked_patches_have_no_influence(model, value):
    x, mask = draw()
    broken = np.where(np.repeat(mask, 200, axis=2), np.float32(value), x)
    for pool in POOLS:
        vectors = [encode_windows(model, a, CHANNELS, mask=mask, pool=pool) for a in (x, broken)]
        assert_array_equal(*vectors)
    tokens = [encode_tokens(model, a, CHANNELS, mask=mask) for a in (x, broken)]
    assert_array_equal(*tokens)
    assert_array_equal(tokens[0] == -1, mask)
    if np.isfinite(value):  # but it does where nobody masks it
        assert not np.allclose(encode_windows(model, broken, CHANNELS)[1], vectors[0][1, 0, 0])


def test_masked_channel_is_as_if_it_were_not_there(model):
    x, _ = draw()
    mask = np.zeros((4, 4, 5), bool)
    mask[:, 1] = True
    rest = [0, 2, 3]
    for pool in ("cls", "mean", "times"):
        assert_allclose(
            encode_windows(model, x, CHANNELS, mask=mask, pool=pool),
            encode_windows(model, x[:, rest], CHANNELS[rest], pool=pool),
            atol=ATOL,
        )
    tokens = encode_tokens(model, x, CHANNELS, mask=mask)
    assert_array_equal(tokens[:, rest], encode_tokens(model, x[:, rest], CHANNELS[rest]))


@settings(deadline=None, max_examples=8)
@given(order=st.permutations(range(4)), batch_size=st.integers(1, 5))
def test_order_and_batches_do_not_matter(model, order, batch_size):
    x, mask = draw()
    order = list(order)
    for pool in ("cls", "channels", "patches"):
        expected = encode_windows(model, x, CHANNELS, mask=mask, pool=pool)
        options = dict(mask=mask[:, order], pool=pool, batch_size=batch_size)
        got = encode_windows(model, x[:, order], CHANNELS[order], **options)
        assert_allclose(got, expected if pool == "cls" else expected[:, order], atol=ATOL)
    expected = encode_tokens(model, x, CHANNELS, mask=mask)
    options = dict(mask=mask[:, order], batch_size=batch_size)
    got = encode_tokens(model, x[:, order], CHANNELS[order], **options)
    assert (got == expected[:, order]).mean() > 0.95  # two classes may be equally near


def test_is_deterministic_and_leaves_modes_alone(model):
    x, mask = draw()
    model.gram.train()
    model.tokenizer.train()
    try:
        state = torch.random.get_rng_state()
        first = encode_windows(model, x, CHANNELS, mask=mask)
        assert_array_equal(first, encode_windows(model, x, CHANNELS, mask=mask))
        encode_tokens(model, x, CHANNELS)
        assert model.gram.training and model.tokenizer.training
        assert torch.equal(torch.random.get_rng_state(), state)
    finally:
        model.gram.eval()
        model.tokenizer.eval()
    assert_array_equal(first, encode_windows(model, x, CHANNELS, mask=mask))


def test_windows_without_anything_good_are_nan(model):
    x, mask = draw()
    mask[3] = True
    for pool in POOLS:
        vectors = encode_windows(model, x, CHANNELS, mask=mask, pool=pool)
        assert np.isnan(vectors[3]).all() and np.isfinite(vectors[0]).all()
    assert (encode_tokens(model, x, CHANNELS, mask=mask)[3] == -1).all()
    assert encode_windows(model, x[:0], CHANNELS).shape == (0, model.gram.config.dim)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (dict(x=np.zeros((1, 4, 300), np.float32)), "patches \\* 200"),
        (dict(x=np.zeros((1, 4, 200), int)), "floating-point"),
        (dict(channels=CHANNELS[:3]), "4 montage indices"),
        (dict(channels=np.array([0, 0, 1, 2])), "twice"),
        (dict(channels=np.array([0, 1, 2, 130])), "from 0 to 129"),
        (dict(mask=np.zeros((4, 4), bool)), "mask must be"),
        (dict(mask=np.zeros((4, 4, 5))), "mask must be a bool"),
        (dict(batch_size=0), "at least 1"),
        (dict(device="nowhere"), "device must be"),
    ],
)
def test_bad_input(model, change, match):
    arguments = dict(x=draw()[0], channels=CHANNELS) | change
    for encode in (encode_windows, encode_tokens):
        with pytest.raises(ValueError, match=match):
            encode(model, **arguments)


def test_what_lacks_is_told(model):
    x, mask = draw()
    with pytest.raises(ValueError, match="need stage 2"):
        encode_windows(GramModel(tokenizer=model.tokenizer), x, CHANNELS)
    with pytest.raises(ValueError, match="need the tokenizer"):
        encode_tokens(GramModel(gram=model.gram), x, CHANNELS)
    with pytest.raises(ValueError, match="pool"):
        encode_windows(model, x, CHANNELS, pool="median")
    x[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not masked"):
        encode_windows(model, x, CHANNELS, mask=mask)
