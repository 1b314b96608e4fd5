# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Tables: a row a fold, a row a method, a row a difference; and the text that is printed."""

import csv

import numpy as np

from .._files import staged
from ._methods import BASELINES
from ._scores import LEVELS, balance, count_confusions, find_interval, guess, measure, pool_folds

CHANCE = "chance"


def list_folds(task, results):
    """Return a row a method, seed and fold.

    Parameters
    ----------
    task : Task
        The task.
    results : list of Result
        All results.

    Returns
    -------
    rows : list of dict
        Measures over the windows of the fold, and seconds.
    """
    rows = []
    for result in results:
        row = dict(task=task.name, method=result.method, seed=result.seed, fold=result.fold)
        row["n_windows"] = len(result.rows)
        row.update(measure(task, pool_folds(task, [result])))
        row.update(fit_seconds=result.fit_seconds, predict_seconds=result.predict_seconds)
        rows.append(row)
    return rows


def summarize(task, results):
    """Return a row a method, level and set of people, and a row a difference.

    Parameters
    ----------
    task : Task
        The task.
    results : list of Result
        All results. Methods are compared over the seeds that each of them has.

    Returns
    -------
    summary : list of dict
        ``task, method, level, people, n_people, n``, each measure's mean over seeds and its
        standard deviation (``_std``), and the interval over people of the balanced accuracy
        (``low``, ``high``). ``people`` is ``"all"``, or ``"unmet"``: those that the model never
        met.
    differences : list of dict
        ``task, method, baseline, level, people, n_people, difference, low, high, is_best`` of the
        balanced accuracy of each other method to each classical one; ``is_best`` marks the best
        of these.
    """
    summary, differences = [], []
    levels = LEVELS if task.has_whole_recordings else LEVELS[:1]
    for level in levels:
        pooled = _pool(task, results, level)
        if not pooled:
            continue
        people = np.unique(next(iter(pooled.values()))[0].subjects)
        groups = {"all": people}
        unmet = np.intersect1d(people, list(task.unmet))
        if len(unmet):
            groups["unmet"] = unmet
        for name, group in groups.items():
            head = dict(task=task.name, level=level, people=name, n_people=len(group))
            own = {method: [a.select(group) for a in every] for method, every in pooled.items()}
            confusions = {
                method: count_confusions(answers, group, len(task.labels))
                for method, answers in own.items()
            }
            for method, answers in own.items():
                summary.append(_sum_up(task, head, method, answers, confusions[method]))
            mean, low, high = guess(task, group, level)
            row = {**head, "method": CHANCE, "balanced_accuracy": mean, "low": low, "high": high}
            summary.append(row)
            differences += _compare(head, confusions)
    return summary, differences


def _pool(task, results, level):
    """Return what each method said in each seed, in the order of the methods."""
    seeds = {}
    for result in results:
        seeds.setdefault(result.method, {}).setdefault(result.seed, []).append(result)
    return {
        method: [pool_folds(task, own, level) for own in by_seed.values()]
        for method, by_seed in seeds.items()
    }


def _sum_up(task, head, method, answers, confusions):
    """Return the row of a method."""
    scores = [measure(task, own) for own in answers]
    row = {**head, "method": method, "n": len(answers[0].y), "n_seeds": len(answers)}
    for name in scores[0]:
        values = [own[name] for own in scores]
        row[name] = float(np.mean(values))
        row[f"{name}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    row["low"], row["high"] = find_interval(confusions)
    return row


def _compare(head, confusions):
    """Return the differences of methods to the classical ones."""
    totals = {method: float(balance(own.sum(axis=0))) for method, own in confusions.items()}
    baselines = [method for method in totals if method in BASELINES]
    best = max(baselines, key=totals.get, default=None)
    rows = []
    for method in (method for method in totals if method not in BASELINES):
        for baseline in baselines:
            low, high = find_interval(confusions[method], confusions[baseline])
            row = {**head, "method": method, "baseline": baseline, "is_best": baseline == best}
            row.update(difference=totals[method] - totals[baseline], low=low, high=high)
            rows.append(row)
    return rows


def write_table(fname, rows):
    """Write rows as a table, with the columns of all of them; whole or not at all.

    Parameters
    ----------
    fname : path-like
        The file, which is replaced.
    rows : list of dict
        The rows.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with staged(fname, overwrite=True) as file:
        with open(file, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)


# ---------------------------------------------------------------------------------------------
# Text


def tell_summary(summary, differences):
    """Return the tables as text.

    Parameters
    ----------
    summary, differences : list of dict
        What :func:`summarize` returns, of one task or several.

    Returns
    -------
    text : str
        A block a task, level and set of people.
    """
    blocks = []
    for key in dict.fromkeys(map(_get_block, summary)):
        own = [row for row in summary if _get_block(row) == key]
        gaps = {
            row["method"]: row for row in differences if _get_block(row) == key and row["is_best"]
        }
        unmet = [row["n_people"] for row in summary if _get_block(row) == (*key[:2], "unmet")]
        blocks.append("\n".join(_tell_block(key, own, gaps, unmet[0] if unmet else 0)))
    return "\n\n".join(blocks)


def _get_block(row):
    return row["task"], row["level"], row["people"]


def _tell_block(key, rows, gaps, n_unmet):
    """Return the lines of one block."""
    task, level, people = key
    number = rows[0]["n_people"]
    who = f"{number} people" if people == "all" else f"the {number} people the model never met"
    if people == "all" and n_unmet:
        who += f" (of {number - n_unmet} the model has met the signals, without labels)"
    counted = f"{rows[0]['n']} {level}s of {who}"
    width = max(12, *(len(row["method"]) for row in rows))
    names = [name for name in ("accuracy", "kappa", "weighted_f1", "roc_auc") if name in rows[0]]
    head = "".join(f"{name:>13}" for name in names)
    lines = [f"{task}, {counted}"]
    lines.append(f"  {'':{width}}{'balanced accuracy (95 %)':>34}{head}   minus best baseline")
    for row in rows:
        std = row.get("balanced_accuracy_std", float("nan"))
        spread = f" +- {std:.3f}" if np.isfinite(std) else " " * 9
        text = f"{row['balanced_accuracy']:10.3f}{spread} ({row['low']:.3f}-{row['high']:.3f})"
        text += "".join(f"{row[name]:13.3f}" if name in row else " " * 13 for name in names)
        gap = gaps.get(row["method"])
        if gap is not None:
            text += f"   {gap['difference']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
            text += f" {gap['baseline']}"
        lines.append(f"  {row['method']:{width}}{text}".rstrip())
    return lines


def tell_seconds(rows):
    """Return how long each method took, as text.

    Parameters
    ----------
    rows : list of dict
        What :func:`list_folds` returns.

    Returns
    -------
    text : str
        The median over folds of a task.
    """
    lines = ["Seconds of a fold (median): fit, predict"]
    for key in dict.fromkeys((row["task"], row["method"]) for row in rows):
        own = [row for row in rows if (row["task"], row["method"]) == key]
        fit, predict = (np.median([row[f"{n}_seconds"] for row in own]) for n in ("fit", "predict"))
        lines.append(f"  {key[0]:16}{key[1]:16}{fit:8.2f}{predict:8.2f}")
    return "\n".join(lines)
