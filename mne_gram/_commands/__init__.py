# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command line."""

from ._main import main
from ._sys_info import sys_info

__all__ = ["main", "sys_info"]
