# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from ._checkpoint import (
    NAME,
)
from ._config import (
    TrainingConfig,
    published_gram,
    published_tokenizer,
)
from ._corpus import (
    Corpus,
    CorpusRecording,
    read_corpus,
)
from ._logs import (
    read_log,
)
from ._loop import (
    local_random_state,
)
from ._optimization import (
    cosine_rate,
    group_parameters,
    update_average,
)
from ._preparation import (
    prepare_corpus,
)
from ._pretraining import (
    pretrain,
    pretrain_tokenizer,
)
from ._recipes import (
    RECIPES,
    PretrainingRecipe,
    adapt,
    run_recipe,
)
from ._runs import (
    choose_device,
)
from ._sources import (
    split_subjects,
)

__all__ = [
    "Corpus",
    "CorpusRecording",
    "NAME",
    "RECIPES",
    "PretrainingRecipe",
    "TrainingConfig",
    "adapt",
    "choose_device",
    "cosine_rate",
    "group_parameters",
    "local_random_state",
    "prepare_corpus",
    "pretrain",
    "pretrain_tokenizer",
    "published_gram",
    "published_tokenizer",
    "read_corpus",
    "read_log",
    "run_recipe",
    "split_subjects",
    "update_average",
]
