# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Classify without leaking
========================

How accurate is a classifier in subjects that it was not trained on? The most common mistake in EEG
classification gives an answer that is far too good. This tutorial makes the mistake with data in
which there is nothing to find, and then does it correctly, with scikit-learn.
"""

# %%
# Subjects
# --------
#
# Twelve simulated subjects, each awake and asleep for 40 seconds, cut into trials of 4 s. Every
# subject has individual sources, spectra and an individual amplifier, so trials of one subject
# resemble each other, as :doc:`40_embeddings_and_tokens` shows. Preprocess before cutting.

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mne_gram
from mne_gram.simulation import simulate_raw

mne.set_log_level("warning")
blue, orange = "#0072B2", "#D55E00"

trials, subjects, states = [], [], []
for subject in range(12):
    for state in ["awake", "asleep"]:
        raw, _ = simulate_raw(40.0, asleep=state == "asleep", seed=subject)
        raw.set_annotations(None)
        trials.append(mne.make_fixed_length_epochs(mne_gram.preprocess(raw), 4.0, preload=True))
        subjects += [subject] * len(trials[-1])
        states += [state] * len(trials[-1])
trials = mne.concatenate_epochs(trials)
subjects, states = np.array(subjects), np.array(states)
print(trials)

# %%
# Features
# --------
#
# :class:`mne_gram.GramFeatures` converts trials into vectors, here with the encoder of Gram. It
# does not use labels, and the embedding of a trial does not depend on other trials, so it can be
# computed once for all folds.

features = mne_gram.GramFeatures("embedding").fit_transform(trials)
print(features.shape)

# %%
# A question without an answer
# ----------------------------
#
# We randomly declare six subjects patients and the other six controls. There is nothing to find: on
# a held-out subject, any classifier is right in half of the cases. We use two kinds of
# cross-validation, for eight such random assignments:
#
# - ``KFold`` assigns trials to training and test at random. Trials of one subject are in both.
# - ``GroupKFold`` keeps all trials of a subject together.

classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
splits = {
    "random KFold": KFold(6, shuffle=True, random_state=0),
    "GroupKFold": GroupKFold(6),
}


def score(labels):
    """Return the mean accuracy for each kind of split."""
    return [
        cross_val_score(
            classifier, features, labels, cv=cv, groups=subjects if "Group" in name else None
        ).mean()
        for name, cv in splits.items()
    ]


rng = np.random.default_rng(0)
by_lot = []
for _ in range(8):
    is_patient = rng.permutation(12) < 6
    by_lot.append(score(np.where(is_patient[subjects], "patient", "control")))
by_lot = np.array(by_lot)
for name, value in zip(splits, by_lot.mean(axis=0), strict=True):
    print(f"{name:13} accuracy {value:.2f}")

# %%
# A question with an answer
# -------------------------
#
# Awake or asleep is a real difference within each subject. Here both splits agree, because
# recognising the subject does not help: every subject has trials of both kinds.

by_state = score(states)

fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, title in zip(axes, ["patient or control (at random)", "awake or asleep"], strict=True):
    values = by_lot.mean(axis=0) if ax is axes[0] else by_state
    ax.bar(list(splits), values, color=[orange, blue], width=0.6)
    if ax is axes[0]:
        for k in range(2):
            ax.plot(k + np.linspace(-0.15, 0.15, 8), by_lot[:, k], "o", color="black", ms=4)
    ax.axhline(0.5, color="black", lw=1, ls="--")
    ax.set(title=title, ylim=(0, 1.05))
axes[0].set_ylabel("Accuracy (dashed: chance)")
plt.show()

# %%
# With random folds, nine of ten patients are classified correctly although nobody is ill. What is
# measured is how well a subject is recognised, and recognising the subject reveals the label. With
# subjects kept together the effect disappears. Each dot is one random assignment. It is no mistake
# that they lie below chance: if the subjects in a test fold are patients, fewer of the six patients
# are left for training. They also scatter widely: twelve subjects are twelve observations, however
# many trials they have.
#
# The complete classifier
# -----------------------
#
# :class:`mne_gram.GramClassifier` combines everything in one object: features of several kinds and
# a linear model whose regularisation is chosen by an inner cross-validation. The inner folds have
# to keep subjects together too, so they get the same groups, through ``params``.

scores = cross_val_score(
    mne_gram.GramClassifier(features="embedding"),
    trials,
    states,
    groups=subjects,
    cv=GroupKFold(3),
    params={"groups": subjects},
)
print("awake or asleep, held-out subjects:", scores.round(2))

# %%
# By default, covariances in six bands are added to the embedding. A linear model is fitted to all
# bands together and to each of them alone, and the models are averaged according to their
# performance on subjects left out in the inner folds. The model of all bands together has an
# advantage; among the single bands, slow waves count most, as expected for sleep.

classifier = mne_gram.GramClassifier().fit(trials, states, groups=subjects)
for bands, weight in sorted(classifier.band_weights_.items(), key=lambda item: -item[1]):
    if weight > 0.03:
        print(f"{weight:.2f}", " and ".join(f"{low:g}-{high:g} Hz" for low, high in bands))

# %%
# Broken channels in the test set
# -------------------------------
#
# A repair must not leak either. :func:`mne_gram.restore` adapts to the data that it restores;
# :class:`mne_gram.Restorer` is a step of a pipeline that learns in ``fit`` how channels covary, and
# then restores each trial by itself. Here every third electrode of four held-out subjects drifts,
# which resembles slow waves, and is marked in ``info["bads"]``. With ``bads="auto"`` the Restorer
# looks for bad channels by itself; it finds fewer where the training subjects differ as much as
# these do.

train, test = subjects < 8, subjects >= 8
broken = trials[test].copy()
data = broken.get_data(copy=False)
broken.info["bads"] = broken.ch_names[::3]
drift = np.cumsum(rng.standard_normal(data[:, ::3].shape), axis=-1)
data[:, ::3] += 5 * np.median(data.std(axis=-1)) * drift / drift.std()

decoder = make_pipeline(
    mne_gram.GramFeatures("bandpower"), StandardScaler(), LogisticRegression(C=0.01)
)
with_restorer = make_pipeline(mne_gram.Restorer(), decoder)
unmarked = broken.copy()
unmarked.info["bads"] = []
for name, pipeline in {"without": decoder, "with": with_restorer}.items():
    pipeline.fit(trials[train], states[train])
    inst = broken if name == "with" else unmarked
    clean, found = (pipeline.score(x, states[test]) for x in (trials[test], inst))
    print(f"{name:8} a Restorer: accuracy {clean:.2f} in clean data, {found:.2f} in broken data")

# %%
# Some kinds of features do use the trials that they are fitted to, without labels: ``"tangent"`` is
# relative to the mean of the covariances. In a pipeline, ``cross_val_score`` fits them on the
# training folds only, which is why features belong in the pipeline and not before it. The embedding
# is the exception made above, to save time.
#
# Limitations
# -----------
#
# Groups must contain whatever trials have in common apart from the class: the subject, and often
# the session, the amplifier or the day as well. If all patients were recorded in another hospital,
# no split can distinguish illness from hospital. Overlapping windows of one recording leak in the
# same way as trials of one subject. Choosing among models by their score on the test folds also
# leaks: keep subjects that are not used until the end. And these subjects are simulated: real
# subjects differ less clearly, so the leak is smaller, but it exists.
