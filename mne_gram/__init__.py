# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Repair bad channels and segments of EEG in MNE-Python, and use the Gram EEG model.

The public names are listed in ``__init__.pyi`` and are imported when they are first used.
"""

import lazy_loader

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
