# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Features and classification of trials with scikit-learn."""

from ._classifier import GramClassifier
from ._feature_kinds import cache_encodings
from ._inner_folds import make_folds
from ._linear_probe import fit_probe
from ._transformer import GramFeatures

__all__ = [
    "GramClassifier",
    "GramFeatures",
    "cache_encodings",
    "fit_probe",
    "make_folds",
]
