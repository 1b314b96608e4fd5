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

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
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


@pytest.mark.parametrize("regime", bench.REGIMES)
@pytest.mark.parametrize("n_channels", [19, 64])
def test_masks(regime, n_channels):
    raw = make_raw(n_channels=n_channels)
    mask = draw(regime, raw)
    assert mask.shape == (n_channels, raw.n_times) and mask.dtype == bool
    assert mask.any() and not mask.all(axis=0).any()  # something is always left to go by
    assert_array_equal(mask, draw(regime, raw))
    assert (mask != draw(regime, raw, seed=1)).any()
    if regime in bench.WHOLE:
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
    row = bench.measure(truth, estimate, np.ones(truth.shape), mask, 100.0)
    assert row["coverage"] == pytest.approx(0.9, abs=0.02)
    assert row["nmse"] == pytest.approx(1 / (4 / 3), rel=0.1)
    powers = [row[f"power_{low:g}_{high:g}"] for low, high in bench.BANDS]
    assert_allclose(powers, (4 / 3 + 1) / (4 / 3), rtol=0.25)
    assert "coverage" not in bench.measure(truth, estimate, None, mask, 100.0)
    unknown = np.full(truth.shape, np.nan)
    assert "coverage" not in bench.measure(truth, estimate, unknown, mask, 100.0)


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
        *rows_of("a", "one", "spatial", [0.5, 0.1, 0.8], coverage=0.9),
        *rows_of("b", "segments", "spline", [0.4]),
        *rows_of("b", "segments", "spatial", [0.1]),
        *rows_of("b", "segments", "ridge", [0.2]),
    ]
    cells = bench.summarize(rows, ["spline", "ridge", "spatial"])
    found = {(c["dataset"], c["regime"], c["method"]): c for c in cells}
    assert len(found) == len(cells) == 5
    cell = found["a", "one", "spatial"]
    assert cell["n"] == 3
    assert cell["nmse"] == pytest.approx(0.5)
    assert cell["ratio"] == pytest.approx(0.5)  # the median of 0.5, 0.2 and 1
    assert cell["low"] == pytest.approx(0.2) and cell["high"] == pytest.approx(1.0)
    assert cell["above_one"] == pytest.approx(1 / 6)  # 0.8 * 1.5 of six draws
    assert cell["coverage"] == pytest.approx(0.9)
    assert found["a", "one", "spline"]["ratio"] == 1
    assert np.isnan(found["a", "one", "spline"]["coverage"])
    assert found["b", "segments", "ridge"]["ratio"] == pytest.approx(0.5)


def test_printed_summary(capsys):
    rows = [
        *rows_of("a", "one", "spline", [1.0]),
        *rows_of("a", "one", "spatial", [0.4]),
        *rows_of("b", "segments", "spline", [0.5]),
        *rows_of("b", "segments", "spatial", [0.05]),
    ]
    methods = ["spline", "spatial", "auto"]
    bench.print_summary(bench.summarize(rows, methods), methods)
    lines = capsys.readouterr().out.splitlines()
    (headline,) = [line for line in lines if line.startswith("  spatial")]
    assert "0.200 over 2 cells (largest 0.400)" in headline  # the root of 0.4 * 0.1
    assert "whole channels 0.400" in headline and "segments and patches 0.100" in headline


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
    assert "spline" in args.methods and args.regimes == list(bench.REGIMES)


def test_missing_recordings_are_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        bench.parse_args(["--shared", str(tmp_path)])
    assert "MNE_GRAM_SHARED" in capsys.readouterr().err


def test_truth(shared):
    paths = bench.list_recordings(shared / "eeg" / "eegmat")
    with mne.utils.use_log_level("error"):
        raw = bench.load_truth(paths[0], "eegmat")
    assert raw.info["bads"] == [] and not len(raw.annotations)
    assert set(raw.ch_names) <= set(bench.mne_gram.montage.ELECTRODES)
    assert raw.times[-1] <= 60
    assert np.isfinite([ch["loc"][:3] for ch in raw.info["chs"]]).all()
    assert set(raw.get_channel_types()) == {"eeg"}


def test_tiny_run(shared, tmp_path, capsys, monkeypatch):
    held_out = []

    def few(subjects):
        train, test = split(subjects)
        held_out.extend(test)
        return train, test[:2]

    split = bench.split_subjects
    monkeypatch.setattr(bench, "split_subjects", few)
    monkeypatch.setattr(bench, "SECONDS", 10.0)
    level = mne.set_log_level(return_old_level=True)
    table = tmp_path / "rows.csv"
    arguments = "--datasets eegmat --regimes one,segments --methods spline,ridge,spatial --quick"
    try:
        bench.main(["--shared", str(shared), "--csv", str(table), *arguments.split()])
    finally:
        mne.set_log_level(level)
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["regime"], row["method"]) for row in rows}
    assert found == {
        ("one", "spline"),
        ("one", "spatial"),  # no ridge: it has nothing to learn from
        ("segments", "spline"),
        ("segments", "ridge"),
        ("segments", "spatial"),
    }
    assert {row["subject"] for row in rows} == set(held_out[:2])
    assert all(0 < float(row["nmse"]) < 20 for row in rows)
    printed = capsys.readouterr().out
    assert "Geometric mean" in printed and "spatial" in printed


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
