# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Cutting signals into patches and windows, and putting them together again."""

import numpy as np


def cut_patches(x, patch=200):
    """Cut the last axis into patches.

    Parameters
    ----------
    x : array, shape (..., n * patch)
        Signals.
    patch : int
        Samples a patch.

    Returns
    -------
    patches : array, shape (..., n, patch)
        A view of ``x`` where its memory allows.

    Raises
    ------
    ValueError
        If the length is no multiple of ``patch``.
    """
    if x.shape[-1] % patch:
        raise ValueError(
            f"The signals have {x.shape[-1]} samples, which is no multiple of {patch}: cut them "
            "into windows first."
        )
    return x.reshape(*x.shape[:-1], x.shape[-1] // patch, patch)


def join_patches(patches):
    """Join patches along time: the inverse of :func:`cut_patches`.

    Parameters
    ----------
    patches : array, shape (..., n, patch)
        Patches.

    Returns
    -------
    x : array, shape (..., n * patch)
        Signals.
    """
    return patches.reshape(*patches.shape[:-2], patches.shape[-2] * patches.shape[-1])


def window_starts(n_times, window, step):
    """Return where windows start so that together they cover every sample.

    Parameters
    ----------
    n_times : int
        Samples of the signal; at least ``window``.
    window : int
        Samples a window.
    step : int
        Samples from one start to the next, ``1 <= step <= window``.

    Returns
    -------
    starts : array of int, shape (n_windows,)
        Multiples of ``step`` and, where these leave a tail, ``n_times - window``.

    Raises
    ------
    ValueError
        If no window fits, or windows so far apart would leave samples out.
    """
    if not 1 <= step <= window:
        raise ValueError(f"step must be between 1 and the window's {window} samples, got {step}.")
    if n_times < window:
        raise ValueError(f"A window of {window} samples doesn't fit into a signal of {n_times}.")
    last = n_times - window
    starts = np.arange(0, last + 1, step)
    return starts if starts[-1] == last else np.append(starts, last)


def cut_windows(x, starts, window):
    """Copy windows out of the last axis.

    Parameters
    ----------
    x : array, shape (..., n_times)
        Signals.
    starts : array of int, shape (n_windows,)
        First sample of each window.
    window : int
        Samples a window.

    Returns
    -------
    windows : array, shape (n_windows, ..., window)
        The windows, a copy.
    """
    return np.stack([x[..., start : start + window] for start in starts])


def overlap_add(windows, starts, n_times, taper):
    """Put windows together again, cross-fading where they overlap.

    Parameters
    ----------
    windows : array, shape (n_windows, ..., window)
        The windows.
    starts : array of int, shape (n_windows,)
        First sample of each window.
    n_times : int
        Samples of the signal.
    taper : int | array, shape (window,)
        Samples over which a window fades in and out, at most half a window; 0 weighs all
        samples of a window alike. An array gives the weights themselves.

    Returns
    -------
    x : array, shape (..., n_times)
        The weighted mean of the windows at each sample: the weights add up to 1 everywhere, so
        windows that agree are returned as they are.

    Raises
    ------
    ValueError
        If a sample is in no window, or the taper is longer than half a window.
    """
    window = windows.shape[-1]
    fade = np.ones(window)
    if np.ndim(taper):
        fade *= taper
    elif not 0 <= 2 * taper <= window:
        raise ValueError(f"taper must be between 0 and {window // 2} samples, got {taper}.")
    else:
        # Never 0, so that the first and last samples of the signal keep a weight to divide by.
        fade[:taper] = (np.arange(taper) + 0.5) / max(taper, 1)
        fade[window - taper :] = fade[:taper][::-1]
    total = np.zeros((*windows.shape[1:-1], n_times), np.result_type(windows, np.float32))
    weight = np.zeros(n_times)
    for piece, start in zip(windows, starts, strict=True):
        total[..., start : start + window] += piece * fade
        weight[start : start + window] += fade
    if (weight == 0).any():
        raise ValueError(
            f"{(weight == 0).sum()} of {n_times} samples are in no window; take starts from "
            "window_starts."
        )
    total /= weight
    return total
