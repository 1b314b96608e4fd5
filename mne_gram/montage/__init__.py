# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The 130 entries of the montage: names, positions, matching.

``__all__`` lists the public names. All others are for the rest of the package, and may change.
"""

from ._head import (
    FAR,
    apply_similarity,
    electrode_positions,
    find_placed,
    fit_similarity,
    fit_sphere,
    read_positions,
    template_montage,
    template_places,
    template_sphere,
)
from ._match import ChannelMap, check_matched, describe_missing, match_channels
from ._names import (
    BIPOLAR,
    CH_NAMES,
    ELECTRODES,
    INDEX,
    clean_name,
    derivation_ends,
    find_channels,
    find_derivations,
    names_other_signal,
    parse_name,
    settle_names,
)
from ._standard import make_montage, set_montage

__all__ = [
    "BIPOLAR",
    "CH_NAMES",
    "ELECTRODES",
    "INDEX",
    "ChannelMap",
    "electrode_positions",
    "fit_sphere",
    "match_channels",
    "template_sphere",
]
