# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The recordings that a corpus is made of, before they are read."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from .._files import list_recordings

_SUBJECT = re.compile(r"(?:^|_)sub-([a-zA-Z0-9]+)(?:_|$)")
_SIDECARS = ("eeg", "channels", "events", "electrodes", "coordsystem")


@dataclass(frozen=True)
class Source:
    """A recording to be read.

    Attributes
    ----------
    path : Path
        The file.
    dataset, subject : str
        Names of the data set and of the person.
    name : str
        ``"<dataset>/<file stem>"``.
    place : str
        The file's place inside its data set, which tells nothing of the machine.
    root : Path | None
        The BIDS data set; None for a file of its own.
    licence : str
        The owner's licence, with the data set's name.
    """

    path: Path
    dataset: str
    subject: str
    name: str
    place: str
    root: Path | None
    licence: str


def get_stem(path):
    """Return a file's name without its ending, ``.fif.gz`` included."""
    return Path(Path(path).name.removesuffix(".gz")).stem


def read_licence(root):
    """Return the licence, name and DOI that a BIDS data set states, or ``"unknown"``."""
    try:
        text = (root / "dataset_description.json").read_text(encoding="utf-8")
        description = json.loads(text)
    except (OSError, ValueError):
        return "unknown"
    about = [description.get("Name"), description.get("DatasetDOI")]
    about = ", ".join(str(text) for text in about if text)
    licence = description.get("License") or "unknown"
    return f"{licence} ({about})" if about else str(licence)


def list_sources(bids_roots, files):
    """List the recordings of BIDS data sets, and files of their own.

    Parameters
    ----------
    bids_roots : list of path-like
        BIDS data sets.
    files : list of path-like
        Recordings in any format that MNE reads.

    Returns
    -------
    sources : list of Source
        Sorted by data set, subject and name, each file once.

    Raises
    ------
    FileNotFoundError
        If one of the files is not there.
    ValueError
        If a folder is no BIDS data set, or two recordings would have one name.
    """
    sources = {}
    for root in dict.fromkeys(Path(root).resolve() for root in bids_roots):
        licence = read_licence(root)
        for found in list_recordings(root):
            path = root / found.fpath
            name, place = f"{root.name}/{get_stem(path)}", path.relative_to(root).as_posix()
            sources[path] = Source(
                path, root.name, found.subject, name, f"{root.name}/{place}", root, licence
            )
    for path in (Path(file).resolve() for file in files):
        if path in sources:
            continue
        if not path.exists():
            raise FileNotFoundError(f"The recording {path} does not exist.")
        stem, dataset = get_stem(path), path.parent.name
        entity = _SUBJECT.search(stem)
        subject = entity.group(1) if entity else stem
        place = f"{dataset}/{path.name}"
        sources[path] = Source(path, dataset, subject, f"{dataset}/{stem}", place, None, "unknown")
    _check_names(sources.values())
    return sorted(
        sources.values(), key=lambda source: (source.dataset, source.subject, source.name)
    )


def _check_names(sources):
    """Raise if names do not tell recordings, or the people of two data sets, apart."""
    names, roots = {}, {}
    for source in sources:
        other = names.setdefault(source.name.casefold(), source)
        if other is not source:
            raise ValueError(
                f"{other.path} and {source.path} would both be called {source.name} in the "
                "corpus. Rename one of the files, or one of the folders."
            )
        if source.root is not None and roots.setdefault(source.dataset, source.root) != source.root:
            raise ValueError(
                f"Two data sets are in folders called {source.dataset}, which is what tells their "
                "people apart. Rename a folder."
            )


def split_subjects(subjects, every=4):
    """Hold out every n-th subject of a data set in sorted order.

    Parameters
    ----------
    subjects : iterable of str
        The subjects of one data set.
    every : int
        With 4, the 4th, 8th, ... are held out.

    Returns
    -------
    train, test : list of str
        Sorted and disjoint.
    """
    subjects = sorted(set(subjects))
    test = subjects[every - 1 :: every]
    return [subject for subject in subjects if subject not in test], test


def hold_out_subjects(sources, every, hold_out):
    """Leave out every n-th subject of each data set, or keep only those.

    Parameters
    ----------
    sources : list of Source
        Recordings.
    every : int | None
        With 4, the 4th, 8th, ... subject of each data set in sorted order; None for none.
    hold_out : "leave" | "only"
        Whether these are left out, or all others.

    Returns
    -------
    sources : list of Source
        Those that stay.
    """
    if every is None:
        return sources
    subjects = {}
    for source in sources:
        subjects.setdefault(source.dataset, []).append(source.subject)
    halves = {dataset: split_subjects(found, every) for dataset, found in subjects.items()}
    half = 1 if hold_out == "only" else 0
    return [source for source in sources if source.subject in halves[source.dataset][half]]


def hide_paths(source, text):
    """Take the machine's folders, and line breaks, out of a message about a recording."""
    folder = (source.path.parent if source.root is None else source.root).parent
    text = text.replace(f"{folder.as_posix().rstrip('/')}/", "").replace(str(folder), "")
    return " ".join(text.split())


# ---------------------------------------------------------------------------------------------
# Whether a recording changed


def _list_parts(source):
    """List the files that a recording is made of, with the BIDS sidecars that are of it."""
    folder, stem = source.path.parent, get_stem(source.path)
    parts = {path for path in folder.iterdir() if path.name.startswith(f"{stem}.")}
    if source.root is not None:
        # A sidecar is of all recordings that have its entities, as far up as the root.
        *entities, _ = stem.split("_")
        above = [place for place in folder.parents if place.is_relative_to(source.root)]
        for path in (path for place in [folder, *above] for path in place.iterdir()):
            *about, kind = get_stem(path).split("_")
            about = {entity for entity in about if not entity.startswith("space-")}
            if path.suffix in (".json", ".tsv") and kind in _SIDECARS and about <= {*entities}:
                parts.add(path)
    return sorted({source.path, *(path for path in parts if path.is_file())})


def take_stamp(source):
    """Return names, sizes and times of change of a recording's files, a list a file."""
    stats = [(path.name, path.stat()) for path in _list_parts(source)]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def hash_source(source):
    """Return one sha256 of the names and contents of a recording's files."""
    digest = hashlib.sha256()
    for path in _list_parts(source):
        digest.update(f"{path.name} {hash_file(path)}\n".encode())
    return digest.hexdigest()


def hash_file(path):
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
