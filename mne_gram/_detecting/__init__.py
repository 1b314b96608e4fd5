# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How far channels are from what the others predict, and what else is wrong with them."""
