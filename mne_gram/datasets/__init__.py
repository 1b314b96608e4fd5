# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings to try things on."""

from ._sample import sample

__all__ = ["sample"]
