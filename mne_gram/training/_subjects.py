# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which subjects train and which are held out, and their recordings on disk."""

from .._files import list_recordings

__all__ = ["list_recordings", "split_subjects"]


def split_subjects(subjects, every=4):
    """Hold out every n-th subject in sorted order.

    Parameters
    ----------
    subjects : iterable of str
        The subjects of one data set.
    every : int
        With 4, the 4th, 8th, ... are held out.

    Returns
    -------
    train, test : list of str
        Sorted and disjoint.
    """
    subjects = sorted(set(subjects))
    test = subjects[every - 1 :: every]
    return [subject for subject in subjects if subject not in test], test
