# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a run would do, and for how long."""

import warnings

from mne.utils import use_log_level

from .._files import read_recording
from ._state import Store
from ._unit import find_key
from ._work import describe_input

# Seconds of one core for a second of one channel, where no record tells better.
_PACE = dict(restore=8e-4, embed=3e-4, tokens=3e-4)


def plan_units(units, settings, n_jobs):
    """Tell what would be done, without doing it.

    Parameters
    ----------
    units : list of Unit
        The recordings.
    settings : Settings
        What would be done with each.
    n_jobs : int
        How many at a time.

    Returns
    -------
    rows : list of dict
        A row each recording: ``status`` (``"planned"``, ``"skipped"`` or ``"failed"``), ``why``,
        ``duration``, ``bads``, ``n_spans`` and ``estimate``, the seconds that it would take.
    """
    store = Store(settings.folder)
    pace = _find_pace(store, settings)
    return [_plan(unit, settings, store, pace) for unit in units]


def _find_pace(store, settings):
    """Return the seconds of work for a second of one channel, from records if there are any."""
    rows = [record.get("row", {}) for record in store.read_all() if record["job"] == settings.job]
    rows = [row for row in rows if row.get("compute_seconds")]
    size = sum(row["duration"] * row["n_channels"] for row in rows)
    return sum(row["compute_seconds"] for row in rows) / size if size else _PACE[settings.job]


def _plan(unit, settings, store, pace):
    """Return the row of a recording."""
    row = dict(recording=unit.path.as_posix(), job=settings.job, status="planned", seconds=0.0)
    with warnings.catch_warnings(), use_log_level("error"):
        warnings.simplefilter("ignore")
        try:
            if unit.problem:
                raise ValueError(unit.problem)
            record, why = store.read(unit, settings.job), "it is new"
            if record:
                why = store.find_reason(record, find_key(unit, settings, record)[0])
            inst = read_recording(unit)
        except Exception as exc:  # told in the table, as a run would
            line = " ".join(str(exc).split()).replace(f"{unit.root}/", "")
            return dict(row, status="failed", why=line, estimate=0.0)
        facts = describe_input(inst)
        notes = [] if unit.is_epochs else inst.annotations.description
    row.update(facts, n_spans=sum(text.upper().startswith("BAD") for text in notes), why=why)
    if not why and not settings.overwrite:
        return dict(row, status="skipped", estimate=0.0)
    row["why"] = why or "overwriting"
    return dict(row, estimate=pace * facts["duration"] * facts["n_channels"])
