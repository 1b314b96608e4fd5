# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The one place that states the version."""

__version__ = "0.1.0.dev0"
