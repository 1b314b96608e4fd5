# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The rules of restoration, on real recordings and with drawn masks and garbage."""

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram import restore
from mne_gram._recording._masks import collect_mask
from mne_gram.metrics import nmse
from mne_gram.models import Gram, Tokenizer
from mne_gram.models._config import gram_nano, tokenizer_nano

few = settings(
    deadline=None,
    max_examples=5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def sample():
    """Return the sample with its garbage and without."""
    return mne_gram.datasets.sample(return_truth=True, verbose="error")


@pytest.fixture(scope="module")
def truth(sample):
    """Return the sample without the electrode that was broken in reality, all good."""
    raw = sample[1].copy().drop_channels(["FT8"])
    raw.set_annotations(None)
    return raw


@pytest.fixture(scope="module")
def clinical(truth):
    """Return ten seconds of 19 of its electrodes, for rules that hold for any number."""
    names = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
    return truth.copy().pick(names).crop(0, 10, include_tmax=False)


@pytest.fixture(scope="module")
def network():
    """Return a small network with random weights."""
    from mne_gram.models._files import GramModel

    tokenizer, gram = Tokenizer(tokenizer_nano(), seed=0), Gram(gram_nano(), seed=0)
    return GramModel(tokenizer=tokenizer.eval(), gram=gram.eval())


def spans_mask(truth, rng, n_spans=6, shortest=1, longest=400):
    """Draw bad stretches of single channels."""
    mask = np.zeros((len(truth.ch_names), truth.n_times), bool)
    for _ in range(n_spans):
        length = rng.integers(shortest, longest)
        start = rng.integers(0, truth.n_times - length)
        mask[rng.integers(len(mask)), start : start + length] = True
    return mask


def fill(truth, mask, garbage):
    """Return the recording with garbage where it is bad."""
    raw = truth.copy()
    raw._data[mask] = garbage
    return raw


def usual_steps(row, bad, start, stop, sfreq):
    """Return the 99th percentile of the absolute good steps in the 2 s around a stretch."""
    left, right = max(0, start - round(2 * sfreq)), min(len(row), stop + round(2 * sfreq))
    good = ~bad[left:right]
    steps = np.abs(np.diff(row[left:right]))[good[1:] & good[:-1]]
    return np.quantile(steps, 0.99) if len(steps) else None


# ---------------------------------------------------------------------------------------------
# The main job


def test_sample_is_restored(sample):
    raw, truth = sample
    restored, report = restore(raw, return_report=True, verbose="error")
    known = np.array([name != "FT8" for name in raw.ch_names])  # broken in reality
    mask = collect_mask(raw, np.arange(64))[known]
    error = nmse(truth.get_data()[known], restored.get_data()[known], mask)
    spline = restore(raw, method="spline", verbose="error").get_data()[known]
    assert error < 0.3
    assert error < 0.9 * nmse(truth.get_data()[known], spline, mask)
    assert restored.info["bads"] == [] and raw.info["bads"] == ["CP2", "FT8"]
    assert set(report.to_data_frame()["channel"]) == {"F4", "CP2", "FT8"}


@pytest.mark.parametrize("method", ["auto", "spatial", "spline", "gram"])
def test_good_samples_stay_and_bad_ones_do_not_matter(clinical, network, method):
    rng = np.random.default_rng(0)
    mask = spans_mask(clinical, rng)
    mask[[5, 12]] = True
    signal = clinical.get_data()
    found = []
    for garbage in (np.nan, 5.0, np.inf, rng.standard_normal(mask.sum()) * 1e-2):
        raw = fill(clinical, mask, garbage)
        restored = restore(raw, mask=mask, method=method, model=network, verbose="error")
        assert_array_equal(restored.get_data()[~mask], signal[~mask])
        found.append(restored.get_data())
    scale = np.abs(signal[~mask]).mean()
    assert np.isfinite(found[0]).all()
    for other in found[1:]:
        assert_allclose(other, found[0], rtol=0, atol=1e-6 * scale)
    assert np.abs(found[0] - signal)[mask].max() > 0.1 * scale  # not the truth: that was hidden


@few
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-9, 1e3), whole=st.booleans())
def test_invariance_to_garbage(clinical, seed, scale, whole):
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng)
    if whole:
        mask[rng.choice(len(mask), 3, replace=False)] = True
    raw = fill(clinical, mask, scale * rng.standard_normal(mask.sum()))
    restored = restore(raw, mask=mask, verbose="error").get_data()
    expected = restore(fill(clinical, mask, np.nan), mask=mask, verbose="error").get_data()
    assert_array_equal(restored[~mask], clinical.get_data()[~mask])
    assert_allclose(restored, expected, rtol=0, atol=1e-6 * np.abs(clinical.get_data()).mean())


@few
@given(seed=st.integers(0, 10_000))
def test_steps_at_seams_are_usual(clinical, seed):
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng, n_spans=10, longest=800)
    raw = fill(clinical, mask, 1.0)
    # An amplifier's offset makes the estimate meet the good samples badly.
    raw._data += rng.uniform(-1e-3, 1e-3, (len(mask), 1))
    restored = restore(raw, mask=mask, verbose="error").get_data()
    checked = 0
    for row, bad in zip(restored, mask, strict=True):
        edges = np.flatnonzero(np.diff(np.r_[0, bad, 0].astype(int)))
        for start, stop in edges.reshape(-1, 2):
            limit = usual_steps(row, bad, start, stop, 160)
            if limit is None:
                continue
            gap = (
                stop - start == 1 and abs(row[start - 1] - row[min(stop, len(row) - 1)]) > 2 * limit
            )
            if gap:  # one sample cannot be near two that are far apart
                continue
            if start > 0:
                assert abs(row[start] - row[start - 1]) <= limit * (1 + 1e-9)
                checked += 1
            if stop < len(row):
                assert abs(row[stop] - row[stop - 1]) <= limit * (1 + 1e-9)
                checked += 1
    assert checked > 0


@few
@given(seed=st.integers(0, 10_000), size=st.floats(1e-6, 1e-3))
def test_reference_goes_straight_through(clinical, seed, size):
    """What all channels share, garbage in an average reference included, changes nothing else.

    But for the bound on steps, which a channel's own steps set, reference and all.
    """
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng)
    mask[rng.choice(len(mask), 4, replace=False)] = True
    shared = size * rng.standard_normal(clinical.n_times)
    raw = clinical.copy()
    raw._data -= shared
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mne_gram.restoration._gaussian.limit_steps", lambda *args: None)
        first = restore(fill(clinical, mask, np.nan), mask=mask, verbose="error").get_data()
        second = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    assert_allclose(second + shared, first, rtol=0, atol=1e-6 * max(size, 1e-5))


def test_order_of_channels_does_not_matter(clinical):
    mask = spans_mask(clinical, np.random.default_rng(1))
    mask[[3, 15]] = True
    order = np.random.default_rng(2).permutation(len(mask))
    raw = fill(clinical, mask, np.nan)
    first = restore(raw, mask=mask, verbose="error").get_data()
    shuffled = raw.copy().reorder_channels([raw.ch_names[k] for k in order])
    second = restore(shuffled, mask=mask[order], verbose="error").get_data()
    assert_allclose(second, first[order], rtol=0, atol=1e-10)


# ---------------------------------------------------------------------------------------------
# What the data carry


def test_metadata_survive(sample):
    raw = sample[0].copy()
    raw.set_meas_date(1_000_000_000)
    stim = mne.create_info(["STI", "HEOG"], raw.info["sfreq"], ["stim", "eog"])
    with raw.info._unlock():
        stim["line_freq"] = raw.info["line_freq"]
    extra = mne.io.RawArray(np.arange(2.0 * raw.n_times).reshape(2, -1), stim, verbose="error")
    extra.set_meas_date(1_000_000_000)
    raw.add_channels([extra], force_update_info=True)
    raw = raw.crop(2, 18)
    before = raw.copy()
    restored = restore(raw, verbose="error")
    assert_array_equal(raw.get_data(), before.get_data())  # the input is never touched
    assert raw.annotations == before.annotations
    assert restored.first_samp == before.first_samp and restored.ch_names == before.ch_names
    assert restored.info["meas_date"] == before.info["meas_date"]
    assert_array_equal(restored.get_data(["STI", "HEOG"]), before.get_data(["STI", "HEOG"]))
    kept = [a for a in restored.annotations if not a["description"].startswith("RESTORED")]
    old = [a for a in before.annotations if not a["description"].startswith("BAD")]
    assert [(a["onset"], a["duration"], a["description"]) for a in kept] == [
        (a["onset"], a["duration"], a["description"]) for a in old
    ]
    new = [a for a in restored.annotations if a["description"] == "RESTORED"]
    spans = {a["ch_names"]: (a["onset"], a["duration"]) for a in new}
    bad = next(a for a in before.annotations if a["description"].startswith("BAD"))
    assert_allclose(spans[("F4",)], (bad["onset"], bad["duration"]), atol=1 / 160)
    assert set(spans) == {("F4",), ("CP2", "FT8")}
    assert_allclose(spans[("CP2", "FT8")], (2.0, 16.0), atol=2 / 160)


def test_flags_leave_marks_as_they_are(sample):
    raw = sample[0]
    restored = restore(raw, reset_bads=False, annotate=False, method="spatial", verbose="error")
    assert restored.info["bads"] == raw.info["bads"]
    assert restored.annotations == raw.annotations
    same = raw.copy()
    assert restore(same, copy=False, method="spatial", verbose="error") is same
    assert_array_equal(same.get_data(), restored.get_data())


def test_partly_restored_annotation_keeps_the_rest(sample):
    raw = sample[0].copy()
    raw.set_channel_types({"C5": "eog"}, verbose="error")
    raw.set_annotations(mne.Annotations(3, 1, "bad_both", ch_names=[("F4", "C5")]))
    restored = restore(raw, method="spatial", verbose="error")
    left = [a for a in restored.annotations if a["description"] == "bad_both"]
    assert [a["ch_names"] for a in left] == [("C5",)]


def test_epochs_with_bads_annotations_and_mask(sample):
    raw, truth = sample
    events = mne.make_fixed_length_events(raw, duration=1.0)
    make = dict(tmin=0, tmax=1 - 1 / 160, baseline=None, preload=True, verbose="error")
    epochs = mne.Epochs(raw, events, reject_by_annotation=False, **make)
    reference = mne.Epochs(truth, events, reject_by_annotation=False, **make)
    bad = collect_mask(epochs, np.arange(64)).reshape(64, len(epochs), -1).transpose(1, 0, 2)
    expected = collect_mask(raw, np.arange(64)).reshape(64, len(epochs), -1).transpose(1, 0, 2)
    assert_array_equal(bad, expected)
    labels = np.zeros((len(epochs), 64), bool)
    labels[4, 10] = labels[7, 11] = True
    restored, report = restore(epochs, mask=labels, return_report=True, verbose="error")
    bad |= labels[..., None]
    data = restored.get_data(copy=False)
    assert_array_equal(data[~bad], epochs.get_data(copy=False)[~bad])
    assert_array_equal(restored.events, epochs.events)
    known = [k for k, name in enumerate(raw.ch_names) if name != "FT8"]  # broken in reality
    flat = [d.transpose(1, 0, 2).reshape(64, -1)[known] for d in (reference.get_data(), data, bad)]
    assert nmse(*flat) < 0.4
    assert report.std.shape == data.shape and (report.std > 0)[bad].all()
    assert (report.std[~bad] == 0).all()
    # The same by a mask that says it sample by sample, and nothing else.
    plain = epochs.copy()
    plain.info["bads"] = []
    plain.set_annotations(None)
    again = restore(plain, mask=bad, verbose="error").get_data(copy=False)
    assert_allclose(again, data, rtol=0, atol=1e-12)


def test_evoked(truth):
    raw = truth.copy()
    events = mne.make_fixed_length_events(raw, duration=1.0)
    evoked = mne.Epochs(raw, events, tmin=0, tmax=0.9, baseline=None, verbose="error").average()
    broken = evoked.copy()
    broken.data[7] = 1.0
    broken.info["bads"] = [broken.ch_names[7]]
    restored, report = restore(broken, return_report=True, verbose="error")
    mask = np.zeros(evoked.data.shape, bool)
    mask[7] = True
    assert_array_equal(restored.data[~mask], evoked.data[~mask])
    assert nmse(evoked.data, restored.data, mask) < 0.4
    assert restored.info["bads"] == [] and report.std.shape == evoked.data.shape


@pytest.mark.parametrize("sfreq", [100.0, 250.0, 512.0, 2000.0])
def test_sampling_rates(truth, sfreq):
    raw = truth.copy().pick(truth.ch_names[::2]).crop(0, 6).resample(sfreq, verbose="error")
    reference = raw.copy()
    mask = np.zeros(raw.get_data().shape, bool)
    mask[12] = True
    mask[25, round(3 * sfreq) : round(4.5 * sfreq)] = True
    restored = restore(fill(raw, mask, 1.0), mask=mask, verbose="error")
    assert restored.info["sfreq"] == sfreq
    assert nmse(reference.get_data(), restored.get_data(), mask) < 0.35


def test_from_disk(clinical, tmp_path):
    """A Raw or Epochs that are not preloaded are read, and the file is left alone."""
    raw = clinical.copy()
    raw.info["bads"] = ["Cz"]
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    content = (tmp_path / "a_raw.fif").read_bytes()
    lazy = mne.io.read_raw_fif(tmp_path / "a_raw.fif", verbose="error")
    restored = restore(lazy, verbose="error")
    assert not lazy.preload and lazy.info["bads"] == ["Cz"]
    # The file keeps positions in single precision, which the spline looks at.
    expected = restore(raw, verbose="error").get_data()
    assert_allclose(restored.get_data(), expected, atol=1e-6 * expected.std())
    assert (tmp_path / "a_raw.fif").read_bytes() == content
    events = mne.make_fixed_length_events(lazy, duration=2.0)
    lazy = mne.Epochs(lazy, events, tmin=0, tmax=1.9, baseline=None, verbose="error")
    assert restore(lazy, verbose="error").info["bads"] == [] and lazy.info["bads"] == ["Cz"]


def test_projectors(clinical):
    """Active ones are in the data already, those that wait are left waiting."""
    raw = clinical.copy()
    raw.info["bads"] = ["Cz"]
    raw.set_eeg_reference("average", projection=True, verbose="error")
    waiting = restore(raw, verbose="error")
    good = [name for name in raw.ch_names if name != "Cz"]
    assert not waiting.info["projs"][0]["active"]
    assert_array_equal(waiting.get_data(good), raw.get_data(good))
    applied = raw.copy().apply_proj(verbose="error")
    restored = restore(applied, verbose="error")
    assert restored.info["projs"][0]["active"]
    assert_array_equal(restored.get_data(good), applied.get_data(good))
    # The good channels have lost their mean; the repaired one stands in that frame.
    shift = (raw.get_data(good) - applied.get_data(good))[0]
    expected = waiting.get_data("Cz")[0] - shift
    assert_allclose(restored.get_data("Cz")[0], expected, rtol=0, atol=1e-9)


def test_line_is_named_in_the_log(clinical, network):
    raw = clinical.copy()
    raw.info["bads"] = ["Cz"]
    with raw.info._unlock():
        raw.info["line_freq"] = None
    raw._data += 2e-5 * np.sin(2 * np.pi * 60 * raw.times)
    for line_freq, named in ((None, True), (60.0, False)):
        with mne.utils.catch_logging() as log:
            restore(raw, method="gram", model=network, line_freq=line_freq, verbose="info")
        assert ("Found the power line at 60 Hz" in log.getvalue()) == named


@pytest.mark.parametrize("n_channels", [4, 8])
def test_few_channels(truth, n_channels):
    names = ["Fz", "C3", "C4", "Oz", "F3", "F4", "P3", "P4"][:n_channels]
    raw = truth.copy().pick(names)
    errors = []
    for row in range(n_channels):
        mask = np.zeros((n_channels, raw.n_times), bool)
        mask[row] = True
        broken = fill(raw, mask, np.nan)
        if n_channels == 4:
            with pytest.warns(RuntimeWarning, match="Only 3 channels are good"):
                restored = restore(broken, mask=mask)
        else:
            restored = restore(broken, mask=mask)
        errors.append(nmse(raw.get_data(), restored.get_data(), mask))
    assert errors[1] < 1
    # Three far electrodes tell nothing of a fourth: then the estimate must not do harm.
    assert np.exp(np.mean(np.log(errors))) < (1.1 if n_channels == 4 else 0.85)


def test_high_density_net():
    montage = mne.channels.make_standard_montage("GSN-HydroCel-257")
    info = mne.create_info(montage.ch_names[:256], 100.0, "eeg")
    info.set_montage(montage)
    rng = np.random.default_rng(0)
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    places = places - places.mean(axis=0)
    # A smooth field: a few sources far inside.
    topography = 1 / np.linalg.norm(places[:, None] - 0.4 * places[None, ::25], axis=2)
    sources = rng.standard_normal((topography.shape[1], 400))
    raw = mne.io.RawArray(1e-6 * topography @ sources, info, verbose="error")
    mask = np.zeros((256, 400), bool)
    mask[[10, 100, 200]] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask, verbose="error")
    assert nmse(raw.get_data(), restored.get_data(), mask) < 0.2


def test_bipolar_derivations(truth):
    pairs = [
        ("Fp1", "F7"),
        ("F7", "T7"),
        ("T7", "P7"),
        ("P7", "O1"),
        ("Fp1", "F3"),
        ("F3", "C3"),
        ("C3", "P3"),
        ("P3", "O1"),
    ]
    raw = mne.set_bipolar_reference(
        truth, [a for a, _ in pairs], [b for _, b in pairs], verbose="error"
    ).pick([f"{a}-{b}" for a, b in pairs])
    mask = np.zeros((8, raw.n_times), bool)
    mask[2] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask, verbose="error")
    error = ((restored.get_data() - raw.get_data())[mask] ** 2).sum() / (
        raw.get_data()[mask] ** 2
    ).sum()
    # T7-P7 is the other three of its ring: Fp1-F3-C3-P3-O1 less Fp1-F7-T7 and P7-O1.
    assert error < 0.1


@pytest.mark.parametrize("date", [None, 1_000_000_000])
def test_annotations_stay_in_time(clinical, date):
    """With and without a date, and when the first sample is not sample 0."""
    raw = clinical.copy().set_meas_date(date).crop(2)
    marks = mne.Annotations([3, 5], [1, 0], ["BAD_x", "keep"], ch_names=[["C3"], []])
    raw.set_annotations(marks)
    restored = restore(raw, verbose="error")
    changed = (restored.get_data() != raw.get_data()).any(axis=0)
    assert_array_equal(np.flatnonzero(changed)[[0, -1]], [480, 639])
    found = {a["description"]: a["onset"] - restored.first_time for a in restored.annotations}
    assert_allclose([found["RESTORED"], found["keep"]], [3, 5], atol=1e-6)
    assert found.keys() == {"RESTORED", "keep"}
    again = restore(raw, reset_bads=False, annotate=False, verbose="error")
    assert again.annotations == raw.annotations


def test_two_names_of_one_place(truth):
    """T1 lies where FT9 does: such a pair leaves a direction without variance."""
    names = ["Fp1", "F3", "C3", "P3", "O1", "F7", "T7", "P7", "Fz", "Cz", "Pz", "T9", "FT7"]
    raw = truth.copy().pick(names).set_montage(None).rename_channels({"T9": "FT9", "FT7": "T1"})
    mask = np.zeros(raw.get_data().shape, bool)
    mask[names.index("C3")] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask)
    assert np.isfinite(restored.get_data()).all()
    assert nmse(raw.get_data(), restored.get_data(), mask) < 1


def test_few_good_channels_at_a_time(truth):
    """No window has all channels: the size of the errors is still that of EEG."""
    raw = truth.copy().pick(["C3", "C4", "Cz", "Pz"])
    mask = np.zeros(raw.get_data().shape, bool)
    for second in range(20):
        mask[second % 4, second * 160 : (second + 1) * 160] = True
    _, report = restore(fill(raw, mask, np.nan), mask=mask, return_report=True)
    assert 1e-6 < report.std[mask].mean() < 1e-4
    # With windows that never are good long enough, too.
    mask[:, ::100] = True
    mask[0, ::100] = mask[1, ::100] = False
    _, report = restore(fill(raw, mask, np.nan), mask=mask, return_report=True)
    assert 1e-6 < report.std[mask].mean() < 1e-4


def test_very_short_epochs(clinical):
    """In a fifth of a second there is no delta to learn from."""
    epochs = mne.make_fixed_length_epochs(clinical, 0.2, preload=True, verbose="error")
    broken = epochs.copy()
    broken._data[:, 12] = 1.0
    broken.info["bads"] = [clinical.ch_names[12]]
    restored, report = restore(broken, return_report=True)
    flat, found = (e.get_data(copy=False).transpose(1, 0, 2) for e in (epochs, restored))
    mask = np.zeros((19, flat[0].size), bool)
    mask[12] = True
    assert nmse(flat.reshape(19, -1), found.reshape(19, -1), mask) < 1
    assert 1e-6 < report.std[:, 12].mean() < 1e-4


def test_reference_goes_through_when_no_channel_is_always_good(truth):
    rng = np.random.default_rng(3)
    mask = np.repeat(rng.random((63, 20)) < 0.3, 160, axis=1)
    assert mask.any(axis=1).all()
    shared = 1e-3 + 1e-4 * rng.standard_normal(truth.n_times).cumsum() / 30
    moved = truth.copy()
    moved._data -= shared
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mne_gram.restoration._gaussian.limit_steps", lambda *args: None)
        first = restore(fill(truth, mask, np.nan), mask=mask, verbose="error").get_data()
        second = restore(fill(moved, mask, np.nan), mask=mask, verbose="error").get_data()
    assert_allclose(second + shared, first, rtol=0, atol=1e-9)


def test_offsets_of_an_amplifier(truth):
    """Fifty millivolts of offset and a slow drift leave the repair of a stretch as it was."""
    raw = truth.copy().filter(0.5, None, verbose="error")
    mask = np.zeros(raw.get_data().shape, bool)
    for channel in (3, 20, 41):
        mask[channel, 1200:1500] = mask[channel + 5, 1400:1700] = True
    plain = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    rng = np.random.default_rng(0)
    offset = rng.uniform(-0.05, 0.05, (63, 1)) + rng.uniform(-1e-4, 1e-4, (63, 1)) * raw.times / 20
    moved = raw.copy()
    moved._data += offset
    found = restore(fill(moved, mask, np.nan), mask=mask, verbose="error").get_data() - offset
    error = [((x - raw.get_data())[mask] ** 2).sum() for x in (plain, found)]
    assert error[1] < 2 * error[0]


def test_pauses_of_the_recording_say_nothing(truth, clinical):
    """MNE writes zeros where recording paused."""
    truth = truth.copy().pick(clinical.ch_names)
    raw = truth.copy()
    raw._data[:, 800:2400] = 0
    raw.set_annotations(mne.Annotations(5, 10, "BAD_ACQ_SKIP"))
    raw.info["bads"] = ["Pz"]
    _, report = restore(raw, return_report=True, verbose="error")
    rest = truth.copy().crop(0, 4.99)
    rest.info["bads"] = ["Pz"]
    _, expected = restore(rest, return_report=True, verbose="error")
    pz = truth.ch_names.index("Pz")
    assert_allclose(report.std[pz, 0], expected.std[pz, 0], rtol=0.4)


def test_positions_alone(truth):
    """Without names the positions do nearly as well, and better than a spline."""
    raw = truth.copy().filter(0.5, 45, verbose="error")
    numbered = raw.copy().rename_channels({n: f"EEG {k:03}" for k, n in enumerate(raw.ch_names)})
    errors = []
    for first in range(0, 16, 4):
        mask = np.zeros(raw.get_data().shape, bool)
        mask[first::16] = True
        found = [
            restore(fill(inst, mask, np.nan), mask=mask, method=method, verbose="error")
            for inst, method in ((raw, "auto"), (numbered, "auto"), (raw, "spline"))
        ]
        errors.append([nmse(raw.get_data(), one.get_data(), mask) for one in found])
    named, placed, spline = np.exp(np.log(errors).mean(axis=0))
    assert placed < 1.1 * named and placed < spline


def test_joins_of_files_with_other_offsets(truth):
    rng = np.random.default_rng(0)
    first, second = truth.copy(), truth.copy()
    offset = 0.02 * rng.standard_normal((63, 1))
    always = np.setdiff1d(np.arange(63), [12, 20, 40])
    offset -= offset[always].mean()  # what all share would be the reference's
    second._data += offset
    raw = mne.concatenate_raws([first, second], verbose="error")
    assert raw.n_times == 2 * truth.n_times
    expected = np.hstack([truth.get_data(), truth.get_data() + offset])
    mask = np.zeros(expected.shape, bool)
    mask[12, 3000:3150] = mask[20, 3240:3400] = True
    mask[40] = True
    found = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    level = truth.get_data().std()
    assert np.abs(found - expected)[12][mask[12]].mean() < 2 * level
    assert np.abs(found - expected)[20][mask[20]].mean() < 2 * level
    assert found[40].std() < 3 * level  # nobody knows its offset: it stands on the mean


def test_flat_channels_are_no_evidence(clinical):
    raw = clinical.copy()
    raw.info["bads"] = ["Pz"]
    raw._data[raw.ch_names.index("Cz")] = 0  # the recording's own reference
    restore(raw)
    flat = ["P3", "P4", "O1"]
    raw._data[[raw.ch_names.index(name) for name in flat]] = 0
    with pytest.warns(RuntimeWarning, match="flat channels that are not marked.*P3"):
        found = restore(raw)
    without = raw.copy().drop_channels([*flat, "Cz"])
    assert_allclose(found.get_data("Pz"), restore(without).get_data("Pz"), atol=1e-12)
    assert (found.get_data(flat) == 0).all()


def test_channels_stay_bad_where_garbage_stays(clinical):
    """What could not be restored is not released."""
    raw = clinical.copy()
    raw.info["bads"] = ["O1"]
    mask = np.zeros(raw.get_data().shape, bool)
    mask[:, 500:800] = True
    restored = restore(raw, mask=mask, verbose="error")
    assert restored.info["bads"] == ["O1"]
    # Under an annotation of all channels it is marked well enough.
    raw.set_annotations(mne.Annotations(500 / 160, 300 / 160, "BAD_all"))
    assert restore(raw, verbose="error").info["bads"] == []
    epochs = mne.make_fixed_length_epochs(clinical, 2.0, preload=True, verbose="error")
    epochs.info["bads"] = ["O1"]
    labels = np.zeros((5, 19), bool)
    labels[3] = True
    restored = restore(epochs, mask=labels, verbose="error")
    assert restored.info["bads"] == ["O1"]
    assert_array_equal(restored.get_data(copy=False)[3], epochs.get_data(copy=False)[3])
    labels[3] = False
    assert restore(epochs, mask=labels, verbose="error").info["bads"] == []


def test_spline_needs_positions(truth):
    raw = truth.copy().set_montage(None)
    raw.info["bads"] = ["Oz"]
    with pytest.raises(ValueError, match="needs electrode positions.*set_montage"):
        restore(raw, method="spline")


# ---------------------------------------------------------------------------------------------
# All-channel gaps, samples, reports


def test_all_channel_gaps(clinical):
    raw = clinical.copy()
    raw.set_annotations(
        mne.Annotations([5.0, 5.2], [1.0, 0.3], ["BAD_move", "BAD_pop"], ch_names=[(), ("Cz",)])
    )
    raw.info["bads"] = ["Pz"]
    gap = slice(800, 960)
    kept, report = restore(raw, return_report=True, verbose="error")
    assert_array_equal(kept.get_data()[:, gap], raw.get_data()[:, gap])
    assert "left unchanged" in report.summary
    filled = restore(raw, all_channel_gaps="fill", verbose="error")
    assert np.abs(filled.get_data()[:, gap] - raw.get_data()[:, gap]).max() > 1e-6
    assert_array_equal(filled.get_data("C3")[0, :800], raw.get_data("C3")[0, :800])
    invented = [a for a in filled.annotations if a["description"] == "INVENTED"]
    assert len(invented) == 1 and set(invented[0]["ch_names"]) == set(raw.ch_names)
    assert_allclose([invented[0]["onset"], invented[0]["duration"]], [5, 1], atol=1e-6)
    # What the gap held says nothing about the rest.
    other = raw.copy()
    other._data[:, gap] = np.nan
    assert_allclose(
        restore(other, verbose="error").get_data("Pz")[0, :790], kept.get_data("Pz")[0, :790]
    )


def test_gap_inside_a_bad_span(truth):
    """A moment without any good channel does not spoil the rest of a channel's bad span."""
    raw = truth.copy()
    spans = mne.Annotations([2, 8], [15, 0.1], ["BAD_F4", "BAD_blink"], ch_names=[("F4",), ()])
    raw.set_annotations(spans)
    row, gap = raw.ch_names.index("F4"), slice(1280, 1296)
    mask = np.zeros(raw.get_data().shape, bool)
    mask[row, 320:2720] = True
    mask[:, gap] = True
    for garbage in (1.0, np.nan):
        broken = fill(raw, mask, garbage)
        kept = restore(broken, verbose="error").get_data()
        assert_array_equal(kept[:, gap], broken.get_data()[:, gap])
        mask[:, gap] = False
        assert nmse(truth.get_data(), np.where(mask, kept, truth.get_data()), mask) < 0.7
        mask[:, gap] = True
        filled, report = restore(
            broken, all_channel_gaps="fill", return_report=True, verbose="error"
        )
        assert np.isfinite(filled.get_data()).all()
        assert_allclose(report.to_data_frame()["invented"], 0.1)


@few
@given(seed=st.integers(0, 10_000))
def test_invariance_with_gaps_and_spans(clinical, seed):
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng)
    mask[rng.choice(19)] = True
    for start in rng.integers(0, 1400, 2):
        mask[:, start : start + rng.integers(1, 150)] = True
    found = [
        restore(
            fill(clinical, mask, g), mask=mask, all_channel_gaps="fill", verbose="error"
        ).get_data()
        for g in (np.nan, 1.0)
    ]
    assert np.isfinite(found[0]).all()
    assert_allclose(found[1], found[0], rtol=0, atol=1e-10)
    assert_array_equal(found[0][~mask], clinical.get_data()[~mask])


def test_the_report_does_not_follow_the_data(clinical):
    raw = clinical.copy()
    raw.info["bads"] = ["O1", "O2"]
    restored, report = restore(raw, return_report=True, verbose="error")
    std = report.std
    restored.drop_channels(["Fz", "O1"]).crop(0, 3)
    raw.drop_channels(["Cz"])
    assert_array_equal(report.std, std)
    assert len(report.plot(scores=False, show=False).axes) == 2


def test_sample_of_the_posterior(clinical):
    clinical = clinical.copy().filter(0.5, 45, verbose="error")
    mask = np.zeros(clinical.get_data().shape, bool)
    mask[[3, 8, 15]] = True
    mask[11, 500:1100] = True
    raw = fill(clinical, mask, np.nan)
    mean, report = restore(raw, mask=mask, return_report=True, verbose="error")
    draws = [
        restore(raw, mask=mask, output="sample", random_state=seed, verbose="error").get_data()
        for seed in (1, 1, 2)
    ]
    assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2])[mask].max() > 1e-6
    assert_array_equal(draws[0][~mask], clinical.get_data()[~mask])
    # A draw deviates from the mean by the standard deviation that the report tells.
    spread = (draws[0] - mean.get_data())[mask].std() / np.sqrt((report.std[mask] ** 2).mean())
    assert 0.6 < spread < 1.6


def test_sample_ends_where_its_covariance_was_read(clinical):
    """Above 45 Hz nothing tells the power of what is missing, so nothing is added."""
    raw = clinical.copy().filter(None, 45, verbose="error").resample(500, verbose="error")
    raw.info["bads"] = ["Cz"]
    mean = restore(raw, verbose="error").get_data("Cz")[0]
    drawn = restore(raw, output="sample", random_state=0, verbose="error").get_data("Cz")[0]
    power = np.abs(np.fft.rfft(drawn - mean)) ** 2
    freqs = np.fft.rfftfreq(len(mean), 1 / 500)
    assert power[freqs > 48].mean() < 0.01 * power[(freqs > 30) & (freqs < 44)].mean()


def test_no_global_state_is_moved(sample):
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    restore(sample[0], output="sample", random_state=0, verbose="error")
    assert_array_equal(np.random.get_state()[1], state)


def test_report(sample, tmp_path):
    restored, report = restore(sample[0], return_report=True, verbose="error")
    frame = report.to_data_frame()
    assert {"channel", "seconds", "expected_nmse", "expected_r", "weight_spatial"} <= set(frame)
    assert_allclose(frame.set_index("channel").loc["F4", "seconds"], 3.0, atol=0.02)
    assert frame["expected_r"].between(0, 1).all()
    assert_allclose(frame["expected_r"] ** 2, 1 - frame["expected_nmse"])
    mask = collect_mask(sample[0], np.arange(64))
    assert (report.std[mask] > 0).all() and (report.std[~mask] == 0).all()
    good = sample[0].copy().drop_channels(["CP2", "FT8"])
    assert report.rank_before == mne.compute_rank(good.pick("eeg"), rank=None)["eeg"]
    assert f"{report.rank_before} of the channels" in str(report)
    for name in ("a.txt", "a.json", "a.csv"):
        report.save(tmp_path / name)
        assert "CP2" in (tmp_path / name).read_text()
        with pytest.raises(FileExistsError, match="exists already"):
            report.save(tmp_path / name)
    report.save(tmp_path / "a.txt", overwrite=True)
    with pytest.raises(ValueError, match="in .txt, .json or .csv"):
        report.save(tmp_path / "a.pdf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.json", "a.txt"]


def test_intervals_cover(truth):
    """The 90 % interval holds about that share where drifts are filtered out."""
    raw = truth.copy().filter(0.5, 45, verbose="error")
    covered = []
    for first in range(3):
        mask = np.zeros(raw.get_data().shape, bool)
        mask[first::9] = True
        mask[first + 4 :: 12, 1000:1400] = True
        broken = fill(raw, mask, np.nan)
        restored, report = restore(broken, mask=mask, return_report=True, verbose="error")
        error = np.abs(restored.get_data() - raw.get_data())[mask]
        covered.append((error < 1.645 * report.std[mask]).mean())
    assert 0.75 < np.mean(covered) < 0.99


def test_nothing_marked(truth):
    restored, report = restore(truth, return_report=True, verbose="info")
    assert restored is not truth
    assert_array_equal(restored.get_data(), truth.get_data())
    assert report.summary == "Nothing was restored." and len(report.to_data_frame()) == 0
    assert (report.std == 0).all() and str(report)


# ---------------------------------------------------------------------------------------------
# Splines and the network


def test_spline_is_that_of_mne(truth):
    raw = truth.copy()
    raw.info["bads"] = ["C3", "Oz", "AF7"]
    expected = raw.copy().interpolate_bads(verbose="error").get_data()
    found = restore(raw, method="spline", verbose="error").get_data()
    assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_gram_changes_only_what_the_network_sees(clinical, network):
    """Random weights: what it adds is confined to bad samples and to the network's band."""
    mask = np.zeros(clinical.get_data().shape, bool)
    mask[12] = True
    mask[5, 500:900] = True
    raw = fill(clinical, mask, np.nan)
    spatial = restore(raw, mask=mask, method="spatial", verbose="error").get_data()
    found = restore(raw, mask=mask, method="gram", model=network, verbose="error").get_data()
    change = found - spatial
    assert (change[~mask] == 0).all() and np.abs(change[12]).max() > 1e-7
    freqs = np.fft.rfftfreq(clinical.n_times, 1 / 160)
    power = np.abs(np.fft.rfft(change[12])) ** 2
    assert power[freqs > 76].sum() < 1e-3 * power.sum()


@pytest.mark.parametrize("method", ["spatial", "gram", "spline"])
def test_the_figure_shows_what_was_returned(clinical, network, method):
    mask = np.zeros(clinical.get_data().shape, bool)
    mask[12] = True
    raw = fill(clinical, mask, 1e-3)
    restored, report = restore(
        raw, mask=mask, method=method, model=network, return_report=True, verbose="error"
    )
    (axis,) = report.plot(show=False).axes
    drawn = next(line for line in axis.lines if line.get_label() == "restored").get_ydata()
    assert_allclose(drawn, 1e6 * restored.get_data()[12, : len(drawn)], atol=1e-9)


def test_gram_without_a_model(truth):
    raw = truth.copy()
    raw.info["bads"] = ["Cz"]
    with pytest.raises((RuntimeError, ValueError, FileNotFoundError), match="no-such-model"):
        restore(raw, method="gram", model="no-such-model", verbose="error")


# ---------------------------------------------------------------------------------------------
# Bad input


def refused(raw, match, **kwargs):
    """Check that a call is refused and that the input stays as it was."""
    before = raw.get_data().copy()
    with pytest.raises((ValueError, TypeError), match=match):
        restore(raw, verbose="error", **kwargs)
    assert_array_equal(raw.get_data(), before)


def test_bad_input_is_refused(truth):
    n = len(truth.ch_names)
    raw = truth.copy()
    refused(
        raw.copy().set_channel_types(dict.fromkeys(raw.ch_names, "eog"), verbose="error"),
        "Found no EEG channel .*set_channel_types",
    )
    broken = raw.copy()
    broken.info["bads"] = list(raw.ch_names)
    refused(broken, f"{n} of {n} EEG channels are bad")
    broken.info["bads"] = raw.ch_names[1:]
    refused(broken, f"{n - 1} of {n} EEG channels are bad")
    broken = raw.copy()
    broken.info["bads"] = ["Cz"]
    broken._data[3, 100] = np.nan
    refused(broken, f"not marked as bad in {raw.ch_names[3]}")
    broken._data[3, 100] = np.inf
    refused(broken, "mask")
    loud = raw.copy()
    loud._data *= 1e6
    loud.info["bads"] = ["Cz"]
    refused(loud, "expected between 1e-9 and 1e-2 V.*1e-6")
    refused(raw, r"shape \(63, 3200\).*got \(3200, 63\)", mask=np.ones((3200, 63), bool))
    refused(raw, "dtype bool.*got int", mask=np.ones((63, 3200), int))
    refused(raw, "only allowed value is .auto.", mask="everything")
    refused(raw, "method", method="magic")
    refused(raw, "no posterior", method="spline", output="sample")
    mixed = raw.copy().set_channel_types({"C5": "eog"}, verbose="error")
    refused(mixed, "picks contains non-EEG channels: C5", picks=["C5", "Cz"])
    csd = mne.preprocessing.compute_current_source_density(raw)
    with pytest.raises(ValueError, match="current source density"):
        restore(csd)


def test_unknown_channels(truth):
    raw = truth.copy().rename_channels({"Cz": "left sock", "PO7": "right sock"})
    for name in ("left sock", "right sock"):
        raw.info["chs"][raw.ch_names.index(name)]["loc"][:] = np.nan
    raw.info["bads"] = ["left sock", "Pz"]
    with pytest.warns(RuntimeWarning, match="Cannot restore left sock.*left unchanged"):
        restored = restore(raw)
    assert restored.info["bads"] == ["left sock"]
    assert_array_equal(restored.get_data("left sock"), raw.get_data("left sock"))
    with pytest.raises(ValueError, match="Cannot restore left sock.*rename_channels"):
        restore(raw, on_missing="raise")
    # Bad for a while only, its own good time says how it goes with the others.
    raw.info["bads"] = []
    mask = np.zeros(raw.get_data().shape, bool)
    mask[raw.ch_names.index("right sock"), 1600:1900] = True
    found = restore(fill(raw, mask, np.nan), mask=mask)
    assert nmse(truth.get_data(), found.get_data(), mask) < 0.3


def test_low_rate_is_said(truth):
    raw = truth.copy().resample(90.0, verbose="error")
    raw.info["bads"] = ["Oz"]
    with pytest.warns(RuntimeWarning, match="sampling rate is 90 Hz"):
        restored = restore(raw)
    mask = np.zeros(raw.get_data().shape, bool)
    mask[raw.ch_names.index("Oz")] = True
    assert nmse(raw.get_data(), restored.get_data(), mask) < 0.3


def test_shorter_than_a_patch(truth, network):
    errors = dict(auto=[], gram=[], spline=[])
    for start in (0, 5, 10, 15):
        raw = truth.copy().crop(start, start + 0.6)
        raw.info["bads"] = ["Cz", raw.ch_names[5]]
        mask = np.isin(raw.ch_names, raw.info["bads"])[:, None] & np.ones(raw.n_times, bool)
        for method, found in errors.items():
            restored = restore(raw, method=method, model=network, verbose="error")
            found.append(nmse(raw.get_data(), restored.get_data(), mask))
    means = {method: np.exp(np.mean(np.log(found))) for method, found in errors.items()}
    assert means["auto"] < 0.4 > means["gram"]
    assert means["auto"] < 0.8 * means["spline"]


def test_rank_deficient_data(truth):
    """ICA-cleaned data have fewer dimensions than channels."""
    raw = truth.copy().crop(0, 10)
    u, s, v = np.linalg.svd(raw.get_data(), full_matrices=False)
    raw._data[:] = (u[:, :20] * s[:20]) @ v[:20]
    mask = np.zeros(raw.get_data().shape, bool)
    mask[[raw.ch_names.index(name) for name in ("Oz", "PO7")]] = True
    mask[15, 800:1200] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    spline = restore(fill(raw, mask, np.nan), mask=mask, method="spline", verbose="error")
    assert np.isfinite(restored).all()
    assert nmse(raw.get_data(), restored, mask) < nmse(raw.get_data(), spline.get_data(), mask)
    raw.info["bads"] = ["Oz", "PO7"]
    _, report = restore(raw, return_report=True, verbose="error")
    assert report.rank_before == 20 and 20 <= report.rank_after <= 30


@pytest.mark.parametrize("dataset", ["alcohol", "eegmat", "eegmmi", "mdd"])
def test_other_laboratories(shared, dataset):
    """On held-out people of each data set the repair beats the spline."""
    from mne_bids import read_raw_bids

    from mne_gram._files import list_recordings
    from mne_gram.training import split_subjects

    paths = list_recordings(shared / "eeg" / dataset)
    _, test = split_subjects([path.subject for path in paths])
    errors = []
    for subject in test[:3]:
        path = next(path for path in paths if path.subject == subject)
        raw = read_raw_bids(path, verbose="error").load_data(verbose="error")
        raw.pick("eeg", exclude=()).crop(0, 25)
        if dataset != "alcohol":
            raw.set_annotations(None)
            raw.filter(0.5, 45, verbose="error")
        cmap = mne_gram.match_channels(raw.info, on_missing="ignore")
        raw.pick([n for n, e in zip(cmap.ch_names, cmap.entries, strict=True) if e])
        entries = mne_gram.match_channels(raw.info).entries
        raw.rename_channels(dict(zip(raw.ch_names, entries, strict=True)))
        with mne.utils.use_log_level("error"):
            names = {
                n.upper(): n for n in mne.channels.make_standard_montage("easycap-M1").ch_names
            }
        if not set(raw.ch_names) <= set(names):
            raw.pick([n for n in raw.ch_names if n in names])
        raw.rename_channels({n: names[n] for n in raw.ch_names})
        raw.set_montage("easycap-M1", on_missing="raise")
        raw.info["bads"] = []
        rng = np.random.default_rng(0)
        mask = np.zeros(raw.get_data().shape, bool)
        mask[rng.choice(len(mask), len(mask) // 4, replace=False)] = True
        broken = fill(raw, mask, 1.0)
        errors.append(
            [
                nmse(
                    raw.get_data(),
                    restore(broken, mask=mask, method=m, verbose="error").get_data(),
                    mask,
                )
                for m in ("spatial", "spline")
            ]
        )
    ours, spline = np.array(errors).T
    assert np.median(ours / spline) < 0.95


def test_mask_auto(truth, clinical):
    """What is found is restored, told, and nothing else is touched."""
    raw = truth.copy()
    rng = np.random.default_rng(0)
    raw._data[10] = 1e-4 * rng.standard_normal(raw.n_times)
    before = raw.get_data()
    with mne.utils.catch_logging() as log:
        restored, report = restore(raw, mask="auto", return_report=True, verbose="info")
    # FC1 has slow waves twice as large as its neighbours' in the recording as it was.
    assert report.found.channels == ["FC1", raw.ch_names[10]]
    told = log.getvalue()
    assert all(name in told for name in report.found.channels)
    wanted = report.found.mask(raw)
    assert_array_equal(restored.get_data()[~wanted], before[~wanted])
    expected = restore(raw, mask=wanted, verbose="error").get_data()
    assert_array_equal(restored.get_data(), expected)
    assert raw.info["bads"] == [] and not len(raw.annotations)
    mask = np.zeros(before.shape, bool)
    mask[10] = True
    assert nmse(truth.get_data(), restored.get_data(), mask) < 1
    _, report = restore(clinical, mask="auto", return_report=True, verbose="error")
    assert report.found is not None
    with pytest.raises(ValueError, match="needs Raw or Epochs"):
        restore(mne.EvokedArray(before, raw.info), mask="auto")
