# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels and segments."""

from ._find_bads import find_bads
from ._report import BAD_PREFIX, BadsReport
from ._running_check import RunningCheck
from ._trial_check import TrialCheck, find_training_bads
from ._window_check import WindowCheck, fit_window_check

__all__ = [
    "BAD_PREFIX",
    "BadsReport",
    "RunningCheck",
    "TrialCheck",
    "WindowCheck",
    "find_bads",
    "find_training_bads",
    "fit_window_check",
]
