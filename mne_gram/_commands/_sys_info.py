# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Versions and hardware, for bug reports."""

import json
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from .. import __version__
from ._shared import add_command

_MISSING = "not installed"


def add_sys_info(commands):
    """Add the command ``sys-info``."""
    parser = add_command(
        commands,
        "sys-info",
        lambda args, parser: _print_json() if args.json else sys_info(),
        "print version information for bug reports",
        example="mne_gram sys-info > versions.txt\nmne_gram sys-info --json",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


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
    facts = _collect()
    width = max(len(name) for name in facts) + 2
    for name, value in facts.items():
        print(f"{name:<{width}}{value}", file=fid)


def _print_json():
    """Print the same as a JSON object; a missing distribution is null."""
    facts = {name: None if value == _MISSING else value for name, value in _collect().items()}
    print(json.dumps(facts, indent=1))


def _collect():
    """Return the facts by name."""
    facts = {
        "Platform": platform.platform(),
        "Python": platform.python_version(),
        "Executable": sys.executable,
        "CPU cores": os.cpu_count(),
        "mne-gram": __version__,
    }
    return facts | {name: _get_version(name) for name in sorted(_get_dependencies())}


def _get_dependencies():
    """Return the names of the required distributions."""
    lines = [line for line in requires("mne-gram") or [] if "extra ==" not in line]
    return [re.match(r"[\w.-]+", line).group() for line in lines]


def _get_version(name):
    """Return the version of a distribution, or "not installed"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return _MISSING
