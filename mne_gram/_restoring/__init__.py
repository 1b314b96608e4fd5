# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restoration, step by step: what is bad, what is learnt, what is estimated, what is told."""
