# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classifiers held against each other in the same folds."""
