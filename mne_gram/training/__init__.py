# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Pre-training: corpora, both stages, recipes.

The public names are listed in ``__init__.pyi`` and are imported when they are first used.
"""

import lazy_loader

_get_lazily, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name):
    """Return a public name."""
    if name == "simulate_raw":
        from ..simulation import simulate_raw

        return simulate_raw
    return _get_lazily(name)
