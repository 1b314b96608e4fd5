# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The sidecars of a restored recording: channels, events, recording, electrode positions."""

import json

import numpy as np

from .._files import fill_names, find_sidecars, get_object, read_json, read_table
from .._formats import find_place
from ..restoration import to_number
from ._journal import PRIVATE, write_text
from ._lock import hold

CHANNEL_TYPES = dict(
    eeg="EEG", eog="EOG", ecg="ECG", emg="EMG", stim="TRIG", seeg="SEEG", ecog="ECOG"
)
_CHANNEL_COLUMNS = dict(
    restored="Whether the channel was restored: all (throughout), part (segments) or none.",
    restored_seconds="Duration of the restored signal in seconds.",
    expected_r="Expected correlation of the restored with the true signal.",
    expected_nmse="Expected squared error, relative to the power of the true signal.",
)
_EVENT_COLUMNS = dict(
    channel="Channel of the event, n/a for all channels. An event of several channels has one row "
    "per channel.",
    sample="Onset in samples, the first of which is 0.",
    value="Value of a trigger, n/a for other events.",
)
_POSITIONS = (("coordsystem", ".json"), ("electrodes", ".json"), ("electrodes", ".tsv"))
REQUIRED = dict(TaskName="n/a", EEGReference="n/a", PowerLineFrequency="n/a", SoftwareFilters="n/a")


def name_source(recording):
    """Return the BIDS URI of a recording of the source data set."""
    return f"bids:raw:{recording.path.as_posix()}"


def write_sidecars(recording, inst, rows, facts, stem):
    """Write the sidecars of a restored Raw; return their paths.

    ``rows`` are the restored channels of the report, ``facts`` go to ``_eeg.json``; ``stem`` is the
    path of the written recording without ``_eeg`` and extension.
    """
    by_name = {row["channel"]: row for row in rows}
    events = _tabulate_events(recording, inst)
    files = {
        "_channels.tsv": _tabulate_channels(recording, inst, by_name),
        "_channels.json": _describe_channels(recording),
        "_events.tsv": events,
        "_events.json": None if events is None else _describe_events(recording),
        "_eeg.json": _describe_recording(recording, inst, facts),
    }
    return write_files(files, stem)


def copy_positions(recording, folder):
    """Copy the electrode positions, which recordings share, to the derivative data set."""
    for suffix, extension in _POSITIONS:
        for path in find_sidecars(recording, suffix, extension):
            name = path.relative_to(recording.root).as_posix()
            text = path.read_text(encoding="utf-8-sig")
            place = find_place(folder, name)
            if place.is_file() and place.read_bytes() == text.encode("utf-8"):
                continue
            with hold(folder / PRIVATE / "locks" / "positions.lock", wait=60) as lock:
                if lock is None:
                    raise RuntimeError(f"{name} could not be written: another run is writing it.")
                write_text(folder, name, text)


def write_files(files, stem):
    """Write tables as TSV and dicts as JSON, skip None; return the paths."""
    paths = []
    for name, content in files.items():
        if content is None:
            continue
        path = stem.with_name(stem.name + name)
        if isinstance(content, dict):
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        else:
            text = content.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def make_channels(inst, source=None):
    """Return ``channels.tsv`` of a Raw as a DataFrame, from that of the source if it fits."""
    import pandas as pd

    names, info = inst.ch_names, inst.info
    types = inst.get_channel_types()
    table = pd.DataFrame(
        dict(
            name=names,
            type=[CHANNEL_TYPES.get(kind, "MISC") for kind in types],
            units=["µV" if kind in CHANNEL_TYPES and kind != "stim" else "n/a" for kind in types],
            low_cutoff=info["highpass"],
            high_cutoff=info["lowpass"],
            sampling_frequency=info["sfreq"],
        )
    )
    if source is not None and set(names) <= set(source["name"]):
        table = source.drop_duplicates("name").set_index("name").loc[names].reset_index()
        if "units" in table:  # the file is written in µV
            volts = table["units"].isin(["V", "mV", "uV", "nV", "µV", "μV"])
            table.loc[volts, "units"] = "µV"
    table["status"] = ["bad" if name in info["bads"] else "good" for name in names]
    return table


def _tabulate_channels(recording, inst, rows):
    """Return ``channels.tsv`` of the restored recording."""
    table = make_channels(inst, read_table(recording, "channels"))
    if "status_description" not in table:
        table["status_description"] = "n/a"
    for k, name in enumerate(table["name"]):
        if name in rows:
            was = table.loc[k, "status_description"]
            was = "" if was in ("", "n/a") else f"was: {was}; "
            table.loc[k, "status_description"] = f"{was}restored by mne_gram"
    found = [rows.get(name) for name in table["name"]]
    extent = {None: "none", True: "all", False: "part"}
    table["restored"] = [extent[row and bool(row["whole"])] for row in found]
    for column, key in (
        ("restored_seconds", "seconds"),
        ("expected_r",) * 2,
        ("expected_nmse",) * 2,
    ):
        values = [to_number(row[key]) if row else None for row in found]
        table[column] = ["n/a" if value is None else f"{value:.4g}" for value in values]
    return table


def _describe_channels(recording):
    """Return ``channels.json`` of the restored recording."""
    columns = {name: dict(Description=text) for name, text in _CHANNEL_COLUMNS.items()}
    about = dict(
        Description="Channels of the restored recording.", Sources=[name_source(recording)]
    )
    return read_json(recording, "channels") | columns | about


def _tabulate_events(recording, inst):
    """Return ``events.tsv``: events of the source, with the bad and restored segments as now."""
    import pandas as pd

    source = read_table(recording, "events")
    rows = []
    is_ours = lambda text: text.upper().startswith(("BAD", "RESTORED", "INVENTED"))  # noqa: E731
    if source is not None:
        source = source.assign(trial_type=fill_names(source))
        rows = [row for row in source.to_dict("records") if not is_ours(row["trial_type"])]
    sfreq = inst.info["sfreq"]
    for onset, duration, text, names in zip(
        inst.annotations.onset - inst.first_time,
        inst.annotations.duration,
        inst.annotations.description,
        inst.annotations.ch_names,
        strict=True,
    ):
        if source is not None and not is_ours(text):
            continue
        row = dict(
            onset=f"{onset:.6g}" if onset < 1e4 else f"{onset:.4f}", duration=f"{duration:.6g}"
        )
        row.update(trial_type=str(text), sample=str(round(onset * sfreq)))
        rows += [dict(row, channel=name) for name in names or ("n/a",)]
    if not rows:
        return None
    columns = list(source.columns) if source is not None else ["onset", "duration", "trial_type"]
    # MNE-BIDS only anonymizes events with a column 'value'.
    extra = [name for name in ("trial_type", "value", "channel") if name not in columns]
    if source is not None and "sample" not in columns:
        rows = [{k: v for k, v in row.items() if k != "sample"} for row in rows]
    elif source is None:
        extra.append("sample")
    table = pd.DataFrame(rows, columns=columns + extra).astype(object).fillna("n/a")
    # Without an onset, as for events before the recording, they come last.
    order = np.argsort(pd.to_numeric(table["onset"], errors="coerce"), kind="stable")
    return table.iloc[order]


def _describe_events(recording):
    """Return ``events.json`` of the restored recording."""
    content = read_json(recording, "events")
    for name, text in _EVENT_COLUMNS.items():
        content[name] = {"Description": text} | get_object(content, name, "events.json")
    content["channel"]["Description"] = _EVENT_COLUMNS["channel"]
    content["channel"].pop("Delimiter", None)
    levels = content.setdefault("trial_type", {})
    if isinstance(levels.get("Levels"), dict):
        levels["Levels"] = levels["Levels"] | dict(
            RESTORED="Restored from the other channels.",
            INVENTED="Filled from the signal before and after, as all channels are bad.",
        )
    about = dict(
        Description="Events of the source, with the bad and the restored segments.",
        Sources=[name_source(recording)],
    )
    return content | about


def _describe_recording(recording, inst, facts):
    """Return ``eeg.json``: that of the source, with the facts of the restoration."""
    source = read_json(recording, "eeg")
    content = {**REQUIRED, **source}
    if "TaskName" not in source and "task" in recording.entities:
        content["TaskName"] = recording.entities["task"]
    if "PowerLineFrequency" not in source and inst.info["line_freq"]:
        content["PowerLineFrequency"] = inst.info["line_freq"]
    content["SamplingFrequency"] = inst.info["sfreq"]
    content["RecordingDuration"] = inst.n_times / inst.info["sfreq"]
    content.setdefault("RecordingType", "continuous")
    return content | facts
