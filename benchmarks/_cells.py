# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Measure every method on one recording."""

import time
import zlib

import joblib
import mne
import numpy as np
from _erp import measure_peaks
from _methods import parse_method, restore
from _truth import draw_mask, fill, flat, load_truth

from mne_gram.metrics import band_power_ratio, correlation, nmse

BANDS = ((0.5, 4), (4, 8), (8, 13), (13, 30), (30, 45))
GARBAGE = 5e-3  # volts
WITHIN = 1.645  # standard deviations on either side contain 90 %


def run_jobs(function, jobs, n_jobs):
    """Yield the result of a function for each tuple of arguments, in single-threaded processes."""
    if n_jobs == 1:
        yield from (function(*job) for job in jobs)
        return
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        yield from parallel(joblib.delayed(function)(*job) for job in jobs)


def applies(regime, dataset):
    """Return whether a regime applies to a data set: trials of one second have no segments."""
    return not (dataset == "alcohol" and regime == "segments")


def measure_recording(args, dataset, path, priors):
    """Measure all methods on one recording: one row per regime, draw and method.

    ``priors`` are those that :func:`_methods.restore` takes.
    """
    rows = []
    with mne.utils.use_log_level("ERROR"):
        inst = load_truth(path, dataset, args.unfiltered, seconds=args.seconds)
        for regime in args.regimes:
            if not applies(regime, dataset):
                continue
            seed = zlib.crc32(f"{path.basename}/{regime}".encode())
            for draw in range(args.draws):
                mask = draw_mask(regime, inst, np.random.default_rng([seed, draw]))
                row = dict(dataset=dataset, regime=regime, subject=path.subject)
                row.update(recording=path.basename, draw=draw)
                found = measure_methods(args, inst, mask, priors)
                rows += [{**row, **measures} for measures in found]
    return rows


def measure_methods(args, inst, mask, priors):
    """Measure all methods with one mask: one row per method."""
    truth = flat(inst)
    sfreq = inst.info["sfreq"]
    broken = fill(inst, np.where(mask, GARBAGE, truth))
    rows = []
    for name in args.methods:
        if name == "ridge" and mask.all(axis=1).any():
            continue  # no clean data of the channel to fit
        start = time.perf_counter()
        estimate, std = restore(name, broken, mask, priors, args.model, truth)
        seconds = time.perf_counter() - start
        row = dict(method=name, output=parse_method(name).output)
        row["seconds_per_minute"] = seconds / (truth.shape[1] / sfreq / 60)
        row.update(measure(truth, estimate, std, mask, sfreq))
        if isinstance(inst, mne.BaseEpochs):
            row.update(measure_peaks(truth, estimate, mask, len(inst), sfreq))
        rows.append(row)
    return rows


def measure(truth, estimate, std, mask, sfreq):
    """Measure one restoration, arrays of shape (n_channels, n_times) in volts.

    Returns ``nmse``, ``r``, ``n_hidden`` (samples), ``power_LOW_HIGH`` per band and, with ``std``,
    ``coverage``: the share of hidden samples within the 90 % interval.
    """
    row = dict(nmse=nmse(truth, estimate, mask), r=correlation(truth, estimate, mask))
    row["n_hidden"] = int(mask.sum())
    if std is not None and np.isfinite(std[mask]).all():
        inside = np.abs(estimate - truth)[mask] <= WITHIN * std[mask]
        row["coverage"] = inside.mean()
    ratios = band_power_ratio(truth, estimate, mask, sfreq, BANDS)
    row.update(dict(zip(map(power_name, BANDS), ratios, strict=True)))
    return row


def power_name(band):
    """Return the name of a band's column."""
    return f"power_{band[0]:g}_{band[1]:g}"
