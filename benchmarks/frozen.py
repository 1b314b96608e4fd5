# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Store what the public functions return for real recordings, and compare a later version with it.

Run ``python benchmarks/frozen.py store FILE.npz`` before a change that must not alter any result,
and ``python benchmarks/frozen.py compare FILE.npz`` after it, on the same machine and in the same
environment. Only public names of the package are used.
"""

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import scipy
import sklearn
import torch
from threadpoolctl import threadpool_limits

import mne_gram

SHARED = Path(os.environ.get("MNE_GRAM_SHARED", "../shared")) / "eeg"
SECONDS = 24.0
RAWS = dict(
    eegmmi="sub-008/eeg/sub-008_task-imagery_run-04_eeg.edf",
    eegmat="sub-04/eeg/sub-04_task-arithmetic_eeg.edf",
    mdd="sub-mdd03/eeg/sub-mdd03_task-eyesopen_eeg.edf",
    adhd="sub-control0127/eeg/sub-control0127_task-counting_eeg.edf",
)
TRIALS = "sub-c0346/eeg/sub-c0346_task-pictures_eeg.edf"  # of alcohol
SUBJECTS = ("04", "08", "12", "16")  # of eegmat, for the classifier
MONTAGE_19 = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
MONTAGE_32 = [*MONTAGE_19, *"FC5 FC1 FC2 FC6 CP5 CP1 CP2 CP6 POz Oz AF3 AF4 FCz".split()]


# ---------------------------------------------------------------------------------------------
# Recordings


def read(dataset, name):
    """Read a recording as it is, with the types that the names of channels say."""
    raw = mne.io.read_raw_edf(SHARED / dataset / name, preload=True)
    types = {"EOG": "eog", "ECG": "ecg"}
    raw.set_channel_types({n: types[n[:3]] for n in raw.ch_names if n[:3] in types})
    return raw.set_annotations(None)


def place(inst):
    """Return a copy with template positions, whatever the channels are called."""
    template = mne.channels.make_standard_montage("standard_1005").get_positions()["ch_pos"]
    template = {name.upper(): position for name, position in template.items()}
    places = {}
    for name in inst.ch_names:
        short = name.removeprefix("EEG ").removesuffix("-LE").strip(".").upper()
        if short in template:
            places[name] = template[short]
    montage = mne.channels.make_dig_montage(places, coord_frame="head")
    return inst.copy().set_montage(montage, on_missing="ignore")


def choose(inst, n_channels, offset):
    """Return names of EEG channels that lie evenly in the order of the recording."""
    names = [inst.ch_names[k] for k in mne.pick_types(inst.info, eeg=True)]
    return [names[k] for k in np.linspace(offset, len(names) - 2, n_channels).astype(int)]


def add_garbage(inst, names, start, stop):
    """Add noise to some samples of channels, in place."""
    rng = np.random.default_rng(0)
    rows = [inst.ch_names.index(name) for name in names]
    data = inst.get_data()
    part = data[..., rows, start:stop]
    data[..., rows, start:stop] = part + 3e-4 * rng.standard_normal(part.shape)
    inst._data[:] = data


def damage_raw(raw):
    """Mark whole channels, annotate segments of channels and of all; return a mask of others."""
    raw = raw.copy()
    sfreq = raw.info["sfreq"]
    whole = choose(raw, max(2, len(raw.ch_names) // 16), 2)
    others = [name for name in choose(raw, 8, 1) if name not in whole]
    add_garbage(raw, whole, 0, None)
    add_garbage(raw, others[:2], round(4 * sfreq), round(7 * sfreq))
    raw.info["bads"] = whole
    marks = [("BAD_a", 4.0, 3.0, tuple(others[:2])), ("BAD_b", 12.0, 1.5, (others[2],))]
    marks.append(("BAD_all", 18.0, 0.75, ()))
    description, onset, duration, names = zip(*marks, strict=True)
    date = raw.info["meas_date"]
    shift = 0.0 if date is None else raw.first_time
    raw.set_annotations(
        mne.Annotations(np.add(onset, shift), duration, description, date, ch_names=names)
    )
    mask = np.zeros((len(raw.ch_names), raw.n_times), bool)
    for number, name in enumerate(others[3:5]):
        start = round((9 + 0.5 * number) * sfreq)
        mask[raw.ch_names.index(name), start : start + round(2 * sfreq)] = True
    return raw, mask


def read_trials():
    """Return Epochs of the pictures, one second each."""
    raw = read("alcohol", TRIALS)
    table = pd.read_csv(SHARED / "alcohol" / TRIALS.replace("_eeg.edf", "_events.tsv"), sep="\t")
    table = table[table["trial_type"].str.startswith("S")].iloc[:24]
    codes = {name: code for code, name in enumerate(sorted(set(table["trial_type"])), start=1)}
    events = np.column_stack([table["sample"], 0 * table["sample"], table["trial_type"].map(codes)])
    last = 1 - 1 / raw.info["sfreq"]
    return mne.Epochs(raw, events, codes, 0, last, baseline=None, preload=True)


def read_windows():
    """Return windows of rest and of arithmetic of several subjects, and their labels."""
    parts = []
    for subject in SUBJECTS:
        for task in ("rest", "arithmetic"):
            raw = read("eegmat", f"sub-{subject}/eeg/sub-{subject}_task-{task}_eeg.edf")
            raw = raw.pick("eeg").crop(0, 40, include_tmax=False).resample(128)
            part = mne.make_fixed_length_epochs(raw, 4.0, preload=True)
            part.metadata = pd.DataFrame(dict(subject=[subject] * len(part), task=task))
            parts.append(part)
    epochs = mne.concatenate_epochs(parts, add_offset=True)
    return epochs, epochs.metadata["task"].to_numpy()


# ---------------------------------------------------------------------------------------------
# Outputs


def from_table(table):
    """Return the columns of a data frame as arrays."""
    columns = {}
    for name in table.columns:
        values = table[name].to_numpy()
        columns[f"table {name}"] = values.astype(str) if values.dtype == object else values
    return columns


def from_inst(inst):
    """Return samples and marks of a recording."""
    found = dict(
        data=inst.get_data(),
        ch_names=np.array(inst.ch_names, str),
        bads=np.array(inst.info["bads"], str),
        sfreq=np.array(inst.info["sfreq"]),
    )
    if isinstance(inst, mne.io.BaseRaw):
        marks = inst.annotations
        found["annotations"] = np.column_stack([marks.onset, marks.duration])
        found["annotation texts"] = np.array(
            [f"{t}: {' '.join(c)}" for t, c in zip(marks.description, marks.ch_names, strict=True)],
            str,
        )
    return found


def from_restored(inst, report):
    """Return what restore or harmonize returned."""
    found = from_inst(inst) | dict(std=report.std) | from_table(report.to_data_frame())
    ranks = report.rank_before, report.rank_after
    found["ranks"] = np.array([-1 if rank is None else rank for rank in ranks])
    return found


def restore(inst, **options):
    """Restore with a report."""
    return from_restored(*mne_gram.restore(inst, return_report=True, **options))


def harmonize(inst, channels, **options):
    """Harmonize with a report."""
    return from_restored(*mne_gram.harmonize(inst, channels, return_report=True, **options))


def find_bads(inst):
    """Find bad channels and segments."""
    report = mne_gram.find_bads(inst)
    scores = {f"scores {k[6:]}": v for k, v in from_table(report.scores.reset_index()).items()}
    bridged = np.array(["-".join(pair) for pair in report.bridged], str)
    mask = report.mask(inst)
    return dict(mask=mask, bridged=bridged, **scores, **from_table(report.to_data_frame()))


def encode(inst, **options):
    """Compute embeddings, pooled and not, and tokens."""
    found = {}
    for pool in ("cls", "channels", "patches"):
        embedding = mne_gram.compute_embedding(inst, pool=pool, **options)
        found[f"embedding {pool}"] = embedding.data
    tokens = mne_gram.compute_tokens(inst, **options)
    found.update(tokens=tokens.data, good=tokens.good, onsets=tokens.onsets)
    return found | dict(durations=tokens.durations, names=np.array(tokens.ch_names, str))


def classify(epochs, y, **options):
    """Fit a classifier to the first subjects and return probabilities of the last ones."""
    train = np.isin(epochs.metadata["subject"], SUBJECTS[:-1])
    classifier = mne_gram.GramClassifier(random_state=0, **options).fit(epochs[train], y[train])
    proba = classifier.predict_proba(epochs[~train])
    return dict(proba=proba, classes=classifier.classes_.astype(str))


def compute_features(epochs):
    """Compute the features of the classifier."""
    return dict(features=mne_gram.GramFeatures(align="subject").fit_transform(epochs))


# ---------------------------------------------------------------------------------------------
# Cases


def list_raw_cases(raw):
    """Yield name, function, arguments and options of each case of a Raw."""
    bad, mask = damage_raw(raw)
    for method in ("auto", "spatial", "spline", "gram"):
        inst = place(bad) if method == "spline" else bad
        yield f"restore {method}", restore, (inst,), dict(method=method, mask=mask)
    options = dict(method="spatial", output="sample", random_state=7, mask=mask)
    yield "restore sample", restore, (bad,), options
    options = dict(method="spatial", all_channel_gaps="fill", reset_bads=False, annotate=False)
    yield "restore fill", restore, (bad,), options
    unmarked = bad.copy().set_annotations(None)
    unmarked.info["bads"] = []
    yield "restore mask auto", restore, (unmarked,), dict(mask="auto")
    wanted = MONTAGE_19 if len(raw.ch_names) > 32 else MONTAGE_32
    yield "harmonize", harmonize, (bad, wanted), {}
    yield (
        "harmonize keep",
        harmonize,
        (raw, [*MONTAGE_32[::-1], "TP9", "TP10"]),
        dict(drop_others=False),
    )
    yield "find_bads", find_bads, (unmarked,), {}
    yield "find_bads as recorded", find_bads, (raw,), {}
    yield "preprocess", lambda inst: from_inst(mne_gram.preprocess(inst)), (bad,), {}
    yield "encode", encode, (bad,), {}
    yield "encode windows", encode, (raw,), dict(window=4.0, overlap=1.0, on_bads="ignore")


def list_trial_cases(epochs):
    """Yield the cases of Epochs and of their average."""
    bad = epochs.copy()
    bad.info["bads"] = choose(epochs, 4, 2)
    add_garbage(bad, bad.info["bads"], 0, None)
    rng = np.random.default_rng(1)
    mask = rng.random((len(epochs), len(epochs.ch_names))) < 0.03
    samples = np.zeros((*mask.shape, len(epochs.times)), bool)
    samples[..., 60:160] = mask[..., None]
    for method in ("auto", "spatial", "spline", "gram"):
        inst = place(bad) if method == "spline" else bad
        yield f"restore {method}", restore, (inst,), dict(method=method, mask=mask)
        average = inst.average(picks="all")
        yield f"restore evoked {method}", restore, (average,), dict(method=method)
    options = dict(output="sample", random_state=7)
    yield "restore sample", restore, (bad,), dict(mask=samples, **options)
    yield "restore mask auto", restore, (bad,), dict(mask="auto", method="spatial")
    yield "harmonize", harmonize, (bad, MONTAGE_32), {}
    yield "harmonize evoked", harmonize, (average, MONTAGE_19), {}
    yield "find_bads", find_bads, (bad,), {}
    yield "preprocess", lambda inst: from_inst(mne_gram.preprocess(inst)), (bad,), {}
    yield "encode", encode, (bad,), {}


def list_long_cases(raw):
    """Yield the cases of a recording that is worked on in blocks."""
    raw = raw.copy().resample(64)
    raw = mne.concatenate_raws([raw.copy() for _ in range(40)])
    raw.set_annotations(None)
    bad, mask = damage_raw(raw)
    for method in ("auto", "spatial", "gram"):
        yield f"restore {method}", restore, (bad,), dict(method=method, mask=mask)
    options = dict(method="spatial", output="sample", random_state=7, mask=mask)
    yield "restore sample", restore, (bad,), options
    yield "find_bads", find_bads, (raw,), {}


def list_classifier_cases():
    """Yield the cases of classifiers."""
    epochs, y = read_windows()
    yield "probe", classify, (epochs, y), {}
    yield "align", classify, (epochs, y), dict(align="subject")
    yield "bandpower", classify, (epochs, y), dict(features=("embedding", "bandpower"), C=1.0)
    yield "lora", classify, (epochs, y), dict(adapt="lora", n_epochs=1)
    yield "features", compute_features, (epochs,), {}


def list_cases(wanted):
    """Yield the cases of all recordings that are wanted, under the recordings' names."""
    groups = dict(sample=lambda: list_raw_cases(mne_gram.datasets.sample()))
    for dataset, name in RAWS.items():
        # Not from the first sample, so that ``first_samp`` counts.
        groups[dataset] = lambda dataset=dataset, name=name: list_raw_cases(
            read(dataset, name).crop(2, 2 + SECONDS, include_tmax=False)
        )
    groups["alcohol"] = lambda: list_trial_cases(read_trials())
    groups["long"] = lambda: list_long_cases(
        read("adhd", RAWS["adhd"]).crop(2, 2 + SECONDS, include_tmax=False)
    )
    groups["eegmat subjects"] = list_classifier_cases
    unknown = set(wanted) - set(groups)
    if unknown:
        sys.exit(f"--only takes {', '.join(groups)}; found {', '.join(sorted(unknown))}.")
    for group, cases in groups.items():
        if not wanted or group in wanted:
            for name, *case in cases():
                yield f"{group}/{name}", *case


def compute(wanted, forgive):
    """Yield the name and the outputs of each case; with ``forgive``, an exception for failures."""
    for name, function, args, options in list_cases(wanted):
        try:
            outputs = function(*args, **options)
        except Exception as exc:
            if not forgive:
                raise
            outputs = exc
        yield name, outputs


# ---------------------------------------------------------------------------------------------
# Storing and comparing


def get_versions():
    """Return the versions that results may depend on."""
    modules = (mne, np, scipy, sklearn, torch, pd)
    versions = [f"{module.__name__} {module.__version__}" for module in modules]
    return np.array([f"python {sys.version.split()[0]}", *versions])


def store(fname, wanted):
    """Compute all outputs and store them."""
    fname = Path(fname)
    outputs = {"versions": get_versions()}
    last = time.perf_counter()
    for name, found in compute(wanted, forgive=False):
        now = time.perf_counter()
        print(f"{name}: {now - last:.1f} s", flush=True)
        last = now
        outputs.update({f"{name}/{key}": np.asarray(value) for key, value in found.items()})
    temporary = fname.with_name(f".{fname.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **outputs)
        temporary.replace(fname)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"Stored {len(outputs) - 1} outputs in {fname}, {fname.stat().st_size / 1e6:.0f} MB.")


def measure_difference(old, new):
    """Return the largest difference relative to the RMS of the old, and a text on it."""
    if old.shape != new.shape:
        return np.inf, f"shape {new.shape}, was {old.shape}"
    if old.dtype.kind != new.dtype.kind or (old.dtype != new.dtype and old.dtype.kind != "U"):
        return np.inf, f"type {new.dtype}, was {old.dtype}"
    if np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
        return 0.0, "identical"
    if old.dtype.kind != "f":
        unlike = old != new
        first = tuple(np.argwhere(unlike)[0])
        text = f"{unlike.sum()} of {old.size} differ, first {new[first]}, was {old[first]}"
        return np.inf, text
    if not np.array_equal(np.isfinite(old), np.isfinite(new)):
        return np.inf, "NaN in other places"
    rms = np.sqrt(np.nanmean(old.astype(float) ** 2))
    difference = np.nanmax(np.abs(old.astype(float) - new)) / rms if rms > 0 else np.inf
    return difference, f"largest difference {difference:.2g} of the RMS"


def compare(fname, wanted, tolerance):
    """Compute all outputs and compare them with those stored; return how many do not agree."""
    n_same = n_unlike = n_failed = 0
    with np.load(fname, allow_pickle=False) as stored:
        if not np.array_equal(stored["versions"], get_versions()):
            print(f"Stored with {', '.join(stored['versions'])}.")
            print(f"This is     {', '.join(get_versions())}.")
        left = {name for name in stored.files if not wanted or name.split("/")[0] in wanted}
        left.discard("versions")
        for case, found in compute(wanted, forgive=True):
            if isinstance(found, Exception):
                print(f"{case}: failed with {type(found).__name__}: {found}", flush=True)
                n_failed += 1
                continue
            for key, value in found.items():
                name = f"{case}/{key}"
                if name not in left:
                    print(f"{name}: not in the file", flush=True)
                    continue
                left.remove(name)
                difference, text = measure_difference(stored[name], np.asarray(value))
                n_same += difference <= tolerance
                n_unlike += not difference <= tolerance
                print(f"{name}: {text}", flush=True)
    for name in sorted(left):
        print(f"{name}: in the file only")
    print(f"{n_same} outputs agree, {n_unlike} differ, {len(left)} are missing.")
    if n_failed:
        print(f"{n_failed} cases failed.")
    return n_unlike + len(left) + n_failed


def main():
    """Store or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("store", "compare"))
    parser.add_argument("fname", help="the file of the outputs, .npz")
    parser.add_argument("--tolerance", type=float, default=0.0, help="of the RMS of an output")
    parser.add_argument("--only", default="", help="recordings, for example sample,alcohol")
    args = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"There are no recordings in {SHARED}: set MNE_GRAM_SHARED.")
    wanted = [name for name in args.only.split(",") if name]
    torch.set_num_threads(1)
    mne.set_log_level("ERROR")
    warnings.simplefilter("ignore")
    print(f"mne_gram {mne_gram.__version__} of {Path(mne_gram.__file__).parent}")
    with threadpool_limits(1):
        if args.action == "store":
            store(args.fname, wanted)
        elif compare(args.fname, wanted, args.tolerance):
            sys.exit(1)


if __name__ == "__main__":
    main()
