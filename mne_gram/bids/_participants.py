# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The table of the people in a derivative data set."""

import json

from .._files import read_tsv
from ._lock import hold
from ._state import PRIVATE, write_text

_ID = "participant_id"


def write_participants(folder, root):
    """Write ``participants.tsv`` and ``.json``: what the source says of the people in the results.

    Parameters
    ----------
    folder : pathlib.Path
        The derivative data set. People are those who have a folder in it, whichever run made it.
    root : pathlib.Path
        The source data set. Of whom it says nothing, there is just the name.

    Raises
    ------
    ValueError
        If the source's table or its description cannot be understood.
    """
    with hold(folder / PRIVATE / "locks" / "participants.lock", wait=60) as lock:
        names = sorted(path.name for path in folder.glob("sub-*") if path.is_dir())
        if lock is None or not names:  # another run has been writing it for a minute
            return
        table = _read_table(root).reindex(names, fill_value="n/a").reset_index()
        about = json.dumps(_describe(root), indent=2, ensure_ascii=False)
        text = table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")
        for name, content in (("participants.json", f"{about}\n"), ("participants.tsv", text)):
            path = folder / name
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                write_text(folder, name, content)


def _read_table(root):
    """Return the source's table, by participant."""
    import pandas as pd

    path = root / "participants.tsv"
    try:
        table = read_tsv(path) if path.is_file() else pd.DataFrame({_ID: []}, dtype=str)
    except ValueError as exc:
        raise ValueError(f"{path} is not a table ({exc}). Correct it.") from None
    if _ID not in table:
        raise ValueError(f"{path} has no column {_ID!r}. Correct it.")
    return table.drop_duplicates(_ID).set_index(_ID)


def _describe(root):
    """Return the source's description of the table, and what the results need besides."""
    path = root / "participants.json"
    try:
        source = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
    except ValueError as exc:
        raise ValueError(f"{path} is not JSON ({exc}). Correct it.") from None
    if not isinstance(source, dict):
        raise ValueError(f"{path} holds no JSON object. Correct it.")
    about = dict(Description="People in the results, as the source data set describes them.")
    if (root / "participants.tsv").is_file():
        about.update(Sources=["bids:raw:participants.tsv"])
    return source | about
