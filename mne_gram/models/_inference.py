# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Running the networks over many windows: batches, device, progress."""

from contextlib import contextmanager

import numpy as np
from mne.utils import ProgressBar, _check_option, verbose

from .._counts import count

#: Default of tokens in a batch; about 0.2 GB for the largest intermediate.
TOKENS_PER_BATCH = 8192


def get_device(device=None):
    """Return a torch device by name (None: CPU); raise if it is unknown or not available."""
    import torch

    try:
        device = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device must be a name that torch knows, such as 'cpu', 'cuda' or 'cuda:0', got "
            f"{device!r} ({str(error).splitlines()[0]})."
        ) from None
    if device.type == "cuda":
        n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= n_devices:
            raise RuntimeError(
                f"device={str(device)!r} was requested, but torch {torch.__version__} sees "
                f"{count(n_devices, 'CUDA device')}. Use device='cpu', or install a build of torch "
                "for your GPU."
            )
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise RuntimeError("device='mps' was requested, but is not available. Use device='cpu'.")
    return device


def limit_threads(n_threads):
    """Let torch use this many threads in this process."""
    import torch

    torch.set_num_threads(n_threads)


@contextmanager
def evaluating(*networks):
    """Put networks into eval mode inside a context."""
    modes = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)


def check_windows(x, channels, mask):
    """Check shapes and types; return x, channels and mask (None hides nothing) as arrays."""
    x, channels = np.asarray(x), np.asarray(channels)
    if x.ndim != 3 or x.dtype.kind != "f" or x.shape[2] % 200 or 0 in x.shape[1:]:
        raise ValueError(
            "x must be a floating-point array (windows, channels, patches * 200), got "
            f"{x.dtype} {x.shape}."
        )
    if channels.shape != x.shape[1:2] or channels.dtype.kind not in "iu":
        raise ValueError(
            f"channels must contain {x.shape[1]} montage indices, got {channels.dtype} "
            f"{channels.shape}."
        )
    shape = (*x.shape[:2], x.shape[2] // 200)
    mask = np.zeros(shape, bool) if mask is None else np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(
            f"mask must be a bool array (windows, channels, patches) = {shape}, got {mask.dtype} "
            f"{mask.shape}."
        )
    return x, channels.astype(np.int64), mask


def _check_content(x, mask):
    """Raise if a sample is not finite, or no patch of a window is visible."""
    if not np.isfinite(x).all():
        raise ValueError(
            "x contains NaN or infinity. Fill bad patches with estimates first, because the "
            "tokenizer sees them."
        )
    blind = np.flatnonzero(mask.all(axis=(1, 2)))
    if len(blind):
        raise ValueError(
            f"Every patch is masked in windows {list(map(int, blind[:10]))}, so there is nothing "
            f"to predict from. Leave these windows out."
        )


@verbose
def predict_windows(
    model,
    x,
    channels,
    mask,
    *,
    decode="mean",
    batch_size=None,
    device=None,
    scale=None,
    verbose=None,
):
    """Predict masked patches; return waveforms (n_windows, n_channels, n_patches, 200).

    ``x`` (n_windows, n_channels, n_patches * 200) in 0.1 mV has estimates at masked patches,
    which the tokenizer sees. Waveforms are standardised without ``scale``.
    """
    import torch

    _check_option("decode", decode, ("mean", "argmax"))
    _check_option("scale", scale, ("network", None))
    if model.tokenizer is None or model.gram is None:
        lacking = "tokenizer (stage 1)" if model.tokenizer is None else "stage 2"
        raise ValueError(
            f"Predicting patches needs both stages, but this model has no {lacking}. Load a model "
            f"with both."
        )
    x, channels, mask = check_windows(x, channels, mask)
    _check_content(x, mask)
    x = x.astype(np.float32, copy=False)
    n_windows, n_channels, n_patches = mask.shape
    device = next(model.gram.parameters()).device if device is None else get_device(device)
    model.gram.to(device), model.tokenizer.to(device)
    if batch_size is None:
        batch_size = max(1, TOKENS_PER_BATCH // max(1, n_channels * n_patches))
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")

    waveforms = np.zeros((*mask.shape, 200), np.float32)
    # Windows with masks of the same size need no padding.
    order = np.argsort(mask.sum((1, 2)), kind="stable")
    batches = [order[i : i + batch_size] for i in range(0, n_windows, batch_size)]
    channels = torch.from_numpy(channels)
    with torch.inference_mode(), evaluating(model.gram, model.tokenizer):
        for rows in ProgressBar(batches, mesg="Predicting patches"):
            waveforms[rows] = _predict_batch(
                model,
                torch.from_numpy(x[rows]).to(device),
                channels,
                torch.from_numpy(mask[rows]).to(device),
                decode,
                scale,
            )
    return waveforms


def _predict_batch(model, x, channels, mask, decode, scale):
    """Predict one batch of tensors; return an array."""
    import torch.nn.functional as F

    codebook = model.tokenizer.codebook
    # Stage 2 is not trained on visible patches; their classes come from the tokenizer.
    codes = model.tokenizer.encode(x, channels).quantized
    hidden = model.gram.predict_hidden(x, channels, mask)
    log_probs = model.gram.decoder.head(hidden[mask]).float().log_softmax(-1)
    if decode == "argmax":
        codes[mask] = codebook[log_probs.argmax(-1)]
    else:
        # The mean over classes, scaled to length 1, the only length that the decoder knows.
        codes[mask] = F.normalize(log_probs.exp() @ codebook, dim=-1)
    waveforms = model.tokenizer.decode_quantized(codes, channels)
    if scale == "network":
        gain, offset = model.gram.predict_scale(hidden, x, mask)
        shapes = waveforms[mask]
        shapes = shapes - shapes.mean(-1, keepdim=True)
        # The mean over several classes has less contrast than each, to which the gain belongs.
        shapes = shapes / shapes.std(-1, unbiased=False, keepdim=True).clamp_min(1e-5)
        waveforms[mask] = shapes * gain[mask, None] + offset[mask, None]
    return waveforms.cpu().numpy()
