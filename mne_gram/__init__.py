# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The Gram EEG model in MNE-Python: repair what is bad, keep what is good.

The public names are listed in ``__init__.pyi`` and are imported when they are first used.
"""

import lazy_loader

from ._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
