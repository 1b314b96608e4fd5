# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What `restore` accepts, keeps and refuses: types, annotations, projectors, bad input."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import restore
from mne_gram._recording._masks import collect_mask
from mne_gram.metrics import nmse

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


@pytest.mark.parametrize("excluded", [["FT8"], ("FT8", "C3")])
def test_excluded_channels_stay_as_they_are(sample, excluded):
    """They are neither restored nor evidence, bad or good, as in MNE's interpolate_bads."""
    raw = sample[0].copy().pick("F7 F3 Fz F4 F8 FT8 C3 Cz C4 CP2 P3 P4 O1 O2".split())
    raw.crop(0, 10, include_tmax=False)
    options = dict(exclude=excluded, method="spatial", verbose="error")
    restored, report = restore(raw, return_report=True, **options)
    assert restored.info["bads"] == ["FT8"]
    assert_array_equal(restored.get_data(list(excluded)), raw.get_data(list(excluded)))
    assert set(report.to_data_frame()["channel"]) == {"F4", "CP2"}
    without = raw.copy().drop_channels(list(excluded))
    expected = restore(without, method="spatial", verbose="error")
    assert_array_equal(restored.get_data(expected.ch_names), expected.get_data())
    whole = restored.annotations.description == "RESTORED"
    assert {n for names in restored.annotations.ch_names[whole] for n in names} == {"F4", "CP2"}
    mne_bads = raw.copy().interpolate_bads(exclude=excluded, verbose="error").info["bads"]
    assert mne_bads == restored.info["bads"]


@pytest.mark.parametrize("line_freq", [0, -50.0])
def test_line_freq_is_positive(sample, line_freq):
    with pytest.raises(ValueError, match="line_freq must be a positive frequency"):
        restore(sample[0], line_freq=line_freq, verbose="error")


def test_exclude_refuses(sample):
    with pytest.raises(ValueError, match="exclude contains unknown channels: FT11, E1"):
        restore(sample[0], exclude=["FT11", "CP2", "E1"])
    with pytest.raises(ValueError, match="exclude contains all channels"):
        restore(sample[0], exclude=sample[0].ch_names, mask="auto")
    with pytest.raises(TypeError, match="exclude must be"):
        restore(sample[0], exclude="CP2")


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


@pytest.mark.parametrize("sfreq", [100.0, 512.0, 2000.0])
def test_sampling_rates(truth, sfreq, fill):
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


def test_no_global_state_is_moved(sample):
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    restore(sample[0], output="sample", random_state=0, verbose="error")
    assert_array_equal(np.random.get_state()[1], state)


def test_nothing_marked(truth):
    restored, report = restore(truth, return_report=True, verbose="info")
    assert restored is not truth
    assert_array_equal(restored.get_data(), truth.get_data())
    assert report.summary == "Nothing was restored." and len(report.to_data_frame()) == 0
    assert (report.std == 0).all() and str(report)


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


def test_unknown_channels(truth, fill):
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
    # Nor can a channel with a known name if none of the others has one.
    rest = raw.copy().pick(["eeg"]).set_montage(None)
    rest.info["bads"] = ["Pz"]
    rest.rename_channels({name: f"X{k}" for k, name in enumerate(rest.ch_names) if name != "Pz"})
    with pytest.warns(RuntimeWarning, match="Cannot restore Pz: .*fewer than two good channels"):
        assert restore(rest).info["bads"] == ["Pz"]
    # A channel that is bad in a segment only: its good samples show how it covaries.
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
