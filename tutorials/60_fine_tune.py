# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Fine-tune
=========

Should I adapt the network to my task, or is a linear model on top of the frozen network enough?
:class:`mne_gram.GramClassifier` does both, and one between: ``adapt="probe"``, ``"lora"`` and
``"full"``. This tutorial trains all three on the same people and tests them on others.
"""

# %%
# Trials
# ------
#
# Nine simulated people with eight electrodes, awake and asleep, in trials of 2 s. The first six are
# to learn from; the last three are not touched until the end.

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_gram

mne.set_log_level("warning")
colors = {"probe": "#777777", "lora": "#0072B2", "full": "#D55E00"}

names = "Fz C3 Cz C4 Pz O1 O2 T7".split()
trials, people, states = [], [], []
for person in range(9):
    for state in ["awake", "asleep"]:
        raw, _ = mne_gram.training.simulate_raw(
            36.0, ch_names=names, asleep=state == "asleep", seed=person
        )
        raw = mne_gram.preprocess(raw).set_annotations(None).crop(0, 20, include_tmax=False)
        trials.append(mne.make_fixed_length_epochs(raw, 2.0, preload=True))
        people += [person] * len(trials[-1])
        states += [state] * len(trials[-1])
trials = mne.concatenate_epochs(trials)
people, states = np.array(people), np.array(states)
seen = people < 6
print(f"{seen.sum()} trials to learn from, {(~seen).sum()} to test on")

# %%
# Three ways to adapt
# -------------------
#
# - ``"probe"`` leaves the network alone and fits a regularised linear model to what it gives. It
#   takes seconds, draws nothing at random, and is the one to try first.
# - ``"lora"`` starts from the probe and learns small corrections of the network's layers.
# - ``"full"`` changes the whole encoder, as Li et al. (2025) published it.
#
# The two that train hold out a part of the trials to decide when to stop. ``groups`` makes that
# part whole people, see :doc:`50_classify_without_leaking`. Ten passes over the data keep this page
# quick; the defaults are 20 and 50.

classifiers = {}
for adapt in colors:
    classifiers[adapt] = mne_gram.GramClassifier(
        adapt, features="embedding", n_epochs=None if adapt == "probe" else 10, random_state=0
    ).fit(trials[seen], states[seen], groups=people[seen])

# %%
# What happened while it trained is in ``history_``, and ``best_epoch_`` is the pass whose weights
# are used (circles). 0 is the start: then training has not helped.

fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for adapt in ["lora", "full"]:
    history, best = classifiers[adapt].history_, classifiers[adapt].best_epoch_
    for ax, key in zip(axes, ["validation_loss", "validation_kappa"], strict=False):
        values = {step["epoch"]: step[key] for step in history if key in step}
        ax.plot(values.keys(), values.values(), ".-", color=colors[adapt], label=adapt)
        if best in values:
            ax.plot(best, values[best], "o", ms=9, mfc="none", color=colors[adapt])
        ax.set(xlabel="Pass over the trials", title=key.replace("_", " "))
axes[0].legend(title="circle: the one used")

for k, (adapt, classifier) in enumerate(classifiers.items()):
    right = classifier.predict(trials[~seen]) == states[~seen]
    by_person = [right[people[~seen] == person].mean() for person in (6, 7, 8)]
    axes[2].bar(adapt, right.mean(), color=colors[adapt], width=0.6)
    axes[2].plot([k - 0.15, k, k + 0.15], by_person, "o", color="black", ms=4)
    print(f"{adapt:5} accuracy on new people {right.mean():.2f}")
axes[2].axhline(0.5, color="black", lw=1, ls="--")
axes[2].set(title="Accuracy on three new people", ylim=(0, 1.05))
plt.show()

# %%
# A dot is a person. Three people cannot decide between the three ways: the dots of one bar lie
# farther apart than the bars. What the validation curves promise is for the people held out of the
# six, and the test is on others. With little data the probe is hard to beat. If you have hundreds
# of people, try ``"lora"`` next; ``"full"`` needs the most data, and the published weights
# (:doc:`90_published_weights`) rather than the small bundled ones.
#
# Keep it
# -------
#
# A fitted classifier is an ordinary scikit-learn object that holds arrays alone: the linear model,
# and what was changed in the network. The network itself is loaded by its name when it is needed.

fitted = classifiers["probe"]
print(fitted.classes_, fitted.predict_proba(trials[~seen][:2]).round(2))

# %%
# Limits
# ------
#
# Comparing three ways on the same test people and reporting the best one is a leak too, a small
# one: choose on people who are held out of training, and test once. A result rests on the seed as
# well: repeat ``"lora"`` and ``"full"`` with several values of ``random_state`` before you believe
# a difference. On a CPU ``"full"`` takes minutes for a real data set of a few people;
# ``device="cuda"`` is for the rest. And fine-tuning does not repair labels, references or montages
# that differ between training and test.
