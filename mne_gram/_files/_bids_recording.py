# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One recording of a BIDS data set, read with its sidecars."""

import contextlib
import re
import warnings
from datetime import datetime, timezone
from pathlib import Path

import mne
import numpy as np
from mne.utils import warn

from .._formats import read_json_object
from ._content import list_companions
from ._find import BidsRecording, parse_entities
from ._io import read_inst

_SIDECARS = dict(
    channels=(".tsv", ".json"),
    events=(".tsv", ".json"),
    eeg=(".json",),
    epo=(".json",),
    electrodes=(".tsv", ".json"),
    coordsystem=(".json",),
)

# MNE channel types of the BIDS channel types; all others are misc.
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


def find_sidecars(recording, suffix, extension):
    """List the sidecars that apply to a recording, by the inheritance principle.

    ``suffix`` and ``extension`` are such as ``"channels"`` and ``".tsv"``. The most general sidecar
    comes first.
    """
    folders = [recording.root / parent for parent in reversed(recording.path.parents)]
    found = []
    for folder in folders:
        here = []
        for path in folder.glob(f"*{suffix}{extension}"):
            name = path.name.removesuffix(extension)
            own = parse_entities(name)
            own.pop("space", None)  # an entity of electrodes, not of recordings
            if name.split("_")[-1] == suffix and own.items() <= recording.entities.items():
                here.append((len(own), path.name, path))
        found += [path for *_, path in sorted(here)]
    return found


def read_json(recording, suffix):
    """Return the content of the JSON sidecars of a recording, merged by inheritance."""
    content = {}
    for path in find_sidecars(recording, suffix, ".json"):
        content.update(read_json_object(path))
    return content


def read_table(recording, suffix):
    """Return a TSV sidecar of a recording as a DataFrame of text, None if there is none."""
    paths = find_sidecars(recording, suffix, ".tsv")
    return read_tsv(paths[-1]) if paths else None


def read_tsv(path):
    """Return a TSV file as a DataFrame of text, without the blanks around cells.

    Raises ValueError if it is not a table.
    """
    import pandas as pd

    options = dict(sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    with warnings.catch_warnings():
        # A tab at the end of each row begins another, empty column.
        warnings.filterwarnings("ignore", "Length of header", pd.errors.ParserWarning)
        try:
            table = pd.read_csv(path, index_col=False, **options)
        except ValueError as exc:  # parser errors are ValueErrors
            raise ValueError(f"{path} is not a table ({exc}). Correct it.") from None
    table.columns = table.columns.str.strip()
    return table.apply(lambda column: column.str.strip())


def list_input_files(recording):
    """List the files of a recording, the one that a reader opens first, and its sidecars."""
    file = recording.file
    paths = [file, *(list_companions(file) if file.is_file() else [])]
    if "split" in recording.entities:
        paths += sorted(file.parent.glob(re.sub(r"_split-\d+", "_split-*", file.name)))
    for suffix, extensions in _SIDECARS.items():
        for extension in extensions:
            paths += find_sidecars(recording, suffix, extension)
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def read_recording(recording):
    """Read a recording with its sidecars, as Raw (not loaded) or Epochs.

    Bad segments annotated in the file itself are kept. Raises RuntimeError if it cannot be read.
    """
    # MNE-BIDS would place a lock file beside each sidecar: this fails where the data set is
    # read-only, and the lock remains if the process is killed.
    inst = read_inst(recording.file, preload=False)
    if recording.is_epochs:
        return inst
    _set_date(inst, recording)
    _set_channels(inst, recording)
    set_positions(inst, recording)
    line_freq = read_json(recording, "eeg").get("PowerLineFrequency")
    if isinstance(line_freq, int | float) and line_freq > 0:
        inst.info["line_freq"] = float(line_freq)
    _set_events(inst, recording)
    return inst


def read_path(path):
    """Read the recording of a mne_bids.BIDSPath as `read_recording` does."""
    root = Path(path.root)
    return read_recording(BidsRecording(root, Path(path.fpath).relative_to(root)))


def _set_date(raw, recording):
    """Set the date from ``scans.tsv``, in place, if the file itself has none."""
    paths = find_sidecars(recording, "scans", ".tsv")
    if raw.info["meas_date"] is not None or not paths:
        return
    own = recording.file.relative_to(paths[-1].parent).with_suffix("")
    with contextlib.suppress(KeyError, ValueError):  # no recording fails because of its date
        table = read_tsv(paths[-1])
        dates = dict(zip(table["filename"], table["acq_time"], strict=True))
        known = [date for name, date in dates.items() if Path(name or "-").with_suffix("") == own]
        raw.set_meas_date(_parse_date(known[0]) if known else None)


def _parse_date(text):
    """Return a time in ISO format as datetime; without a zone it is taken for UTC."""
    date = datetime.fromisoformat(text.removesuffix("Z"))
    return date.replace(tzinfo=date.tzinfo or timezone.utc)


def _set_channels(raw, recording):
    """Set channel types and bad channels from ``channels.tsv``, in place."""
    table = read_table(recording, "channels")
    if table is None:
        return
    if "name" not in table or table["name"].duplicated().any():
        raise ValueError(
            f"channels.tsv of {recording.path.name} has no column 'name', or repeats a name. "
            "Correct it."
        )
    own = {name.strip(): name for name in raw.ch_names}
    table["name"] = [own.get(name, name) for name in table["name"]]
    known = table["name"].isin(raw.ch_names)
    kinds = table["type"].str.upper() if "type" in table else None
    status = table["status"].str.lower() if "status" in table else None
    missing = ~known if kinds is None else ~known & (kinds == "EEG")
    if missing.any() or not known.any():
        raise ValueError(
            f"channels.tsv lists {_quote(table['name'][~known])}, which {recording.path.name} "
            f"does not have; its channels are {_quote(raw.ch_names)}. Correct the table."
        )
    rest = [name for name in raw.ch_names if name not in set(table["name"])]
    if rest:
        warn(f"channels.tsv does not list {', '.join(rest)}; the recording gives their types.")
    if kinds is not None:
        types = dict(zip(table["name"][known], kinds[known], strict=True))
        types = {name: _TYPES.get(kind, "misc") for name, kind in types.items()}
        raw.set_channel_types(types, on_unit_change="ignore", verbose="error")
    if status is not None:
        raw.info["bads"] = list(table["name"][known & (status == "bad")])


def set_positions(raw, recording):
    """Set electrode positions from ``electrodes.tsv``, in place, if their frame is known."""
    paths = find_sidecars(recording, "electrodes", ".tsv")
    frames = find_sidecars(recording, "coordsystem", ".json")
    if not paths or not frames:
        return
    table = read_tsv(paths[-1])
    space = parse_entities(paths[-1].name).get("space")
    frames = [path for path in frames if parse_entities(path.name).get("space") == space]
    frame = read_json_object(frames[-1]) if frames else {}
    scale = _LENGTHS.get(frame.get("EEGCoordinateUnits"))
    if scale is None or not {"name", "x", "y", "z"} <= set(table.columns):
        return
    points = np.stack([_to_numbers(table, key, paths[-1].name) for key in "xyz"], axis=1) * scale
    own = {name.strip(): name for name in raw.ch_names}
    positions = {
        own[name]: point
        for name, point in zip(table["name"], points, strict=True)
        if name in own and np.isfinite(point).all()
    }
    landmarks = {
        key.lower(): np.array(point, float) * _LENGTHS.get(frame.get(_LANDMARK_UNIT), scale)
        for key, point in get_object(frame, "AnatomicalLandmarkCoordinates", frames[-1]).items()
        if key.lower() in ("nas", "lpa", "rpa")
    }
    if len(landmarks) == 3:
        options = {dict(nas="nasion").get(key, key): point for key, point in landmarks.items()}
        options["coord_frame"] = "unknown"  # MNE finds the head frame by the landmarks
    elif frame.get("EEGCoordinateSystem") == "CapTrak":
        options = dict(coord_frame="head")
    else:
        warn(
            "The positions in electrodes.tsv are not used: coordsystem.json has no landmarks "
            "(NAS, LPA, RPA) to align them with the head."
        )
        return
    if positions:
        montage = mne.channels.make_dig_montage(positions, **options)
        raw.set_montage(montage, on_missing="ignore", verbose="error")


def _set_events(raw, recording):
    """Set annotations from ``events.tsv``, in place; BAD and EDGE of the file itself are kept."""
    table = read_table(recording, "events")
    if table is None:
        return
    own = _list_bad_spans(raw)
    texts = _name_events(table)
    where = f"events.tsv of {recording.path.name}"
    onsets, durations = (_to_numbers(table, name, where) for name in ("onset", "duration"))
    about = get_object(read_json(recording, "events"), "channel", "events.json")
    delimiter = about.get("Delimiter")
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
    """Return the description of each event, as MNE-BIDS does; empty for those without a type."""
    column = next((name for name in ("trial_type", "stim_type", "value") if name in table), None)
    if column is None:
        return ["n/a"] * len(table)
    if "value" in table and (table[column] == "n/a").all():
        column = "value"
    texts = table[column]
    if "value" in table and column != "value":
        # A type with several values is several events: "stimulus/1", "stimulus/2". The descriptions
        # of bad segments are not changed, as they have a meaning.
        several = table["value"].groupby(texts).transform("nunique") > 1
        several &= ~texts.str.upper().str.startswith(("BAD", "N/A"))
        texts = texts.where(~several, texts + "/" + table["value"].replace("n/a", "na"))
    return list(texts.replace("n/a", ""))


def _to_numbers(table, name, where):
    """Return a column as numbers, NaN where there is none; ``where`` is the table, for errors."""
    if name not in table:
        raise ValueError(f"{where} has no column {name!r}. Correct it.")
    try:
        return table[name].replace({"n/a": "nan", "": "nan"}).to_numpy(float)
    except ValueError as exc:
        raise ValueError(f"{where}, column {name!r}: {exc}. Correct it.") from None


def get_object(content, key, where):
    """Return an object in the content of a JSON file, empty if it is missing."""
    found = content.get(key, {})
    if not isinstance(found, dict):
        raise ValueError(f"{key!r} in {where} is not a JSON object. Correct it.")
    return found


def _quote(names):
    """Return names on one line; characters that cannot be seen are shown."""
    plain = [name.isprintable() and name == name.strip() for name in names]
    return ", ".join(n if ok else ascii(n) for n, ok in zip(names, plain, strict=True))


def _split_names(text, delimiter, known):
    """Return the channel names in a cell of ``events.tsv``."""
    known = {name.strip(): name for name in known}
    if text in known:
        return (known[text],)
    for mark in [delimiter] if delimiter else [",", ";", "|"]:
        names = tuple(name.strip(" []\"'") for name in text.split(mark))
        if set(names) <= set(known):
            return tuple(known[name] for name in names)
    raise ValueError(
        f"events.tsv marks {text!r} as bad, expected channels of the recording: "
        f"{_quote(known)}. Correct the column 'channel', or its Delimiter in events.json."
    )


def _list_bad_spans(raw):
    """List BAD and EDGE annotations as tuples of onset, duration, description and channels."""
    annotations = raw.annotations
    onsets = annotations.onset - raw.first_time
    columns = (onsets, annotations.duration, annotations.description, annotations.ch_names)
    return [
        (float(onset), float(duration), str(text), tuple(names))
        for onset, duration, text, names in zip(*columns, strict=True)
        if text.upper().startswith(("BAD", "EDGE"))
    ]


def _add_spans(raw, spans):
    """Add annotations that are missing, in place; add channel names to those that are there."""
    annotations = raw.annotations.copy()
    annotations.onset -= raw.first_time
    for onset, duration, text, names in spans:
        near = np.abs(annotations.onset - onset) < 1.0 / raw.info["sfreq"]
        near &= np.abs(annotations.duration - duration) < 1.0 / raw.info["sfreq"]
        near &= annotations.description == text
        there = [set(annotations.ch_names[k]) for k in np.flatnonzero(near)]
        if set(names) in there or (there and not names):
            continue  # the table has it, perhaps with more detail
        free = [k for k in np.flatnonzero(near) if not annotations.ch_names[k]]
        if free:
            annotations.ch_names[free[0]] = tuple(names)
        else:
            annotations.append(onset, duration, text, [names])
    if annotations.orig_time is not None:  # otherwise onsets count from the first sample
        annotations.onset += raw.first_time
    raw.set_annotations(annotations, emit_warning=False)
