# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore bad channels and segments, and add missing electrodes."""

from ._evidence import (
    to_number,
)
from ._fit import (
    TRIAL,
    estimate_block,
    fit_plan,
)
from ._harmonize import (
    harmonize,
)
from ._report_text import (
    describe_calibration,
    describe_extent,
    format_number,
)
from ._restore import (
    RestorationReport,
    restore,
)
from ._select import (
    Trial,
    try_hidden,
)
from ._stacking import (
    EXPERTS,
    KINDS,
    weigh_experts,
)

__all__ = [
    "EXPERTS",
    "KINDS",
    "RestorationReport",
    "TRIAL",
    "Trial",
    "describe_calibration",
    "describe_extent",
    "estimate_block",
    "fit_plan",
    "format_number",
    "harmonize",
    "restore",
    "to_number",
    "try_hidden",
    "weigh_experts",
]
