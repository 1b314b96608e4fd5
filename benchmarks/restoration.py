# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Hide samples of real recordings, restore them, compare with the truth.

Only held-out subjects are used (the 4th, 8th, ... of each data set in sorted order), whose
recordings are in nothing that the package ships. Run ::

    python benchmarks/restoration.py --methods spline,spatial --quick

A cell is one data set in one regime. Its ratio is the median over recordings of the method's error
over the spline's in the same recording, with a 95 % bootstrap interval over recordings; the
headline is the geometric mean over cells.
"""

import argparse
import csv
import functools
import os
import time
import zlib
from pathlib import Path
from unittest import mock

import mne
import numpy as np
from mne_bids import read_raw_bids
from ridge import repair_minimum_norm, repair_ridge

import mne_gram
from mne_gram.metrics import band_power_ratio, correlation, nmse
from mne_gram.montage import electrode_positions, match_channels, template_sphere
from mne_gram.prior import load_prior, read_recordings
from mne_gram.training.prior import estimate_prior, forward_components
from mne_gram.training.subjects import list_recordings, split_subjects

DATASETS = ("alcohol", "eegmat", "eegmmi", "mdd")
WHOLE = {"one": None, "10%": 0.10, "25%": 0.25, "50%": 0.50, "cluster": None}
REGIMES = (*WHOLE, "segments", "patches")
BANDS = ((0.5, 4), (4, 8), (8, 13), (13, 30), (30, 45))
SECONDS = 60.0
GARBAGE = 5e-3  # volts
# Variants of method="gram", which restore itself does not offer.
VARIANTS = {
    "gram-argmax": dict(decode="argmax"),
    "gram-own": dict(scale="network"),
    "gram-own-argmax": dict(scale="network", decode="argmax"),
    "gram-bare": dict(scale=None),
    "gram-bare-argmax": dict(scale=None, decode="argmax"),
}
CEILING = "gram-ceiling"


def load_truth(path, dataset, unfiltered=False):
    """Read one recording as the truth: Raw of 60 s in 0.5-45 Hz, or Epochs as they are."""
    raw = read_raw_bids(path, verbose="error").load_data()
    raw.pick("eeg", exclude=())
    cmap = match_channels(raw.info, on_missing="ignore")
    raw.pick([n for n, e in zip(cmap.ch_names, cmap.entries, strict=True) if e is not None])
    entries = match_channels(raw.info).entries
    raw.rename_channels(dict(zip(raw.ch_names, entries, strict=True)))
    raw.info["bads"] = []
    origin, _ = template_sphere()
    places = {n: p for n, p in zip(mne_gram.montage.ELECTRODES, electrode_positions(), strict=True)}
    montage = mne.channels.make_dig_montage(
        {name: places[name] for name in raw.ch_names}, coord_frame="head"
    )
    if dataset == "alcohol":
        sfreq = raw.info["sfreq"]
        length = int(sfreq)
        data = raw.get_data()
        data = data[:, : data.shape[1] // length * length].reshape(len(data), -1, length)
        inst = mne.EpochsArray(data.transpose(1, 0, 2), raw.info)
    else:
        raw.set_annotations(None)
        inst = raw.crop(0, min(SECONDS, raw.times[-1]))
        if not unfiltered:
            inst.filter(0.5, 45.0)
    return inst.set_montage(montage)


def draw_mask(regime, inst, rng):
    """Draw what is hidden, channels x all samples."""
    n_channels = len(inst.ch_names)
    n_times = flat(inst).shape[1]
    sfreq = inst.info["sfreq"]
    mask = np.zeros((n_channels, n_times), bool)
    if regime == "one":
        mask[rng.choice(n_channels)] = True
    elif regime == "cluster":
        places = np.array([ch["loc"][:3] for ch in inst.info["chs"]]) - template_sphere()[0]
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        near = np.argsort(-places @ places[rng.choice(n_channels)])
        mask[near[: 3 if n_channels < 32 else 6]] = True
    elif regime in WHOLE:
        n_bad = max(1, round(WHOLE[regime] * n_channels))
        mask[rng.choice(n_channels, n_bad, replace=False)] = True
    elif regime == "segments":
        for channel in rng.choice(n_channels, 4, replace=False):
            for _ in range(4):
                length = round(rng.uniform(0.5, 4.0) * sfreq)
                start = rng.integers(0, n_times - length)
                mask[channel, start : start + length] = True
    else:
        length = round(sfreq)
        hidden = rng.random((n_channels, n_times // length)) < 0.3
        mask[:, : hidden.shape[1] * length] = np.repeat(hidden, length, axis=1)
    return mask


def flat(inst):
    """Return channels x all samples."""
    data = inst.get_data(copy=False) if isinstance(inst, mne.BaseEpochs) else inst.get_data()
    return data if data.ndim == 2 else data.transpose(1, 0, 2).reshape(data.shape[1], -1)


def fill(inst, data):
    """Return a copy of an instance that holds other data (channels x all samples)."""
    inst = inst.copy()
    if isinstance(inst, mne.BaseEpochs):
        data = data.reshape(len(data), len(inst), -1).transpose(1, 0, 2)
    inst._data[:] = data
    return inst


def decode_truth(model, x, channels, mask, **kwargs):
    """Return what the decoder makes of the true classes of all patches."""
    import torch

    with torch.inference_mode():
        indices = model.tokenizer.encode(torch.from_numpy(x), channels).indices
        return model.tokenizer.decode(indices, channels).numpy()


def choose_repair(method, truth):
    """Return what stands in for the network's repair in a variant of method gram."""
    repair = mne_gram.restoration.repair_gram
    if method != CEILING:
        return functools.partial(repair, **VARIANTS.get(method, {}))

    def reach_ceiling(data, mask, pieces, sfreq, cmap, segments, model, *, line_freq, **kwargs):
        for segment in segments:
            segment.values[:] = truth[segment.channel, segment.start : segment.stop]
        repair(
            truth.copy(),
            *(mask, pieces, sfreq, cmap, segments, model),
            line_freq=line_freq,
            predict=decode_truth,
        )

    return reach_ceiling


def restore(method, inst, mask, prior, model, truth):
    """Restore hidden samples; return channels x samples and the standard deviation or None."""
    if method.startswith("gram-"):
        with mock.patch("mne_gram.restoration.repair_gram", choose_repair(method, truth)):
            return restore("gram", inst, mask, prior, model, truth)
    if method in ("ridge", "mne"):
        function = repair_ridge if method == "ridge" else repair_minimum_norm
        estimate = function(flat(inst), mask, inst.info)
        return estimate, None
    wanted = mask
    if isinstance(inst, mne.BaseEpochs):
        wanted = mask.reshape(len(mask), len(inst), -1).transpose(1, 0, 2)
    restored, report = mne_gram.restore(
        inst, mask=wanted, method=method, prior=prior, model=model, return_report=True
    )
    std = report.std
    return flat(restored), std if std.ndim == 2 else std.transpose(1, 0, 2).reshape(mask.shape)


def measure(truth, estimate, std, mask, sfreq):
    """Measure one restoration."""
    row = dict(nmse=nmse(truth, estimate, mask), r=correlation(truth, estimate, mask))
    if std is not None and np.isfinite(std[mask]).all():
        inside = np.abs(estimate - truth)[mask] <= 1.645 * std[mask]
        row["coverage"] = inside.mean()
    ratios = band_power_ratio(truth, estimate, mask, sfreq, BANDS)
    row.update({f"power_{low:g}_{high:g}": v for (low, high), v in zip(BANDS, ratios, strict=True)})
    return row


def run(args):
    """Measure all methods on all recordings; return one row each."""
    priors = {None: load_prior(args.prior)}
    if args.leave_out:
        recordings = read_recordings(args.prior)
        components = forward_components()
        for dataset in args.datasets:
            rest = [r for r in recordings if r.source[0] != dataset]
            priors[dataset] = estimate_prior(rest, components)
    rows = []
    for dataset in args.datasets:
        paths = list_recordings(args.shared / "eeg" / dataset)
        _, test = split_subjects([path.subject for path in paths])
        paths = [path for path in paths if path.subject in test]
        if args.quick:  # one recording a subject
            paths = list({path.subject: path for path in paths}.values())
        prior = priors.get(dataset, priors[None])
        for path in paths:
            inst = load_truth(path, dataset, args.unfiltered)
            for regime in REGIMES:
                if regime not in args.regimes or (dataset == "alcohol" and regime == "segments"):
                    continue
                rows += measure_recording(args, dataset, path, regime, inst, prior)
        print(f"{dataset}: {len(paths)} recordings of {len(test)} people", flush=True)
    return rows


def measure_recording(args, dataset, path, regime, inst, prior):
    """Measure all methods on one recording in one regime."""
    seed = zlib.crc32(f"{path.basename}/{regime}".encode())
    truth = flat(inst)
    rows = []
    for draw in range(args.draws):
        mask = draw_mask(regime, inst, np.random.default_rng([seed, draw]))
        broken = fill(inst, np.where(mask, GARBAGE, truth))
        for method in args.methods:
            if method == "ridge" and mask.all(axis=1).any():
                continue  # no clean data of the channel to learn from
            start = time.perf_counter()
            estimate, std = restore(method, broken, mask, prior, args.model, truth)
            seconds = time.perf_counter() - start
            minutes = truth.shape[1] / inst.info["sfreq"] / 60
            rows.append(
                dict(
                    dataset=dataset,
                    regime=regime,
                    subject=path.subject,
                    recording=path.basename,
                    draw=draw,
                    method=method,
                    seconds_per_minute=seconds / minutes,
                    **measure(truth, estimate, std, mask, inst.info["sfreq"]),
                )
            )
    return rows


def summarize(rows, methods, baseline="spline", n_boot=1000):
    """Return one row a cell and method: ratio to the baseline with its interval, and the rest."""
    means = {}
    for row in rows:
        means.setdefault(
            (row["dataset"], row["regime"], row["method"], row["recording"]), []
        ).append(row)
    cells = []
    for dataset, regime in sorted({key[:2] for key in means}):
        for method in methods:
            keys = [key for key in means if key[:3] == (dataset, regime, method)]
            if not keys:
                continue
            error = [np.mean([row["nmse"] for row in means[key]]) for key in keys]
            base = [
                np.mean([row["nmse"] for row in means[(dataset, regime, baseline, key[3])]])
                for key in keys
            ]
            ratio = np.array(error) / np.array(base)
            rng = np.random.default_rng(0)  # so that an interval depends on its own data alone
            draws = np.median(rng.choice(ratio, (n_boot, len(ratio))), axis=1)
            low, high = np.quantile(draws, [0.025, 0.975])
            every = [row for key in keys for row in means[key]]
            covered = [row["coverage"] for row in every if "coverage" in row]
            cells.append(
                dict(
                    dataset=dataset,
                    regime=regime,
                    method=method,
                    n=len(keys),
                    nmse=np.median(error),
                    ratio=np.median(ratio),
                    low=low,
                    high=high,
                    r=np.median([row["r"] for row in every]),
                    above_one=np.mean([row["nmse"] > 1 for row in every]),
                    coverage=np.mean(covered) if covered else np.nan,
                    seconds_per_minute=np.median([row["seconds_per_minute"] for row in every]),
                )
            )
    return cells


def print_summary(cells, methods):
    """Print every cell, then the geometric means."""
    print(
        f"\n{'data set':9}{'regime':10}{'method':17}{'n':>3} {'NMSE':>6} {'ratio':>6}"
        f" {'95 % interval':>15} {'r':>6} {'>1':>5} {'cover':>6} {'s/min':>6}"
    )
    for c in cells:
        print(
            f"{c['dataset']:9}{c['regime']:10}{c['method']:17}{c['n']:3} {c['nmse']:6.3f} "
            f"{c['ratio']:6.3f} {c['low']:7.3f}-{c['high']:7.3f} {c['r']:6.3f} "
            f"{c['above_one']:5.2f} {c['coverage']:6.2f} {c['seconds_per_minute']:6.2f}"
        )
    print("\nGeometric mean over cells of the ratio to the spline's NMSE")
    for method in methods:
        own = [c for c in cells if c["method"] == method]
        if not own:
            continue
        ratios = np.array([c["ratio"] for c in own])
        whole = np.array([c["ratio"] for c in own if c["regime"] in WHOLE])
        parts = [np.exp(np.log(ratios).mean()), ratios.max()]
        text = f"  {method:17}{parts[0]:.3f} over {len(own)} cells (largest {parts[1]:.3f})"
        if len(whole):
            text += f"; whole channels {np.exp(np.log(whole).mean()):.3f}"
        partly = np.array([c["ratio"] for c in own if c["regime"] not in WHOLE])
        if len(partly):
            text += f"; segments and patches {np.exp(np.log(partly).mean()):.3f}"
        print(text)


def parse_args(argv=None):
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=os.environ.get("MNE_GRAM_SHARED", root.parent / "shared"))
    add("--methods", default="spline,ridge,spatial,auto")
    add("--datasets", default=",".join(DATASETS))
    add("--regimes", default=",".join(REGIMES))
    add("--quick", action="store_true", help="one recording a subject")
    add("--unfiltered", action="store_true", help="keep drifts and line in the truth")
    add("--draws", type=int, default=1, help="masks a recording and regime")
    add("--leave-out", action="store_true", help="estimate the prior without the data set at hand")
    add("--prior", default=None, help="another prior than the bundled one")
    add("--model", default="gram-tiny", help="the network of method gram")
    add("--csv", type=Path, help="write one row a recording, regime, draw and method")
    args = parser.parse_args(argv)
    for name in ("methods", "datasets", "regimes"):
        setattr(args, name, getattr(args, name).split(","))
    if "spline" not in args.methods:
        args.methods.insert(0, "spline")
    args.shared = Path(args.shared)
    if not (args.shared / "eeg").is_dir():
        parser.error(f"no recordings in {args.shared}; set MNE_GRAM_SHARED to their folder")
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse_args(argv)
    mne.set_log_level("ERROR")
    start = time.perf_counter()
    rows = run(args)
    if args.csv:
        names = list(dict.fromkeys(name for row in rows for name in row))
        with open(args.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    if args.leave_out:
        print("The prior was estimated without the data set at hand.")
    print_summary(summarize(rows, args.methods), args.methods)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
