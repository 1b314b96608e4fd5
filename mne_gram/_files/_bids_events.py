# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""``events.tsv`` of a recording, and the annotations of the file itself, as annotations."""

import mne
import numpy as np

from ._bids_sidecars import get_object, quote, read_json, read_table, to_numbers

_UNNAMED = "event"  # events in a table without names, once others have one


def set_events(raw, recording):
    """Set annotations from ``events.tsv``, in place; BAD and EDGE of the file itself are kept."""
    table = read_table(recording, "events")
    if table is None:
        return
    own = _list_bad_spans(raw)
    texts = _name_events(table)
    where = f"events.tsv of {recording.path.name}"
    onsets, durations = (to_numbers(table, name, where) for name in ("onset", "duration"))
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


def fill_names(table):
    """Return the cells of ``trial_type`` of ``events.tsv``, by which readers find all its events.

    Events keep the names that readers gave them; without a column of names they are "event", as
    readers leave out events that are n/a where others have a name. ``table`` is a DataFrame of text
    or a TsvText.
    """
    column = _find_name_column(table)
    return [_UNNAMED] * len(table.get("onset")) if column is None else list(table.get(column))


def _find_name_column(table):
    """Return the column of ``events.tsv`` that names events, as for MNE-BIDS, or None.

    ``table`` is a DataFrame of text or a TsvText.
    """
    columns = list(table.columns)
    column = next((name for name in ("trial_type", "stim_type", "value") if name in columns), None)
    if column and "value" in columns and all(cell == "n/a" for cell in table.get(column)):
        return "value"
    return column


def _name_events(table):
    """Return the description of each event, as MNE-BIDS does; empty for those without a type."""
    column = _find_name_column(table)
    if column is None:
        return ["n/a"] * len(table)
    texts = table[column]
    if "value" in table and column != "value":
        # A type with several values is several events: "stimulus/1", "stimulus/2". The descriptions
        # of bad segments are not changed, as they have a meaning.
        several = table["value"].groupby(texts).transform("nunique") > 1
        several &= ~texts.str.upper().str.startswith(("BAD", "N/A"))
        texts = texts.where(~several, texts + "/" + table["value"].replace("n/a", "na"))
    return list(texts.replace("n/a", ""))


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
        f"{quote(known)}. Correct the column 'channel', or its Delimiter in events.json."
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
