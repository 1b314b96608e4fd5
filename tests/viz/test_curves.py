# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Learning curves."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from mne_gram._files import LOG_COLUMNS
from mne_gram.training._logs import Log
from mne_gram.viz import plot_learning_curve

SUBJECTS = ("a/01", "b/02")


def make_log(n_steps=100, subjects=SUBJECTS, whole=True):
    """Return a log with a falling training loss, and higher losses of subjects."""
    rows = []
    for step in range(1, n_steps + 1):
        loss = 1 - step / 200
        rows.append((step, "train", "", "loss", loss))
        rows.append((step, "train", "", "learning_rate", 1e-3))
        if step % 50 == 0:
            for k, subject in enumerate(subjects):
                rows.append((step, "validation", subject, "loss", loss + k + 1))
                rows.append((step, "validation", subject, "accuracy", 0.1 * k))
            if whole:
                rows.append((step, "validation", "", "loss", 7.0))
    return pd.DataFrame(rows, columns=list(LOG_COLUMNS))


def get_lines(axis):
    """Return the labelled lines of the axes, by label."""
    return dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))


def test_what_is_drawn():
    fig = plot_learning_curve(make_log(), show=False)
    fig.canvas.draw()
    titles = [axis.get_title() for axis in fig.axes]
    assert titles == ["loss", "learning rate", "accuracy"]
    loss, rate, accuracy = (get_lines(axis) for axis in fig.axes)
    assert set(loss) == {"train", "subjects", "validation"}
    assert set(rate) == {"train"} and set(accuracy) == {"subjects", "validation"}
    # The mean over four steps of a straight line is that line, half a step off.
    assert_allclose(loss["train"].get_xdata(), np.arange(1, 101))
    assert_allclose(loss["train"].get_ydata()[10:90], 1 - np.arange(10.5, 90) / 200, atol=1e-9)
    raw = next(line for line in fig.axes[0].lines if line.get_alpha() is not None)
    assert_allclose(raw.get_ydata(), 1 - np.arange(1, 101) / 200)
    assert_allclose(loss["validation"].get_xydata(), [[50, 7], [100, 7]])
    # Nothing was logged of all subjects: their mean.
    assert_allclose(accuracy["validation"].get_ydata(), 0.05)
    grey = [line for line in fig.axes[0].lines if line.get_color() == "#BBBBBB"]
    assert_allclose([line.get_ydata() for line in grey], [[1.75, 1.5], [2.75, 2.5]])
    labels = {text.get_text() for text in fig.legends[0].get_texts()}
    assert labels == {"train", "subjects", "validation"}
    assert fig.axes[0].get_xlim() == fig.axes[2].get_xlim()
    assert [axis.get_xlabel() for axis in fig.axes] == ["Step"] * 3


def test_folder_file_and_table_are_the_same(tmp_path):
    with Log(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, "train", dict(loss=1 / step))
        log.write(3, "validation", dict(loss=2.0))
    logs = (tmp_path, str(tmp_path / "log.csv"), pd.read_csv(tmp_path / "log.csv"))
    for given in logs:
        lines = get_lines(plot_learning_curve(given, show=False).axes[0])
        assert_allclose(lines["train"].get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3]])
        assert_allclose(lines["validation"].get_xydata(), [[3, 2]])


def test_names_and_own_axes():
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3)
    names = ["accuracy", "loss"]
    assert plot_learning_curve(make_log(), names=names, axes=axes, show=False) is fig
    assert [axis.get_title() for axis in axes] == ["accuracy", "loss", ""]
    assert axes[0].get_legend() is not None and not fig.legends and not axes[2].lines
    fig, axis = plt.subplots()
    plot_learning_curve(make_log(), names="loss", axes=axis, show=False)
    assert axis.get_xlabel() == "Step"
    with pytest.raises(ValueError, match="Found 1 axes, expected 2: one per quantity"):
        plot_learning_curve(make_log(), names=names, axes=axis)


def test_a_single_step_is_a_dot():
    fig = plot_learning_curve(make_log().query("step == 50"), show=False)
    lines = get_lines(fig.axes[0])
    assert {label: line.get_marker() for label, line in lines.items()} == dict(
        train=".", subjects=".", validation="o"
    )


def test_nothing_was_logged(tmp_path):
    Log(tmp_path).close()
    fig = plot_learning_curve(tmp_path, show=False)
    fig.canvas.draw()
    assert [text.get_text() for text in fig.axes[0].texts] == ["Nothing was logged"]


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match="no log"):
        plot_learning_curve(tmp_path)
    with pytest.raises(TypeError, match="log must be"):
        plot_learning_curve(3)
    with pytest.raises(ValueError, match="split, subject, name, value are missing"):
        plot_learning_curve(pd.DataFrame({"step": [1], "loss": [0.5]}))
    with pytest.raises(ValueError, match="not logged: lost. Expected some of loss, learning_rate"):
        plot_learning_curve(make_log(), names=["loss", "lost"])
    with pytest.raises(ValueError, match="none given"):
        plot_learning_curve(make_log(), names=[])
    wrong = make_log().assign(value="much")
    with pytest.raises(ValueError, match="step and value must be numbers"):
        plot_learning_curve(wrong)
