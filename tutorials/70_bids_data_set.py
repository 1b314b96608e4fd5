# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
A BIDS data set
===============

How can all recordings of a study be repaired, with a record of what was done to each? This tutorial
creates a small BIDS data set, plans a run, executes it, and reads the results.
"""

# %%
# A data set
# ----------
#
# Four subjects in a temporary folder, written by MNE-BIDS. Each has a different noisy channel,
# which is marked as bad in ``channels.tsv``, as MNE-BIDS does with ``info["bads"]``. One recording
# is broken: all of its channels are flat.

import json
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import mne_bids
import pandas as pd

import mne_gram
from mne_gram.simulation import simulate_raw

mne.set_log_level("warning")
blue, orange, grey = "#0072B2", "#D55E00", "#AAAAAA"
root = Path(tempfile.mkdtemp()) / "study"

for subject, bad in [("01", "Cz"), ("02", "F3"), ("03", "P4"), ("04", "T8")]:
    raw, _ = simulate_raw(30.0, bads=[bad], seed=int(subject))
    if subject == "03":
        raw.apply_function(lambda x: 0 * x)
    path = mne_bids.BIDSPath(subject=subject, task="rest", datatype="eeg", root=root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the conversion to BrainVision
        mne_bids.write_raw_bids(raw, path, allow_preload=True, format="BrainVision", verbose=False)

# %%
# Plan
# ----
#
# ``dry_run`` reads headers and sidecars and reports what would be done. Nothing is written.

plan = mne_gram.run_bids(root, tasks="rest", dry_run=True)
print(plan)

# %%
# Run
# ---
#
# Recordings are independent: one that fails is listed and the others are processed. ``n_jobs=2``
# would process two at a time. Results are written to ``derivatives/mne-gram`` inside the data set;
# existing files are not changed.

done = mne_gram.run_bids(root, tasks="rest")
done.to_data_frame()[["recording", "status", "n_bads", "n_restored", "expected_r"]]

# %%
# The third recording failed. The table gives the reason, and so does the log file. On the command
# line, ``mne_gram bids`` does the same and exits with a code other than zero, so that scripts
# notice.

for row in done.failures:
    print(row["why"])

# %%
# The prior of the data set
# -------------------------
#
# A bad channel of one subject is good in the others. From three subjects on, a run first measures
# how the electrodes covary in all recordings of the data set, without their bad channels and
# segments, and adds this to the library that is bundled with the package. Each recording is then
# restored with the others in the library. The broken recording is not used, and ``prior.json`` says
# why.

print(done.prior["text"])
about = json.loads((done.folder / "prior.json").read_text(encoding="utf-8"))
print(about["Subjects"], about["Excluded"])

# %%
# Later runs use the stored prior, for new subjects as well. ``refit_prior=True`` makes a new one and
# restores again what depends on it; ``prior="bundled"`` does without. Other functions can use it,
# too: ``mne_gram.restore(raw, prior=done.folder / "prior.npz")``.

# %%
# Results
# -------
#
# The results are a BIDS derivative data set that every BIDS tool can read. ``desc-restored``
# distinguishes restored recordings from their sources; the sidecars describe what was restored, and
# from which file.

for path in sorted(done.folder.rglob("*")):
    name = path.relative_to(done.folder).as_posix()
    if path.is_file() and not name.startswith((".", "logs")):
        print(name)

# %%
# For each channel, ``channels.tsv`` contains how much of it was restored and the expected
# correlation with the truth.

table = next(done.folder.rglob("sub-01*_channels.tsv"))
table = pd.read_csv(table, sep="\t")
table[["name", "status", "restored", "restored_seconds", "expected_r"]].query("restored != 'none'")

# %%
# Read a restored recording like any other. The figure shows it together with its source.

path = mne_bids.BIDSPath(subject="01", task="rest", datatype="eeg", root=root)
source = mne_bids.read_raw_bids(path, verbose=False)
path.update(root=done.folder, description="restored", suffix="eeg", extension=".vhdr")
restored = mne_bids.read_raw_bids(path, verbose="error")
print(source.info["bads"], restored.info["bads"])

shown = ["C3", "Cz", "C4"]
fig, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
for k, name in enumerate(shown):
    for inst, label, color in [(source, "source", grey), (restored, "restored", blue)]:
        signal, times = inst.get_data(name, tmin=5, tmax=10, return_times=True)
        ax.plot(times, 1e6 * (signal[0] - signal[0].mean()) / 100 - k, color=color, lw=0.8,
                label=label if k == 0 else None)  # fmt: skip
ax.set(yticks=range(0, -len(shown), -1), yticklabels=shown, xlabel="Time (s)", ylim=(-2.8, 1))
ax.set_title("sub-01, of which Cz was bad (100 µV from line to line)")
ax.legend(loc="upper right", ncols=2, fontsize=8)
plt.show()

# %%
# Resuming
# --------
#
# A second call only processes what has changed: new recordings, changed sidecars, other settings.
# So a run resumes after an interruption. We mark another bad channel in the sidecar of the second
# subject and call it again.

table = next((root / "sub-02").rglob("*_channels.tsv"))
channels = pd.read_csv(table, sep="\t", keep_default_na=False)
channels.loc[channels["name"] == "O1", "status"] = "bad"
channels.to_csv(table, sep="\t", index=False)

again = mne_gram.run_bids(root, tasks="rest")
again.to_data_frame()[["recording", "status", "n_bads", "n_restored", "expected_r"]]

# %%
# Read the report before you continue. ``done.index`` is a page with a figure of each recording. For
# many recordings, a plot of the expected correlations shows which to inspect first.

rows = [row for row in again.rows if row["status"] in ("done", "skipped")]
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for row in rows:
    name = Path(row["recording"]).name.split("_")[0]
    values = [channel["expected_r"] for channel in row["channels"]]
    ax.plot([name] * len(values), values, "o", color=blue)
    for channel, value in zip(row["channels"], values, strict=True):
        ax.annotate(channel["channel"], (name, value), (6, -3), textcoords="offset points")
ax.axhline(0.7, color=orange, lw=1, ls="--", label="half of the variance is unexplained")
ax.set(ylabel="Expected correlation", ylim=(0, 1), title="Restored channels of all recordings")
ax.margins(x=0.4)
ax.legend(loc="lower right", fontsize=8)
plt.show()

# %%
# Limitations
# -----------
#
# Only marked channels and segments are restored. If nothing is marked, nothing is restored;
# ``find_bads=True`` detects bad channels, and then the pages are worth reading. Files are
# BrainVision with single precision, or EDF, which rounds. Restored recordings are not filtered or
# re-referenced: that remains the task of your pipeline. Whether a recording is done is decided by
# checksums of the recording and its sidecars; a change that is not in any of these files, such as a
# different electrode cap, cannot be noticed.
