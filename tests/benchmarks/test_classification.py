# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of classification, and the measurement of its cost."""

import mmap
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("classification")


def test_benchmark(script, shared, tmp_path, capsys):
    """Real recordings of four subjects, of whom the last is held out."""
    args = [
        "--shared",
        shared,
        "--tasks",
        "eegmat",
        "--max-subjects",
        4,
        "--folds",
        2,
        "--seeds",
        1,
    ]
    args += ["--methods", "bandpower-lr,gram-probe", "--jobs", 1, "--out", tmp_path / "out"]
    args += ["--csv", tmp_path / "rows.csv", "--figures", tmp_path / "figures"]
    assert script.main(list(map(str, args))) == 0
    out = capsys.readouterr().out
    assert "eegmat, 120 windows of 4 subjects" in out
    assert "eegmat, 30 windows of 1 subject (held-out)" in out
    assert "eegmat, 8 recordings of 4 subjects" in out
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 4
    assert (tmp_path / "figures" / "classification.png").is_file()
    task, held_out = script.load_task("eegmat", shared, 4)
    assert tuple(held_out) == ("03", "07", "11", "15", "19", "23")  # of all 26 subjects
    assert task.labels == ("rest", "arithmetic") and len(task.epochs.ch_names) == 19
    assert (task.epochs.metadata.groupby("subject")["part"].first() == "test").sum() == 1


def test_benchmark_arguments(script, tmp_path, capsys):
    (tmp_path / "eeg").mkdir()
    methods = ["csp-lda", "gram-probe+bands=[[8,13],[13,30]]+pool=mean", "gram-lora"]
    args = script.parse_args(["--shared", str(tmp_path), "--methods", ",".join(methods)])
    assert args.methods == methods
    (tmp_path / "eeg").rmdir()
    for args, message in {
        ("--tasks", "sleep"): "unknown tasks: sleep",
        ("--methods", "svm"): "Unknown method 'svm'",
        ("--shared", str(tmp_path)): "no recordings in",
    }.items():
        with pytest.raises(SystemExit):
            script.parse_args(list(args))
        assert message in capsys.readouterr().err


def test_memory_is_watched(script):
    """Memory that is released before the end is counted."""
    watch = sys.modules["_cost"].MemoryWatch
    if not Path("/proc/self/status").exists():
        pytest.skip("The system does not report the memory of a process.")
    with watch() as seen:
        # Memory of its own: an array might get what the process holds already.
        block, start = mmap.mmap(-1, 40_000_000), seen._peak
        np.frombuffer(block, np.uint8)[:] = 1
        for _ in range(500):  # on a busy machine the other thread may have to wait for its turn
            time.sleep(0.01)
            if seen._peak > start + 10:
                break
        del block
    assert 30 < seen.gain < 90


def test_format_costs(script):
    cost = dict(task="toy", method="csp-lda", n_train=8, n_test=2)
    cost.update(fit_seconds=1.5, fit_megabytes=20, predict_seconds=0.5, predict_megabytes=3)
    text = sys.modules["_cost"].format_costs([cost])
    assert "8 + 2" in text and "1.5 s    20 MB" in text
