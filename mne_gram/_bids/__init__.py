# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A BIDS data set, one recording at a time: found, restored, written, reported."""
