# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings of made-up subjects, with the covariances of real ones."""

import mne
import numpy as np
import pytest

from mne_gram.covariance import load_prior
from mne_gram.montage import INDEX

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()


def find_cov(names, subject=0):
    """Return the covariance of a subject at electrodes, over all bands."""
    index = [INDEX[name.upper()] for name in names]
    cov = load_prior().library[3 * subject].sum(axis=0).astype(float)[np.ix_(index, index)]
    return cov + 1e-3 * np.trace(cov) / len(cov) * np.eye(len(cov))


def simulate(subject=0, names=NAMES, seconds=30.0, sfreq=128.0, seed=None):
    """Return noise in volts with the covariance of a subject in all bands, 10 uV on average."""
    rng = np.random.default_rng(subject if seed is None else seed)
    noise = rng.standard_normal((len(names), round(seconds * sfreq)))
    spectrum = np.fft.rfft(noise)
    freqs = np.fft.rfftfreq(noise.shape[1], 1 / sfreq)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(freqs, 1.0)), noise.shape[1])
    data = np.linalg.cholesky(find_cov(names, subject)) @ (noise / noise.std())
    info = mne.create_info(list(names), sfreq, "eeg")
    return mne.io.RawArray(1e-5 * data / data.std(), info, verbose="error")


@pytest.fixture(scope="session")
def make_raw():
    """Return the function that makes recordings."""
    return simulate


@pytest.fixture(scope="session")
def bids_root(tmp_path_factory):
    """Return a data set of three subjects; the second has two runs, the third bipolar channels."""
    from mne_bids import BIDSPath, make_dataset_description, write_raw_bids

    root = tmp_path_factory.mktemp("data") / "lab"
    root.mkdir()
    make_dataset_description(path=root, name="lab", verbose="error")
    for subject, run in [("01", None), ("02", "1"), ("02", "2"), ("03", None)]:
        raw = simulate(int(subject), NAMES[:10], seconds=8, seed=int(run or 0))
        if subject == "01":
            raw.info["bads"] = ["Fz"]
        if subject == "03":
            pairs = ["Fp1-F7", "F7-T7", "T7-P7", "P7-O1", "Fp2-F8", "F8-T8", "T8-P8", "P8-O2"]
            raw.drop_channels(NAMES[8:10]).rename_channels(
                dict(zip(NAMES[:8], pairs, strict=True)), verbose="error"
            )
        raw.info["line_freq"] = 50.0
        path = BIDSPath(root=root, subject=subject, task="rest", run=run, datatype="eeg")
        write_raw_bids(
            raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="error"
        )
    return root
