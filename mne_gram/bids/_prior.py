# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The first pass of a run: the prior of the data set, estimated once and then kept.

`choose_library` decides which prior a run uses, without writing anything; `fit_library` makes the
one of the data set, from one measurement per recording (the job ``prior``, see ``_cohort.py``).
"""

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mne.utils import _validate_type, logger
from pooch import file_hash

from .._counts import count
from .._files import list_input_files
from ..cohort import Measurement, combine_measurements
from ..covariance import Prior, load_prior
from ._cohort import read_record
from ._journal import PRIVATE, Journal, find_checksums
from ._library import Library, format_cohort, get_bundled, name_recording, open_library
from ._lock import hold
from ._parallel import process_recordings
from ._prior_files import (
    PRIOR_NAME,
    describe_prior,
    note_bundled,
    put_in_place,
    read_sidecar,
    read_stored,
    save_temporary,
    store_prior,
)

MIN_SUBJECTS = 3
# More make restoring slower (2 s with 128 recordings, 5 s with 512, of 64 channels) and add little.
MOST_RECORDINGS = 512
_SMALL = 2**20  # bytes, more than sidecars have
_NEEDED = f"the prior of a data set needs {MIN_SUBJECTS} subjects"
_PAUSE = 2.0  # seconds between looks at a lock or a recording of another run


@dataclass(frozen=True)
class Choice:
    """The prior of a run: a Library, or None if it has to be made first, and why."""

    library: Library | None
    text: str


def describe_choice(choice):
    """Return what the report of a dry run says of the prior; None if none is used."""
    if choice.library is None:
        return dict(text=choice.text) if choice.text else None
    about = choice.library.describe()
    return dict(about, text=f"{about['text']} ({choice.text})")


def check_prior(prior, refit_prior, job, shard):
    """Raise if the arguments of `run_bids` on priors have an invalid type or combination."""
    _validate_type(prior, (str, "path-like", Prior), "prior", "Prior, path-like or str")
    is_dataset = isinstance(prior, str) and prior == "dataset"
    if refit_prior and not is_dataset:
        raise ValueError(
            f"refit_prior needs prior='dataset', got {prior!r}: only the prior of the data set is "
            "made by a run."
        )
    if job == "prior" and not is_dataset:
        raise ValueError(f"job='prior' makes the prior of the data set, got prior={prior!r}.")
    if refit_prior and shard is not None:
        raise ValueError(
            "A shard cannot make the prior that all shards share. First make it with job='prior', "
            "refit_prior=True (mne_gram bids ROOT --job prior --refit-prior), then run the shards."
        )


def choose_library(prior, selected, settings, shard=None, refit=False):
    """Return the Choice of a run over recordings; ``selected`` are those of all shards."""
    selected = choose_cohort(selected)
    if settings.job == "prior":
        return Choice(None, _describe_plan(selected, settings))
    if not settings.uses_prior:
        return Choice(None, "")
    if isinstance(prior, Prior):
        return Choice(None, "given as an object")
    if prior == "bundled":
        return Choice(get_bundled(), "as asked for")
    if prior != "dataset":
        path = Path(prior).expanduser().absolute()
        return Choice(open_library("file", path), "as asked for")
    return _choose_own(selected, settings, shard, refit)


def choose_cohort(selected):
    """Return the recordings to measure, in their order: of many, as few per subject as possible."""
    usable = [recording for recording in selected if not recording.problem]
    counts, ranks = Counter(), []
    for recording in usable:
        ranks.append(counts[recording.entities["sub"]])
        counts[recording.entities["sub"]] += 1
    chosen = []
    for rank in range(max(ranks, default=-1) + 1):
        same = [k for k, other in enumerate(ranks) if other == rank]
        number = min(len(same), MOST_RECORDINGS - len(chosen))
        chosen += [same[k * len(same) // number] for k in range(number)]
    return [usable[k] for k in sorted(chosen)]


def _choose_own(selected, settings, shard, refit):
    """Return the Choice of ``prior="dataset"``."""
    n_subjects = _count_subjects(selected)
    stored = None if refit else read_stored(settings.folder, settings.overwrite)
    if stored is not None and stored.kind == "dataset":
        return Choice(stored, f"as stored{_describe_new(selected, settings)}")
    if n_subjects < MIN_SUBJECTS:
        if refit:
            raise ValueError(
                f"A prior of the data set needs {MIN_SUBJECTS} subjects, and {n_subjects} are "
                "selected. Select more, or do without refit_prior."
            )
        text = f"{_NEEDED}, {n_subjects} selected"
        return Choice(get_bundled(text), text)
    if shard is None:
        return Choice(None, _describe_plan(selected, settings))
    if stored is not None:  # too few of the recordings could be measured
        return Choice(stored, stored.note)
    raise ValueError(
        f"The data set has no prior yet ({settings.folder / PRIOR_NAME}), which all shards have to "
        "share. First make it with job='prior' (mne_gram bids ROOT --job prior, which can be "
        "interrupted, and can be shared by machines with --shard if a last call has none), or use "
        "prior='bundled'."
    )


def _describe_new(selected, settings):
    """Return what the stored prior lacks: new subjects, changed recordings, detection of bads."""
    about = read_sidecar(settings.folder)
    seen = {*about["Recordings"], *(name.rpartition("/")[2] for name in about["Excluded"])}
    known = {r.entities["sub"] for r in selected if name_recording(r)[2] in seen}
    number = len({r.entities["sub"] for r in selected} - known)
    if len(seen) >= MOST_RECORDINGS:  # then no more would be taken
        number = 0
    are = "subject is" if number == 1 else "subjects are"
    text = f"; {number} {are} not in it (refit_prior=True includes them)" if number else ""
    number = sum(_is_changed(r, settings) for r in selected)
    have = "recording has" if number == 1 else "recordings have"
    text += f"; {number} {have} changed since (refit_prior=True measures again)" if number else ""
    if about["Parameters"]["find_bads"] != settings.find_bads:
        text += f"; it was measured with{'out' * settings.find_bads} detection of bad channels"
    return text


def _is_changed(recording, settings):
    """Return whether files of a recording, such as its bad channels, are others than measured."""
    entry, root = Journal(settings.folder).read(recording, "prior"), recording.root
    if entry.get("status") != "done":
        return False
    try:  # signals are not read again: another size shows that they are others
        paths = list_input_files(recording)
        found = {path.relative_to(root).as_posix(): path.stat().st_size for path in paths}
        small = [path for path in paths if path.stat().st_size <= _SMALL]
        checked = find_checksums(small, root, entry["stat"])
    except (OSError, ValueError):  # which the recording itself will report
        return False
    known = entry["key"]["input"]
    return (
        found.keys() != known.keys()
        or any(size != entry["stat"].get(name, {}).get("size") for name, size in found.items())
        or any(file["sha256"] != known[name] for name, file in checked.items())
    )


def _count_subjects(recordings):
    return len({recording.entities["sub"] for recording in recordings})


def _describe_plan(selected, settings):
    """Return how a prior would be made, and how much of that is done."""
    journal = Journal(settings.folder)
    known = sum(journal.read(r, "prior").get("status") == "done" for r in selected)
    cohort = format_cohort(len(selected), _count_subjects(selected))
    return f"to be estimated from {cohort}, of which {known} measured"


def store_object(prior, folder):
    """Return the Library of a Prior that is an object, in a file that other processes can read."""
    with hold(folder / PRIVATE / "locks" / "prior.lock", wait=60) as lock:
        if lock is None:
            raise RuntimeError("The prior could not be stored: another run is making one.")
        staged = save_temporary(prior, folder, "given.npz")
        path = folder / PRIVATE / f"prior_{file_hash(staged)}.npz"
        put_in_place(staged, path)
    return open_library("object", path)


# ---------------------------------------------------------------------------------------------
# Making it


def fit_library(selected, settings, n_jobs, on_error, log_path, *, refit=False):
    """Measure recordings, and make the prior of the data set, unless another run has just done so.

    Returns the Library and the rows of the recordings. It is the bundled one if fewer than three
    subjects have usable recordings.
    """
    selected = choose_cohort(selected)
    with _waiting(settings.folder / PRIVATE / "locks" / "prior.lock") as lock:
        rows = measure_recordings(selected, settings, n_jobs, on_error, log_path)
        stored = None if refit else read_stored(settings.folder, settings.overwrite, finish=True)
        if stored is not None and stored.kind == "dataset":
            logger.info("The prior of the data set is kept; refit_prior=True makes a new one.")
            return stored, rows
        records, excluded = _read_records(selected, rows, settings, n_jobs, on_error, log_path)
        usable = {record.source[:2] for record in records}
        facts = describe_prior(settings, excluded)
        if len(usable) < MIN_SUBJECTS:
            note = f"{_NEEDED}, {len(usable)} have usable recordings"
            logger.info("Using the bundled library: %s.", note)
            return note_bundled(settings, facts, note, refit), rows
        logger.info("Estimating the prior from %s.", format_cohort(len(records), len(usable)))
        prior, facts["Audit"] = _estimate(records)
        lock.check()
        store_prior(settings, prior, facts)
        library = read_stored(settings.folder)
        logger.info("The prior is %s.", library.text)
        return library, rows


def measure_recordings(selected, settings, n_jobs, on_error, log_path):
    """Measure recordings that are not measured yet; return their rows, none of them busy."""
    settings = settings.for_prior()
    rows, waiting = {}, list(selected)
    while waiting:
        for row in process_recordings(waiting, settings, n_jobs, on_error, log_path, _do_nothing):
            rows[row["recording"]] = row
        waiting = [r for r in waiting if rows[r.label]["status"] == "busy"]
        if waiting:
            what = count(len(waiting), "recording")
            logger.info("Waiting for %s that another run measures.", what)
            time.sleep(_PAUSE)
    return [rows[recording.label] for recording in selected]


def _do_nothing():
    pass


def _read_records(selected, rows, settings, n_jobs, on_error, log_path):
    """Return the RecordingCovariances of measured recordings, and the reason for each other one.

    A file that is not what was written is measured again. The order is that of the data set: sums
    do not depend on who was done first.
    """
    records, excluded = {}, {}
    damaged = _collect(selected, rows, settings, records, excluded)
    if damaged:
        what = count(len(damaged), "measurement")
        logger.info("Missing or changed, and repeated: %s.", what)
        again = replace(settings, overwrite=True)
        rows = measure_recordings(damaged, again, n_jobs, on_error, log_path)
        damaged = _collect(damaged, rows, settings, records, excluded)
    excluded |= {r.label: "its measurement cannot be read" for r in damaged}
    return [records[r] for r in selected if r in records], excluded


def _collect(recordings, rows, settings, records, excluded):
    """Read the measurements, add them to ``records`` and reasons to ``excluded``; return others."""
    damaged = []
    for recording, row in zip(recordings, rows, strict=True):
        reason = row["why"] if row["status"] == "failed" else row.get("excluded")
        if reason:
            excluded[recording.label] = reason
            continue
        path = settings.folder / settings.for_prior().get_target(recording)
        try:
            records[recording] = read_record(path, name_recording(recording), row.get("record"))
        except (OSError, ValueError):
            damaged.append(recording)
    return damaged


def _estimate(records):
    """Return the bundled library with a cohort, and the channels that the audit left out.

    With one thread, as sums depend on the number of threads.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        prior, audited = combine_measurements(
            [Measurement(r.source, r) for r in records], load_prior()
        )
    return prior, {measured.source[-1]: dict(measured.dropped) for measured in audited}


@contextmanager
def _waiting(path):
    """Hold a lock, after waiting for as long as another run is alive."""
    is_logged = False
    while True:
        with hold(path) as lock:
            if lock is not None:
                yield lock
                return
        if not is_logged:
            logger.info("Another run is making the prior of this data set; waiting for it.")
            is_logged = True
        time.sleep(_PAUSE)
