# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Decode and find broken channels with a `Restorer` that was fitted to other or earlier data.

Run ::

    python benchmarks/restorer.py --write

``decoding``: eyes closed or open in the healthy subjects of ``mdd``, in windows of 4 s from 0.5 to
45 Hz; logarithm of the power in five bands of all channels, logistic regression. Decoder and
Restorer are fitted to clean windows of training subjects and tested on the others, with subjects in
four folds. In each draw, a quarter of a test subject's channels are broken: they contain white
noise with one to ten times the typical deviation of a channel. Intervals (95 %) are over subjects.

``finding``: a Restorer with ``bads="auto"`` is fitted to the first half of a recording. In the
second half, in trials of 2 s, no, one or a quarter of the channels are damaged. What `find_bads`
finds in the whole recording does not count as clean. Held-out subjects of five data sets.

``others``: the same, fitted to 15 trials of each of up to eight subjects that are not held out.
"""

import argparse
import os
import time
from pathlib import Path

import mne
import numpy as np
from _cells import BANDS
from _decoding import PENALTY
from _summary import find_interval
from _truth import DATASETS, flat, list_held_out, load_truth
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from write_tables import format_interval, write_rows

import mne_gram

CONDITIONS = {
    "clean": "clean test data",
    "nothing": "broken, nothing done",
    "dropped": "decoder without the broken channels",
    "spline": "Restorer, method='spline'",
    "spatial": "Restorer",
    "auto": "Restorer, bads='auto'",
}
KINDS = ("white noise", "another subject", "flat", "rail", "line", "pop", "drift", "faint")
KINDS = (*KINDS, "six times as large")
N_BAD = {"none": 0.0, "one": 0.0, "a quarter": 0.25}


# ---------------------------------------------------------------------------------------------
# Decoding


def read_windows(root, n_subjects):
    """Return windows (n, n_channels, n_times), labels, subjects and the info."""
    paths = [p for p in list_held_out(root / "mdd", everyone=True) if p.subject.startswith("hc")]
    chosen = sorted({path.subject for path in paths})[:n_subjects]
    x, y, subjects, names = [], [], [], None
    for path in (path for path in paths if path.subject in chosen):
        raw = load_truth(path, "mdd")
        names = sorted(raw.ch_names) if names is None else names
        raw.reorder_channels(names)
        data = mne.make_fixed_length_epochs(raw, 4.0).get_data(copy=False)
        x.append(data)
        y += [int(path.task == "eyesclosed")] * len(data)
        subjects += [path.subject] * len(data)
    return np.concatenate(x), np.array(y), np.array(subjects), raw.info


def measure_power(x, sfreq):
    """Return the log power of each channel and band, (n, n_channels, n_bands)."""
    freqs, power = welch(x, sfreq, nperseg=x.shape[-1] // 2)
    inside = [(freqs >= low) & (freqs < high) for low, high in BANDS]
    return np.log(np.stack([power[..., k].mean(axis=-1) for k in inside], axis=-1))


def fit_decoder(features, y):
    """Fit logistic regression to features (n, n_channels, n_bands)."""
    decoder = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
    return decoder.fit(features.reshape(len(features), -1), y)


def decode(x, y, subjects, info, n_draws):
    """Return the accuracy in each condition, (n_subjects,), by condition."""
    sfreq, clean = info["sfreq"], measure_power(x, info["sfreq"])
    accuracy = {condition: {} for condition in CONDITIONS}
    for train, test in GroupKFold(4).split(x, y, subjects):
        decoder = fit_decoder(clean[train], y[train])
        options = dict(spline=dict(method="spline"), spatial={}, auto=dict(bads="auto"))
        fitted = {k: mne_gram.Restorer(info=info, **v).fit(x[train]) for k, v in options.items()}
        for subject in np.unique(subjects[test]):
            own = np.flatnonzero(subjects == subject)
            hits = {condition: [] for condition in CONDITIONS}
            for draw in range(n_draws):
                rng = np.random.default_rng([draw, *subject.encode()])
                bad = np.zeros(x.shape[1], bool)
                bad[rng.choice(len(bad), len(bad) // 4, replace=False)] = True
                broken = x[own].copy()
                size = np.median(broken.std(axis=-1)) * 10 ** rng.uniform(0, 1, bad.sum())
                broken[:, bad] = size[:, None] * rng.standard_normal(broken[:, bad].shape)
                mask = np.broadcast_to(bad, broken.shape[:2])
                data = dict(clean=x[own], nothing=broken)
                data["auto"] = fitted["auto"].transform(broken)
                for name in ("spline", "spatial"):
                    data[name] = fitted[name].transform(broken, mask=mask)
                for name, values in data.items():
                    features = measure_power(values, sfreq).reshape(len(own), -1)
                    hits[name].append(np.mean(decoder.predict(features) == y[own]))
                less = fit_decoder(clean[train][:, ~bad], y[train])
                features = clean[own][:, ~bad].reshape(len(own), -1)
                hits["dropped"].append(np.mean(less.predict(features) == y[own]))
            for condition, found in hits.items():
                accuracy[condition][subject] = np.mean(found)
    return {name: np.array([own[s] for s in sorted(own)]) for name, own in accuracy.items()}


# ---------------------------------------------------------------------------------------------
# Finding


def damage(kind, signal, size, stranger, info, rng):
    """Return a damaged version of a signal (n_times,)."""
    n_times = len(signal)
    seconds = np.arange(n_times) / info["sfreq"]
    if kind == "white noise":
        return size * rng.standard_normal(n_times)
    if kind == "another subject":
        start = rng.integers(0, stranger.shape[1] - n_times)
        part = stranger[rng.integers(len(stranger)), start : start + n_times]
        return size * part / part.std()
    if kind == "flat":
        return np.zeros(n_times)
    if kind == "rail":
        limit = size * rng.uniform(3, 20)
        wave = 1.2 * limit * np.sin(2 * np.pi * 0.4 * seconds + rng.uniform(0, 6))
        return np.clip(signal + wave, -limit, limit)
    if kind == "line":
        wave = np.sin(2 * np.pi * (info["line_freq"] or 50.0) * seconds)
        return signal + size * rng.uniform(2, 5) * wave
    if kind == "pop":
        since = seconds - seconds[rng.integers(0, n_times * 3 // 4)]
        return signal + size * rng.uniform(5, 20) * np.exp(-since / 0.3) * (since >= 0)
    if kind == "drift":
        walk = np.cumsum(rng.standard_normal(n_times))
        return signal + size * rng.uniform(1, 5) * (walk - walk.mean()) / walk.std()
    return (6 if kind == "six times as large" else rng.uniform(0.05, 0.3)) * signal


def read_trials(path, dataset):
    """Return a recording as Epochs."""
    inst = load_truth(path, dataset)
    if isinstance(inst, mne.io.BaseRaw):
        inst = mne.make_fixed_length_epochs(inst, 2.0, preload=True)
    return inst


def read_others(root, dataset, like):
    """Return trials of other subjects, not held out, that are recorded like an Epochs."""
    held_out, paths = list_held_out(root / dataset), list_held_out(root / dataset, everyone=True)
    paths = {p.subject: p for p in paths if p not in held_out}.values()
    found = []
    for path in paths:
        inst = read_trials(path, dataset)
        same = inst.info["sfreq"] == like.info["sfreq"]
        if same and sorted(inst.ch_names) == sorted(like.ch_names):
            found.append(inst[:15].reorder_channels(like.ch_names))
        if len(found) == 8:
            break
    return mne.concatenate_epochs(found)


def find(root, dataset, n_recordings, n_trials, others):
    """Damage trials of a data set; returns hits and number, by share of bad channels and kind.

    ``others`` is whether to fit to other subjects.
    """
    counts = {(share, kind): [0, 0] for share in N_BAD for kind in (*KINDS, "clean")}
    paths = list_held_out(root / dataset, quick=True)[:n_recordings]
    insts = [read_trials(path, dataset) for path in paths]
    for number, inst in enumerate(insts):
        train, test = inst[: len(inst) // 2], inst[len(inst) // 2 :][:n_trials]
        doubtful = mne_gram.find_bads(inst).mask(inst)[len(train) :]
        learned = read_others(root, dataset, inst) if others else train
        restorer = mne_gram.Restorer(bads="auto").fit(learned)
        stranger = flat(insts[number - 1])
        x, rng = test.get_data(copy=False), np.random.default_rng(number)
        for share, part in N_BAD.items():
            for trial, wrong in zip(x, doubtful, strict=False):
                n_bad = max(int(share != "none"), round(part * len(trial)))
                broken, size = trial.copy(), np.median(trial.std(axis=1))
                kinds = np.full(len(trial), "clean", object)
                for channel in rng.choice(np.flatnonzero(~wrong), n_bad, replace=False):
                    kind = kinds[channel] = str(rng.choice(KINDS))
                    broken[channel] = damage(kind, trial[channel], size, stranger, inst.info, rng)
                found = (restorer.transform(broken[None])[0] != broken).any(axis=1)
                for kind, hit in zip(kinds[~wrong], found[~wrong], strict=True):
                    counts[share, kind][0] += hit
                    counts[share, kind][1] += 1
    return counts


def parse_args():
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=os.environ.get("MNE_GRAM_SHARED", root.parent / "shared"))
    add("--what", default="decoding,finding,others")
    add("--subjects", type=int, default=20)
    add("--draws", type=int, default=2)
    add("--recordings", type=int, default=3, help="per data set, of finding")
    add("--trials", type=int, default=10, help="per recording, of finding")
    add("--write", action="store_true", help="write doc/tables/restorer*.csv")
    return parser.parse_args()


def main():
    """Run the benchmark."""
    args, start = parse_args(), time.perf_counter()
    root = Path(args.shared) / "eeg"
    mne.set_log_level("error")
    if "decoding" in args.what:
        rows = []
        accuracy = decode(*read_windows(root, args.subjects), args.draws)
        for name, own in accuracy.items():
            gain = own - accuracy["spline"]
            score = format_interval(own.mean(), *find_interval(own, np.mean))
            gain = format_interval(gain.mean(), *find_interval(gain, np.mean))
            rows.append([CONDITIONS[name], score, gain])
            print(f"{CONDITIONS[name]:38}{score:28}{gain:28}{len(own)} subjects", flush=True)
        if args.write:
            write_rows("restorer_decoding", ["test data", "accuracy", "minus spline"], rows)
    for what in ("finding", "others"):
        if what not in args.what:
            continue
        total = {}
        for dataset in DATASETS:
            found = find(root, dataset, args.recordings, args.trials, what == "others")
            clean = [found[share, "clean"] for share in N_BAD]
            print(dataset, *(f"{k}: {a / n:.3f}" for k, (a, n) in zip(N_BAD, clean, strict=True)))
            for key, count in found.items():
                total[key] = np.add(total.get(key, 0), count)
        rows = []
        for share in N_BAD:
            counts = [total[share, kind] for kind in ("clean", *KINDS)]
            rows.append([share, *(f"{a / n:.3f}" if n else "" for a, n in counts)])
            print(*rows[-1], f"({counts[0][1]} clean)", flush=True)
        if args.write:
            write_rows(f"restorer_{what}", ["broken", "false alarms", *KINDS], rows)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
