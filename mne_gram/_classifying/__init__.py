# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators do: trials read, features computed, linear models and networks fitted."""
