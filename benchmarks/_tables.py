# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The summary of the benchmark as text."""

import numpy as np
from _cells import BANDS
from _summary import (
    BASELINE,
    average_draws,
    compare,
    find_goals,
    find_headline,
    find_interval,
    pool_coverage,
    pool_power,
)
from _truth import REGIMES, WHOLE


def format_summary(rows, cells, methods):
    """Return the whole summary of hidden samples as text."""
    parts = [
        format_cells(cells),
        format_headlines(rows, cells, methods),
        format_coverage(rows, cells, methods),
        format_power(cells, methods),
        format_peaks(rows, methods),
        format_goals(find_goals(rows, cells, methods)),
    ]
    return "\n\n".join(part for part in parts if part)


def format_cells(cells):
    """Return one line per cell and method."""
    lines = [
        f"{'data set':9}{'regime':10}{'method':24}{'n':>3} {'NMSE':>6} {'ratio':>6}"
        f" {'95 % interval':>15} {'r':>6} {'>1':>5} {'cover':>6} {'s/min':>6}"
    ]
    for c in cells:
        lines.append(
            f"{c['dataset']:9}{c['regime']:10}{c['method']:24}{c['n']:3} {c['nmse']:6.3f} "
            f"{c['ratio']:6.3f} {c['low']:7.3f}-{c['high']:7.3f} {c['r']:6.3f} "
            f"{c['above_one']:5.2f} {c['coverage']:6.2f} {c['seconds_per_minute']:6.2f}"
        )
    return "\n".join(lines)


def format_headlines(rows, cells, methods):
    """Return the geometric mean over cells of each method."""
    lines = ["Geometric mean over cells of the ratio to the spline's NMSE (95 % interval)"]
    partly = [regime for regime in REGIMES if regime not in WHOLE]
    for method in methods:
        head = find_headline(rows, method)
        if head is None:
            continue
        text = (
            f"  {method:24}{head['ratio']:.3f} ({head['low']:.3f}-{head['high']:.3f}) over "
            f"{head['n_cells']} cells (largest {head['largest']:.3f})"
        )
        for name, regimes in (("whole channels", WHOLE), ("segments and patches", partly)):
            part = find_headline(rows, method, regimes)
            if part is not None:
                text += f"; {name} {part['ratio']:.3f}"
        above = np.mean([row["nmse"] > 1 for row in rows if row["method"] == method])
        seconds = np.mean([c["seconds_per_minute"] for c in cells if c["method"] == method])
        lines.append(f"{text}; NMSE > 1 in {above:.1%}; {seconds:.2f} s per minute")
    return "\n".join(lines)


def format_coverage(rows, cells, methods):
    """Return the coverage of the 90 % intervals, pooled and by cell."""
    lines = []
    for method in methods:
        own = [c for c in cells if c["method"] == method and np.isfinite(c["coverage"])]
        if not own:
            continue
        low, high = (f(own, key=lambda c: c["coverage"]) for f in (min, max))
        edges = " to ".join(
            f"{c['coverage']:.3f} ({c['dataset']}, {c['regime']})" for c in (low, high)
        )
        lines.append(f"  {method:24}{pool_coverage(rows, method):.3f} pooled; cells {edges}")
    head = "Share of hidden samples within the 90 % interval (0.85-0.95 pooled, 0.75-0.99 per cell)"
    return "\n".join([head, *lines]) if lines else ""


def format_power(cells, methods):
    """Return the power of whole channels relative to the truth, per band."""
    lines = []
    for method in methods:
        found = pool_power(cells, method)
        if found is None:
            continue
        bands = "".join(f"{m:6.2f} ({a:.2f}-{b:.2f})" for m, a, b in zip(*found, strict=True))
        lines.append(f"  {method:24}{bands}")
    if not lines:
        return ""
    names = "".join(f"{f'{low:g}-{high:g} Hz':>18}" for low, high in BANDS)
    head = "Power over true power, whole channels: geometric mean over cells (range of cells)"
    return "\n".join([head, f"  {'':24}{names}", *lines])


def format_peaks(rows, methods):
    """Return the error of the peak of the evoked response, and its ratio to the spline's."""
    amplitudes, latencies = (average_draws(rows, f"peak_{n}") for n in ("amplitude", "latency"))
    lines = []
    for regime in (regime for regime in REGIMES if regime in WHOLE):
        for method in methods:
            key = next((k for k in amplitudes if k[1:] == (regime, method)), None)
            if key is None:
                continue
            errors = list(amplitudes[key].values())
            low, high = find_interval(errors)
            ratio = np.median(list(compare(amplitudes, *key, BASELINE).values()))
            late = np.median(list(latencies[key].values()))
            lines.append(
                f"  {regime:10}{method:24}{np.median(errors):6.3f} ({low:.3f}-{high:.3f})"
                f"{ratio:15.3f}{late:13.1f}"
            )
    if not lines:
        return ""
    head = "Peak of the evoked response in hidden channels (alcohol): median over recordings"
    names = (
        f"  {'regime':10}{'method':24}{'amplitude error':>21}{'over spline':>14}{'latency, ms':>13}"
    )
    return "\n".join([head, names, *lines])


def format_goals(goals):
    """Return the goals and whether they are met."""
    lines = [f"  {'met' if met else 'MISSED':8}{text}" for met, text in goals]
    return "\n".join(["Goals", *lines]) if lines else ""
