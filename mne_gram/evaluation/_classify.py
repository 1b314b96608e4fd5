# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Hold methods against each other: all of them in the same folds, over several seeds."""

from pathlib import Path

import joblib
from mne.utils import logger, verbose, warn

from .._files import write_figure
from ._figures import plot_confusions, plot_scores
from ._folds import make_folds
from ._methods import parse_method
from ._tables import list_folds, summarize, write_table
from ._units import make_key, read_result, run_unit, write_result


@verbose
def compare_classifiers(
    task, methods, folder, *, seeds=(0, 10, 20, 30, 40), n_folds=5, n_jobs=1, verbose=None
):
    """Test methods on a task.

    Parameters
    ----------
    task : Task
        The task.
    methods : list of str
        Names of methods, as :func:`mne_gram.evaluation._methods.parse_method` reads them.
    folder : path-like
        Where what each method said in each fold is kept. What is there already is not done again,
        unless the task, the method, the model or the version of the package is another one.
    seeds : list of int
        Seeds: each shuffles the split, and is that of the draws of the methods.
    n_folds : int
        Number of folds.
    n_jobs : int
        Number of processes.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    results : list of Result
        What each method said in each seed and fold, by method.
    failures : list of tuple of str
        Method, seed and fold, and reason of what failed. It is done again next time.
    """
    if not methods or len(set(methods)) < len(methods):
        raise ValueError(f"methods must be one or more, each once, got {list(methods)}.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more, each once, got {list(seeds)}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = task.digest
    splits = {seed: make_folds(task, n_folds, seed) for seed in seeds}
    units = []
    for method in map(parse_method, methods):
        key = make_key(task, method, digest, n_folds)
        for seed, folds in splits.items():
            for fold in folds:
                name = f"{task.name}_{method.base}_seed{seed}_fold{fold.number}_{key}.npz"
                units.append((task, method, seed, fold, folder / name))
    found = [read_result(unit[-1], unit[1].name, unit[2], unit[3].number) for unit in units]
    todo = [unit for unit, result in zip(units, found, strict=True) if result is None]
    logger.info(f"{task.name}: {len(units)} fits, of which {len(units) - len(todo)} are there")
    done = {unit[-1]: what for unit, what in zip(todo, _run(todo, n_jobs), strict=True)}
    results, failures = [], []
    for unit, result in zip(units, found, strict=True):
        result = done.get(unit[-1]) if result is None else result
        if isinstance(result, Exception):
            where = f"{unit[1].name}, seed {unit[2]}, fold {unit[3].number}"
            failures.append((where, " ".join(f"{type(result).__name__}: {result}".split())))
        else:
            results.append(result)
    if failures:
        text = "\n".join(f"  {where}: {reason}" for where, reason in failures[:5])
        warn(f"{len(failures)} of {len(units)} fits of the task {task.name} failed:\n{text}")
    return _keep_whole(results, splits), failures


def _run(units, n_jobs):
    """Yield the result of each unit, or the exception that it raised."""
    if n_jobs == 1:
        yield from (_run_one(*unit) for unit in units)
        return
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        yield from parallel(joblib.delayed(_run_one)(*unit) for unit in units)


def _run_one(task, method, seed, fold, fname):
    """Run one unit and write it down; a failure is returned, as the others go on."""
    try:
        result = run_unit(task, method, seed, fold)
    except Exception as exc:  # whatever a method trips over
        return exc
    write_result(fname, result)
    return result


def _keep_whole(results, splits):
    """Return the results of seeds in which all folds of a method are there."""
    counts = {}
    for result in results:
        key = result.method, result.seed
        counts[key] = counts.get(key, 0) + 1
    return [r for r in results if counts[r.method, r.seed] == len(splits[r.seed])]


def write_comparison(folder, task, results):
    """Write tables and figures of a task.

    Parameters
    ----------
    folder : path-like
        Where ``TASK_folds.csv``, ``TASK_summary.csv``, ``TASK_differences.csv``,
        ``TASK_confusion.png`` and ``TASK_scores.png`` go; what is there is replaced.
    task : Task
        The task.
    results : list of Result
        What :func:`compare_classifiers` returns.

    Returns
    -------
    folds, summary, differences : list of dict
        The rows.

    Raises
    ------
    ValueError
        If there is no result.
    """
    if not results:
        raise ValueError(f"There is no result of the task {task.name}: every method failed.")
    folder = Path(folder)
    folds = list_folds(task, results)
    summary, differences = summarize(task, results)
    for name, rows in dict(folds=folds, summary=summary, differences=differences).items():
        if rows:
            write_table(folder / f"{task.name}_{name}.csv", rows)
    figures = dict(confusion=plot_confusions(task, results), scores=plot_scores(summary))
    for name, figure in figures.items():
        write_figure(figure, folder / f"{task.name}_{name}.png", overwrite=True)
    return folds, summary, differences
