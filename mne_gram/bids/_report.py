# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The report of a run over a data set."""

from collections import Counter

from .._counts import count

_COLUMNS = (
    "recording",
    "status",
    "why",
    "duration",
    "n_channels",
    "n_bads",
    "n_restored",
    "n_spans",
    "seconds_restored",
    "expected_r",
    "expected_nmse",
    "seconds",
)


class BidsReport:
    """Report of :func:`mne_gram.run_bids`.

    Parameters
    ----------
    rows : list of dict
        One row per recording.
    folder : pathlib.Path
        The derivative data set.
    index : pathlib.Path | None
        The HTML page of the data set.
    log : pathlib.Path | None
        The log file; None after a dry run.
    prior : dict | None
        The prior that recordings were restored with; None if none is used.

    Attributes
    ----------
    rows : list of dict
        One row per recording, with ``recording``, ``status`` (``"done"``, ``"skipped"`` if up to
        date, ``"busy"`` if another run is processing it, ``"failed"``, or ``"planned"``), ``why``,
        ``notes`` and more.
    folder, index, log : pathlib.Path | None
        The derivative data set, its HTML page and the log file.
    prior : dict | None
        The prior: its ``kind`` (``"bundled"``, ``"dataset"``, ``"file"`` or ``"object"``),
        ``file``, ``sha256``, the ``n_subjects`` and ``n_recordings`` of its cohort, and a ``text``;
        after a dry run also ``why``. None if none is used.
    """

    def __init__(self, rows, folder, index, log=None, prior=None):
        self.rows, self.folder, self.index, self.log = list(rows), folder, index, log
        self.prior = prior

    @property
    def failures(self):
        """The rows of the recordings that failed."""
        return [row for row in self.rows if row["status"] == "failed"]

    @property
    def summary(self):
        """The number of recordings of each status, in one line."""
        numbers = Counter(row["status"] for row in self.rows)
        parts = ", ".join(f"{number} {status}" for status, number in numbers.items())
        return f"{count(len(self.rows), 'recording')}: {parts or 'none'}."

    def to_data_frame(self):
        """Convert to a DataFrame.

        Returns
        -------
        df : pandas.DataFrame
            One row per recording: ``recording``, ``status``, ``why``, ``duration`` in seconds,
            number of EEG channels ``n_channels``, of bad channels ``n_bads``, of restored channels
            ``n_restored`` and of segments ``n_spans``, ``seconds_restored`` (summed over
            channels), the median ``expected_r`` and ``expected_nmse``, and the run time
            ``seconds``. After a dry run also ``estimate``, the expected run time in seconds.
        """
        import pandas as pd

        rows = [
            dict(
                row,
                n_bads=len(row["bads"]) if "bads" in row else None,
                n_restored=len(row["channels"]) if "channels" in row else None,
                n_spans=len(row["spans"]) if "spans" in row else row.get("n_spans"),
            )
            for row in self.rows
        ]
        columns = [*_COLUMNS, *(["estimate"] if any("estimate" in row for row in rows) else [])]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self):
        """Return the table and the summary as text."""
        lines = [_format_row(row) for row in self.rows]
        planned = [row["estimate"] for row in self.rows if row["status"] == "planned"]
        if planned:
            lines.append(f"Estimated run time of one process: {_format_time(sum(planned))}.")
        if self.prior is not None:
            lines.append(f"Prior: {self.prior['text']}.")
        if self.log and any(row.get("notes") for row in self.rows):
            lines.append(f"Warnings: {self.log}.")
        where = f"Report: {self.index}." if self.index else f"Output folder: {self.folder}."
        return "\n".join([*lines, self.summary, where])

    def __repr__(self):
        """Return one line."""
        return f"<BidsReport | {self.summary}>"


def _format_row(row):
    """Return the line of a recording."""
    parts = [f"{row['status']:8}{row['recording']}"]
    if "duration" in row:
        parts.append(f"{row['duration']:.0f} s")
    if row["status"] == "planned":
        bads = ", ".join(row["bads"]) or "none"
        parts += [
            f"bad: {bads}",
            count(row["n_spans"], "bad segment"),
            f"run time about {row['estimate']:.0f} s",
        ]
    elif row["job"] == "prior" and row["status"] != "failed":
        used = count(len(row["electrodes"]), "electrode") if "electrodes" in row else "not used"
        parts += [text for text in (used, row.get("excluded")) if text]
    elif "channels" in row and row["status"] != "failed":
        parts.append(f"{count(len(row['channels']), 'channel')} restored")
    if row.get("expected_r") is not None:
        parts.append(f"expected r {row['expected_r']:.2f}")
    if row.get("notes"):
        parts.append(count(len(row["notes"]), "warning"))
    if row.get("why"):
        parts.append(row["why"])
    return "; ".join(parts)


def _format_time(seconds):
    """Return a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
