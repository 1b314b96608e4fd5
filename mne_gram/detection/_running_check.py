# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Follow which channels are bad while data arrive."""

import numpy as np

from ..covariance import WINDOW
from ._check import judge

HOP_SECONDS = 0.25  # from one window of a second to the next
RECOVERY_SECONDS = 2.0  # without a bad window, until a channel counts as good again
_STILL_BAD = 0.7  # of the threshold: a bad channel has to fit the others better than a good one
_SUCCESSIVE = 3  # windows in which a misfit has to be found; chosen on training subjects
_MOST = 0.5  # of a window that may be missing, and of the channels that are bad one by one


class RunningCheck:
    """Finds channels that go bad in data that arrive chunk by chunk, and that are good again.

    ``check`` is a Check, of whose channels those in ``present (n_channels,)`` arrive.
    """

    def __init__(self, check, present, sfreq, line_freq):
        self._check, self._present = check, present
        self._sfreq, self._line_freq = sfreq, line_freq
        n_channels, length = len(present), max(2, round(WINDOW * sfreq))
        self._hop = max(1, round(HOP_SECONDS * sfreq))
        self._recovery = round(RECOVERY_SECONDS / HOP_SECONDS)
        self._window = np.zeros((n_channels, length))
        self._missing, self._marked = np.zeros((2, n_channels, length), bool)
        # Which channels are bad at present, and whether most were bad in the latest window.
        self.found, self.disturbed = np.zeros(n_channels, bool), False
        self._noisy, self._quiet = np.zeros((2, n_channels), int)  # successive bad and good windows
        self._n_read = 0

    def restart(self):
        """Start with an empty window, as after a gap in time; bad channels stay bad."""
        self._n_read = 0
        self._noisy[:] = 0

    @property
    def until_next(self):
        """The number of samples that are missing until the next window is complete."""
        return self._window.shape[1] - self._n_read

    def add(self, data, missing, marked):
        """Add samples (n_channels, n_times), at most ``until_next``.

        Those that are ``missing``, or that the user has ``marked`` as bad, contain estimates.
        Returns a list of (channel, reason) for channels that are bad from here on, and of (channel,
        None) for those that are good again.
        """
        new = slice(self._n_read, self._n_read + data.shape[1])
        self._window[:, new], self._missing[:, new], self._marked[:, new] = data, missing, marked
        self._n_read = new.stop
        if self.until_next:
            return []
        changes = self._judge()
        for kept in (self._window, self._missing, self._marked):
            kept[:, : -self._hop] = kept[:, self._hop :].copy()
        self._n_read -= self._hop
        return changes

    def _judge(self):
        """Judge the complete window, and return the changes."""
        ignored = (self._marked.mean(axis=1) > _MOST) | ~self._present
        gone = (self._missing.mean(axis=1) > _MOST) & ~ignored
        window, good = self._window.copy(), ~(gone | ignored)
        reasons, scores = judge(self._check, window, good, self._sfreq, self._line_freq)
        reasons["nan"] |= gone
        bad = np.any(list(reasons.values()), axis=0)
        self.disturbed = bool(bad.sum() > _MOST * (~ignored).sum())
        if self.disturbed:
            self._quiet[:] = 0
            return []
        at_once = np.any([where for why, where in reasons.items() if why != "misfit"], axis=0)
        self._noisy = np.where(bad, self._noisy + 1, 0)
        starts = (at_once | (self._noisy >= _SUCCESSIVE)) & ~self.found
        self._quiet = np.where(~bad & (scores < _STILL_BAD), self._quiet + 1, 0)
        ends = self.found & (self._quiet >= self._recovery)
        self.found = (self.found | starts) & ~ends
        changes = [(k, _first(reasons, k)) for k in np.flatnonzero(starts).tolist()]
        return changes + [(k, None) for k in np.flatnonzero(ends).tolist()]


def _first(reasons, channel):
    """Return the first reason that applies to a channel."""
    return next(why for why, where in reasons.items() if where[channel])
