# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from . import datasets, metrics, montage, report, training, viz
from ._sys_info import sys_info
from ._version import __version__ as __version__
from .detection import BadsReport, find_bads
from .harmonization import harmonize
from .montage import ChannelMap, match_channels
from .preprocessing import preprocess
from .restoration import RestorationReport, restore
from .training.pretraining import pretrain, pretrain_tokenizer
from .weights import convert_checkpoint, fetch_model, list_models, load_model

__all__ = [
    "BadsReport",
    "ChannelMap",
    "RestorationReport",
    "__version__",
    "convert_checkpoint",
    "datasets",
    "fetch_model",
    "find_bads",
    "harmonize",
    "list_models",
    "load_model",
    "match_channels",
    "metrics",
    "montage",
    "preprocess",
    "pretrain",
    "pretrain_tokenizer",
    "report",
    "restore",
    "sys_info",
    "training",
    "viz",
]
