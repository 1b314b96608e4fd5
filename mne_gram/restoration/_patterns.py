# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What depends on which channels are good and which are bad, computed once for each pattern."""

_MOST = 64  # patterns that are kept: neighbours in time repeat, distant ones seldom do


class Patterns:
    """A function of patterns that keeps its results; subclasses define ``compute(good, bad)``."""

    def __init__(self):
        self._kept = {}

    def __getstate__(self):
        """Return what is pickled: the results can be computed again."""
        return vars(self) | dict(_kept={})

    def __call__(self, good, bad):
        """Return what `compute` returns for good and bad channels, arrays of indices."""
        key = (good.tobytes(), bad.tobytes())
        if key not in self._kept:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[key] = self.compute(good, bad)
        return self._kept[key]
