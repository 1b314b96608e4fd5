# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore or embed all recordings of a BIDS data set."""

import os
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mne.utils import _check_option, _validate_type, logger, verbose, warn

from .._files import find_units, take_shard
from ._jobs import format_seconds, run_units
from ._pages import write_pages
from ._participants import write_participants
from ._plan import plan_units
from ._report import BidsReport
from ._settings import JOBS, Settings
from ._state import find_sha256
from ._write import check_folder, describe_data_set

__all__ = ["BidsReport", "run_bids"]

_EXTENSIONS = {"BrainVision": ".vhdr", "EDF": ".edf"}


@verbose
def run_bids(
    root,
    *,
    job="restore",
    subjects=None,
    sessions=None,
    tasks=None,
    runs=None,
    derivatives=None,
    n_jobs=1,
    shard=None,
    overwrite=False,
    on_error="continue",
    dry_run=False,
    find_bads=False,
    method="auto",
    output="mean",
    model="gram-tiny",
    line_freq=None,
    all_channel_gaps="keep",
    random_state=None,
    format="BrainVision",
    save_std=False,
    pool="cls",
    window=None,
    overlap=0.0,
    report=True,
    device=None,
    batch_size=None,
    verbose=None,
):
    """Restore or embed all EEG recordings of a BIDS data set.

    Each recording is done as a whole or not at all. Those that are done already are skipped, so a
    run that was stopped goes on where it was, and several runs can share the work.

    Parameters
    ----------
    root : path-like
        The data set. Nothing in it is changed.
    job : "restore" | "embed" | "tokens"
        What to do with each recording: :func:`mne_gram.restore`,
        :func:`mne_gram.compute_embedding` or :func:`mne_gram.compute_tokens`.
    subjects, sessions, tasks, runs : str | int | list | None
        Labels of those to work on, such as ``"01"`` or ``"sub-01"``; None takes all.
    derivatives : path-like | None
        The folder to write to; None takes ``derivatives/mne-gram`` in ``root``.
    n_jobs : int
        How many recordings to work on at a time, as joblib counts (-1 is a process for each core).
        With 1 they are done in this process. Another backend, such as dask, is chosen by
        :class:`joblib.parallel_config`. With an accelerator see the notes.
    shard : str | tuple of int | None
        ``"i/n"``, or ``(i, n)``: do only the i-th of n shares of the recordings, i from 1 to n.
    overwrite : bool
        Whether to do recordings again that are done, and to replace files that no run noted as
        its own.
    on_error : "continue" | "raise"
        Whether a recording that fails is tabulated and the others are done, or ends the run.
    dry_run : bool
        Whether to tell only what would be done. Nothing is written.
    find_bads : bool
        Whether to look for bad channels and stretches (:func:`mne_gram.find_bads`), besides those
        that ``channels.tsv``, ``events.tsv`` and annotations mark.
    method : "auto" | "spatial" | "gram" | "spline"
        As in :func:`mne_gram.restore`.
    output : "mean" | "sample"
        As in :func:`mne_gram.restore`.
    model : path-like
        The networks, for the methods and jobs that need them: a name that
        :func:`mne_gram.list_models` lists, or a folder.
    line_freq : float | None
        The power line's frequency in Hz; None takes that of each recording.
    all_channel_gaps : "keep" | "fill"
        As in :func:`mne_gram.restore`.
    random_state : int | None
        Seed of ``output="sample"``, from which each recording gets a seed of its own.
    format : "BrainVision" | "EDF"
        How to write restored recordings. EDF rounds good samples too. Epochs are written to fif.
    save_std : bool
        Whether to write the standard deviation of the error of each restored sample as well.
    pool : ``"cls"`` | ``"mean"`` | ``"channels"`` | ``"times"`` | ``"patches"``
        As in :func:`mne_gram.compute_embedding`.
    window : float | None
        Length of windows in seconds, for the jobs ``"embed"`` and ``"tokens"``.
    overlap : float
        By how many seconds windows overlap.
    report : bool
        Whether to draw figures, and write a page for each subject and one for the data set.
    device : str | torch.device | None
        Where networks run; None for the CPU.
    batch_size : int | None
        Windows that the network sees at once; None chooses.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    report : BidsReport
        What was done with each recording.

    Raises
    ------
    FileExistsError
        If ``derivatives`` is a file.
    PermissionError
        If it cannot be written to.
    RuntimeError
        If a recording fails and ``on_error="raise"``.
    ValueError
        If ``root`` is no BIDS data set, has no EEG or lacks what is asked for, or ``derivatives``
        holds what another pipeline wrote.

    Notes
    -----
    A recording is done if the version of mne_gram, the parameters, the sha256 of the weights and
    that of the recording and its sidecars are what they were when it was written; if one of them
    differs, it is done again and its files are replaced. Files whose size and time of change are
    as they were are not read again for their checksum.

    In processes other than the caller's, one thread computes. So ``n_jobs=2`` gives the same to the
    bit as ``n_jobs=1`` if that runs with one thread too (``OMP_NUM_THREADS=1``).

    On an accelerator (``device`` other than the CPU), the jobs ``"embed"`` and ``"tokens"`` put
    windows of several recordings into common batches. Only the caller's process holds the network;
    ``n_jobs`` others read recordings ahead of it. What is made is the same up to rounding in single
    precision. If a batch fails, because the device has no memory left for instance, each recording
    in it is done by itself, which its notes tell. With ``job="restore"`` a batch is of one
    recording, and each of the ``n_jobs`` processes holds the network. The same goes for backends
    other than joblib's own, whose workers may have a device each.

    Examples
    --------
    >>> import mne_gram
    >>> report = mne_gram.run_bids("my-data-set", tasks="rest", n_jobs=2)  # doctest: +SKIP
    >>> report.failures  # doctest: +SKIP
    []
    """
    _check_arguments(job, on_error, method, output, all_channel_gaps, format, pool, n_jobs)
    _validate_type(root, "path-like", "root")
    _validate_type(random_state, ("int-like", None), "random_state")
    root = Path(root).expanduser().absolute()
    folder = root / "derivatives" / "mne-gram" if derivatives is None else Path(derivatives)
    folder = folder.expanduser().absolute()
    if not root.is_dir():
        raise ValueError(f"{root} is not a BIDS data set: there is no such folder.")
    asked = dict(subjects=subjects, sessions=sessions, tasks=tasks, runs=runs)
    units = take_shard(find_units(root, asked), shard)
    check_folder(folder, root)
    settings = Settings(
        folder=folder,
        job=job,
        find_bads=bool(find_bads),
        method=method,
        output=output,
        model=_locate_model(model, job, method),
        line_freq=None if line_freq is None else float(line_freq),
        all_channel_gaps=all_channel_gaps,
        random_state=None if random_state is None else int(random_state),
        extension=_EXTENSIONS[format],
        save_std=bool(save_std),
        pool=pool,
        window=window,
        overlap=overlap,
        device=None if device is None else str(device),
        batch_size=batch_size,
        overwrite=overwrite,
        figures=bool(report) and job == "restore",
    )
    settings = replace(settings, weights=_find_weights(settings))
    if dry_run:
        done = BidsReport(plan_units(units, settings, n_jobs), folder, None)
    else:
        done = _run(units, settings, root, n_jobs, on_error, report)
    logger.info("%s", done.summary)
    return done


def _run(units, settings, root, n_jobs, on_error, pages):
    """Do the recordings, write the pages and return the report."""
    start = time.monotonic()
    describe_data_set(settings.folder, root, settings.weights)
    logs = settings.folder / "logs"
    logs.mkdir(exist_ok=True)
    name = f"{time.strftime('%Y%m%dT%H%M%S')}_{settings.job}_{socket.gethostname()}-{os.getpid()}"
    log_path = logs / f"{name}.log"

    def note_people():
        """Write the table of people as far as it goes."""
        with suppress(OSError, ValueError):  # told in the end
            write_participants(settings.folder, root)

    try:
        rows = run_units(units, settings, n_jobs, on_error, log_path, note_people)
    finally:  # also after Ctrl-C, of what was done until then
        _try("participants.tsv", write_participants, settings.folder, root)
        index = _try("The pages of the report", write_pages, settings.folder) if pages else None
    logger.info("Took %s.", format_seconds(time.monotonic() - start))
    return BidsReport(rows, settings.folder, index, log=log_path)


def _try(what, write, *args):
    """Write what is of the whole data set; if that fails, it must not hide what was done."""
    try:
        return write(*args)
    except (OSError, ValueError) as exc:
        warn(f"{what} could not be written: {exc}")
        return None


def _check_arguments(job, on_error, method, output, all_channel_gaps, format, pool, n_jobs):
    from ..features import POOLS
    from ..restoration._restore import _METHODS

    _check_option("job", job, JOBS)
    _check_option("on_error", on_error, ("continue", "raise"))
    _check_option("method", method, _METHODS)
    _check_option("output", output, ("mean", "sample"))
    _check_option("all_channel_gaps", all_channel_gaps, ("keep", "fill"))
    _check_option("format", format, tuple(_EXTENSIONS))
    _check_option("pool", pool, POOLS)
    _validate_type(n_jobs, ("int-like", None), "n_jobs")
    if n_jobs == 0:
        raise ValueError("n_jobs is 0, expected a number of processes, or -1 for all cores.")
    if output == "sample" and method in ("spline", "gram"):
        raise ValueError(f"method={method!r} has no posterior to draw from: use output='mean'.")


def _locate_model(model, job, method):
    """Return a model by name, or the absolute folder of one: workers may start elsewhere."""
    from ..models._registry import _REGISTRY

    _validate_type(model, "path-like", "model")
    return model if model in _REGISTRY else str(Path(model).expanduser().absolute())


def _find_weights(settings):
    """Return the sha256 of each file of weights that a job uses, by name."""
    from ..covariance._prior import _PRIOR_FILE
    from ..models import read_config
    from ..models._registry import _locate

    weights = {}
    if settings.job == "restore" and settings.method != "spline":
        weights["prior"] = find_sha256(_PRIOR_FILE)
    if settings.uses_network:
        weights[Path(settings.model).name] = read_config(_locate(settings.model))["sha256"]
    return weights
