# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Compare classifiers in the same folds, over several seeds."""

from pathlib import Path

import joblib
from mne.utils import logger, verbose, warn

from .._files import write_figure
from .._workers import end_workers
from ._figures import plot_confusions, plot_scores
from ._fold_results import fit_and_test, make_key, read_result, write_result
from ._methods import parse_method
from ._splits import split_task
from ._tables import list_folds, summarize, write_table


@verbose
def compare_classifiers(
    task, methods, folder, *, seeds=(0, 10, 20, 30, 40), n_folds=5, n_jobs=1, verbose=None
):
    """Fit and test classifiers on a task, all in the same folds.

    Parameters
    ----------
    task : Task
        The task.
    methods : list of str
        ``"csp-lda"``, ``"tangent-lr"``, ``"bandpower-lr"``, ``"gram-probe"``, ``"gram-lora"`` and
        ``"gram-full"``; arguments of :class:`mne_gram.GramClassifier` follow the last three as in
        ``"gram-probe+pool=mean"``, with values in JSON or plain words.
    folder : path-like
        The folder of the results of each fold. Results that are already there are reused, unless
        the task, the method, the model or the version of the package is another one.
    seeds : list of int
        Each seed shuffles the split and seeds the methods.
    n_folds : int
        The number of folds. In the protocol ``"across"``, the subjects of the test set are not in
        the training set; in ``"within"``, each subject is split separately, with stratified
        folds; in ``"published"``, there is a single fold. In ``"held-out"``, one fold of the
        training subjects is left out, another one with each seed; the test set is always the same.
    n_jobs : int
        The number of processes.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    results : list of FoldResult
        The predictions in each fold and seed, by method.
    failures : list of tuple of str
        Method, seed and fold, and reason of each fit that failed. It is repeated in the next call.

    Raises
    ------
    ValueError
        If a method is unknown, or there are fewer subjects (or windows of a class of a subject)
        than folds.
    """
    if not methods or len(set(methods)) < len(methods):
        raise ValueError(f"methods must be one or more unique names, got {list(methods)}.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more unique numbers, got {list(seeds)}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = task.digest
    splits = {seed: split_task(task, n_folds, seed) for seed in seeds}
    fits = []
    for method in map(parse_method, methods):
        key = make_key(task, method, digest, n_folds)
        for seed, folds in splits.items():
            for fold in folds:
                name = f"{task.name}_{method.base}_seed{seed}_fold{fold.number}_{key}.npz"
                fits.append((task, method, seed, fold, folder / name))
    found = [
        read_result(fname, method.name, seed, fold.number, fold.tested, len(task.labels))
        for _, method, seed, fold, fname in fits
    ]
    todo = [fit for fit, result in zip(fits, found, strict=True) if result is None]
    logger.info(f"{task.name}: {len(fits)} fits, {len(fits) - len(todo)} of which are done")
    done = {fit[-1]: what for fit, what in zip(todo, _run(todo, n_jobs), strict=True)}
    results, failures = [], []
    for fit, result in zip(fits, found, strict=True):
        result = done.get(fit[-1]) if result is None else result
        if isinstance(result, Exception):
            where = f"{fit[1].name}, seed {fit[2]}, fold {fit[3].number}"
            failures.append((where, " ".join(f"{type(result).__name__}: {result}".split())))
        else:
            results.append(result)
    if failures:
        text = "\n".join(f"  {where}: {reason}" for where, reason in failures[:5])
        warn(f"{len(failures)} of {len(fits)} fits of the task {task.name} failed:\n{text}")
    return _keep_complete(results, splits), failures


def _run(fits, n_jobs):
    """Yield the FoldResult of each fit, or the exception that it raised."""
    if n_jobs == 1:
        yield from (_run_one(*fit) for fit in fits)
        return
    try:
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
            yield from parallel(joblib.delayed(_run_one)(*fit) for fit in fits)
    finally:
        end_workers()


def _run_one(task, method, seed, fold, fname):
    """Fit, test and write the result; return the exception if it fails."""
    try:
        result = fit_and_test(task, method, seed, fold)
    except Exception as exc:  # any error of a method: the other fits continue
        return exc
    write_result(fname, result)
    return result


def _keep_complete(results, splits):
    """Return the results of seeds in which all folds of a method succeeded."""
    counts = {}
    for result in results:
        key = result.method, result.seed
        counts[key] = counts.get(key, 0) + 1
    return [r for r in results if counts[r.method, r.seed] == len(splits[r.seed])]


def write_comparison(folder, task, results, groups=None):
    """Write tables and figures of a comparison.

    Parameters
    ----------
    folder : path-like
        The folder of ``TASK_folds.csv``, ``TASK_summary.csv``, ``TASK_differences.csv``,
        ``TASK_confusion.png`` and ``TASK_scores.png``. Existing files are replaced.
    task : Task
        The task.
    results : list of FoldResult
        What :func:`compare_classifiers` returned.
    groups : dict of list of str | None
        Groups of subjects, by name, that are reported in addition to all subjects.

    Returns
    -------
    folds, summary, differences : list of dict
        The rows of the tables.

    Raises
    ------
    ValueError
        If there are no results.
    """
    if not results:
        raise ValueError(f"The task {task.name} has no results: all fits failed.")
    folder = Path(folder)
    folds = list_folds(task, results)
    summary, differences = summarize(task, results, groups)
    for name, rows in dict(folds=folds, summary=summary, differences=differences).items():
        if rows:
            write_table(folder / f"{task.name}_{name}.csv", rows)
    figures = dict(confusion=plot_confusions(task, results), scores=plot_scores(summary))
    for name, figure in figures.items():
        write_figure(figure, folder / f"{task.name}_{name}.png", overwrite=True)
    return folds, summary, differences
