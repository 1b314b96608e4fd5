# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Call the public functions with random recordings, and check what must always hold.

Run ``python benchmarks/fuzz.py --cases 500``; ``--seed 123`` repeats a single case. Either an error
comes in the words of the package, or a result in which good samples are bit-identical, restored
samples are finite, and nothing depends on what bad samples were. What is left undone is marked or
warned of. The input and all global state stay unchanged, and no other package warns.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import joblib
import mne
import numpy as np
import sklearn  # noqa: F401  (sets variables of the environment)
import torch
from _fuzz_inputs import choose, fill, find_bad, make_case

import mne_gram
from mne_gram._marks import paint_marks
from mne_gram._recording._masks import collect_mask
from mne_gram.covariance import MIN_GOOD
from mne_gram.montage import parse_name

_ROOT = str(Path(mne_gram.__file__).parent)
# Functions of MNE whose errors are written for users: checks of arguments.
_CHECKS = ("utils/check.py", "utils/docs.py", "_fiff/pick.py", "utils/mixin.py")
_WARNINGS = ("overflow", "invalid value", "divide by", "Mean of empty", "Degrees of", "All-NaN")
_SECONDS = 60.0


class Violation(AssertionError):
    """Something that must always hold does not."""


def check(condition, text):
    """Raise a Violation unless a condition holds."""
    if not condition:
        raise Violation(text)


# ---------------------------------------------------------------------------------------------
# Calls: each returns a function of (inst, mask), and what is compared and checked of its result


def draw_call(rng, case):
    """Return the name of a public function, and its random arguments."""
    name = choose(
        rng,
        dict(restore=10, harmonize=3, find_bads=2, preprocess=3, compute_embedding=1)
        | dict(compute_tokens=1, GramFeatures=1, GramClassifier=1, match_channels=0.5),
    )
    eeg = [case.inst.ch_names[k] for k in mne.pick_types(case.inst.info, eeg=True, exclude=())]
    options = {}
    if name in ("restore", "harmonize"):
        options["method"] = choose(rng, dict(spatial=10, auto=3, spline=3, gram=2))
        options["output"] = choose(rng, dict(mean=9, sample=1))
        options["random_state"] = 0
        options["on_missing"] = choose(rng, {"warn": 4, "ignore": 1, "raise": 1})
    if name == "restore":
        options["all_channel_gaps"] = choose(rng, dict(keep=3, fill=1))
        options["reset_bads"] = bool(rng.random() < 0.8)
        options["annotate"] = bool(rng.random() < 0.8)
        if rng.random() < 0.2 and eeg:
            options["picks"] = rng.choice(eeg, rng.integers(1, len(eeg) + 1), False).tolist()
    if name == "harmonize":
        own = rng.choice(eeg, len(eeg) // 2, False).tolist() if eeg else []
        options["channels"] = [*own, *[n for n in ("CPz", "AF3", "T3") if rng.random() < 0.5]]
        options["drop_others"] = bool(rng.random() < 0.5)
    if name == "preprocess":
        options["line_freq"] = choose(rng, {50.0: 3, False: 2, None: 1})
        options["reference"] = choose(rng, dict(average=4, none=1)).replace("none", "") or None
        options["l_freq"] = choose(rng, {0.1: 3, 1.0: 1})
    if name.startswith("compute"):
        options |= dict(line_freq=False, on_missing="ignore")
        options["preprocess"] = bool(rng.random() < 0.8)
    return name, options


def run(name, options, inst, mask):
    """Call a function; return its result."""
    if name == "restore":
        return mne_gram.restore(inst, mask=mask, return_report=True, **options)
    if name == "harmonize":
        return mne_gram.harmonize(inst, return_report=True, **options)
    if name == "match_channels":
        return mne_gram.match_channels(inst.info, on_missing="ignore")
    if name == "GramFeatures":
        return mne_gram.GramFeatures(["tangent"], line_freq=False).fit_transform(inst)
    if name == "GramClassifier":
        labels = np.arange(getattr(inst, "__len__", int)()) % 2
        clf = mne_gram.GramClassifier(features=["bandpower"], line_freq=False)
        return clf.fit(inst, labels).predict_proba(inst)
    return getattr(mne_gram, name)(inst, **options)


def read_result(name, result, bad, inst):
    """Return the arrays of a result that must not depend on what bad samples held.

    ``inst`` is the input. New channels of `harmonize` follow the others where these are bad.
    """
    if name == "restore":
        return [np.where(bad & (result[1].std == 0), 0, result[0]._data)]
    if name == "harmonize":
        rows = [k for k, n in enumerate(result[0].ch_names) if n not in inst.ch_names]
        eeg = mne.pick_types(inst.info, eeg=True, exclude=())
        enough = (~bad[..., eeg, :]).sum(axis=-2, keepdims=True) >= MIN_GOOD
        return [np.where(enough, result[0]._data[..., rows, :], 0)]
    if name == "preprocess":
        whole = bad.all(axis=-1) if bad.ndim == 2 else bad.all(axis=(0, 2))
        return [result._data[..., ~whole, :]] if not (bad & ~whole[:, None]).any() else []
    return []


# ---------------------------------------------------------------------------------------------
# What must always hold


def find_left_out(said):
    """Return the names of the channels that a warning says to be no EEG."""
    texts = [text for text in said if text.startswith("Left out of the reference")]
    return [
        n for t in texts for n in t.partition("channels: ")[2].partition(". Set")[0].split(", ")
    ]


def check_result(name, options, case, result, bad, said):
    """Check the result of a call."""
    before, names = case.inst, case.inst.ch_names
    if name == "restore":
        after, report = result
        if report.found is not None:
            bad = bad | find_bad(before, report.found.mask(before))
        check(after.ch_names == names, "restore changed the channels")
        same = after._data == before._data
        same |= np.isnan(after._data) & np.isnan(before._data)
        check(same[~bad].all(), "restore changed good samples")
        if "picks" in options:
            bad = bad.copy()
            bad[..., [k for k, n in enumerate(names) if n not in options["picks"]], :] = False
        left = bad & (np.asarray(report.std) == 0)
        check(np.isfinite(after._data[bad & ~left]).all(), "restored samples are not finite")
        if options["annotate"]:
            marked = collect_mask(after, np.arange(len(names)))
            marked = marked.reshape(len(names), -1, after._data.shape[-1]).transpose(1, 0, 2)
            hidden = left & ~marked.reshape(left.shape) & ~same.all()
            check(not hidden.any() or said, "bad samples were left without a mark or a warning")
        check(isinstance(report.summary, str), "the report has no summary")
        check(len(report.to_data_frame()) <= len(names), "the report has too many rows")
    elif name == "harmonize":
        after, report = result
        eeg = [after.ch_names[k] for k in mne.pick_types(after.info, eeg=True, exclude=())]
        # T7 that is wanted as T3 is renamed, not new.
        recorded = {parse_name(n)[0] or n for n in names}
        new = [n for n in eeg if n not in names and parse_name(n)[0] not in recorded]
        check(
            np.isfinite(after.get_data(picks=new)).all(), "new channels are not finite"
        ) if new else 0
        for name in set(eeg) & set(names):
            old, now = (i._data[..., i.ch_names.index(name), :] for i in (before, after))
            good = ~bad[..., names.index(name), :]
            check(
                np.array_equal(old[good], now[good], equal_nan=True),
                "harmonize changed good samples",
            )
    elif name == "preprocess":
        check(result.info["sfreq"] == 200 and result.ch_names == names, "preprocess: rate or names")
        picks = mne.pick_types(result.info, eeg=True)
        kept = [k for k in picks if names[k] not in find_left_out(said)]
        # Missing samples stay missing where they are marked as bad, and in holes.
        marked = np.logical_or(*paint_marks(result, kept))
        check((np.isfinite(result._data[..., kept, :]) | marked).all(), "preprocess: not finite")
    elif name == "find_bads":
        check(set(result.channels) <= set(names), "find_bads names other channels")
        result.mark(before)
        shapes = before._data.shape, before._data.shape[:2]
        check(result.mask(before).shape in shapes, "find_bads: mask has another shape")
    elif name in ("compute_embedding", "compute_tokens"):
        full = np.asarray(result.good) > 0
        check(np.isfinite(np.asarray(result.data, float)[full]).all(), "encoded: not finite")
    elif name.startswith("Gram"):
        check(np.isfinite(result).all(), "features or probabilities are not finite")


def describe_state():
    """Return the global state that no call may change, by name."""
    return dict(
        numpy_seed=np.random.get_state()[1].tobytes(),  # noqa: NPY002
        numpy_errors=str(np.geterr()),
        log_level=mne.utils.logger.level,
        torch_seed=torch.get_rng_state().numpy().tobytes(),
        torch_threads=torch.get_num_threads(),
        torch_grad=torch.is_grad_enabled(),
        environ={k: v for k, v in os.environ.items() if not k.startswith("TORCH")},
        folder=os.getcwd(),
    )


def describe_inst(inst):
    """Return what no call may change in an instance."""
    annotations = getattr(inst, "annotations", None)
    marks = None if annotations is None else [sorted(map(str, a.items())) for a in annotations]
    return inst._data.tobytes(), str(inst._data.dtype), inst.info.copy(), marks


def is_own(error):
    """Return whether an error was raised by the package, or by a check of arguments in MNE."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = frame.filename.replace(os.sep, "/")
    own = place.startswith(_ROOT) or place.endswith(_CHECKS)
    return own and isinstance(error, (ValueError, TypeError))


def call(name, options, inst, mask):
    """Call a function; return its result or error, and the warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            result = run(name, options, inst, mask)
        except Exception as error:
            result = error
    texts = [str(warning.message) for warning in found]
    for warning, text in zip(found, texts, strict=True):
        where = f"{warning.filename}:{warning.lineno}"
        check(not text.startswith(_WARNINGS), f"a warning of NumPy: {text} at {where}")
        check("filter_length (" not in text, f"a warning of MNE: {text[:60]}")
    if isinstance(result, Exception) and not is_own(result):
        lines = traceback.format_exception(result)
        raise Violation(f"an error from elsewhere: {''.join(lines[-6:])}")
    return result, texts


def check_case(seed):
    """Make the case of a seed and check it; return the outcome in a word.

    Raises a Violation with a description of the case.
    """
    rng = np.random.default_rng(seed)
    case = make_case(rng)
    name, options = draw_call(rng, case)
    if name != "restore":
        case.mask = None
    fill(rng, case.inst, find_bad(case.inst, case.mask))
    bad = find_bad(case.inst, case.mask)
    try:
        inst, state = describe_inst(case.inst), describe_state()
        result, said = call(name, options, case.inst, case.mask)
        changed = [key for key, value in describe_state().items() if value != state[key]]
        check(not changed, f"global state was changed: {changed}")
        now = describe_inst(case.inst)
        check(now[:2] == inst[:2] and now[3] == inst[3], "the input was changed")
        check(mne.utils.object_diff(now[2], inst[2]) == "", "the info of the input was changed")
        if isinstance(result, Exception):
            return "refused"
        check_result(name, options, case, result, bad, said)
        is_open = case.mask is not None and isinstance(case.mask, str)
        if bad.any() and not is_open and rng.random() < 0.5:
            other = case.inst.copy()
            fill(rng, other, bad)
            again, _ = call(name, options, other, case.mask)
            check(not isinstance(again, Exception), f"garbage decides about an error: {again}")
            pairs = (read_result(name, r, bad, case.inst) for r in (result, again))
            for first, second in zip(*pairs, strict=True):
                check(
                    np.array_equal(first, second, equal_nan=True), "the result depends on garbage"
                )
        return name
    except Violation as violation:
        raise Violation(
            f"seed {seed}: {violation}\n  {name}({options})\n  {'; '.join(case.said)}"
        ) from None


def check_quietly(seed):
    """Check a case; return outcome, seconds and the Violation, with errors of libraries as one."""
    start = time.process_time()
    with mne.utils.use_log_level("warning"), tempfile.TemporaryFile() as noise:
        kept = os.dup(2)
        os.dup2(noise.fileno(), 2)  # LAPACK writes there
        try:
            outcome, problem = check_case(seed), None
        except Violation as violation:
            outcome, problem = "violation", str(violation)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        noise.seek(0)
        if b"On entry" in noise.read():
            outcome, problem = "violation", f"seed {seed}: LAPACK complained"
    seconds = time.process_time() - start
    if problem is None and seconds > _SECONDS:
        outcome, problem = "violation", f"seed {seed}: took {seconds:.0f} s of processor time"
    return outcome, seconds, problem


def main(argv=None):
    """Check the cases that the command line asks for; return the number of violations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200, help="number of cases")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="repeat this case alone")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args(argv)
    seeds = [args.seed] if args.seed is not None else range(args.start, args.start + args.cases)
    check_one = joblib.delayed(check_quietly)
    found = joblib.Parallel(args.jobs, return_as="generator")(check_one(seed) for seed in seeds)
    counts, total, n_violations = {}, 0.0, 0
    for outcome, seconds, problem in found:
        counts[outcome], total = counts.get(outcome, 0) + 1, total + seconds
        if problem is not None:
            n_violations += 1
            print(problem, flush=True)
    told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    print(f"{sum(counts.values())} cases, {1000 * total / len(seeds):.0f} ms each: {told}")
    return n_violations


if __name__ == "__main__":
    sys.exit(min(main(), 1))
