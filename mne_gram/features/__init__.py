# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings and tokens of the network."""

from ._compute import (
    check_part,
    compute_embedding,
    compute_tokens,
    load_network,
)
from ._cuts import (
    Cuts,
    cut_recording,
)
from ._encoding import (
    POOLS,
    choose_batch_size,
    encode_tokens,
    encode_windows,
    split_patches,
)
from ._joint import (
    JointEncoder,
)
from ._sets import (
    Embedding,
    Tokens,
    read_embedding,
    read_tokens,
)

__all__ = [
    "Cuts",
    "Embedding",
    "JointEncoder",
    "POOLS",
    "Tokens",
    "check_part",
    "choose_batch_size",
    "compute_embedding",
    "compute_tokens",
    "cut_recording",
    "encode_tokens",
    "encode_windows",
    "load_network",
    "read_embedding",
    "read_tokens",
    "split_patches",
]
