# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The sidecars that apply to a recording of a BIDS data set, by the inheritance principle."""

import warnings

from .._formats import read_json_object
from ._find import parse_entities


def find_sidecars(recording, suffix, extension):
    """List the sidecars that apply to a recording, by the inheritance principle.

    ``suffix`` and ``extension`` are such as ``"channels"`` and ``".tsv"``. The most general sidecar
    comes first.
    """
    folders = [recording.root / parent for parent in reversed(recording.path.parents)]
    found = []
    for folder in folders:
        here = []
        for path in folder.glob(f"*{suffix}{extension}"):
            name = path.name.removesuffix(extension)
            own = parse_entities(name)
            own.pop("space", None)  # an entity of electrodes, not of recordings
            if name.split("_")[-1] == suffix and own.items() <= recording.entities.items():
                here.append((len(own), path.name, path))
        found += [path for *_, path in sorted(here)]
    return found


def read_json(recording, suffix):
    """Return the content of the JSON sidecars of a recording, merged by inheritance."""
    content = {}
    for path in find_sidecars(recording, suffix, ".json"):
        content.update(read_json_object(path))
    return content


def read_table(recording, suffix):
    """Return a TSV sidecar of a recording as a DataFrame of text, None if there is none."""
    paths = find_sidecars(recording, suffix, ".tsv")
    return read_tsv(paths[-1]) if paths else None


def read_tsv(path):
    """Return a TSV file as a DataFrame of text, without the blanks around cells.

    Raises ValueError if it is not a table.
    """
    import pandas as pd

    options = dict(sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    with warnings.catch_warnings():
        # A tab at the end of each row begins another, empty column.
        warnings.filterwarnings("ignore", "Length of header", pd.errors.ParserWarning)
        try:
            table = pd.read_csv(path, index_col=False, **options)
        except ValueError as exc:  # parser errors are ValueErrors
            raise ValueError(f"{path} is not a table ({exc}). Correct it.") from None
    table.columns = table.columns.str.strip()
    return table.apply(lambda column: column.str.strip())


def to_numbers(table, name, where):
    """Return a column as numbers, NaN where there is none; ``where`` is the table, for errors."""
    if name not in table:
        raise ValueError(f"{where} has no column {name!r}. Correct it.")
    try:
        return table[name].replace({"n/a": "nan", "": "nan"}).to_numpy(float)
    except ValueError as exc:
        raise ValueError(f"{where}, column {name!r}: {exc}. Correct it.") from None


def get_object(content, key, where):
    """Return an object in the content of a JSON file, empty if it is missing."""
    found = content.get(key, {})
    if not isinstance(found, dict):
        raise ValueError(f"{key!r} in {where} is not a JSON object. Correct it.")
    return found


def quote(names):
    """Return names on one line; characters that cannot be seen are shown."""
    plain = [name.isprintable() and name == name.strip() for name in names]
    return ", ".join(n if ok else ascii(n) for n, ok in zip(names, plain, strict=True))
