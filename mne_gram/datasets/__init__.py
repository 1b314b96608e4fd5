# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The sample recording, and readers of BIDS data sets and of published benchmark data sets.

The public names are listed in ``__init__.pyi`` and are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
