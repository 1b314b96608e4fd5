# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""`find_bads_in`: bad channels and segments of the recordings of a data set, found and marked."""

import itertools
import time
from pathlib import Path

from .._files import BidsRecording, read_recording, select_recordings
from ..detection import find_bads
from ._bad_tables import BACKUPS, forget_marks, plan_tables, write_tables
from ._process import describe_failure


def find_bads_in(recordings, *, write=False, show=None, prepare=None, choose=None, **options):
    """Find bad channels and segments of recordings of a data set, and mark them in its tables.

    Yields one dict per recording: ``recording``, ``status`` (``"new"``, ``"unchanged"`` or
    ``"failed"``), ``why`` it failed, ``found`` (a BadsReport, None if it failed), ``table`` (what
    was found, with a column ``marked``: ``"new"`` or ``"already"``), ``files`` (those that are or,
    without ``write``, would be changed) and ``backup`` (the folder with copies, None without).
    ``show`` is called with this dict before files are changed, ``prepare`` completes each recording
    in place, ``choose`` returns the channels to check; ``options`` are those of `find_bads`.
    """
    backup = _find_backup(recordings[0].root)
    for recording in recordings:
        row = dict(recording=recording.label, status="failed", why=recording.problem)
        row.update(found=None, table=_tabulate(None, [], []), files=[], backup=None)
        if not recording.problem:
            try:
                tables = _find(recording, row, prepare, choose, options)
                if show is not None:
                    show(row)
                if write and tables:
                    row["backup"] = write_tables(recording.root, tables, backup)
            except Exception as exc:  # one broken recording must not end the batch
                row.update(status="failed", why=describe_failure(exc, recording)["why"])
        yield row


def _find_backup(root):
    """Return the folder of the backups of a call, which no other call has used."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (f"{stamp}-{number}" if number else stamp for number in itertools.count())
    return next(root / BACKUPS / name for name in names if not (root / BACKUPS / name).exists())


def _find(recording, row, prepare, choose, options):
    """Find bad channels and segments, and complete the row; return the content of new tables."""
    inst = read_recording(recording)
    unmarked = forget_marks(recording, inst)  # so that a second call finds the same
    if prepare is not None:
        prepare(inst)
        prepare(unmarked)
    if choose is not None:
        options = dict(options, picks=choose(inst))
    found = find_bads(unmarked, **options)
    tables, channels, spans = plan_tables(recording, inst, found)
    row.update(
        status="new" if tables else "unchanged",
        found=found,
        table=_tabulate(found, channels, spans),
        files=[path.relative_to(recording.root).as_posix() for path in tables],
    )
    return tables


def _tabulate(found, channels, spans):
    """Return the table of what was found, with a column ``marked``."""
    import pandas as pd

    if found is None:
        return pd.DataFrame(columns=["channel", "start", "stop", "why", "whole", "marked"])
    table = found.to_data_frame().drop(columns=["epoch", "score"])
    new = [*(name in channels for name in found.channels), *(span in spans for span in found.spans)]
    return table.assign(marked=["new" if is_new else "already" for is_new in new])


def select_for_marks(path, selection):
    """Return the continuous recordings of a BIDS root, or the one of a file in a data set.

    Raises ValueError if there are only epochs, or the file does not belong to a data set or is not
    named by BIDS.
    """
    path = Path(path).expanduser().absolute()
    if path.is_dir():
        found = [r for r in select_recordings(path, selection) if not r.is_epochs]
        if not found:
            raise ValueError(f"Found only epochs in {path}, expected continuous recordings.")
        return found
    given = [f"--{name.removesuffix('s')}" for name, value in selection.items() if value]
    if given:
        raise ValueError(f"{', '.join(given)} selects recordings of a data set; {path} is a file.")
    if not path.exists():
        raise FileNotFoundError(f"The input {path} does not exist.")
    root = next((p for p in path.parents if (p / "dataset_description.json").is_file()), None)
    if root is None:
        raise ValueError(
            f"{path} is not in a BIDS data set: no folder above it has dataset_description.json. "
            "Use --output to write a marked copy."
        )
    recording = BidsRecording(root, path.relative_to(root))
    if not recording.is_named_by_bids or not recording.name.endswith("_eeg"):
        raise ValueError(
            f"{recording.label} is not a recording of the BIDS data set {root}: expected a name "
            "such as sub-01_task-rest_eeg.edf. Use --output to write a marked copy."
        )
    return [recording]
