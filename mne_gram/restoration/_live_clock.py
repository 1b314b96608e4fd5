# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The timestamps of a stream."""

import numpy as np
from mne.utils import logger

_JUMP = 0.1  # seconds beyond the distance of two samples; less is jitter


class Clock:
    """Finds jumps in the timestamps that arrive in chunks, and delays them by samples."""

    def __init__(self, sfreq, n_delay):
        self.sfreq, self.n_delay = sfreq, n_delay
        self._last = self._kept = None

    def find_jumps(self, times):
        """Return the samples of a chunk that follow a jump, and log these."""
        last = times[0] - 1 / self.sfreq if self._last is None else self._last
        steps = np.diff(times, prepend=last) - 1 / self.sfreq
        jumps = np.flatnonzero(np.abs(steps) > _JUMP).tolist()
        for sample in jumps:
            logger.warning("The timestamps of the stream jump by %.2f s.", steps[sample])
        self._last = times[-1]
        return jumps

    def delay(self, times):
        """Return the times of the samples that are delayed to these times."""
        if not self.n_delay:
            return times
        if self._kept is None:
            self._kept = times[0] - np.arange(self.n_delay, 0, -1) / self.sfreq
        times = np.concatenate([self._kept, times])
        self._kept = times[len(times) - self.n_delay :]
        return times[: len(times) - self.n_delay]
