# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A corpus of preprocessed recordings on disk: one array per recording, and an index."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from pooch import file_hash

from .._counts import count
from .._formats import find_place
from ..preprocessing import SFREQ
from ._entries import find_fault
from ._marking import SECOND
from ._storage import INDEX, read_index

_MAX_MAPS = 256  # open at a time, as each needs a file handle


@dataclass(frozen=True)
class CorpusRecording:
    """One recording of a corpus.

    Attributes
    ----------
    name : str
        ``"<dataset>/<file stem>"``, unique within the corpus.
    dataset, subject : str
        Folder of the data set, and the subject (without ``sub-``).
    ch_names : tuple of str
        Channel names in the source.
    channels : tuple of int
        Their montage indices, all different.
    n_times : int
        Samples at 200 Hz.
    pieces : tuple of tuple of int
        Start and stop, in samples, of continuous pieces of at least one second.
    bad : tuple of tuple of int
        Marked seconds: row, first second, stop second.
    scale : tuple of float
        Value of one step of each stored channel in 0.1 mV, 1 for float32.
    file, sha256 : str
        The array, relative to the folder of the corpus, and its hash.
    n_bytes : int
        Size of that file.
    source, licence : str
        File within its data set, and the licence of the data set.
    notes : tuple of str
        Notes from its preparation.
    """

    name: str
    dataset: str
    subject: str
    ch_names: tuple[str, ...]
    channels: tuple[int, ...]
    n_times: int
    pieces: tuple[tuple[int, int], ...]
    bad: tuple[tuple[int, int, int], ...]
    scale: tuple[float, ...]
    file: str
    sha256: str
    n_bytes: int
    source: str
    licence: str
    notes: tuple[str, ...]

    @property
    def n_tokens(self):
        """The number of unmarked channel-seconds."""
        good = _get_good(self)
        n_seconds = sum((stop - start) // SECOND for start, stop in self.pieces)
        return int(good.sum()) * n_seconds // good.shape[1]


def _get_good(recording):
    """Return which seconds of a recording are unmarked, (n_channels, n_seconds)."""
    good = np.ones((len(recording.channels), -(-recording.n_times // SECOND)), bool)
    for row, start, stop in recording.bad:
        good[row, start:stop] = False
    return good


@dataclass(frozen=True)
class Corpus:
    """Preprocessed recordings in a folder.

    Attributes
    ----------
    folder : Path
        The folder.
    recordings : tuple of CorpusRecording
        Sorted by data set, subject and name.
    failures : tuple of tuple of str
        Source and reason of each recording that could not be prepared.
    """

    folder: Path
    recordings: tuple[CorpusRecording, ...]
    failures: tuple[tuple[str, str], ...] = ()
    _maps: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self):
        """Return the number of recordings."""
        return len(self.recordings)

    def __repr__(self):
        """Return a one-line summary."""
        subjects = {(recording.dataset, recording.subject) for recording in self.recordings}
        return (
            f"<Corpus | {count(len(self), 'recording')} of {count(len(subjects), 'subject')}, "
            f"{self.hours:.2f} h, {self.n_tokens} channel-seconds>"
        )

    def __getstate__(self):
        """Leave out the memory maps, which other processes open themselves."""
        return {**self.__dict__, "_maps": {}}

    @property
    def n_tokens(self):
        """The number of unmarked channel-seconds."""
        return sum(recording.n_tokens for recording in self.recordings)

    @property
    def hours(self):
        """The hours of recording, including marked seconds."""
        return sum(recording.n_times for recording in self.recordings) / SFREQ / 3600

    def good(self, k):
        """Return which seconds of a recording are unmarked.

        Parameters
        ----------
        k : int
            Index of the recording.

        Returns
        -------
        good : array of bool, shape (n_channels, n_seconds)
            False where marked. The last second may be incomplete.
        """
        return _get_good(self.recordings[k])

    def read(self, k, rows, start, stop):
        """Read a segment of a recording.

        Parameters
        ----------
        k : int
            Index of the recording.
        rows : array-like of int
            Channels, as rows of the recording.
        start, stop : int
            Samples at 200 Hz, half-open.

        Returns
        -------
        data : array of float32, shape (n_rows, stop - start)
            In 0.1 mV; a copy.

        Raises
        ------
        RuntimeError
            If the file is missing or has another shape than in the index.
        ValueError
            If samples are outside of the recording.
        """
        recording = self.recordings[k]
        if not 0 <= start <= stop <= recording.n_times:
            raise ValueError(
                f"{recording.name} has samples 0 to {recording.n_times}, requested were {start} to "
                f"{stop}."
            )
        rows = np.asarray(rows, int)
        data = self._open(recording)[:, start:stop][rows].astype(np.float32)
        data *= np.asarray(recording.scale, np.float32)[rows, None]
        return data

    def _open(self, recording):
        """Return the memory map of a recording."""
        if recording.file not in self._maps:
            while len(self._maps) >= _MAX_MAPS:
                del self._maps[next(iter(self._maps))]
            try:
                array = np.lib.format.open_memmap(self.folder / recording.file, mode="r")
            except Exception as exc:  # broken headers raise anything
                raise RuntimeError(_describe_loss(self.folder, recording)) from exc
            shape = (len(recording.channels), recording.n_times)
            if array.shape != shape or array.dtype not in (np.int16, np.float32):
                raise RuntimeError(_describe_loss(self.folder, recording))
            self._maps[recording.file] = array
        return self._maps[recording.file]

    def select(self, keep):
        """Return the corpus with some of its recordings.

        Parameters
        ----------
        keep : callable
            Function that returns whether a :class:`CorpusRecording` is kept.

        Returns
        -------
        corpus : Corpus
            A corpus of the same files.
        """
        return replace(self, recordings=tuple(filter(keep, self.recordings)))


def _describe_loss(folder, recording):
    """Return a message about a file that differs from the index."""
    path = folder / recording.file
    found = "differs from the index" if path.is_file() else "does not exist"
    return (
        f"{path}, of the recording {recording.name}, {found}: it was moved, changed or truncated "
        "after indexing. Copy the whole folder again, or run prepare_corpus again on the same "
        "recordings, which prepares only missing or changed ones."
    )


def read_corpus(folder, *, check=True):
    """Open a corpus.

    Parameters
    ----------
    folder : path-like
        The folder, from :func:`prepare_corpus`.
    check : bool
        Whether to compare each file with its sha256. If False, only its size is checked.

    Returns
    -------
    corpus : Corpus
        The corpus, whose recordings are read when needed.

    Raises
    ------
    RuntimeError
        If the index is damaged, or a file is missing or differs from the index.
    ValueError
        If the folder contains no corpus, or one without recordings.
    """
    folder = Path(folder).resolve()
    index = read_index(folder)
    fault = _find_fault(index)
    if fault:
        raise RuntimeError(
            f"{folder / INDEX} is damaged: {fault}. Delete it and run prepare_corpus again; "
            "finished recordings are kept."
        )
    recordings = tuple(
        CorpusRecording(**{one.name: _freeze(entry[one.name]) for one in fields(CorpusRecording)})
        for entry in index["recordings"]
    )
    failures = tuple(tuple(pair) for pair in index["failures"])
    if not recordings:
        raise ValueError(
            f"The corpus in {folder} is empty. Run prepare_corpus on recordings, and see its "
            "messages about those that could not be prepared."
        )
    for recording in recordings:
        try:
            path = find_place(folder, recording.file)
        except ValueError as exc:
            raise RuntimeError(str(exc)) from None
        same = path.is_file() and path.stat().st_size == recording.n_bytes
        if not same or (check and file_hash(path) != recording.sha256):
            raise RuntimeError(_describe_loss(folder, recording))
    return Corpus(folder, recordings, failures)


def _find_fault(index):
    """Return what is wrong with the index of a corpus, empty if nothing is."""
    entries = index["recordings"]
    for k, entry in enumerate(entries):
        fault = find_fault(entry)
        if fault:
            return f"recording {k} has impossible values ({fault})"
    for key in ("name", "file"):
        if len({entry[key] for entry in entries}) < len(entries):
            return f"more than one recording has the same {key}"
    pairs = all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in index["failures"]
    )
    return "" if pairs else "the list of failures is incomplete"


def _freeze(value):
    """Return tuples for the lists of JSON."""
    return tuple(map(_freeze, value)) if isinstance(value, list) else value
