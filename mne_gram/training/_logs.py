# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a run says about itself: a table that anything can read, and events for TensorBoard."""

import csv
import importlib.util
import io
import os
from pathlib import Path

from mne.utils import _check_option, logger, warn

COLUMNS = ("step", "split", "subject", "name", "value")
SPLITS = ("train", "validation")
_FILE, _EVENTS = "log.csv", "tensorboard"


class Log:
    """The log of a run, kept as ``log.csv`` and as events for TensorBoard.

    Parameters
    ----------
    folder : path-like
        Folder of the run; made where it does not exist. The table is ``log.csv``, the events are
        in ``tensorboard/``. Without the package ``tensorboard`` there is the table only.
    resume_step : int | None
        The last step that counts: what an interrupted run logged after it is dropped. None
        starts a new log; a table that is there already is kept as ``log.csv.old``.

    Notes
    -----
    The table has one value a row, so that a run can log any set of names at any step. Every call
    of `write` adds its rows at once, so a killed run leaves all it had logged.
    """

    def __init__(self, folder, *, resume_step=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / _FILE
        if resume_step is None and self.path.exists():
            old = self.path.with_name(_FILE + ".old")
            os.replace(self.path, old)
            logger.info(f"A new log is started; the one that was there is kept as {old}.")
        rows = []
        if self.path.exists():
            rows = [row for row in _read_rows(self.path) if row[0] <= resume_step]
        self._rewrite(rows)
        self._writer = _open_writer(
            self.folder / _EVENTS, 0 if resume_step is None else resume_step + 1
        )

    def write(self, step, split, values, subject=""):
        """Add values to the log.

        Parameters
        ----------
        step : int
            Number of the step.
        split : str
            ``"train"`` or ``"validation"``.
        values : dict of str to float
            The values by name; tensors of one number are taken too.
        subject : str
            The subject whose data the values are of; empty where they are of all.

        Raises
        ------
        OSError
            If the log cannot be written, on a full disk for example.
        """
        _check_option("split", split, SPLITS)
        step, values = int(step), {name: float(value) for name, value in values.items()}
        rows = [(step, split, subject, name, value) for name, value in values.items()]
        try:
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                file.write(_format(rows))
            if self._writer is not None:
                for name, value in values.items():
                    tag = "/".join(part for part in (name, split, subject) if part)
                    self._writer.add_scalar(tag, value, step)
        except OSError as exc:
            raise OSError(
                exc.errno,
                f"The log cannot be written ({exc.strerror or exc}). What was logged before is "
                "kept. Make room on the disk and resume the run",
                str(self.path),
            ) from exc

    def close(self):
        """Write what is pending. Closing twice does no harm."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def _rewrite(self, rows):
        """Replace the table, which is whole at any time."""
        part = self.path.with_name(_FILE + ".part")
        with open(part, "w", newline="", encoding="utf-8") as file:
            file.write(_format([COLUMNS, *rows]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)


def read_log(folder):
    """Read the log of a run.

    Parameters
    ----------
    folder : path-like
        Folder of the run, or the table itself.

    Returns
    -------
    log : pandas.DataFrame
        Columns ``step`` (int), ``split`` (``"train"`` or ``"validation"``), ``subject`` (empty
        where the value is of all data), ``name`` and ``value`` (float), in the order in which
        they were logged. A last line that was cut when a run was killed is left out.

    Raises
    ------
    FileNotFoundError
        If there is no log.
    ValueError
        If the file is not a log.
    """
    import pandas as pd

    path = Path(folder)
    path = path / _FILE if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(
            f"There is no log at {path}: give the folder of a run (the one that holds {_FILE})."
        )
    frame = pd.DataFrame(_read_rows(path), columns=list(COLUMNS))
    return frame.astype({"step": "int64", "value": "float64"})


def _format(rows):
    """Return rows as text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _read_rows(path):
    """Return the rows of a table without the header, steps as int and values as float."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    # Each row was written with the end of its line, so what follows the last end was cut.
    text = text[: text.rfind("\n") + 1]
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, None)
    if header is not None and tuple(header) != COLUMNS:
        raise ValueError(
            f"{path} is not a log: its first line is {','.join(header)!r}, expected "
            f"{','.join(COLUMNS)!r}."
        )
    rows, broken = [], []
    for fields in lines:
        try:
            step, split, subject, name, value = fields
            rows.append((int(step), split, subject, name, float(value)))
        except ValueError:
            broken.append(lines.line_num)
    if broken:
        warn(f"Line(s) {broken[:10]} of {path} hold no row of a log and are left out.")
    return rows


def _open_writer(folder, purge_step):
    """Return a writer of events that hides those of the steps from ``purge_step`` on, or None."""
    if importlib.util.find_spec("tensorboard") is None:
        logger.info(
            f"The curves go to {_FILE} only. To see them in TensorBoard as well: "
            "pip install tensorboard."
        )
        return None
    from torch.utils.tensorboard import SummaryWriter

    # A mark that hides steps is of use only where there are some.
    purge_step = purge_step if folder.exists() else None
    return SummaryWriter(str(folder), purge_step=purge_step, flush_secs=30)
