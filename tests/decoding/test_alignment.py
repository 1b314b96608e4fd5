# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""People compared with themselves."""

import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, cross_val_score

from mne_gram.decoding._estimators import GramClassifier, GramFeatures


def make_people(n_people=6, n_each=12, seed=0):
    """Return epochs of people whose channels differ in size, and labels that one channel tells."""
    rng = np.random.default_rng(seed)
    names, data, labels, people = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"], [], [], []
    for person in range(n_people):
        mixing = np.diag(np.exp(0.8 * rng.standard_normal(6))) + 0.1 * rng.standard_normal((6, 6))
        for trial in range(n_each):
            x = rng.standard_normal((6, 400))
            x[2] *= 1.6 if trial % 2 else 1.0
            data.append(1e-5 * mixing @ x)
            labels.append("move" if trial % 2 else "rest")
            people.append(f"p{person}")
    info = mne.create_info(names, 200.0, "eeg")
    metadata = pd.DataFrame({"subject": people})
    epochs = mne.EpochsArray(np.stack(data), info, metadata=metadata, verbose="error")
    return epochs, np.array(labels), np.array(people)


SETTINGS = dict(features="tangent", line_freq=False)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_alignment_takes_away_what_differs_between_people():
    epochs, y, people = make_people()
    cv = GroupKFold(3)
    scores = {}
    for align in (None, "subject"):
        classifier = GramClassifier(align=align, **SETTINGS)
        scores[align] = cross_val_score(classifier, epochs, y, cv=cv, groups=people).mean()
    assert scores["subject"] > 0.85
    assert scores["subject"] > scores[None] + 0.1


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_known_people_need_no_further_trials():
    epochs, y, people = make_people(n_people=2)
    classifier = GramClassifier(align="subject", **SETTINGS).fit(epochs, y)
    whole = classifier.decision_function(epochs)
    np.testing.assert_allclose(classifier.decision_function(epochs[3]), whole[3:4], atol=1e-6)
    epochs.metadata["subject"] = "somebody else"
    with pytest.warns(RuntimeWarning, match=r"fewer than 10 trials of somebody else \(4\)"):
        classifier.predict(epochs[:4])


@pytest.mark.filterwarnings("ignore:A high-pass")
@pytest.mark.parametrize("kind", ["embedding", "bandpower", "tangent"])
def test_alignment_of_every_kind(kind):
    """Features of each person average to zero (of covariances, nearly)."""
    epochs, y, people = make_people(n_people=2)
    found = GramFeatures(kind, align="subject", line_freq=False).fit_transform(epochs)
    alone = GramFeatures(kind, line_freq=False).fit_transform(epochs)
    for person in np.unique(people):
        own = np.linalg.norm(found[people == person].mean(axis=0))
        assert own < 0.5 * np.linalg.norm(alone[people == person].mean(axis=0))


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_alignment_needs_to_know_who_it_is():
    epochs, y, _ = make_people(n_people=2)
    classifier = GramClassifier(align="person", **SETTINGS)
    with pytest.raises(ValueError, match="'person' is not a column .*which are: subject"):
        classifier.fit(epochs, y)
    array = epochs.get_data()
    with pytest.raises(TypeError, match="X is an array"):
        GramClassifier(align="subject", info=epochs.info, **SETTINGS).fit(array, y)
    epochs.metadata.loc[0, "subject"] = None
    with pytest.raises(ValueError, match="lacks 1 values"):
        GramClassifier(align="subject", **SETTINGS).fit(epochs, y)
    with pytest.raises(ValueError, match="align='subject' is for adapt='probe'"):
        GramClassifier("lora", align="subject").fit(epochs, y)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_one_person_can_be_aligned():
    """People are the groups of the folds, but one person makes no group."""
    epochs, y, _ = make_people(n_people=1, n_each=30)
    classifier = GramClassifier(align="subject", **SETTINGS).fit(epochs, y)
    assert classifier.score(epochs, y) > 0.8
