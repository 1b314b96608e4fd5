# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""`run_bids`: from arguments to settings, recordings, pages and report."""

from pathlib import Path

from mne.utils import _check_option, _validate_type, logger, verbose

from .._checks import check_line_freq
from .._files import select_recordings, take_shard
from ..features import check_window
from ..restoration import check_options
from ._dataset import check_folder
from ._prior import check_prior, choose_library
from ._settings import JOBS, Settings
from ._steps import Run, add_library, make_prior, plan_run, process_run

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
    prior="dataset",
    refit_prior=False,
    method="auto",
    output="mean",
    model="gram-tiny",
    line_freq=None,
    all_channel_gaps="keep",
    random_state=None,
    exclude=(),
    format="BrainVision",
    save_std=False,
    naming="derivative",
    pool="cls",
    window=None,
    overlap=0.0,
    report=True,
    device=None,
    batch_size=None,
    verbose=None,
):
    """Restore or embed all EEG recordings of a BIDS data set.

    Each recording is processed completely or not at all, and skipped if its results are up to date.
    Therefore a run resumes after an interruption, and several runs can share the work.

    Parameters
    ----------
    root : path-like
        The BIDS root. The data set itself is never changed.
    job : "restore" | "embed" | "tokens" | "prior"
        The function to apply to each recording: :func:`mne_gram.restore`,
        :func:`mne_gram.compute_embedding` or :func:`mne_gram.compute_tokens`. With ``"prior"``,
        recordings are only measured, and the prior of the data set is made, which is otherwise the
        first part of ``"restore"``.
    subjects, sessions, tasks, runs : str | int | list | None
        Labels of the recordings to process, such as ``"01"`` or ``"sub-01"``; None for all.
    derivatives : path-like | None
        The output folder; None for ``derivatives/mne-gram`` in ``root``.
    n_jobs : int
        The number of recordings to process in parallel, as in joblib (-1 uses all cores). With 1
        they are processed in this process. Use :class:`joblib.parallel_config` to choose another
        backend, such as dask. For accelerators, see Notes.
    shard : str | tuple of int | None
        ``"i/n"`` or ``(i, n)``: process only the i-th of n shares of the recordings, i from 1 to n.
        None processes all.
    overwrite : bool
        Whether to process recordings again that are up to date, and to replace existing files that
        were not written by mne_gram.
    on_error : "continue" | "raise"
        Whether to continue with the other recordings after one fails, or to raise the error.
    dry_run : bool
        Whether to only report what would be done, without writing anything.
    find_bads : bool
        Whether to detect bad channels and segments with :func:`mne_gram.find_bads`, in addition to
        those marked in ``channels.tsv``, ``events.tsv`` and annotations.
    prior : "dataset" | "bundled" | Prior | path-like
        What is known of other recordings, as in :func:`mne_gram.restore`. ``"dataset"`` adds the
        recordings of this data set to the bundled library, see Notes; with fewer than three
        subjects it is the same as ``"bundled"``.
    refit_prior : bool
        Whether to make the prior of the data set again from the selected recordings, instead of
        using the one that an earlier run stored.
    method : "auto" | "spatial" | "gram" | "spline"
        As in :func:`mne_gram.restore`.
    output : "mean" | "sample"
        As in :func:`mne_gram.restore`.
    model : path-like
        The model, for the methods and jobs that need one: a name listed by
        :func:`mne_gram.list_models`, or a folder.
    line_freq : float | None
        The power line frequency in Hz; None for that of each recording.
    all_channel_gaps : "keep" | "fill"
        As in :func:`mne_gram.restore`.
    random_state : int | None
        The seed for ``output="sample"``, from which the seed of each recording is derived; None
        draws new ones in each run.
    exclude : list of str
        Channels to leave out, as in :func:`mne_gram.restore`; ``Cz`` also stands for ``EEG Cz-LE``.
        A recording without such a channel is restored nevertheless, and its notes report this.
    format : "BrainVision" | "EDF"
        The format of restored recordings. BrainVision stores single precision; EDF rounds all
        samples, including good ones, to 16 bits. Epochs are written to fif.
    save_std : bool
        Whether to also write the standard deviation of the error of each restored sample.
    naming : "derivative" | "raw"
        Whether restored recordings have ``desc-restored`` in their names, or the names of their
        source, by which MNE-BIDS-Pipeline finds them; see :doc:`/bids`.
    pool : ``"cls"`` | ``"mean"`` | ``"channels"`` | ``"times"`` | ``"patches"``
        As in :func:`mne_gram.compute_embedding`.
    window : float | None
        The window length in whole seconds, for the jobs ``"embed"`` and ``"tokens"``; None takes
        16 s.
    overlap : float
        The overlap of windows in seconds.
    report : bool
        Whether to write figures and HTML pages: one page per subject, and an index.
    device : str | torch.device | None
        The device for the networks; None for the CPU.
    batch_size : int | None
        The number of windows per batch; None chooses it by their size.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    report : BidsReport
        The result for each recording.

    Raises
    ------
    FileExistsError
        If ``derivatives`` is a file.
    PermissionError
        If ``derivatives`` cannot be written to.
    RuntimeError
        If a recording fails and ``on_error="raise"``.
    ValueError
        If ``root`` is not a BIDS data set or has no matching EEG recording, or ``derivatives``
        contains files of another pipeline.

    Notes
    -----
    The results for a recording are up to date if the version of mne_gram, the parameters, and the
    sha256 of the weights, of the recording and of its sidecars have not changed since they were
    written. Otherwise it is processed again and the files are replaced. Checksums are only computed
    for files whose size or modification time has changed.

    With ``prior="dataset"``, a run has two parts if it needs a prior (to restore by another method
    than ``"spline"``, or to find bad channels). First each selected recording is measured, with its
    bad channels and segments left out, and the covariances are stored in ``prior.npz`` in the
    output folder, described in ``prior.json``. Then all recordings are restored with that prior.
    Later runs use the stored prior, also for new subjects and for recordings that have changed (for
    example their bad channels), which the log reports, until ``refit_prior`` makes a new one;
    recordings that were restored with another prior are then processed again. A recording is
    restored with the other recordings of the same subject in the library, but without its own
    covariances, which would show its good channels only. With ``shard``, the prior has to be made
    first, by a run with ``job="prior"``.

    Worker processes use one thread each. The results for ``n_jobs=2`` and ``n_jobs=1`` are equal,
    bit for bit, if the latter uses one thread too (``OMP_NUM_THREADS=1``).

    On an accelerator (``device`` other than the CPU), the jobs ``"embed"`` and ``"tokens"`` combine
    windows of several recordings in a batch. The network is loaded in the caller's process only;
    ``n_jobs`` other processes read recordings ahead. Results are equal up to rounding in single
    precision. If a batch fails, for example because the device runs out of memory, each of its
    recordings is encoded separately, and its notes report this. With ``job="restore"``, or a joblib
    backend other than the default, whose workers may have a device each, batches contain windows of
    one recording and each of the ``n_jobs`` processes loads the network.

    Examples
    --------
    >>> import mne_gram
    >>> report = mne_gram.run_bids("my-data-set", tasks="rest", n_jobs=2)  # doctest: +SKIP
    >>> report.failures  # doctest: +SKIP
    []
    """
    _check_arguments(job, on_error, format, pool, naming, n_jobs)
    check_prior(prior, refit_prior, job, shard)
    check_options(
        method=method,
        output=output,
        all_channel_gaps=all_channel_gaps,
        random_state=random_state,
        exclude=exclude,
    )
    check_line_freq(line_freq)
    check_window(window, overlap)
    _validate_type(root, "path-like", "root")
    root = Path(root).expanduser().absolute()
    folder = root / "derivatives" / "mne-gram" if derivatives is None else Path(derivatives)
    folder = folder.expanduser().absolute()
    if not root.is_dir():
        raise ValueError(f"{root} is not a BIDS data set: there is no such folder.")
    selection = dict(subjects=subjects, sessions=sessions, tasks=tasks, runs=runs)
    selected = select_recordings(root, selection)
    recordings = take_shard(selected, shard)
    check_folder(folder, root)
    settings = Settings(
        folder=folder,
        job=job,
        find_bads=bool(find_bads),
        method=method,
        output=output,
        model=_locate_model(model),
        line_freq=None if line_freq is None else float(line_freq),
        all_channel_gaps=all_channel_gaps,
        random_state=None if random_state is None else int(random_state),
        exclude=sorted(set(exclude)),
        extension=_EXTENSIONS[format],
        save_std=bool(save_std),
        naming=naming,
        pool=pool,
        window=window,
        overlap=overlap,
        device=None if device is None else str(device),
        batch_size=batch_size,
        overwrite=overwrite,
        figures=bool(report) and job == "restore",
    )
    run = Run(root, selected, recordings, n_jobs, on_error, shard, refit_prior)
    choice = choose_library(prior, selected, settings, shard, refit_prior)
    if dry_run:
        done = plan_run(run, settings, choice)
    elif job == "prior":
        done = make_prior(run, settings)
    else:
        if choice.text:
            logger.info("Prior: %s.", choice.text)
        settings = add_library(run, settings, choice, prior)
        done = process_run(run, settings, report)
    logger.info("%s", done.summary)
    return done


def _check_arguments(job, on_error, format, pool, naming, n_jobs):
    """Raise if an argument has an invalid value."""
    from ..models import POOLS

    _check_option("job", job, JOBS)
    _check_option("on_error", on_error, ("continue", "raise"))
    _check_option("format", format, tuple(_EXTENSIONS))
    _check_option("pool", pool, POOLS)
    _check_option("naming", naming, ("derivative", "raw"))
    _validate_type(n_jobs, ("int-like", None), "n_jobs")
    if n_jobs == 0:
        raise ValueError("n_jobs must be a number of processes, or -1 for all cores, got 0.")


def _locate_model(model):
    """Return the name of a model, or its absolute folder, as workers may start elsewhere."""
    from ..models import list_models

    _validate_type(model, "path-like", "model")
    known = [info.name for info in list_models()]
    return model if model in known else str(Path(model).expanduser().absolute())
