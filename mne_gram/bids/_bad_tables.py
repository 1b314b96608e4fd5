# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bad channels and segments in ``channels.tsv`` and ``events.tsv`` of the data set itself.

This is the only module that changes files of a source data set: after a backup, each file at once,
and only the cells and rows that are new.
"""

import errno
import os
import re
import shutil

import numpy as np

from .._files import TsvText, fill_names, find_sidecars, read_table
from .._formats import check_folders, staged_together
from ..detection import BAD_PREFIX
from ._sidecars import CHANNEL_TYPES

BACKUPS = "sourcedata/mne_gram_backup"
_MAKER = "mne_gram find-bads"


def forget_marks(recording, inst):
    """Return a copy of a recording without what earlier calls have marked in its tables."""
    inst = inst.copy()
    table = read_table(recording, "channels")
    if table is not None and "status_description" in table:
        is_own = table["status_description"].str.contains(f"({_MAKER})", regex=False)
        own = set(table["name"][is_own])
        inst.info["bads"] = [name for name in inst.info["bads"] if name.strip() not in own]
    texts = inst.annotations.description
    inst.annotations.delete([k for k, text in enumerate(texts) if text.startswith(BAD_PREFIX)])
    return inst


def plan_tables(recording, inst, found):
    """Return the new content of the tables of a recording by path, and what is new in them.

    The content is bytes; what is new are the names of channels and a list of spans. Raises
    ValueError if a table cannot be changed.
    """
    known = set(inst.info["bads"])
    channels = [name for name in found.channels if name not in known]
    annotated = _list_annotated(inst)
    step = 1.5 / inst.info["sfreq"]
    spans = [
        span
        for span in found.spans
        if span.channel not in known and not _is_annotated(span, annotated, step)
    ]
    tables = {}
    if channels:
        path, table = _open_table(recording, "channels", lambda: _make_channels(inst))
        tables[path] = _mark_channels(table, inst, found, channels)
    if spans:
        path, table = _open_table(recording, "events", lambda: b"onset\tduration\ttrial_type\n")
        needed = set(found.ch_names) - {*found.channels, *known}
        tables[path] = _add_events(table, inst, _join(spans, needed))
    return tables, channels, spans


def _list_annotated(inst):
    """Return (onset, stop, channels) of each BAD annotation, in seconds from the first sample."""
    annotations = inst.annotations
    onsets = annotations.onset - inst.first_time
    rows = zip(onsets, annotations.duration, annotations.ch_names, strict=True)
    is_bad = [text.upper().startswith("BAD") for text in annotations.description]
    return [(t, t + d, names) for (t, d, names), bad in zip(rows, is_bad, strict=True) if bad]


def _is_annotated(span, annotated, step):
    """Return whether a span lies within an annotation of its channel or of all channels."""
    return any(
        start <= span.start + step and span.stop <= stop + step
        for start, stop, names in annotated
        if not names or span.channel in names
    )


def _join(spans, needed):
    """Return spans; those of all needed channels at the same time once, with the channel n/a."""
    same = {}
    for span in spans:
        same.setdefault((span.start, span.stop, span.why), []).append(span)
    joined = []
    for group in same.values():
        of_all = len(needed) > 1 and needed <= {span.channel for span in group}
        joined += [group[0]._replace(channel="n/a")] if of_all else group
    return joined


def _open_table(recording, suffix, make):
    """Return the path of the recording's own table and its TsvText.

    A table that other recordings share is copied, as the nearest one applies; without any, ``make``
    returns the content.
    """
    stem = re.sub(r"_split-\d+", "", recording.name).rpartition("_")[0]
    own = recording.file.with_name(f"{stem}_{suffix}.tsv")
    check_folders(recording.root, own.parent.relative_to(recording.root))
    if own.is_symlink() or (own.exists() and not own.is_file()):
        raise ValueError(
            f"{own} is a link or a folder, expected a file that can be replaced. Put a file in its "
            "place (in a DataLad data set, by 'datalad unlock')."
        )
    paths = find_sidecars(recording, suffix, ".tsv")
    content = paths[-1].read_bytes() if paths else make()
    return own, TsvText(content, paths[-1] if paths else own)


def _make_channels(inst):
    """Return the content of ``channels.tsv`` for a recording without one."""
    rows = [_describe_channel(inst, name) for name in inst.ch_names]
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    return "".join("\t".join(cells) + "\n" for cells in lines).encode("utf-8")


def _describe_channel(inst, name):
    """Return the cells that BIDS requires of a channel."""
    (kind,) = inst.get_channel_types([name])
    units = inst._orig_units.get(name, "n/a")
    return dict(name=name.strip(), type=CHANNEL_TYPES.get(kind, "MISC"), units=units)


def _mark_channels(table, inst, found, channels):
    """Return the content of ``channels.tsv`` with channels marked as bad."""
    names = table.get("name")
    for name in channels:
        if name.strip() not in names:
            table.insert(len(names), _describe_channel(inst, name))
            names.append(name.strip())
    checked = {name.strip() for name in found.ch_names}
    if "status" not in table.columns:
        table.set_column("status", ["good" if name in checked else "n/a" for name in names])
    if "status_description" not in table.columns:
        table.set_column("status_description", ["n/a"] * len(names))
    before = table.get("status_description")
    for name in channels:
        row = names.index(name.strip())
        text = f"{found.reasons[name]} ({_MAKER})"
        kept = "" if before[row] in ("", "n/a") else f"{before[row]}; "
        table.set(row, "status", "bad")
        table.set(row, "status_description", kept + text)
    return table.to_bytes()


def _add_events(table, inst, spans):
    """Return the content of ``events.tsv`` with rows for spans, in the order of onsets."""
    empty = ["n/a"] * len(table.get("onset"))
    names = fill_names(table)
    if "trial_type" not in table.columns or table.get("trial_type") != names:
        table.set_column("trial_type", names)
    if "channel" not in table.columns:
        table.set_column("channel", empty)
    sfreq = inst.info["sfreq"]
    for span in spans:
        onsets = [_to_number(cell) for cell in table.get("onset")]
        place = max(np.flatnonzero(np.array(onsets) <= span.start), default=-1) + 1
        cells = dict(
            onset=_format(span.start),
            duration=_format(span.stop - span.start),
            trial_type=f"{BAD_PREFIX}{span.why}",
            channel=span.channel.strip(),
            sample=str(round(span.start * sfreq)),
        )
        table.insert(int(place), cells)
    return table.to_bytes()


def _to_number(cell):
    return np.nan if cell in ("", "n/a") else float(cell)


def _format(seconds):
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def write_tables(root, tables, backup):
    """Replace the tables of a recording, after copying those that exist to the folder ``backup``.

    ``tables`` has the content in bytes by path. Either all of them are replaced or none. Returns
    the folder as text, None if there was nothing to copy.
    """
    replaced = [path for path in tables if path.exists()]
    try:
        _back_up(root, replaced, backup)
        _replace(tables, replaced)
    except BaseException as exc:
        if isinstance(exc, PermissionError) or getattr(exc, "errno", None) == errno.EROFS:
            raise PermissionError(
                f"The tables in {root} cannot be changed ({exc}). Change the permissions, or write "
                "a marked copy of the recording with --output."
            ) from exc
        raise
    return str(backup) if replaced else None


def _back_up(root, paths, backup):
    """Copy files of a data set to the folder ``backup``."""
    for path in paths:
        copy = backup / path.relative_to(root)
        check_folders(root, copy.parent.relative_to(root))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


def _replace(tables, replaced):
    """Write all tables; those that are replaced keep their permissions."""
    with staged_together(list(tables), True) as files:
        for file, (path, content) in zip(files, tables.items(), strict=True):
            with file.open("wb") as new:
                new.write(content)
                new.flush()
                os.fsync(new.fileno())
            if path in replaced:
                shutil.copymode(path, file)
