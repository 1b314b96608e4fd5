# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One recording of a BIDS data set: its files, its samples, and what is marked in it as bad."""

import json
import re
from pathlib import Path

import mne
import numpy as np
from mne.utils import warn

from ._find import Unit
from ._io import read_inst

_ENTITY = re.compile(r"([A-Za-z]+)-([A-Za-z0-9+]+)")
_SIDECARS = dict(
    channels=(".tsv", ".json"),
    events=(".tsv", ".json"),
    eeg=(".json",),
    epo=(".json",),
    electrodes=(".tsv", ".json"),
    coordsystem=(".json",),
)

# Types of BIDS as MNE names them; all others are misc.
_TYPES = dict(
    EEG="eeg",
    EOG="eog",
    HEOG="eog",
    VEOG="eog",
    ECG="ecg",
    EMG="emg",
    TRIG="stim",
    GSR="gsr",
    RESP="resp",
    TEMP="temperature",
    SEEG="seeg",
    ECOG="ecog",
    DBS="dbs",
)
_LENGTHS = dict(m=1.0, cm=1e-2, mm=1e-3)
_LANDMARK_UNIT = "AnatomicalLandmarkCoordinateUnits"


def find_sidecars(unit, suffix, extension):
    """List the sidecars that apply to a recording, by the inheritance principle.

    Parameters
    ----------
    unit : Unit
        The recording.
    suffix, extension : str
        Such as ``"channels"`` and ``".tsv"``.

    Returns
    -------
    paths : list of pathlib.Path
        The most general one first.
    """
    folders = [unit.root / parent for parent in reversed(unit.path.parents)]
    found = []
    for folder in folders:
        here = []
        for path in folder.glob(f"*{suffix}{extension}"):
            name = path.name.removesuffix(extension)
            own = dict(_ENTITY.findall(name))
            own.pop("space", None)  # electrodes have it, recordings have not
            if name.split("_")[-1] == suffix and own.items() <= unit.entities.items():
                here.append((len(own), path.name, path))
        found += [path for *_, path in sorted(here)]
    return found


def read_json(unit, suffix):
    """Return what the JSON sidecars of a recording say, the most special one last."""
    content = {}
    for path in find_sidecars(unit, suffix, ".json"):
        content.update(json.loads(path.read_text(encoding="utf-8-sig")))
    return content


def read_table(unit, suffix):
    """Return the table of a recording as text, or None if it has none."""
    paths = find_sidecars(unit, suffix, ".tsv")
    return read_tsv(paths[-1]) if paths else None


def read_tsv(path):
    """Return a table of BIDS as text."""
    import pandas as pd

    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")


def list_input_files(unit):
    """List all files that a recording consists of, and the sidecars that apply to it.

    Parameters
    ----------
    unit : Unit
        The recording.

    Returns
    -------
    paths : list of pathlib.Path
        The file that a reader opens first.
    """
    file = unit.file
    paths = [file]
    if file.suffix == ".vhdr":
        text = file.read_text(encoding="utf-8", errors="replace")
        names = dict(re.findall(r"^(DataFile|MarkerFile)=([^\r\n]*)", text, re.MULTILINE))
        names = [name.strip().replace("$b", file.stem) for name in names.values()]
        paths += [file.parent / name for name in names if name.strip()]
    elif file.suffix == ".set":
        paths.append(file.with_suffix(".fdt"))
    elif "split" in unit.entities:
        paths += sorted(file.parent.glob(re.sub(r"_split-\d+", "_split-*", file.name)))
    for suffix, extensions in _SIDECARS.items():
        for extension in extensions:
            paths += find_sidecars(unit, suffix, extension)
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def read_recording(unit):
    """Read a recording with what its sidecars say of it.

    Parameters
    ----------
    unit : Unit
        The recording.

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs
        The recording, not loaded if it is continuous: types, bads, positions, the power line and
        events are those of the sidecars; bad spans of the file itself stay.

    Raises
    ------
    RuntimeError
        If it cannot be read.
    ValueError
        If its sidecars contradict it.

    Notes
    -----
    MNE-BIDS reads all of this too, but locks each sidecar by a file beside it: that fails where
    the data set is read-only, and the lock stays if the process is killed.
    """
    inst = read_inst(unit.file, preload=False)
    if unit.is_epochs:
        return inst
    _set_channels(inst, unit)
    set_positions(inst, unit)
    line_freq = read_json(unit, "eeg").get("PowerLineFrequency")
    if isinstance(line_freq, int | float) and line_freq > 0:
        inst.info["line_freq"] = float(line_freq)
    _set_events(inst, unit)
    return inst


def read_path(path):
    """Read a recording by its place in the data set.

    Parameters
    ----------
    path : mne_bids.BIDSPath
        The place.

    Returns
    -------
    inst : mne.io.Raw
        As of `read_recording`.
    """
    root = Path(path.root)
    return read_recording(Unit(root, Path(path.fpath).relative_to(root)))


def _set_channels(raw, unit):
    """Set types and bads of channels to those of ``channels.tsv``."""
    table = read_table(unit, "channels")
    if table is None:
        return
    if "name" not in table or table["name"].duplicated().any():
        raise ValueError(
            f"channels.tsv of {unit.path.name} has no column 'name', or one name twice. Correct it."
        )
    known = table["name"].isin(raw.ch_names)
    kinds = table["type"].str.upper() if "type" in table else None
    status = table["status"].str.lower() if "status" in table else None
    lacking = ~known if kinds is None else ~known & (kinds == "EEG")
    if lacking.any() or not known.any():
        raise ValueError(
            f"channels.tsv names {', '.join(table['name'][~known])}, which {unit.path.name} does "
            f"not have; its channels are {', '.join(raw.ch_names)}. Correct the table."
        )
    rest = [name for name in raw.ch_names if name not in set(table["name"])]
    if rest:
        warn(f"channels.tsv does not name {', '.join(rest)}: taken as the file has them.")
    if kinds is not None:
        types = dict(zip(table["name"][known], kinds[known], strict=True))
        types = {name: _TYPES.get(kind, "misc") for name, kind in types.items()}
        raw.set_channel_types(types, on_unit_change="ignore", verbose="error")
    if status is not None:
        raw.info["bads"] = list(table["name"][known & (status == "bad")])


def set_positions(raw, unit):
    """Set positions of electrodes to those of ``electrodes.tsv``, where they can be understood.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording, which is changed in place.
    unit : Unit
        Where it is from.
    """
    paths = find_sidecars(unit, "electrodes", ".tsv")
    frames = find_sidecars(unit, "coordsystem", ".json")
    if not paths or not frames:
        return
    table = read_tsv(paths[-1])
    space = dict(_ENTITY.findall(paths[-1].name)).get("space")
    frames = [path for path in frames if dict(_ENTITY.findall(path.name)).get("space") == space]
    frame = json.loads(frames[-1].read_text(encoding="utf-8-sig")) if frames else {}
    scale = _LENGTHS.get(frame.get("EEGCoordinateUnits"))
    if scale is None or not {"name", "x", "y", "z"} <= set(table.columns):
        return
    points = table[["x", "y", "z"]].replace("n/a", "nan").to_numpy(float) * scale
    places = {
        name: point
        for name, point in zip(table["name"], points, strict=True)
        if name in raw.ch_names and np.isfinite(point).all()
    }
    marks = {
        key.lower(): np.array(place, float) * _LENGTHS.get(frame.get(_LANDMARK_UNIT), scale)
        for key, place in frame.get("AnatomicalLandmarkCoordinates", {}).items()
        if key.lower() in ("nas", "lpa", "rpa")
    }
    if len(marks) == 3:  # which make a frame of their own
        marks = dict(nasion=marks["nas"], lpa=marks["lpa"], rpa=marks["rpa"], coord_frame="unknown")
    elif frame.get("EEGCoordinateSystem") == "CapTrak":
        marks = dict(coord_frame="head")
    else:
        warn(
            "The positions in electrodes.tsv are not used: coordsystem.json names no landmarks "
            "(NAS, LPA, RPA) that tell how the head lies in them."
        )
        return
    if places:
        montage = mne.channels.make_dig_montage(places, **marks)
        raw.set_montage(montage, on_missing="ignore", verbose="error")


def _set_events(raw, unit):
    """Set annotations to ``events.tsv``; what the file itself marks as bad or as joins stays."""
    table = read_table(unit, "events")
    if table is None:
        return
    own = _list_own_spans(raw)
    texts = _name_events(table)
    onsets, durations = (_to_numbers(table, name, unit) for name in ("onset", "duration"))
    delimiter = read_json(unit, "events").get("channel", {}).get("Delimiter")
    columns = table["channel"] if "channel" in table else ["n/a"] * len(table)
    names = [
        _split_names(cell, delimiter, raw.ch_names)
        if text.upper().startswith("BAD") and cell not in ("", "n/a")
        else ()
        for text, cell in zip(texts, columns, strict=True)
    ]
    kept = np.flatnonzero(np.isfinite(onsets) & (np.array(texts) != ""))
    annotations = mne.Annotations(
        onsets[kept],
        np.nan_to_num(durations[kept]).clip(0),
        [texts[k] for k in kept],
        ch_names=[names[k] for k in kept],
    )
    raw.set_annotations(annotations, emit_warning=False)
    _add_spans(raw, own)


def _name_events(table):
    """Return the text of each event, as MNE-BIDS names them; empty for those without a type."""
    column = next((name for name in ("trial_type", "stim_type", "value") if name in table), None)
    if column is None:
        return ["n/a"] * len(table)
    if "value" in table and (table[column] == "n/a").all():
        column = "value"
    texts = table[column]
    if "value" in table and column != "value":
        # A type with several values stands for several events: "stimulus/1", "stimulus/2". Names of
        # bad spans have a meaning here, and stay.
        several = table["value"].groupby(texts).transform("nunique") > 1
        several &= ~texts.str.upper().str.startswith(("BAD", "N/A"))
        texts = texts.where(~several, texts + "/" + table["value"].replace("n/a", "na"))
    return list(texts.replace("n/a", ""))


def _to_numbers(table, name, unit):
    """Return a column of numbers, NaN where there is none."""
    if name not in table:
        raise ValueError(f"events.tsv of {unit.path.name} has no column {name!r}. Correct it.")
    try:
        return table[name].replace({"n/a": "nan", "": "nan"}).to_numpy(float)
    except ValueError as exc:
        raise ValueError(f"events.tsv of {unit.path.name}, column {name!r}: {exc}.") from None


def _split_names(text, delimiter, known):
    """Return the channels that a cell of ``events.tsv`` names."""
    if text in known:
        return (text,)
    for mark in [delimiter] if delimiter else [",", ";", "|"]:
        names = tuple(name.strip(" []\"'") for name in text.split(mark))
        if set(names) <= set(known):
            return names
    raise ValueError(
        f"events.tsv marks {text!r} as bad, expected names of channels of the recording: "
        f"{', '.join(known)}. Correct the column 'channel', or its Delimiter in events.json."
    )


def _list_own_spans(raw):
    """List what the file itself marks as bad or as a join: onset, duration, text, channels."""
    annotations = raw.annotations
    onsets = annotations.onset - raw.first_time
    columns = (onsets, annotations.duration, annotations.description, annotations.ch_names)
    return [
        (float(onset), float(duration), str(text), tuple(names))
        for onset, duration, text, names in zip(*columns, strict=True)
        if text.upper().startswith(("BAD", "EDGE"))
    ]


def _add_spans(raw, spans):
    """Add annotations that are not there yet; give those that are the channels they are of."""
    annotations = raw.annotations.copy()
    annotations.onset -= raw.first_time
    for onset, duration, text, names in spans:
        near = np.abs(annotations.onset - onset) < 1.0 / raw.info["sfreq"]
        near &= np.abs(annotations.duration - duration) < 1.0 / raw.info["sfreq"]
        near &= annotations.description == text
        there = [set(annotations.ch_names[k]) for k in np.flatnonzero(near)]
        if set(names) in there or (there and not names):
            continue  # the table tells too, and perhaps better
        free = [k for k in np.flatnonzero(near) if not annotations.ch_names[k]]
        if free:
            annotations.ch_names[free[0]] = tuple(names)
        else:
            annotations.append(onset, duration, text, [names])
    if annotations.orig_time is not None:  # otherwise MNE counts from the first sample
        annotations.onset += raw.first_time
    raw.set_annotations(annotations, emit_warning=False)
