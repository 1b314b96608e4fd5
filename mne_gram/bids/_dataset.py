# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The derivative data set as a whole: its folder, its description and its participants."""

import json
import os
from pathlib import Path

from .. import __version__
from .._files import read_tsv
from .._formats import check_folders, read_json_object
from ._entries import FIGURES, PRIVATE
from ._journal import write_text
from ._lock import hold, remove_stale

_NAME = "mne_gram"
_BIDS_VERSION = "1.10.0"
_PARTICIPANT = "participant_id"
# Folders of a run, in addition to those of subjects.
_FOLDERS = (
    *(f"{PRIVATE}/{name}" for name in ("records", "staging", "locks", "cohort")),
    FIGURES,
    "logs",
)
_IGNORED = """\
# Files that BIDS does not define.
.mne_gram/
logs/
*.html
figures
prior.npz
prior.json
*_epo.fif
*_epo.json
*_embedding.npz
*_embedding.json
*_tokens.npz
*_tokens.json
"""
_README = """\
# Derivatives of mne_gram

Recordings with `desc-restored` in their names, or without `desc`, are those of the source data set
with bad channels and bad segments restored. Good samples are unchanged, within the precision of the
file format. `channels.tsv` lists the restored channels and their expected error, `events.tsv` the
restored segments. `desc-std` recordings contain the standard deviation of the error of each
restored sample.
`prior.npz`, described in `prior.json`, is what was learned from the recordings of the data set
about how electrodes covary, and is used to restore them.
`_embedding.npz` and `_tokens.npz` contain the embedding and the tokens of a recording.

`index.html` lists all recordings, those with the largest expected error first.
"""


def check_folder(folder, root):
    """Raise if a folder is unsuitable for derivatives of the data set in root.

    FileExistsError if it is a file; ValueError if it is a part of the source, or contains files of
    another pipeline, or a folder that is a link.
    """
    inner, outer = folder.resolve(), root.resolve()
    misplaced = inner == outer or inner in outer.parents
    if misplaced or (outer in inner.parents and outer / "derivatives" not in inner.parents):
        raise ValueError(
            f"Results cannot be written to {folder}, because it overlaps with the data set itself. "
            f"Give a folder in {root / 'derivatives'}, or outside of {root}."
        )
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, expected a folder.")
    if not folder.is_dir():
        return
    check_folders(folder, *_FOLDERS)
    found = {path.name for path in folder.iterdir()} - {PRIVATE}
    names = [entry.get("Name") for entry in _read_description(folder).get("GeneratedBy", [])]
    if found and _NAME not in names:
        by = f"files written by {', '.join(map(str, names))}" if names else "other files"
        raise ValueError(
            f"The folder {folder} contains {by} ({', '.join(sorted(found)[:5])}), with which the "
            f"results must not be mixed. Give another folder, such as {folder / 'mne-gram'}."
        )


def _read_description(folder):
    path = folder / "dataset_description.json"
    content = _read_json(path)
    makers = content.get("GeneratedBy", [])
    if not isinstance(makers, list) or not all(isinstance(entry, dict) for entry in makers):
        raise ValueError(f"{path}: GeneratedBy is not a list of JSON objects. Correct it.")
    if not isinstance(content.get("Name", ""), str):
        raise ValueError(f"{path}: Name is not a text. Correct it.")
    return content


def read_title(folder):
    """Return the name of a derivative data set, or of its folder."""
    try:
        return _read_description(folder).get("Name", folder.name)
    except (OSError, ValueError):  # edited by hand
        return folder.name


def _read_json(path):
    """Return the JSON object in a file, empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        return read_json_object(path)
    except ValueError as exc:
        raise ValueError(f"{exc} Correct it.") from None


def describe_data_set(folder, root, weights):
    """Create the derivative data set of root in a folder, or add to its description.

    ``weights`` maps names of models to their sha256. Raises PermissionError if the folder cannot be
    written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / PRIVATE / "locks" / "data_set.lock", wait=60) as lock:
            if lock is None:
                raise RuntimeError(f"Another run has held the lock of {folder} for a minute.")
            remove_stale(folder / PRIVATE / "locks")
            content = _complete_description(folder, root, weights)
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            write_text(folder, "dataset_description.json", text)
            if not (folder / "README.md").exists():
                write_text(folder, "README.md", _README)
            _complete_ignored(folder)
    except PermissionError as exc:
        raise PermissionError(_explain_unwritable(folder, exc)) from exc
    except OSError as exc:
        raise OSError(_explain_unwritable(folder, exc)) from exc


def _complete_ignored(folder):
    """Write ``.bidsignore``, or add what the list of an earlier version lacks; others are kept."""
    path = folder / ".bidsignore"
    if not path.exists():
        write_text(folder, path.name, _IGNORED)
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    header, *names = _IGNORED.splitlines()
    missing = [name for name in names if name not in lines]
    if header in lines and missing:
        write_text(folder, path.name, "".join(f"{line}\n" for line in [*lines, *missing]))


def _explain_unwritable(folder, exc):
    return (
        f"Results cannot be written to {folder}: {exc.strerror or exc}. Give a folder that can be "
        "written to (derivatives=, or --derivatives on the command line)."
    )


def _complete_description(folder, root, weights):
    """Return the description of a folder, with this version and these weights added."""
    source = _read_description(root)
    entry = dict(Name=_NAME, Version=__version__, Description="Restores or embeds EEG.")
    entry["Weights"] = [dict(Name=name, SHA256=value) for name, value in weights.items()]
    made = _read_description(folder)
    origin = dict(URL=_find_url(root, folder))
    if "DatasetDOI" in source:
        origin["DOI"] = source["DatasetDOI"]
    content = dict(
        Name=f"mne_gram of {source.get('Name', root.name)}",
        BIDSVersion=_BIDS_VERSION,
        DatasetType="derivative",
        GeneratedBy=[],
        SourceDatasets=[origin],
        DatasetLinks=dict(raw=origin["URL"]),
    )
    for key in ("License", "Authors", "HowToAcknowledge"):
        if key in source:
            content[key] = source[key]
    content |= made
    if entry not in content["GeneratedBy"]:
        content["GeneratedBy"] = [*content["GeneratedBy"], entry]
    return content


def _find_url(root, folder):
    """Return the URL of the source, relative if the results are inside of it."""
    inner, outer = folder.resolve(), root.resolve()
    if outer in inner.parents:
        return Path(os.path.relpath(outer, inner)).as_posix()
    return outer.as_uri()


def write_participants(folder, root):
    """Write ``participants.tsv`` and ``.json`` for the subjects that have results in the folder.

    Rows are those of the source; of subjects missing there, only the name. Raises ValueError if
    the files of the source are invalid.
    """
    with hold(folder / PRIVATE / "locks" / "participants.lock", wait=60) as lock:
        names = sorted(path.name for path in folder.glob("sub-*") if path.is_dir())
        if lock is None or not names:  # another run has been writing for a minute
            return
        table = _read_participants(root).reindex(names, fill_value="n/a").reset_index()
        about = json.dumps(_describe_participants(root), indent=2, ensure_ascii=False)
        text = table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")
        for name, content in (("participants.json", f"{about}\n"), ("participants.tsv", text)):
            path = folder / name
            if not path.is_file() or path.read_bytes() != content.encode("utf-8"):
                write_text(folder, name, content)


def _read_participants(root):
    """Return ``participants.tsv`` of the source, by participant."""
    import pandas as pd

    path = root / "participants.tsv"
    table = read_tsv(path) if path.is_file() else pd.DataFrame({_PARTICIPANT: []}, dtype=str)
    if _PARTICIPANT not in table:
        raise ValueError(f"{path} has no column {_PARTICIPANT!r}. Correct it.")
    return table.drop_duplicates(_PARTICIPANT).set_index(_PARTICIPANT)


def _describe_participants(root):
    """Return ``participants.json`` of the source, with the description of this one."""
    source = _read_json(root / "participants.json")
    about = dict(Description="Subjects in the results, as described in the source data set.")
    if (root / "participants.tsv").is_file():
        about.update(Sources=["bids:raw:participants.tsv"])
    return source | about
