# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings are left out of the cohort that restores their own bad channels."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from ._estimate import normalise_covariance
from ._prior import RecordingCovariance

# Relative distance of two covariances: halves of one recording differ by 0.05 to 0.2, recordings of
# different subjects by 0.3 or more (median over bands, training subjects of the shared recordings).
_NEAR = 0.25
_MIN_SHARED = 4  # electrodes, to compare by


def leave_out_own(prior, places, moments, *, always=False):
    """Leave the recording itself out of a prior's cohort, where it lacks a channel; a Prior.

    It fits the good channels perfectly and would be chosen, but what it has of a bad channel is the
    population's. Other recordings of the subject in which all channels are good are kept, unless
    ``always``: then all that resemble this one are left out. ``places`` and ``moments`` are the
    recording's.
    """
    if not prior.n_cohort or not moments:
        return prior
    electrodes = np.where(
        (places.rows == 1).any(axis=1) & (np.abs(places.rows).sum(axis=1) == 1),
        places.rows.argmax(axis=1),
        -1,
    )
    clean = np.unique(np.concatenate([m.good for m in moments]))
    never = np.delete(electrodes, clean)
    never = never[never >= 0]
    fullest = max(moments, key=lambda m: len(m.good) * m.n_windows)
    found = electrodes[fullest.good]
    found = RecordingCovariance((), found[found >= 0], fullest.cov[:, found >= 0][:, :, found >= 0])
    first = len(prior.recordings) - prior.n_cohort
    keep = np.ones(len(prior.recordings), bool)
    for k, recording in enumerate(prior.recordings[first:], first):
        lacks = always or not np.isin(never, recording.channels).all()
        keep[k] = not (lacks and _measure_distance(found, recording) < _NEAR)
    return prior if keep.all() else select_recordings(prior, keep)


def select_recordings(prior, keep):
    """Return a prior with some recordings of its library: ``keep`` is True for all of the base."""
    return _select_cached(prior, tuple(np.flatnonzero(keep).tolist()))


@lru_cache(maxsize=1)  # evidence is gathered with the same selection a dozen times
def _select_cached(prior, kept):
    """Return a prior with the recordings of some numbers."""
    index = list(kept)
    return replace(
        prior,
        weights=prior.weights[index],
        recordings=tuple(prior.recordings[k] for k in kept),
        n_cohort=prior.n_cohort - (len(prior.recordings) - len(kept)),
    )


def _measure_distance(one, other):
    """Return the relative distance of two recordings at the electrodes that both have."""
    shared, rows, cols = np.intersect1d(one.channels, other.channels, return_indices=True)
    if len(shared) < _MIN_SHARED:
        return np.inf
    a, b = one.cov[:, rows][:, :, rows], other.cov[:, cols][:, :, cols].astype(float)
    present = np.trace(a, axis1=1, axis2=2) > 0
    a, b = normalise_covariance(a[present]), normalise_covariance(b[present])
    return np.median(np.linalg.norm(a - b, axis=(1, 2)) / np.linalg.norm(b, axis=(1, 2)))
