# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The sidecars of a restored recording: channels, events, the recording itself, positions."""

import json

import numpy as np

from .._files import find_sidecars, read_json, read_table
from ..restoration import to_number
from ._lock import hold
from ._state import PRIVATE, write_text

_TYPES = dict(eeg="EEG", eog="EOG", ecg="ECG", emg="EMG", stim="TRIG", seeg="SEEG", ecog="ECOG")
_CHANNEL_COLUMNS = dict(
    restored="What of the channel was restored: all (all through), part (stretches) or none.",
    restored_seconds="For how many seconds it was restored.",
    expected_r="Correlation with the truth that is expected where it was restored.",
    expected_nmse="Squared error, over the power of the truth, that is expected there.",
)
_EVENT_COLUMNS = dict(
    channel="Channel that the event is of; n/a is all of them. An event of several channels has a "
    "row for each.",
)
_POSITIONS = (("coordsystem", ".json"), ("electrodes", ".json"), ("electrodes", ".tsv"))
_REQUIRED = dict(
    TaskName="n/a", EEGReference="n/a", PowerLineFrequency="n/a", SoftwareFilters="n/a"
)


def name_source(unit):
    """Return the URI by which sidecars name a recording of the source data set."""
    return f"bids:raw:{unit.path.as_posix()}"


def write_sidecars(unit, inst, rows, facts, stem):
    """Write the sidecars of a restored continuous recording.

    Parameters
    ----------
    unit : Unit
        The source.
    inst : mne.io.Raw
        The recording as it was written.
    rows : list of dict
        The restored channels, as the report tells.
    facts : dict
        What the sidecar is to say besides.
    stem : pathlib.Path
        The recording's file to be, without ``_eeg`` and extension.

    Returns
    -------
    paths : list of pathlib.Path
        What was written.
    """
    by_name = {row["channel"]: row for row in rows}
    files = {
        "_channels.tsv": _tabulate_channels(unit, inst, by_name),
        "_channels.json": _describe_channels(unit),
        "_events.tsv": _tabulate_events(unit, inst),
        "_events.json": _describe_events(unit),
        "_eeg.json": _describe_recording(unit, inst, facts),
    }
    return write_files(files, stem)


def copy_positions(unit, folder):
    """Copy the positions of the electrodes, which all recordings of a subject share.

    Parameters
    ----------
    unit : Unit
        One of its recordings.
    folder : pathlib.Path
        The derivative data set.
    """
    for suffix, extension in _POSITIONS:
        for path in find_sidecars(unit, suffix, extension):
            name = path.relative_to(unit.root).as_posix()
            text = path.read_text(encoding="utf-8-sig")
            if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") == text:
                continue
            with hold(folder / PRIVATE / "locks" / "positions.lock", wait=60) as lock:
                if lock is None:
                    raise RuntimeError(f"{name} could not be written: another run is at it.")
                write_text(folder, name, text)


def write_files(files, stem):
    """Write tables as TSV and dicts as JSON; return the paths. None is left out."""
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
    """Return a table of the channels of a recording, with the columns that BIDS wants.

    Parameters
    ----------
    inst : mne.io.Raw
        The recording.
    source : pandas.DataFrame | None
        The table of the same channels in the source.

    Returns
    -------
    table : pandas.DataFrame
        A row each channel, in the order of the recording.
    """
    import pandas as pd

    names, info = inst.ch_names, inst.info
    types = inst.get_channel_types()
    table = pd.DataFrame(
        dict(
            name=names,
            type=[_TYPES.get(kind, "MISC") for kind in types],
            units=["µV" if kind in _TYPES and kind != "stim" else "n/a" for kind in types],
            low_cutoff=info["highpass"],
            high_cutoff=info["lowpass"],
            sampling_frequency=info["sfreq"],
        )
    )
    if source is not None and set(names) <= set(source["name"]):
        table = source.drop_duplicates("name").set_index("name").loc[names].reset_index()
        if "units" in table:  # which the file is written in
            volts = table["units"].isin(["V", "mV", "uV", "nV", "µV", "μV"])
            table.loc[volts, "units"] = "µV"
    table["status"] = ["bad" if name in info["bads"] else "good" for name in names]
    return table


def _tabulate_channels(unit, inst, rows):
    """Return the table of channels after restoring."""
    table = make_channels(inst, read_table(unit, "channels"))
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


def _describe_channels(unit):
    columns = {name: dict(Description=text) for name, text in _CHANNEL_COLUMNS.items()}
    about = dict(Description="Channels of the restored recording.", Sources=[name_source(unit)])
    return read_json(unit, "channels") | columns | about


def _tabulate_events(unit, inst):
    """Return the events of the source, what is bad or restored as it is now."""
    import pandas as pd

    source = read_table(unit, "events")
    rows = []
    is_ours = lambda text: text.upper().startswith(("BAD", "RESTORED", "INVENTED"))  # noqa: E731
    if source is not None:
        kinds = source["trial_type"] if "trial_type" in source else [""] * len(source)
        rows = [
            row for row, k in zip(source.to_dict("records"), kinds, strict=True) if not is_ours(k)
        ]
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
    extra = [name for name in ("trial_type", "channel") if name not in columns]
    if source is not None and "sample" not in columns:
        rows = [{k: v for k, v in row.items() if k != "sample"} for row in rows]
    elif source is None:
        extra.append("sample")
    table = pd.DataFrame(rows, columns=columns + extra).fillna("n/a")
    order = np.argsort([float(onset) for onset in table["onset"]], kind="stable")
    return table.iloc[order]


def _describe_events(unit):
    content = read_json(unit, "events")
    for name, text in _EVENT_COLUMNS.items():
        content[name] = {**content.get(name, {}), "Description": text}
        content[name].pop("Delimiter", None)
    levels = content.setdefault("trial_type", {})
    if isinstance(levels.get("Levels"), dict):
        levels["Levels"] = levels["Levels"] | dict(
            RESTORED="Restored from the other channels.",
            INVENTED="Continued from past and future: no channel is good then.",
        )
    about = dict(
        Description="Events of the source, and what is bad or restored in the restored recording.",
        Sources=[name_source(unit)],
    )
    return content | about


def _describe_recording(unit, inst, facts):
    """Return the sidecar of a recording: that of the source, and what was done."""
    source = read_json(unit, "eeg")
    content = {**_REQUIRED, **source}
    if "TaskName" not in source and "task" in unit.entities:
        content["TaskName"] = unit.entities["task"]
    if "PowerLineFrequency" not in source and inst.info["line_freq"]:
        content["PowerLineFrequency"] = inst.info["line_freq"]
    content["SamplingFrequency"] = inst.info["sfreq"]
    content["RecordingDuration"] = inst.n_times / inst.info["sfreq"]
    content.setdefault("RecordingType", "continuous")
    return content | facts
