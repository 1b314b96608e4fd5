# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of restoring whole channels, beside MNE's spline in the same run.

Run ``python benchmarks/speed.py``: 10 minutes of 64 channels at 160 Hz, 4 of them bad.
"""

import argparse
import multiprocessing
import resource
import time

import mne
import numpy as np

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
    """Restore by one method in a process of its own; report seconds and memory."""
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


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--methods", default="interpolate_bads,spatial")
    args = parser.parse_args()
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
        ratio = found[name] / found["interpolate_bads"] if "interpolate_bads" in found else np.nan
        print(
            f"{name:17} {found[name]:6.2f} s, {times:6.0f} times faster than real time, "
            f"{ratio:5.1f} x the time of interpolate_bads, peak memory {peak / 1e6:.2f} GB "
            f"({before / 1e6:.2f} GB before)"
        )


if __name__ == "__main__":
    main()
