# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A recording: where its samples are held, what is bad in it, its bands and windows."""
