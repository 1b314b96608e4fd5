# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Make ``mne_gram/data/prior.npz``: the population prior of the spatial estimate.

Run ``python benchmarks/make_prior.py --bids-root A --bids-root B --out prior.npz``.
"""

import argparse
from pathlib import Path

import mne
import numpy as np
from mne.utils import ProgressBar

from mne_gram._files import list_recordings, read_path, staged
from mne_gram.cohort import measure_recording
from mne_gram.covariance import (
    audit_recordings,
    estimate_prior,
    forward_components,
    pack_symmetric,
)
from mne_gram.training import split_subjects


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
