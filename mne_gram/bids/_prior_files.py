# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The prior of a data set in its folder: ``prior.npz``, described in ``prior.json``.

The sidecar announces the file before it is put in its place, so that a run that was killed in
between is completed by the next one. Neither is trusted when it is read.
"""

import json
import os
import re
from collections import Counter

from pooch import file_hash

from .. import __version__
from .._formats import read_json_object, remove_tree
from ..covariance import PRIOR_FILE
from ._journal import PRIVATE, get_temporary, write_text
from ._library import get_bundled, open_library

PRIOR_NAME, SIDECAR = "prior.npz", "prior.json"
_LARGEST = 2**26  # bytes of a sidecar
_SHA256 = re.compile(r"[0-9a-f]{64}")


def put_in_place(path, target):
    """Move a file to its place atomically."""
    os.replace(path, target)


def save_temporary(prior, folder, name):
    """Save a prior where `get_temporary` has it; what an interrupted run left is removed."""
    staged = get_temporary(folder, name)
    scratch = staged.with_name("prior")  # inside it, saving has a folder of a random name
    remove_tree(scratch)
    scratch.mkdir()
    prior.save(scratch / name)
    os.replace(scratch / name, staged)
    scratch.rmdir()
    return staged


def describe_prior(settings, excluded):
    """Return the part of the sidecar that does not depend on the prior."""
    return dict(
        Description="How electrodes covary in the recordings of this data set and in the library "
        "that is bundled with mne_gram. Recordings of the data set are restored with it. Bad "
        "channels and segments are not in it. mne_gram.read_prior reads it.",
        Version=__version__,
        Parameters=dict(
            find_bads=settings.find_bads,
            line_freq=settings.line_freq,
        ),
        Base=dict(Name="bundled", SHA256=file_hash(PRIOR_FILE)),
        Excluded=excluded,
    )


def store_prior(settings, prior, facts):
    """Write a prior and its sidecar; the lock is held."""
    folder = settings.folder
    if (folder / PRIOR_NAME).exists() and not (folder / SIDECAR).exists():
        _refuse_foreign(folder, settings.overwrite)
    staged = save_temporary(prior, folder, PRIOR_NAME)
    with staged.open("rb+") as file:
        os.fsync(file.fileno())
    cohort = [r.source for r in prior.recordings[len(prior.recordings) - prior.n_cohort :]]
    counts = Counter(subject for _, subject, _ in cohort)
    about = dict(
        facts,
        SHA256=file_hash(staged),
        Subjects=counts,
        Recordings=[name for *_, name in cohort],
    )
    _write_sidecar(folder, about)
    put_in_place(staged, folder / PRIOR_NAME)


def note_bundled(settings, facts, note, refit):
    """Write down that the bundled library has to do; return it."""
    if refit and (settings.folder / PRIOR_NAME).exists():
        raise ValueError(f"No new prior was made, and the old one is kept: {note}.")
    _write_sidecar(settings.folder, dict(facts, SHA256=None, Subjects={}, Recordings=[]))
    return get_bundled(note)


def _write_sidecar(folder, about):
    write_text(folder, SIDECAR, json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def read_stored(folder, overwrite=False, *, finish=False):
    """Return the Library that was stored in a folder, None if there is none.

    It is the bundled one if an earlier run found too few usable recordings. ``finish`` completes
    what an interrupted run began, for which the lock has to be held.
    """
    path, sidecar = folder / PRIOR_NAME, folder / SIDECAR
    if not sidecar.exists():
        if path.exists():
            _refuse_foreign(folder, overwrite)
        return None
    about = read_sidecar(folder)
    checksum = about["SHA256"]
    if checksum is None and not path.exists():
        reasons = "too few subjects have usable recordings"
        return get_bundled(reasons)
    if path.exists() and file_hash(path) == checksum:
        return open_library("dataset", path)
    staged = folder / PRIVATE / "staging" / f"new.{PRIOR_NAME}"
    if staged.is_file() and file_hash(staged) == checksum:
        if not finish:
            return None
        put_in_place(staged, path)
        return open_library("dataset", path)
    if not path.exists():  # it was removed
        return None
    raise ValueError(
        f"{path} is damaged or was replaced: its sha256 is not that in {SIDECAR}. Make a new one "
        "with refit_prior=True (--refit-prior); a prior that was not made by run_bids can be "
        "given as a file elsewhere."
    )


def read_sidecar(folder):
    """Return the sidecar of the stored prior; ValueError if it is not one."""
    path = folder / SIDECAR
    try:
        about = read_json_object(path, max_bytes=_LARGEST)
        checksum = about["SHA256"]
        is_valid = checksum is None or bool(_SHA256.fullmatch(checksum))
        names = [*about["Subjects"], *about["Recordings"], *about["Excluded"]]
        is_valid = is_valid and all(isinstance(name, str) for name in names)
        is_valid = is_valid and isinstance(about["Parameters"]["find_bads"], bool)
    except (ValueError, KeyError, TypeError):
        is_valid = False
    if not is_valid:
        raise ValueError(
            f"{path} does not describe a prior. Make a new one with refit_prior=True "
            "(--refit-prior)."
        )
    return about


def _refuse_foreign(folder, overwrite):
    """Raise unless a prior without sidecar may be replaced."""
    if not overwrite:
        raise FileExistsError(
            f"{folder / PRIOR_NAME} already exists, and was not written by an earlier run. Move "
            "it, or allow overwriting."
        )
