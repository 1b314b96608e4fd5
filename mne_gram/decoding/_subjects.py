# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The subject of each trial, from the metadata of epochs or from groups."""

import mne
import numpy as np


def read_subjects(x, column, groups=None):
    """Return the subject of each trial, shape (n_trials,): a column of the metadata, or groups."""
    values, where = _read_column(x, column), f"the metadata column {column!r}"
    if values is None and groups is not None:
        values, where = read_groups(groups, len(x)).tolist(), "groups"
    if values is None:
        _raise_unknown(x, column)
    n_missing = sum(map(_is_missing, values))
    if n_missing:
        raise ValueError(
            f"{n_missing} values of {where} are missing. Fill them in, or drop these epochs."
        )
    return np.array(values)


def find_subjects(x):
    """Return the metadata column "subject", shape (n_trials,), or None if it is incomplete."""
    values = _read_column(x, "subject")
    return None if values is None or any(map(_is_missing, values)) else np.array(values)


def read_groups(groups, n_trials):
    """Return groups as an array, shape (n_trials,)."""
    groups = np.asarray(groups)
    if groups.shape != (n_trials,):
        raise ValueError(
            f"groups must have one value for each of the {n_trials} epochs, got shape "
            f"{groups.shape}."
        )
    return groups


def _read_column(x, column):
    """Return a column of the epochs' metadata as a list, or None where it is not in all epochs."""
    insts = [x] if isinstance(x, mne.BaseEpochs) else x
    if not all(isinstance(inst, mne.BaseEpochs) for inst in insts):
        return None
    if not all(column in _list_columns(inst.metadata) for inst in insts):
        return None
    return [value for inst in insts for value in _get_column(inst.metadata, column)]


def _list_columns(metadata):
    """Return the columns of metadata: a DataFrame, without pandas a list of dict, or None."""
    if metadata is None or len(metadata) == 0:
        return []
    return list(metadata[0]) if isinstance(metadata, list) else list(metadata.columns)


def _get_column(metadata, column):
    """Return the values of a column of metadata as a list, None where they are missing."""
    if isinstance(metadata, list):
        return [row.get(column) for row in metadata]
    values = metadata[column]
    return values.astype(object).where(values.notna(), None).tolist()


def _is_missing(value):
    return value is None or value != value


def _raise_unknown(x, column):
    """Raise because the subjects of trials are not known."""
    insts = [x] if isinstance(x, mne.BaseEpochs) else x
    if not all(isinstance(inst, mne.BaseEpochs) for inst in insts):
        raise TypeError(
            f"align={column!r} needs the subject of each trial, but X is an array. Pass groups= to "
            "this method. Within pipelines and cross_val_score, metadata routing passes them: "
            "sklearn.set_config(enable_metadata_routing=True) and params=dict(groups=...); but "
            "cross_val_predict and scorers by name do not pass groups to predict. Or pass "
            "mne.EpochsArray(X, info, metadata=...), or set align=None."
        )
    columns = [_list_columns(inst.metadata) for inst in insts]
    found = next(names for names in columns if column not in names)
    raise ValueError(
        f"align={column!r} is not a column of the epochs' metadata (columns: "
        f"{', '.join(map(str, found)) or 'none'}). It identifies the subject of each trial: set "
        "epochs.metadata, pass groups=, or set align=None."
    )
