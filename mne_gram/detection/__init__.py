# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find bad channels and segments."""

from ._find_bads import (
    BadsReport,
    find_bads,
)

__all__ = [
    "BadsReport",
    "find_bads",
]
