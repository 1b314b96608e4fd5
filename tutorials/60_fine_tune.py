# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Fine-tune
=========

Should the network be adapted to a task, or is a linear model on top of the frozen network enough?
:class:`mne_gram.GramClassifier` offers both and one option in between: ``adapt="probe"``,
``"lora"`` and ``"full"``. This tutorial trains all three on the same subjects and tests them on
others.
"""

# %%
# Trials
# ------
#
# Nine simulated subjects with eight electrodes, awake and asleep, in trials of 2 s. The first six
# are for training; the last three are not used until the end.

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_gram
from mne_gram.simulation import simulate_raw

mne.set_log_level("warning")
colors = {"probe": "#777777", "lora": "#0072B2", "full": "#D55E00"}

names = "Fz C3 Cz C4 Pz O1 O2 T7".split()
trials, subjects, states = [], [], []
for subject in range(9):
    for state in ["awake", "asleep"]:
        raw, _ = simulate_raw(36.0, ch_names=names, asleep=state == "asleep", seed=subject)
        raw = mne_gram.preprocess(raw).set_annotations(None).crop(0, 20, include_tmax=False)
        trials.append(mne.make_fixed_length_epochs(raw, 2.0, preload=True))
        subjects += [subject] * len(trials[-1])
        states += [state] * len(trials[-1])
trials = mne.concatenate_epochs(trials)
subjects, states = np.array(subjects), np.array(states)
seen = subjects < 6
print(f"{seen.sum()} trials to learn from, {(~seen).sum()} to test on")

# %%
# Three ways to adapt
# -------------------
#
# - ``"probe"`` fits a regularised linear model to the output of the frozen network. It takes
#   seconds, is deterministic, and is the one to try first.
# - ``"lora"`` starts from the probe and learns small corrections to the layers of the network.
# - ``"full"`` changes the whole encoder, as published by Li et al. (2025).
#
# The latter two hold out some of the trials to decide when to stop. With ``groups``, these are
# whole subjects, see :doc:`50_classify_without_leaking`. Ten epochs of training keep this page
# fast; the defaults are 20 and 50.

classifiers = {}
for adapt in colors:
    classifiers[adapt] = mne_gram.GramClassifier(
        adapt, features="embedding", n_epochs=None if adapt == "probe" else 10, random_state=0
    ).fit(trials[seen], states[seen], groups=subjects[seen])

# %%
# The course of the training is in ``history_``, and ``best_epoch_`` is the epoch whose weights are
# used (circles). 0 is the start: in that case training has not helped.

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
    by_subject = [right[subjects[~seen] == subject].mean() for subject in (6, 7, 8)]
    axes[2].bar(adapt, right.mean(), color=colors[adapt], width=0.6)
    axes[2].plot([k - 0.15, k, k + 0.15], by_subject, "o", color="black", ms=4)
    print(f"{adapt:5} accuracy in new subjects {right.mean():.2f}")
axes[2].axhline(0.5, color="black", lw=1, ls="--")
axes[2].set(title="Accuracy in three new subjects", ylim=(0, 1.05))
plt.show()

# %%
# Each dot is a subject. Three subjects cannot decide between the three options: the dots of one bar
# differ more than the bars. The validation curves refer to the subjects held out from the six, and
# the test to others. With little data the probe is hard to beat. If you have hundreds of subjects,
# try ``"lora"`` next; ``"full"`` needs the most data, and the published weights
# (:doc:`90_published_weights`) rather than the small bundled ones.
#
# Saving
# ------
#
# A fitted classifier is an ordinary scikit-learn object that only contains the linear model and the
# changes to the network. The network itself is loaded by its name when it is needed.
# :doc:`/classification` has a section on saving it, with skops, joblib or pickle.

fitted = classifiers["probe"]
print(fitted.classes_, fitted.predict_proba(trials[~seen][:2]).round(2))

# %%
# Limitations
# -----------
#
# Comparing three options on the same test subjects and reporting the best one is also a leak,
# although a small one: choose on subjects held out from training, and test once. The result also
# depends on the seed: repeat ``"lora"`` and ``"full"`` with several values of ``random_state``
# before you believe a difference. On a CPU ``"full"`` takes minutes for a real data set of a few
# subjects; use ``device="cuda"`` for larger ones. And fine-tuning does not correct labels,
# references or montages that differ between training and test.
