# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What restoring and finding bad channels cost by channels, rate, length and kind of mask.

Each case runs in a process of its own, in one thread; its cost is in seconds of the processor. A
case is *within the limit* if it takes a tenth of the duration per 64 channels, beyond a second.
"""

import csv
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import mne
import numpy as np

import mne_gram

FIXED, SHARE = 1.0, 0.1  # seconds, and the share of the duration per 64 channels
MONTAGES = {8: "biosemi16", 16: "biosemi16", 32: "biosemi32", 64: "biosemi64"}
MONTAGES |= {128: "biosemi128", 256: "biosemi256"}
EPOCH = 1.0  # second


class Case(NamedTuple):
    """A recording, and what is bad in it."""

    n_channels: int
    sfreq: float
    seconds: float
    bad: str  # a key of MASKS, or "detection"


CASES = [Case(64, 250, seconds, "10 %") for seconds in (1, 10, 60, 600)]
CASES += [Case(n, 250, 60, "10 %") for n in (8, 16, 32, 128, 256)]
CASES += [Case(64, sfreq, 60, "10 %") for sfreq in (100, 500, 1000, 2000)]
CASES += [Case(64, 250, 60, bad) for bad in ("one", "30 %", "patches", "segments", "epochs")]
CASES += [Case(64, 250, 60, "short")]
CASES += [Case(16, 160, 10, "scattered"), Case(64, 160, 8, "scattered")]
CASES += [Case(256, 160, 10, "scattered"), Case(64, 1000, 5, "scattered")]
CASES += [Case(n, 250, 40, "detection") for n in (64, 128, 256)]


def make_recording(case):
    """Return noise whose covariance falls with distance, with a spectrum as EEG has."""
    montage = mne.channels.make_standard_montage(MONTAGES[case.n_channels])
    step = len(montage.ch_names) // case.n_channels
    names = montage.ch_names[::step]
    info = mne.create_info(names, float(case.sfreq), "eeg").set_montage(montage)
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    root = np.linalg.cholesky(np.exp(-((distance / 0.06) ** 2) / 2) + 0.05 * np.eye(len(names)))
    n_times = round(case.seconds * case.sfreq)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal((len(names), n_times)))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(n_times, 1 / case.sfreq), 0.5))
    signal = np.fft.irfft(spectrum, n_times)
    return mne.io.RawArray(1e-5 * root @ (signal / signal.std()), info, verbose="error")


def draw_mask(case):
    """Return which samples are bad, bool (n_channels, n_times)."""
    rng = np.random.default_rng(1)
    n_channels, n_times = case.n_channels, round(case.seconds * case.sfreq)
    mask = np.zeros((n_channels, n_times), bool)
    order = rng.permutation(n_channels)
    if case.bad == "one":
        mask[order[0]] = True
    elif case.bad.endswith("%"):
        mask[order[: max(1, round(float(case.bad[:-1]) / 100 * n_channels))]] = True
    elif case.bad == "patches":  # a tenth of the channels at a time, for two seconds
        for start in range(0, n_times, round(4 * case.sfreq)):
            first = rng.integers(n_channels)
            rows = np.arange(first, first + max(1, n_channels // 10)) % n_channels
            mask[rows, start : start + round(2 * case.sfreq)] = True
    elif case.bad == "segments":  # of single channels, half a second, two per second
        for start in rng.integers(0, n_times, round(2 * case.seconds)):
            mask[rng.integers(n_channels), start : start + round(0.5 * case.sfreq)] = True
    elif case.bad == "short":  # of single channels, one to five samples, twenty per second
        for start in rng.integers(0, n_times, round(20 * case.seconds)):
            mask[rng.integers(n_channels), start : start + rng.integers(1, 6)] = True
    elif case.bad == "epochs":  # 5 % of channels and epochs
        length = round(EPOCH * case.sfreq)
        drawn = rng.random((n_channels, -(-n_times // length))) < 0.05
        mask[:] = np.repeat(drawn, length, axis=1)[:, :n_times]
    elif case.bad == "scattered":  # single samples
        mask = rng.random(mask.shape) < 0.4
    return mask


def add_noise(raw):
    """Replace every tenth channel by noise, to be found."""
    raw._data[::10] = 2e-5 * np.random.default_rng(2).standard_normal(raw._data[::10].shape)


def prepare(case, method):
    """Return a function without arguments, to be measured."""
    raw = make_recording(case)
    if case.bad == "detection":
        add_noise(raw)
        return lambda: mne_gram.find_bads(raw)
    mask = draw_mask(case)
    if case.bad == "epochs":
        data = mne.make_fixed_length_epochs(raw, EPOCH, preload=True, verbose="error")
        mask = mask[:, :: round(EPOCH * case.sfreq)].T[: len(data)]
        if method == "auto":
            return lambda: mne_gram.restore(data, mask=mask)
        return lambda: interpolate_epochs(data, mask, get_interpolation(method))
    if method == "auto":
        return lambda: mne_gram.restore(raw, mask=mask)
    if not (mask == mask[:, :1]).all():
        return None  # MNE and autoreject interpolate whole channels
    raw.info["bads"] = [name for name, bad in zip(raw.ch_names, mask[:, 0], strict=True) if bad]
    return partial(get_interpolation(method), raw)


def get_interpolation(method):
    """Return a function that interpolates the bads of an inst, in place or as a result."""
    if method == "interpolate_bads":
        return lambda inst: inst.interpolate_bads()
    from autoreject.utils import interpolate_bads

    return lambda inst: interpolate_bads(inst, np.arange(len(inst.ch_names)))


def interpolate_epochs(epochs, mask, interpolate):
    """Interpolate bad channels epoch by epoch."""
    for number, bad in enumerate(mask):
        one = epochs[number]
        one.info["bads"] = [name for name, k in zip(epochs.ch_names, bad, strict=True) if k]
        if one.info["bads"]:
            interpolate(one)


def _measure(case, method):
    """Return the seconds of the processor and the memory in MB that a case takes."""
    mne.set_log_level("ERROR")
    function = prepare(case, method)
    if function is None:
        return np.nan, np.nan
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    function()
    seconds = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, (after - before) / 1e3


def measure(case, method):
    """Measure a case in a process that has imported everything and loaded the prior."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(_measure, case, method).result()


def sweep(cases, fname=None):
    """Measure all cases, print and return rows, and write them; the worst is printed last."""
    warm_up()
    others = ["interpolate_bads"] + ["autoreject"] * (find_spec("autoreject") is not None)
    rows = []
    for case in cases:
        seconds, memory = measure(case, "auto")
        limit = FIXED + SHARE * case.seconds * case.n_channels / 64
        row = dict(
            channels=case.n_channels,
            **{"rate in Hz": case.sfreq, "seconds": case.seconds, "bad": case.bad},
            **{"seconds of CPU": f"{seconds:.2f}", "over the limit": f"{seconds / limit:.2f}"},
            **{"MB in addition": f"{memory:.0f}"},
        )
        for other in others:
            reference = np.nan if case.bad == "detection" else measure(case, other)[0]
            ratio = seconds / reference
            row[f"times {other}"] = f"{ratio:.1f}" if np.isfinite(ratio) else ""
        rows.append(row)
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    worst = max(rows, key=lambda row: float(row["over the limit"]))
    print("Worst: " + ", ".join(f"{name} {value}" for name, value in worst.items()))
    if fname is not None:
        with open(fname, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return rows


def warm_up():
    """Import what is needed and load the prior, which a process does once."""
    raw = make_recording(Case(16, 160, 5, "one"))
    mne_gram.restore(raw, mask=draw_mask(Case(16, 160, 5, "one")), verbose="error")
    mne_gram.find_bads(raw, verbose="error")
    raw.info["bads"] = raw.ch_names[:1]
    raw.interpolate_bads(verbose="error")
