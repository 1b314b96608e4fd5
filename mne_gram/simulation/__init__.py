# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""EEG with known ground truth."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
