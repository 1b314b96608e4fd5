# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which patches of a window stage 2 hides.

How many are hidden depends only on the kind, the shape of the window and the share, so the windows
of a batch need no padding.
"""

from functools import lru_cache

import numpy as np
from mne.utils import _check_option

from ..montage import CH_NAMES, ELECTRODES, INDEX, electrode_positions

MASK_KINDS = ("random", "channels", "cluster", "span")

# Lowest and highest share of hidden patches of each kind in training; published is one half of
# random patches. The other kinds resemble damage: bad channels, an artefact that spreads over
# neighbours, a bad segment in some channels. They hide less, as fewer neighbours are visible.
MASK_SHARES = {
    "random": (0.3, 0.6),
    "channels": (0.1, 0.5),
    "cluster": (0.1, 0.4),
    "span": (0.1, 0.5),
}


@lru_cache(maxsize=1)
def channel_distances():
    """Return distances (130, 130) in metres on the template head; pairs lie midway."""
    places = electrode_positions()
    ends = [[INDEX[end] for end in name.split("-")] for name in CH_NAMES[len(ELECTRODES) :]]
    places = np.concatenate([places, places[ends].mean(axis=1)])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    distances.setflags(write=False)  # shared by all callers
    return distances


def count_hidden(kind, n_channels, n_patches, share):
    """Return how many channels lose how many patches each; for ``"random"``, 1 and all patches.

    At least one patch is hidden. Of three or more channels, two remain visible; a single channel
    loses a segment of time, and a window of one patch loses whole channels.
    """
    _check_option("kind", kind, MASK_KINDS)
    if not 0 < share < 1:
        raise ValueError(f"The share of hidden patches must lie between 0 and 1, got {share}.")
    n_tokens = n_channels * n_patches
    if n_tokens < 2:
        raise ValueError(
            f"A window of {n_channels} channels x {n_patches} patches cannot be masked: it needs "
            "two patches, one to hide and one to leave visible."
        )
    if kind == "random":
        return 1, min(max(round(share * n_tokens), 1), n_tokens - 1)
    if n_channels == 1:
        return 1, min(max(round(share * n_patches), 1), n_patches - 1)
    most = max(n_channels - 2, 1)
    length = n_patches
    if kind == "span":
        # About half of the channels, more only where the share needs them.
        about = max(n_channels // 2, round(share * n_channels), 1)
        length = min(max(round(share * n_tokens / about), 1), n_patches)
    return min(max(round(share * n_tokens / length), 1), most), length


def draw_mask(kind, channels, n_patches, rng, *, share):
    """Return a mask (n_channels, n_patches), True where hidden, for channels (montage indices).

    Kinds are ``"random"`` patches, whole ``"channels"``, a ``"cluster"`` of neighbouring channels,
    and a ``"span"`` of time in about half of the channels.
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
