# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What was done with each recording of a data set."""

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
    """What a run over a data set did.

    Parameters
    ----------
    rows : list of dict
        A row each recording.
    folder : pathlib.Path
        The derivative data set.
    index : pathlib.Path | None
        The page of the data set.
    log : pathlib.Path | None
        The log file; None if nothing was done, but only planned.

    Attributes
    ----------
    rows : list of dict
        What is known about each recording: ``recording``, ``status`` (``"done"``, ``"skipped"``
        because it was done before, ``"busy"`` because another run is at it, ``"failed"``, or
        ``"planned"``), ``why``, ``notes`` and more.
    folder, index, log : pathlib.Path | None
        The derivative data set, its page and the log file.
    """

    def __init__(self, rows, folder, index, log=None):
        self.rows, self.folder, self.index, self.log = list(rows), folder, index, log

    @property
    def failures(self):
        """The rows of the recordings that failed."""
        return [row for row in self.rows if row["status"] == "failed"]

    @property
    def summary(self):
        """How many recordings there are of each kind, in one line."""
        counts = {}
        for row in self.rows:
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        said = ", ".join(f"{number} {status}" for status, number in counts.items())
        return f"{len(self.rows)} recordings: {said or 'none'}."

    def to_data_frame(self):
        """Return a table.

        Returns
        -------
        df : pandas.DataFrame
            A row each recording: ``recording``, ``status``, ``why``, ``duration`` in seconds,
            ``n_channels`` of EEG, ``n_bads``, ``n_restored`` channels, ``n_spans``,
            ``seconds_restored`` (of channels), the median ``expected_r`` and ``expected_nmse``
            and the ``seconds`` that it took. A plan has ``estimate`` too.
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
            lines.append(f"About {_format_time(sum(planned))} of work for one process.")
        where = f"The report is {self.index}." if self.index else f"Results are for {self.folder}."
        return "\n".join([*lines, self.summary, where])

    def __repr__(self):
        """Return one line."""
        return f"<BidsReport | {self.summary}>"


def _format_row(row):
    """Return a line of the table."""
    parts = [f"{row['status']:8}{row['recording']}"]
    if "duration" in row:
        parts.append(f"{row['duration']:.0f} s")
    if row["status"] == "planned":
        bads = ", ".join(row["bads"]) or "none"
        parts += [f"bad: {bads}", f"{row['n_spans']} spans", f"about {row['estimate']:.0f} s"]
    elif "channels" in row and row["status"] != "failed":
        parts.append(f"{len(row['channels'])} channels restored")
    if row.get("expected_r") is not None:
        parts.append(f"expected r {row['expected_r']:.2f}")
    if row.get("why"):
        parts.append(row["why"])
    return "; ".join(parts)


def _format_time(seconds):
    """Return a time in a unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
