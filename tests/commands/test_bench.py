# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command ``bench classify``: arguments, tables, figures and errors."""

import csv

import mne
import numpy as np
import pytest
from mne_bids import BIDSPath, write_raw_bids
from scipy.io import savemat

from mne_gram._commands._main import main
from mne_gram.datasets import RECIPES
from mne_gram.evaluation import _compare

NAMES = ["C3", "CZ", "C4", "O1", "O2"]


def _draw_windows(labels, seed, seconds=2.0, sfreq=200.0):
    """Return noise; class ``b`` has alpha in the occipital channels, the other in C3."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * sfreq)) / sfreq
    data = rng.standard_normal((len(labels), len(NAMES), len(times)))
    alpha = np.sin(2 * np.pi * 10 * times + rng.uniform(0, 6, (len(labels), 1)))
    is_b = np.asarray(labels) == "b"
    data[is_b, 3:] += 2 * alpha[is_b, None]
    data[~is_b, 0] += 2 * alpha[~is_b]
    return 1e-5 * data


def _write_bids(root, n_subjects=4):
    """Write a data set with events, and in another task without."""
    for k in range(n_subjects):
        for task in ("cue", "rest"):
            labels = ["a", "b"] * 5
            data = np.concatenate(list(_draw_windows(labels, k, 4.0)), axis=1)
            data[:] += (task == "rest") * 1e-5 * np.sin(np.arange(data.shape[1]) / 3)
            info = mne.create_info(NAMES, 200.0, "eeg")
            raw = mne.io.RawArray(data, info, verbose="error")
            raw.info["line_freq"] = 50
            onsets = 4.0 * np.arange(10)
            if task == "cue":
                raw.set_annotations(mne.Annotations(onsets, 4.0, ["T1", "T2"] * 5))
            path = BIDSPath(subject=f"{k:02d}", task=task, datatype="eeg", root=root)
            with mne.utils.use_log_level("ERROR"):
                write_raw_bids(raw, path, format="BrainVision", allow_preload=True)


@pytest.fixture(scope="module")
def bids_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "cues"
    _write_bids(root)
    return root


def _read_table(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _bench(*args):
    return main(["bench", "classify", *map(str, args)])


def test_command_on_events(bids_root, tmp_path, capsys):
    """Tables, figures and text of a data set's events."""
    args = (bids_root, "--out", tmp_path, "--event", "a=T1", "b=T2", "--tasks", "cue")
    args += ("--methods", "bandpower-lr", "csp-lda", "--seeds", 2, "--folds", 2)
    assert _bench(*args) == 0
    out, err = capsys.readouterr()
    assert "cues, 40 windows of 4 subjects" in out and "csp-lda" in out and "chance" in out
    assert f"Tables and figures are in {tmp_path}" in out
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "fold_results",
        "cues_folds.csv",
        "cues_summary.csv",
        "cues_confusion.png",
        "cues_scores.png",
    }
    rows = _read_table(tmp_path / "cues_folds.csv")
    assert [(row["method"], row["seed"], row["fold"]) for row in rows[:3]] == [
        ("bandpower-lr", "0", "0"),
        ("bandpower-lr", "0", "1"),
        ("bandpower-lr", "10", "0"),
    ]
    assert len(rows) == 8 and {"kappa", "roc_auc", "fit_seconds"} <= set(rows[0])
    (row,) = [r for r in _read_table(tmp_path / "cues_summary.csv") if r["method"] == "csp-lda"]
    assert row["level"] == "window" and float(row["balanced_accuracy"]) > 0.8
    assert (tmp_path / "cues_scores.png").read_bytes().startswith(b"\x89PNG")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "fold_results").iterdir()}
    assert _bench(*args) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_command_on_recordings(bids_root, tmp_path, capsys):
    assert (
        _bench(
            bids_root, "--out", tmp_path, "--by", "task", "--methods", "bandpower-lr", "--seeds",
            1, "--folds", 2, "--within", "--name", "states", "--max-windows", 4,
        )
        == 0
    )  # fmt: skip
    out = capsys.readouterr().out
    assert "states, 32 windows of 4 subjects" in out and "8 recordings of 4 subjects" in out


@pytest.mark.filterwarnings("default")  # a warning of the filters
def test_command_on_a_recipe(tmp_path, capsys):
    """The owners' files, the published split and the published measures."""
    rng = np.random.default_rng(0)
    names = [f"E{k}" for k in range(32)]
    for k in range(1, 6):
        data = 20 * rng.standard_normal((8, 32, 1000))
        labels = np.array([[1, 2] * 4])
        data[1::2, :8] *= 3
        content = dict(data=data, labels=labels)
        savemat(tmp_path / f"sub-{k:03d}_ses-01_task_motorimagery_eeg.mat", content)
    out = tmp_path / "out"
    args = (tmp_path, "--recipe", "shumi", "--out", out, "--methods", "bandpower-lr")
    assert _bench(*args, "--seeds", 1, "--ch-names", *names) == 0
    printed, err = capsys.readouterr()
    assert "shumi, 8 windows of 1 subject" in printed
    assert "(5 times)" in err  # that the band is narrow, once for all
    row = _read_table(out / "shumi_summary.csv")[0]
    assert {*RECIPES["shumi"].measures} <= set(row)
    assert float(row["roc_auc"]) > 0.9


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--recipe", "tuev", "--by", "task"], "--recipe cannot be combined with --by"),
        (["--by", "task", "--event", "a=T1"], "either --event or --by"),
        (["--labels", "a"], "--labels needs --by"),
        (["--ch-names", "a"], "--ch-names needs --recipe shumi"),
        (["--folds", "1"], "--folds must be at least 2, got 1"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--event", "T1"], "--event expects LABEL=EVENT, got 'T1'"),
    ],
)
def test_wrong_arguments(tmp_path, capsys, args, message):
    with pytest.raises(SystemExit) as info:
        _bench(tmp_path, "--out", tmp_path, *args)
    assert info.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--methods", "svm"], "Unknown method 'svm'"),
        (["--event", "a=T9"], "has an event T9"),
        (["--event", "a=T1"], "expected some of each of 1 classes (at least two)"),
        (["--event", "a=T1", "b=T2", "--folds", "5"], "4 subjects, fewer than the 5 folds"),
    ],
)
def test_errors_are_one_line(bids_root, tmp_path, capsys, args, message):
    assert _bench(bids_root, "--out", tmp_path, "--methods", "csp-lda", *args) == 1
    out, err = capsys.readouterr()
    assert out == "" and message in err.splitlines()[-1]


@pytest.mark.filterwarnings("default")  # a warning of the failed fits
def test_command_reports_failures(bids_root, tmp_path, capsys, monkeypatch):
    fit_and_test = _compare.fit_and_test

    def fail(task, method, *args):
        if method.name == "csp-lda":
            raise FloatingPointError("no patterns")
        return fit_and_test(task, method, *args)

    monkeypatch.setattr(_compare, "fit_and_test", fail)
    args = (bids_root, "--out", tmp_path, "--event", "a=T1", "b=T2", "--folds", 2, "--seeds", 1)
    assert _bench(*args, "--methods", "csp-lda", "bandpower-lr") == 1
    out, err = capsys.readouterr()
    assert "bandpower-lr" in out
    assert "2 fits failed, the first (csp-lda, seed 0, fold 0) with FloatingPointError" in err
