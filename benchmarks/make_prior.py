# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Make ``mne_gram/data/prior.npz``: the population prior of the spatial estimate.

Run ``python benchmarks/make_prior.py --bids-root A --bids-root B --out prior.npz``.
"""

import argparse
from pathlib import Path

import mne
from mne.utils import ProgressBar, logger

from mne_gram._files import list_recordings, read_path
from mne_gram.cohort import measure_recording
from mne_gram.covariance import (
    audit_recordings,
    estimate_prior,
    forward_components,
)
from mne_gram.training import split_subjects


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
        found = measure_recording(raw, (dataset, f"sub-{path.subject}", path.basename))
        if found.recording is None:
            logger.info("%s is left out: %s", found.name, found.reason)
        else:
            recordings.append(found.recording)
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
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    prior.save(args.out, overwrite=True)
    subjects = {source[:2] for source in prior.sources}
    size = Path(args.out).stat().st_size / 1e6
    print(f"{len(recordings)} recordings of {len(subjects)} subjects, {size:.2f} MB: {args.out}")


if __name__ == "__main__":
    main()
