# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures.

Each function returns a figure, plots in the given ``axes`` if there are any, and shows the figure
unless ``show=False``.
"""

from ._bads import plot_bads
from ._classes import plot_base_classes, plot_codebook_usage, plot_embedding
from ._curves import plot_learning_curve
from ._prior import plot_prior
from ._restored import plot_channel_map, plot_restoration, plot_scores

__all__ = [
    "plot_bads",
    "plot_base_classes",
    "plot_channel_map",
    "plot_codebook_usage",
    "plot_embedding",
    "plot_learning_curve",
    "plot_prior",
    "plot_restoration",
    "plot_scores",
]
