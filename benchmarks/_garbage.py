# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Whether the content of bad samples influences the result."""

import zlib

import mne
import numpy as np
from _cells import applies
from _methods import restore
from _truth import draw_mask, fill, flat, load_truth

LIMIT = 1e-6  # of the signal
RAIL = 5e-3  # volts
NOISE = 1e-2  # volts


def make_garbage(shape, seed=0):
    """Return the fillings of bad samples by name."""
    rng = np.random.default_rng(seed)
    return {
        "0": np.zeros(shape),
        "NaN": np.full(shape, np.nan),
        "rails": RAIL * rng.choice([-1.0, 1.0], (shape[0], 1)) * np.ones(shape),
        "noise": NOISE * rng.standard_normal(shape),
    }


def compare_garbage(args, dataset, path, priors):
    """Restore one recording with each filling under the same masks: one row per regime and method.

    ``difference`` is the largest between results, relative to the standard deviation of the truth,
    and ``kept`` whether all good samples are bit-identical.
    """
    rows = []
    with mne.utils.use_log_level("ERROR"):
        inst = load_truth(path, dataset, args.unfiltered, seconds=args.seconds)
        truth = flat(inst)
        for regime in args.regimes:
            if not applies(regime, dataset):
                continue
            seed = zlib.crc32(f"{path.basename}/{regime}/garbage".encode())
            mask = draw_mask(regime, inst, np.random.default_rng(seed))
            for method in args.methods:
                if method == "ridge" and mask.all(axis=1).any():
                    continue
                found = []
                for garbage in make_garbage(truth.shape).values():
                    broken = fill(inst, np.where(mask, garbage, truth))
                    found.append(restore(method, broken, mask, priors, args.model, truth)[0])
                span = np.ptp(np.array([estimate[mask] for estimate in found]), axis=0)
                row = dict(dataset=dataset, regime=regime, recording=path.basename, method=method)
                row["difference"] = float(span.max() / truth.std())
                row["kept"] = all(np.array_equal(e[~mask], truth[~mask]) for e in found)
                rows.append(row)
    return rows


def format_garbage(rows):
    """Return the largest difference of each method as text."""
    n_recordings = len({row["recording"] for row in rows})
    lines = [
        f"Garbage of 0, NaN, rails and 10 mV noise under the same masks, {n_recordings} "
        f"recordings: largest difference over the signal (at most {LIMIT:g})"
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        worst = max(own, key=lambda row: np.nan_to_num(row["difference"], nan=np.inf))
        kept = "bit-identical" if all(row["kept"] for row in own) else "CHANGED"
        lines.append(
            f"  {method:24}{worst['difference']:8.1e} ({worst['dataset']}, {worst['regime']}); "
            f"good samples {kept}"
        )
    return "\n".join(lines)
