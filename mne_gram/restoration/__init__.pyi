# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from ._evidence import (
    to_number,
)
from ._fit import (
    Settings,
)
from ._harmonize import (
    harmonize,
)
from ._live import (
    LiveRestorer,
)
from ._methods import (
    METHODS,
    OPTIONS,
    check_options,
)
from ._report import (
    RestorationReport,
)
from ._restore import (
    restore,
)
from ._restorer import (
    Restorer,
)
from ._select import (
    EXPERTS,
    MAX_CONTRASTS,
    fit_candidates,
    try_hidden,
)
from ._weights import (
    KINDS,
    Sums,
    Trial,
    weigh_experts,
)

__all__ = [
    "EXPERTS",
    "KINDS",
    "MAX_CONTRASTS",
    "LiveRestorer",
    "METHODS",
    "OPTIONS",
    "RestorationReport",
    "Restorer",
    "Settings",
    "Sums",
    "Trial",
    "check_options",
    "fit_candidates",
    "harmonize",
    "restore",
    "to_number",
    "try_hidden",
    "weigh_experts",
]
