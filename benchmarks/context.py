# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What time could add to the spatial estimate: delays between channels, a changing covariance.

Run ``python benchmarks/context.py``. The spatial estimate uses one sample at a time and one
covariance per band for the whole recording. On recordings of held-out subjects this prints the
squared error, relative to that of the spatial estimate, of

- ``delays``: an estimate with complex covariances of the recording, so that a channel may lead or
  lag another by any phase in each band. It is fitted to the first two thirds of a recording and
  tested, with one channel hidden at a time, on the last third. The imaginary part is weighted by
  an eighth, a quarter or a half;
- ``chunks``: the same estimate with a separate covariance for each chunk of 10, 20 or 30 s, with a
  quarter of the channels hidden throughout.

Values below 1 would be an improvement.
"""

import argparse
import os
from pathlib import Path

import mne
import numpy as np
from _truth import list_held_out, load_truth
from scipy.signal import hilbert

from mne_gram._recording import (
    Recording,
    Samples,
    choose_windows,
    find_spans,
    measure_moments,
    subtract_mean,
)
from mne_gram.covariance import band_products, channel_rows, load_prior
from mne_gram.covariance._bands import degrees_of_freedom, split_bands
from mne_gram.covariance._conditional import contrast_basis
from mne_gram.covariance._mixture import adapt_covariance
from mne_gram.montage import match_channels
from mne_gram.restoration import METHODS, Settings

DATASETS = ("eegmat", "eegmmi", "mdd")  # alcohol has no continuous time
SHARES = (0.125, 0.25, 0.5)
SECONDS = (10, 20, 30)
_N_HIDDEN = 8  # channels, one at a time
_RIDGE = 1e-3  # of the mean variance, as for interpolation


def measure_delays(raw, prior, rng):
    """Return the ratio of the error with complex covariances, shape (n_hidden, n_shares)."""
    data, sfreq = raw.get_data(), raw.info["sfreq"]
    n, cut = len(data), 2 * data.shape[1] // 3
    places = channel_rows(match_channels(raw.info), prior)
    seen = data[:, :cut]
    nothing = np.zeros(seen.shape, bool)
    bad, segments = find_spans(nothing), [(0, cut)]
    recording = Recording(Samples(seen.copy(), np.arange(n), segments), bad, raw.info)
    carries_reference = places.carries_reference
    real = adapt_covariance(prior, places, measure_moments(recording, carries_reference))
    starts, length, good = choose_windows(bad, segments, sfreq, 400)
    windows = np.stack([seen[:, a : a + length] for a in starts])
    spectra, largest = band_products(windows, sfreq), np.abs(windows).max(axis=2)
    products = subtract_mean(spectra, largest, good, carries_reference)
    complex_cov = np.array([np.einsum("wcf,wdf->cd", z, z.conj()) / len(z) for z in products])
    dof = degrees_of_freedom(len(windows))[:, None, None]
    # Weighted as the real part is against the prior.
    imaginary = complex_cov.imag * dof / (dof + 0.5 * n)
    parts = hilbert(split_bands(data[:, cut:], sfreq), axis=-1)
    ratios = []
    for channel in rng.permutation(n)[:_N_HIDDEN]:
        others = np.setdiff1d(np.arange(n), [channel])
        known = parts[:, others] - parts[:, others].mean(axis=1, keepdims=True)
        truth = data[channel, cut:] - data[others, cut:].mean(axis=0)
        errors = []
        for share in (0.0, *SHARES):
            weights = find_weights(real + 1j * share * imaginary, others, channel)
            estimate = (weights[:, None] @ known)[:, 0].real.sum(axis=0)
            errors.append(np.sum((truth - estimate) ** 2))
        ratios.append(np.array(errors[1:]) / errors[0])
    return np.array(ratios)


def find_weights(cov, others, channel):
    """Return complex weights (n_bands, n_others) of the conditional mean of one channel.

    They are for channels relative to the mean of the others.
    """
    n = cov.shape[-1]
    basis = contrast_basis(np.ones(len(others)))
    frame = np.zeros((n - 1, n))
    frame[0, channel], frame[0, others] = 1.0, -1 / len(others)
    frame[1:, others] = basis
    cov = frame @ cov @ frame.T
    within, across = cov[:, 1:, 1:], cov[:, 1:, 0]
    size = np.trace(within, axis1=1, axis2=2).real[:, None, None] / len(basis)
    found = np.linalg.solve(within + _RIDGE * size * np.eye(len(basis)), across[..., None])
    return found[..., 0].conj() @ basis


def measure_chunks(raw, prior, rng):
    """Return the ratio of the error with a covariance of each chunk, shape (n_lengths,)."""
    data, sfreq = raw.get_data(), raw.info["sfreq"]
    hidden = rng.permutation(len(data))[: len(data) // 4]
    whole = find_errors(data, hidden, raw.info, prior)
    ratios = []
    for seconds in SECONDS:
        length = round(seconds * sfreq)
        starts = range(0, data.shape[1] - length + 1, length)
        chunks = [data[:, a : a + length] for a in starts]
        errors = np.hstack([find_errors(chunk, hidden, raw.info, prior) for chunk in chunks])
        ratios.append(np.sum(errors**2) / np.sum(whole[:, : errors.shape[1]] ** 2))
    return np.array(ratios)


def find_errors(data, hidden, info, prior):
    """Hide channels and restore them; return the errors, shape (n_hidden, n_times)."""
    mask = np.zeros(data.shape, bool)
    mask[hidden] = True
    samples = Samples(np.where(mask, 0.0, data), np.arange(len(data)), [(0, data.shape[1])])
    recording, spatial = Recording(samples, find_spans(mask), info), METHODS["spatial"]
    block = recording.block()
    spatial.estimate(block, spatial.fit(recording, Settings(prior=prior)))
    return (block.data - data)[hidden]


def print_ratios(title, names, rows):
    """Print the geometric mean over recordings with its 95 % bootstrap interval."""
    print(f"\n{title}")
    rng = np.random.default_rng(0)
    for dataset in (*DATASETS, "all"):
        own = np.log([r for d, r in rows if dataset in (d, "all")])
        if not len(own):
            continue
        draws = own[rng.integers(len(own), size=(2000, len(own)))].mean(axis=1)
        low, high = np.exp(np.quantile(draws, [0.025, 0.975], axis=0))
        means = np.exp(own.mean(axis=0))
        cells = [
            f"{name} {mean:.3f} ({a:.3f}-{b:.3f})"
            for name, mean, a, b in zip(names, means, low, high, strict=True)
        ]
        print(f"  {dataset:8} {len(own):3}  {'   '.join(cells)}")


def main(argv=None):
    """Run the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("MNE_GRAM_SHARED", root.parent / "shared")
    parser.add_argument("--shared", type=Path, default=default)
    parser.add_argument("--max-recordings", type=int, help="at most this many of each data set")
    args = parser.parse_args(argv)
    mne.set_log_level("error")
    prior, delays, chunks = load_prior(), [], []
    for dataset in DATASETS:
        paths = list_held_out(args.shared / "eeg" / dataset, quick=True, most=args.max_recordings)
        for number, path in enumerate(paths):
            raw = load_truth(path, dataset)
            rng = np.random.default_rng(number)
            ratios = measure_delays(raw, prior, rng)
            delays.append((dataset, np.exp(np.log(ratios).mean(axis=0))))
            chunks.append((dataset, measure_chunks(raw, prior, rng)))
    print_ratios("Delays, share of the imaginary part", SHARES, delays)
    print_ratios("A covariance of each chunk, seconds", SECONDS, chunks)


if __name__ == "__main__":
    main()
