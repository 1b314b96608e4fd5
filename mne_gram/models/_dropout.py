# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Dropout, and attention with dropout on its probabilities, at a fair price on a CPU.

On a CPU torch draws the elements to drop one by one, which takes longer than all matrix products
of attention together, and its attention keeps several matrices of all pairs of tokens for the
backward pass. Here eight elements come of one draw, and pairs of tokens are worked on in pieces
that fit the cache and made anew in the backward pass. Other devices have fast ways of their own.
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_LEVELS = 256  # values of a byte
_N_PAIRS = 2**19  # pairs of tokens at a time: 2 MiB in single precision


def dropout(x, rate, training=True):
    """Set a random part of the elements to 0 and scale up the others.

    Parameters
    ----------
    x : torch.Tensor
        Any shape.
    rate : float
        Probability that an element is dropped, from 0 to below 1. On a CPU it is rounded to a
        multiple of 1/256, and the others are scaled by what the rounded rate asks for, so that
        the expectation is ``x`` exactly.
    training : bool
        If False, ``x`` is returned as it is.

    Returns
    -------
    dropped : torch.Tensor
        Same shape as ``x``. The draws are those of torch's own random state.
    """
    if x.device.type != "cpu":
        return F.dropout(x, rate, training)
    threshold = _get_threshold(rate)
    if not training or threshold == 0:
        return x
    keep = torch.empty_like(x, requires_grad=False)
    torch.ge(_draw_bytes(x.shape), threshold, out=keep)
    return x * keep.mul_(_get_scale(threshold))


def attend(query, key, value, *, valid=None, rate=0.0):
    """Return ``softmax(q k^T / sqrt(dh)) v``, with dropout on the probabilities.

    Parameters
    ----------
    query, key, value : torch.Tensor, shape (B, H, L, dh)
        Windows, heads, tokens, features of a head.
    valid : torch.Tensor of bool, shape (B, L) | None
        Which tokens may be seen; None for all.
    rate : float
        Probability that a probability is dropped, rounded as in `dropout`.

    Returns
    -------
    attended : torch.Tensor, shape (B, H, L, dh)
        What each token gathers from the others.
    """
    threshold = _get_threshold(rate)
    if query.device.type != "cpu" or threshold == 0 or valid is not None:
        mask = None if valid is None else valid[:, None, None, :]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
    heads = (x.flatten(0, 1) for x in (query, key, value))
    return _AttentionWithDropout.apply(*heads, threshold).unflatten(0, query.shape[:2])


def _get_threshold(rate):
    """Return below which value of a byte an element is dropped."""
    return min(round(_LEVELS * rate), _LEVELS - 1)


def _get_scale(threshold):
    """Return the factor that makes up for what is dropped."""
    return _LEVELS / (_LEVELS - threshold)


def _draw_bytes(shape):
    """Return uniform random bytes."""
    n_bytes = shape.numel()
    words = torch.empty(-(-n_bytes // 8), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:n_bytes].view(shape)


class _AttentionWithDropout(torch.autograd.Function):
    """Attention of ``(B * H, L, dh)``; only the bytes that tell what is dropped are kept."""

    @staticmethod
    def forward(ctx, query, key, value, threshold):
        """Attend, with scores dropped whose random byte is below the threshold."""
        query = query * query.shape[2] ** -0.5
        n_heads, n_tokens, _ = query.shape
        noise = _draw_bytes(torch.Size((n_heads, n_tokens, n_tokens)))
        out = torch.empty_like(value, memory_format=torch.contiguous_format)
        for part, (scores, shares) in _get_parts(query, n_buffers=2):
            _compare(query[part], key[part], scores, shares)
            keep = torch.ge(noise[part], threshold, out=scores)
            torch.bmm(shares.mul_(keep), value[part], out=out[part])
        out *= _get_scale(threshold)
        ctx.save_for_backward(query, key, value, out, noise)
        ctx.threshold = threshold
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """Return the gradients of query, key and value; the scores are computed once more."""
        query, key, value, out, noise = ctx.saved_tensors
        # Of each row of the softmax, the mean of the gradient under its own probabilities.
        mean = (grad * out).sum(2, keepdim=True)
        grad = grad * _get_scale(ctx.threshold)
        grads = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (out,) * 3]
        d_query, d_key, d_value = grads
        for part, (scores, shares, keep) in _get_parts(query, n_buffers=3):
            _compare(query[part], key[part], scores, shares)
            torch.ge(noise[part], ctx.threshold, out=keep)
            d_scores = torch.bmm(grad[part], value[part].transpose(1, 2), out=scores)
            d_scores.mul_(keep).sub_(mean[part]).mul_(shares)
            torch.bmm(keep.mul_(shares).transpose(1, 2), grad[part], out=d_value[part])
            torch.bmm(d_scores, key[part], out=d_query[part])
            torch.bmm(d_scores.transpose(1, 2), query[part], out=d_key[part])
        d_query *= query.shape[2] ** -0.5
        return d_query, d_key, d_value, None


def _get_parts(query, n_buffers):
    """Yield slices of heads, and buffers for the pairs of tokens in each."""
    n_heads, n_tokens, _ = query.shape
    step = max(1, min(n_heads, _N_PAIRS // n_tokens**2))
    buffers = query.new_empty(n_buffers, step, n_tokens, n_tokens)
    for start in range(0, n_heads, step):
        part = slice(start, min(start + step, n_heads))
        yield part, buffers[:, : part.stop - part.start]


def _compare(query, key, scores, shares):
    """Fill in the scores of pairs of tokens and, by their softmax, the shares of each row."""
    torch.bmm(query, key.transpose(1, 2), out=scores)
    torch.softmax(scores, -1, out=shares)
