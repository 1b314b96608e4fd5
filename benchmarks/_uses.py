# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Register everyday uses of the package with other packages, and try them."""

import importlib.util
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

_MODULES = {"scikit-learn": "sklearn", "MNE-Python": "mne"}
USES = []


@dataclass(frozen=True)
class Use:
    """Something that users of another package do."""

    package: str
    name: str
    run: Callable  #: raises where it does not work
    cure: str | None  #: pattern in the message of the error that is expected instead


def use(package, name, cure=None):
    """Register a function as a use of a package.

    With ``cure``, the use makes no sense and has to raise an error that matches this pattern.
    """

    def register(run):
        USES.append(Use(package, name, run, cure))
        return run

    return register


def is_installed(package):
    """Return whether a package can be imported."""
    module = _MODULES.get(package, package.replace("-", "_").lower())
    return importlib.util.find_spec(module) is not None


def try_use(use):
    """Return "yes", "message" (the expected error, which names the cure) or "no", and a message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use.run()
    except Exception as error:
        message = " ".join(str(error).split())
        if use.cure and re.search(use.cure, message):
            return "message", message
        return "no", f"{type(error).__name__}: {message}"
    if use.cure:
        return "no", "No error was raised."
    return "yes", ""
