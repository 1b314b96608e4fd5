# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The files that ``.bidsignore`` lists, in the syntax of ``.gitignore``."""

import re


def read_ignored(root):
    """Return a function that says whether the file of a name relative to ``root`` is ignored."""
    path = root / ".bidsignore"
    text = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    lines = [line.strip() for line in text.splitlines()]
    rules = [_compile(line) for line in lines if line and not line.startswith("#")]

    def is_ignored(name):
        ignored = False
        for pattern, ignores in rules:  # the last one that matches
            if pattern.fullmatch(name):
                ignored = ignores
        return ignored

    return is_ignored


def _compile(line):
    """Return the regular expression of a line, and whether it ignores what matches."""
    ignores = not line.startswith("!")
    pattern = line.removeprefix("!")
    inside = "/.*" if pattern.endswith("/") else "(/.*)?"
    pattern = pattern.rstrip("/")
    anywhere = "" if "/" in pattern else "(.*/)?"
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]/]+\])", pattern.removeprefix("/"))
    wild = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = [
        re.escape(part) if number % 2 == 0 else wild.get(part, part.replace("[!", "[^"))
        for number, part in enumerate(parts)
    ]
    try:
        return re.compile(f"{anywhere}{''.join(text)}{inside}", re.DOTALL), ignores
    except re.error:  # such as [z-a], which matches nothing
        return re.compile(r"(?!)"), ignores
