# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Priors from recordings at hand: how electrodes covary in a laboratory or data set."""

from ._measure import measure_recording

__all__ = []
