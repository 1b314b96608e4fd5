# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Preparation of a corpus from recordings."""

import os
from functools import partial
from pathlib import Path

from mne.utils import ProgressBar, _check_option, _validate_type, logger, verbose, warn

from .._formats import check_folders
from .._workers import end_workers
from ._corpus import read_corpus
from ._sources import hold_out_subjects, list_sources
from ._storage import VERSION, clear_others, prepare_one, write_index


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
        The folder, which is created if needed.
    bids_roots : path-like | list of path-like
        BIDS data sets, of which all EEG is used.
    files : path-like | list of path-like
        Recordings in any format that MNE reads. Their data set is their folder, and their subject
        the BIDS entity in the name, or the whole name without one.
    hold_out_every : int | None
        With 4, the 4th, 8th, ... subject of each data set, in sorted order, is held out. None holds
        out no subject.
    hold_out : "leave" | "only"
        Whether these subjects are left out, or are the only ones used.
    dtype : "int16" | "float32"
        Type of the stored samples: 16 bits with a scale for each channel, or single precision.
    line_freq : float | False | None
        As for :func:`mne_gram.preprocess`. None means that of each recording.
    n_jobs : int
        Number of processes.
    overwrite : bool
        Whether to replace a corpus with other settings in ``out``.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    corpus : Corpus
        All recordings that could be prepared.

    Raises
    ------
    OSError
        If the folder cannot be written to, or the disk is full.
    ValueError
        If there is nothing to prepare, nothing could be prepared, or the folder contains a corpus
        with other settings.

    Notes
    -----
    Finished recordings that did not change are not prepared again, so repeating an interrupted call
    resumes it. The index is written last. Recordings that cannot be prepared are left out with a
    warning, and listed in ``failures`` of the corpus. Arrays of recordings that a later call does
    not name remain in the folder, but not in the index.

    The following seconds of a channel are marked: bad channels and ``BAD_`` annotations, values
    that are not finite, flat and clipped seconds of the recording, and those above 1 mV
    peak-to-peak after preprocessing. A channel that is marked most of the time is excluded from the
    average reference; where other marked channels change the average by more than 50 uV, the second
    is marked for all channels.
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
    check_folders(folder, "data")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    clear_others(folder, settings, selection, overwrite)
    results = _run(partial(prepare_one, folder=folder, settings=settings), sources, n_jobs)
    entries = [entry for entry, reason, _ in results if reason is None]
    failures = [
        [source.place, reason]
        for source, (_, reason, _) in zip(sources, results, strict=True)
        if reason is not None
    ]
    reasons = "\n".join(f"  {place}: {reason}" for place, reason in failures)
    if not entries:
        raise ValueError(f"None of the {len(sources)} recordings could be prepared:\n{reasons}")
    write_index(folder, settings, selection, entries, failures)
    corpus = read_corpus(folder, check=False)
    n_new = sum(is_new for *_, is_new in results)
    n_noted = sum(bool(recording.notes) for recording in corpus.recordings)
    logger.info(f"{corpus}: {n_new} prepared now; {n_noted} have notes (CorpusRecording.notes)")
    if failures:
        warn(f"{len(failures)} of {len(sources)} recordings could not be prepared:\n{reasons}")
    return corpus


def _check_options(dtype, line_freq, hold_out_every, hold_out):
    """Check options; return the settings of recordings and the selection of subjects."""
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
    """Return a list of paths, also of a single one."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def _run(function, sources, n_jobs):
    """Return the results of a function for all sources, with a progress bar."""
    from joblib import Parallel, delayed

    results = Parallel(n_jobs, return_as="generator")(delayed(function)(s) for s in sources)
    results = list(ProgressBar(results, mesg="Recordings", max_value=len(sources)))
    end_workers()
    return results
