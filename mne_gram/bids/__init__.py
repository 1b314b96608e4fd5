# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Whole BIDS data sets."""

from ._run import (
    BidsReport,
    run_bids,
)

__all__ = [
    "BidsReport",
    "run_bids",
]
