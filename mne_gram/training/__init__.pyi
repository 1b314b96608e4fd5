# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from .config import TrainingConfig, published_gram, published_tokenizer
from .corpus import Corpus, Recording, prepare_corpus, read_corpus
from .pretraining import pretrain, pretrain_tokenizer
from .recipes import RECIPES, Recipe, run_recipe
from .residual import pretrain_residual
from .simulate import Simulator, simulate_raw

__all__ = [
    "RECIPES",
    "Corpus",
    "Recipe",
    "Recording",
    "Simulator",
    "TrainingConfig",
    "prepare_corpus",
    "pretrain",
    "pretrain_residual",
    "pretrain_tokenizer",
    "published_gram",
    "published_tokenizer",
    "read_corpus",
    "run_recipe",
    "simulate_raw",
]
