# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of restoring whole channels, compared with MNE's spline in the same run.

Run ``python benchmarks/speed.py``: 10 minutes of 64 channels at 160 Hz, 4 of them bad.

Run ``python benchmarks/speed.py --hours 24 --channels 19``: a recording on disk of that length at
200 Hz, restored by the command line; two whole channels and 300 segments of single channels are
bad. It takes about 5 GB in the temporary folder.

Run ``OMP_NUM_THREADS=1 python benchmarks/speed.py --sweep`` for the cost by channels, rate, length
and kind of mask; with ``--csv doc/tables/speed.csv`` it writes the table of the documentation.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mne
import numpy as np
from _sweep import CASES, sweep

import mne_gram


def make_recording(minutes, sfreq=160.0):
    """Return a long recording: noise with the covariance and spectrum of real EEG."""
    sample = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    n_times = round(60 * minutes * sfreq)
    info = sample.info.copy()
    rng = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(np.cov(sample.get_data()))
    root = (vectors * np.sqrt(values.clip(0))).astype(np.float32)
    white = rng.standard_normal((len(values), n_times), dtype=np.float32)
    pink = np.fft.rfft(white)
    pink /= np.sqrt(np.maximum(np.fft.rfftfreq(n_times, 1 / sfreq), 0.5))
    signal = np.fft.irfft(pink, n_times)
    signal /= signal.std()
    return mne.io.RawArray(root @ signal, info, verbose="error")


def measure(name, minutes, queue):
    """Restore by one method in a separate process; report seconds and memory."""
    mne.set_log_level("ERROR")
    raw = make_recording(minutes)
    raw.info["bads"] = ["C4", "F3", "O1", "FT8"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if name == "interpolate_bads":
        raw.copy().interpolate_bads()
    else:
        mne_gram.restore(raw, method=name)
    seconds = time.perf_counter() - start
    queue.put((seconds, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


# The 10-20 system, for recordings of fewer channels than the sample's.
NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
MINUTES = 10.0  # of generated signal; a long recording repeats it with different scales


def write_recording(path, hours, n_channels, sfreq):
    """Write a long recording to fif, without having all of it in memory."""
    short = make_recording(MINUTES, sfreq)
    names = [*NAMES, *(name for name in short.ch_names if name not in NAMES)][:n_channels]
    short = short.pick(names)
    block, n_times = short.get_data(), round(3600 * hours * sfreq)
    scratch = path.with_suffix(".dat")
    data = np.memmap(scratch, dtype=float, mode="w+", shape=(n_channels, n_times))
    for number, start in enumerate(range(0, n_times, block.shape[1])):
        stop = min(start + block.shape[1], n_times)
        data[:, start:stop] = (1 + 0.3 * np.sin(number)) * block[:, : stop - start]
    raw = mne.io.RawArray(data, short.info, verbose="error")
    raw.info["bads"] = names[3:5]
    rng = np.random.default_rng(0)
    onsets, lengths = rng.uniform(0, 3600 * hours - 61, 300), rng.uniform(0.5, 60, 300)
    bad = [(names[k],) for k in rng.integers(5, n_channels, 300)]
    raw.set_annotations(mne.Annotations(onsets, lengths, "BAD_span", ch_names=bad))
    raw.save(path, fmt="single", verbose="error")
    del data, raw
    scratch.unlink()


def stream(hours, n_channels, extension, sfreq=200.0):
    """Restore a long recording by the command line in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in_raw.fif"), Path(folder, f"out_raw{extension}")
        writer = multiprocessing.get_context("spawn").Process(
            target=write_recording, args=(source, hours, n_channels, sfreq)
        )
        writer.start()
        writer.join()
        command = [sys.executable, "-m", "mne_gram", "restore", str(source), str(target)]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise RuntimeError(f"{' '.join(command)} exited with {status}")
        data = 8 * n_channels * 3600 * hours * sfreq
        print(
            f"{hours:g} h x {n_channels} channels x {sfreq:g} Hz from fif to {extension}: "
            f"{seconds:.0f} s ({usage.ru_utime + usage.ru_stime:.0f} s of processor), "
            f"{3600 * hours / seconds:.0f} times faster than real time, peak memory "
            f"{usage.ru_maxrss / 1e6:.2f} GB (the samples are {data / 1e9:.2f} GB)"
        )


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--methods", default="interpolate_bads,spatial,auto")
    parser.add_argument("--hours", type=float, help="a recording on disk of that length instead")
    parser.add_argument("--channels", type=int, default=19, help="how many it has")
    parser.add_argument("--extension", default=".fif", help="format that it is written to")
    parser.add_argument("--sweep", action="store_true", help="channels, rates, lengths, masks")
    parser.add_argument("--csv", help="file for the table of the sweep")
    args = parser.parse_args()
    if args.sweep:
        sweep(CASES, args.csv)
        return
    if args.hours:
        stream(args.hours, args.channels, args.extension)
        return
    context = multiprocessing.get_context("spawn")
    print(f"{args.minutes:g} min x 64 channels x 160 Hz, 4 channels bad")
    found = {}
    for name in args.methods.split(","):
        queue = context.Queue()
        process = context.Process(target=measure, args=(name, args.minutes, queue))
        process.start()
        found[name], before, peak = queue.get()
        process.join()
        times = args.minutes * 60 / found[name]
        ratio = found[name] / found.get("interpolate_bads", np.nan)
        compared = "" if np.isnan(ratio) else f"{ratio:5.1f} x the time of interpolate_bads, "
        print(
            f"{name:17} {found[name]:6.2f} s, {times:6.0f} times faster than real time, {compared}"
            f"peak memory {peak / 1e6:.2f} GB ({before / 1e6:.2f} GB before)"
        )


if __name__ == "__main__":
    main()
