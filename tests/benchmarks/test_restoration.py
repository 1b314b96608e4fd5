# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of restoration: what it hides and measures, and that it runs."""

import csv

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.restoration import _select

REGIMES = ("one", "10%", "25%", "50%", "cluster", "segments", "patches")


# ---------------------------------------------------------------------------------------------
# Masks


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("n_channels", [19, 64])
def test_masks(regime, n_channels, parts):
    raw = parts.make_raw(n_channels=n_channels)
    mask = parts.draw(regime, raw)
    assert mask.shape == (n_channels, raw.n_times) and mask.dtype == bool
    assert mask.any() and not mask.all(axis=0).any()  # something is always left to go by
    assert_array_equal(mask, parts.draw(regime, raw))
    assert (mask != parts.draw(regime, raw, seed=1)).any()
    if regime in parts.truths.WHOLE:
        assert_array_equal(mask.any(axis=1), mask.all(axis=1))


@pytest.mark.parametrize(
    ("regime", "small", "large"),
    [("one", 1, 1), ("10%", 2, 6), ("25%", 5, 16), ("50%", 10, 32), ("cluster", 3, 6)],
)
def test_number_of_whole_channels(regime, small, large, parts):
    assert parts.draw(regime, parts.make_raw(n_channels=19)).all(axis=1).sum() == small
    assert parts.draw(regime, parts.make_raw(n_channels=64)).all(axis=1).sum() == large


@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_is_close_together(seed, parts):
    raw = parts.make_raw(n_channels=64)
    places = np.array([ch["loc"][:3] for ch in raw.info["chs"]])
    hidden = parts.draw("cluster", raw, seed).all(axis=1)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    # One of them is the centre, and no other channel is much nearer to it than they are.
    reach = distances[np.ix_(hidden, hidden)].max(axis=1).min()
    assert reach < 0.08 < distances.max() / 2


def test_segments(parts):
    mask = parts.draw("segments", parts.make_raw(seconds=60))
    assert mask.any(axis=1).sum() == 4
    for row in mask[mask.any(axis=1)]:
        edges = np.flatnonzero(np.diff(np.r_[0, row.astype(int), 0]))
        lengths = edges[1::2] - edges[::2]
        assert 1 <= len(lengths) <= 4  # four spans that may overlap
        assert lengths.min() >= 50 and lengths.sum() <= 1600


def test_patches_are_whole_seconds(parts):
    mask = parts.draw("patches", parts.make_raw(seconds=60.5))
    patches = mask[:, :6000].reshape(19, 60, 100)
    assert_array_equal(patches.any(axis=2), patches.all(axis=2))
    assert not mask[:, 6000:].any()
    assert 0.25 < patches.mean() < 0.35


def test_epochs_are_laid_end_to_end(parts):
    epochs = parts.make_epochs()
    flat = parts.bench.flat(epochs)
    assert_array_equal(flat[:, 100:200], epochs.get_data(copy=False)[1])
    assert parts.draw("patches", epochs).shape == flat.shape
    again = parts.bench.fill(epochs, 2 * flat)
    assert_array_equal(again.get_data(copy=False), 2 * epochs.get_data(copy=False))
    assert_array_equal(
        parts.bench.flat(parts.bench.fill(parts.make_raw(), flat[:, :2000])), flat[:, :2000]
    )


# ---------------------------------------------------------------------------------------------
# Measures


def test_measures(parts):
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((4, 4000))
    mask = np.zeros(truth.shape, bool)
    mask[3] = True
    error = rng.standard_normal(4000)
    estimate = truth.copy()
    estimate[3] += error
    row = parts.cells.measure(truth, estimate, np.ones(truth.shape), mask, 100.0)
    assert row["coverage"] == pytest.approx(0.9, abs=0.02)
    assert row["nmse"] == pytest.approx(1 / (4 / 3), rel=0.1)
    powers = [row[f"power_{low:g}_{high:g}"] for low, high in parts.cells.BANDS]
    assert_allclose(powers, (4 / 3 + 1) / (4 / 3), rtol=0.25)
    assert "coverage" not in parts.cells.measure(truth, estimate, None, mask, 100.0)
    unknown = np.full(truth.shape, np.nan)
    assert "coverage" not in parts.cells.measure(truth, estimate, unknown, mask, 100.0)


# ---------------------------------------------------------------------------------------------
# Methods


@pytest.mark.parametrize(
    ("name", "base", "library", "output"),
    [
        ("auto", "auto", "whole", "mean"),
        ("auto-sample", "auto", "whole", "sample"),
        ("spatial-left-out", "spatial", "left-out", "mean"),
        ("spatial-left-out-sample", "spatial", "left-out", "sample"),
        ("auto-cohort-5", "auto", "cohort-5", "mean"),
        ("auto-without-noise-dirty-all", "auto-without-noise", "dirty-all", "mean"),
        ("gram-own-argmax", "gram-own-argmax", "whole", "mean"),
    ],
)
def test_names(name, base, library, output, parts):
    method = parts.methods.parse_method(name)
    assert (method.name, method.base, method.library) == (name, base, library)
    assert method.output == output


def test_leaving_out(parts):
    names = ["ridge", "auto", "auto-sample"]
    assert parts.methods.expand_methods(names, None) == ["spline", *names]
    only = ["spline", "ridge", "auto-left-out", "auto-left-out-sample"]
    assert parts.methods.expand_methods(names, "only") == only
    also = parts.methods.expand_methods(names, "also")
    assert set(also) == {"spline", *names, *only} and len(also) == len(set(also))


@pytest.mark.parametrize("kind", ["cohort", "dirty"])
def test_cohorts(kind, parts):
    """Others of the data set, never the subject at hand, beside a library without the data set."""
    priors = parts.methods.load_priors(None, ["mdd"])
    own = [r for r in priors[None].recordings if r.source[0] == "mdd"]
    subjects = sorted({r.source[1] for r in own})
    found = parts.methods.pick_priors(priors, "mdd", subjects[0].removeprefix("sub-"))
    cohort = found.get(f"{kind}-3")
    theirs = cohort.recordings[len(cohort.recordings) - cohort.n_cohort :]
    names = {r.source[1] for r in theirs}
    assert len(names) == 3 and names <= set(subjects[1:])
    assert found.get(f"{kind}-3") is cohort
    assert {r.source[0] for r in cohort.base.recordings}.isdisjoint({"mdd"})
    assert cohort.base is found.get("left-out")
    whole = {r.source: len(r.channels) for r in own}
    missing = {whole[r.source] - len(r.channels) for r in theirs}
    assert missing == ({0} if kind == "cohort" else {2})
    everyone = found.draw("all", dirty=False)
    assert {r.source[1] for r in everyone} == set(subjects[1:])


def test_variants_of_output(priors, parts):
    raw = parts.make_raw(seconds=20)
    truth, mask = raw.get_data(), parts.draw("one", raw)
    with mne.utils.use_log_level("error"):
        mean, std = parts.methods.restore("spatial", raw, mask, priors)
        sample, nothing = parts.methods.restore("spatial-sample", raw, mask, priors)
        again, _ = parts.methods.restore("spatial-sample", raw, mask, priors)
    assert std.shape == truth.shape and nothing is None
    assert_array_equal(sample, again)
    for estimate in (mean, sample):
        assert_array_equal(estimate[~mask], truth[~mask])
    assert np.abs(sample - mean)[mask].mean() > 1e-8


@pytest.mark.parametrize(
    ("name", "experts"),
    [
        ("auto", {"sphere", "noise", "spline"}),
        ("auto-without-spline", {"sphere", "noise"}),
        ("auto-without-sphere", {"noise", "spline"}),
    ],
)
def test_ablations(priors, monkeypatch, name, experts, parts):
    """While an ablation runs, plans have the experts that its name says, and later as before."""
    raw = parts.make_raw(seconds=4)
    mask = parts.draw("one", raw)
    seen, own = [], dict(_select.EXPERTS)
    monkeypatch.setattr(_select, "learn_stacks", lambda *args: ({}, {}))
    estimate = _select.estimate

    def watch(block, plan):
        seen.append(set(plan.experts))
        return estimate(block, plan)

    monkeypatch.setattr(_select, "estimate", watch)
    with mne.utils.use_log_level("error"):
        parts.methods.restore(name, raw, mask, priors)
    assert seen == [experts]
    assert _select.EXPERTS == own


# ---------------------------------------------------------------------------------------------
# Peaks of evoked responses


def make_trials(n_epochs=10, sfreq=256.0, height=(5.0, -8.0, 3.0, 0.0), latency=0.25):
    """Return trials with a known peak, laid end to end."""
    times = np.arange(256) / sfreq
    bump = np.exp(-(((times - latency) / 0.03) ** 2))
    return np.tile(np.outer(height, bump), (1, n_epochs))


@pytest.mark.parametrize("hidden", [0, 1])
def test_peaks(hidden, parts):
    truth = make_trials()
    mask = np.zeros(truth.shape, bool)
    mask[hidden] = True

    def compare(estimate):
        row = parts.erp.measure_peaks(truth, np.where(mask, estimate, truth), mask, 10, 256.0)
        return row["peak_amplitude"], row["peak_latency"]

    assert_allclose(compare(truth), 0, atol=1e-12)
    # Kept channels' mean is what the amplitude is relative to.
    mean = truth[~mask.all(axis=1)].mean(axis=0)
    assert_allclose(compare(mean + 0.5 * (truth - mean)), (0.5, 0), atol=1e-9)
    later = make_trials(latency=0.25 + 5 / 256)
    amplitude, latency = compare(later)
    assert amplitude < 0.2 and latency == pytest.approx(1000 * 5 / 256, abs=4)
    # A deflection to the other side is no peak of this one.
    assert compare(mean - (truth - mean))[0] == pytest.approx(1, abs=0.1)


def test_peaks_need_whole_channels(parts):
    truth = make_trials()
    mask = np.zeros(truth.shape, bool)
    mask[1, :256] = True
    assert parts.erp.measure_peaks(truth, truth, mask, 10, 256.0) == {}


# ---------------------------------------------------------------------------------------------
# Decoders


def make_person(subject, rng, task, n=30, n_channels=5):
    """Return a person whose labels channel 0 tells, which the restored data keep."""
    y = np.arange(n) % 2
    if task == "eyes":
        x = 0.3 * rng.standard_normal((n, n_channels, 5))
        x[:, 0] += 2 * y[:, None]
    else:
        x = rng.standard_normal((n, n_channels, 200))
        x[:, 0] *= (1 + 3 * y)[:, None]
    wrong = np.array(x)
    wrong[:, 0] = x[rng.permutation(n), 0] if task == "eyes" else rng.standard_normal(x[:, 0].shape)
    bad = np.arange(n_channels) == 0
    conditions = dict(clean=x, bad=wrong, dropped=x, spline=wrong, auto=x)
    names = [f"E{k}" for k in range(n_channels)]
    return dict(subject=subject, names=names, y=y, draws=[(conditions, bad)] * 2)


@pytest.mark.parametrize("task", ["eyes", "imagery"])
def test_decoding(task, parts):
    rng = np.random.default_rng(0)
    rows = parts.decoding.decode(task, [make_person(f"p{k}", rng, task) for k in range(4)])
    assert len(rows) == 4 * 2 * 5 and all(row["n_trials"] == 30 for row in rows)
    table = {row["condition"]: row for row in parts.decoding.summarize_decoding(rows)}
    assert list(table) == ["clean", "bad", "dropped", "spline", "auto"]
    assert table["clean"]["accuracy"] > 0.95
    assert table["auto"]["accuracy"] == table["clean"]["accuracy"]
    # Only the bad channel tells.
    assert table["bad"]["accuracy"] < 0.75 and table["dropped"]["accuracy"] < 0.75
    gain = table["auto"]["gain"]
    assert gain == pytest.approx(table["auto"]["accuracy"] - table["spline"]["accuracy"])
    assert table["auto"]["gain_low"] <= gain <= table["auto"]["gain_high"]
    assert table["auto"]["n"] == 4
    assert "auto" in parts.decoding.format_decoding(list(table.values()))


def test_decoding_needs_the_same_channels(parts):
    rng = np.random.default_rng(0)
    people = [make_person(f"p{k}", rng, "eyes") for k in range(2)]
    people[1]["names"] = people[1]["names"][::-1]
    with pytest.raises(ValueError, match="same channels"):
        parts.decoding.decode("eyes", people)


def test_bad_channels_are_damaged(parts):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((4, 2000))
    bad = np.array([False, True, False, True])
    damaged = parts.decoding.damage(data, bad, rng)
    assert_array_equal(damaged[~bad], data[~bad])
    assert_allclose(damaged[bad].std(axis=1), 10, rtol=0.1)


def test_windows_of_eyes(parts):
    raw = parts.make_raw(seconds=21)
    rhythm = np.sin(2 * np.pi * 10 * raw.times)
    raw._data[3] += 1e-4 * rhythm
    path = type("Path", (), dict(task="eyesclosed"))
    x, y = parts.decoding._extract(raw, raw.get_data(), path, "eyes")
    assert x.shape == (5, 19, 5) and y.tolist() == [1] * 5
    assert (x[:, 3].argmax(axis=1) == 2).all()  # 8 to 13 Hz


# ---------------------------------------------------------------------------------------------
# Garbage


def test_kinds_of_garbage(parts):
    kinds = parts.garbage.make_garbage((3, 100))
    assert (kinds["0"] == 0).all() and np.isnan(kinds["NaN"]).all()
    assert_array_equal(np.abs(kinds["rails"]), 5e-3)
    assert kinds["noise"].std() == pytest.approx(1e-2, rel=0.2)


@pytest.mark.parametrize("leaky", [False, True])
def test_garbage_that_leaks_is_found(leaky, monkeypatch, parts):
    raw = parts.make_raw(seconds=10)

    def restore(name, inst, mask, *args):
        data = inst.get_data()
        data[mask] = 1e-3 * np.nan_to_num(data[mask]) if leaky else 0
        return data, None

    monkeypatch.setattr(parts.garbage, "restore", restore)
    monkeypatch.setattr(parts.garbage, "load_truth", lambda *args, **kwargs: raw)
    args = parts.bench.argparse.Namespace(
        unfiltered=False, seconds=10, regimes=["one", "segments"], methods=["ridge"], model=None
    )
    path = type("Path", (), dict(basename="x"))
    rows = parts.garbage.compare_garbage(args, "alcohol", path, None)
    assert rows == []  # ridge has nothing to learn from, and trials hold no segments
    rows = parts.garbage.compare_garbage(args, "eegmat", path, None)
    assert [row["regime"] for row in rows] == ["segments"]
    assert (rows[0]["difference"] > parts.garbage.LIMIT) == leaky and rows[0]["kept"]
    assert "bit-identical" in parts.garbage.format_garbage(rows)


# ---------------------------------------------------------------------------------------------
# Baselines


def test_ridge_learns_from_clean_data(parts):
    raw = parts.make_raw(seconds=60)
    truth = raw.get_data()
    mask = parts.draw("segments", raw)
    data = np.where(mask, 1.0, truth)
    repaired = parts.ridge.repair_ridge(data, mask, raw.info)
    assert_array_equal(repaired[~mask], truth[~mask])
    assert ((repaired - truth)[mask] ** 2).sum() < 0.1 * (truth[mask] ** 2).sum()


def test_ridge_without_clean_samples(parts):
    raw = parts.make_raw(seconds=60)
    truth = raw.get_data()
    mask = parts.draw("patches", raw)
    repaired = parts.ridge.repair_ridge(np.where(mask, 1.0, truth), mask, raw.info)
    assert_array_equal(repaired[~mask], truth[~mask])
    assert ((repaired - truth)[mask] ** 2).sum() < 0.5 * (truth[mask] ** 2).sum()


def test_minimum_norm_is_that_of_mne(parts):
    raw = parts.make_raw(n_channels=32, seconds=2)
    raw.set_eeg_reference(projection=False, verbose="error")
    mask = np.zeros((32, 200), bool)
    mask[5] = True
    data = np.where(mask, 1.0, raw.get_data())
    with mne.utils.use_log_level("error"):
        repaired = parts.ridge.repair_minimum_norm(data, mask, raw.info)
    assert_array_equal(repaired[~mask], raw.get_data()[~mask])
    assert np.isfinite(repaired).all()
    # A change of reference goes straight through.
    with mne.utils.use_log_level("error"):
        moved = parts.ridge.repair_minimum_norm(data + 1e-4, mask, raw.info)
    assert_allclose(moved[5], repaired[5] + 1e-4, atol=1e-9)


# ---------------------------------------------------------------------------------------------
# The whole


@pytest.mark.parametrize("arguments", [["--methods", "spatial"], ["--methods", "auto,spline"]])
def test_the_spline_is_always_there(shared, arguments, parts):
    args = parts.bench.parse_args(["--shared", str(shared), *arguments])
    assert "spline" in args.methods and args.regimes == list(parts.truths.REGIMES) == list(REGIMES)


@pytest.mark.parametrize("option", ["--datasets", "--regimes", "--parts"])
def test_unknown_choices_are_said(shared, option, capsys, parts):
    with pytest.raises(SystemExit):
        parts.bench.parse_args(["--shared", str(shared), option, "nothing"])
    assert "unknown" in capsys.readouterr().err


def test_missing_recordings_are_said(tmp_path, capsys, parts):
    with pytest.raises(SystemExit):
        parts.bench.parse_args(["--shared", str(tmp_path)])
    assert "MNE_GRAM_SHARED" in capsys.readouterr().err


def test_truth(shared, parts):
    paths = parts.truths.list_held_out(shared / "eeg" / "eegmat")
    with mne.utils.use_log_level("error"):
        raw = parts.bench.load_truth(paths[0], "eegmat")
    assert raw.info["bads"] == [] and not len(raw.annotations)
    assert set(raw.ch_names) <= set(parts.truths.ELECTRODES)
    assert raw.times[-1] <= 60
    assert np.isfinite([ch["loc"][:3] for ch in raw.info["chs"]]).all()
    assert set(raw.get_channel_types()) == {"eeg"}


def test_held_out_people(shared, parts):
    root = shared / "eeg" / "mdd"
    paths = parts.truths.list_held_out(root)
    everyone = parts.truths.list_held_out(root, everyone=True)
    subjects = sorted({path.subject for path in everyone})
    assert sorted({path.subject for path in paths}) == subjects[3::4]
    quick = parts.truths.list_held_out(root, quick=True)
    assert sorted(path.subject for path in quick) == subjects[3::4]
    assert len(parts.truths.list_held_out(root, most=2)) == 2


def test_tiny_run(shared, tmp_path, capsys, parts):
    arguments = (
        "--datasets eegmat --regimes one,segments --methods ridge,spatial --quick --leave-out also "
        "--max-recordings 1 --seconds 5 --parts cells,garbage --jobs 1"
    )
    folder = ["--csv", str(tmp_path / "rows.csv"), "--figures", str(tmp_path / "page")]
    level = mne.utils.logger.level
    parts.bench.main(["--shared", str(shared), *folder, *arguments.split()])
    assert mne.utils.logger.level == level
    with open(tmp_path / "rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"spline", "spatial", "spatial-left-out"}
    found = {(row["regime"], row["method"]) for row in rows}
    # No ridge where it has nothing to learn from.
    assert found == {("one", n) for n in names} | {("segments", n) for n in {*names, "ridge"}}
    held_out = parts.truths.list_held_out(shared / "eeg" / "eegmat", quick=True, most=1)
    assert {row["subject"] for row in rows} == {path.subject for path in held_out}
    assert all(0 < float(row["nmse"]) < 20 for row in rows)
    errors = {(row["regime"], row["method"]): row["nmse"] for row in rows}
    for regime in ("one", "segments"):  # another prior gives another estimate
        assert errors[regime, "spatial"] != errors[regime, "spatial-left-out"]
    with open(tmp_path / "rows_garbage.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {*names, "ridge"}
    assert all(float(row["difference"]) <= 1e-6 and row["kept"] == "True" for row in rows)
    printed = capsys.readouterr().out
    assert "Geometric mean" in printed and "Garbage" in printed
    assert (tmp_path / "page" / "restoration.html").is_file()


def test_tiny_run_of_decoding(shared, capsys, parts):
    arguments = (
        "--datasets eegmmi --methods spline --parts decoding --max-recordings 1 "
        "--decoding-draws 1 --jobs 1"
    )
    parts.bench.main(["--shared", str(shared), *arguments.split()])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {line[1]: float(line[3]) for line in lines if line[:1] == ["imagery"] and len(line) > 4}
    assert list(found) == ["clean", "bad", "dropped", "spline"]
    assert all(0 < accuracy <= 1 for accuracy in found.values())
