# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Learn from the recordings of your laboratory
============================================

The package knows how electrodes covary from recordings of other laboratories. Yours may differ: in
the cap, in how it is put on, in the amplifier, in age and state of the subjects. But you have more
than one recording, and a channel that is bad in one of them is good in most others. This tutorial
fits a prior to twenty recordings, restores all of them with and without it, and compares the errors
that each channel really has.
"""

# %%
# Twenty recordings
# -----------------
#
# The recordings are simulated, so that the truth is known. They have something in common that no
# other laboratory shares: the cap sits too far back. What is called C3 was recorded at CP3, and so
# on, while names and positions in the files are those of the 10-20 system. In each recording two
# channels are noise, and are marked as bad.

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd

import mne_gram

mne.set_log_level("warning")
blue, orange, grey = "#0072B2", "#D55E00", "#777777"

recorded_at = dict(
    Fp1="AF3", Fp2="AF4", F7="FT7", F3="FC3", Fz="FCz", F4="FC4", F8="FT8", T7="TP7", C3="CP3",
    Cz="CPz", C4="CP4", T8="TP8", P7="PO7", P3="PO3", Pz="POz", P4="PO4", P8="PO8", O1="O1", O2="O2",
)  # fmt: skip
names = list(recorded_at)
positions = mne_gram.datasets.sample().get_montage().get_positions()["ch_pos"]
montage = mne.channels.make_dig_montage({n: positions[n] for n in names}, coord_frame="head")


def record(subject):
    """Return the recording of a subject, and what it would be without bad channels."""
    bads = np.random.default_rng(subject).choice(names, 2, replace=False)
    raw, truth = mne_gram.simulation.simulate_raw(
        20.0,
        ch_names=list(recorded_at.values()),
        sfreq=128.0,
        seed=100 + subject,
        artefacts=("eyes",),
        bads=[recorded_at[name] for name in bads],
    )
    truth = mne.io.RawArray(truth.clean, raw.info)
    for inst in (raw, truth):
        inst.rename_channels({site: name for name, site in recorded_at.items()})
        inst.set_montage(montage)
        inst.filter(0.5, 45)
    return raw, truth


raws, truths = zip(*map(record, range(20)), strict=True)
raws[0].info["bads"]

# %%
# Fit a prior
# -----------
#
# :func:`mne_gram.fit_prior` takes a list of Raw or Epochs, of file names, or the root of a BIDS data
# set. It keeps one covariance per recording and frequency band, without bad channels and bad
# segments. With ``mask="auto"`` it looks for those that nobody marked. The log lists what was left
# out and why.
#
# If you have several recordings of a subject, say so with ``subjects``: a subject counts once.

prior = mne_gram.fit_prior(
    raws, subjects=[f"sub-{k:02}" for k in range(20)], mask="auto", verbose=True
)
prior

# %%
# The recordings join those in the package (``base=None`` would leave the latter out). The map shows
# in how many subjects each electrode was measured.

fig = prior.plot()

# %%
# Before and after
# ----------------
#
# A prior is an argument of :func:`mne_gram.restore`, :func:`mne_gram.find_bads` and
# :func:`mne_gram.harmonize`. All recordings are restored twice, and each restored channel is compared
# with the truth. The measure is the normalised squared error (NMSE): 0 is perfect, and an estimate of
# zero has an error of 1.
#
# The recordings to restore are in the prior themselves. This is fine, since their bad channels are
# not, and :func:`mne_gram.restore` does not use the covariance of a recording for itself.


def measure_error(restored, raw, truth, name):
    """Return the NMSE of one restored channel."""
    others = [n for n in names if n not in raw.info["bads"]]
    picks = [name, *others]
    mask = np.zeros((len(picks), raw.n_times), bool)
    mask[0] = True
    return mne_gram.metrics.nmse(truth.get_data(picks), restored.get_data(picks), mask)


rows = []
for subject, (raw, truth) in enumerate(zip(raws, truths, strict=True)):
    estimates = {
        "spline": mne_gram.restore(raw, method="spline"),
        "bundled prior": mne_gram.restore(raw),
        "prior of the laboratory": mne_gram.restore(raw, prior=prior),
    }
    for name in raw.info["bads"]:
        errors = {k: measure_error(r, raw, truth, name) for k, r in estimates.items()}
        rows.append(dict(subject=subject, channel=name, **errors))
table = pd.DataFrame(rows)
errors = table[["spline", "bundled prior", "prior of the laboratory"]]
np.exp(np.log(errors).mean()).rename("geometric mean of the NMSE").round(3)

# %%
# Each dot in the next figure is a channel of a recording. Below the diagonal, the prior of the
# laboratory is better.

fig, axes = plt.subplots(1, 2, figsize=(9, 4.4), sharey=True, layout="constrained")
for ax, other in zip(axes, ["spline", "bundled prior"], strict=True):
    better = table["prior of the laboratory"] < table[other]
    ax.scatter(
        table[other], table["prior of the laboratory"], c=np.where(better, blue, orange), s=18
    )
    ax.plot([0.01, 1.5], [0.01, 1.5], color=grey, lw=0.8)
    ax.set(xscale="log", yscale="log", xlabel=f"NMSE with the {other}", aspect="equal")
    ax.set_title(f"better in {better.sum()} of {len(table)} channels", fontsize=10)
axes[0].set_ylabel("NMSE with the prior of the laboratory")
plt.show()

# %%
# How many recordings are needed?
# -------------------------------
#
# The last five subjects are restored with priors of the first few.

counts, means = [0, 1, 3, 5, 10, 15], []
for n in counts:
    few = mne_gram.fit_prior(raws[:n]) if n else None
    found = [
        measure_error(mne_gram.restore(raw, prior=few, method="spatial"), raw, truth, name)
        for raw, truth in zip(raws[15:], truths[15:], strict=True)
        for name in raw.info["bads"]
    ]
    means.append(np.exp(np.mean(np.log(found))))

fig, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(counts, means, "o-", color=blue)
ax.set(xlabel="Other subjects of the laboratory", ylabel="Geometric mean of the NMSE", ylim=0)
plt.show()

# %%
# Keep it
# -------
#
# A prior is saved in one file, which contains the recordings of the package too. All functions take
# the name of the file as well, and the report says which prior was used.

prior.save("lab.npz", overwrite=True)
restored, report = mne_gram.restore(raws[0], prior="lab.npz", return_report=True)
report.prior

# %%
# :func:`mne_gram.read_prior` checks all that is in a file before it is used, so a prior from somebody
# else can be read without risk. For a BIDS data set, :func:`mne_gram.run_bids` does all of this by
# itself: it fits a prior to the data set, and restores every recording with it.
#
# What to be careful about
# ------------------------
#
# - Simulated recordings are easier than real ones. What a cohort brings in real data sets is in the
#   :doc:`benchmarks </benchmarks>`.
# - Fit the prior to recordings with the same cap, put on in the same way. In noisy recordings with few
#   channels, others of the same kind can be of no help; hidden clean channels show this, and the report
#   has the expected error.
# - Do not fit a prior to restored recordings: their estimates would be taken for measurements.

import os

os.remove("lab.npz")
