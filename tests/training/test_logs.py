# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The log of a run: what was written is read, a resumed run goes on where it was cut."""

import importlib.util
import math

import numpy as np
import pandas as pd
import pytest
from mne.utils import catch_logging
from numpy.testing import assert_allclose

from mne_gram._files import LOG_COLUMNS
from mne_gram.training import _logs as logs
from mne_gram.training._logs import Log, read_log
from mne_gram.viz._curves import plot_learning_curve

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed."
)


@pytest.fixture
def without_tensorboard(monkeypatch):
    monkeypatch.setattr(logs.importlib.util, "find_spec", lambda name: None)


def write_steps(log, steps, offset=0.0):
    for step in steps:
        log.write(step, "train", {"loss": step + offset, "lr": 0.1})


def test_what_is_written_is_read(tmp_path, without_tensorboard):
    with Log(tmp_path / "run") as log:
        log.write(1, "train", {"loss": 1 / 3, "lr": 1e-5})
        log.write(2, "validation", {"loss": math.nan}, subject='a/sub-01, "x"')
        # Rows are there before the log is closed.
        frame = read_log(tmp_path / "run")
    assert list(frame.columns) == ["step", "split", "subject", "name", "value"]
    assert frame["step"].dtype == np.int64 and frame["value"].dtype == np.float64
    assert list(frame["split"]) == ["train", "train", "validation"]
    assert list(frame["name"]) == ["loss", "lr", "loss"]
    assert list(frame["subject"]) == ["", "", 'a/sub-01, "x"']
    assert list(frame["step"]) == [1, 1, 2]
    assert_allclose(frame["value"], [1 / 3, 1e-5, math.nan], rtol=0)
    pd.testing.assert_frame_equal(frame, read_log(tmp_path / "run" / "log.csv"))


def test_tensors_are_numbers(tmp_path, without_tensorboard):
    import torch

    with Log(tmp_path) as log:
        log.write(np.int64(3), "train", {"loss": torch.tensor(0.5)})
    assert read_log(tmp_path)["value"].item() == 0.5


def test_an_empty_log(tmp_path, without_tensorboard):
    Log(tmp_path).close()
    frame = read_log(tmp_path)
    assert len(frame) == 0 and frame["step"].dtype == np.int64


@pytest.mark.parametrize("cut", [0, 1, 4, 11])
def test_resume_drops_what_came_later(tmp_path, without_tensorboard, cut):
    with Log(tmp_path) as log:
        write_steps(log, range(10))
    path = tmp_path / "log.csv"
    path.write_bytes(path.read_bytes()[: -cut or None])  # as a killed process leaves it
    assert len(read_log(tmp_path)) == 20 - (cut > 0)
    with Log(tmp_path, resume_step=6) as log:
        assert list(read_log(tmp_path)["step"]) == [k for k in range(7) for _ in range(2)]
        write_steps(log, range(7, 9), offset=100)
    loss = read_log(tmp_path).query("name == 'loss'")
    assert_allclose(loss["value"], [*range(7), 107, 108])
    assert not list(tmp_path.glob("*.part"))


def test_resume_where_there_is_no_log(tmp_path, without_tensorboard):
    with Log(tmp_path, resume_step=4) as log:
        write_steps(log, [5])
    assert list(read_log(tmp_path)["step"]) == [5, 5]


def test_a_new_log_keeps_the_old_one(tmp_path, without_tensorboard):
    with Log(tmp_path) as log:
        write_steps(log, range(3))
    with Log(tmp_path) as log:
        write_steps(log, [7])
    assert list(read_log(tmp_path)["step"]) == [7, 7]
    assert len(read_log(tmp_path / "log.csv.old")) == 6


def test_broken_lines_are_said(tmp_path, without_tensorboard):
    with Log(tmp_path) as log:
        write_steps(log, range(2))
    path = tmp_path / "log.csv"
    text = path.read_text().replace("1,train,,loss,1.0\n", "1,train,,lo\n")
    path.write_text(text)
    with pytest.warns(RuntimeWarning, match=r"lines of .* not rows of a log: \[4\]"):
        assert len(read_log(tmp_path)) == 3


def test_wrong_input(tmp_path, without_tensorboard):
    with pytest.raises(FileNotFoundError, match="folder of a run"):
        read_log(tmp_path)
    with Log(tmp_path) as log, pytest.raises(ValueError, match="split"):
        log.write(1, "test", {"loss": 1.0})
    (tmp_path / "log.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(ValueError, match="not a log"):
        read_log(tmp_path)


def test_a_full_disk_is_said(tmp_path, without_tensorboard, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with Log(tmp_path) as log:
        write_steps(log, [0])
        monkeypatch.setattr("builtins.open", fail)
        with pytest.raises(OSError, match="No space left.*resume") as info:
            write_steps(log, [1])
        monkeypatch.undo()
    assert info.value.errno == 28 and info.value.filename == str(tmp_path / "log.csv")
    assert len(read_log(tmp_path)) == 2


def test_without_tensorboard(tmp_path, without_tensorboard):
    with catch_logging("INFO") as said, Log(tmp_path) as log:
        write_steps(log, [0])
    assert "pip install tensorboard" in said.getvalue()
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@needs_tensorboard
def test_tensorboard_reads_it(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Log(tmp_path) as log:
        write_steps(log, range(5))
        log.write(4, "validation", {"loss": 2.0}, subject="eegmat/sub-04")
    with Log(tmp_path, resume_step=2) as log:
        write_steps(log, [3], offset=0.5)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {
        "loss/train",
        "lr/train",
        "loss/validation/eegmat/sub-04",
    }
    # The steps after the one that the run was resumed at are hidden.
    found = [(event.step, event.value) for event in events.Scalars("loss/train")]
    assert found == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.5)]
    assert events.Scalars("loss/validation/eegmat/sub-04") == []


# ---------------------------------------------------------------------------------------------
# Curves


def make_frame(n_steps=200):
    rng = np.random.default_rng(0)
    rows = [(k, "train", "", "loss", 1 / (1 + k) + rng.standard_normal()) for k in range(n_steps)]
    for k in range(0, n_steps, 20):
        rows += [(k, "validation", f"s{j}", "loss", float(j)) for j in range(3)]
        rows += [(k, "validation", "", "accuracy", 0.5)]
    return pd.DataFrame(rows, columns=list(LOG_COLUMNS))


def get_lines(axis):
    return {line.get_label(): line for line in axis.lines if line.get_label()[0] != "_"}


def test_curves():
    frame = make_frame()
    fig = plot_learning_curve(frame, show=False)
    loss, accuracy = fig.axes
    assert [axis.get_title() for axis in fig.axes] == ["loss", "accuracy"]
    assert len(loss.lines) == 6  # train twice, three subjects, their mean
    raw, smooth = loss.lines[0].get_ydata(), get_lines(loss)["train"].get_ydata()
    assert len(raw) == len(smooth) == 200
    assert np.std(np.diff(smooth)) < 0.5 * np.std(np.diff(raw))
    assert_allclose(get_lines(loss)["validation"].get_ydata(), np.ones(10))
    assert_allclose(get_lines(accuracy)["validation"].get_ydata(), np.full(10, 0.5))
    assert [text.get_text() for text in fig.legends[0].texts] == [
        "train",
        "subjects",
        "validation",
    ]
    fig.canvas.draw()


@pytest.mark.parametrize("n_names", [0, 1, 4])
def test_curves_of_a_folder(tmp_path, without_tensorboard, n_names):
    with Log(tmp_path) as log:
        for step in range(3):
            log.write(step, "train", {f"x{k}": k for k in range(n_names)})
    fig = plot_learning_curve(tmp_path, show=False)
    titles = [axis.get_title() for axis in fig.axes if axis.get_title()]
    assert titles == [f"x{k}" for k in range(n_names)]
    fig.canvas.draw()
