# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Alignment: trials relative to the mean of the same subject."""

import mne
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

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


@pytest.fixture(scope="module")
def routed():
    """Return the trials as Epochs and arrays, with settings for the latter."""
    epochs, y, subjects = make_subjects()
    settings = dict(SETTINGS, align="subject", info=epochs.info)
    return epochs, epochs.get_data(), y, subjects, settings


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
def test_few_trials_of_a_new_subject(routed):
    """Two trials of both classes are enough; one alone is classified as without alignment."""
    epochs, x, y, subjects, settings = routed
    rows = np.flatnonzero(subjects != "p1")
    classifier = GramClassifier(C=1.0, **settings).fit(x[rows], y[rows], groups=subjects[rows])
    own = np.flatnonzero(subjects == "p1")
    right, odds = [], []
    for pair in own.reshape(-1, 2):
        with pytest.warns(RuntimeWarning, match="p1 \\(2\\)"):
            right += (classifier.predict(x[pair], groups=["p1", "p1"]) == y[pair]).tolist()
        with pytest.warns(RuntimeWarning, match="p1 \\(1\\); single trials are compared with the"):
            odds.append(classifier.decision_function(x[pair[:1]], groups=["p1"])[0])
    assert np.mean(right) > 0.8
    assert np.isfinite(odds).all() and np.ptp(odds) > 0.1
    with pytest.warns(RuntimeWarning, match="p1"):  # one class: safe, though it cannot be right
        assert np.isfinite(classifier.predict_proba(x[own[::2]], groups=subjects[own[::2]])).all()


@pytest.mark.filterwarnings("ignore:A high-pass", "ignore:.*fewer than 10 trials of p1")
def test_subjects_of_one_class(routed):
    epochs, x, y, subjects, settings = routed
    classifier = GramClassifier(C=1.0, **settings)
    rows = np.flatnonzero((subjects != "p1") | (y == "move"))
    with pytest.warns(RuntimeWarning, match="only one class of p1. Leave these subjects out"):
        classifier.fit(x[rows], y[rows], groups=subjects[rows])
    with pytest.raises(ValueError, match="each subject has trials of one class only"):
        classifier.fit(x, np.where(subjects < "p3", "move", "rest"), groups=subjects)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_subjects_in_metadata_are_groups(routed):
    """Without groups, the folds that choose settings keep the subjects in the metadata apart."""
    epochs, _, y, subjects, _ = routed
    settings = dict(SETTINGS, bands=[(8.0, 30.0)])
    found = GramClassifier(**settings).fit(epochs, y)
    expected = GramClassifier(**settings).fit(epochs, y, groups=subjects)
    np.testing.assert_array_equal(found.probe_.losses[0], expected.probe_.losses[0])
    bare = epochs.copy()
    bare.metadata = None
    other = GramClassifier(**settings).fit(bare, y)
    assert not np.array_equal(found.probe_.losses[0], other.probe_.losses[0])
    # One subject, or fewer than folds, leaves trials as they are.
    bare.metadata = pd.DataFrame({"subject": np.repeat(["p0", "p1"], [66, 6])})
    again = GramClassifier(cv=5, **settings).fit(bare, y)
    np.testing.assert_array_equal(again.probe_.losses[0], other.probe_.losses[0])


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
    classifier = GramClassifier(align="subject", info=epochs.info, **SETTINGS)
    with pytest.raises(TypeError, match="X is an array. Pass groups="):
        classifier.fit(array, y)
    with pytest.raises(ValueError, match="one value for each of the 24 epochs"):
        classifier.fit(array, y, groups=["p0"] * 23)
    with pytest.raises(ValueError, match="1 values of groups are missing"):
        classifier.fit(array, y, groups=["p0"] * 23 + [None])
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
    by_group = GramClassifier(align="subject", info=epochs.info, **SETTINGS)
    by_group.fit(epochs.get_data(), y, groups=["p0"] * 30)
    assert by_group.score(epochs.get_data(), y, groups=["p0"] * 30) == classifier.score(epochs, y)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_groups_are_the_subjects_of_arrays(routed):
    """Every method takes groups, with the results that metadata give."""
    epochs, x, y, subjects, settings = routed
    train, test = np.arange(36), np.arange(36, 72)
    expected = GramClassifier(align="subject", C=1.0, **SETTINGS).fit(epochs[train], y[train])
    found = GramClassifier(C=1.0, **settings).fit(x[train], y[train], groups=subjects[train])
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        by_group = getattr(found, name)(x[test], groups=subjects[test])
        np.testing.assert_array_equal(by_group, getattr(expected, name)(epochs[test]))
        with pytest.raises(TypeError, match="X is an array. Pass groups="):
            getattr(found, name)(x[test])
    assert found.score(x[test], y[test], groups=subjects[test]) == expected.score(
        epochs[test], y[test]
    )
    features = GramFeatures(**settings)
    fitted = features.fit_transform(x, groups=subjects)
    np.testing.assert_array_equal(fitted, features.transform(x, groups=subjects))
    by_column = GramFeatures("tangent", align="subject", line_freq=False).fit_transform(epochs)
    np.testing.assert_array_equal(fitted, by_column)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_metadata_come_before_groups(routed):
    """Groups may be coarser than subjects, such as families or sites."""
    epochs, _, y, subjects, _ = routed
    sites = np.where(subjects < "p3", "here", "there")
    features = GramFeatures("tangent", align="subject", line_freq=False)
    found = features.fit_transform(epochs, groups=sites)
    np.testing.assert_array_equal(found, features.fit_transform(epochs))
    epochs = epochs.copy()
    epochs.metadata = None
    assert not np.allclose(features.fit_transform(epochs, groups=sites), found)
    np.testing.assert_array_equal(features.fit_transform(epochs, groups=subjects), found)


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_groups_are_routed(routed):
    """Routing passes groups to all methods, unless other requests are set."""
    epochs, x, y, subjects, settings = routed
    classifier, folds = GramClassifier(align="subject", C=1.0, **SETTINGS), GroupKFold(2)
    expected = cross_val_score(classifier, epochs, y, groups=subjects, cv=folds)
    with sklearn.config_context(enable_metadata_routing=True):
        classifier, features = GramClassifier(C=1.0, **settings), GramFeatures(**settings)
        options = dict(params=dict(groups=subjects), cv=folds, error_score="raise")
        np.testing.assert_array_equal(cross_val_score(classifier, x, y, **options), expected)
        classifier.set_fit_request(groups=True).set_score_request(groups=False)
        with pytest.raises(TypeError, match="Pass groups="):
            cross_val_score(classifier, x, y, **options)
        classifier.set_predict_request(groups=True).set_predict_proba_request(groups=True)
        pipeline = make_pipeline(features.set_transform_request(groups=True), LogisticRegression())
        pipeline.fit(x, y, groups=subjects)
        assert pipeline.predict_proba(x[:12], groups=subjects[:12]).shape == (12, 2)
        assert pipeline.score(x, y, groups=subjects) > 0.85


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_groups_without_routing(routed):
    """In a pipeline without routing, groups reach the last step."""
    _, x, y, subjects, settings = routed
    pipeline = make_pipeline("passthrough", GramClassifier(C=1.0, **settings))
    pipeline.fit(x, y, gramclassifier__groups=subjects)
    assert (pipeline.predict(x, groups=subjects) == y).mean() > 0.85


@pytest.mark.filterwarnings("ignore:A high-pass")
def test_metadata_without_pandas(routed, monkeypatch):
    """Without pandas, MNE keeps metadata as a list of dicts, which cross-validation slices."""
    epochs, x, y, subjects, _ = routed
    classifier = GramClassifier(align="subject", C=1.0, **SETTINGS)
    folds = dict(groups=subjects, cv=GroupKFold(2))
    expected = cross_val_predict(classifier, epochs, y, **folds)
    for module in (mne.epochs, mne.utils.mixin):
        monkeypatch.setattr(module, "_check_pandas_installed", lambda strict=True: False)
    metadata = [dict(subject=name) for name in subjects.tolist()]
    epochs = mne.EpochsArray(x, epochs.info, metadata=metadata, verbose="error")
    np.testing.assert_array_equal(cross_val_predict(classifier, epochs, y, **folds), expected)
    del metadata[3]["subject"]
    epochs = mne.EpochsArray(x, epochs.info, metadata=metadata, verbose="error")
    with pytest.raises(ValueError, match="1 values of the metadata column 'subject' are missing"):
        classifier.fit(epochs, y)
