# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The published protocols of evaluation, run on the data of users."""

from ._classify import (
    compare_classifiers,
    write_comparison,
)
from ._methods import (
    DEFAULT,
    parse_method,
)
from ._tables import (
    tell_seconds,
    tell_summary,
)
from ._tasks import (
    load_bids_task,
    load_recipe_task,
)

__all__ = [
    "DEFAULT",
    "compare_classifiers",
    "load_bids_task",
    "load_recipe_task",
    "parse_method",
    "tell_seconds",
    "tell_summary",
    "write_comparison",
]
