# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Drop electrodes of real recordings, add them by harmonize, and compare with the truth.

Only held-out subjects are used, as in ``restoration.py``. Of 64 electrodes a standard 32 or 19 are
kept, of 19 ten or eight. Run ::

    python benchmarks/harmonization.py --quick

The ratio of a cell (a data set and a number of kept electrodes) is the median over recordings of
the error of a method relative to that of ``inst.interpolate_to`` with splines in the same
recording, with a 95 % bootstrap interval over recordings. Only dropped electrodes are measured.
"""

import argparse
import os
import time
from pathlib import Path

import mne
import numpy as np
from _cells import measure
from _methods import load_priors
from _summary import summarize
from _truth import DATASETS, fill, flat, list_held_out, load_truth

import mne_gram
from mne_gram.metrics import subtract_kept_mean

TEN_TWENTY = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2".split()
EIGHT = "FP1 FP2 C3 C4 P7 P8 O1 O2".split()  # common on boards with eight channels
KEPT = {
    32: [*TEN_TWENTY, *"AF3 AF4 FC5 FC1 FC2 FC6 CP5 CP1 CP2 CP6 PO3 PO4 OZ".split()],
    19: TEN_TWENTY,
    10: [*EIGHT, "FZ", "PZ"],
    8: EIGHT,
}
MANY, FEW = (32, 19), (10, 8)  # of 60 electrodes and more, of 19
BASELINE = "to-spline"
INTERPOLATE_TO = {"to-spline": "spline", "to-mne": "MNE"}


def drop(inst, n_kept):
    """Return the truth, the data without the dropped electrodes, and the mask of the dropped ones.

    Both are relative to the mean of the kept electrodes.
    """
    lost = np.array([name not in KEPT[n_kept] for name in inst.ch_names])
    mask = np.repeat(lost[:, None], flat(inst).shape[1], axis=1)
    truth = fill(inst, subtract_kept_mean(flat(inst), mask))
    left = truth.copy().pick([n for n, gone in zip(inst.ch_names, lost, strict=True) if not gone])
    return truth, left, mask


def harmonize(method, left, truth, prior):
    """Return the data with all electrodes, and standard deviations or None."""
    if method in INTERPOLATE_TO:
        if method == "to-mne":  # minimum norm is computed in the average reference
            left = left.copy().set_eeg_reference("average", projection=True)
        montage = truth.get_montage()
        return left.copy().interpolate_to(montage, method=INTERPOLATE_TO[method]), None
    result, report = mne_gram.harmonize(
        left, truth.info, method=method, prior=prior, return_report=True
    )
    return result, report.std


def measure_recording(inst, dataset, path, n_kept, methods, prior):
    """Measure all methods on one recording."""
    truth, left, mask = drop(inst, n_kept)
    rows = []
    for method in methods:
        start = time.perf_counter()
        result, std = harmonize(method, left, truth, prior)
        seconds = time.perf_counter() - start
        if std is not None:
            std = flat(fill(truth, std if std.ndim == 2 else flat_epochs(std)))
        estimate = flat(result.reorder_channels(truth.ch_names))
        sfreq = truth.info["sfreq"]
        rows.append(
            dict(
                dataset=dataset,
                regime=f"{len(left.ch_names)} of {len(truth.ch_names)}",
                recording=path.basename,
                method=method,
                seconds_per_minute=60 * seconds / (mask.shape[1] / sfreq),
                **measure(flat(truth), estimate, std, mask, sfreq),
            )
        )
    return rows


def flat_epochs(values):
    """Return an array of epochs as (n_channels, n_samples)."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)


def run(args):
    """Measure all methods on all recordings; return one row each."""
    priors = load_priors(None, args.datasets if args.leave_out else [])
    rows = []
    for dataset in args.datasets:
        prior = priors[dataset if args.leave_out else None]
        paths = list_held_out(args.shared / "eeg" / dataset, quick=args.quick)
        for path in paths:
            inst = load_truth(path, dataset)
            for n_kept in MANY if len(inst.ch_names) > 32 else FEW:
                rows += measure_recording(inst, dataset, path, n_kept, args.methods, prior)
        print(f"{dataset}: {len(paths)} recordings", flush=True)
    return rows


def print_summary(cells, methods):
    """Print all cells and the geometric means."""
    print(
        f"\n{'data set':9}{'kept':10}{'method':10}{'n':>3} {'NMSE':>6} {'ratio':>6}"
        f" {'95 % interval':>14} {'r':>6} {'cover':>6} {'s/min':>6}"
    )
    for c in cells:
        print(
            f"{c['dataset']:9}{c['regime']:10}{c['method']:10}{c['n']:3} {c['nmse']:6.3f} "
            f"{c['ratio']:6.3f}  {c['low']:.3f} - {c['high']:.3f} {c['r']:6.3f} "
            f"{c['coverage']:6.2f} {c['seconds_per_minute']:6.2f}"
        )
    print("\nGeometric mean over cells of the ratio to the NMSE of interpolate_to with splines")
    for method in methods:
        ratios = np.array([c["ratio"] for c in cells if c["method"] == method])
        mean = np.exp(np.log(ratios).mean())
        print(f"  {method:10}{mean:.3f} over {len(ratios)} cells (largest {ratios.max():.3f})")


def parse_args(argv=None):
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=os.environ.get("MNE_GRAM_SHARED", root.parent / "shared"))
    add("--methods", default="to-mne,spline,spatial,auto", help="to-... is interpolate_to")
    add("--datasets", default=",".join(DATASETS))
    add("--quick", action="store_true", help="one recording per subject")
    add("--leave-out", action="store_true", help="estimate the prior without the data set at hand")
    args = parser.parse_args(argv)
    for name in ("methods", "datasets"):
        setattr(args, name, getattr(args, name).split(","))
    if BASELINE not in args.methods:
        args.methods.insert(0, BASELINE)
    args.shared = Path(args.shared)
    if not (args.shared / "eeg").is_dir():
        parser.error(f"no recordings in {args.shared}; set MNE_GRAM_SHARED to their folder")
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse_args(argv)
    mne.set_log_level("ERROR")
    start = time.perf_counter()
    print_summary(summarize(run(args), args.methods, BASELINE), args.methods)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
