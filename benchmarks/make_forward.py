# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Make ``mne_gram/data/forward.npy``: covariances of cortical sources, which take time to compute.

Run ``python benchmarks/make_forward.py --out forward.npy``. The checksum that it prints belongs in
``mne_gram/covariance/_forward.py``.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np

from mne_gram.covariance import compute_components, pack_symmetric


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="the .npy file to write")
    args = parser.parse_args(argv)
    components = pack_symmetric(compute_components()).astype(np.float32)
    np.save(args.out, components)
    print(hashlib.sha256(Path(args.out).read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
