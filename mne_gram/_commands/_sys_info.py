# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Versions and hardware, for bug reports."""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from .. import __version__


def sys_info(fid=None):
    """Print the versions of mne-gram, Python and all dependencies.

    Parameters
    ----------
    fid : file-like | None
        The file to print to; None is the standard output.

    Notes
    -----
    The versions are those of the installed distributions, without importing them.
    """
    rows = [
        ("Platform", platform.platform()),
        ("Python", platform.python_version()),
        ("Executable", sys.executable),
        ("CPU cores", os.cpu_count()),
        ("mne-gram", __version__),
    ]
    rows += [(name, _get_version(name)) for name in sorted(_get_dependencies())]
    width = max(len(name) for name, _ in rows) + 2
    for name, value in rows:
        print(f"{name:<{width}}{value}", file=fid)


def _get_dependencies():
    """Return the names of the required distributions."""
    lines = [line for line in requires("mne-gram") or [] if "extra ==" not in line]
    return [re.match(r"[\w.-]+", line).group() for line in lines]


def _get_version(name):
    """Return the version of a distribution, or "not installed"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
