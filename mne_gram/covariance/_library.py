# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A library of recordings, completed to all electrodes by a population.

What a recording adds to the population's covariance is of low rank: ``gain.T @ update @ gain``. The
gain depends on which electrodes were measured, so recordings of the same electrodes share it.
"""

from typing import NamedTuple

import numpy as np

from ..montage import ELECTRODES
from ._bands import N_BANDS
from ._conditional import contrast_basis, find_gain, trace


class _Group(NamedTuple):
    """Recordings of the same electrodes, and what each adds to the population."""

    numbers: np.ndarray  # (n_recordings,), in the library
    gain: np.ndarray  # (n_bands, q, 114)
    updates: np.ndarray  # (n_recordings, n_bands, q, q)


class Library:
    """Covariances of recordings (RecordingCovariances), completed to all electrodes.

    They are scaled as the population's ``(n_bands, 114, 114)`` is at their electrodes, whose share
    ``shrinkage`` in what was measured makes rank-deficient data regular.
    """

    def __init__(self, recordings, population, shrinkage=0.1):
        self.population, self._n_recordings = population, len(recordings)
        sets = {}
        for number, recording in enumerate(recordings):
            sets.setdefault(tuple(recording.channels.tolist()), []).append(number)
        self._groups = []
        for channels, numbers in sets.items():
            inner = contrast_basis(np.ones(len(channels)))
            basis = np.zeros((len(inner), len(ELECTRODES)))
            basis[:, channels] = inner
            gain, expected = find_gain(population, basis)
            seen = inner @ np.array([recordings[k].cov for k in numbers]) @ inner.T
            seen *= (trace(expected) / trace(seen))[..., None, None]
            updates = (1 - shrinkage) * (seen - expected)
            self._groups.append(_Group(np.array(numbers), gain, updates))

    def project(self, onto, numbers):
        """Return covariances of contrasts ``onto (m, 114)``, shape (n_numbers, n_bands, m, m).

        ``numbers``, in ascending order, are the recordings that are wanted.
        """
        found = np.empty((len(numbers), N_BANDS, len(onto), len(onto)), np.float32)
        base = onto @ self.population @ onto.T
        for group in self._groups:
            kept = np.isin(group.numbers, numbers)
            if kept.any():
                seen = group.gain @ onto.T
                own = np.swapaxes(seen, -1, -2) @ group.updates[kept] @ seen
                found[np.searchsorted(numbers, group.numbers[kept])] = base + own
        return found

    def add_up(self, weights):
        """Add the recordings up with weights (n_bands, n_recordings); (n_bands, 114, 114)."""
        total = weights.sum(axis=1)[:, None, None] * self.population
        for group in self._groups:
            own = weights[:, group.numbers]
            used = own.any(axis=0)
            if used.any():
                updates = np.einsum("br,rbij->bij", own[:, used], group.updates[used])
                total += np.swapaxes(group.gain, -1, -2) @ updates @ group.gain
        return total

    def complete(self):
        """Return all of them, shape (n_recordings, n_bands, 114, 114), in single precision."""
        return self.project(np.eye(len(ELECTRODES)), np.arange(self._n_recordings))
