# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Classify without leaking
========================

How good is my classifier on people that it has not met? The commonest mistake in EEG
classification gives an answer that is far too good. This tutorial makes the mistake on data in
which there is nothing to find, and then does it right, with scikit-learn.
"""

# %%
# People
# ------
#
# Twelve simulated people, each awake and asleep for 40 seconds, cut into trials of 4 s. Every
# person has sources, spectra and an amplifier of their own, so trials of one person resemble each
# other. We know that from :doc:`40_embeddings_and_tokens`. Preprocessing comes before cutting.

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mne_gram

mne.set_log_level("warning")
blue, orange = "#0072B2", "#D55E00"

trials, people, states = [], [], []
for person in range(12):
    for state in ["awake", "asleep"]:
        raw, _ = mne_gram.training.simulate_raw(40.0, asleep=state == "asleep", seed=person)
        raw.set_annotations(None)
        trials.append(mne.make_fixed_length_epochs(mne_gram.preprocess(raw), 4.0, preload=True))
        people += [person] * len(trials[-1])
        states += [state] * len(trials[-1])
trials = mne.concatenate_epochs(trials)
people, states = np.array(people), np.array(states)
print(trials)

# %%
# Features
# --------
#
# :class:`mne_gram.GramFeatures` turns trials into vectors, here with the encoder of Gram. It learns
# nothing from labels, and the embedding of a trial does not depend on other trials, so it may be
# computed once for all.

features = mne_gram.GramFeatures("embedding").fit_transform(trials)
print(features.shape)

# %%
# A question with no answer
# -------------------------
#
# We call six people patients and the other six controls, by lot. There is nothing to find: whatever
# a classifier says about a person whom it has not met, it is right in half of the cases. We ask two
# kinds of cross-validation, for eight such draws:
#
# - ``KFold`` deals trials at random to training and test. Trials of one person are on both sides.
# - ``GroupKFold`` keeps all trials of a person together.

classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
splits = {
    "random KFold": KFold(6, shuffle=True, random_state=0),
    "GroupKFold": GroupKFold(6),
}


def score(labels):
    """Return the mean accuracy for each kind of split."""
    return [
        cross_val_score(
            classifier, features, labels, cv=cv, groups=people if "Group" in name else None
        ).mean()
        for name, cv in splits.items()
    ]


rng = np.random.default_rng(0)
by_lot = []
for _ in range(8):
    is_patient = rng.permutation(12) < 6
    by_lot.append(score(np.where(is_patient[people], "patient", "control")))
by_lot = np.array(by_lot)
for name, value in zip(splits, by_lot.mean(axis=0), strict=True):
    print(f"{name:13} accuracy {value:.2f}")

# %%
# A question with an answer
# -------------------------
#
# Awake or asleep is a real difference within each person. Here both splits agree, as knowing the
# person does not help: everybody has trials of both kinds.

by_state = score(states)

fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, title in zip(axes, ["patient or control (by lot)", "awake or asleep"], strict=True):
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
# Random folds find nine of ten patients, in data in which nobody is ill. What they measure is how
# well a person is recognised, and whoever recognises the person knows the label. With people kept
# together the success is gone. A dot is one draw of the lot. That they lie below chance is no
# mistake: six and six were dealt, so if the people in a test fold are patients, fewer patients are
# left to learn from. And they scatter widely: twelve people are twelve observations, however many
# trials they have.
#
# The whole classifier
# --------------------
#
# :class:`mne_gram.GramClassifier` does all of it in one object: features of several kinds and a
# linear model whose strength is chosen by an inner cross-validation. That one needs to keep people
# together too, so it gets the same groups, through ``params``.

scores = cross_val_score(
    mne_gram.GramClassifier(features="embedding"),
    trials,
    states,
    groups=people,
    cv=GroupKFold(3),
    params={"groups": people},
)
print("awake or asleep, people not met before:", scores.round(2))

# %%
# By default covariances in six bands join the embedding. A linear model is fitted to all bands
# together and to each alone, and they are averaged by how well they did for people who were left
# out inside. All together have an advance; of the single bands, that of slow waves counts most, as
# it should for sleep.

classifier = mne_gram.GramClassifier().fit(trials, states, groups=people)
for bands, weight in sorted(classifier.band_weights_.items(), key=lambda item: -item[1]):
    if weight > 0.03:
        print(f"{weight:.2f}", " and ".join(f"{low:g}-{high:g} Hz" for low, high in bands))

# %%
# Some kinds of features do learn from the trials that they are fitted to, without labels:
# ``"tangent"`` refers covariances to their mean. In a pipeline, ``cross_val_score`` fits them to
# the training folds only, which is why features belong into the pipeline and not before it. The
# embedding is the exception made above, to save time.
#
# Limits
# ------
#
# Groups must be whatever trials share and the class must not be told by: the person, and often the
# session, the amplifier or the day as well. If all patients were recorded in another hospital, no
# split can tell illness from hospital. Overlapping windows of one recording leak as trials of one
# person do. Choosing among models by their score on the test folds leaks too: keep people
# aside whom nobody looks at until the end. And these people are simulated: real people differ less
# plainly, so the leak is smaller, but it is there.
