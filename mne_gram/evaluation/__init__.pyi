# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from ._compare import compare_classifiers, write_comparison
from ._figures import plot_scores
from ._fold_results import FoldResult
from ._methods import DEFAULT, parse_method
from ._splits import split_task
from ._tables import format_seconds, format_summary, write_table
from ._tasks import (
    IMAGERY_BAND,
    STATE_BAND,
    Task,
    load_bids_task,
    load_recipe_task,
    make_task,
    make_transform,
)

__all__ = [
    "DEFAULT",
    "FoldResult",
    "IMAGERY_BAND",
    "STATE_BAND",
    "Task",
    "compare_classifiers",
    "format_seconds",
    "format_summary",
    "load_bids_task",
    "load_recipe_task",
    "make_task",
    "make_transform",
    "parse_method",
    "plot_scores",
    "split_task",
    "write_comparison",
    "write_table",
]
