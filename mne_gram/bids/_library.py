# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The prior that a run restores with: where it is, and what of it a recording may use."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pooch import file_hash

from .._counts import count
from ..covariance import PRIOR_FILE, load_prior

_MOST_TEXT = 200  # characters of a name in a prior
_OF_PROCESSING = ("desc", "proc", "rec", "split")  # entities of the same recording


@dataclass(frozen=True)
class Library:
    """The prior of a run, loaded where it is needed.

    ``kind`` is ``"bundled"``, ``"dataset"`` or ``"file"``; the cohort is what was added to the
    bundled library, and ``note`` says why the prior was chosen.
    """

    kind: str
    path: Path
    sha256: str
    n_subjects: int = 0  # of the cohort
    n_recordings: int = 0
    note: str = ""

    def load(self):
        """Return the Prior, which is read once per process, if the file is still the same."""
        if file_hash(self.path) != self.sha256:
            raise RuntimeError(
                f"{self.path} was replaced during the run. Repeat the run: it then uses the new "
                "prior."
            )
        return load_prior(self.path)

    def describe(self):
        """Return what reports and sidecars say of it, for JSON."""
        return dict(
            kind=self.kind,
            file=self._name if self.kind in ("dataset", "file") else None,
            sha256=self.sha256,
            n_subjects=self.n_subjects,
            n_recordings=self.n_recordings,
            text=self.text,
        )

    @property
    def _name(self):
        """The name of the file, in which any character of a path is printable."""
        return "".join(c if c.isprintable() else "?" for c in self.path.name)

    @property
    def text(self):
        """One line without a full stop."""
        if self.kind == "bundled":
            return "the bundled library"
        cohort = format_cohort(self.n_recordings, self.n_subjects)
        known = dict(dataset="the library of this data set", object="a prior given as an object")
        return f"{known.get(self.kind, f'the library of {self._name}')}, with {cohort}"


def format_cohort(n_recordings, n_subjects):
    """Return the size of a cohort as text."""
    return f"{count(n_recordings, 'recording')} of {count(n_subjects, 'subject')}"


def get_bundled(note=""):
    """Return the bundled Library."""
    return Library("bundled", PRIOR_FILE, file_hash(PRIOR_FILE), note=note)


def open_library(kind, path):
    """Return the Library in a file; ValueError or OSError if it is not one."""
    checksum = file_hash(path)
    prior = load_prior(path)
    cohort = _get_cohort(prior)
    subjects = {prior.recordings[k].source[:2] for k in cohort}
    return Library(kind, path, checksum, len(subjects), len(cohort))


def _get_cohort(prior):
    """Return the indices of the recordings that were added to the base of a prior."""
    n_cohort = prior.n_cohort or (0 if prior.base is not None else len(prior.recordings))
    return range(len(prior.recordings) - n_cohort, len(prior.recordings))


def name_recording(recording):
    """Return the source of a recording in a prior: data set, subject and file."""
    names = (recording.root.resolve().name, f"sub-{recording.entities['sub']}", recording.path.name)
    return tuple(name[:_MOST_TEXT] for name in names)


def load_for(library, recording):
    """Return the prior to restore a recording with, and the files in it that are left out.

    Left out are the recording itself, and epochs that were cut from it: its hidden channels would
    be known from them, and its bad channels would not.
    """
    prior = library.load()
    dropped = [k for k in _get_cohort(prior) if _is_same(recording, prior.recordings[k].source)]
    files = [prior.recordings[k].source[2] for k in dropped]
    return _drop(prior, dropped) if dropped else prior, files


def _is_same(recording, source):
    """Return whether a source in a prior is a recording, perhaps processed in another way."""
    own = name_recording(recording)
    if source == own or source[:2] != own[:2]:
        return source == own
    other = replace(recording, path=Path(source[2]))
    own, other = (
        {key: value for key, value in r.entities.items() if key not in _OF_PROCESSING}
        for r in (recording, other)
    )
    return own == other


def _drop(prior, dropped):
    """Return a prior without some recordings of its cohort in the library."""
    kept = np.delete(np.arange(len(prior.recordings)), dropped)
    return replace(
        prior,
        weights=prior.weights[kept],
        recordings=tuple(prior.recordings[k] for k in kept),
        n_cohort=max(prior.n_cohort - len(dropped), 0),
    )
