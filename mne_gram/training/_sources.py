# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The recordings of a corpus before they are read, and which subjects are held out."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pooch import file_hash

from .._files import list_recordings
from .._formats import read_json_object

_SUBJECT = re.compile(r"(?:^|_)sub-([a-zA-Z0-9]+)(?:_|$)")
_SIDECARS = ("eeg", "channels", "events", "electrodes", "coordsystem")


@dataclass(frozen=True)
class Source:
    """A recording to be read."""

    path: Path
    dataset: str
    subject: str
    name: str  #: "<dataset>/<file stem>"
    place: str  #: path of the file within its data set
    root: Path | None  #: of the BIDS data set; None for single files
    licence: str  #: and the name of the data set


def get_stem(path):
    """Return the name of a file without its extension, including ``.fif.gz``."""
    return Path(Path(path).name.removesuffix(".gz")).stem


def read_licence(root):
    """Return the licence, name and DOI stated by a BIDS data set, or ``"unknown"``."""
    try:
        description = read_json_object(root / "dataset_description.json")
    except (OSError, ValueError):
        return "unknown"
    about = [description.get("Name"), description.get("DatasetDOI")]
    about = ", ".join(str(text) for text in about if text)
    licence = description.get("License") or "unknown"
    return f"{licence} ({about})" if about else str(licence)


def list_sources(bids_roots, files):
    """List the recordings of BIDS data sets, and single files.

    Returns each file once, sorted by data set, subject and name. Raises FileNotFoundError for
    missing files, and ValueError for folders that are not BIDS data sets and for equal names.
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
    """Raise if recordings, or subjects of two data sets, have the same name."""
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
                f"Two data sets are in folders called {source.dataset}, so their subjects cannot "
                "be told apart. Rename a folder."
            )


def split_subjects(subjects, every=4):
    """Return sorted training and held-out subjects of a data set: every n-th is held out."""
    subjects = sorted(set(subjects))
    test = subjects[every - 1 :: every]
    return [subject for subject in subjects if subject not in test], test


def hold_out_subjects(sources, every, hold_out):
    """Leave out every n-th subject of each data set, or keep ``"only"`` these."""
    if every is None:
        return sources
    subjects = {}
    for source in sources:
        subjects.setdefault(source.dataset, []).append(source.subject)
    halves = {dataset: split_subjects(found, every) for dataset, found in subjects.items()}
    half = 1 if hold_out == "only" else 0
    return [source for source in sources if source.subject in halves[source.dataset][half]]


def hide_paths(source, text):
    """Remove folders of the machine, and line breaks, from a message about a recording."""
    folder = (source.path.parent if source.root is None else source.root).parent
    text = text.replace(f"{folder.as_posix().rstrip('/')}/", "").replace(str(folder), "")
    return " ".join(text.split())


# ---------------------------------------------------------------------------------------------
# Changes of a recording


def _list_parts(source):
    """List the files of a recording, including BIDS sidecars that apply to it."""
    folder, stem = source.path.parent, get_stem(source.path)
    parts = {path for path in folder.iterdir() if path.name.startswith(f"{stem}.")}
    if source.root is not None:
        # A sidecar applies to all recordings with its entities, up to the root.
        *entities, _ = stem.split("_")
        above = [place for place in folder.parents if place.is_relative_to(source.root)]
        for path in (path for place in [folder, *above] for path in place.iterdir()):
            *about, kind = get_stem(path).split("_")
            about = {entity for entity in about if not entity.startswith("space-")}
            if path.suffix in (".json", ".tsv") and kind in _SIDECARS and about <= {*entities}:
                parts.add(path)
    return sorted({source.path, *(path for path in parts if path.is_file())})


def take_stamp(source):
    """Return name, size and time of change of each file of a recording."""
    stats = [(path.name, path.stat()) for path in _list_parts(source)]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def hash_source(source):
    """Return one sha256 of the names and contents of a recording's files."""
    digest = hashlib.sha256()
    for path in _list_parts(source):
        digest.update(f"{path.name} {file_hash(path)}\n".encode())
    return digest.hexdigest()
