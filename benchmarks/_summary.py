# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Summaries of the rows of the benchmark: cells, headlines, and goals.

A cell is one data set in one regime. Its ratio is the median over recordings of the NMSE of a
method relative to that of the spline in the same recording (averaged over draws). Intervals are
95 % bootstrap intervals over recordings; for a geometric mean over cells, a recording is drawn with
all of its regimes.
"""

from collections import defaultdict

import numpy as np
from _cells import BANDS, power_name
from _truth import WHOLE

BASELINE = "spline"
N_BOOT = 1000
LEVELS = (0.025, 0.975)
# The ratio over all cells that is aimed at, by the library that is used.
GOALS = {"auto": 0.45, "auto-left-out": 0.55, "auto-cohort-5": 0.46, "auto-cohort-all": 0.45}
EXPERTS = ("spatial", "gram")  # what auto is compared with, in addition to the spline


def find_interval(values, statistic=np.median, n_boot=N_BOOT):
    """Return the bootstrap interval of a statistic of values (n,), the same for the same values."""
    rng = np.random.default_rng(0)  # so that an interval depends on its own data alone
    draws = statistic(rng.choice(np.asarray(values), (n_boot, len(values))), axis=1)
    return tuple(np.quantile(draws, LEVELS))


def average_draws(rows, column="nmse"):
    """Average a column over draws: ``(dataset, regime, method) -> {recording: value}``."""
    values = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.get(column) is not None:
            key = (row["dataset"], row["regime"], row["method"])
            values[key][row["recording"]].append(row[column])
    return {
        key: {recording: float(np.mean(found)) for recording, found in own.items()}
        for key, own in values.items()
    }


def compare(values, dataset, regime, method, baseline=BASELINE):
    """Return the ratio to the baseline by recording, where both are known."""
    own, base = (values.get((dataset, regime, name), {}) for name in (method, baseline))
    return {recording: own[recording] / base[recording] for recording in own if recording in base}


def summarize(rows, methods, baseline=BASELINE, n_boot=N_BOOT):
    """Return one row per cell and method: ratio to the baseline, its interval, other measures."""
    errors = average_draws(rows)
    groups = defaultdict(list)
    for row in rows:
        groups[row["dataset"], row["regime"], row["method"]].append(row)
    cells = []
    for dataset, regime in sorted({key[:2] for key in groups}):
        for method in methods:
            every = groups.get((dataset, regime, method))
            if not every:
                continue
            ratios = list(compare(errors, dataset, regime, method, baseline).values())
            low, high = find_interval(ratios, n_boot=n_boot)
            covered = [row["coverage"] for row in every if "coverage" in row]
            cell = dict(dataset=dataset, regime=regime, method=method, n=len(ratios))
            cell.update(ratio=np.median(ratios), low=low, high=high)
            cell["nmse"] = np.median(list(errors[dataset, regime, method].values()))
            cell["r"] = np.median([row["r"] for row in every])
            cell["above_one"] = np.mean([row["nmse"] > 1 for row in every])
            cell["coverage"] = np.mean(covered) if covered else np.nan
            cell["seconds_per_minute"] = np.median([row["seconds_per_minute"] for row in every])
            for name in map(power_name, BANDS):
                found = [row[name] for row in every if np.isfinite(row.get(name, np.nan))]
                cell[name] = np.median(found) if found else np.nan
            cells.append(cell)
    return cells


def find_headline(rows, method, regimes=None, baseline=BASELINE, n_boot=N_BOOT):
    """Return the geometric mean over cells of the ratio, with its interval; None without cells.

    ``regimes`` selects cells. ``largest`` is the largest ratio of a cell.
    """
    errors = average_draws(rows)
    cells = defaultdict(dict)
    for dataset, regime, name in errors:
        if name == method and (regimes is None or regime in regimes):
            ratios = compare(errors, dataset, regime, method, baseline)
            if ratios:
                cells[dataset][regime] = ratios
    if not cells:
        return None
    rng = np.random.default_rng(0)
    points, draws = [], []
    for regimes_of in cells.values():
        recordings = sorted({name for ratios in regimes_of.values() for name in ratios})
        table = np.array(
            [[ratios.get(name, np.nan) for ratios in regimes_of.values()] for name in recordings]
        )
        chosen = table[rng.integers(len(table), size=(n_boot, len(table)))]
        points.append(np.nanmedian(table, axis=0))
        draws.append(np.nanmedian(chosen, axis=1))
    points = np.concatenate(points)
    means = np.exp(np.nanmean(np.log(np.concatenate(draws, axis=1)), axis=1))
    low, high = np.quantile(means, LEVELS)
    ratio = np.exp(np.log(points).mean())
    return dict(ratio=ratio, low=low, high=high, largest=points.max(), n_cells=len(points))


def pool_coverage(rows, method):
    """Return the share of all hidden samples within the 90 % intervals of a method."""
    own = [row for row in rows if row["method"] == method and "coverage" in row]
    if not own:
        return np.nan
    counts = [row.get("n_hidden", 1) for row in own]
    return float(np.average([row["coverage"] for row in own], weights=counts))


def pool_power(cells, method):
    """Return the geometric mean over cells of each band's power ratio, and its range.

    Only cells of whole channels have one.
    """
    own = [c for c in cells if c["method"] == method and c["regime"] in WHOLE]
    table = np.array([[c[name] for name in map(power_name, BANDS)] for c in own])
    table = table[np.isfinite(table).all(axis=1)] if len(table) else table
    if not len(table):
        return None
    return np.exp(np.log(table).mean(axis=0)), table.min(axis=0), table.max(axis=0)


def find_goals(rows, cells, methods):
    """Return a list of (whether met, goal with the measured value)."""
    goals = []
    for method in (name for name in GOALS if name in methods):
        head = find_headline(rows, method)
        if head is None:
            continue
        found = f"{head['ratio']:.3f} ({head['low']:.3f}-{head['high']:.3f})"
        goal = GOALS[method]
        goals.append((head["ratio"] <= goal, f"{method}: over all cells at most {goal}: {found}"))
        large = max((c for c in cells if c["method"] == method), key=lambda c: c["ratio"])
        found = f"{large['ratio']:.3f} ({large['dataset']}, {large['regime']})"
        goals.append((large["ratio"] <= 1, f"{method}: no cell above 1.00: largest {found}"))
        goals += _compare_ridge(rows, method) + _compare_experts(rows, cells, method)
        goals += _hold_coverage(rows, cells, method)
    for method in (name for name in methods if name.endswith("-sample")):
        powers = pool_power(cells, method)
        if powers is not None:
            found = " ".join(f"{value:.2f}" for value in powers[0])
            met = bool(((powers[0] >= 0.9) & (powers[0] <= 1.1)).all())
            goals.append((met, f"{method}: power ratio of every band within 0.9-1.1: {found}"))
    return goals


def _compare_ridge(rows, method):
    head = find_headline(rows, method, ("segments",), "ridge")
    if head is None:
        return []
    found = f"{head['ratio']:.3f} ({head['low']:.3f}-{head['high']:.3f}), largest cell"
    text = f"{method}: segments at or under ridge: {found} {head['largest']:.3f}"
    return [(head["ratio"] <= 1, text)]


def _compare_experts(rows, cells, method):
    """Compare a method with the best expert of each cell."""
    ending = method.removeprefix("auto")
    experts = [BASELINE, *(f"{expert}{ending}" for expert in EXPERTS)]
    errors = average_draws(rows)
    worst = (-np.inf, 0.0, "")
    for cell in (c for c in cells if c["method"] == method):
        where = cell["dataset"], cell["regime"]
        own = [c for c in cells if (c["dataset"], c["regime"]) == where and c["method"] in experts]
        best = min(own, key=lambda c: c["ratio"])["method"]
        ratios = list(compare(errors, *where, method, best).values())
        text = f"{', '.join(where)}: {np.median(ratios):.3f} of {best}"
        worst = max(worst, (find_interval(ratios)[0], np.median(ratios), text))
    met = worst[0] <= 1.05
    return [(met, f"{method}: within 5 % of the best expert, beyond the interval: {worst[2]}")]


def _hold_coverage(rows, cells, method):
    own = [c["coverage"] for c in cells if c["method"] == method and np.isfinite(c["coverage"])]
    if not own:
        return []
    pooled = pool_coverage(rows, method)
    text = f"{method}: 90 % interval covers 0.85-0.95 pooled, 0.75-0.99 in each cell"
    met = 0.85 <= pooled <= 0.95 and min(own) >= 0.75 and max(own) <= 0.99
    return [(bool(met), f"{text}: {pooled:.3f}, {min(own):.3f}-{max(own):.3f}")]
