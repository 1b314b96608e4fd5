# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Small tasks: noise in which two classes differ in where alpha is."""

from types import SimpleNamespace

import mne
import numpy as np
import pandas as pd
import pytest

from mne_gram.evaluation import FoldResult, make_task

NAMES = ["C3", "CZ", "C4", "O1", "O2"]


def draw_windows(labels, seed, seconds=2.0, sfreq=200.0):
    """Return noise; class ``b`` has alpha in the occipital channels, the other in C3."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * sfreq)) / sfreq
    data = rng.standard_normal((len(labels), len(NAMES), len(times)))
    alpha = np.sin(2 * np.pi * 10 * times + rng.uniform(0, 6, (len(labels), 1)))
    is_b = np.asarray(labels) == "b"
    data[is_b, 3:] += 2 * alpha[is_b, None]
    data[~is_b, 0] += 2 * alpha[~is_b]
    return 1e-5 * data


def make_epochs(subject, labels, seed, name="r1", part="n/a", names=NAMES, **kwargs):
    info = mne.create_info(list(names), kwargs.get("sfreq", 200.0), "eeg")
    frame = pd.DataFrame(dict(label=labels)).assign(
        subject=subject, session="1", file=f"{subject}_{name}.edf", part=part
    )
    data = draw_windows(labels, seed, **kwargs)[:, : len(names)]
    return mne.EpochsArray(data, info, metadata=frame, verbose="error")


def make_toy(n_subjects=8, mixed=False, **kwargs):
    """Return a task of two recordings per subject, of one class each or of both."""
    found = []
    for k in range(n_subjects):
        for number, label in enumerate("ab"):
            labels = ["a", "b"] * 3 if mixed else [label] * 6
            found.append(make_epochs(f"s{k}", labels, [k, number], name=f"r{number}"))
    return make_task("toy", found, band=(8.0, 30.0), **kwargs)


def predict_toy(task, method, seed, right):
    """Return results in two folds of a method that is right for some windows."""
    y = np.array([task.labels.index(label) for label in task.y])
    said = np.where(right, y, 1 - y)
    log_proba = np.log(np.where(np.arange(2) == said[:, None], 0.8, 0.2))
    rows = np.arange(len(y))
    return [
        FoldResult(method, seed, fold, rows[fold::2], log_proba[fold::2], 1.0, 0.5)
        for fold in (0, 1)
    ]


@pytest.fixture(scope="session")
def toy():
    """Return functions that draw windows, epochs, tasks and predictions."""
    return SimpleNamespace(
        names=NAMES, draw=draw_windows, epochs=make_epochs, task=make_toy, predict=predict_toy
    )


@pytest.fixture(scope="session")
def task():
    """Return a task of eight subjects with one recording of each class."""
    return make_toy()
