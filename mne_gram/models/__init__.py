# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The two networks: the tokenizer (stage 1) and the masked autoencoder (stage 2).

Everything here needs torch, and only torch.
"""

from .config import (
    PATCH_LENGTH,
    GramConfig,
    ResidualConfig,
    TokenizerConfig,
    gram_base,
    gram_large,
    gram_medium,
    gram_nano,
    gram_small,
    gram_tiny,
    tokenizer_base,
    tokenizer_nano,
    tokenizer_small,
    tokenizer_tiny,
)
from .gram import ClassificationNetwork, Encoding, Gram, GramLoss
from .residual import Correction, Residual, residual_loss
from .tokenizer import Tokenizer, TokenizerLoss, Tokens

__all__ = [
    "PATCH_LENGTH",
    "ClassificationNetwork",
    "Correction",
    "Encoding",
    "Gram",
    "GramConfig",
    "GramLoss",
    "Residual",
    "ResidualConfig",
    "Tokenizer",
    "TokenizerConfig",
    "TokenizerLoss",
    "Tokens",
    "gram_base",
    "gram_large",
    "gram_medium",
    "gram_nano",
    "gram_small",
    "gram_tiny",
    "residual_loss",
    "tokenizer_base",
    "tokenizer_nano",
    "tokenizer_small",
    "tokenizer_tiny",
]
