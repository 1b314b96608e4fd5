# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A corpus of preprocessed recordings on disk: one array a recording, and an index."""

import os
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from mne.utils import ProgressBar, _check_option, _validate_type, logger, verbose, warn

from ..preprocessing import SFREQ
from ._marking import SECOND
from ._sources import hash_file, hold_out_subjects, list_sources
from ._storage import INDEX, VERSION, clear_others, prepare_one, read_index, write_index

__all__ = ["Corpus", "Recording", "prepare_corpus", "read_corpus"]

_MAX_MAPS = 256  # open at a time, as each takes one of the process's file handles


@dataclass(frozen=True)
class Recording:
    """One recording of a corpus.

    Attributes
    ----------
    name : str
        ``"<dataset>/<file stem>"``, unique within the corpus.
    dataset, subject : str
        Folder of the data set, and the person (without ``sub-``).
    ch_names : tuple of str
        The channels, as the source names them.
    channels : tuple of int
        Their indices in the montage, all different.
    n_times : int
        Samples at 200 Hz.
    pieces : tuple of tuple of int
        Start and stop, in samples, of the stretches of continuous time, each a second at least.
    bad : tuple of tuple of int
        Marked seconds: row, first second, stop second, counted from sample 0.
    scale : tuple of float
        What one step of each stored channel is worth in 0.1 mV, 1 for float32.
    file, sha256 : str
        The array, relative to the folder of the corpus, and its hash.
    n_bytes : int
        Size of that file.
    source, licence : str
        Where it comes from, and the owner's terms.
    notes : tuple of str
        What was noticed while it was prepared.
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
        """The number of channel-seconds that are not marked."""
        good = _get_good(self)
        n_seconds = sum((stop - start) // SECOND for start, stop in self.pieces)
        return int(good.sum()) * n_seconds // good.shape[1]


def _get_good(recording):
    """Return which seconds of a recording are not marked, shape (n_channels, n_seconds)."""
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
        Where they are.
    recordings : tuple of Recording
        Sorted by data set, subject and name.
    failures : tuple of tuple of str
        Source and reason of each recording that could not be prepared.
    """

    folder: Path
    recordings: tuple[Recording, ...]
    failures: tuple[tuple[str, str], ...] = ()
    _maps: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self):
        """Return the number of recordings."""
        return len(self.recordings)

    def __repr__(self):
        """Return one line: how much of what."""
        people = {(recording.dataset, recording.subject) for recording in self.recordings}
        return (
            f"<Corpus | {len(self)} recordings of {len(people)} people, {self.hours:.2f} h, "
            f"{self.n_tokens} channel-seconds>"
        )

    def __getstate__(self):
        """Leave out the memory maps, which another process opens itself."""
        return {**self.__dict__, "_maps": {}}

    @property
    def n_tokens(self):
        """The number of channel-seconds that are not marked."""
        return sum(recording.n_tokens for recording in self.recordings)

    @property
    def hours(self):
        """The hours of recording, marked seconds included."""
        return sum(recording.n_times for recording in self.recordings) / SFREQ / 3600

    def good(self, k):
        """Return which seconds of a recording are not marked.

        Parameters
        ----------
        k : int
            Index of the recording.

        Returns
        -------
        good : array of bool, shape (n_channels, n_seconds)
            False where marked. The last second may be a part of one.
        """
        return _get_good(self.recordings[k])

    def read(self, k, rows, start, stop):
        """Read a part of a recording.

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
            If the file is not there or has another shape than indexed.
        ValueError
            If the samples are not all in the recording.
        """
        recording = self.recordings[k]
        if not 0 <= start <= stop <= recording.n_times:
            raise ValueError(
                f"{recording.name} has samples 0 to {recording.n_times}, asked for {start} to "
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
                array = np.load(self.folder / recording.file, mmap_mode="r")
            except (OSError, ValueError) as exc:
                raise RuntimeError(_describe_loss(self.folder, recording)) from exc
            if array.shape != (len(recording.channels), recording.n_times):
                raise RuntimeError(_describe_loss(self.folder, recording))
            self._maps[recording.file] = array
        return self._maps[recording.file]

    def select(self, keep):
        """Return the corpus with some of its recordings.

        Parameters
        ----------
        keep : callable
            Tells of a :class:`Recording` whether it stays.

        Returns
        -------
        corpus : Corpus
            On the same files.
        """
        return replace(self, recordings=tuple(filter(keep, self.recordings)))


def _describe_loss(folder, recording):
    """Say that a file is not what the index says, and what to do."""
    path = folder / recording.file
    found = "is not the file that the index describes" if path.is_file() else "is not there"
    return (
        f"{path}, of the recording {recording.name}, {found}: it was moved, changed or cut short "
        "after indexing. Copy the whole folder again, or run prepare_corpus again on the same "
        "recordings, which makes only what is missing or changed."
    )


def read_corpus(folder, *, check=True):
    """Open a corpus.

    Parameters
    ----------
    folder : path-like
        Where :func:`prepare_corpus` wrote it.
    check : bool
        Whether to compare each file with its sha256. If False, only that it is there and as long
        as it was.

    Returns
    -------
    corpus : Corpus
        The recordings, which are read when they are needed.

    Raises
    ------
    RuntimeError
        If the index is damaged, or a file is missing or is not the one that was indexed.
    ValueError
        If the folder holds no corpus, or one without recordings.
    """
    folder = Path(folder).resolve()
    index = read_index(folder)
    try:
        recordings = tuple(
            Recording(**{one.name: _freeze(entry[one.name]) for one in fields(Recording)})
            for entry in index["recordings"]
        )
        failures = tuple((str(source), str(reason)) for source, reason in index["failures"])
    except (KeyError, TypeError, ValueError) as exc:
        raise RuntimeError(
            f"{folder / INDEX} is damaged: an entry is not complete ({exc}). Delete it and run "
            "prepare_corpus again, which keeps the recordings that are ready."
        ) from exc
    if not recordings:
        raise ValueError(
            f"The corpus in {folder} is empty. Run prepare_corpus on recordings, and look at what "
            "it says about those that could not be prepared."
        )
    for recording in recordings:
        path = folder / recording.file
        same = path.is_file() and path.stat().st_size == recording.n_bytes
        if not same or (check and hash_file(path) != recording.sha256):
            raise RuntimeError(_describe_loss(folder, recording))
    return Corpus(folder, recordings, failures)


def _freeze(value):
    """Return tuples for the lists of JSON."""
    return tuple(map(_freeze, value)) if isinstance(value, list) else value


@verbose
def prepare_corpus(
    out,
    *,
    bids_roots=(),
    files=(),
    hold_out_every=None,
    hold_out="leave",
    dtype="int16",
    line_freq=None,
    n_jobs=1,
    overwrite=False,
    verbose=None,
):
    """Preprocess recordings into a folder from which training reads.

    Parameters
    ----------
    out : path-like
        The folder, made where needed.
    bids_roots : path-like | list of path-like
        BIDS data sets, all EEG of which is taken.
    files : path-like | list of path-like
        Recordings in any format that MNE reads. Their data set is the folder they are in, their
        subject the BIDS entity in the name if there is one, else the whole name.
    hold_out_every : int | None
        With 4, the 4th, 8th, ... subject of each data set, in sorted order, is held out. None
        holds out nobody.
    hold_out : "leave" | "only"
        Whether these subjects are left out, or are the only ones taken.
    dtype : "int16" | "float32"
        How samples are stored: in 16 bits with a scale for each channel, or as they are.
    line_freq : float | False | None
        As for :func:`mne_gram.preprocess`. None takes what each recording says.
    n_jobs : int
        Number of processes.
    overwrite : bool
        Whether a corpus of other settings in ``out`` is replaced.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    corpus : Corpus
        All that could be prepared.

    Raises
    ------
    OSError
        If the folder cannot be written to, or the disk is full.
    ValueError
        If there is nothing to prepare, nothing could be prepared, or the folder holds a corpus of
        other settings.

    Notes
    -----
    A recording that is ready and did not change is not prepared again, so a call that was
    interrupted goes on when it is repeated. The index is written last. A recording that cannot be
    prepared is left out, with a warning, and listed in ``failures`` of the corpus. Arrays of
    recordings that a later call does not name stay in the folder, but not in the index.

    These seconds of a channel are marked: bad channels and ``BAD_`` annotations, values that are
    no numbers, flat and clipped seconds of the recording, and those above 1 mV peak to peak after
    preprocessing. A channel that is marked most of the time does not enter the average reference;
    where others that are marked move the average by more than 50 uV, the second is marked for all
    channels.
    """
    settings, selection = _check_options(dtype, line_freq, hold_out_every, hold_out)
    sources = list_sources(_to_list(bids_roots), _to_list(files))
    if not sources:
        raise ValueError("There is nothing to prepare: name BIDS data sets or files.")
    sources = hold_out_subjects(sources, hold_out_every, hold_out)
    if not sources:
        raise ValueError(
            f"No recording is left with hold_out_every={hold_out_every} and "
            f"hold_out={hold_out!r}: the data sets have fewer subjects than that."
        )
    folder = Path(out).resolve()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    clear_others(folder, settings, selection, overwrite)
    results = _run(partial(prepare_one, folder=folder, settings=settings), sources, n_jobs)
    entries = [entry for entry, reason, _ in results if reason is None]
    failures = [
        [source.place, reason]
        for source, (_, reason, _) in zip(sources, results, strict=True)
        if reason is not None
    ]
    told = "\n".join(f"  {place}: {reason}" for place, reason in failures)
    if not entries:
        raise ValueError(f"None of the {len(sources)} recordings could be prepared:\n{told}")
    write_index(folder, settings, selection, entries, failures)
    corpus = read_corpus(folder, check=False)
    n_new = sum(is_new for *_, is_new in results)
    n_noted = sum(bool(recording.notes) for recording in corpus.recordings)
    logger.info(f"{corpus}: {n_new} prepared now; {n_noted} have notes (Recording.notes)")
    if failures:
        warn(f"{len(failures)} of {len(sources)} recordings could not be prepared:\n{told}")
    return corpus


def _check_options(dtype, line_freq, hold_out_every, hold_out):
    """Check options, and return how recordings are prepared and which subjects are taken."""
    _check_option("dtype", dtype, ("int16", "float32"))
    _check_option("hold_out", hold_out, ("leave", "only"))
    _validate_type(hold_out_every, ("int-like", None), "hold_out_every")
    _validate_type(line_freq, ("numeric", bool, None), "line_freq")
    if line_freq is True or (line_freq is not None and line_freq is not False and line_freq <= 0):
        raise ValueError(f"line_freq must be a positive frequency, False or None, got {line_freq}.")
    if hold_out_every is not None and hold_out_every < 2:
        raise ValueError(f"hold_out_every must be 2 or more, or None, got {hold_out_every}.")
    if hold_out_every is None and hold_out == "only":
        raise ValueError("hold_out='only' needs hold_out_every, for example 4.")
    line_freq = line_freq if line_freq is None or line_freq is False else float(line_freq)
    every = None if hold_out_every is None else int(hold_out_every)
    settings = dict(dtype=dtype, line_freq=line_freq, version=VERSION)
    return settings, dict(hold_out_every=every, hold_out=hold_out)


def _to_list(paths):
    """Return a list of paths, of a single one too."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def _run(function, sources, n_jobs):
    """Return a function's results for all sources, in their order, with a progress bar."""
    from joblib import Parallel, delayed

    results = Parallel(n_jobs, return_as="generator")(delayed(function)(s) for s in sources)
    return list(ProgressBar(results, mesg="Recordings", max_value=len(sources)))
