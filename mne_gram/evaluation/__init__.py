# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of classifiers on your own data, by the published protocols.

A :class:`Task` consists of windows with labels; :func:`compare_classifiers` fits and tests all
methods in the same folds, and :func:`write_comparison` writes tables and figures.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
