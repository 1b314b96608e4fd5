# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy of decoders that were trained on clean data and meet bad channels.

In each draw a quarter of a person's channels are bad all through, in all of their recordings. Bad
channels hold white noise with ten times the typical deviation of a channel. The decoder meets the
recording as it was (``clean``), as it is (``bad``), without the bad channels, which it was then
trained without (``dropped``), or restored by each method. Recordings are filtered to 0.5-45 Hz
before and stay in their own reference. All settings were chosen on training people.

``imagery`` (``eegmmi``): left or right fist, 30 trials a person in two runs, restored run by run.
8-30 Hz, 0.5-2.5 s after the cue, 21 channels over the motor cortex (restoration goes by all 64),
six common spatial patterns (Ledoit-Wolf), linear discriminant. Within a person: five stratified
folds, the same for all conditions, trained on the clean trials of four and tested on the fifth.

``eyes`` (``mdd``): closed or open, windows of 4 s, logarithm of the power in five bands of all
channels, scaled, logistic regression. Across people: trained on the clean windows of all other
people that are decoded, tested on one person's.
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


def group_people(paths):
    """Group recordings by person."""
    people = {}
    for path in paths:
        people.setdefault(path.subject, []).append(path)
    return list(people.values())


def extract_person(args, task, paths, priors):
    """Extract what the decoder gets of one person, in every condition.

    Parameters
    ----------
    args : argparse.Namespace
        The settings of the benchmark.
    task : ``"imagery"`` | ``"eyes"``
        The task.
    paths : list of mne_bids.BIDSPath
        The recordings of one person.
    priors : dict
        What :func:`_methods.restore` takes.

    Returns
    -------
    person : dict
        ``subject``, ``names`` (of the channels), ``y`` (labels), and ``draws``, a list of
        ``(x, bad)``: the trials or features by condition, channels second, and which channels are
        bad.
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
    """Return filtered trials of imagery in microvolts, and 1 for the right fist."""
    raw.filter(*IMAGERY_BAND)
    events, _ = mne.events_from_annotations(raw, {"T1": 0, "T2": 1})
    epochs = mne.Epochs(
        raw, events, tmin=IMAGERY_WINDOW[0], tmax=IMAGERY_WINDOW[1], baseline=None, preload=True
    )
    return 1e6 * epochs.get_data(copy=False), epochs.events[:, 2]


def _measure_windows(raw, path):
    """Return the logarithm of the band power of windows, and 1 for eyes closed."""
    from scipy.signal import welch

    sfreq, length = raw.info["sfreq"], round(WINDOW * raw.info["sfreq"])
    data = raw.get_data()
    windows = data[:, : data.shape[1] // length * length].reshape(len(data), -1, length)
    freqs, power = welch(windows.transpose(1, 0, 2), sfreq, nperseg=length // 2)
    inside = [(freqs >= low) & (freqs < high) for low, high in BANDS]
    x = np.log(np.stack([power[..., k].mean(axis=-1) for k in inside], axis=-1))
    return x, np.full(len(x), int(path.task == "eyesclosed"))


def decode(task, people):
    """Decode all people in all conditions.

    Parameters
    ----------
    task : ``"imagery"`` | ``"eyes"``
        The task.
    people : list of dict
        From :func:`extract_person`.

    Returns
    -------
    rows : list of dict
        A row a person, draw and condition: ``accuracy`` over ``n_trials``.
    """
    if any(person["names"] != people[0]["names"] for person in people):
        raise ValueError("Not all people have the same channels: one decoder cannot serve them.")
    rows = []
    for number, person in enumerate(people):
        others = people[:number] + people[number + 1 :]
        if task == "eyes" and not others:
            continue  # nobody to learn from
        for draw, (x, bad) in enumerate(person["draws"]):
            with mne.utils.use_log_level("ERROR"):
                test = _test_imagery if task == "imagery" else _test_eyes
                correct = test(x, person["y"], bad, others)
            for condition, right in correct.items():
                row = dict(task=task, subject=person["subject"], draw=draw, condition=condition)
                rows.append({**row, "accuracy": float(np.mean(right)), "n_trials": len(right)})
    return rows


def _test_imagery(x, y, bad, others):
    """Return which trials are named rightly in each condition, over folds within a person."""
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
    """Return which windows are named rightly in each condition, by a decoder of other people."""
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
    """Return accuracy and its difference to the spline's, with intervals over people.

    Parameters
    ----------
    rows : list of dict
        From :func:`decode`.
    baseline : str
        What each condition is compared with, person by person.

    Returns
    -------
    table : list of dict
        A row a task and condition: ``accuracy``, ``low``, ``high``, ``gain``, ``gain_low``,
        ``gain_high``, ``n`` (people).
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


def tell_decoding(table):
    """Return the table as text."""
    lines = ["Decoders trained on clean data, a quarter of the channels bad (95 % over people)"]
    names = f"{'accuracy':>18}{'minus spline':>26}"
    lines.append(f"  {'task':9}{'condition':24}{'n':>3}{names}")
    for row in table:
        lines.append(
            f"  {row['task']:9}{row['condition']:24}{row['n']:3}"
            f"{row['accuracy']:8.3f} ({row['low']:.3f}-{row['high']:.3f})"
            f"{row['gain']:+10.3f} ({row['gain_low']:+.3f} to {row['gain_high']:+.3f})"
        )
    return "\n".join(lines)
