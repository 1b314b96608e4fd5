# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The derivative data set as a whole: where it may lie, and what it says of itself."""

import json
import os
from pathlib import Path

from .._version import __version__
from ._lock import hold
from ._state import PRIVATE, write_text

_NAME = "mne_gram"
_BIDS_VERSION = "1.10.0"
_IGNORED = """\
# What BIDS has no name for.
.mne_gram/
logs/
*.html
sub-*/figures
*_epo.fif
*_epo.json
*_embedding.npz
*_embedding.json
*_tokens.npz
*_tokens.json
"""
_README = """\
# Made by mne_gram

`desc-restored` recordings are those of the source data set with bad channels and bad stretches of
channels restored; good samples are as they were, in the precision of the format. `channels.tsv`
says which channels were restored and with which error to expect; `events.tsv` says when.
`desc-std` recordings hold the standard deviation of the error of each restored sample.
`_embedding.npz` and `_tokens.npz` hold what the encoders make of a recording.

`index.html` lists all recordings, those with the largest expected error first.
"""


def check_folder(folder, root):
    """Raise if results must not or cannot be written to a folder.

    Parameters
    ----------
    folder : pathlib.Path
        The derivative data set to be.
    root : pathlib.Path
        The source data set.

    Raises
    ------
    FileExistsError
        If it is a file.
    ValueError
        If it is the source itself, or holds what another pipeline wrote.
    """
    inner, outer = folder.resolve(), root.resolve()
    misplaced = inner == outer or inner in outer.parents
    if misplaced or (outer in inner.parents and outer / "derivatives" not in inner.parents):
        raise ValueError(
            f"Results cannot be written to {folder}, which is, holds or is a part of the data set "
            f"itself. Give a folder in {root / 'derivatives'}, or outside."
        )
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; expected a folder, or nothing.")
    if not folder.is_dir():
        return
    found = {path.name for path in folder.iterdir()} - {PRIVATE}
    names = [entry.get("Name") for entry in _read_description(folder).get("GeneratedBy", [])]
    if found and _NAME not in names:
        by = f"what {', '.join(map(str, names))} wrote" if names else "other files"
        raise ValueError(
            f"The folder {folder} holds {by} ({', '.join(sorted(found)[:5])}), and results would "
            f"get mixed up. Name another one, such as {folder / 'mne-gram'}."
        )


def _read_description(folder):
    path = folder / "dataset_description.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as exc:
        raise ValueError(f"{path} is not JSON ({exc}). Correct it.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object. Correct it.")
    return content


def describe_data_set(folder, root, weights):
    """Make a derivative data set, its description first; or add to the description of one.

    Parameters
    ----------
    folder : pathlib.Path
        The derivative data set.
    root : pathlib.Path
        The source data set.
    weights : dict of str
        The sha256 of each file of weights, by name.

    Raises
    ------
    PermissionError
        If it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / PRIVATE / "locks" / "data_set.lock", wait=60) as lock:
            if lock is None:
                raise RuntimeError(f"Another run has been at work on {folder} for a minute.")
            content = _complete_description(folder, root, weights)
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            write_text(folder, "dataset_description.json", text)
            for name, text in ((".bidsignore", _IGNORED), ("README.md", _README)):
                if not (folder / name).exists():
                    write_text(folder, name, text)
    except PermissionError as exc:
        raise PermissionError(_say_unwritable(folder, exc)) from exc
    except OSError as exc:
        raise OSError(_say_unwritable(folder, exc)) from exc


def _say_unwritable(folder, exc):
    return (
        f"Results cannot be written to {folder}: {exc.strerror or exc}. Give a folder that can be "
        "written to (derivatives=, on the command line --derivatives)."
    )


def _complete_description(folder, root, weights):
    """Return a description with this version and these weights in it."""
    source = _read_description(root)
    entry = dict(Name=_NAME, Version=__version__, Description="Restores or embeds EEG.")
    entry["Weights"] = [dict(Name=name, SHA256=value) for name, value in weights.items()]
    made = _read_description(folder)
    origin = {key: source[key] for key in ("DatasetDOI",) if key in source}
    content = dict(
        Name=f"mne_gram of {source.get('Name', root.name)}",
        BIDSVersion=_BIDS_VERSION,
        DatasetType="derivative",
        GeneratedBy=[],
        SourceDatasets=[dict(URL=_find_url(root, folder), **_rename_doi(origin))],
        DatasetLinks=dict(raw=_find_url(root, folder)),
    )
    for key in ("License", "Authors", "HowToAcknowledge"):
        if key in source:
            content[key] = source[key]
    content |= made
    if entry not in content["GeneratedBy"]:
        content["GeneratedBy"] = [*content["GeneratedBy"], entry]
    return content


def _rename_doi(origin):
    return dict(DOI=origin["DatasetDOI"]) if origin else {}


def _find_url(root, folder):
    """Return where the source is: seen from the results if these lie in it, else from anywhere."""
    inner, outer = folder.resolve(), root.resolve()
    if outer in inner.parents:
        return Path(os.path.relpath(outer, inner)).as_posix()
    return outer.as_uri()
