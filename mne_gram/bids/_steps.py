# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The parts of a run: the plan of a dry run, the prior of the data set, the recordings."""

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mne.utils import logger, warn

from ..covariance import Prior
from ._dataset import describe_data_set, write_participants
from ._pages import write_pages
from ._parallel import format_seconds, process_recordings
from ._prior import (
    choose_cohort,
    describe_choice,
    fit_library,
    measure_recordings,
    store_object,
)
from ._report import BidsReport
from ._settings import plan_recordings


@dataclass(frozen=True)
class Run:
    """What is processed, and how the work is distributed."""

    root: Path
    selected: list  # the recordings of all shards
    recordings: list
    n_jobs: int
    on_error: str
    shard: object
    refit_prior: bool

    @property
    def cohort(self):
        """The recordings that are measured for a prior, of this shard."""
        cohort = set(choose_cohort(self.selected))
        return [recording for recording in self.recordings if recording in cohort]


def plan_run(run, settings, choice):
    """Return the report of a dry run."""
    if settings.job == "prior":
        settings = settings.for_prior()
    elif choice.library is None and settings.uses_prior:  # with another prior than any before
        settings = replace(settings, weights=_find_weights(settings) | dict(prior=""))
    else:
        settings = _set_library(settings, choice.library)
    recordings = run.cohort if settings.job == "prior" else run.recordings
    rows = plan_recordings(recordings, settings)
    return BidsReport(rows, settings.folder, None, prior=describe_choice(choice))


def make_prior(run, settings):
    """Measure recordings and, unless they are a shard, make the prior; return the report."""
    settings = settings.for_prior()
    describe_data_set(settings.folder, run.root, settings.weights)
    log_path = _start_log(settings)
    if run.shard is not None:
        rows = measure_recordings(run.cohort, settings, run.n_jobs, run.on_error, log_path)
        logger.info("Measured one shard: the prior is made by a call without a shard.")
        return BidsReport(rows, settings.folder, None, log=log_path)
    library, rows = fit_library(
        run.selected, settings, run.n_jobs, run.on_error, log_path, refit=run.refit_prior
    )
    return BidsReport(rows, settings.folder, None, log=log_path, prior=library.describe())


def add_library(run, settings, choice, prior):
    """Return the settings with the prior, made before if there is none."""
    library = choice.library
    if library is None and settings.uses_prior:
        first = settings.for_prior()
        describe_data_set(settings.folder, run.root, first.weights)
        if isinstance(prior, Prior):
            library = store_object(prior, settings.folder)
        else:
            options = (run.n_jobs, run.on_error, _start_log(first))
            library, _ = fit_library(run.selected, first, *options, refit=run.refit_prior)
    return _set_library(settings, library)


def _set_library(settings, library):
    """Return the settings with a prior and the sha256 of all weights."""
    settings = replace(settings, library=library)
    return replace(settings, weights=_find_weights(settings))


def _start_log(settings):
    """Return the path of the log file of a run."""
    logs = settings.folder / "logs"
    logs.mkdir(exist_ok=True)
    name = f"{time.strftime('%Y%m%dT%H%M%S')}_{settings.job}_{socket.gethostname()}-{os.getpid()}"
    return logs / f"{name}.log"


def process_run(run, settings, pages):
    """Process the recordings, write the pages and return the report."""
    start = time.monotonic()
    root = run.root
    describe_data_set(settings.folder, root, settings.weights)
    log_path = _start_log(settings)

    def on_done():
        with suppress(OSError, ValueError):  # reported at the end
            write_participants(settings.folder, root)

    try:
        rows = process_recordings(
            run.recordings, settings, run.n_jobs, run.on_error, log_path, on_done
        )
    finally:  # also after Ctrl-C, for the recordings done until then
        _try("participants.tsv", write_participants, settings.folder, root)
        index = _try("The pages of the report", write_pages, settings.folder) if pages else None
    logger.info("Took %s.", format_seconds(time.monotonic() - start))
    library = settings.library and settings.library.describe()
    return BidsReport(rows, settings.folder, index, log=log_path, prior=library)


def _try(what, write, *args):
    """Write a file of the whole data set; a failure is a warning, as recordings are done."""
    try:
        return write(*args)
    except (OSError, ValueError) as exc:
        warn(f"{what} could not be written: {getattr(exc, 'strerror', None) or exc}")
        return None


def _find_weights(settings):
    """Return the sha256 of each model that a job uses, by name."""
    from ..models import locate_model, read_config

    weights = {}
    if settings.library is not None:
        weights["prior"] = settings.library.sha256
    if settings.uses_network:
        weights[Path(settings.model).name] = read_config(locate_model(settings.model))["sha256"]
    return weights
