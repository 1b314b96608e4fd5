# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Writing the log of a run: a table, and events for TensorBoard."""

import csv
import importlib.util
import io
import os
from pathlib import Path

from mne.utils import _check_option, logger

from .._files import LOG_COLUMNS, LOG_FILE, read_log, read_log_rows

__all__ = ["Log", "read_log"]

SPLITS = ("train", "validation")
_EVENTS = "tensorboard"


class Log:
    """The log of a run in a folder: ``log.csv``, and ``tensorboard/`` if that is installed.

    Rows after ``resume_step`` are dropped. Rows are written at once, so a killed run keeps its log.
    """

    def __init__(self, folder, *, resume_step=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / LOG_FILE
        if resume_step is None and os.path.lexists(self.path):
            old = self.path.with_name(LOG_FILE + ".old")
            os.replace(self.path, old)
            logger.info(f"A new log is started; the existing one is kept as {old}.")
        rows = []
        if self.path.exists():
            rows = [row for row in read_log_rows(self.path) if row[0] <= resume_step]
        self._rewrite(rows)
        self._writer = _open_writer(
            self.folder / _EVENTS, 0 if resume_step is None else resume_step + 1
        )

    def write(self, step, split, values, subject=""):
        """Log values (a dict of name to number) of a subject, or of all where it is empty."""
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
                f"The log cannot be written ({exc.strerror or exc}). Earlier entries are kept. "
                "Make room on the disk and resume the run",
                str(self.path),
            ) from exc

    def close(self):
        """Write pending events; closing twice is harmless."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def _rewrite(self, rows):
        """Replace the table, which is complete at any time."""
        part = self.path.with_name(LOG_FILE + ".part")
        part.unlink(missing_ok=True)  # of a killed run, or a link
        with open(part, "x", newline="", encoding="utf-8") as file:
            file.write(_format([LOG_COLUMNS, *rows]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)


def _format(rows):
    """Return rows as CSV text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _open_writer(folder, purge_step):
    """Return a writer of events that hides those from ``purge_step`` on, or None."""
    if importlib.util.find_spec("tensorboard") is None:
        logger.info(
            f"The curves are written to {LOG_FILE} only. To view them in TensorBoard as well: "
            "pip install tensorboard."
        )
        return None
    from torch.utils.tensorboard import SummaryWriter

    # Purging is only of use where there are earlier events.
    purge_step = purge_step if folder.exists() else None
    return SummaryWriter(str(folder), purge_step=purge_step, flush_secs=30)
