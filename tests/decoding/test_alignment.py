# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Alignment: trials relative to the mean of the same subject."""

import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, cross_val_score

from mne_gram.decoding import GramClassifier, GramFeatures


def make_subjects(n_subjects=6, n_each=12, seed=0):
    """Return epochs of subjects with channels of different size; one channel shows the label."""
    rng = np.random.default_rng(seed)
    names, data, labels, subjects = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"], [], [], []
    for subject in range(n_subjects):
        mixing = np.diag(np.exp(0.8 * rng.standard_normal(6))) + 0.1 * rng.standard_normal((6, 6))
        for trial in range(n_each):
            x = rng.standard_normal((6, 400))
            x[2] *= 1.6 if trial % 2 else 1.0
            data.append(1e-5 * mixing @ x)
            labels.append("move" if trial % 2 else "rest")
            subjects.append(f"p{subject}")
    info = mne.create_info(names, 200.0, "eeg")
    metadata = pd.DataFrame({"subject": subjects})
    epochs = mne.EpochsArray(np.stack(data), info, metadata=metadata, verbose="error")
    return epochs, np.array(labels), np.array(subjects)


SETTINGS = dict(features="tangent", line_freq=False)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_alignment_takes_away_what_differs_between_subjects():
    epochs, y, subjects = make_subjects()
    cv = GroupKFold(3)
    scores = {}
    for align in (None, "subject"):
        classifier = GramClassifier(align=align, **SETTINGS)
        scores[align] = cross_val_score(classifier, epochs, y, cv=cv, groups=subjects).mean()
    assert scores["subject"] > 0.85
    assert scores["subject"] > scores[None] + 0.1


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_known_subjects_need_no_further_trials():
    epochs, y, subjects = make_subjects(n_subjects=2)
    classifier = GramClassifier(align="subject", **SETTINGS).fit(epochs, y)
    whole = classifier.decision_function(epochs)
    np.testing.assert_allclose(classifier.decision_function(epochs[3]), whole[3:4], atol=1e-6)
    epochs.metadata["subject"] = "somebody else"
    with pytest.warns(RuntimeWarning, match=r"fewer than 10 trials of somebody else \(4\)"):
        classifier.predict(epochs[:4])


@pytest.mark.filterwarnings("ignore:A high-pass")
@pytest.mark.parametrize("kind", ["embedding", "bandpower", "tangent"])
def test_alignment_of_every_kind(kind):
    """Features of each subject average to zero (of covariances, nearly)."""
    epochs, y, subjects = make_subjects(n_subjects=2)
    found = GramFeatures(kind, align="subject", line_freq=False).fit_transform(epochs)
    alone = GramFeatures(kind, line_freq=False).fit_transform(epochs)
    for subject in np.unique(subjects):
        own = np.linalg.norm(found[subjects == subject].mean(axis=0))
        assert own < 0.5 * np.linalg.norm(alone[subjects == subject].mean(axis=0))


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_alignment_needs_the_subject():
    epochs, y, _ = make_subjects(n_subjects=2)
    classifier = GramClassifier(align="person", **SETTINGS)
    with pytest.raises(ValueError, match="'person' is not a column .*columns: subject"):
        classifier.fit(epochs, y)
    array = epochs.get_data()
    with pytest.raises(TypeError, match="X is an array"):
        GramClassifier(align="subject", info=epochs.info, **SETTINGS).fit(array, y)
    epochs.metadata.loc[0, "subject"] = None
    with pytest.raises(ValueError, match="1 values of the metadata column .* are missing"):
        GramClassifier(align="subject", **SETTINGS).fit(epochs, y)
    with pytest.raises(ValueError, match="align='subject' is for adapt='probe'"):
        GramClassifier("lora", align="subject").fit(epochs, y)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_one_subject_can_be_aligned():
    """Subjects are the groups of the folds, unless there is only one."""
    epochs, y, _ = make_subjects(n_subjects=1, n_each=30)
    classifier = GramClassifier(align="subject", **SETTINGS).fit(epochs, y)
    assert classifier.score(epochs, y) > 0.8
