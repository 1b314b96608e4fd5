# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Processes of joblib after the package has used them."""

import os

import joblib

from mne_gram._workers import end_workers


def test_workers_are_not_used_again():
    """Others get fresh processes; without any there is nothing to end."""
    end_workers()
    pids = []
    for end in (False, True, True):
        parallel = joblib.Parallel(2, batch_size=1)
        pids.append(set(parallel(joblib.delayed(os.getpid)() for _ in range(8))))
        if end:
            end_workers()
    assert pids[0] & pids[1]  # joblib keeps them
    assert not pids[1] & pids[2]
