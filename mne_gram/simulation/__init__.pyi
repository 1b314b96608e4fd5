# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from ._raw import SimulationTruth, simulate_raw

__all__ = ["SimulationTruth", "simulate_raw"]
