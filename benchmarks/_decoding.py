# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy of decoders that were trained on clean data and are tested with bad channels.

In each draw, a quarter of a subject's channels are bad in all recordings: they contain white noise
with ten times the typical deviation of a channel. The decoder is tested on the original recording
(``clean``), the damaged one (``bad``), without the bad channels, after training without them
(``dropped``), and on the data restored by each method. Recordings are filtered to 0.5-45 Hz before
and keep their reference. All settings were chosen on training subjects.

``imagery`` (``eegmmi``): left or right fist, 30 trials per subject in two runs, restored run by
run. 8-30 Hz, 0.5-2.5 s after the cue, 21 channels over the motor cortex (restoration uses all 64),
six common spatial patterns (Ledoit-Wolf), linear discriminant. Within subjects: five stratified
folds, the same for all conditions, trained on the clean trials of four and tested on the fifth.

``eyes`` (``mdd``): closed or open, windows of 4 s, logarithm of the power in five bands of all
channels, scaled, logistic regression. Across subjects: trained on the clean windows of all other
subjects that are decoded, tested on those of one.
"""

import zlib

import mne
import numpy as np
from _cells import BANDS
from _methods import restore
from _summary import find_interval
from _truth import draw_mask, fill, flat, load_truth

TASKS = {"imagery": "eegmmi", "eyes": "mdd"}
CONDITIONS = ("clean", "bad", "dropped")
REGIME = "25%"
GARBAGE = 10.0  # times the median deviation of the channels
IMAGERY_BAND, IMAGERY_WINDOW, N_PATTERNS, N_FOLDS = (8.0, 30.0), (0.5, 2.5), 6, 5
MOTOR = [f"{row}{col}" for row in ("FC", "C", "CP") for col in "531Z246"]
WINDOW, PENALTY = 4.0, 0.01


def group_subjects(paths):
    """Group recordings by subject."""
    subjects = {}
    for path in paths:
        subjects.setdefault(path.subject, []).append(path)
    return list(subjects.values())


def extract_subject(args, task, paths, priors):
    """Extract trials or features of one subject in all conditions.

    Returns ``subject``, ``names`` (channels), ``y`` and ``draws``, a list of (x by condition, with
    channels second, and bad channels).
    """
    methods = [name for name in args.methods if name != "ridge"]
    seed = zlib.crc32(f"{task}/{paths[0].subject}".encode())
    with mne.utils.use_log_level("ERROR"):
        truths = [load_truth(p, TASKS[task], seconds=np.inf, events=True) for p in paths]
        names = MOTOR if task == "imagery" else sorted(truths[0].ch_names)
        picks = [truths[0].ch_names.index(name) for name in names]
        pairs = list(zip(truths, paths, strict=True))
        clean = [_extract(inst, flat(inst), path, task) for inst, path in pairs]
        draws = []
        for draw in range(args.decoding_draws):
            rng = np.random.default_rng([seed, draw])
            bad = draw_mask(REGIME, truths[0], rng)[:, 0]
            found = {name: [] for name in (*CONDITIONS, *methods)}
            for (inst, path), (x, _) in zip(pairs, clean, strict=True):
                damaged = damage(flat(inst), bad, rng)
                mask = np.repeat(bad[:, None], damaged.shape[1], axis=1)
                broken = fill(inst, damaged)
                found["clean"].append(x)
                found["bad"].append(_extract(inst, damaged, path, task)[0])
                for name in methods:
                    restored = restore(name, broken, mask, priors, args.model)[0]
                    found[name].append(_extract(inst, restored, path, task)[0])
            found["dropped"] = found["clean"]
            found = {name: np.concatenate(x)[:, picks] for name, x in found.items()}
            draws.append((found, bad[picks]))
    y = np.concatenate([labels for _, labels in clean])
    return dict(subject=paths[0].subject, names=names, y=y, draws=draws)


def damage(data, bad, rng):
    """Return data with white noise in the bad channels."""
    size = GARBAGE * np.median(data.std(axis=1))
    return np.where(bad[:, None], size * rng.standard_normal(data.shape), data)


def _extract(inst, data, path, task):
    """Return the trials or features of one recording, channels second, and their labels."""
    inst = fill(inst, data)
    return _cut_trials(inst) if task == "imagery" else _measure_windows(inst, path)


def _cut_trials(raw):
    """Return filtered imagery trials in microvolts, and 1 for the right fist."""
    raw.filter(*IMAGERY_BAND)
    events, _ = mne.events_from_annotations(raw, {"T1": 0, "T2": 1})
    epochs = mne.Epochs(
        raw, events, tmin=IMAGERY_WINDOW[0], tmax=IMAGERY_WINDOW[1], baseline=None, preload=True
    )
    return 1e6 * epochs.get_data(copy=False), epochs.events[:, 2]


def _measure_windows(raw, path):
    """Return the log band power of windows, and 1 for eyes closed."""
    from scipy.signal import welch

    sfreq, length = raw.info["sfreq"], round(WINDOW * raw.info["sfreq"])
    data = raw.get_data()
    windows = data[:, : data.shape[1] // length * length].reshape(len(data), -1, length)
    freqs, power = welch(windows.transpose(1, 0, 2), sfreq, nperseg=length // 2)
    inside = [(freqs >= low) & (freqs < high) for low, high in BANDS]
    x = np.log(np.stack([power[..., k].mean(axis=-1) for k in inside], axis=-1))
    return x, np.full(len(x), int(path.task == "eyesclosed"))


def decode(task, subjects):
    """Decode all subjects in all conditions: one row per subject, draw and condition."""
    if any(person["names"] != subjects[0]["names"] for person in subjects):
        raise ValueError(
            "Found subjects with different channels, expected the same channels for one decoder."
        )
    rows = []
    for number, person in enumerate(subjects):
        others = subjects[:number] + subjects[number + 1 :]
        if task == "eyes" and not others:
            continue  # no subjects to train on
        for draw, (x, bad) in enumerate(person["draws"]):
            with mne.utils.use_log_level("ERROR"):
                test = _test_imagery if task == "imagery" else _test_eyes
                correct = test(x, person["y"], bad, others)
            for condition, right in correct.items():
                row = dict(task=task, subject=person["subject"], draw=draw, condition=condition)
                rows.append({**row, "accuracy": float(np.mean(right)), "n_trials": len(right)})
    return rows


def _test_imagery(x, y, bad, others):
    """Return which trials are classified correctly, by decoders trained within a subject."""
    from mne.decoding import CSP
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline

    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    correct = {condition: np.zeros(len(y), bool) for condition in x}
    every = np.ones(len(bad), bool)
    for train, test in folds.split(x["clean"], y):
        for keep, conditions in ((every, set(x) - {"dropped"}), (~bad, {"dropped"})):
            csp = CSP(min(N_PATTERNS, int(keep.sum())), reg="ledoit_wolf", log=True)
            decoder = make_pipeline(csp, LinearDiscriminantAnalysis())
            decoder.fit(x["clean"][train][:, keep], y[train])
            for condition in conditions:
                found = decoder.predict(x[condition][test][:, keep])
                correct[condition][test] = found == y[test]
    return correct


def _test_eyes(x, y, bad, others):
    """Return which windows are classified correctly, by a decoder trained on other subjects."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clean = np.concatenate([other["draws"][0][0]["clean"] for other in others])
    labels = np.concatenate([other["y"] for other in others])
    correct = {}
    every = np.ones(len(bad), bool)
    for keep, conditions in ((every, set(x) - {"dropped"}), (~bad, {"dropped"})):
        decoder = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
        decoder.fit(clean[:, keep].reshape(len(clean), -1), labels)
        for condition in conditions:
            found = decoder.predict(x[condition][:, keep].reshape(len(y), -1))
            correct[condition] = found == y
    return {condition: correct[condition] for condition in x}


def summarize_decoding(rows, baseline="spline"):
    """Return accuracy and its difference to a baseline, one row per task and condition.

    Intervals (``low``, ``high``, ``gain_low``, ``gain_high``) are over ``n`` subjects.
    """
    table = []
    for task in dict.fromkeys(row["task"] for row in rows):
        found = {}
        for row in (row for row in rows if row["task"] == task):
            person = found.setdefault(row["condition"], {}).setdefault(row["subject"], [])
            person.append(row["accuracy"])
        means = {
            condition: np.array([np.mean(own[subject]) for subject in sorted(own)])
            for condition, own in found.items()
        }
        for condition, own in means.items():
            gain = own - means[baseline]
            row = dict(task=task, condition=condition, n=len(own), accuracy=own.mean())
            row["low"], row["high"] = find_interval(own, np.mean)
            row["gain"] = gain.mean()
            row["gain_low"], row["gain_high"] = find_interval(gain, np.mean)
            table.append(row)
    return table


def format_decoding(table):
    """Return the table as text."""
    lines = ["Decoders trained on clean data, a quarter of the channels bad (95 % over subjects)"]
    names = f"{'accuracy':>18}{'minus spline':>26}"
    lines.append(f"  {'task':9}{'condition':24}{'n':>3}{names}")
    for row in table:
        lines.append(
            f"  {row['task']:9}{row['condition']:24}{row['n']:3}"
            f"{row['accuracy']:8.3f} ({row['low']:.3f}-{row['high']:.3f})"
            f"{row['gain']:+10.3f} ({row['gain_low']:+.3f} to {row['gain_high']:+.3f})"
        )
    return "\n".join(lines)
