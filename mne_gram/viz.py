# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures.

Each function returns the figure, draws on the ``axes`` that it is given, and shows what it drew
unless ``show=False``.
"""

from ._drawing.bads import plot_bads
from ._drawing.channel_map import find_placed as find_placed
from ._drawing.channel_map import plot_channel_map
from ._drawing.classes import plot_base_classes, plot_codebook_usage, plot_embedding
from ._drawing.curves import plot_learning_curve
from ._drawing.restored import plot_restoration, plot_scores

__all__ = [
    "plot_bads",
    "plot_base_classes",
    "plot_channel_map",
    "plot_codebook_usage",
    "plot_embedding",
    "plot_learning_curve",
    "plot_restoration",
    "plot_scores",
]
