# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Make ``mne_gram/data/prior.npz``: the population prior of the spatial estimate.

Run ``python benchmarks/make_prior.py --bids-root A --bids-root B --out prior.npz``.
"""

import argparse
from pathlib import Path

import mne
import numpy as np
from mne.channels.interpolation import _make_interpolation_matrix
from mne.utils import ProgressBar, logger
from scipy.optimize import nnls

from mne_gram._files import list_recordings, read_path, staged
from mne_gram._recording import (
    Recording,
    Samples,
    collect_spans,
    find_segments,
    measure_moments,
)
from mne_gram.covariance import (
    N_BANDS,
    RecordingCovariance,
    assemble_prior,
    complete_recording,
    fit_sources,
    forward_components,
    interpolation_operators,
    pack_symmetric,
    sphere_kernel,
)
from mne_gram.montage import ELECTRODES, electrode_positions, match_channels, template_sphere
from mne_gram.training import split_subjects

_N_DEGREES = 16
# A channel is dropped from a recording whose error is this many times that of the same electrode in
# other data sets, in so many bands (chosen on the training subjects of the shared recordings).
_AUDIT_RATIO, _AUDIT_BANDS = 6.0, 4
_MIN_OTHERS = 10  # recordings of other data sets with an electrode, to know how it usually fares


def fit_kernel(cov):
    """Fit a covariance function of the angle between electrodes, as Legendre coefficients."""
    origin, _ = template_sphere()
    units = electrode_positions() - origin
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units @ units.T
    design = np.array([sphere_kernel(cosines, row).ravel() for row in np.eye(_N_DEGREES)]).T
    design = np.c_[design, (cosines > 1 - 1e-9).ravel()]  # noise belongs to no degree
    coefficients, _ = nnls(design, cov.ravel())
    return coefficients[:-1]


def measure_recording(raw, source):
    """Return the covariances of a Raw, or None if it has too few electrodes or no clean window.

    ``source`` is the data set, the subject and the file.
    """
    cmap = match_channels(raw.info, on_missing="ignore")
    keep = [
        k
        for k, name in enumerate(cmap.ch_names)
        if cmap.entries[k] in ELECTRODES and name not in raw.info["bads"]
    ]
    names = [cmap.ch_names[k] for k in keep]
    if len(names) < 4:
        return None
    data = raw.get_data(picks=names)
    if not np.isfinite(data).all():
        logger.info(f"{source[-1]}: left out, it contains NaN or infinite values")
        return None
    flat = np.ptp(data, axis=1) < 1e-3 * np.median(np.ptp(data, axis=1))
    if flat.any() or not np.ptp(data, axis=1).any():
        logger.info(f"{source[-1]}: left out, flat channels {np.array(names)[flat].tolist()}")
        return None
    picks = np.array([raw.ch_names.index(name) for name in names])
    samples = Samples(data, np.arange(len(data)), find_segments(raw))
    recording = Recording(samples, collect_spans(raw, picks), mne.pick_info(raw.info, picks))
    moments = measure_moments(recording, np.ones(len(names)), max_windows=400)
    if not moments:
        return None
    whole = [m for m in moments if len(m.good) == len(names)]
    if not whole:
        logger.info(f"{source[-1]}: left out, no window in which all channels are good")
        return None
    return RecordingCovariance(source, cmap.indices[keep], _normalise(whole[0].cov))


def estimate_prior(recordings, components, *, strength=10.0, n_iter=6):
    """Estimate population and library from recordings that cover different electrodes.

    Expectation-maximisation for the mean covariance with missing electrodes, where the forward
    model, fitted to agree with the data where both exist, says how the missing ones covary.

    ``components`` come from `forward_components`, shape (n_components, 114, 114); ``strength`` is
    the number of recordings that the forward model counts as.
    """
    # Every subject counts once, whatever their number of recordings.
    subjects = [r.source[:2] for r in recordings]
    weights = np.array([1 / subjects.count(subject) for subject in subjects])
    covered = np.unique(np.concatenate([r.channels for r in recordings]))
    population = np.repeat(components.mean(axis=0)[None], N_BANDS, axis=0)
    rows = np.eye(len(ELECTRODES))[covered]
    for _ in range(n_iter):
        forward = fit_sources(components, population[:, covered][:, :, covered], rows)
        forward /= np.einsum("bii->b", forward)[:, None, None] / len(ELECTRODES)
        total = strength * forward
        for recording, weight in zip(recordings, weights, strict=True):
            total = total + weight * complete_recording(recording, population, shrinkage=0.0)
        population = total / (strength + weights.sum())
        population /= np.einsum("bii->b", population)[:, None, None] / len(ELECTRODES)
    kernel = fit_kernel(forward.mean(axis=0))
    return assemble_prior(recordings, population, weights, kernel)


# ---------------------------------------------------------------------------------------------
# Which channels of the recordings are left out


def measure_errors(recording, population):
    """Return the error with which the other channels predict each one, shape (n_bands, n).

    The smaller of two errors counts: with the covariance of other data sets, and with spherical
    splines. It is relative to the median variance of the channels.
    """
    cov, channels = recording.cov, recording.channels
    n, everything = len(channels), np.arange(len(channels))
    within = population[:, channels][:, :, channels]
    places = electrode_positions()[channels] - template_sphere()[0]
    errors = np.zeros((N_BANDS, n))
    for bad in everything:
        good = np.delete(everything, bad)
        weights, _ = interpolation_operators(within, np.ones(n), good, np.array([bad]))
        spline = _make_interpolation_matrix(places[good], places[[bad]])
        found = []
        for weight in (weights, np.broadcast_to(spline, weights.shape)):
            contrast = np.zeros((N_BANDS, n))
            contrast[:, bad], contrast[:, good] = 1.0, -weight[:, 0]
            found.append(np.einsum("bi,bij,bj->b", contrast, cov, contrast))
        errors[:, bad] = np.minimum(*found)
    return errors / np.median(np.einsum("bii->bi", cov), axis=1)[:, None]


def audit_recordings(recordings, components):
    """Drop channels that neither other data sets nor splines predict as well as elsewhere.

    Each recording is compared with a population that is estimated without its data set; with one
    data set alone there is nothing to compare with, and all channels are kept. Returns the
    recordings, and the names of the channels that were dropped by source.
    """
    datasets = sorted({r.source[0] for r in recordings})
    if len(datasets) < 2:
        return recordings, {}
    errors = []
    populations = {
        dataset: estimate_prior(
            [r for r in recordings if r.source[0] != dataset], components
        ).population
        for dataset in datasets
    }
    for recording in recordings:
        errors.append(measure_errors(recording, populations[recording.source[0]]))
    kept, dropped = [], {}
    for recording, found in zip(recordings, errors, strict=True):
        others = [k for k, r in enumerate(recordings) if r.source[0] != recording.source[0]]
        pooled = np.concatenate([errors[k] for k in others], axis=1)
        wrong = np.zeros(len(recording.channels), bool)
        for k, electrode in enumerate(recording.channels):
            same = [errors[i][:, recordings[i].channels == electrode] for i in others]
            same = np.concatenate(same, axis=1)
            usual = np.median(same if same.shape[1] >= _MIN_OTHERS else pooled, axis=1)
            wrong[k] = (found[:, k] > _AUDIT_RATIO * usual).sum() >= _AUDIT_BANDS
        if wrong.any():
            dropped[recording.source] = [ELECTRODES[k] for k in recording.channels[wrong]]
        kept.append(_drop_channels(recording, wrong) if wrong.any() else recording)
    return kept, dropped


def _drop_channels(recording, wrong):
    """Return a recording without some channels, relative to the average of the others."""
    cov = recording.cov[:, ~wrong][:, :, ~wrong]
    return RecordingCovariance(recording.source, recording.channels[~wrong], _normalise(cov))


def _normalise(cov):
    """Return covariances relative to the average of the channels, of mean variance 1."""
    n = cov.shape[-1]
    average = np.eye(n) - 1 / n
    cov = average @ cov @ average
    return cov / np.trace(cov, axis1=1, axis2=2)[:, None, None] * n


# ---------------------------------------------------------------------------------------------
# The file


def save_prior(prior, recordings, fname):
    """Write a prior, completely or not at all."""
    fname = Path(fname)
    arrays = dict(
        population=pack_symmetric(prior.population).astype(np.float32),
        covs=np.concatenate([pack_symmetric(r.cov).ravel() for r in recordings]).astype(np.float16),
        channels=np.concatenate([r.channels for r in recordings]).astype(np.uint8),
        n_channels=np.array([len(r.channels) for r in recordings]),
        weights=prior.weights,
        kernel=prior.kernel,
        sources=np.array(prior.sources),
    )
    fname.parent.mkdir(parents=True, exist_ok=True)
    with staged(fname, overwrite=True) as path:
        np.savez_compressed(path, **arrays)


def collect_recordings(roots, every=4):
    """Measure the recordings of BIDS data sets, without every n-th subject in sorted order."""
    jobs = []
    roots = [Path(root).resolve() for root in roots]
    names = [root.name for root in roots]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Two data sets are in folders of the same name ({', '.join(sorted(names))}), so their "
            "subjects cannot be told apart. Rename a folder."
        )
    for root in roots:
        paths = list_recordings(root)
        train, _ = split_subjects([path.subject for path in paths], every)
        jobs += [(root.name, path) for path in paths if path.subject in train]
    recordings = []
    for dataset, path in ProgressBar(jobs, mesg="Recordings"):
        with mne.utils.use_log_level("error"):
            raw = read_path(path).load_data()
        recording = measure_recording(raw, (dataset, f"sub-{path.subject}", path.basename))
        if recording is not None:
            recordings.append(recording)
    return recordings


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bids-root", action="append", required=True, help="a data set; repeatable"
    )
    parser.add_argument("--out", required=True, help="the .npz file to write")
    parser.add_argument(
        "--hold-out-every", type=int, default=4, help="leave out every n-th subject"
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="leave out channels that neither other data sets nor splines predict as elsewhere",
    )
    args = parser.parse_args(argv)
    components = forward_components()
    recordings = collect_recordings(args.bids_root, args.hold_out_every)
    if args.audit:
        recordings, dropped = audit_recordings(recordings, components)
        for (_, _, fname), names in dropped.items():
            print(f"{fname}: without {', '.join(names)}")
    prior = estimate_prior(recordings, components)
    save_prior(prior, recordings, args.out)
    subjects = {source[:2] for source in prior.sources}
    size = Path(args.out).stat().st_size / 1e6
    print(f"{len(recordings)} recordings of {len(subjects)} subjects, {size:.2f} MB: {args.out}")


if __name__ == "__main__":
    main()
