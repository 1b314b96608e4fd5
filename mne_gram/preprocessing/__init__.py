# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The preprocessing that the networks were trained with, and checks of units.

``__all__`` lists the public names. All others are for the rest of the package, and may change.
"""

from ._checks import check_band, check_samples, pick_good_eeg
from ._filters import filter_eeg
from ._line import find_line_freq
from ._preprocess import preprocess, process
from ._reference import average_reference, check_reference
from ._units import SFREQ, VOLTS_TO_MODEL, check_units, measure_level

__all__ = ["SFREQ", "VOLTS_TO_MODEL", "check_units", "find_line_freq", "preprocess"]
