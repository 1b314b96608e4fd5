# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Run the command line with ``python -m mne_gram``."""

import sys

from ._commands import main

if __name__ == "__main__":
    sys.exit(main())
