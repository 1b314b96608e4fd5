# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Tables of folds, methods and differences, and the text that is printed."""

import numpy as np

from .._counts import count
from .._files import staged
from ._methods import BASELINES
from ._scores import (
    LEVELS,
    balance,
    count_confusions,
    find_interval,
    measure,
    pool_folds,
    simulate_chance,
)

CHANCE = "chance"


def list_folds(task, results):
    """Return one row per method, seed and fold: its measures over windows, and seconds."""
    rows = []
    for result in results:
        row = dict(task=task.name, method=result.method, seed=result.seed, fold=result.fold)
        row["n_windows"] = len(result.rows)
        row.update(measure(task, pool_folds(task, [result])))
        row.update(fit_seconds=result.fit_seconds, predict_seconds=result.predict_seconds)
        rows.append(row)
    return rows


def summarize(task, results, groups=None):
    """Return one row per method, level and group of subjects, and one row per difference.

    ``groups`` are lists of subjects by name; all subjects are a group of their own. Intervals
    (``low``, ``high``) are those of the balanced accuracy, and of its difference to a baseline.
    """
    summary, differences = [], []
    levels = LEVELS if task.has_whole_recordings else LEVELS[:1]
    for level in levels:
        pooled = _pool(task, results, level)
        if not pooled:
            continue
        subjects = np.unique(next(iter(pooled.values()))[0].subjects)
        for name, group in {"all": subjects, **(groups or {})}.items():
            group = np.intersect1d(subjects, list(group))
            if not len(group):
                continue
            head = dict(task=task.name, level=level, subjects=name, n_subjects=len(group))
            own = {method: [a.select(group) for a in every] for method, every in pooled.items()}
            confusions = {
                method: count_confusions(predictions, group, len(task.labels))
                for method, predictions in own.items()
            }
            for method, predictions in own.items():
                summary.append(_sum_up(task, head, method, predictions, confusions[method]))
            mean, low, high = simulate_chance(task, group, level)
            row = {**head, "method": CHANCE, "balanced_accuracy": mean, "low": low, "high": high}
            summary.append(row)
            differences += _compare(head, confusions)
    return summary, differences


def _pool(task, results, level):
    """Return lists of Predictions, one per seed, by method."""
    seeds = {}
    for result in results:
        seeds.setdefault(result.method, {}).setdefault(result.seed, []).append(result)
    return {
        method: [pool_folds(task, own, level) for own in by_seed.values()]
        for method, by_seed in seeds.items()
    }


def _sum_up(task, head, method, predictions, confusions):
    """Return the row of a method."""
    scores = [measure(task, own) for own in predictions]
    row = {**head, "method": method, "n": len(predictions[0].y), "n_seeds": len(predictions)}
    for name in scores[0]:
        values = [own[name] for own in scores]
        row[name] = float(np.mean(values))
        row[f"{name}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    row["low"], row["high"] = find_interval(confusions)
    return row


def _compare(head, confusions):
    """Return the differences of all other methods to the classical ones."""
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
    """Write a list of dict as CSV, atomically, with the columns of all rows."""
    import pandas as pd

    with staged(fname, overwrite=True) as file:
        pd.DataFrame(rows, dtype=object).to_csv(file, index=False)


# ---------------------------------------------------------------------------------------------
# Text


def format_summary(summary, differences):
    """Return the tables of a comparison as text.

    Parameters
    ----------
    summary, differences : list of dict
        What :func:`write_comparison` returned, of one or more tasks.

    Returns
    -------
    text : str
        One block per task, level and group of subjects.
    """
    blocks = []
    for key in dict.fromkeys(map(_get_key, summary)):
        own = [row for row in summary if _get_key(row) == key]
        gaps = {
            row["method"]: row for row in differences if _get_key(row) == key and row["is_best"]
        }
        blocks.append("\n".join(_format_block(key, own, gaps)))
    return "\n\n".join(blocks)


def _get_key(row):
    return row["task"], row["level"], row["subjects"]


def _format_block(key, rows, gaps):
    """Return the lines of one block."""
    task, level, group = key
    counted = f"{count(rows[0]['n'], level)} of {count(rows[0]['n_subjects'], 'subject')}"
    width = max(12, *(len(row["method"]) for row in rows))
    names = [name for name in ("accuracy", "kappa", "weighted_f1", "roc_auc") if name in rows[0]]
    head = "".join(f"{name:>13}" for name in names)
    lines = [f"{task}, {counted}" + ("" if group == "all" else f" ({group})")]
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


def format_seconds(folds):
    """Return the median duration of fitting and predicting as text.

    Parameters
    ----------
    folds : list of dict
        The rows of folds that :func:`write_comparison` returned.

    Returns
    -------
    text : str
        One line per task and method.
    """
    lines = ["Seconds per fold (median): fit, predict"]
    for key in dict.fromkeys((row["task"], row["method"]) for row in folds):
        own = [row for row in folds if (row["task"], row["method"]) == key]
        fit, predict = (np.median([row[f"{n}_seconds"] for row in own]) for n in ("fit", "predict"))
        lines.append(f"  {key[0]:16}{key[1]:16}{fit:8.2f}{predict:8.2f}")
    return "\n".join(lines)
