# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which patches of a window stage 2 hides.

The number of hidden patches depends on the kind, the shape of the window and the share alone, never
on the draw, so that the windows of a batch need no padding.
"""

from functools import lru_cache

import numpy as np
from mne.utils import _check_option

from ..montage import CH_NAMES, ELECTRODES, INDEX, electrode_positions

__all__ = ["MASK_KINDS", "MASK_SHARES", "channel_distances", "count_hidden", "draw_mask"]

MASK_KINDS = ("random", "channels", "cluster", "span")

# Lowest and highest share of hidden patches of each kind in training. The published share of random
# patches is one half. The other kinds stand for what is repaired later: some bad channels, an
# artefact that spreads over neighbours, a bad stretch of time in part of the channels. They hide
# less, because what they hide has fewer visible neighbours to be told from.
MASK_SHARES = {
    "random": (0.3, 0.6),
    "channels": (0.1, 0.5),
    "cluster": (0.1, 0.4),
    "span": (0.1, 0.5),
}


@lru_cache(maxsize=1)
def channel_distances():
    """Return the distances between the entries of the montage on the template head.

    Returns
    -------
    distances : array, shape (130, 130)
        In metres. A bipolar derivation lies midway between its electrodes.
    """
    places = electrode_positions()
    ends = [[INDEX[end] for end in name.split("-")] for name in CH_NAMES[len(ELECTRODES) :]]
    places = np.concatenate([places, places[ends].mean(axis=1)])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    distances.setflags(write=False)  # it is shared by all who ask
    return distances


def count_hidden(kind, n_channels, n_patches, share):
    """Count what a mask of this kind hides.

    Parameters
    ----------
    kind : str
        One of ``MASK_KINDS``.
    n_channels, n_patches : int
        The shape of the window.
    share : float
        The wanted share of hidden patches, between 0 and 1.

    Returns
    -------
    n_hidden_channels, length : int
        So many channels lose so many patches each. For random patches ``n_hidden_channels`` is 1
        and ``length`` the number of patches.

    Raises
    ------
    ValueError
        If the window has one patch only, which cannot be both hidden and visible, or the share is
        out of range.

    Notes
    -----
    At least one patch is hidden. Whole channels leave two channels visible where there are three or
    more. A single channel has no other to be told from, so it loses a stretch of time; a window of
    one patch loses whole channels.
    """
    _check_option("kind", kind, MASK_KINDS)
    if not 0 < share < 1:
        raise ValueError(f"The share of hidden patches must lie between 0 and 1, got {share}.")
    n_tokens = n_channels * n_patches
    if n_tokens < 2:
        raise ValueError(
            f"A window of {n_channels} channels x {n_patches} patches cannot be masked: it needs "
            "two patches, one to hide and one to see."
        )
    if kind == "random":
        return 1, min(max(round(share * n_tokens), 1), n_tokens - 1)
    if n_channels == 1:
        return 1, min(max(round(share * n_patches), 1), n_patches - 1)
    most = max(n_channels - 2, 1)
    length = n_patches
    if kind == "span":
        # About half of the channels, more only where the share asks for it.
        about = max(n_channels // 2, round(share * n_channels), 1)
        length = min(max(round(share * n_tokens / about), 1), n_patches)
    return min(max(round(share * n_tokens / length), 1), most), length


def draw_mask(kind, channels, n_patches, rng, *, share):
    """Draw which patches of a window are hidden.

    Parameters
    ----------
    kind : str
        ``"random"``: any patches; ``"channels"``: whole channels; ``"cluster"``: a channel and
        those nearest to it on the head, for all time; ``"span"``: one stretch of time in about half
        of the channels.
    channels : array of int, shape (n_channels,)
        Indices of the channels in the montage.
    n_patches : int
        Number of patches of a channel.
    rng : numpy.random.Generator
        What draws.
    share : float
        The wanted share of hidden patches; :func:`count_hidden` says what it is rounded to.

    Returns
    -------
    mask : array of bool, shape (n_channels, n_patches)
        True where hidden.
    """
    channels = np.asarray(channels)
    n_channels = len(channels)
    n_rows, length = count_hidden(kind, n_channels, n_patches, share)
    mask = np.zeros((n_channels, n_patches), bool)
    if kind == "random":
        mask.ravel()[rng.permutation(mask.size)[:length]] = True
        return mask
    if kind == "cluster":
        center = rng.integers(n_channels)
        distances = channel_distances()[channels[center], channels]
        rows = np.argsort(distances, kind="stable")[:n_rows]
    else:
        rows = rng.permutation(n_channels)[:n_rows]
    first = rng.integers(n_patches - length + 1)
    mask[rows, first : first + length] = True
    return mask
