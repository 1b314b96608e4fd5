# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One recording of a BIDS data set, read with its sidecars."""

import contextlib
import re
from datetime import datetime, timezone
from pathlib import Path

import mne
import numpy as np
from mne.utils import warn

from .._formats import read_json_object
from ._bids_events import set_events
from ._bids_sidecars import (
    find_sidecars,
    get_object,
    quote,
    read_json,
    read_table,
    read_tsv,
    to_numbers,
)
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
    set_events(inst, recording)
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
            f"channels.tsv lists {quote(table['name'][~known])}, which {recording.path.name} "
            f"does not have; its channels are {quote(raw.ch_names)}. Correct the table."
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
    points = np.stack([to_numbers(table, key, paths[-1].name) for key in "xyz"], axis=1) * scale
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
