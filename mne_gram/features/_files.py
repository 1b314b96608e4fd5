# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files of embeddings and base classes: arrays and JSON in ``.npz``, without pickles."""

import json
import re
from pathlib import Path

import numpy as np
from mne.utils import _validate_type

from .._files import staged
from .._formats import Member, parse_json, read_npz
from ._checks import KINDS, check_content, is_count, require

_VERSION = 1
_MOST_UNPACKED = 2**26  # bytes of a file that somebody compressed; our own files are not
_EXPECTED = dict(
    header=Member("U", 0),
    data=Member("biuf", (2, 3, 4), optional=True),
    onsets=Member("biuf", 1, optional=True),
    durations=Member("biuf", 1, optional=True),
    good=Member("biuf", 1, optional=True),
    events=Member("iu", 2, (None, 3), optional=True),
)
_EXPECTED["metadata_*"] = Member("biufmMU", (0, 1), optional=True)
_PLAIN = str | int | float | bool | None
# Types of columns that are written as JSON.
_DTYPES = r"object|str|string|category|boolean|(U?Int|Float)\d{1,2}|\w+\[\w+\]"


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
    try:
        size = fname.stat().st_size if fname.exists() else 0
        arrays = read_npz(fname, _EXPECTED, max_bytes=max(size, _MOST_UNPACKED))
        content = parse_json(str(arrays.pop("header")))
        found, version = content["kind"], content["version"]
        require(found in KINDS and is_count(version), "its kind or version is unknown")
    except FileNotFoundError:
        raise
    except Exception as exc:
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
    try:
        columns = {name: arrays.pop(name) for name in list(arrays) if name.startswith("metadata_")}
        check_content(kind, arrays, content)
        fields = {**arrays, **content["fields"]}
        if content["metadata"] is not None:
            fields["metadata"] = _unpack_table(content["metadata"], columns, len(arrays["data"]))
        return fields
    except Exception as exc:  # pandas raises anything
        raise RuntimeError(f"{fname} is damaged: {exc}. Write it again.") from exc


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


def _unpack_table(described, columns, n_rows):
    """Return the table that `_pack_table` converted."""
    import pandas as pd

    known = isinstance(described, list) and len(described) > 0
    known = known and columns.keys() == {f"metadata_{k}" for k in range(len(described))}
    require(known, "its metadata are incomplete")
    series = []
    for k, (name, dtype) in enumerate(described):
        values = columns[f"metadata_{k}"]
        if values.ndim == 0:
            values = parse_json(str(values))
            require(isinstance(values, list), f"column {k} of its metadata is not a list")
            plain = all(isinstance(value, _PLAIN) for value in values)
            require(plain, f"column {k} of its metadata is nested")
            # The type comes from the file: one of a fixed length could need any memory.
            require(re.fullmatch(_DTYPES, dtype), f"the type of column {k} of its metadata is odd")
            values = pd.Series(values, dtype=object).astype(dtype)
        require(len(values) == n_rows, f"column {k} of its metadata has not one row per window")
        series.append(pd.Series(values, name=tuple(name) if isinstance(name, list) else name))
    table = pd.concat(series[1:], axis=1) if len(series) > 1 else pd.DataFrame(index=series[0])
    return table.set_axis(pd.Index(series[0], name=series[0].name), axis=0)
