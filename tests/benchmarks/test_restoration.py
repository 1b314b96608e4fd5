# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of restoration: what it hides, how it sums up, and that it runs."""

import csv
import importlib.util
import sys
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.restoration import _select

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("The benchmarks are not beside the tests.", allow_module_level=True)


def load_benchmark(name):
    """Import a script of the benchmarks, which is no package."""
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


bench = load_benchmark("restoration")
ridge = load_benchmark("ridge")
# The modules that the command is made of, as it imported them.
truths, methods, cells = (sys.modules[name] for name in ("_truth", "_methods", "_cells"))
summary, tables = (sys.modules[name] for name in ("_summary", "_tables"))
decoding, garbage, erp = (sys.modules[name] for name in ("_decoding", "_garbage", "_erp"))
figures = sys.modules["_figures"]


def make_raw(n_channels=19, seconds=20.0, sfreq=100.0, seed=0):
    """Return smooth noise at electrodes with positions."""
    montage = mne.channels.make_standard_montage("biosemi64" if n_channels > 32 else "biosemi32")
    info = mne.create_info(montage.ch_names[:n_channels], sfreq, "eeg")
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_channels, 6))
    data = 1e-5 * mixing @ rng.standard_normal((6, round(seconds * sfreq)))
    data += 1e-6 * rng.standard_normal(data.shape)
    return mne.io.RawArray(data, info, verbose="error").set_montage(montage)


def make_epochs():
    """Return epochs of one second."""
    return mne.make_fixed_length_epochs(make_raw(), 1.0, preload=True, verbose="error")


def draw(regime, inst, seed=0):
    """Draw a mask with a seed."""
    return bench.draw_mask(regime, inst, np.random.default_rng(seed))


# ---------------------------------------------------------------------------------------------
# Masks


@pytest.mark.parametrize("regime", truths.REGIMES)
@pytest.mark.parametrize("n_channels", [19, 64])
def test_masks(regime, n_channels):
    raw = make_raw(n_channels=n_channels)
    mask = draw(regime, raw)
    assert mask.shape == (n_channels, raw.n_times) and mask.dtype == bool
    assert mask.any() and not mask.all(axis=0).any()  # something is always left to go by
    assert_array_equal(mask, draw(regime, raw))
    assert (mask != draw(regime, raw, seed=1)).any()
    if regime in truths.WHOLE:
        assert_array_equal(mask.any(axis=1), mask.all(axis=1))


@pytest.mark.parametrize(
    ("regime", "small", "large"),
    [("one", 1, 1), ("10%", 2, 6), ("25%", 5, 16), ("50%", 10, 32), ("cluster", 3, 6)],
)
def test_number_of_whole_channels(regime, small, large):
    assert draw(regime, make_raw(n_channels=19)).all(axis=1).sum() == small
    assert draw(regime, make_raw(n_channels=64)).all(axis=1).sum() == large


@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_is_close_together(seed):
    raw = make_raw(n_channels=64)
    places = np.array([ch["loc"][:3] for ch in raw.info["chs"]])
    hidden = draw("cluster", raw, seed).all(axis=1)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    # One of them is the centre, and no other channel is much nearer to it than they are.
    reach = distances[np.ix_(hidden, hidden)].max(axis=1).min()
    assert reach < 0.08 < distances.max() / 2


def test_segments():
    mask = draw("segments", make_raw(seconds=60))
    assert mask.any(axis=1).sum() == 4
    for row in mask[mask.any(axis=1)]:
        edges = np.flatnonzero(np.diff(np.r_[0, row.astype(int), 0]))
        lengths = edges[1::2] - edges[::2]
        assert 1 <= len(lengths) <= 4  # four spans that may overlap
        assert lengths.min() >= 50 and lengths.sum() <= 1600


def test_patches_are_whole_seconds():
    mask = draw("patches", make_raw(seconds=60.5))
    patches = mask[:, :6000].reshape(19, 60, 100)
    assert_array_equal(patches.any(axis=2), patches.all(axis=2))
    assert not mask[:, 6000:].any()
    assert 0.25 < patches.mean() < 0.35


def test_epochs_are_laid_end_to_end():
    epochs = make_epochs()
    flat = bench.flat(epochs)
    assert_array_equal(flat[:, 100:200], epochs.get_data(copy=False)[1])
    assert draw("patches", epochs).shape == flat.shape
    again = bench.fill(epochs, 2 * flat)
    assert_array_equal(again.get_data(copy=False), 2 * epochs.get_data(copy=False))
    assert_array_equal(bench.flat(bench.fill(make_raw(), flat[:, :2000])), flat[:, :2000])


# ---------------------------------------------------------------------------------------------
# Measures


def test_measures():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((4, 4000))
    mask = np.zeros(truth.shape, bool)
    mask[3] = True
    error = rng.standard_normal(4000)
    estimate = truth.copy()
    estimate[3] += error
    row = cells.measure(truth, estimate, np.ones(truth.shape), mask, 100.0)
    assert row["coverage"] == pytest.approx(0.9, abs=0.02)
    assert row["nmse"] == pytest.approx(1 / (4 / 3), rel=0.1)
    powers = [row[f"power_{low:g}_{high:g}"] for low, high in cells.BANDS]
    assert_allclose(powers, (4 / 3 + 1) / (4 / 3), rtol=0.25)
    assert "coverage" not in cells.measure(truth, estimate, None, mask, 100.0)
    unknown = np.full(truth.shape, np.nan)
    assert "coverage" not in cells.measure(truth, estimate, unknown, mask, 100.0)


def rows_of(dataset, regime, method, errors, **kwargs):
    """Return rows of a table, two draws a recording."""
    row = dict(dataset=dataset, regime=regime, method=method, r=0.5, seconds_per_minute=1.0)
    return [
        {**row, "recording": f"r{k}", "draw": draw, "nmse": error * factor, **kwargs}
        for k, error in enumerate(errors)
        for draw, factor in enumerate((0.5, 1.5))
    ]


def test_summary():
    rows = [
        *rows_of("a", "one", "spline", [1.0, 0.5, 0.8]),
        *rows_of("a", "one", "spatial", [0.5, 0.1, 0.8], coverage=0.9, power_4_8=0.7),
        *rows_of("b", "segments", "spline", [0.4]),
        *rows_of("b", "segments", "spatial", [0.1]),
        *rows_of("b", "segments", "ridge", [0.2]),
    ]
    found = summary.summarize(rows, ["spline", "ridge", "spatial"])
    table = {(c["dataset"], c["regime"], c["method"]): c for c in found}
    assert len(table) == len(found) == 5
    cell = table["a", "one", "spatial"]
    assert cell["n"] == 3
    assert cell["nmse"] == pytest.approx(0.5)
    assert cell["ratio"] == pytest.approx(0.5)  # the median of 0.5, 0.2 and 1
    assert cell["low"] == pytest.approx(0.2) and cell["high"] == pytest.approx(1.0)
    assert cell["above_one"] == pytest.approx(1 / 6)  # 0.8 * 1.5 of six draws
    assert cell["coverage"] == pytest.approx(0.9)
    assert cell["power_4_8"] == pytest.approx(0.7) and np.isnan(cell["power_8_13"])
    assert table["a", "one", "spline"]["ratio"] == 1
    assert np.isnan(table["a", "one", "spline"]["coverage"])
    assert table["b", "segments", "ridge"]["ratio"] == pytest.approx(0.5)


def test_headline():
    rows = [
        *rows_of("a", "one", "spline", [1.0, 1.0, 1.0]),
        *rows_of("a", "one", "spatial", [0.4, 0.2, 0.8]),
        *rows_of("a", "segments", "spline", [1.0, 1.0, 1.0]),
        *rows_of("a", "segments", "spatial", [0.8, 0.4, 0.1]),
        *rows_of("b", "one", "spline", [0.5]),
        *rows_of("b", "one", "spatial", [0.05]),
    ]
    head = summary.find_headline(rows, "spatial")
    assert head["n_cells"] == 3 and head["largest"] == pytest.approx(0.4)
    assert head["ratio"] == pytest.approx((0.4 * 0.4 * 0.1) ** (1 / 3))
    # Recordings are drawn with all their regimes: (0.4, 0.8), (0.2, 0.4) and (0.8, 0.1) can be the
    # medians together, (0.2, 0.1) can't.
    assert head["low"] == pytest.approx((0.2 * 0.4 * 0.1) ** (1 / 3))
    assert head["high"] == pytest.approx((0.4 * 0.8 * 0.1) ** (1 / 3))
    whole = summary.find_headline(rows, "spatial", truths.WHOLE)
    assert whole["ratio"] == pytest.approx(0.2) and whole["n_cells"] == 2
    assert summary.find_headline(rows, "ridge") is None
    assert summary.find_headline(rows, "spatial", ["patches"]) is None


def test_pooled_coverage_counts_samples():
    rows = [
        *rows_of("a", "one", "spatial", [1.0], coverage=0.8, n_hidden=300),
        *rows_of("a", "50%", "spatial", [1.0], coverage=1.0, n_hidden=100),
        *rows_of("a", "50%", "spline", [1.0], n_hidden=100),
    ]
    assert summary.pool_coverage(rows, "spatial") == pytest.approx(0.85)
    assert np.isnan(summary.pool_coverage(rows, "spline"))


def test_pooled_power():
    names = [cells.power_name(band) for band in cells.BANDS]
    rows = [
        *rows_of("a", "one", "spline", [1.0]),
        *rows_of("a", "one", "auto", [1.0], **dict.fromkeys(names, 0.4)),
        *rows_of("b", "one", "spline", [1.0]),
        *rows_of("b", "one", "auto", [1.0], **dict.fromkeys(names, 0.9)),
    ]
    means, low, high = summary.pool_power(summary.summarize(rows, ["auto", "spline"]), "auto")
    assert_allclose([means, low, high], np.repeat([[0.6], [0.4], [0.9]], len(names), axis=1))
    assert summary.pool_power(summary.summarize(rows, ["spline"]), "spline") is None


@pytest.mark.parametrize(
    ("auto", "spatial", "ridge", "expected"),
    [
        (0.4, 0.41, 0.5, [True, True, True, True]),
        (0.6, 0.61, 0.7, [False, True, True, True]),
        (1.2, 1.21, 1.1, [False, False, False, False]),  # worse than the spline by a fifth
        (0.4, 0.3, 0.5, [True, True, True, False]),
        (0.45, 0.46, 0.4, [True, True, False, True]),
    ],
)
def test_goals(auto, spatial, ridge, expected):
    errors = dict(spline=1.0, auto=auto, spatial=spatial, ridge=ridge)
    rows = [row for name, x in errors.items() for row in rows_of("a", "segments", name, [x, x])]
    goals = summary.find_goals(rows, summary.summarize(rows, list(errors)), list(errors))
    assert [met for met, _ in goals] == expected
    assert all(text.startswith("auto: ") for _, text in goals)


@pytest.mark.parametrize(
    ("coverage", "met"), [((0.9, 0.9), True), ((0.97, 0.97), False), ((0.99, 0.74), False)]
)
def test_goal_of_coverage(coverage, met):
    rows = rows_of("a", "one", "spline", [1.0]) + rows_of("b", "one", "spline", [1.0])
    for dataset, covered in zip("ab", coverage, strict=True):
        rows += rows_of(dataset, "one", "auto", [0.3], coverage=covered, n_hidden=10)
    goals = summary.find_goals(rows, summary.summarize(rows, ["spline", "auto"]), ["auto"])
    assert [found for found, text in goals if "covers" in text] == [met]


def test_goal_of_power():
    names = [cells.power_name(band) for band in cells.BANDS]
    for powers, met in (([0.95] * 5, True), ([1, 1, 1, 1, 0.8], False)):
        rows = rows_of("a", "one", "spline", [1.0])
        rows += rows_of("a", "one", "auto-sample", [1.0], **dict(zip(names, powers, strict=True)))
        found = summary.summarize(rows, ["spline", "auto-sample"])
        (goal,) = summary.find_goals(rows, found, ["spline", "auto-sample"])
        assert goal[0] == met


def test_printed_summary():
    rows = [
        *rows_of("a", "one", "spline", [1.0]),
        *rows_of("a", "one", "spatial", [0.4], coverage=0.9),
        *rows_of("b", "segments", "spline", [0.5]),
        *rows_of("b", "segments", "spatial", [0.05]),
        *rows_of("alcohol", "one", "spline", [1.0], peak_amplitude=0.5, peak_latency=20.0),
        *rows_of("alcohol", "one", "spatial", [0.2], peak_amplitude=0.1, peak_latency=10.0),
    ]
    names = ["spline", "spatial", "auto"]
    text = tables.format_summary(rows, summary.summarize(rows, names), names)
    (headline,) = [line for line in text.splitlines() if "over 3 cells" in line and "spat" in line]
    assert "0.200 (0.200-0.200) over 3 cells (largest 0.400)" in headline  # 0.4 * 0.2 * 0.1
    assert "whole channels 0.283" in headline and "segments and patches 0.100" in headline
    (peak,) = [line for line in text.splitlines() if line.startswith("  one       spatial")]
    assert peak.split()[2:] == ["0.100", "(0.100-0.100)", "0.200", "10.0"]
    assert "0.900 pooled" in text


# ---------------------------------------------------------------------------------------------
# Methods


@pytest.mark.parametrize(
    ("name", "base", "left_out", "output"),
    [
        ("auto", "auto", False, "mean"),
        ("auto-sample", "auto", False, "sample"),
        ("spatial-left-out", "spatial", True, "mean"),
        ("spatial-left-out-sample", "spatial", True, "sample"),
        ("gram-own-argmax", "gram-own-argmax", False, "mean"),
    ],
)
def test_names(name, base, left_out, output):
    method = methods.parse_method(name)
    assert (method.name, method.base, method.left_out, method.output) == (
        name,
        base,
        left_out,
        output,
    )


def test_leaving_out():
    names = ["ridge", "auto", "auto-sample"]
    assert methods.expand_methods(names, None) == ["spline", *names]
    only = ["spline", "ridge", "auto-left-out", "auto-left-out-sample"]
    assert methods.expand_methods(names, "only") == only
    also = methods.expand_methods(names, "also")
    assert set(also) == {"spline", *names, *only} and len(also) == len(set(also))


@pytest.fixture(scope="module")
def priors():
    return {"whole": methods.load_prior(None), "left-out": None}


def test_variants_of_output(priors):
    raw = make_raw(seconds=20)
    truth, mask = raw.get_data(), draw("one", raw)
    with mne.utils.use_log_level("error"):
        mean, std = methods.restore("spatial", raw, mask, priors)
        sample, nothing = methods.restore("spatial-sample", raw, mask, priors)
        again, _ = methods.restore("spatial-sample", raw, mask, priors)
    assert std.shape == truth.shape and nothing is None
    assert_array_equal(sample, again)
    for estimate in (mean, sample):
        assert_array_equal(estimate[~mask], truth[~mask])
    assert np.abs(sample - mean)[mask].mean() > 1e-8


@pytest.mark.parametrize(
    ("name", "experts"),
    [
        ("auto", {"sphere"}),
        ("auto-with-spline", {"sphere", "spline"}),
        ("auto-without-sphere", set()),
    ],
)
def test_ablations(priors, monkeypatch, name, experts):
    """While an ablation runs, plans have the experts that its name says, and later as before."""
    raw = make_raw(seconds=4)
    mask = draw("one", raw)
    seen, own = [], dict(_select.EXPERTS)
    monkeypatch.setattr(_select, "learn_stacks", lambda *args: ({}, {}))
    estimate = _select.estimate

    def watch(block, plan):
        seen.append(set(plan.weighted))
        return estimate(block, plan)

    monkeypatch.setattr(_select, "estimate", watch)
    with mne.utils.use_log_level("error"):
        methods.restore(name, raw, mask, priors)
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
def test_peaks(hidden):
    truth = make_trials()
    mask = np.zeros(truth.shape, bool)
    mask[hidden] = True

    def compare(estimate):
        row = erp.measure_peaks(truth, np.where(mask, estimate, truth), mask, 10, 256.0)
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


def test_peaks_need_whole_channels():
    truth = make_trials()
    mask = np.zeros(truth.shape, bool)
    mask[1, :256] = True
    assert erp.measure_peaks(truth, truth, mask, 10, 256.0) == {}


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
def test_decoding(task):
    rng = np.random.default_rng(0)
    rows = decoding.decode(task, [make_person(f"p{k}", rng, task) for k in range(4)])
    assert len(rows) == 4 * 2 * 5 and all(row["n_trials"] == 30 for row in rows)
    table = {row["condition"]: row for row in decoding.summarize_decoding(rows)}
    assert list(table) == ["clean", "bad", "dropped", "spline", "auto"]
    assert table["clean"]["accuracy"] > 0.95
    assert table["auto"]["accuracy"] == table["clean"]["accuracy"]
    # Only the bad channel tells.
    assert table["bad"]["accuracy"] < 0.75 and table["dropped"]["accuracy"] < 0.75
    gain = table["auto"]["gain"]
    assert gain == pytest.approx(table["auto"]["accuracy"] - table["spline"]["accuracy"])
    assert table["auto"]["gain_low"] <= gain <= table["auto"]["gain_high"]
    assert table["auto"]["n"] == 4
    assert "auto" in decoding.format_decoding(list(table.values()))


def test_decoding_needs_the_same_channels():
    rng = np.random.default_rng(0)
    people = [make_person(f"p{k}", rng, "eyes") for k in range(2)]
    people[1]["names"] = people[1]["names"][::-1]
    with pytest.raises(ValueError, match="same channels"):
        decoding.decode("eyes", people)


def test_bad_channels_are_damaged():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((4, 2000))
    bad = np.array([False, True, False, True])
    damaged = decoding.damage(data, bad, rng)
    assert_array_equal(damaged[~bad], data[~bad])
    assert_allclose(damaged[bad].std(axis=1), 10, rtol=0.1)


def test_windows_of_eyes():
    raw = make_raw(seconds=21)
    rhythm = np.sin(2 * np.pi * 10 * raw.times)
    raw._data[3] += 1e-4 * rhythm
    path = type("Path", (), dict(task="eyesclosed"))
    x, y = decoding._extract(raw, raw.get_data(), path, "eyes")
    assert x.shape == (5, 19, 5) and y.tolist() == [1] * 5
    assert (x[:, 3].argmax(axis=1) == 2).all()  # 8 to 13 Hz


# ---------------------------------------------------------------------------------------------
# Garbage


def test_kinds_of_garbage():
    kinds = garbage.make_garbage((3, 100))
    assert (kinds["0"] == 0).all() and np.isnan(kinds["NaN"]).all()
    assert_array_equal(np.abs(kinds["rails"]), 5e-3)
    assert kinds["noise"].std() == pytest.approx(1e-2, rel=0.2)


@pytest.mark.parametrize("leaky", [False, True])
def test_garbage_that_leaks_is_found(leaky, monkeypatch):
    raw = make_raw(seconds=10)

    def restore(name, inst, mask, *args):
        data = inst.get_data()
        data[mask] = 1e-3 * np.nan_to_num(data[mask]) if leaky else 0
        return data, None

    monkeypatch.setattr(garbage, "restore", restore)
    monkeypatch.setattr(garbage, "load_truth", lambda *args, **kwargs: raw)
    args = bench.argparse.Namespace(
        unfiltered=False, seconds=10, regimes=["one", "segments"], methods=["ridge"], model=None
    )
    path = type("Path", (), dict(basename="x"))
    rows = garbage.compare_garbage(args, "alcohol", path, None)
    assert rows == []  # ridge has nothing to learn from, and trials hold no segments
    rows = garbage.compare_garbage(args, "eegmat", path, None)
    assert [row["regime"] for row in rows] == ["segments"]
    assert (rows[0]["difference"] > garbage.LIMIT) == leaky and rows[0]["kept"]
    assert "bit-identical" in garbage.format_garbage(rows)


# ---------------------------------------------------------------------------------------------
# Figures


def test_page(tmp_path):
    names = [cells.power_name(band) for band in cells.BANDS]
    more = dict(zip(names, [0.5, 0.6, 0.7, 0.8, 0.9], strict=True), coverage=0.9)
    rows = [
        *rows_of("alcohol", "one", "spline", [1.0, 0.8], peak_amplitude=0.5, peak_latency=2.0),
        *rows_of(
            "alcohol", "one", "auto", [0.4, 0.2], peak_amplitude=0.1, peak_latency=1.0, **more
        ),
        *rows_of("eegmat", "segments", "spline", [0.5]),
        *rows_of("eegmat", "segments", "auto", [0.1]),
    ]
    accuracy = dict(n=2, accuracy=0.8, low=0.7, high=0.9)
    table = [dict(task="eyes", condition=name, **accuracy) for name in ("clean", "bad", "auto")]
    found = summary.summarize(rows, ["spline", "auto"])
    page = figures.write_page(tmp_path / "new", rows, found, table, ["spline", "auto"], "1 < 2")
    pictures = {path.stem for path in page.parent.glob("*.png")}
    assert pictures == {"headline", "ratios", "coverage", "power", "erp", "decoding"}
    text = page.read_text(encoding="utf-8")
    assert text.count('src="data:image/png;base64,') == 6 and "1 &lt; 2" in text
    only = figures.write_page(tmp_path / "few", [], [], table, ["spline", "auto"], "")
    assert {path.stem for path in only.parent.glob("*.png")} == {"decoding"}


# ---------------------------------------------------------------------------------------------
# Baselines


def test_ridge_learns_from_clean_data():
    raw = make_raw(seconds=60)
    truth = raw.get_data()
    mask = draw("segments", raw)
    data = np.where(mask, 1.0, truth)
    repaired = ridge.repair_ridge(data, mask, raw.info)
    assert_array_equal(repaired[~mask], truth[~mask])
    assert ((repaired - truth)[mask] ** 2).sum() < 0.1 * (truth[mask] ** 2).sum()


def test_ridge_without_clean_samples():
    raw = make_raw(seconds=60)
    truth = raw.get_data()
    mask = draw("patches", raw)
    repaired = ridge.repair_ridge(np.where(mask, 1.0, truth), mask, raw.info)
    assert_array_equal(repaired[~mask], truth[~mask])
    assert ((repaired - truth)[mask] ** 2).sum() < 0.5 * (truth[mask] ** 2).sum()


def test_minimum_norm_is_that_of_mne():
    raw = make_raw(n_channels=32, seconds=2)
    raw.set_eeg_reference(projection=False, verbose="error")
    mask = np.zeros((32, 200), bool)
    mask[5] = True
    data = np.where(mask, 1.0, raw.get_data())
    with mne.utils.use_log_level("error"):
        repaired = ridge.repair_minimum_norm(data, mask, raw.info)
    assert_array_equal(repaired[~mask], raw.get_data()[~mask])
    assert np.isfinite(repaired).all()
    # A change of reference goes straight through.
    with mne.utils.use_log_level("error"):
        moved = ridge.repair_minimum_norm(data + 1e-4, mask, raw.info)
    assert_allclose(moved[5], repaired[5] + 1e-4, atol=1e-9)


# ---------------------------------------------------------------------------------------------
# The whole


@pytest.mark.parametrize("arguments", [["--methods", "spatial"], ["--methods", "auto,spline"]])
def test_the_spline_is_always_there(shared, arguments):
    args = bench.parse_args(["--shared", str(shared), *arguments])
    assert "spline" in args.methods and args.regimes == list(truths.REGIMES)


@pytest.mark.parametrize("option", ["--datasets", "--regimes", "--parts"])
def test_unknown_choices_are_said(shared, option, capsys):
    with pytest.raises(SystemExit):
        bench.parse_args(["--shared", str(shared), option, "nothing"])
    assert "unknown" in capsys.readouterr().err


def test_missing_recordings_are_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        bench.parse_args(["--shared", str(tmp_path)])
    assert "MNE_GRAM_SHARED" in capsys.readouterr().err


def test_truth(shared):
    paths = truths.list_held_out(shared / "eeg" / "eegmat")
    with mne.utils.use_log_level("error"):
        raw = bench.load_truth(paths[0], "eegmat")
    assert raw.info["bads"] == [] and not len(raw.annotations)
    assert set(raw.ch_names) <= set(truths.ELECTRODES)
    assert raw.times[-1] <= 60
    assert np.isfinite([ch["loc"][:3] for ch in raw.info["chs"]]).all()
    assert set(raw.get_channel_types()) == {"eeg"}


def test_held_out_people(shared):
    root = shared / "eeg" / "mdd"
    paths = truths.list_held_out(root)
    everyone = truths.list_held_out(root, everyone=True)
    subjects = sorted({path.subject for path in everyone})
    assert sorted({path.subject for path in paths}) == subjects[3::4]
    quick = truths.list_held_out(root, quick=True)
    assert sorted(path.subject for path in quick) == subjects[3::4]
    assert len(truths.list_held_out(root, most=2)) == 2


def test_tiny_run(shared, tmp_path, capsys):
    arguments = (
        "--datasets eegmat --regimes one,segments --methods ridge,spatial --quick --leave-out also "
        "--max-recordings 1 --seconds 5 --parts cells,garbage --jobs 1"
    )
    folder = ["--csv", str(tmp_path / "rows.csv"), "--figures", str(tmp_path / "page")]
    level = mne.utils.logger.level
    bench.main(["--shared", str(shared), *folder, *arguments.split()])
    assert mne.utils.logger.level == level
    with open(tmp_path / "rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {"spline", "spatial", "spatial-left-out"}
    found = {(row["regime"], row["method"]) for row in rows}
    # No ridge where it has nothing to learn from.
    assert found == {("one", n) for n in names} | {("segments", n) for n in {*names, "ridge"}}
    held_out = truths.list_held_out(shared / "eeg" / "eegmat", quick=True, most=1)
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


def test_tiny_run_of_decoding(shared, capsys):
    arguments = (
        "--datasets eegmmi --methods spline --parts decoding --max-recordings 1 "
        "--decoding-draws 1 --jobs 1"
    )
    bench.main(["--shared", str(shared), *arguments.split()])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {line[1]: float(line[3]) for line in lines if line[:1] == ["imagery"] and len(line) > 4}
    assert list(found) == ["clean", "bad", "dropped", "spline"]
    assert all(0 < accuracy <= 1 for accuracy in found.values())


# ---------------------------------------------------------------------------------------------
# The speed of training


def test_the_plain_version_computes_the_same():
    import torch

    speed = load_benchmark("training_speed")
    generator = torch.Generator().manual_seed(0)
    heads = torch.randn(3, 2, 4, 10, 5, generator=generator)
    valid = torch.ones(2, 10, dtype=torch.bool)
    valid[1, 7:] = False
    for mask in (None, valid):
        ours = speed.layers.attend(*heads, valid=mask)
        torch.testing.assert_close(speed.attend_plainly(*heads, valid=mask), ours)
    codes, indices = torch.randn(50, 6, generator=generator), torch.arange(50) % 7
    ours = speed.codebook.sum_by_class(codes, indices, 9)
    torch.testing.assert_close(speed.sum_by_class_plainly(codes, indices, 9), ours)


def test_versions_are_swapped_for_a_while():
    speed = load_benchmark("training_speed")
    own = speed.layers.attend, speed.codebook.sum_by_class
    with speed.use_version("ours"):
        assert (speed.layers.attend, speed.codebook.sum_by_class) == own
    with speed.use_version("plain"):
        assert speed.layers.attend is speed.attend_plainly
        assert speed.codebook.sum_by_class is speed.sum_by_class_plainly
    assert (speed.layers.attend, speed.codebook.sum_by_class) == own


def test_tiny_run_of_training(capsys, monkeypatch):
    speed = load_benchmark("training_speed")
    monkeypatch.setattr(speed, "measure_memory_apart", speed.measure_memory)
    monkeypatch.setattr(speed, "measure_peak", lambda device, clock: 1e9)
    sizes = {"n_blocks": 1, "decoder_n_blocks": 1, "n_classes": 64}
    ratios = speed.main(["--windows", "1", "--steps", "1", "--device", "cpu"], sizes)
    printed = capsys.readouterr().out.splitlines()
    assert list(ratios) == [1, 2] and all(0 < ratio < 100 for ratio in ratios.values())
    assert len(printed) == 7
    for stage, line in zip((1, 2), (printed[3], printed[6]), strict=True):
        assert line.endswith(f"ratio {ratios[stage]:.2f}")
    assert all("tokens/s" in printed[k] and "GB" in printed[k] for k in (1, 2, 4, 5))


def test_memory_apart(monkeypatch):
    """What this process has held before counts for nothing."""
    import torch

    monkeypatch.syspath_prepend(FOLDER)  # the other process imports the script by its name
    speed = importlib.import_module("training_speed")
    held = np.ones(2**29, np.uint8)
    sizes = {"n_blocks": 1, "decoder_n_blocks": 1, "n_classes": 64}
    found = speed.measure_memory_apart(1, 1, torch.device("cpu"), "ours", sizes)
    assert 5e6 < found < len(held)


# ---------------------------------------------------------------------------------------------
# What time could add


@pytest.mark.parametrize(("delay", "pays"), [(0.5, True), (0.0, False)])
def test_delays_pay_where_there_are_some(priors, delay, pays):
    """A wave that runs over the head is foretold by delays, one that stands is not."""
    context = load_benchmark("context")
    raw = make_raw(seconds=45)
    rng = np.random.default_rng(0)
    white = rng.standard_normal((12, 2, raw.n_times))  # more than channels can tell apart at once
    spectrum = np.fft.fft(white[:, 0] + 1j * white[:, 1])
    freqs = np.fft.fftfreq(raw.n_times, 1 / raw.info["sfreq"])
    waves = np.fft.ifft(spectrum * ((freqs > 9) & (freqs < 12)))  # analytic, alpha
    phases = delay * np.outer(np.arange(len(raw.ch_names)), rng.uniform(0.5, 1.5, 12))
    sizes = rng.uniform(0.5, 1.5, phases.shape)
    raw._data[:] = 1e-5 * ((sizes * np.exp(1j * phases)) @ waves).real
    raw._data += 1e-6 * rng.standard_normal(raw._data.shape)
    ratios = context.measure_delays(raw, priors["whole"], np.random.default_rng(1))
    assert ratios.shape == (context._N_HIDDEN, len(context.SHARES))
    assert (np.median(ratios[:, -1]) < 0.9) == pays
    assert pays or np.median(ratios[:, 0]) < 1.05


def test_chunks_of_the_same_are_the_same(capsys):
    context = load_benchmark("context")
    rows = [("eegmat", np.array([0.5, 2.0])), ("mdd", np.array([2.0, 2.0]))]
    context.print_ratios("title", ("a", "b"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[2:]] == [
        ["eegmat", "1", "a", "0.500"],
        ["mdd", "1", "a", "2.000"],
        ["all", "2", "a", "1.000"],
    ]
    raw = make_raw(seconds=45)
    ratios = context.measure_chunks(raw, context.load_prior(), np.random.default_rng(0))
    assert ratios.shape == (len(context.SECONDS),) and (np.abs(np.log(ratios)) < 0.7).all()
