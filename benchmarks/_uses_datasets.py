# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Uses with the data sets of MOABB and braindecode."""

import tempfile
from functools import lru_cache, partial

import mne
import numpy as np
from _trials import (
    ARRAY,
    NAMES,
    SFREQ,
    chain,
    check,
    get_array,
    get_labels,
    make_classifier,
    make_epochs,
    make_features,
)
from _uses import use

moabb_use = partial(use, "MOABB")
braindecode_use = partial(use, "braindecode")
_MOABB = dict(ch_names=["C3", "Cz", "C4"], sfreq=128.0)

# ---------------------------------------------------------------------------------------------
# MOABB


@lru_cache
def make_paradigm():
    """Return a paradigm and artificial data of two subjects."""
    from moabb.datasets.fake import FakeDataset
    from moabb.paradigms import MotorImagery

    options = dict(n_sessions=2, n_runs=1, n_subjects=2, n_events=20, duration=80, seed=1)
    data = FakeDataset(["left_hand", "right_hand"], **options)
    return MotorImagery(n_classes=2, events=["left_hand", "right_hand"]), data


def get_trials(**kwargs):
    """Return trials of MOABB and their labels."""
    paradigm, data = make_paradigm()
    return paradigm.get_data(data, subjects=[1], **kwargs)[:2]


def evaluate(kind, clf, **kwargs):
    """Run an evaluation of MOABB."""
    paradigm, data = make_paradigm()
    with tempfile.TemporaryDirectory() as folder:
        options = dict(hdf5_path=folder, overwrite=True, **kwargs)
        found = kind(paradigm=paradigm, datasets=[data], **options).process({"gram": clf})
    assert len(found) >= 2 and found["score"].notna().all()


@moabb_use("arrays, in microvolts")
def _microvolts():
    make_classifier(unit="uV", **_MOABB).fit(*get_trials())


@moabb_use("arrays without a unit", cure="unit='uV'|by 1e-6")
def _no_unit():
    make_classifier(**_MOABB).fit(*get_trials())


@moabb_use("Epochs (return_epochs=True)")
def _epochs():
    make_classifier().fit(*get_trials(return_epochs=True))


@moabb_use("WithinSessionEvaluation of arrays")
def _within():
    from moabb.evaluations import WithinSessionEvaluation

    evaluate(WithinSessionEvaluation, make_classifier(unit="uV", **_MOABB))


@moabb_use("WithinSessionEvaluation of Epochs")
def _within_epochs():
    from moabb.evaluations import WithinSessionEvaluation

    evaluate(WithinSessionEvaluation, make_classifier(), return_epochs=True)


@moabb_use("CrossSessionEvaluation of a pipeline")
def _sessions():
    from moabb.evaluations import CrossSessionEvaluation
    from sklearn.linear_model import LogisticRegression

    pipeline = chain(make_features(unit="uV", **_MOABB), LogisticRegression())
    evaluate(CrossSessionEvaluation, pipeline)


@moabb_use("CrossSubjectEvaluation of Epochs")
def _subjects():
    from moabb.evaluations import CrossSubjectEvaluation

    evaluate(CrossSubjectEvaluation, make_classifier(), return_epochs=True)


# ---------------------------------------------------------------------------------------------
# braindecode


@lru_cache
def make_windows(use_epochs=False, factor=1.0):
    """Return windows of two recordings with two classes."""
    from braindecode.datasets import BaseConcatDataset, RawDataset
    from braindecode.preprocessing import create_windows_from_events

    parts = []
    for half in np.split(factor * get_array(), 2):
        info = make_epochs().info
        raw = mne.io.RawArray(np.concatenate(half, axis=1), info, verbose="error")
        onsets = 1.5 * np.arange(len(half))
        raw.set_annotations(mne.Annotations(onsets, 1.5, np.tile(["rest", "left"], len(half) // 2)))
        parts.append(RawDataset(raw, {"subject": len(parts)}))
    return create_windows_from_events(
        BaseConcatDataset(parts),
        mapping=dict(rest=1, left=2),
        window_size_samples=300,
        window_stride_samples=300,
        preload=True,
        use_mne_epochs=use_epochs,
    )


@braindecode_use("windows of a Raw, with their own labels")
def _windows():
    assert make_classifier().fit(make_windows(), y=None).score(make_windows(), get_labels()) > 0.9


@braindecode_use("windows of Epochs")
def _windows_of_epochs():
    check(make_classifier(), make_windows(use_epochs=True))


@braindecode_use("windows in microvolts")
def _windows_in_microvolts():
    check(make_classifier(unit="uV"), make_windows(factor=1e6))


@braindecode_use("windows in microvolts without a unit", cure="unit='uV'")
def _windows_without_unit():
    check(make_classifier(), make_windows(factor=1e6))


@braindecode_use("split by subject")
def _split():
    sets = make_windows().split("subject")
    y = [sets[name].get_metadata()["target"].to_numpy() for name in "01"]
    assert make_classifier().fit(sets["0"], y[0]).score(sets["1"], y[1]) > 0.9


@braindecode_use("a Subset of windows")
def _subset():
    from torch.utils.data import Subset

    rows = np.arange(0, 40, 3)
    check(make_classifier(), Subset(make_windows(), rows), get_labels()[rows])


@braindecode_use("cross_val_score of a SliceDataset")
def _slices():
    from sklearn.model_selection import cross_val_score
    from skorch.helper import SliceDataset

    x, y = SliceDataset(make_windows(), idx=0), SliceDataset(make_windows(), idx=1)
    assert cross_val_score(make_classifier(), x, np.array(list(y)), cv=4).mean() > 0.9


@braindecode_use("cross_val_score of windows, with the names of channels")
def _items():
    from sklearn.model_selection import cross_val_score

    clf = make_classifier(**ARRAY)
    assert cross_val_score(clf, make_windows(), get_labels(), cv=4).mean() > 0.9


@braindecode_use("create_from_X_y")
def _from_arrays():
    from braindecode.datasets import create_from_X_y

    y = get_labels()
    options = dict(sfreq=SFREQ, ch_names=NAMES, drop_last_window=False)
    check(make_classifier(), create_from_X_y(get_array(), y, **options))


@braindecode_use("recordings that are not cut", cure="create_fixed_length_windows")
def _recordings():
    from braindecode.datasets import BaseConcatDataset, RawDataset

    raw = mne.io.RawArray(np.concatenate(get_array(), axis=1), make_epochs().info)
    make_classifier().fit(BaseConcatDataset([RawDataset(raw)]), y=None)


@braindecode_use("an EEGClassifier after GramFeatures")
def _net():
    import torch
    from braindecode import EEGClassifier

    torch.manual_seed(0)
    layers = torch.nn.Linear(48, 2)
    options = dict(
        max_epochs=40, lr=0.1, batch_size=20, train_split=None, verbose=0, classes=[0, 1]
    )
    net = EEGClassifier(layers, criterion=torch.nn.CrossEntropyLoss, **options)
    check(chain(make_features(), net), make_windows(), get_labels() - 1)
