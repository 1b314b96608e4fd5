# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Dropout, and attention with dropout on its probabilities, efficient on a CPU.

On a CPU torch draws the elements to drop one by one, which takes longer than the matrix products
of attention, and its attention keeps several matrices of all pairs of tokens for the backward pass.
Here eight elements come from one draw, and pairs of tokens are processed in pieces that fit the
cache and are recomputed in the backward pass. Other devices use torch's own functions.
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_LEVELS = 256  # values of a byte
_N_PAIRS = 2**19  # pairs of tokens at a time: 2 MiB in single precision


def dropout(x, rate, training=True):
    """Set random elements to 0 and scale up the others, with draws of torch's global state.

    On a CPU the rate is rounded to a multiple of 1/256, with the scale of the rounded rate.
    """
    if x.device.type != "cpu":
        return F.dropout(x, rate, training)
    threshold = _get_threshold(rate)
    if not training or threshold == 0:
        return x
    keep = torch.empty_like(x, requires_grad=False)
    torch.ge(_draw_bytes(x.shape), threshold, out=keep)
    return x * keep.mul_(_get_scale(threshold))


def attend(query, key, value, *, valid=None, rate=0.0, scale=None):
    """Return ``softmax(q k^T * scale) v`` (B, H, L, dh), with dropout on the probabilities.

    ``valid`` (B, L) are the tokens that may be attended to; None means all. ``scale`` None means
    ``1 / sqrt(dh)``.
    """
    threshold = _get_threshold(rate)
    if query.device.type != "cpu" or threshold == 0 or valid is not None or scale is not None:
        mask = None if valid is None else valid[:, None, None, :]
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=rate, scale=scale
        )
    heads = (x.flatten(0, 1) for x in (query, key, value))
    return _AttentionWithDropout.apply(*heads, threshold).unflatten(0, query.shape[:2])


def _get_threshold(rate):
    """Return the value of a byte below which an element is dropped."""
    return min(round(_LEVELS * rate), _LEVELS - 1)


def _get_scale(threshold):
    """Return the factor that compensates for dropped elements."""
    return _LEVELS / (_LEVELS - threshold)


def _draw_bytes(shape):
    """Return uniform random bytes."""
    n_bytes = shape.numel()
    words = torch.empty(-(-n_bytes // 8), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:n_bytes].view(shape)


class _AttentionWithDropout(torch.autograd.Function):
    """Attention of ``(B * H, L, dh)`` that stores only the random bytes of dropout."""

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
        """Return the gradients of query, key and value; scores are recomputed."""
        query, key, value, out, noise = ctx.saved_tensors
        # The mean of the gradient of each softmax row, weighted by its probabilities.
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
