# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from ._bids_events import read_bids_epochs, read_bids_windows
from ._eegbci import read_eegbci
from ._hmc import read_hmc, split_hmc
from ._recipes import RECIPES, Recipe
from ._sample import sample
from ._seedv import cut_seedv, read_seedv, split_seedv
from ._shumi import read_shumi, split_shumi
from ._tuev import read_tuev, split_tuev

__all__ = [
    "RECIPES",
    "Recipe",
    "cut_seedv",
    "read_bids_epochs",
    "read_bids_windows",
    "read_eegbci",
    "read_hmc",
    "read_seedv",
    "read_shumi",
    "read_tuev",
    "sample",
    "split_hmc",
    "split_seedv",
    "split_shumi",
    "split_tuev",
]
