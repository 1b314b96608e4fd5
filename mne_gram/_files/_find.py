# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which recordings a BIDS data set holds, and which of them are asked for."""

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

_EXTENSIONS = [".edf", ".vhdr", ".set", ".bdf", ".fif"]
_ENTITY = re.compile(r"([A-Za-z]+)-([A-Za-z0-9+]+)")
_ASKED = dict(subjects="sub", sessions="ses", tasks="task", runs="run")


@dataclass(frozen=True)
class Unit:
    """One recording of a data set, which is done as a whole or not at all.

    Attributes
    ----------
    root : pathlib.Path
        The data set.
    path : pathlib.Path
        The file that a reader opens, relative to the root.
    is_epochs : bool
        Whether it holds epochs.
    problem : str
        Why it cannot be worked on, if that is known from the names of the files alone.
    """

    root: Path
    path: Path
    is_epochs: bool = False
    problem: str = ""

    @property
    def entities(self):
        """The entities of the name, such as ``sub`` and ``task``, in their order."""
        return dict(_ENTITY.findall(self.path.name.split(".")[0]))

    @property
    def name(self):
        """The name without extension, by which the recording is known in tables."""
        return re.sub(r"(\.gz)?$", "", self.path.name).rsplit(".", 1)[0]

    @property
    def file(self):
        """The file that a reader opens."""
        return self.root / self.path

    def rename(self, description, suffix):
        """Return the name, without extension, of what is made of this recording."""
        kept = {k: v for k, v in self.entities.items() if k not in ("desc", "split")}
        return "_".join([*(f"{k}-{v}" for k, v in kept.items()), f"desc-{description}", suffix])


def list_recordings(root):
    """List the EEG recordings of a BIDS data set.

    Parameters
    ----------
    root : path-like
        The data set.

    Returns
    -------
    recordings : list of mne_bids.BIDSPath
        Sorted by subject and file.

    Raises
    ------
    ValueError
        If the folder is no BIDS data set, or has no EEG in it.
    """
    paths = _find_continuous(root)
    if not paths:
        raise ValueError(f"Found no EEG recording in {root}; expected sub-*/[ses-*/]eeg/*_eeg.*.")
    return paths


def _find_continuous(root):
    """Return the continuous recordings of a data set, sorted; there may be none."""
    from mne_bids import find_matching_paths

    root = Path(root)
    if not (root / "dataset_description.json").is_file():
        raise ValueError(
            f"{root} is not a BIDS data set: it has no dataset_description.json. Give the folder "
            "that holds that file and the sub-* folders."
        )
    paths = find_matching_paths(
        root, suffixes="eeg", datatypes="eeg", extensions=_EXTENSIONS, ignore_nosub=True
    )
    return sorted(paths, key=lambda path: (path.subject, path.basename))


def find_units(root, asked):
    """List the recordings of a data set that are asked for.

    Parameters
    ----------
    root : pathlib.Path
        The data set. What lies in its ``derivatives`` is not looked at.
    asked : dict
        ``subjects``, ``sessions``, ``tasks`` and ``runs``: the labels that are asked for, with or
        without ``sub-`` and so on; None takes all.

    Returns
    -------
    units : list of Unit
        Sorted by subject and name, epochs (``*_epo.fif``) among them.

    Raises
    ------
    ValueError
        If the folder is no BIDS data set, has no EEG, or lacks what is asked for.
    """
    units = [Unit(root, path.fpath.relative_to(root)) for path in _find_continuous(root)]
    epochs = {*root.glob("sub-*/eeg/*_epo.fif"), *root.glob("sub-*/ses-*/eeg/*_epo.fif")}
    units += [Unit(root, path.relative_to(root), is_epochs=True) for path in epochs]
    # What a reader of the first part of a recording goes on with by itself is no recording.
    units = [unit for unit in units if int(unit.entities.get("split", 1)) == 1]
    if not units:
        raise ValueError(
            f"Found no EEG in {root}; expected sub-*/[ses-*/]eeg/*_eeg.* or *_epo.fif."
        )
    for what, values in asked.items():
        if values is not None:
            units = _select(units, what, [values] if isinstance(values, str | int) else values)
    units = sorted(units, key=lambda unit: (unit.entities["sub"], unit.path.as_posix()))
    return _tell_twins(units)


def _select(units, what, values):
    """Return the units of which an entity has one of some values."""
    entity = _ASKED[what]
    there = {unit.entities.get(entity) for unit in units} - {None}
    chosen = set()
    for value in values:
        label = str(value).removeprefix(f"{entity}-")
        # Runs are numbers, and 4 is run-04.
        same = {k for k in there if k == label or (entity == "run" and _is_number(k, label))}
        if not same:
            raise ValueError(
                f"Found no recording with {entity}-{label} (asked for by {what}). Among the "
                f"recordings looked at are {', '.join(sorted(there)) or 'none with this entity'}."
            )
        chosen |= same
    return [unit for unit in units if unit.entities.get(entity) in chosen]


def _is_number(*labels):
    """Tell whether labels are the same number."""
    return all(label.isdigit() for label in labels) and len({int(label) for label in labels}) == 1


def _tell_twins(units):
    """Give recordings that would be written to one place a problem."""
    places = defaultdict(list)
    for unit in units:
        places[unit.rename("restored", unit.name.split("_")[-1])].append(unit)
    out = []
    for unit in units:
        same = places[unit.rename("restored", unit.name.split("_")[-1])]
        if len(same) > 1:
            paths = ", ".join(twin.path.as_posix() for twin in same)
            problem = (
                f"{len(same)} recordings have one name ({paths}), and what is made of them would "
                "too. Move all but one of them out of the data set."
            )
            unit = replace(unit, problem=problem)
        out.append(unit)
    return out


def take_shard(units, shard):
    """Return the share of some units that one of several machines is to do.

    Parameters
    ----------
    units : list
        The same list on every machine.
    shard : tuple of int | str | None
        ``(i, n)`` or ``"i/n"``, with i from 1 to n; None takes all.

    Returns
    -------
    units : list
        Every n-th one.

    Raises
    ------
    ValueError
        If it is no such pair.
    """
    if shard is None:
        return units
    parts = shard.split("/") if isinstance(shard, str) else list(shard)
    try:
        index, number = (int(part) for part in parts)
    except (TypeError, ValueError):
        index = number = 0
    if not 1 <= index <= number:
        raise ValueError(
            f"Found shard {shard!r}, expected i/n with i from 1 to n: 1/4, 2/4, 3/4 and 4/4 are "
            "four machines' shares."
        )
    return units[index - 1 :: number]
