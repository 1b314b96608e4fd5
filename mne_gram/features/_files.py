# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files of embeddings and base classes: arrays and JSON in ``.npz``, without pickles."""

import json
from pathlib import Path

import numpy as np
from mne.utils import _validate_type

from .._files import staged

_VERSION = 1


def write_features(fname, kind, arrays, header, metadata, *, overwrite):
    """Write a file of ``kind`` Embedding or Tokens atomically.

    ``arrays`` and ``header`` are dicts of arrays (or None) and of what JSON can represent,
    ``metadata`` a table of numbers and text or None.
    """
    _validate_type(fname, "path-like", "fname")
    fname = Path(fname)
    if fname.suffix != ".npz":
        raise ValueError(f"The file name must end in .npz, got {fname.name}.")
    arrays = {name: array for name, array in arrays.items() if array is not None}
    content = {"kind": kind, "version": _VERSION, "fields": header, "metadata": None}
    if metadata is not None:
        content["metadata"], columns = _pack_table(metadata)
        arrays |= columns
    with staged(fname, overwrite) as file:
        np.savez(file, header=np.array(json.dumps(content)), **arrays)


def read_features(fname, kind):
    """Return the arrays, header and metadata of a file of one kind, by name."""
    _validate_type(fname, "path-like", "fname")
    fname = Path(fname)
    if not fname.is_file():
        raise FileNotFoundError(f"The file {fname} does not exist.")
    try:
        # A broken file that numpy opens itself would stay open.
        with open(fname, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        content = json.loads(str(arrays.pop("header")))
        found, version = content["kind"], content["version"]
    except Exception as exc:  # any error of numpy, zipfile or json
        raise RuntimeError(
            f"{fname} was not written by Embedding.save or Tokens.save, or is truncated "
            f"({type(exc).__name__}: {exc})."
        ) from exc
    if version > _VERSION:
        raise RuntimeError(
            f"{fname} was written by a newer version of mne_gram (its format is version {version}, "
            f"this mne_gram reads version {_VERSION} or lower). Update mne_gram."
        )
    if found != kind:
        raise RuntimeError(
            f"{fname} contains {found}, expected {kind}. Use mne_gram.read_{found.lower()}."
        )
    columns = {name: arrays.pop(name) for name in list(arrays) if name.startswith("metadata_")}
    fields = {**arrays, **content["fields"]}
    if content["metadata"] is not None:
        fields["metadata"] = _unpack_table(content["metadata"], columns)
    return fields


def _pack_table(table):
    """Return names and types of the columns, the index first, and one array per column."""
    series = [table.index.to_series(), *(table.iloc[:, k] for k in range(table.shape[1]))]
    described = [[column.name, str(column.dtype)] for column in series]
    return described, {f"metadata_{k}": _pack_column(column) for k, column in enumerate(series)}


def _pack_column(column):
    """Return a column as an array of numbers, or as JSON."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufmM":
        return column.to_numpy()
    values = [value.item() if isinstance(value, np.generic) else value for value in column]
    missing = column.isna()
    values = [None if gone else value for value, gone in zip(values, missing, strict=True)]
    try:
        return np.array(json.dumps(values))
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise ValueError(
            f"Column {column.name!r} of the metadata contains objects ({kinds}) that cannot be "
            "written. Convert them to numbers or text first."
        ) from None


def _unpack_table(described, columns):
    """Return the table that `_pack_table` converted."""
    import pandas as pd

    series = []
    for k, (name, dtype) in enumerate(described):
        values = columns[f"metadata_{k}"]
        if values.ndim == 0:
            values = pd.Series(json.loads(str(values)), dtype=object).astype(dtype)
        series.append(pd.Series(values, name=name))
    table = pd.concat(series[1:], axis=1) if len(series) > 1 else pd.DataFrame(index=series[0])
    return table.set_axis(pd.Index(series[0], name=series[0].name), axis=0)
