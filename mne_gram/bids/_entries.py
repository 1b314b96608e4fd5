# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the entries of a journal, which anybody may have changed or damaged."""

import math
import re
from pathlib import PurePosixPath

from .._files import BidsRecording
from .._formats import find_place, is_inside

FORMAT = 1
PRIVATE = ".mne_gram"
# Outside of the folders of subjects: MNE-BIDS takes each file there that begins with sub- for data.
FIGURES = "figures"
_VERSION = re.compile(r"[\w.+!-]{1,80}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d{4})?", re.ASCII)
_SUBJECT = re.compile(r"[A-Za-z0-9+]+")

# Forms of values: a type, a tuple of alternatives, [form] for a list, {str: form} for any names,
# {"name": form} for these names, of which those with a question mark may be missing.
_FIGURE = {"title": str, "text": str, "path": (str, None)}
_CHANNEL = {
    "channel": str,
    "extent": str,
    "seconds": float,
    "invented": float,
    "expected_nmse": (float, None),
    "expected_r": (float, None),
}
_SUMMARY = {
    "text": str,
    "calibration": (str, None),
    "notes": [str],
    "method": str,
    "output": str,
    "versions": str,
}
_PRIOR = {"text": str, "sha256": str, "excluded": [str]}
_SHARED_ROW = {"notes?": [str], "why?": str, "traceback?": str}
_ROWS = dict(
    failed=_SHARED_ROW | {"why": str},
    done=_SHARED_ROW
    | {
        "duration": float,
        "n_channels": int,
        "sfreq": float,
        "bads": [str],
        "compute_seconds": float,
        "channels?": [_CHANNEL],
        "spans?": [dict],
        "seconds_restored?": float,
        "expected_r?": (float, None),
        "expected_nmse?": (float, None),
        "worst_nmse?": (float, None),
        "found?": ({"channels": {str: str}, "n_spans": int}, None),
        "n_windows?": int,
        "good?": float,
        "figures?": [_FIGURE],
        "summary?": _SUMMARY,
        "prior?": (_PRIOR, None),
        "record?": str,
        "electrodes?": [str],
        "dropped?": {str: str},
        "excluded?": str,
    },
)
_FILES = {str: int}
_KEY = {"version": str, "parameters": dict, "weights": dict, "input": {str: str}}
_STAT = {str: {"size": int, "mtime_ns": int, "sha256": str}}
_ENTRY = {
    "format": int,
    "status": str,
    "recording": str,
    "entities": {str: str},
    "job": str,
    "version": str,
    "time": str,
}
# Of a recording that failed, these are kept from before.
_STATES = dict(
    done=_ENTRY | {"files": _FILES, "key": _KEY, "stat": _STAT},
    moving=_ENTRY | {"files": _FILES, "key": _KEY, "stat": _STAT},
    failed=_ENTRY | {"files?": _FILES, "key?": _KEY, "stat?": _STAT, "was_damaged?": bool},
)
_NOT_IN_ROWS = {"recording", "job"}


def is_valid(entry, folder, file_name):
    """Return whether an object is the entry of the journal of a folder, in a file of this name."""
    status = entry.get("status")
    if not isinstance(status, str) or status not in _STATES or not _fits(entry, _STATES[status]):
        return False
    row = entry.get("row")
    if not _fits(row, _ROWS["failed" if status == "failed" else "done"]) or _NOT_IN_ROWS & {*row}:
        return False
    recording = entry["recording"]
    own = BidsRecording(folder, PurePosixPath(recording))
    return (
        entry["format"] == FORMAT
        and is_inside(recording)
        and file_name == f"{own.name}.{entry['job']}.json"
        and entry["entities"] == own.entities
        and bool(_SUBJECT.fullmatch(own.entities.get("sub", "")))
        and bool(_VERSION.fullmatch(entry["version"]))
        and bool(_TIME.fullmatch(entry["time"]))
        and all(_is_own(name, own, folder) for name in entry.get("files", {}))
        and all(
            figure["path"] is None or figure["path"] in entry.get("files", {})
            for figure in row.get("figures", [])
        )
        and _have_equal_weights(row.get("channels", []))
    )


def _have_equal_weights(channels):
    """Return whether all rows of channels have numbers as weights of the same experts."""
    weights = [{k: v for k, v in row.items() if k.startswith("weight_")} for row in channels]
    are_numbers = all(_fits(v, (float, None)) for row in weights for v in row.values())
    return are_numbers and all(row.keys() == weights[0].keys() for row in weights)


def _is_own(name, recording, folder):
    """Return whether a name is that of a result of a recording, and no folder in it a link."""
    stem = recording.rename("", "").removesuffix("_desc-_")
    parts = name.split("/")
    subject = f"sub-{recording.entities['sub']}"
    placed = parts[0] == subject or parts[:2] in ([FIGURES, subject], [PRIVATE, "cohort"])
    if not is_inside(name) or not placed or not parts[-1].startswith(stem):
        return False
    try:
        find_place(folder, name)
    except ValueError:
        return False
    return True


def _fits(value, form):
    """Return whether a value has a form."""
    if isinstance(form, tuple):
        return any(_fits(value, one) for one in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(_fits(part, form[0]) for part in value)
    if isinstance(form, dict):
        return isinstance(value, dict) and _fits_object(value, form)
    if form is float:
        return type(value) in (int, float) and math.isfinite(value)
    if form is str:  # no escape sequences for a terminal; a traceback has several lines
        return isinstance(value, str) and re.sub(r"[\n\t]", "", value).isprintable()
    return value is None if form is None else type(value) is form


def _fits_object(value, form):
    """Return whether a dict has a form."""
    if str in form:
        return all(_fits(key, str) and _fits(part, form[str]) for key, part in value.items())
    names = {key.removesuffix("?"): one for key, one in form.items()}
    required = {key for key in form if not key.endswith("?")}
    known = {key: part for key, part in value.items() if key in names}
    return required <= known.keys() and all(_fits(v, names[k]) for k, v in known.items())
