# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Run the networks over windows: vectors of stage 2, base classes of the tokenizer."""

import numpy as np
from mne.utils import ProgressBar, _check_option, verbose

from ._inference import TOKENS_PER_BATCH, check_windows, evaluating, get_device

_PATCH = 200
#: The ways to pool the latents of a window.
POOLS = ("cls", "mean", "channels", "times", "patches")


@verbose
def encode_windows(
    model, x, channels, *, mask=None, pool="cls", batch_size=None, device=None, verbose=None
):
    """Encode windows with stage 2; return vectors (n_windows, ..., dim), NaN where all is masked.

    ``x`` (n_windows, n_channels, n_patches * 200) in 0.1 mV; ``mask`` True where a patch is hidden.
    """
    _check_option("pool", pool, POOLS)
    gram = _get_network(model, "gram", "Embeddings need stage 2")
    x, channels, mask = check_windows(x, channels, mask)
    _check_unique(channels)
    n_windows, n_channels, n_patches = mask.shape

    def encode(x, channels, mask):
        return _pool_latents(gram.encode(x, channels, mask), ~mask, pool)

    shape = {"channels": (n_channels,), "times": (n_patches,), "patches": mask.shape[1:]}
    vectors = np.full((n_windows, *shape.get(pool, ()), gram.config.dim), np.nan, np.float32)
    in_a_row = pool in ("times", "patches")
    weights = (~mask).sum(axis=2)
    weights = weights if pool == "channels" else weights.sum(axis=1)
    sums, total = np.zeros(() if in_a_row else vectors.shape), np.maximum(weights, 1)[..., None]
    parts = _run_parts(encode, gram, x, channels, mask, batch_size, device, "Encoding windows")
    for rows, (start, stop), values in parts:
        if in_a_row:
            vectors[rows, ..., start:stop, :] = values
            continue
        share = (~mask[rows, :, start:stop]).sum(axis=2)
        share = (share if pool == "channels" else share.sum(axis=1))[..., None]
        sums[rows] += np.where(share > 0, values, 0.0) * share / total[rows]
    if not in_a_row:
        vectors[weights > 0] = sums[weights > 0]
    return vectors


@verbose
def encode_tokens(model, x, channels, *, mask=None, batch_size=None, device=None, verbose=None):
    """Return the base class of every patch, int64 (n_windows, n_channels, n_patches), -1 if masked.

    ``model`` needs a tokenizer; the other parameters are those of `encode_windows`.
    """
    tokenizer = _get_network(model, "tokenizer", "Base classes need the tokenizer (stage 1)")
    x, channels, mask = check_windows(x, channels, mask)
    _check_unique(channels)

    def encode(x, channels, mask):
        return _name_visible(tokenizer, x, channels, mask)

    tokens = np.full(mask.shape, -1, np.int64)
    parts = _run_parts(encode, tokenizer, x, channels, mask, batch_size, device, "Tokenizing")
    for rows, (start, stop), values in parts:
        tokens[rows, :, start:stop] = values
    return tokens


def choose_batch_size(n_channels, n_patches, longest):
    """Return the number of windows in a batch; ``longest`` is what the network takes at once."""
    start, stop = split_patches(n_patches, longest)[0]
    return max(1, TOKENS_PER_BATCH // (n_channels * (stop - start)))


def _get_network(model, part, need):
    """Return one network of a model, or raise if it is missing."""
    network = getattr(model, part)
    if network is None:
        raise ValueError(
            f"{need}, which is missing from this model. Load 'gram-tiny', for example."
        )
    return network


def _check_unique(channels):
    """Raise if two channels have the same entry."""
    if len(np.unique(channels)) < len(channels):
        raise ValueError(
            "channels contains a montage index twice, which the network cannot distinguish. Keep "
            "one channel for each entry."
        )


def _run_parts(encode, network, x, channels, mask, batch_size, device, title):
    """Yield rows, (start, stop) in patches and results of each batch with visible patches."""
    import torch

    n_windows, n_channels, n_patches = mask.shape
    parts = split_patches(n_patches, network.config.max_patches)
    device = next(network.parameters()).device if device is None else get_device(device)
    network.to(device)
    if batch_size is None:
        batch_size = choose_batch_size(n_channels, n_patches, network.config.max_patches)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    batches = []
    for start, stop in parts:
        n_visible = (~mask[..., start:stop]).sum(axis=(1, 2))
        # Windows with equal numbers of visible patches need no padding.
        order = np.argsort(n_visible, kind="stable")
        order = order[n_visible[order] > 0]
        batches += [
            (order[i : i + batch_size], start, stop) for i in range(0, len(order), batch_size)
        ]
    channels = torch.from_numpy(channels)
    for rows, start, stop in ProgressBar(batches, mesg=title):
        part = x[rows, :, start * _PATCH : stop * _PATCH].astype(np.float32)
        hidden = mask[rows, :, start:stop]
        _check_finite(part, hidden)
        # The context must be closed before yielding to the caller.
        with torch.inference_mode(), evaluating(network):
            values = encode(
                torch.from_numpy(part).to(device), channels, torch.from_numpy(hidden).to(device)
            )
            values = values.cpu().numpy()
        yield rows, (start, stop), values


def split_patches(n_patches, longest):
    """Return starts and stops of the fewest parts of at most ``longest``, the longer ones first."""
    n_parts = -(-n_patches // longest)
    lengths = np.full(n_parts, n_patches // n_parts)
    lengths[: n_patches % n_parts] += 1
    stops = np.cumsum(lengths)
    return [(int(b - n), int(b)) for n, b in zip(lengths, stops, strict=True)]


def _check_finite(x, mask):
    """Raise if visible patches contain NaN or infinity."""
    finite = np.isfinite(x).reshape(*mask.shape, _PATCH).all(axis=-1)
    if not (finite | mask).all():
        raise ValueError(
            "x contains NaN or infinity in patches that are not masked. Mask them, or restore them "
            "first (mne_gram.restore)."
        )


def _pool_latents(encoding, visible, pool):
    """Pool CLS (B, d) or latents (B, C, n, d) to (B, ..., d), NaN where nothing is visible."""
    if pool == "cls":
        return encoding.cls
    axes = {"mean": (1, 2), "channels": (2,), "times": (1,), "patches": ()}[pool]
    # Latents are 0 where masked. 0 / 0 makes the NaN.
    sums = encoding.latents.sum(axes) if axes else encoding.latents
    return sums / (visible.sum(axes) if axes else visible.int()).unsqueeze(-1)


def _name_visible(tokenizer, x, channels, mask):
    """Return base classes (B, C, n), -1 where masked; only visible patches are read."""
    from ._layers import run_blocks
    from ._visible import find_visible, put, take

    if not mask.any():
        return tokenizer.encode(x, channels).indices
    # The published tokenizer reads all patches of a window, so that bad ones would influence the
    # classes of good ones. Here it reads only the good ones, as stage 2 does.
    patches, encoder = x.unflatten(2, (-1, _PATCH)), tokenizer.encoder
    channels = channels.to(x.device)
    visible = find_visible(mask.flatten(1))
    positions = encoder.positions(channels, patches.shape[2]).expand(len(x), -1, -1)
    tokens = encoder.patch_embedding(take(patches.flatten(1, 2), visible), visible.valid)
    tokens = tokens + take(positions, visible)
    tokens, _ = run_blocks(encoder.blocks, tokens, visible.valid)
    features = tokenizer.code_head(encoder.norm(tokens))
    classes = (features.float() @ tokenizer.codebook.T).argmax(-1, keepdim=True)
    background = classes.new_full((len(x), mask[0].numel(), 1), -1)
    return put(classes, visible, background).squeeze(-1).unflatten(1, mask.shape[1:])


def decode_tokens(model, tokens, channels):
    """Decode base classes (n_windows, n_channels, n_patches) to arrays (..., 200)."""
    import torch

    tokenizer = _get_network(model, "tokenizer", "Base classes need the tokenizer (stage 1)")
    with torch.inference_mode():
        return tokenizer.decode(torch.from_numpy(tokens), channels).cpu().numpy()
