# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels and segments."""

from ._find_bads import find_bads
from ._report import BadsReport

__all__ = ["BadsReport", "find_bads"]
