# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How far a stage is: by its steps, or by the clock."""

import time

import torch

from ._processes import get_n_processes, spread

_N_VALIDATIONS = 4  # of a stage with a time limit
_CHECKPOINT_EVERY = 60.0  # seconds, of a stage with a time limit, but at least four times


def count_setup(device):
    """Return the number of first steps that are no progress, as a GPU prepares its kernels."""
    return 0 if device.type == "cpu" else 3


class Schedule:
    """The progress of a stage, from 0 to 1, and what is due.

    Without ``config.minutes``, it is the share of the steps. With them, it is the share of the
    time, without that of the setup; all processes follow the clock of the first one.
    """

    def __init__(self, config, progress, device):
        self.config, self.device = config, device
        self.limit = None if config.minutes is None else 60.0 * config.minutes
        self._begun = time.monotonic() - progress.get("seconds", 0.0)
        self.setup = progress.get("setup", 0.0)
        self.n_setup = count_setup(device)
        self.fraction = self._measure() if self.limit and progress["step"] >= self.n_setup else 0.0
        self._validated = int(_N_VALIDATIONS * self.fraction)
        self._saved = self.get_seconds()

    def get_seconds(self):
        """Return the seconds of training, those before an interruption included."""
        return time.monotonic() - self._begun

    def get_progress(self, step):
        """Return the progress before a step, counted from 0; it is 1 when the stage is done."""
        return step / self.config.n_steps if self.limit is None else self.fraction

    def get_rate(self, step):
        """Return the learning rate of a step."""
        if self.limit is None:
            return self.config.get_learning_rate(step)
        return self.config.get_rate_at(self.fraction)

    def advance(self, n_done):
        """Read the clock after a step; return whether the stage is done."""
        if self.limit is None:
            return n_done >= self.config.n_steps
        several = get_n_processes() > 1
        # Agreeing on the time takes longer than reading it.
        if several and n_done > self.n_setup and n_done % self.config.log_every:
            return False
        if n_done <= self.n_setup:
            self.setup = self._agree(self.get_seconds())
        else:
            self.fraction = self._agree(self._measure())
        return self.fraction >= 1.0

    def _measure(self):
        """Return the share of the time."""
        left = self.limit - self.setup
        return min((self.get_seconds() - self.setup) / left, 1.0) if left > 0 else 1.0

    def _agree(self, value):
        """Return the value of the first process."""
        if get_n_processes() == 1:
            return value
        return spread(torch.tensor(value, dtype=torch.float64, device=self.device)).item()

    def get_due(self, n_done, is_done):
        """Return what is due after a step: a set of "log", "validation" and "checkpoint"."""
        due = {
            "log": n_done % self.config.log_every == 0,
            "validation": self._needs_validation(n_done),
            "checkpoint": self._needs_checkpoint(n_done),
        }
        return {name for name, is_due in due.items() if is_due or is_done}

    def _needs_validation(self, n_done):
        """Return whether to validate after a step, once for each time that is due."""
        if self.limit is None:
            return n_done % self.config.validate_every == 0
        due = int(_N_VALIDATIONS * self.fraction)
        is_due, self._validated = due > self._validated, max(due, self._validated)
        return is_due

    def _needs_checkpoint(self, n_done):
        """Return whether to write a checkpoint after a step."""
        if self.limit is None:
            return n_done % self.config.checkpoint_every == 0
        every = min(_CHECKPOINT_EVERY, self.limit / 4)
        is_due = self.get_seconds() - self._saved >= every
        if is_due:
            self._saved = self.get_seconds()
        return is_due
