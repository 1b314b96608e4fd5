# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The 130 entries of the montage: names, positions, matching."""

from ._head import (
    FAR,
    electrode_positions,
    find_placed,
    fit_sphere,
    read_positions,
    template_montage,
    template_places,
    template_sphere,
)
from ._match import (
    BIPOLAR,
    ChannelMap,
    channel_directions,
    match_channels,
)
from ._names import (
    CH_NAMES,
    ELECTRODES,
    INDEX,
    clean_name,
    derivation_ends,
    parse_name,
    settle_names,
)

__all__ = [
    "BIPOLAR",
    "CH_NAMES",
    "ChannelMap",
    "ELECTRODES",
    "FAR",
    "INDEX",
    "channel_directions",
    "clean_name",
    "derivation_ends",
    "electrode_positions",
    "find_placed",
    "fit_sphere",
    "match_channels",
    "parse_name",
    "read_positions",
    "settle_names",
    "template_montage",
    "template_places",
    "template_sphere",
]
