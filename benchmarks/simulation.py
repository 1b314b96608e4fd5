# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Compare simulated windows with recordings: amplitude, spectrum, covariance, and their spread.

Run ``python benchmarks/simulation.py --bids-root A --bids-root B``. Only some training subjects of
each data set are used; simulated windows have the same channels and length.
"""

import argparse
import warnings
from pathlib import Path

import mne
import numpy as np
import torch
from scipy.stats import wasserstein_distance

from mne_gram._files import list_recordings
from mne_gram._recording._windows import find_segments
from mne_gram.covariance._conditional import contrast_basis
from mne_gram.covariance._mixture import stein_divergence
from mne_gram.montage import CH_NAMES, ELECTRODES, electrode_positions, match_channels
from mne_gram.preprocessing import SFREQ, VOLTS_TO_MODEL, preprocess
from mne_gram.simulation import _artefacts as artefacts
from mne_gram.simulation import _sources as sources
from mne_gram.simulation._signals import Grid, chance, lognormal, uniform
from mne_gram.training import split_subjects

BANDS = {"delta": (0.5, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 70)}
REGIONS = {"front": ("FP", "AF", "F"), "middle": ("C", "CP", "FC"), "back": ("P", "PO", "O")}
DISTANCES = (0.0, 0.045, 0.075, 0.11, 0.15, 0.25)  # metres
SHARES = (10, 50, 90)
FILTERED = (0.75, 0.4)  # shares of windows with a narrower band, below and above
AMPLITUDE = (0.06, 0.75)  # of the background: median in 0.1 mV, spread over windows
_FLAT = 1e-3  # 0.1 uV
_RAILING = 5.0  # 500 uV


def read_windows(path, seconds, n_windows, rng):
    """Cut windows at random from one recording, where it is continuous.

    Returns a list of (montage indices, data in 0.1 mV). Windows have 1 s if no segment is as long
    as ``seconds``.
    """
    from mne_bids import read_raw_bids

    with mne.utils.use_log_level("error"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = preprocess(read_raw_bids(path, verbose="error").load_data())
        found = match_channels(raw.info, on_missing="ignore")
    keep = [
        k
        for k, entry in enumerate(found.entries)
        if entry in ELECTRODES and found.ch_names[k] not in raw.info["bads"]
    ]
    pieces = find_segments(raw)
    if max(stop - start for start, stop in pieces) < 200 * seconds:
        seconds = 1
    data = raw.get_data(picks=[found.ch_names[k] for k in keep]) * VOLTS_TO_MODEL
    return cut_windows(data, found.indices[keep], pieces, seconds, n_windows, rng)


def cut_windows(data, channels, pieces, seconds, n_windows, rng):
    """Cut windows without flat or railing channels from continuous segments."""
    length = 200 * seconds
    starts = [k for a, b in pieces for k in range(a, b - length + 1, length)]
    windows = []
    for start in rng.permutation(starts)[:n_windows]:
        x = data[:, start : start + length]
        good = (x.std(axis=1) > _FLAT) & (np.abs(x).max(axis=1) < _RAILING)
        if good.sum() >= 0.8 * len(good):
            x = x[good] - x[good].mean(axis=0)
            windows.append((channels[good], x))
    return windows


def measure_window(channels, x):
    """Return measures of one window, data (n_channels, n_times) in 0.1 mV at 200 Hz, by name."""
    microvolts = 100 * x
    std = microvolts.std(axis=1)
    found = {
        "std, uV": np.median(std),
        "std, loudest channel / median": std.max() / np.median(std),
        "std, quietest channel / median": std.min() / np.median(std),
        "peak / std": np.median(np.abs(microvolts).max(axis=1) / std),
        "mean / std": np.median(np.abs(microvolts.mean(axis=1)) / std),
    }
    x = x - x.mean(axis=1, keepdims=True)
    taper = np.hanning(x.shape[1] + 2)[1:-1]
    spectrum = np.fft.rfft(x * taper)
    power = np.abs(spectrum) ** 2
    freqs = np.fft.rfftfreq(x.shape[1], 1 / 200.0)
    total = power[:, (freqs >= 0.5) & (freqs < 70)].sum(axis=1)
    names = [CH_NAMES[c].rstrip("0123456789Z") for c in channels]
    for band, (low, high) in BANDS.items():
        share = power[:, (freqs >= low) & (freqs < high)].sum(axis=1) / total
        for region, prefixes in REGIONS.items():
            inside = np.isin(names, prefixes)
            if inside.any():
                found[f"{band} share, {region}"] = share[inside].mean()
    corr = np.corrcoef(x)
    places = electrode_positions()[channels]
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    for low, high in zip(DISTANCES[:-1], DISTANCES[1:], strict=True):
        pairs = np.triu((distance > low) & (distance <= high), 1)
        if pairs.any():
            label = f"{100 * low:.0f}-{100 * high:.0f} cm"
            found[f"correlation, {label}"] = corr[pairs].mean()
            found[f"|correlation|, {label}"] = np.abs(corr[pairs]).mean()
    near = np.triu((distance > DISTANCES[1]) & (distance <= DISTANCES[2]), 1)
    for band, (low, high) in BANDS.items():
        part = spectrum[:, (freqs >= low) & (freqs < high)]
        cross = (part @ part.conj().T).real
        size = np.sqrt(np.diag(cross))
        label = f"{100 * DISTANCES[1]:.0f}-{100 * DISTANCES[2]:.0f} cm"
        found[f"correlation, {label}, {band}"] = (cross / np.outer(size, size))[near].mean()
    values = np.linalg.eigvalsh(corr)[::-1].clip(0)
    values /= values.sum()
    found["share of 1st component"] = values[0]
    found["components for 95 %"] = 1 + int(np.searchsorted(np.cumsum(values), 0.95))
    return found


def compare_covariances(windows, others, same=None):
    """Return Stein's divergences of covariances regardless of scale, shape (n_windows, n_others).

    They are per dimension, and NaN for pairs in ``same``.
    """
    basis = contrast_basis(np.ones(len(windows[0])))

    def prepare(covs):
        covs = basis @ np.array(covs) @ basis.T
        size = np.trace(covs, axis1=1, axis2=2)[:, None, None] / len(basis)
        return covs / size + 0.02 * np.eye(len(basis))

    targets, covs = prepare(windows), prepare(others)
    found = np.array([stein_divergence(covs, t) - stein_divergence(t[None], t) for t in targets])
    if same is not None:
        found[same] = np.nan
    return found


def draw_windows(head, channels, n_seconds, generator):
    """Draw windows (n_windows, n_channels, n_times) in 0.1 mV, each of another subject.

    ``channels`` (n_windows, n_channels) are montage indices. Electrodes are in the average
    reference; a single one has that of the forward model.
    """
    grid = Grid(n_seconds * round(SFREQ), SFREQ)
    n = len(channels)
    band = draw_band(n, grid, generator)
    parts = list(sources.draw_brain(head, n, sources.N_SOURCES, grid, band, generator).values())
    parts.append(artefacts.draw_eyes(head, n, grid, band, generator))
    parts.append(artefacts.draw_muscles(head, n, grid, band, generator))
    maps = torch.cat([part.maps.expand(n, -1, -1) for part in parts], dim=-1)
    x = head.take(maps, channels) @ torch.cat([part.signals for part in parts], dim=1)
    x += artefacts.draw_noise(head, channels, grid, band, generator).signals
    x *= lognormal((n, 1, 1), *AMPLITUDE, generator)
    return sources.subtract_average(x, channels)


def draw_band(n, grid, generator):
    """Draw the power (n, 1, n_freqs) that amplifiers, filters and notches pass, from 0 to 1."""
    shape = (n, 1, 1)
    below, above = (chance(shape, share, generator) for share in FILTERED)
    low = 0.1 + below * uniform(shape, 0.2, 0.7, generator)
    high = 75.0 - above * uniform(shape, 5.0, 45.0, generator)
    line = 50.0 + 10.0 * chance(shape, 0.5, generator)
    notch = 1 - torch.exp(-0.5 * ((grid.freqs - line) / 0.7) ** 2)
    return sources.pass_band(grid, low, high) * notch


def simulate_alike(windows, seed):
    """Simulate windows with the channels and lengths of others."""
    head = sources.Head()
    generator = torch.Generator().manual_seed(seed)
    groups = {}
    for channels, x in windows:
        groups.setdefault((len(channels), x.shape[1] // 200), []).append(channels)
    found = []
    for (_, seconds), members in groups.items():
        rows = torch.as_tensor(np.array(members))
        found += zip(members, draw_windows(head, rows, seconds, generator).numpy(), strict=True)
    return found


def print_measures(real, simulated):
    """Print quantiles over windows of every measure, and the distance of simulated and real ones.

    This is the Wasserstein distance in standard deviations of the recordings.
    """
    print(f"{'':36} {'recordings':>24} {'simulated':>24}  apart")
    print(f"{'over windows, percent:':36} {'10     50     90':>24} {'10     50     90':>24}")
    for name in dict.fromkeys(name for found in real for name in found):
        pair = [np.array([m[name] for m in found if name in m]) for found in (real, simulated)]
        cells = [" ".join(f"{q:7.2f}" for q in np.percentile(v, SHARES)) for v in pair]
        spread = pair[0].std()
        apart = f"{wasserstein_distance(*pair) / spread:5.2f}" if spread > 1e-3 else "    -"
        print(f"{name:36} {cells[0]:>24} {cells[1]:>24}  {apart}")


def print_covariances(real, simulated):
    """Print the distances between covariances, over the most frequent set of channels."""
    sets = [tuple(channels) for _, channels, _ in real]
    common = max(set(sets), key=sets.count)
    subjects = np.array([who for who, channels, _ in real if tuple(channels) == common])
    covs = [np.cov(x) for _, channels, x in real if tuple(channels) == common]
    fakes = [np.cov(x) for channels, x in simulated if tuple(channels) == common][: len(covs)]
    pairs = {
        "a recording to other subjects'": (covs, covs, subjects[:, None] == subjects),
        "simulated to recordings": (fakes, covs, None),
        "a recording to simulated": (covs, fakes, None),
        "simulated to simulated": (fakes, fakes, np.eye(len(fakes), dtype=bool)),
    }
    print(f"Stein's divergence of covariances, {len(covs)} windows of {len(common)} channels:")
    print(f"{'':36} {'nearest':>24} {'any':>24}")
    for name, arguments in pairs.items():
        found = compare_covariances(*arguments)
        cells = [
            " ".join(f"{q:7.2f}" for q in np.nanpercentile(v, SHARES))
            for v in (np.nanmin(found, axis=1), found)
        ]
        print(f"{name:36} {cells[0]:>24} {cells[1]:>24}")


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bids-root", action="append", required=True, help="a data set; repeat")
    parser.add_argument("--recordings", type=int, default=16, help="of each data set, at most")
    parser.add_argument("--windows", type=int, default=8, help="of each recording")
    parser.add_argument("--seconds", type=int, default=4, help="length of a window")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    for root in map(Path, args.bids_root):
        paths = list_recordings(root)
        train = split_subjects([path.subject for path in paths])[0]
        paths = [path for path in paths if path.subject in train]
        spread = np.linspace(0, len(paths) - 1, min(len(paths), args.recordings)).round()
        real = [
            (paths[k].subject, *window)
            for k in spread.astype(int)
            for window in read_windows(paths[k], args.seconds, args.windows, rng)
        ]
        simulated = simulate_alike([(channels, x) for _, channels, x in real], args.seed)
        subjects = len({who for who, *_ in real})
        lengths = sorted({x.shape[1] // 200 for *_, x in real})
        print(f"\n{root.name}: {len(real)} windows of {lengths} s, {subjects} subjects")
        print_measures(
            [measure_window(channels, x) for _, channels, x in real],
            [measure_window(channels, x) for channels, x in simulated],
        )
        print_covariances(real, simulated)


if __name__ == "__main__":
    main()
