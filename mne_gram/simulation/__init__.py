# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""EEG with known ground truth."""

from ._simulator import (
    Simulator,
    simulate_raw,
)

__all__ = [
    "Simulator",
    "simulate_raw",
]
