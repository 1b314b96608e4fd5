# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files: read, written in blocks, moved when whole."""
