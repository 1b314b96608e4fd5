# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The visible tokens of windows, whose masks may differ in size: found, taken out and put back.

Shapes: ``B`` windows, ``L`` tokens, ``V`` visible tokens of the window with most of them.
"""

from typing import NamedTuple

import torch


class Places(NamedTuple):
    """The visible and the hidden tokens of windows with equally many of each."""

    visible: torch.Tensor  #: (B, V) places among the L tokens, ascending
    hidden: torch.Tensor  #: (B, L - V) likewise


def find_places(mask):
    """Return the places of ``mask (B, L)``, True where hidden; None if windows differ in number."""
    n_hidden = mask.sum(1)
    count = int(n_hidden[0])
    if count in (0, mask.shape[1]) or not (n_hidden == count).all():
        return None
    order = mask.byte().argsort(dim=1, stable=True)
    return Places(*order.split([mask.shape[1] - count, count], dim=1))


class Visible(NamedTuple):
    """The places of the visible tokens of each window."""

    index: torch.Tensor  #: (B, V) places among the L tokens, with padding in short rows
    valid: torch.Tensor | None  #: (B, V) False at padding; None without padding


def find_visible(hidden):
    """Return the places of the False entries of ``hidden (B, L)``, row by row."""
    n_visible = (~hidden).sum(1)
    fewest, most = int(n_visible.min()), int(n_visible.max())
    if fewest == 0:
        bad = torch.nonzero(n_visible == 0).flatten().tolist()
        raise ValueError(
            f"Every patch is masked in windows {bad[:10]}, so there is nothing to predict from. "
            f"Leave these windows out."
        )
    index = hidden.byte().argsort(dim=1, stable=True)[:, :most]
    valid = None
    if fewest < most:
        valid = torch.arange(most, device=hidden.device) < n_visible[:, None]
    return Visible(index, valid)


def take(x, visible):
    """Return the visible tokens of ``x (B, L, ...)``, 0 at padding."""
    x = x.gather(1, visible.index.unsqueeze(2).expand(-1, -1, x.shape[2]))
    if visible.valid is not None:
        x = x.masked_fill(~visible.valid.unsqueeze(2), 0.0)
    return x


def put(tokens, visible, background):
    """Return ``background (B, L, d)`` with ``tokens (B, V, d)`` at their places."""
    if visible.valid is not None:
        rest = background.gather(1, visible.index.unsqueeze(2).expand_as(tokens))
        tokens = torch.where(visible.valid.unsqueeze(2), tokens, rest)
    return background.scatter(1, visible.index.unsqueeze(2).expand_as(tokens), tokens)
