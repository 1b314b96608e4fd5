# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""JSON of limited size and depth."""

import json
from pathlib import Path

_MOST_DEPTH = 32
_MOST_DIGITS = 300
_MOST_BYTES = 2**28


def read_json_object(path, *, max_bytes=_MOST_BYTES):
    """Return the object in a JSON file as a dict.

    Raises FileNotFoundError if there is no such file, OSError if it cannot be read, and ValueError
    if it is no valid JSON object or too large.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a device or pipe may never end
        raise ValueError(f"{path} is not a regular file.")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"{path} has more than {max_bytes / 2**20:g} MiB, too much for JSON.")
    try:
        found = parse_json(content.decode("utf-8-sig"))
    except ValueError as exc:
        raise ValueError(f"{path} is not valid JSON ({exc}).") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not contain a JSON object.")
    return found


def parse_json(text):
    """Return what a JSON text contains; ValueError if it is invalid or nested too deeply."""
    try:
        found = json.loads(text, parse_int=_parse_int)
    except RecursionError:
        raise ValueError(f"nested more than {_MOST_DEPTH} levels deep") from None
    level = [found]
    for _ in range(_MOST_DEPTH):
        if not level:
            return found
        level = [part for value in level for part in _list_parts(value)]
    raise ValueError(f"nested more than {_MOST_DEPTH} levels deep")


def _parse_int(text):
    """Return an integer that can be converted to a float."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"the number {text[:20]}... is too large")
    return int(text)


def _list_parts(value):
    """Return the parts of a list or object; check that text can be written to a file."""
    if isinstance(value, str):
        value.encode("utf-8")  # raises ValueError for half a character
        return ()
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else ()
