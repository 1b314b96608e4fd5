# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Making the population prior: the file, the command line."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mne_gram._files import list_recordings
from mne_gram.covariance import (
    N_BANDS,
    load_prior,
)
from mne_gram.montage import ELECTRODES, INDEX

NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()


def indices(names):
    """Return the montage indices of names."""
    return np.array([INDEX[name.upper()] for name in names])


def make_raw(names=NAMES, seconds=20.0, sfreq=100.0, seed=0):
    """Return white noise in volts."""
    noise = np.random.default_rng(seed).standard_normal((len(names), round(seconds * sfreq)))
    info = mne.create_info(list(names), sfreq, "eeg")
    info["line_freq"] = 50.0
    return mne.io.RawArray(1e-5 * noise, info, verbose="error")


# ---------------------------------------------------------------------------------------------
# The command line


@pytest.fixture(scope="module")
def making(load_benchmark):
    """Return the script."""
    return load_benchmark("make_prior")


@pytest.fixture(scope="module")
def bids_root(tmp_path_factory):
    """Return a data set of five subjects; the second has two runs, the third has no 10-20 names."""
    from mne_bids import BIDSPath, make_dataset_description, write_raw_bids

    root = tmp_path_factory.mktemp("data") / "tiny"
    root.mkdir()
    make_dataset_description(path=root, name="tiny", verbose="error")
    for number, (subject, run) in enumerate(
        [("01", None), ("02", "1"), ("02", "2"), ("03", None), ("04", None), ("05", None)]
    ):
        names = [f"X{k}" for k in range(10)] if subject == "03" else NAMES
        raw = make_raw(names, seconds=8, seed=number)
        path = BIDSPath(root=root, subject=subject, task="rest", run=run, datatype="eeg")
        write_raw_bids(
            raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="error"
        )
    return root


def test_recordings_of_a_data_set(making, bids_root):
    paths = list_recordings(bids_root)
    assert [(path.subject, path.run) for path in paths] == [
        ("01", None),
        ("02", "1"),
        ("02", "2"),
        ("03", None),
        ("04", None),
        ("05", None),
    ]


def test_held_out_subjects_are_left_out(making, bids_root):
    recordings = making.collect_recordings([bids_root])
    assert [r.source[:2] for r in recordings] == [
        ("tiny", "sub-01"),
        ("tiny", "sub-02"),
        ("tiny", "sub-02"),
        ("tiny", "sub-05"),
    ]  # 04 is held out, 03 has no electrode that is known
    assert recordings[1].source[2] != recordings[2].source[2]
    others = making.collect_recordings([bids_root], every=2)
    assert {r.source[1] for r in others} == {"sub-01", "sub-05"}


def test_command_line(making, bids_root, tmp_path, capsys):
    out = tmp_path / "prior.npz"
    out.write_text("an older file")
    making.main(["--bids-root", str(bids_root), "--out", str(out)])
    printed = capsys.readouterr().out
    assert "4 recordings of 3 subjects" in printed and str(out) in printed
    assert [path.name for path in tmp_path.iterdir()] == ["prior.npz"]  # no temporary file is left
    prior = load_prior(out)
    assert_array_equal(prior.weights, [1, 0.5, 0.5, 1])
    assert {source[1] for source in prior.sources} == {"sub-01", "sub-02", "sub-05"}
    assert set(load_prior(out).recordings[0].channels.tolist()) == set(indices(NAMES).tolist())
    assert prior.population.shape == (N_BANDS, len(ELECTRODES), len(ELECTRODES))


def test_a_failure_leaves_the_old_file(making, bids_root, tmp_path, monkeypatch):
    out = tmp_path / "prior.npz"
    out.write_text("an older file")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        making.main(["--bids-root", str(bids_root), "--out", str(out)])
    assert out.read_text() == "an older file"


def test_command_line_without_arguments(making, capsys):
    with pytest.raises(SystemExit):
        making.main([])
    assert "--bids-root" in capsys.readouterr().err
