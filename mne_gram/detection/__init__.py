# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels and segments."""

from ._check import Check, find_bad_spans, find_training_bads, fit_check
from ._find_bads import find_bads
from ._report import BAD_PREFIX, BadsReport
from ._running_check import RunningCheck

__all__ = [
    "BAD_PREFIX",
    "BadsReport",
    "Check",
    "RunningCheck",
    "find_bad_spans",
    "find_bads",
    "find_training_bads",
    "fit_check",
]
