# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from ._raw import SimulationTruth, simulate_raw
from ._simulator import Simulator

__all__ = ["SimulationTruth", "Simulator", "simulate_raw"]
