# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The recordings of a BIDS data set, and the selection of those that are asked for."""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from mne.utils import logger, warn

from .._counts import count
from ._ignored import read_ignored

_EXTENSIONS = [".edf", ".vhdr", ".set", ".bdf", ".fif"]
_ENTITY = re.compile(r"([A-Za-z]+)-([A-Za-z0-9+]+)")
_NAME = (
    "%r is not a BIDS name: expected entities such as sub-01 and task-rest, each once, of letters "
    "and digits, beginning with sub. Rename the file and its sidecars."
)
_SELECTED_BY = dict(subjects="sub", sessions="ses", tasks="task", runs="run")


def parse_entities(name):
    """Return the entities of a file name by key: ``{"sub": "01", "task": "rest"}``."""
    return dict(_ENTITY.findall(name))


@dataclass(frozen=True)
class BidsRecording:
    """One recording of a BIDS data set, continuous or epochs."""

    root: Path  # of the data set
    path: Path  # that a reader opens, relative to the root
    is_epochs: bool = False
    problem: str = ""  # why it cannot be processed, if the file names alone show it

    @property
    def entities(self):
        """The entities of the file name, in their order."""
        return parse_entities(self.path.name.split(".")[0])

    @property
    def label(self):
        """The path for texts and tables, which a path with broken characters cannot enter."""
        return os.fsencode(self.path.as_posix()).decode("utf-8", "replace")

    @property
    def name(self):
        """The file name without extension."""
        return re.sub(r"(\.gz)?$", "", self.path.name).rsplit(".", 1)[0]

    @property
    def is_named_by_bids(self):
        """Whether the file name has valid entities, each once, and the subject first."""
        matches = [_ENTITY.fullmatch(part) for part in self.name.split("_")[:-1]]
        keys = [match[1] if match else "" for match in matches]
        is_valid = all(keys) and keys[:1] == ["sub"] and len(set(keys)) == len(keys)
        return (
            is_valid and self.entities.get("split", "1").isdecimal() and "\ufffd" not in self.label
        )

    @property
    def file(self):
        """The absolute path of the file that a reader opens."""
        return self.root / self.path

    def rename(self, description, suffix):
        """Return the name, without extension, of a derivative of this recording.

        Without a description, it is that of the recording itself.
        """
        kept = {k: v for k, v in self.entities.items() if k not in ("desc", "split")}
        kept |= {"desc": description} if description is not None else {}
        return "_".join([*(f"{k}-{v}" for k, v in kept.items()), suffix])


def list_recordings(root):
    """List the continuous EEG recordings of a BIDS data set.

    Returns a list of mne_bids.BIDSPath, sorted by subject and file; raises ValueError if the
    folder is not a BIDS data set or has no EEG. Files that are not named by BIDS are left out with
    a warning.
    """
    from mne_bids import get_bids_path_from_fname

    found = []
    for recording in _find_recordings(Path(root), with_epochs=False):
        if recording.problem:
            warn(recording.problem)
        else:
            path = get_bids_path_from_fname(recording.file, check=False, verbose="error")
            found.append(path.update(root=root))
    return sorted(found, key=lambda path: (path.subject, path.basename))


def select_recordings(root, selection):
    """List the recordings of a data set that are asked for, sorted by subject and path.

    ``selection`` has labels of ``subjects``, ``sessions``, ``tasks``, ``runs``; None selects all.
    """
    found = _find_recordings(root)
    # The reader of the first part of a split recording finds the other parts by itself.
    found = [r for r in found if r.problem or int(r.entities.get("split", 1)) == 1]
    for what, values in selection.items():
        if values is not None:
            values = [values] if isinstance(values, str | int) else values
            found = _select(found, what, values)
    return _mark_clashes(sorted(found, key=lambda r: (r.path.parts[0], r.path.as_posix())))


def _find_recordings(root, with_epochs=True):
    """Return the recordings of a data set, with a problem where the name is not one of BIDS."""
    if not (root / "dataset_description.json").is_file():
        raise ValueError(
            f"{root} is not a BIDS data set: it has no dataset_description.json. Give the folder "
            "that contains this file and the sub-* folders."
        )
    patterns = [(f"*_eeg{extension}", False) for extension in _EXTENSIONS]
    patterns += [("*_epo.fif", True)] if with_epochs else []
    paths = {
        path.relative_to(root): is_epochs
        for pattern, is_epochs in patterns
        for folder in ("sub-*/eeg", "sub-*/ses-*/eeg")
        for path in root.glob(f"{folder}/{pattern}")
    }
    is_ignored = read_ignored(root)
    ignored = {path for path in paths if is_ignored(path.as_posix())}
    note = ""
    if ignored:
        note = f" Left out {count(len(ignored), 'recording')} that .bidsignore lists."
        logger.info("%s", note.strip())
    if len(paths) == len(ignored):
        what = "*_eeg.* or *_epo.fif" if with_epochs else "*_eeg.*"
        raise ValueError(
            f"Found no EEG recording in {root}; expected sub-*/[ses-*/]eeg/{what}.{note}"
        )
    found = [BidsRecording(root, path, kind) for path, kind in paths.items() if path not in ignored]
    return [r if r.is_named_by_bids else replace(r, problem=_NAME % r.label) for r in found]


def _select(recordings, what, values):
    """Return the recordings of which an entity has one of some values."""
    entity = _SELECTED_BY[what]
    labels = {recording.entities.get(entity) for recording in recordings} - {None}
    chosen = set()
    for value in values:
        label = str(value).removeprefix(f"{entity}-")
        # Runs are numbers: 4 selects run-04.
        same = {k for k in labels if k == label or (entity == "run" and _is_number(k, label))}
        if not same:
            raise ValueError(
                f"Found no recording with {entity}-{label} (selected by {what}). Values in the "
                f"data set: {', '.join(sorted(labels)) or 'none'}."
            )
        chosen |= same
    return [recording for recording in recordings if recording.entities.get(entity) in chosen]


def _is_number(*labels):
    """Return whether labels are the same number."""
    return all(label.isdigit() for label in labels) and len({int(label) for label in labels}) == 1


def _mark_clashes(recordings):
    """Return recordings, with a problem where their derivatives would have the same name."""
    by_name = defaultdict(list)
    for recording in recordings:
        if not recording.problem:
            by_name[_get_derived_name(recording)].append(recording)
    out = []
    for recording in recordings:
        same = [] if recording.problem else by_name[_get_derived_name(recording)]
        if len(same) > 1:
            paths = ", ".join(other.path.as_posix() for other in same)
            problem = (
                f"{len(same)} recordings have the same name ({paths}), so their derivatives would "
                "have the same name too. Move all but one of them out of the data set."
            )
            recording = replace(recording, problem=problem)
        out.append(recording)
    return out


def _get_derived_name(recording):
    return recording.rename("restored", recording.name.split("_")[-1])


def take_shard(recordings, shard):
    """Return the recordings that one of several machines processes.

    ``shard`` is ``(i, n)`` or ``"i/n"``, with i from 1 to n, or None for all recordings; raises
    ValueError otherwise. The list has to be the same on every machine.
    """
    if shard is None:
        return recordings
    parts = shard.split("/") if isinstance(shard, str) else list(shard)
    try:
        index, number = (int(part) for part in parts)
    except (TypeError, ValueError):
        index = number = 0
    if not 1 <= index <= number:
        raise ValueError(
            f"shard must be i/n with i from 1 to n, got {shard!r}. For four machines, use 1/4, "
            "2/4, 3/4 and 4/4."
        )
    return recordings[index - 1 :: number]
