# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from . import datasets, evaluation, metrics, montage, report, simulation, training, viz
from ._commands import sys_info
from .bids import BidsReport, run_bids
from .cohort import fit_prior
from .covariance import Prior, read_prior
from .decoding import GramClassifier, GramFeatures
from .detection import BadsReport, find_bads
from .features import (
    Embedding,
    Tokens,
    compute_embedding,
    compute_tokens,
    read_embedding,
    read_tokens,
)
from .models import convert_checkpoint, fetch_model, list_models, load_model
from .montage import ChannelMap, match_channels
from .preprocessing import preprocess
from .restoration import LiveRestorer, RestorationReport, Restorer, harmonize, restore
from .training import pretrain, pretrain_tokenizer

__version__: str

__all__ = [
    "BadsReport",
    "BidsReport",
    "ChannelMap",
    "Embedding",
    "GramClassifier",
    "GramFeatures",
    "LiveRestorer",
    "Prior",
    "RestorationReport",
    "Restorer",
    "Tokens",
    "compute_embedding",
    "compute_tokens",
    "convert_checkpoint",
    "datasets",
    "evaluation",
    "fetch_model",
    "find_bads",
    "fit_prior",
    "harmonize",
    "list_models",
    "load_model",
    "match_channels",
    "metrics",
    "montage",
    "preprocess",
    "pretrain",
    "pretrain_tokenizer",
    "read_embedding",
    "read_prior",
    "read_tokens",
    "report",
    "restore",
    "run_bids",
    "simulation",
    "sys_info",
    "training",
    "viz",
]
