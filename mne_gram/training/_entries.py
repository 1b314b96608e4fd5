# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the entries in the index of a corpus, which anybody may have changed or damaged."""

import math
import re

from .._formats import is_inside
from ..montage import CH_NAMES
from ._marking import SECOND

_TEXTS = ("name", "dataset", "subject", "source", "licence", "file", "sha256")
_LISTS = ("ch_names", "channels", "pieces", "bad", "scale", "notes")
_LARGEST = 2**40  # samples or bytes


def find_fault(entry):
    """Return what is wrong with the entry of a recording, empty if nothing is."""
    if not isinstance(entry, dict):
        return "an entry is no object"
    missing = [name for name in (*_TEXTS, *_LISTS, "n_times", "n_bytes") if name not in entry]
    if missing:
        return f"an entry is incomplete ({', '.join(missing)})"
    wrong = [name for name in _TEXTS if not isinstance(entry[name], str)]
    wrong += [name for name in _LISTS if not isinstance(entry[name], list)]
    wrong += [name for name in ("n_times", "n_bytes") if not _is_in(entry[name], 1, _LARGEST)]
    return ", ".join(wrong or _list_wrong(entry))


def _list_wrong(entry):
    """Yield the names of values that are impossible."""
    if not is_inside(entry["file"]) or not entry["file"].endswith(".npy"):
        yield "file"
    if not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
        yield "sha256"
    for name in ("ch_names", "notes"):
        if not all(isinstance(text, str) for text in entry[name]):
            yield name
    channels, n_channels = entry["channels"], len(entry["channels"])
    are_known = all(_is_in(channel, 0, len(CH_NAMES) - 1) for channel in channels)
    if not are_known or not channels or len(set(channels)) != n_channels:
        yield "channels"
    for name in ("ch_names", "scale"):
        if len(entry[name]) != n_channels:
            yield f"the number of {name}"
    if not all(_is_positive(value) for value in entry["scale"]):
        yield "scale"
    if not _are_pieces(entry["pieces"], entry["n_times"]):
        yield "pieces"
    if entry["n_bytes"] <= 2 * n_channels * entry["n_times"]:  # of 16 bits, and a header
        yield "n_times"
    n_seconds = -(-entry["n_times"] // SECOND)
    if not all(_is_mark(mark, n_channels, n_seconds) for mark in entry["bad"]):
        yield "bad"


def _is_in(value, first, last):
    return type(value) is int and first <= value <= last


def _is_positive(value):
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def _are_pieces(pieces, n_times):
    """Return whether these are pairs of start and stop, in order and not overlapping."""
    end = 0
    for piece in pieces:
        if not isinstance(piece, list) or len(piece) != 2:
            return False
        if not _is_in(piece[0], end, n_times) or not _is_in(piece[1], piece[0] + 1, n_times):
            return False
        end = piece[1]
    return True


def _is_mark(mark, n_channels, n_seconds):
    """Return whether this is a row, its first marked second and the one after the last."""
    return (
        isinstance(mark, list)
        and len(mark) == 3
        and _is_in(mark[0], 0, n_channels - 1)
        and _is_in(mark[1], 0, n_seconds)
        and _is_in(mark[2], mark[1], n_seconds)
    )
