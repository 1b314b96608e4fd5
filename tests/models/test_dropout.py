# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Dropout and attention with dropout: what they compute, what they expect, who draws."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.models import _dropout as module
from mne_gram.models._dropout import attend, dropout


@pytest.fixture(autouse=True)
def local_random_state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def make_heads(shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(3)]
    return [tensor.requires_grad_() for tensor in tensors]


def attend_plainly(query, key, value, keep):
    """Return attention as it is read; ``keep`` holds 0 or the scale of what is kept."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    return (scores.softmax(-1) * keep) @ value


def get_keep(shape, rate, seed):
    """Return what `attend` keeps after a seed."""
    threshold = round(256 * rate)
    torch.manual_seed(seed)
    keep = module._draw_bytes(torch.Size(shape)) >= threshold
    return keep.double() * 256 / (256 - threshold)


# ---------------------------------------------------------------------------------------------
# Dropout


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_mean_and_variance(rate):
    found = dropout(torch.ones(1000, 1000), rate)
    share = round(256 * rate) / 256
    values = torch.tensor([0.0, 1 / (1 - share)])
    torch.testing.assert_close(found.unique(), values)
    assert abs(share - rate) <= 1 / 512
    # A million draws: five standard errors.
    assert found.mean().item() == pytest.approx(1, abs=5e-3 * (share / (1 - share)) ** 0.5)
    assert found.var().item() == pytest.approx(share / (1 - share), rel=0.02)


def test_draws_are_independent():
    kept = dropout(torch.ones(2000, 512), 0.5).ne(0).double()
    correlation = torch.corrcoef(kept.T) - torch.eye(512)
    # The largest of 131 000 correlations over 2000 draws.
    assert correlation.abs().max() < 6 / 2000**0.5
    assert kept.mean(0).sub(0.5).abs().max() < 5 * 0.5 / 2000**0.5


def test_gradient_goes_through_what_is_kept():
    x = torch.randn(50, 40, requires_grad=True)
    out = dropout(x, 0.3)
    out.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), out.detach())
    assert 0.1 < x.grad.eq(0).double().mean() < 0.5


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False), (0.001, True)])
def test_nothing_is_dropped(rate, training):
    x = torch.randn(3, 4)
    state = torch.get_rng_state()
    assert dropout(x, rate, training) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_largest_rate():
    found = dropout(torch.ones(100_000), 0.9999)
    assert set(found.unique().tolist()) == {0.0, 256.0}


def test_seed_decides():
    def draw(seed):
        torch.manual_seed(seed)
        heads = make_heads((2, 3, 20, 4))
        return torch.cat([dropout(torch.ones(500), 0.3), attend(*heads, rate=0.3).flatten()])

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


# ---------------------------------------------------------------------------------------------
# Attention


@settings(deadline=None, max_examples=30)
@given(
    n_windows=st.integers(1, 3),
    n_heads=st.integers(1, 3),
    n_tokens=st.integers(1, 12),
    rate=st.sampled_from([0.05, 0.1, 0.5, 0.9]),
    n_pairs=st.sampled_from([1, 300, 2**19]),
    seed=st.integers(0, 99),
)
def test_it_is_attention_with_dropout(n_windows, n_heads, n_tokens, rate, n_pairs, seed):
    """In any number of pieces it is what is read, and so are its gradients."""
    shape = (n_windows, n_heads, n_tokens, 4)
    ours, plain = (make_heads(shape, seed, torch.float64) for _ in range(2))
    keep = get_keep((n_windows * n_heads, n_tokens, n_tokens), rate, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_N_PAIRS", n_pairs)
        torch.manual_seed(seed)
        found = attend(*ours, rate=rate)
        weights = torch.randn(shape, dtype=torch.float64)
        (found * weights).sum().backward()
    expected = attend_plainly(*plain, keep.unflatten(0, (n_windows, n_heads)))
    (expected * weights).sum().backward()
    torch.testing.assert_close(found, expected)
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_expectation_and_spread():
    """Over many draws the mean is attention without dropout, the spread that of torch's own."""
    heads = [x.detach().expand(1, 4000, -1, -1) for x in make_heads((1, 1, 9, 4))]
    rate = 32 / 256
    found = attend(*heads, rate=rate)[0]
    keep = F.dropout(torch.ones(4000, 9, 9), rate)
    expected = attend_plainly(*heads, keep)[0]
    plain = F.scaled_dot_product_attention(*(x[:, :1] for x in heads))[0, 0]
    error = (found.mean(0) - plain).abs() / (found.std(0) / 4000**0.5)
    assert error.max() < 5
    torch.testing.assert_close(found.std(0), expected.std(0), rtol=0.15, atol=0)


def test_layouts():
    """Strides of the input do not matter."""
    heads = make_heads((2, 10, 3, 4))
    turned = [x.transpose(1, 2) for x in heads]
    torch.manual_seed(3)
    found = attend(*turned, rate=0.25)
    torch.manual_seed(3)
    expected = attend(*(x.contiguous() for x in turned), rate=0.25)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert all(x.grad.shape == (2, 10, 3, 4) for x in heads)


def test_without_dropout_it_is_plain():
    heads = make_heads((2, 3, 10, 4))
    expected = attend_plainly(*heads, 1.0)
    torch.testing.assert_close(attend(*heads), expected)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_padding_is_not_seen(rate):
    heads = make_heads((2, 3, 10, 4))
    valid = torch.ones(2, 10, dtype=torch.bool)
    valid[1, 6:] = False
    found = []
    for garbage in (0.0, 1e3):
        spoilt = [x.detach().clone() for x in heads]
        for x in spoilt[1:]:
            x[1, :, 6:] = garbage
        torch.manual_seed(0)
        found.append(attend(*spoilt, valid=valid, rate=rate))
    torch.testing.assert_close(*found)


def test_little_is_kept_for_the_backward_pass():
    """One byte a pair of tokens, where attention as it is read keeps several numbers."""
    n_heads, n_tokens = 6, 128
    query, key, value = make_heads((1, n_heads, n_tokens, 4))
    n_bytes = []

    def pack(tensor):
        n_bytes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        attend(query, key, value, rate=0.1)
    assert sum(n_bytes) < 1.6 * n_heads * n_tokens**2
