# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Estimating what the package ships from recordings."""
