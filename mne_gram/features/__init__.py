# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings and tokens of the network."""

from ._compute import (
    check_part,
    compute_embedding,
    compute_tokens,
    load_network,
)
from ._cuts import Cuts, check_window, cut_recording
from ._joint import JointEncoder
from ._sets import Embedding, Tokens, read_embedding, read_tokens

__all__ = [
    "Embedding",
    "Tokens",
    "compute_embedding",
    "compute_tokens",
    "read_embedding",
    "read_tokens",
]
