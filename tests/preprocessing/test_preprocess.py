# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The preprocessing, and what it refuses."""

import mne
import numpy as np
import pytest
from mne.io.constants import FIFF
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.preprocessing import preprocess

NAMES = ["Fp1", "F3", "Cz", "P4", "Oz"]


def test_preprocess_raw(make_raw, power_at):
    raw = make_raw(line=50e-6, line_freq=50)
    raw._data[:5] += 1e-3  # an offset
    raw.info["bads"] = ["P4"]
    raw.set_annotations(mne.Annotations([3.0], [2.0], ["blink"]))
    out = preprocess(raw)
    assert isinstance(out, mne.io.BaseRaw) and out.preload
    assert out.info["sfreq"] == 200 and out.ch_names == raw.ch_names
    assert out.info["highpass"] == pytest.approx(0.1) and out.info["lowpass"] == 75
    assert out.info["bads"] == ["P4"]
    assert list(out.annotations.onset) == [3.0] and list(out.annotations.duration) == [2.0]
    data = out.get_data(picks=["Fp1", "F3", "Cz", "Oz"])
    assert_allclose(data.mean(axis=0), 0, atol=1e-15)
    assert np.abs(data.mean(axis=1)).max() < 1e-5
    assert 5e-6 < data.std() < 12e-6  # still volts
    assert power_at(out, 50) < 0.02 * power_at(preprocess(raw, line_freq=False), 50)
    assert power_at(out, 95) < 0.01 * power_at(out, 40)
    # The stim channel is resampled and nothing else.
    assert mne.find_events(out)[0, 2] == 3
    assert mne.find_events(out)[0, 0] == pytest.approx(6000, abs=1)


def test_preprocess_leaves_its_input_alone(make_raw):
    raw = make_raw(line_freq=50)
    data, info = raw.get_data(), raw.info.copy()
    preprocess(raw)
    assert_array_equal(raw.get_data(), data)
    assert mne.utils.object_diff(raw.info, info) == ""


def test_preprocess_reads_from_disk(tmp_path, make_raw):
    raw = make_raw(line_freq=50)
    raw.save(tmp_path / "a_raw.fif", fmt="double")
    lazy = mne.io.read_raw_fif(tmp_path / "a_raw.fif")
    out = preprocess(lazy)
    assert not lazy.preload
    assert_allclose(out.get_data(), preprocess(raw).get_data(), atol=1e-15)


def test_preprocess_keeps_the_first_sample(tmp_path, make_raw):
    raw = make_raw(line_freq=50, seconds=80).crop(20, None)
    assert raw.first_samp == 20 * 256
    raw.set_annotations(mne.Annotations([25.0], [1.0], ["x"]))
    out = preprocess(raw)
    assert out.first_time == pytest.approx(20)
    assert_allclose(out.annotations.onset, raw.annotations.onset)


@pytest.mark.parametrize("name", ["Cz", "FP1-F7", "C3-Cz"])
def test_same_as_mne_by_hand(name, make_raw):
    """The steps are those of MNE; bipolar derivations keep their reference."""
    raw = make_raw(names=["Fp1", "F3", name, "P4", "Oz"])
    by_hand = raw.copy().filter(0.1, 75.0, picks="eeg").notch_filter([50.0], picks="eeg")
    by_hand.resample(200)
    data = by_hand.get_data(picks="eeg")
    rows = [0, 1, 3, 4] if "-" in name else [0, 1, 2, 3, 4]
    data[rows] -= data[rows].mean(axis=0)
    out = preprocess(raw, line_freq=50)
    assert_allclose(out.get_data(picks="eeg"), data, atol=1e-14)
    assert out.info["bads"] == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(value, make_raw):
    raw = make_raw(line_freq=50)
    raw._data[1, 100] = value
    with pytest.raises(ValueError, match="NaN, infinite or .* in F3. .*bads.*restore"):
        preprocess(raw)
    epochs = mne.make_fixed_length_epochs(raw, 40.0, preload=True)
    with pytest.raises(ValueError, match="marked as bad in F3"):
        preprocess(epochs)
    raw.info["bads"] = ["F3"]
    out = preprocess(raw)
    assert np.isfinite(out.get_data(picks=["Fp1", "Cz", "P4", "Oz"])).all()


def test_what_is_not_potentials(make_raw):
    raw = make_raw()
    with raw.info._unlock():
        raw.info["custom_ref_applied"] = FIFF.FIFFV_MNE_CUSTOM_REF_CSD
    with pytest.raises(ValueError, match="current source density, expected potentials"):
        preprocess(raw)
    raw = make_raw().pick("stim")
    with pytest.raises(ValueError, match=r"no EEG channel \(the types are stim\)"):
        preprocess(raw)
    raw = make_raw()
    raw.info["bads"] = list(NAMES)
    with pytest.raises(ValueError, match="no good EEG channels: all are marked as bad"):
        preprocess(raw)
    raw.info["bads"] = NAMES[1:]
    with pytest.raises(ValueError, match="Found 1 good EEG .*at least 2.*reference=None"):
        preprocess(raw, line_freq=50)
    with pytest.raises(TypeError, match="Raw or Epochs"):
        preprocess(mne.EvokedArray(np.zeros((6, 9)), raw.info))
    with pytest.raises(ValueError, match="reference"):
        preprocess(raw, reference="REST")


@pytest.mark.filterwarnings("ignore:A high-pass at")
def test_impossible_values_of_other_signals_stay_there(make_raw):
    """Their overflow while resampling is no news."""
    raw = make_raw(seconds=4, names=["Fp1", "F3", "Cz", "P4", "Oz", "RESP"])
    raw._data[5, 300:700] = [1e308, -1e308] * 200
    with pytest.warns(RuntimeWarning, match="Left out of the reference .*: RESP"):
        done = preprocess(raw, line_freq=50)
    expected = preprocess(raw.copy().drop_channels(["RESP"]), line_freq=50, verbose="error")
    assert_allclose(done.get_data(NAMES), expected.get_data(NAMES), atol=1e-12)


@pytest.mark.parametrize("content", [np.nan, 0.3])
@pytest.mark.parametrize("kind", ["Raw", "Epochs"])
def test_channels_that_annotations_mark_throughout_are_bad(kind, content, make_raw):
    """They are in neither the reference nor the unit, as those in ``info["bads"]``."""
    inst = make_raw(seconds=40)
    inst._data[2:4] = content
    inst.set_annotations(mne.Annotations(0, 40, "BAD_pop", ch_names=[NAMES[2:4]]))
    if kind == "Epochs":
        options = dict(duration=40, preload=True, reject_by_annotation=False)
        inst = mne.make_fixed_length_epochs(inst, **options)
    done = preprocess(inst, line_freq=50)
    inst.info["bads"] = NAMES[2:4]
    expected = preprocess(inst.set_annotations(None), line_freq=50)
    assert_array_equal(done.get_data(), expected.get_data())
