# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows encoded, and the files of what comes out."""
