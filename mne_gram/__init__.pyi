# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from . import datasets, metrics, montage
from ._sys_info import sys_info
from ._version import __version__ as __version__
from .montage import ChannelMap, match_channels
from .preprocessing import preprocess
from .restoration import RestorationReport, restore
from .weights import convert_checkpoint, fetch_model, list_models, load_model

__all__ = [
    "ChannelMap",
    "RestorationReport",
    "__version__",
    "convert_checkpoint",
    "datasets",
    "fetch_model",
    "list_models",
    "load_model",
    "match_channels",
    "metrics",
    "montage",
    "preprocess",
    "restore",
    "sys_info",
]
