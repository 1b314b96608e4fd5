# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which subjects train and which are held out, and their recordings on disk."""

from pathlib import Path


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


def list_recordings(root):
    """List the EEG recordings of a BIDS data set.

    Parameters
    ----------
    root : path-like
        The data set.

    Returns
    -------
    recordings : list of mne_bids.BIDSPath
        Sorted by subject and file.

    Raises
    ------
    ValueError
        If the folder is no BIDS data set, or has no EEG in it.
    """
    from mne_bids import find_matching_paths

    root = Path(root)
    if not (root / "dataset_description.json").is_file():
        raise ValueError(
            f"{root} is not a BIDS data set: it has no dataset_description.json. Give the folder "
            "that holds that file and the sub-* folders."
        )
    paths = find_matching_paths(
        root,
        suffixes="eeg",
        datatypes="eeg",
        extensions=[".edf", ".vhdr", ".set", ".bdf", ".fif"],
        ignore_nosub=True,
    )
    if not paths:
        raise ValueError(f"Found no EEG recording in {root}; expected sub-*/[ses-*/]eeg/*_eeg.*.")
    return sorted(paths, key=lambda path: (path.subject, path.basename))
