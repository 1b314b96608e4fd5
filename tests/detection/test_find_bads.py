# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Planted faults are found, clean data are left in peace, and what was found can be applied."""

import importlib.util
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram.covariance._bands import band_products
from mne_gram.covariance._conditional import interpolation_operators
from mne_gram.covariance._prior import load_prior
from mne_gram.detection._find_bads import _join
from mne_gram.detection._misfit import _compare, drop_channel, find_precision, predict_each
from mne_gram.detection._signal_checks import (
    choose_clipped,
    find_bridged,
    find_flat,
    find_plateaus,
    measure_line,
)
from mne_gram.detection._signals import Signals
from mne_gram.detection._window_scores import WindowScorer

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
SFREQ = 160.0


def make_raw(seconds=30.0, names=NAMES, seed=0, sfreq=SFREQ, first_samp=0):
    """Return signals that covary as a person's did, with 10 uV of deviation."""
    indices = [mne_gram.montage.INDEX[name.upper()] for name in names]
    cov = load_prior().library[0].sum(axis=0).astype(float)[np.ix_(indices, indices)]
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(names), round(seconds * sfreq)))
    freqs = np.fft.rfftfreq(noise.shape[1], 1 / sfreq)
    spectrum = np.fft.rfft(noise) / np.sqrt(np.maximum(freqs, 1.0))
    noise = np.fft.irfft(spectrum, noise.shape[1])
    factor = np.linalg.cholesky(cov + 1e-6 * np.trace(cov) * np.eye(len(cov)))
    data = factor @ (noise / noise.std())
    data *= 1e-5 / data.std()
    info = mne.create_info(list(names), sfreq, "eeg")
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")


def to_slice(start, stop):
    """Return the samples from one second to another."""
    return slice(round(start * SFREQ), round(stop * SFREQ))


def find(inst, **kwargs):
    """Run find_bads quietly."""
    return mne_gram.find_bads(inst, verbose="error", **kwargs)


def covers(report, name, start, stop):
    """Tell whether the middle of a stretch of a channel was found."""
    middle = (start + stop) / 2
    return any(s.channel == name and s.start <= middle <= s.stop for s in report.spans)


def load_benchmark():
    """Import the script of the benchmarks, which is no package."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "detection.py"
    if not path.is_file():
        pytest.skip("The benchmarks are not beside the tests.")
    spec = importlib.util.spec_from_file_location("benchmark_detection", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def clean():
    """Return clean data."""
    return make_raw()


@pytest.fixture(scope="module")
def broken(clean):
    """Return data with two bad channels and two bad stretches."""
    raw = clean.copy()
    rng = np.random.default_rng(1)
    raw._data[NAMES.index("C3")] = 2e-5 * rng.standard_normal(raw.n_times)
    raw._data[NAMES.index("O2")] = 3e-6
    inside = to_slice(10, 13)
    raw._data[NAMES.index("P4"), inside] += 3e-5 * rng.standard_normal(inside.stop - inside.start)
    raw._data[NAMES.index("F7"), to_slice(20.5, 21.5)] = 1e-6
    return raw


@pytest.fixture(scope="module")
def report(broken):
    """Return what is found in them."""
    return find(broken)


# ---------------------------------------------------------------------------------------------
# Finding


def test_sample():
    """What was done to the sample recording is found, and its really broken channel too."""
    raw, truth = mne_gram.datasets.sample(return_truth=True)
    for inst in (raw, truth):
        inst.info["bads"] = []
        inst.set_annotations(None)
    found = find(raw)
    assert {"CP2", "FT8"} <= set(found.channels) and len(found.channels) <= 4
    assert found.reasons["CP2"] == "line"
    mask = found.mask(raw)[raw.ch_names.index("F4")]
    start, stop = raw.time_as_index([9, 12])
    assert mask[start:stop].mean() > 0.9
    assert mask.sum() < 1.5 * (stop - start)
    untouched = find(truth)
    assert "FT8" in untouched.channels and "CP2" not in untouched.channels
    assert not covers(untouched, "F4", 9, 12)
    assert untouched.scores.seconds.sum() < 0.01 * 20 * 64


def test_simulated(report):
    """Noise, a dead channel, a burst and a short flat stretch are found, and no more."""
    assert report.reasons == {"C3": "misfit", "O2": "flat"}
    assert covers(report, "P4", 10, 13) and covers(report, "F7", 20.5, 21.5)
    assert {span.channel for span in report.spans} <= {"P4", "F7", "F3", "Fp1"}
    (flat,) = [span for span in report.spans if span.why == "flat"]
    assert_allclose([flat.start, flat.stop], [20.5, 21.5], atol=1 / SFREQ)
    (burst,) = [span for span in report.spans if span.channel == "P4"]
    assert_allclose([burst.start, burst.stop], [10, 13], atol=0.6)


@pytest.mark.parametrize("seed", [2, 3])
def test_clean(seed):
    """In clean data hardly anything is found."""
    raw = make_raw(seed=seed)
    found = find(raw)
    assert found.channels == [] and found.bridged == []
    assert found.mask(raw).mean() < 0.005


def test_swapped(clean):
    """Two channels whose plugs were swapped don't fit where they say they are."""
    raw = clean.copy()
    rows = [NAMES.index("F3"), NAMES.index("O2")]
    raw._data[rows] = raw._data[rows[::-1]]
    assert "F3" in find(raw).channels
    assert {"F3", "O2"} <= set(find(raw, channel_threshold=1.0).channels)


def test_blink(clean):
    """What several channels share is no fault of theirs."""
    raw = clean.copy()
    blink = 1.5e-4 * np.hanning(round(0.4 * SFREQ))
    for name, gain in dict(Fp1=1, Fp2=1, F3=0.4, F4=0.4, Fz=0.4, F7=0.4, F8=0.4).items():
        start = round(12 * SFREQ)
        raw._data[NAMES.index(name), start : start + len(blink)] += gain * blink
    assert not [span for span in find(raw).spans if span.channel in ("Fp1", "Fp2")]


def test_line(clean):
    """A channel full of line noise is named as such, whether or not the frequency is told."""
    raw = clean.copy()
    raw._data[4] += 4e-5 * np.sin(2 * np.pi * 50 * raw.times)
    assert find(raw).reasons == {"Fz": "line"}
    assert find(raw, line_freq=50).reasons == {"Fz": "line"}
    assert "Fz" not in find(raw, line_freq=60).channels
    with raw.info._unlock():
        raw.info["line_freq"] = 60.0
    assert "Fz" not in find(raw).channels


def test_clipped_and_huge(clean):
    """A channel at the end of its range, and one far larger than all others, are found."""
    raw = clean.copy()
    raw._data[0] = np.clip(raw._data[0], -4e-6, 4e-6)
    raw._data[9] *= 1e3
    assert find(raw).reasons["Cz"] == "amplitude"
    spans = [span for span in find(raw).spans if span.channel == "Fp1"]
    assert spans or "Fp1" in find(raw).channels


def test_missing_samples(clean):
    """NaN are found to the sample, spoil nothing else, and a channel full of them is bad."""
    raw = clean.copy()
    raw._data[3, to_slice(5, 5.5)] = np.nan
    raw._data[7] = np.inf
    found = find(raw)
    assert found.reasons == {"T7": "nan"}
    (span,) = [span for span in found.spans if span.why == "nan"]
    assert span.channel == "F3"
    assert_allclose([span.start, span.stop], [5, 5.5], atol=1e-9)
    assert found.mask(raw).mean() < 0.07


def test_reference_is_spared(clean):
    """The only flat channel is the reference, if the others say so."""
    raw = clean.copy()
    raw._data -= raw._data[NAMES.index("Cz")]
    assert find(raw).channels == []
    raw = clean.copy()
    raw._data[NAMES.index("O2")] = 0.0
    assert find(raw).reasons == {"O2": "flat"}


def test_often_bad(clean):
    """A channel that is bad most of the time is bad."""
    raw = clean.copy()
    for start in range(1, 29, 2):
        raw._data[5, to_slice(start, start + 1.4)] = 0.0
    assert find(raw).channels == ["F4"]


def test_known_marks(broken):
    """Marked channels judge no others and are judged; annotated time is not looked at."""
    raw = broken.copy()
    raw.info["bads"] = ["C3", "T8"]
    raw.set_annotations(mne.Annotations([9.5], [4.0], ["BAD_noise"], ch_names=[["P4"]]))
    found = find(raw)
    assert found.channels == ["C3", "O2"]
    assert not covers(found, "P4", 10, 13)
    assert covers(found, "F7", 20.5, 21.5)


def test_bridged(clean):
    """Electrodes joined by gel are a hint, not a fault."""
    raw = clean.copy()
    row = NAMES.index("P3")
    raw._data[row] = raw._data[NAMES.index("Pz")] * 0.999
    assert find(raw).bridged == [("P3", "Pz")]


def test_reference_and_scale_and_order(broken, report):
    """What is found depends neither on reference, nor on scale, nor on the order of channels."""
    other = broken.copy()
    other._data += 5e-5 * np.sin(2 * np.pi * 3 * other.times)
    other._data[NAMES.index("O2")] = 3e-6
    assert find(other).channels == report.channels
    for factor in (0.05, 20.0):
        scaled = broken.copy().apply_function(lambda x, f=factor: x * f)
        found = find(scaled)
        assert found.channels == report.channels
        assert [span[:4] for span in found.spans] == [span[:4] for span in report.spans]
    shuffled = broken.copy().reorder_channels(NAMES[::-1])
    found = find(shuffled)
    assert found.reasons == report.reasons
    assert_allclose(
        found.scores.misfit[NAMES].to_numpy(), report.scores.misfit.to_numpy(), atol=1e-6
    )


def test_untouched_and_deterministic(broken, report):
    """The data stay as they are, and the same comes out again; random state is left alone."""
    before, state = broken.copy(), np.random.get_state()[1].copy()
    again = find(broken)
    assert_array_equal(broken.get_data(), before.get_data())
    assert broken.info["bads"] == [] and len(broken.annotations) == 0
    assert again.spans == report.spans or str(again.spans) == str(report.spans)
    assert again.scores.equals(report.scores)
    assert_array_equal(np.random.get_state()[1], state)


def test_not_preloaded(tmp_path, broken, report, monkeypatch):
    """A file is read in blocks, and what is found is the same."""
    path = tmp_path / "broken_raw.fif"
    broken.save(path, fmt="double", verbose="error")
    raw = mne.io.read_raw_fif(path, verbose="error")
    found = find(raw)
    assert not raw.preload
    assert found.reasons == report.reasons
    monkeypatch.setattr("mne_gram.detection._signals._BLOCK_SECONDS", 7.0)
    monkeypatch.setattr("mne_gram.detection._find_bads._BLOCK", 5)
    blocks = find(raw)
    assert str(blocks.spans) == str(found.spans)


def test_unknown_channels(clean):
    """Channels without name and position are compared with themselves."""
    raw = clean.copy().rename_channels({"C3": "X1", "C4": "X2"})
    raw._data[8, to_slice(10, 12)] += 1e-4 * np.random.default_rng(0).standard_normal(320)
    found = find(raw)
    assert found.channels == []
    assert np.isnan(found.scores.misfit["X1"])
    assert covers(found, "X1", 10, 12)


def test_pause(clean):
    """Where nothing was recorded, nothing is found."""
    raw = clean.copy()
    raw._data[:, to_slice(10, 14)] = 0.0
    assert len(find(raw).spans) >= len(NAMES)
    raw.set_annotations(mne.Annotations([10.0], [4.0], ["BAD_ACQ_SKIP"]))
    assert find(raw).mask(raw).mean() < 0.005


def test_damage_of_the_benchmark(clean):
    """The benchmark damages what it says, the same in every run, and counts right."""
    bench = load_benchmark()
    stranger = make_raw(seed=9).get_data()[3]
    runs = [bench.damage(clean, stranger, np.random.default_rng(4)) for _ in range(2)]
    assert_array_equal(runs[0][0].get_data(), runs[1][0].get_data())
    damaged, kinds, spans = runs[0]
    touched = np.zeros(clean.get_data().shape, bool)
    touched[[NAMES.index(name) for name in kinds]] = True
    for name, start, stop, kind in spans:
        assert name not in kinds and kind in bench.SPAN_KINDS and stop > start
        touched[NAMES.index(name), start : max(stop, start + round(4.1 * SFREQ))] = True
    assert_array_equal(damaged.get_data()[~touched], clean.get_data()[~touched])
    assert len(kinds) == 2 and len(spans) > 6
    mask = np.zeros(touched.shape, bool)
    name, start, stop, _ = spans[0]
    mask[NAMES.index(name), start:stop] = True
    counts, shares = bench.measure(damaged, kinds, spans, [*kinds, "nobody"], mask)
    assert counts["channel"] == dict(hit=2, missed=0, false=1, all=19)
    assert_allclose(counts["second"]["hit"], (stop - start) / SFREQ)
    assert counts["second"]["false"] == 0
    assert [share for _, share in shares][:3] == [1.0, 1.0, 1.0]


# ---------------------------------------------------------------------------------------------
# Applying


@pytest.mark.parametrize("date", [None, (1000, 0)])
def test_mark(date, broken, report):
    """Marks name channels and stretches, on a copy or in place, wherever the recording starts."""
    raw = make_raw(first_samp=1234)
    raw._data[:] = broken.get_data()
    raw.set_meas_date(date)
    raw.info["bads"] = ["T8"]
    zero = raw.first_time if date else 0.0
    raw.set_annotations(
        mne.Annotations([zero + 2.0], [1.0], ["task"], orig_time=raw.info["meas_date"])
    )
    marked = report.mark(raw)
    assert raw.info["bads"] == ["T8"] and len(raw.annotations) == 1
    assert marked.info["bads"] == ["T8", "C3", "O2"]
    kept = marked.annotations.description == "task"
    assert_allclose(marked.annotations.onset[kept] - marked.first_time, 2.0, atol=1e-6)
    found = marked.annotations[~kept]
    assert len(found) == len(report.spans)
    assert all(text.startswith("BAD_gram_") for text in found.description)
    expected = {(s.channel, round(s.start, 3), round(s.stop - s.start, 3)) for s in report.spans}
    assert expected == {
        (names[0], round(onset - marked.first_time, 3), round(duration, 3))
        for names, onset, duration in zip(found.ch_names, found.onset, found.duration, strict=True)
    }
    assert report.mark(raw, copy=False) is raw and raw.info["bads"] == marked.info["bads"]


def test_mask_is_what_marks_say(broken, report):
    """The mask has the shape that restore takes, and says the same as the marks."""
    from mne_gram._recording._masks import collect_mask

    mask = report.mask(broken)
    assert mask.shape == broken.get_data().shape and mask.dtype == bool
    assert mask[NAMES.index("C3")].all() and not mask[NAMES.index("Cz")].any()
    marked = report.mark(broken)
    assert_array_equal(np.asarray(collect_mask(marked, np.arange(len(NAMES)))), mask)
    restored = mne_gram.restore(broken, mask=mask, verbose="error")
    assert_array_equal(restored.get_data()[~mask], broken.get_data()[~mask])
    changed = (restored.get_data() != broken.get_data())[mask]
    assert changed.mean() > 0.99


def test_mask_of_versions(broken, report):
    """A resampled version with other channels has the same stretches; others are refused."""
    slower = broken.copy().resample(100, verbose="error").reorder_channels(NAMES[::-1])
    mask = report.mask(slower)
    assert mask.shape == (len(NAMES), slower.n_times)
    assert_allclose(mask[::-1].mean(axis=1), report.mask(broken).mean(axis=1), atol=0.01)
    with pytest.raises(ValueError, match="lack C3"):
        report.mask(broken.copy().drop_channels(["C3"]))
    with pytest.raises(ValueError, match="Found 0 to .* expected"):
        report.mask(broken.copy().crop(0, 20))
    epochs = mne.make_fixed_length_epochs(broken, 1.0, preload=True, verbose="error")
    with pytest.raises(TypeError, match="inst must be an instance of Raw"):
        report.mask(epochs)


def test_epochs(broken):
    """Epochs are bad as a whole, channel by channel."""
    epochs = mne.make_fixed_length_epochs(broken, 1.0, preload=True, verbose="error")
    found = find(epochs)
    assert found.reasons == {"C3": "misfit", "O2": "flat"}
    mask = found.mask(epochs)
    assert mask.shape == (len(epochs), len(NAMES)) and mask.dtype == bool
    assert mask[:, NAMES.index("C3")].all()
    assert mask[10:13, NAMES.index("P4")].all()
    assert mask[[20, 21], NAMES.index("F7")].all()
    assert mask.mean() < 0.2
    assert {span.epoch for span in found.spans if span.channel == "P4"} >= {10, 11, 12}
    with pytest.warns(RuntimeWarning, match="cannot be marked in Epochs"):
        marked = found.mark(epochs)
    assert marked.info["bads"] == ["C3", "O2"] and epochs.info["bads"] == []
    with pytest.raises(ValueError, match="Found Epochs, expected Raw"):
        found.to_annotations(epochs)
    with pytest.raises(ValueError, match="Found 5 epochs of"):
        found.mask(epochs[:5])


def test_tables(report):
    """Tables hold what was found and what was measured; the summary names it."""
    df = report.to_data_frame()
    assert len(df) == len(report.channels) + len(report.spans)
    assert df.whole.sum() == 2 and set(df.channel[df.whole]) == {"C3", "O2"}
    scores = report.scores
    assert list(scores.index) == NAMES
    assert scores.misfit["C3"] > 1.5 > scores.misfit["Cz"]
    assert scores.correlation["C3"] < 0.3 < scores.correlation["Cz"]
    assert scores.bad.sum() == 2 and scores.why["O2"] == "flat"
    assert_allclose(
        scores.seconds["P4"], sum(s.stop - s.start for s in report.spans if s.channel == "P4")
    )
    assert "C3 (misfit)" in str(report) and "2 bad channels" in repr(report)


# ---------------------------------------------------------------------------------------------
# Refusing


def test_refused(clean):
    """What cannot be judged is refused with what to do."""
    with pytest.raises(TypeError, match="inst must be an instance of Raw or Epochs"):
        find(clean.get_data())
    with pytest.raises(ValueError, match="Found no EEG channel"):
        find(clean.copy().set_channel_types({name: "misc" for name in NAMES}, verbose="error"))
    with pytest.raises(ValueError, match="Found 3 EEG channels, expected 4"):
        find(clean, picks=["Fz", "Cz", "Pz"])
    with pytest.raises(ValueError, match="expected 2 s or more"):
        find(clean.copy().crop(0, 1.0))
    with pytest.raises(ValueError, match="not in volts"):
        find(clean.copy().apply_function(lambda x: x * 1e6))
    with pytest.raises(ValueError, match="must be positive"):
        find(clean, span_threshold=0)
    dead = clean.copy()
    dead._data[12:] = 0.0
    dead.info["bads"] = NAMES[:9]
    with pytest.raises(ValueError, match="expected 4 or more to judge by"):
        find(dead)


# ---------------------------------------------------------------------------------------------
# Parts


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(5, 9), st.booleans())
def test_errors_in_closed_form(seed, n_channels, bipolar):
    """The errors read off the precision are those of predicting each channel from the others."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((5, n_channels, 2 * n_channels))
    cov = factor @ factor.swapaxes(1, 2)
    units = np.ones(n_channels)
    units[0] = 0.0 if bipolar else 1.0
    used = np.ones(n_channels, bool)
    spectra = band_products(rng.standard_normal((3, n_channels, 200)), 200.0)
    precision = find_precision(cov, units, ridge=0)
    assert_allclose(precision @ units, 0, atol=1e-9 * np.abs(precision).max())
    missing = int(rng.integers(n_channels))
    for dropped in (None, missing):
        if dropped is not None:
            precision, used[dropped] = drop_channel(precision, dropped), False
        for channel in np.flatnonzero(used):
            good = np.setdiff1d(np.flatnonzero(used), channel)
            weights, error = interpolation_operators(cov, units, good, [channel], ridge=0)
            for band, values in enumerate(spectra):
                missed = values[:, [channel]] - weights[band] @ values[:, good]
                own = precision[band, channel, channel]
                assert_allclose((precision[band] @ values)[:, [channel]] / own, missed, atol=1e-7)
                assert_allclose(1 / own, error[band, 0, 0], rtol=1e-6)
    misfit = predict_each(spectra, precision, units, used)
    assert np.isnan(misfit[..., missing]).all() and np.isfinite(misfit[..., used]).all()


def test_error_of_gain_is_forgiven():
    """A prediction of the right shape and a fifth too small is expected, one of another is not."""
    rng = np.random.default_rng(0)
    predicted, other = rng.standard_normal((2, 4, 3, 20)) + 1j * rng.standard_normal((2, 4, 3, 20))
    expected = [np.full(3, 1e-3)]
    misfit, correlation = _compare([(1.2 * predicted, predicted)], expected)
    assert (misfit < -0.5).all()
    assert_allclose(correlation, 1.0)
    misfit, correlation = _compare([(other, predicted)], expected)
    assert (misfit > 2).all() and (np.abs(correlation) < 0.7).all()


@pytest.fixture(scope="module")
def scorer_parts():
    """Return windows of mixtures of three signals, what is usable in them, and their scorer."""
    rng = np.random.default_rng(5)
    mixing = rng.standard_normal((8, 3))
    data = mixing @ rng.standard_normal((3, 60 * 200)) + 0.3 * rng.standard_normal((8, 60 * 200))
    windows = data.reshape(8, 60, 200).transpose(1, 0, 2)
    spectra = band_products(windows, 200.0)
    cov = np.array([sum((v @ v.conj().swapaxes(1, 2)).real) / 60 for v in spectra])
    usable = np.ones((60, 8), bool)
    used = np.ones(8, bool)
    return windows, usable, WindowScorer(cov, np.ones(8), used, spectra, usable)


def test_one_fault_is_one_channels(scorer_parts):
    """A fault that spoils the prediction of all others is pinned on the channel that has it."""
    windows, usable, scorer = scorer_parts
    windows = windows[:4].copy()
    windows[2, 5] += 100 * np.random.default_rng(0).standard_normal(200)
    scores = scorer(band_products(windows, 200.0), usable[:4], 6.0)
    assert np.argwhere(scores > 6).tolist() == [[2, 5]]
    usable = usable[:4].copy()
    usable[2, 5] = False
    scores = scorer(band_products(windows, 200.0), usable, 6.0)
    assert (scores < 6).all() and scores[2, 5] == -np.inf


def test_common_fault_is_no_channels(scorer_parts):
    """Where the model misses all channels alike, none is to blame."""
    windows, usable, scorer = scorer_parts
    windows = windows[:4].copy()
    windows[1] += 8 * np.random.default_rng(0).standard_normal((8, 200))
    scores = scorer(band_products(windows, 200.0), usable[:4], 6.0)
    assert (scores < 6).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(10, 60), st.sampled_from([100.0, 160.0, 250.0]))
def test_flat_to_the_sample(seed, length, sfreq):
    """A flat stretch is marked to the sample if it is long enough, and nothing else is."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((2, 400))
    start = int(rng.integers(0, 400 - length))
    data[1, start : start + length] = 0.3
    expected = np.zeros(data.shape, bool)
    if length >= max(3, round(0.2 * sfreq)):
        expected[1, start : start + length] = True
    assert_array_equal(find_flat(data, sfreq, 1.0), expected)


def test_clipping():
    """Many short plateaus at the end of the range are clipping, crests are not."""
    times = np.arange(2000) / 250
    wave = np.sin(2 * np.pi * 3 * times)
    cut = np.clip(wave, -2, 0.8)
    found = choose_clipped(find_plateaus(cut, 250.0, 0.7), cut.min(), cut.max(), 250.0)
    assert len(found) >= 20 and all((cut[a:b] == 0.8).all() for a, b in found)
    coarse = np.round(wave / 0.01) * 0.01
    assert not choose_clipped(find_plateaus(coarse, 250.0, 0.7), coarse.min(), coarse.max(), 250.0)


def test_line_amplitude():
    """The line's size is its root mean square, wherever it lies and above the Nyquist none."""
    times = np.arange(160) / 160
    waves = np.array([[np.sin(2 * np.pi * 50 * times), np.cos(2 * np.pi * 60.0 * times) * 2]])
    assert_allclose(measure_line(waves, 160.0, [50.0])[0, 0], np.sqrt(0.5), rtol=0.01)
    assert_allclose(measure_line(waves, 160.0, [50.0, 60.0])[0, 1], np.sqrt(2), rtol=0.01)
    assert_array_equal(measure_line(waves, 160.0, [90.0]), np.zeros((1, 2)))


def test_bridged_pairs():
    """Pairs are found by their difference, relative to that of neighbours."""
    cov = np.eye(4) + 0.5
    cov[0, 1] = cov[1, 0] = 1.4999
    used = np.ones(4, bool)
    assert find_bridged(cov, used, list("abcd")) == [("a", "b")]
    used[0] = False
    assert find_bridged(cov, used, list("abcd")) == []


def test_windows_cover_time():
    """Windows speak for all time once, piece by piece."""
    raw = make_raw(seconds=10.3)
    raw.set_annotations(mne.Annotations([4.2], [0.0], ["EDGE boundary"]))
    signals = Signals(raw, np.arange(5))
    assert_array_equal(signals.cover[1:, 0], signals.cover[:-1, 1])
    assert signals.cover[0, 0] == 0 and signals.cover[-1, 1] == raw.n_times
    cut = round(4.2 * SFREQ)
    assert cut in signals.cover[:, 0]
    inside = (signals.starts < cut) & (signals.starts + signals.length > cut)
    assert not inside.any()
    runs = [(2, 400, 401, "flat", np.nan)]
    usable = signals.find_usable(runs)
    hit = (signals.starts <= 400) & (signals.starts + signals.length > 400)
    assert_array_equal(usable[:, 2], ~hit)
    assert usable[:, [0, 1, 3, 4]].all()


def test_join():
    """Runs that nearly touch become one, named after what is longest."""
    runs = [(0, 10, "flat", np.nan), (12, 50, "misfit", 7.0), (80, 90, "nan", np.nan)]
    joined = _join(runs, gap=5)
    assert [run[:3] for run in joined] == [(0, 50, "misfit"), (80, 90, "nan")]
    assert joined[0][3] == 7.0
