# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Gaps in EDF+D and BDF+D files, which MNE reads as if time was continuous."""

from typing import NamedTuple

import mne
import numpy as np
from mne.utils import warn

from .._counts import count

_SHIFTED = 0.5  # samples by which a record has to be late to count


class _Records(NamedTuple):
    """When the records of a file begin, in seconds from the first one: (n_records,)."""

    happened: np.ndarray
    stored: np.ndarray  # as if there was no gap


def is_discontinuous(path):
    """Return whether the header says that a file has gaps."""
    if path.suffix.lower() not in (".edf", ".bdf"):
        return False
    with path.open("rb") as file:
        return file.read(256)[192:197] in (b"EDF+D", b"BDF+D")


def complete_gaps(path, raw):
    """Annotate the joins of a file with gaps, and move annotations to their samples, in place."""
    records = _read_records(path)
    late = records.happened - records.stored
    steps = np.diff(late)
    joins = np.flatnonzero(np.abs(steps) > _SHIFTED / raw.info["sfreq"]) + 1
    if not len(joins):
        return
    found = mne.read_annotations(path)  # those of the Raw are cropped to its length
    starts = _move(found.onset, records)
    durations = _move(found.onset + found.duration, records) - starts
    annotations = mne.Annotations(starts, durations, found.description, ch_names=found.ch_names)
    for onset in records.stored[joins]:  # as MNE marks joins
        annotations.append([onset] * 2, 0.0, ["BAD boundary", "EDGE boundary"])
    raw.set_annotations(annotations, emit_warning=False)
    warn(
        f"{path.name} has {count(len(joins), 'gap')} ({steps[joins - 1].sum():.4g} s), at which "
        "recorded samples are joined. The joins are annotated as EDGE boundary, and times count "
        "recorded samples only."
    )


def _move(times, records):
    """Return where times are among the recorded samples, those in a gap at its end."""
    number = np.searchsorted(records.happened, times + 1e-6, "right") - 1
    number = number.clip(0, None)
    length = np.diff(records.stored, append=np.inf)[number]
    inside = (times - records.happened[number]).clip(None, length)
    return records.stored[number] + inside


def _read_records(path):
    """Read the onset of each record from its first annotation."""
    with path.open("rb") as file:
        content = file.read(256)
        n_header, duration, n = (
            int(content[184:192]),
            float(content[244:252]),
            int(content[252:256]),
        )
        fields = file.read(256 * n)
    labels = [fields[16 * k : 16 * k + 16] for k in range(n)]
    place = n * (16 + 80 + 5 * 8 + 80)
    width = 3 if content[192:193] == b"B" else 2
    sizes = [width * int(fields[place + 8 * k : place + 8 * k + 8]) for k in range(n)]
    first = next(k for k, label in enumerate(labels) if label[3:].startswith(b" Annotations"))
    n_records = (path.stat().st_size - n_header) // sum(sizes)
    shape = (n_records, sum(sizes))
    data = np.memmap(path, np.uint8, "r", offset=n_header, shape=shape)
    start = sum(sizes[:first])
    notes = np.array(data[:, start : start + min(sizes[first], 32)])
    onsets = np.array([float(note.tobytes().split(b"\x14")[0]) for note in notes])
    return _Records(onsets - onsets[0], duration * np.arange(n_records))
