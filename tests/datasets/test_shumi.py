# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""SHU-MI, on small files of the same form."""

from functools import partial

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import savemat

from mne_gram import preprocess
from mne_gram.datasets import (
    RECIPES,
    read_shumi,
    split_shumi,
)

SHU_NAMES = [f"E{k}" for k in range(32)]


def _write_shumi(root, subject="001", session="01", **changes):
    rng = np.random.default_rng(0)
    content = dict(data=20 * rng.standard_normal((6, 32, 1000)), labels=[[1, 2, 2, 1, 1, 2]])
    content = {key: value for key, value in {**content, **changes}.items() if value is not None}
    savemat(root / f"sub-{subject}_ses-{session}_task_motorimagery_eeg.mat", content)
    return content


def test_read_shumi(tmp_path):
    for k in range(1, 6):
        content = _write_shumi(tmp_path, f"{k:03d}")
    table = "name\ttype\n" + "".join(f"{name}\tEEG\n" for name in SHU_NAMES)
    (tmp_path / "task-motorimagery_channels.tsv").write_text(table, encoding="utf-8")
    found = list(read_shumi(tmp_path))
    parts = split_shumi([f"{k:03d}" for k in range(1, 6)])
    for epochs in found:
        assert epochs.ch_names == SHU_NAMES
        assert_allclose(epochs.get_data(), 1e-6 * content["data"])
        assert epochs.info["sfreq"] == 250 and epochs.info["lowpass"] == 40
        assert epochs.metadata["label"].tolist() == "left right right left left right".split()
        assert_array_equal(epochs.events[:, 2], [1, 2, 2, 1, 1, 2])
        (subject,), (part,) = (set(epochs.metadata[name]) for name in ("subject", "part"))
        assert subject in parts[part]
        assert set(epochs.metadata["session"]) == {"01"}
    assert len(mne.concatenate_epochs(found)) == 30
    (test,) = read_shumi(tmp_path, part="test", ch_names=SHU_NAMES[::-1], unit=1e-5)
    assert test.ch_names == SHU_NAMES[::-1]
    assert_allclose(test.get_data(), 1e-5 * content["data"])


def test_shumi_transform(tmp_path):
    """The trials are filtered already: the recipe only resamples them."""
    content = _write_shumi(tmp_path)
    transform = partial(preprocess, **RECIPES["shumi"].preprocessing)
    with pytest.warns(RuntimeWarning, match="high-passed at 0.5 Hz .* low-passed at 40 Hz"):
        (epochs,) = read_shumi(tmp_path, ch_names=SHU_NAMES, transform=transform)
    assert epochs.get_data().shape == (6, 32, 800)
    common = 1e-6 * content["data"].mean(axis=1)
    assert np.abs(epochs.get_data().mean(axis=1)).std() > common.std() / 3  # no average reference


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(data=None), "no variable data"),
        (dict(labels=[[1, 2]]), "6 trials and 2 labels"),
        (dict(labels=[[1, 2, 3, 1, 1, 2]]), r"labels \[3\]"),
        (dict(data=np.ones((6, 31, 1000))), r"shape \(n_trials, 32, 1000\), got \(6, 31, 1000\)"),
        (dict(data=np.zeros((6, 32, 1000))), "flat"),
        (dict(data=2e7 * np.random.default_rng(0).standard_normal((6, 32, 1000))), "unit=1e-06"),
    ],
)
def test_shumi_bad_file(tmp_path, changes, message):
    _write_shumi(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        list(read_shumi(tmp_path, ch_names=SHU_NAMES))


def test_shumi_bad_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="Found no"):
        read_shumi(tmp_path)
    _write_shumi(tmp_path)
    with pytest.raises(FileNotFoundError, match="Give ch_names"):
        read_shumi(tmp_path)
    with pytest.raises(ValueError, match="32 different channel names, got 2"):
        read_shumi(tmp_path, ch_names=["a", "b"])
    (tmp_path / "a_channels.tsv").write_text("label\nE0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no column called name"):
        read_shumi(tmp_path)
    (tmp_path / "other.mat").touch()
    with pytest.raises(ValueError, match="other.mat is not"):
        read_shumi(tmp_path, ch_names=SHU_NAMES)


def test_shumi_broken_file(tmp_path):
    (tmp_path / "sub-001_ses-01_task_motorimagery_eeg.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="cannot be read"):
        list(read_shumi(tmp_path, ch_names=SHU_NAMES))
