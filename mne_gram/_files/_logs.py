# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The table that a training run logs, as it is read."""

import csv
import io
from pathlib import Path

from mne.utils import warn

LOG_COLUMNS = ("step", "split", "subject", "name", "value")
LOG_FILE = "log.csv"


def read_log(folder):
    """Read the log of a training run (its folder or ``log.csv``) as a DataFrame.

    ``subject`` is empty where a value is of all subjects. An incomplete last line is left out.
    Raises FileNotFoundError, or ValueError for another file.
    """
    import pandas as pd

    path = Path(folder)
    path = path / LOG_FILE if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(
            f"There is no log at {path}: give the folder of a run, which contains {LOG_FILE}."
        )
    frame = pd.DataFrame(read_log_rows(path), columns=list(LOG_COLUMNS))
    return frame.astype({"step": "int64", "value": "float64"})


def read_log_rows(path):
    """Return the rows of a log without the header, steps as int and values as float."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    # Each row was written with the end of its line, so anything after the last one is incomplete.
    text = text[: text.rfind("\n") + 1]
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, None)
    if header is not None and tuple(header) != LOG_COLUMNS:
        raise ValueError(
            f"{path} is not a log: its first line is {','.join(header)!r}, expected "
            f"{','.join(LOG_COLUMNS)!r}."
        )
    rows, broken = [], []
    while True:
        try:
            fields = next(lines)
            step, split, subject, name, value = fields
            if "\0" in "".join(fields) or not 0 <= int(step) < 2**63:
                raise ValueError
            rows.append((int(step), split, subject, name, float(value)))
        except StopIteration:
            break
        except (ValueError, csv.Error):  # the latter for fields that are too long
            broken.append(lines.line_num)
    if broken:
        warn(f"Left out lines of {path} that are not rows of a log: {broken[:10]}.")
    return rows
