# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Estimators for scikit-learn."""

from ._estimators import (
    GramClassifier,
    GramFeatures,
)
from ._folds import (
    make_folds,
)
from ._linear_probe import (
    fit_probe,
)
from ._trial_features import (
    keeping,
)

__all__ = [
    "GramClassifier",
    "GramFeatures",
    "fit_probe",
    "keeping",
    "make_folds",
]
