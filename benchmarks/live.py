# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore data that arrive chunk by chunk: errors by delay, detection, and a stream of MNE-LSL.

Run ``python benchmarks/live.py``, or ``--what errors``, ``detection`` or ``lsl``. Recordings are
those of held-out subjects, filtered to 1-45 Hz without looking ahead. The first half is for `fit`
(for the stream, run 4 of a subject), the second half arrives later (run 8). The stream needs the
package mne-lsl.
"""

import argparse
import os
import time
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from _live_stream import DAMAGES, damage, measure_stream
from _truth import DATASETS, list_held_out, load_truth
from scipy.signal import butter, sosfilt

import mne_gram
from mne_gram.metrics import nmse

DELAYS = (0.0, 0.2, 0.3, 0.4, 0.6, 0.825)  # seconds
BAND = (1.0, 45.0)  # Hz
SKIPPED = 2.0  # seconds in which filters settle
SECONDS = 120.0
DRAWS = 4  # of hidden or damaged channels


def read_halves(path, dataset):
    """Return the first half of a recording, with bad channels marked, and the second half."""
    raw = load_truth(path, dataset, unfiltered=True, seconds=SECONDS)
    sos = butter(2, BAND, "bandpass", fs=raw.info["sfreq"], output="sos")
    raw._data = sosfilt(sos, raw._data, axis=1)
    raw.crop(SKIPPED)
    middle = raw.times[-1] / 2
    first = raw.copy().crop(0, middle)
    return mne_gram.find_bads(first).mark(first), raw.crop(middle)


def measure_errors(first, second, rng):
    """Return the log error of hidden channels (a tenth of all) by delay, and of splines."""
    names = {f"{delay:g} s": dict(delay=delay) for delay in DELAYS}
    fitted = {"spatial": mne_gram.Restorer().fit(first)}
    fitted["spline"] = mne_gram.Restorer(method="spline").fit(first)
    truth = second.get_data(fitted["spatial"].ch_names_)
    candidates = np.flatnonzero(~np.isin(fitted["spatial"].ch_names_, first.info["bads"]))
    margin = round(2 * SKIPPED * second.info["sfreq"])
    logs = {name: [] for name in ("spline", *names)}
    for _ in range(DRAWS):
        bad = np.zeros(len(truth), bool)
        bad[rng.choice(candidates, max(1, len(truth) // 10), replace=False)] = True
        # Channels that are bad in fit are no truth, and are not used either.
        marks = bad | np.isin(fitted["spatial"].ch_names_, first.info["bads"])
        good = ~marks | bad
        mask = np.repeat(bad[:, None], truth.shape[1], axis=1)
        data = np.where(mask, 0.0, truth)
        for name in logs:
            restorer = fitted["spline" if name == "spline" else "spatial"]
            live = mne_gram.LiveRestorer(restorer, detect=False, **names.get(name, {}))
            found = live.process(data, mask=marks)
            late = round(live.delay * second.info["sfreq"])
            inside = slice(margin, truth.shape[1] - margin)
            found = found[:, late:][:, inside.start : truth.shape[1] - margin]
            parts = truth[good][:, inside], found[good], mask[good][:, inside]
            logs[name].append(np.log(nmse(*parts)))
    return {name: np.mean(values) for name, values in logs.items()}


def measure_detection(first, second, rng):
    """Damage one channel at a time; return rows, and what is found where nothing was damaged."""
    restorer = mne_gram.Restorer().fit(first)
    sfreq, names = second.info["sfreq"], restorer.ch_names_
    truth = second.get_data(names)
    live = mne_gram.LiveRestorer(restorer)
    live.process(truth)
    candidates = np.flatnonzero(~np.isin(names, first.info["bads"]))
    minutes = truth.shape[1] / sfreq / 60
    found = live.annotations
    alarms = dict(
        alarms=len(found) / len(candidates) / minutes,
        share=found.duration.sum() / 60 / len(candidates) / minutes,
    )
    usual = [name for names in found.ch_names for name in names]
    candidates = [k for k in candidates if names[k] not in usual] or candidates
    rows, (start, stop) = [], (5.0, 12.0)
    line_freq = second.info["line_freq"] or 50.0
    for kind in DAMAGES:
        for _ in range(DRAWS):
            channel = rng.choice(candidates)
            data = truth[:, : round(18 * sfreq)].copy()
            inside = slice(round(start * sfreq), round(stop * sfreq))
            data[channel, inside] = damage(data[channel, inside], kind, sfreq, line_freq, rng)
            live = mne_gram.LiveRestorer(restorer)
            live.process(data)
            spans = [a for a in live.annotations if a["ch_names"] == (names[channel],)]
            found = any(a["onset"] <= stop for a in spans)
            begin = spans[0]["onset"] - start if found else np.inf
            end = spans[-1]["onset"] + spans[-1]["duration"] - stop if found else np.nan
            rows.append(dict(kind=kind, seconds=begin, recovery=end))
    return rows, alarms


def print_errors(halves):
    """Print the geometric mean error of each data set, and its ratio to no delay."""
    rows = []
    for dataset, number, first, second in halves:
        measured = measure_errors(first, second, np.random.default_rng(number))
        rows.append(dict(dataset=dataset, **measured))
    table = pd.DataFrame(rows).groupby("dataset").mean()
    print("\nError (NMSE) of a tenth of the channels, geometric mean, by delay")
    print(np.exp(table).round(3).to_string())
    print("\nRatio to the error without delay")
    print(np.exp(table.sub(table["0 s"], axis=0)).round(3).to_string(), flush=True)


def print_detection(halves):
    """Print how soon a damaged channel is found, and how often one that was not damaged."""
    rows, alarms = [], []
    for dataset, number, first, second in halves:
        found, others = measure_detection(first, second, np.random.default_rng(number))
        rows += [dict(dataset=dataset, **row) for row in found]
        alarms.append(dict(dataset=dataset, **others))
    table = pd.DataFrame(rows).groupby("kind", sort=False)
    result = table["seconds"].quantile([0.5, 0.9]).unstack()
    result.columns = ["found after (median)", "(90 %)"]
    result["found"] = table["seconds"].apply(lambda x: np.isfinite(x).mean())
    result["good again after (median)"] = table["recovery"].median()
    print("\nDamage of 7 s: seconds until it is found, and until the channel is good again")
    print(result.round(2).to_string())
    print("\nFound where nothing was damaged: per channel and minute, and share of the time")
    print(pd.DataFrame(alarms).groupby("dataset").mean().round(4).to_string(), flush=True)


def main():
    """Run what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("MNE_GRAM_SHARED", "../shared")
    parser.add_argument("--root", type=Path, default=Path(shared) / "eeg")
    parser.add_argument("--what", default="errors,detection,lsl")
    parser.add_argument("--max-recordings", type=int, help="per data set")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the stream")
    parser.add_argument("--delays", default="0,0.3", help="of the stream")
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    parts, start = args.what.split(","), time.time()
    if {"errors", "detection"} & set(parts):
        halves = []
        for dataset in DATASETS:
            if dataset == "alcohol":  # trials of one second
                continue
            paths = list_held_out(args.root / dataset, quick=True, most=args.max_recordings)
            halves += [(dataset, k, *read_halves(path, dataset)) for k, path in enumerate(paths)]
        if "errors" in parts:
            print_errors(halves)
        if "detection" in parts:
            print_detection(halves)
    if "lsl" in parts:
        runs = list_held_out(args.root / "eegmmi", most=2)
        raws = [load_truth(path, "eegmmi", unfiltered=True, seconds=SECONDS) for path in runs]
        for raw in raws:
            sos = butter(2, BAND, "bandpass", fs=raw.info["sfreq"], output="sos")
            raw._data = sosfilt(sos, raw._data, axis=1)
            raw.crop(SKIPPED)
        delays = [None, *map(float, args.delays.split(","))]
        measure_stream(*raws, delays, args.seconds)
    print(f"\n{time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
