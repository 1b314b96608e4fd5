# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Damage real recordings, and compare which methods find the damage.

Only held-out subjects are used (the 4th, 8th, ... of each data set in sorted order), unfiltered as
they were recorded. Run ::

    python benchmarks/detection.py --quick

Whole channels and segments are damaged with a seeded generator. Methods are compared in the same
run: :func:`mne_gram.find_bads`, MNE's local outlier factor, and pyprep and autoreject if they are
installed. Anything found in the original recording counts as a false alarm, although it is unknown
whether it was clean.
"""

import argparse
import csv
import os
import time
import warnings
import zlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
from mne_bids import read_raw_bids
from scipy.signal import butter, sosfiltfilt

import mne_gram
from mne_gram._files import list_recordings
from mne_gram.covariance import (
    estimate_prior,
    forward_components,
    load_prior,
)
from mne_gram.montage import electrode_positions, match_channels
from mne_gram.training import split_subjects

DATASETS = ("alcohol", "eegmat", "eegmmi", "mdd")
WHOLE_KINDS = ("flat", "noise", "drift", "line", "other", "swapped")
SPAN_KINDS = ("muscle", "pop", "flat span", "rail")
SECONDS = 60.0


# ---------------------------------------------------------------------------------------------
# Damage


def load(path):
    """Read the EEG of one recording in montage names, with positions: at most 60 s, unfiltered."""
    raw = read_raw_bids(path, verbose="error").load_data()
    raw.pick("eeg", exclude=())
    cmap = match_channels(raw.info, on_missing="ignore")
    raw.pick([n for n, e in zip(cmap.ch_names, cmap.entries, strict=True) if e is not None])
    raw.rename_channels(dict(zip(raw.ch_names, match_channels(raw.info).entries, strict=True)))
    raw.info["bads"] = []
    places = dict(zip(mne_gram.montage.ELECTRODES, electrode_positions(), strict=True))
    montage = mne.channels.make_dig_montage(
        {name: places[name] for name in raw.ch_names}, coord_frame="head"
    )
    return raw.crop(0, min(SECONDS, raw.times[-1])).set_montage(montage)


def find_size(data, sfreq):
    """Return the amplitude of the EEG: the median deviation over channels and seconds."""
    length = round(sfreq)
    seconds = data[:, : data.shape[1] // length * length].reshape(len(data), -1, length)
    return np.median(seconds.std(axis=-1))


def damage_channels(data, sfreq, line_freq, stranger, rng):
    """Damage a tenth of the channels, at least two, throughout and in place.

    Returns the kind of damage by channel.
    """
    n_channels, n_times = data.shape
    size = find_size(data, sfreq)
    n_bad = max(2, round(0.1 * n_channels))
    chosen = rng.choice(n_channels, n_bad, replace=False).tolist()
    times = np.arange(n_times) / sfreq
    kinds = {}
    while chosen:
        channel = chosen.pop()
        options = [k for k in WHOLE_KINDS if k != "swapped" or chosen]
        kind = str(rng.choice([k for k in options if k != "line" or line_freq < sfreq / 2]))
        kinds[channel] = kind
        if kind == "flat":
            data[channel] = data[channel].mean()
        elif kind == "noise":
            level = size * np.exp(rng.uniform(np.log(0.5), np.log(50)))
            data[channel] = level * rng.standard_normal(n_times)
        elif kind == "drift":
            walk = np.cumsum(rng.standard_normal(n_times)) / np.sqrt(sfreq)
            data[channel] = size * rng.uniform(3, 20) * walk
            for _ in range(rng.integers(3, 10)):
                add_pop(data[channel], 0, n_times, sfreq, size, rng)
        elif kind == "line":
            level = size * np.exp(rng.uniform(np.log(3), np.log(30)))
            phase = rng.uniform(0, 2 * np.pi)
            data[channel] += level * np.sin(2 * np.pi * line_freq * times + phase)
        elif kind == "other":
            data[channel] = np.resize(stranger, n_times)
            data[channel] *= size / find_size(data[channel][None], sfreq)
        else:  # two plugs of a cap, far apart or close
            partner = chosen.pop()
            data[[channel, partner]] = data[[partner, channel]]
            kinds[partner] = "swapped"
    return kinds


def add_pop(signal, start, stop, sfreq, size, rng):
    """Add a jump that decays, in place."""
    onset = rng.integers(start, max(start + 1, stop - round(0.3 * sfreq)))
    jump = size * rng.uniform(5, 30) * rng.choice([-1, 1])
    rest = np.arange(stop - onset) / sfreq
    signal[onset:stop] += jump * np.exp(-rest / rng.uniform(0.1, 0.5))


def damage_spans(data, sfreq, kept, rng):
    """Damage segments of 0.5 to 4 s of four of the channels ``kept``, in place.

    Returns a list of channel, start, stop (samples) and kind.
    """
    n_times = data.shape[1]
    size = find_size(data[kept], sfreq)
    spans, taken = [], np.zeros(data.shape, bool)
    for channel in rng.choice(kept, min(4, len(kept)), replace=False):
        for _ in range(3):
            length = round(rng.uniform(0.5, 4.0) * sfreq)
            start = rng.integers(0, n_times - length)
            stop = start + length
            if taken[channel, start:stop].any():
                continue
            taken[channel, start:stop] = True
            kind = str(rng.choice(SPAN_KINDS))
            part, before = data[channel, start:stop], data[channel, start:stop].copy()
            if kind == "muscle":
                top = min(100.0, 0.45 * sfreq)
                band = butter(2, [20.0, top], "bandpass", fs=sfreq, output="sos")
                noise = sosfiltfilt(band, rng.standard_normal(length + 400))[200:-200]
                part += size * rng.uniform(2, 10) * noise / noise.std()
            elif kind == "pop":
                add_pop(part, 0, 1, sfreq, size, rng)
                add_pop(part, 0, length, sfreq, size, rng)
                # The rest of the decay does not count as damage.
                stop = start + 1 + int(np.flatnonzero(np.abs(part - before) > size / 2).max())
            elif kind == "flat span":
                part[:] = part[0]
            else:  # the amplifier is saturated
                limit = size * rng.uniform(8, 40)
                part += limit * rng.choice([-1, 1]) * 1.2
                np.clip(part, -limit, limit, out=part)
            spans.append((int(channel), start, stop, kind))
    return spans


def damage(raw, stranger, rng):
    """Damage a copy of a recording.

    Returns the copy, the kind of damage of bad channels by name, and the bad segments as a list of
    (name, start, stop, kind) in samples.
    """
    damaged, sfreq = raw.copy(), raw.info["sfreq"]
    line_freq = raw.info["line_freq"] or 50.0
    whole = damage_channels(damaged._data, sfreq, line_freq, stranger, rng)
    kept = np.setdiff1d(np.arange(len(raw.ch_names)), list(whole))
    spans = damage_spans(damaged._data, sfreq, kept, rng)
    names = raw.ch_names
    kinds = {names[channel]: kind for channel, kind in whole.items()}
    return damaged, kinds, [(names[channel], *rest) for channel, *rest in spans]


# ---------------------------------------------------------------------------------------------
# Methods: each returns bad channels, and a mask of bad samples or None


def run_gram(raw, prior):
    """Run find_bads."""
    report = mne_gram.find_bads(raw, prior=prior)
    mask = report.mask(raw)
    return report.channels, mask


def run_lof(raw, prior):
    """Run MNE's local outlier factor, with its defaults."""
    n_neighbors = min(20, len(raw.ch_names) - 1)
    return mne.preprocessing.find_bad_channels_lof(raw, n_neighbors=n_neighbors), None


def run_pyprep(raw, prior):
    """Run all criteria of pyprep, including RANSAC, on data without drift as it requires."""
    from pyprep import NoisyChannels

    noisy = NoisyChannels(raw.copy().filter(1.0, None), random_state=0)
    noisy.find_all_bads(ransac=len(raw.ch_names) >= 16)
    return noisy.get_bads(), None


def run_autoreject(raw, prior):
    """Run autoreject on epochs of one second; channels that are mostly bad count as bad."""
    from autoreject import AutoReject

    epochs = mne.make_fixed_length_epochs(
        raw.copy().filter(1.0, None), 1.0, preload=True, reject_by_annotation=False
    )
    reject = AutoReject(
        n_interpolate=[1, 4], consensus=[0.5, 1.0], cv=4, random_state=0, verbose=False
    )
    bad = reject.fit(epochs).get_reject_log(epochs).labels > 0
    mask = np.zeros((len(raw.ch_names), raw.n_times), bool)
    length = len(epochs.times)
    spread = np.repeat(bad.T, length, axis=1)[:, : raw.n_times]
    mask[:, : spread.shape[1]] = spread
    whole = bad.mean(axis=0) > 0.5
    return [name for name, out in zip(raw.ch_names, whole, strict=True) if out], mask


METHODS = dict(gram=run_gram, lof=run_lof, pyprep=run_pyprep, autoreject=run_autoreject)


def find_methods(wanted):
    """Return the methods that are available, and print which are not."""
    found = []
    for name in wanted:
        if name in ("pyprep", "autoreject"):
            try:
                __import__(name)
            except ImportError:
                print(f"{name} is not installed and is left out")
                continue
        found.append(name)
    return found


# ---------------------------------------------------------------------------------------------
# Measures


def measure(raw, kinds, spans, channels, mask):
    """Count hits and false alarms of one method on one recording.

    Returns ``hit, missed, false, all`` for channels and, if a method marks segments, for seconds of
    the other channels; and a list of (kind, share found) for each damage.
    """
    sfreq, names = raw.info["sfreq"], raw.ch_names
    channels, bad = set(channels), set(kinds)
    counts = dict(
        channel=dict(
            hit=len(channels & bad),
            missed=len(bad - channels),
            false=len(channels - bad),
            all=len(names),
        )
    )
    shares = [(kind, float(name in channels)) for name, kind in kinds.items()]
    if mask is not None:
        truth = np.zeros(mask.shape, bool)
        for name, start, stop, kind in spans:
            row = names.index(name)
            truth[row, start:stop] = True
            shares.append((kind, float(mask[row, start:stop].mean())))
        kept = [row for row, name in enumerate(names) if name not in bad | channels]
        truth, mask = truth[kept], mask[kept]
        counts["second"] = dict(
            hit=(truth & mask).sum() / sfreq,
            missed=(truth & ~mask).sum() / sfreq,
            false=(mask & ~truth).sum() / sfreq,
            all=mask.size / sfreq,
        )
    return counts, shares


def leave_subject_out(prior, dataset, subject):
    """Return the prior without the recordings of a subject in its library."""
    keep = np.array([source[:2] != (dataset, f"sub-{subject}") for source in prior.sources])
    recordings = tuple(r for r, k in zip(prior.recordings, keep, strict=True) if k)
    return replace(prior, weights=prior.weights[keep], recordings=recordings)


def run(args):
    """Run all methods on all recordings; return one row per recording, and one per damage."""
    rows, found = [], []
    for dataset in args.datasets:
        prior = load_prior()
        if args.leave_out:
            rest = [r for r in load_prior().recordings if r.source[0] != dataset]
            prior = estimate_prior(rest, forward_components())
        paths = list_recordings(args.shared / "eeg" / dataset)
        train, test = split_subjects([path.subject for path in paths])
        subjects = (train if args.train else test)[: args.subjects]
        paths = [path for path in paths if path.subject in subjects]
        if args.quick or args.one:  # one recording per subject
            paths = list({path.subject: path for path in paths}.values())
        if args.quick:
            paths = paths[:3]
        raws = {path.basename: load(path) for path in paths}
        for number, path in enumerate(paths):
            raw = raws[path.basename]
            rng = np.random.default_rng(zlib.crc32(path.basename.encode()))
            other = raws[paths[(number + len(paths) // 2) % len(paths)].basename]
            stranger = other.get_data()[rng.integers(len(other.ch_names))]
            damaged, kinds, spans = damage(raw, stranger, rng)
            own = leave_subject_out(prior, dataset, path.subject) if args.train else prior
            for method in args.methods:
                for inst, truth, parts in ((raw, {}, []), (damaged, kinds, spans)):
                    start = time.perf_counter()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        result = METHODS[method](inst.copy(), own)
                    seconds = time.perf_counter() - start
                    counts, shares = measure(inst, truth, parts, *result)
                    row = dict(dataset=dataset, recording=path.basename, method=method)
                    row["state"] = "damaged" if truth else "as recorded"
                    row["seconds_per_minute"] = 60 * seconds / (raw.n_times / raw.info["sfreq"])
                    for what, values in counts.items():
                        row.update({f"{what}_{key}": value for key, value in values.items()})
                    rows.append(row)
                    found += [(method, kind, share) for kind, share in shares]
        print(f"{dataset}: {len(paths)} recordings of {len(subjects)} subjects", flush=True)
    return rows, found


def rate(rows, what):
    """Return precision, recall and F1 of pooled counts."""
    hit, missed, false = (
        sum(row[f"{what}_{key}"] for row in rows) for key in ("hit", "missed", "false")
    )
    precision = hit / (hit + false) if hit + false else np.nan
    recall = hit / (hit + missed) if hit + missed else np.nan
    return precision, recall, 2 * hit / (2 * hit + missed + false) if hit else 0.0


def print_summary(rows, found, methods):
    """Print the tables."""
    groups = defaultdict(list)
    for row in rows:
        for dataset in (row["dataset"], "all"):
            groups[dataset, row["method"], row["state"]].append(row)
    for what, title in (("channel", "Channels"), ("second", "Channel-seconds")):
        print(f"\n{title}: precision, recall and F1 with damage; false alarms without")
        for dataset, method in sorted({key[:2] for key in groups}):
            damaged = groups[dataset, method, "damaged"]
            if f"{what}_hit" not in damaged[0]:
                continue
            clean = groups[dataset, method, "as recorded"]
            alarms = sum(r[f"{what}_false"] for r in clean) / sum(r[f"{what}_all"] for r in clean)
            values = " ".join(f"{value:6.2f}" for value in rate(damaged, what))
            print(f"  {dataset:9}{method:12}{values}   {100 * alarms:6.2f} %")
    print("\nShare found by kind of damage (of channels, or of the time of segments)")
    print(f"  {'':12}" + "".join(f"{method:>12}" for method in methods))
    for kind in (*WHOLE_KINDS, *SPAN_KINDS):
        line = f"  {kind:12}"
        for method in methods:
            shares = [share for m, k, share in found if (m, k) == (method, kind)]
            line += f"{np.mean(shares):7.2f}{len(shares):5}" if shares else f"{'-':>12}"
        print(line)
    print("\nSeconds per minute of EEG, median")
    for method in methods:
        values = [row["seconds_per_minute"] for row in rows if row["method"] == method]
        print(f"  {method:12}{np.median(values):8.2f}")


def parse_args(argv=None):
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=os.environ.get("MNE_GRAM_SHARED", root.parent / "shared"))
    add("--methods", default=",".join(METHODS))
    add("--datasets", default=",".join(DATASETS))
    add("--quick", action="store_true", help="three subjects per data set, without autoreject")
    add("--one", action="store_true", help="one recording per subject")
    add("--subjects", type=int, help="maximum number of subjects per data set")
    add(
        "--train",
        action="store_true",
        help="training subjects, as used to choose thresholds",
    )
    add("--leave-out", action="store_true", help="estimate the prior without the data set at hand")
    add("--csv", type=Path, help="write one row per recording, state and method")
    args = parser.parse_args(argv)
    args.methods = find_methods(args.methods.split(","))
    if args.quick:  # it takes longer than all others together
        args.methods = [method for method in args.methods if method != "autoreject"]
    args.datasets = args.datasets.split(",")
    args.shared = Path(args.shared)
    if not (args.shared / "eeg").is_dir():
        parser.error(f"no recordings in {args.shared}; set MNE_GRAM_SHARED to their folder")
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse_args(argv)
    mne.set_log_level("ERROR")
    start = time.perf_counter()
    rows, found = run(args)
    if args.csv:
        names = list(dict.fromkeys(name for row in rows for name in row))
        with open(args.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    print_summary(rows, found, args.methods)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
