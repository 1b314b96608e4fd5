# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Baselines that are not part of the package: ridge regression and minimum norm."""

import mne
import numpy as np


def repair_ridge(data, mask, info, ridge=1e-3):
    """Regress the bad channels of each pattern on its good ones, fitted to this recording.

    Samples with all channels good are used or, if these are few, those where the channel is good,
    with the mean in place of other bad channels.
    """
    repaired = data.copy()
    filled = _fill_mean(data, mask)
    clean = ~mask.any(axis=0)
    enough = clean.sum() > 2 * len(data)
    patterns, inverse = np.unique(mask, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        bad, good = np.flatnonzero(patterns[:, number]), np.flatnonzero(~patterns[:, number])
        if not len(bad) or len(good) < 2:
            continue
        times = np.flatnonzero(inverse.ravel() == number)
        groups = [bad] if enough else [[channel] for channel in bad]
        for group in groups:
            train = filled[:, clean if enough else ~mask[group[0]]]
            mean = train[good].mean(axis=0)
            x, y = train[good] - mean, train[group] - mean
            gram = x @ x.T
            gram += ridge * np.trace(gram) / len(good) * np.eye(len(good))
            weights = np.linalg.solve(gram, x @ y.T).T
            now = data[np.ix_(good, times)]
            mean = now.mean(axis=0)
            repaired[np.ix_(group, times)] = weights @ (now - mean) + mean
    return repaired


def _fill_mean(data, mask):
    """Replace bad samples by the mean of the good channels."""
    good = ~mask
    mean = np.where(good, data, 0).sum(axis=0) / np.maximum(good.sum(axis=0), 1)
    return np.where(good, data, mean)


def repair_minimum_norm(data, mask, info):
    """Interpolate from the good channels by MNE's minimum-norm field mapping."""
    data = data.copy()
    patterns, inverse = np.unique(mask, axis=1, return_inverse=True)
    info = info.copy()
    for number in range(patterns.shape[1]):
        bad, good = np.flatnonzero(patterns[:, number]), np.flatnonzero(~patterns[:, number])
        if not len(bad) or len(good) < 2:
            continue
        times = np.flatnonzero(inverse.ravel() == number)
        info["bads"] = [info["ch_names"][k] for k in bad]
        impulses = np.zeros((len(data), len(good)))
        impulses[good, np.arange(len(good))] = 1.0
        evoked = mne.EvokedArray(impulses, info)
        evoked.set_eeg_reference(projection=True)
        evoked.interpolate_bads(reset_bads=False, method=dict(eeg="MNE"))
        now = data[np.ix_(good, times)]
        mean = now.mean(axis=0)
        data[np.ix_(bad, times)] = evoked.data[bad] @ (now - mean) + mean
    return data
