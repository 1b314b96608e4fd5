# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The preprocessing, and checks of the data."""

import warnings
from contextlib import nullcontext

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mne.io.constants import FIFF
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.preprocessing import SFREQ, VOLTS_TO_MODEL, check_units, find_line_freq, preprocess

NAMES = ["Fp1", "F3", "Cz", "P4", "Oz"]


def make_raw(*, sfreq=256.0, seconds=60.0, names=NAMES, line=0.0, line_freq=None, seed=0):
    """Return different noise of 10 uV and a 50 Hz line in each channel, and a stim channel."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(sfreq * seconds)) / sfreq
    data = 10e-6 * rng.standard_normal((len(names), len(times)))
    data += line * np.cos(np.arange(len(names)))[:, None] * np.sin(2 * np.pi * 50 * times)
    stim = np.zeros((1, len(times)))
    stim[0, len(times) // 2] = 3
    info = mne.create_info([*names, "STI"], sfreq, ["eeg"] * len(names) + ["stim"])
    info["line_freq"] = line_freq
    return mne.io.RawArray(np.concatenate([data, stim]), info)


def power_at(inst, freq):
    """Return the power of the EEG within half a hertz of a frequency, mean over channels."""
    data = inst.get_data(picks="eeg")
    freqs = np.fft.rfftfreq(data.shape[-1], 1 / inst.info["sfreq"])
    power = np.abs(np.fft.rfft(data)) ** 2 / data.shape[-1]
    return power[..., np.abs(freqs - freq) < 0.5].mean()


def test_constants():
    assert SFREQ == 200 and VOLTS_TO_MODEL * 1e-4 == 1  # 0.1 mV


def test_preprocess_raw():
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


def test_preprocess_leaves_its_input_alone():
    raw = make_raw(line_freq=50)
    data, info = raw.get_data(), raw.info.copy()
    preprocess(raw)
    assert_array_equal(raw.get_data(), data)
    assert mne.utils.object_diff(raw.info, info) == ""


def test_preprocess_reads_from_disk(tmp_path):
    raw = make_raw(line_freq=50)
    raw.save(tmp_path / "a_raw.fif", fmt="double")
    lazy = mne.io.read_raw_fif(tmp_path / "a_raw.fif")
    out = preprocess(lazy)
    assert not lazy.preload
    assert_allclose(out.get_data(), preprocess(raw).get_data(), atol=1e-15)


def test_preprocess_keeps_the_first_sample(tmp_path):
    raw = make_raw(line_freq=50, seconds=80).crop(20, None)
    assert raw.first_samp == 20 * 256
    raw.set_annotations(mne.Annotations([25.0], [1.0], ["x"]))
    out = preprocess(raw)
    assert out.first_time == pytest.approx(20)
    assert_allclose(out.annotations.onset, raw.annotations.onset)


@pytest.mark.parametrize("name", ["Cz", "FP1-F7", "C3-Cz"])
def test_same_as_mne_by_hand(name):
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


def test_only_derivations():
    raw = make_raw(names=["FP1-F7", "F7-T7", "T7-P7", "P7-O1", "EEG F8-T4"])
    kwargs = dict(line_freq=False)
    assert_array_equal(
        preprocess(raw, **kwargs).get_data(), preprocess(raw, reference=None, **kwargs).get_data()
    )


@pytest.mark.parametrize("reference", ["average", None])
def test_reference(reference):
    out = preprocess(make_raw(line_freq=50), reference=reference)
    mean = np.abs(out.get_data(picks="eeg").mean(axis=0)).max()
    assert (mean < 1e-15) == (reference == "average")


def test_reference_that_is_already_there():
    raw = make_raw(line_freq=50)
    once = preprocess(raw.copy().set_eeg_reference("average", projection=False))
    assert_allclose(once.get_data(), preprocess(raw).get_data(), atol=1e-15)
    waiting = raw.copy().set_eeg_reference("average", projection=True)
    out = preprocess(waiting)
    assert_allclose(out.get_data(), once.get_data(), atol=1e-15)
    assert out.info["projs"] == [] and len(waiting.info["projs"]) == 1


def test_another_reference_gives_a_warning():
    raw = make_raw(line_freq=50)
    for channels in (["Fp1"], raw.ch_names[:3]):
        linked = raw.copy().set_eeg_reference(channels, projection=False)
        with pytest.warns(RuntimeWarning, match="re-referenced, but.*add_reference_channels"):
            out = preprocess(linked)
        assert_allclose(out.get_data(), preprocess(raw).get_data(), atol=1e-12)
    # An average that held a channel which is bad now is not the average of the good ones.
    average = raw.copy().set_eeg_reference("average", projection=False)
    average.info["bads"] = ["Fp1"]
    with pytest.warns(RuntimeWarning, match="re-referenced, but"):
        preprocess(average)


def test_applied_projectors_are_in_the_data(tmp_path):
    raw = make_raw(line_freq=50)
    raw.set_eeg_reference("average", projection=True)
    raw.save(tmp_path / "b_raw.fif", fmt="double")
    lazy = mne.io.read_raw_fif(tmp_path / "b_raw.fif").apply_proj()
    applied = preprocess(lazy, reference=None)
    assert_allclose(applied.get_data(picks="eeg").mean(axis=0), 0, atol=1e-15)


def test_waiting_projectors_are_refused():
    raw = make_raw(line_freq=50)
    vector = np.ones((1, 2)) / np.sqrt(2)
    data = dict(data=vector, col_names=["Fp1", "F3"], row_names=None, nrow=1, ncol=2)
    proj = mne.Projection(active=False, data=data, desc="blink", kind=1, explained_var=None)
    raw.add_proj(proj)
    with pytest.raises(ValueError, match=r"not applied: blink.*apply_proj\(\).*del_proj\(\)"):
        preprocess(raw)
    preprocess(raw.apply_proj())


# The band


def test_band_can_be_chosen():
    out = preprocess(make_raw(line_freq=50), l_freq=1.0, h_freq=40.0)
    assert out.info["highpass"] == 1 and out.info["lowpass"] == 40
    assert power_at(out, 60) < 0.01 * power_at(out, 20)
    out = preprocess(make_raw(line_freq=50), l_freq=None, h_freq=None, sfreq=100.0)
    assert out.info["sfreq"] == 100 and out.info["highpass"] == 0


def test_harmonics_are_taken_out_too():
    raw = make_raw(line=0)
    out = preprocess(raw, line_freq=25)
    for freq in (25, 50):
        assert power_at(out, freq) < 0.5 * power_at(out, freq - 5)


@pytest.mark.parametrize("sfreq", [100.0, 128.0])
def test_low_rates(sfreq):
    with pytest.warns(RuntimeWarning, match=f"low-passed at {sfreq / 2:g} Hz"):
        out = preprocess(make_raw(sfreq=sfreq, line_freq=50))
    assert out.info["sfreq"] == 200
    assert power_at(out, 20) > 100 * power_at(out, sfreq / 2 + 5)


@pytest.mark.parametrize("sfreq", [150.5, 160.0, 200.0, 512.0, 2000.0])
def test_rates_that_hold_the_band(sfreq):
    out = preprocess(make_raw(sfreq=sfreq, seconds=40, line_freq=60))
    assert out.info["sfreq"] == 200
    assert 0.5 < power_at(out, 70) / power_at(out, 20) < 2


def test_filtered_data_give_a_warning():
    raw = make_raw(line_freq=50).filter(0.5, 45.0)
    with pytest.warns(RuntimeWarning, match="high-passed at 0.5 Hz.*low-passed at 45 Hz"):
        preprocess(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preprocess(raw, l_freq=0.5, h_freq=45.0)


# The line


def test_line_freq_from_the_data():
    raw = make_raw(line=20e-6)
    with pytest.warns(RuntimeWarning, match="power line peak at 50 Hz.*Pass line_freq"):
        out = preprocess(raw)
    assert power_at(out, 50) < 0.02 * power_at(preprocess(raw, line_freq=False), 50)


def test_line_freq_order():
    """The argument takes precedence over the info, and that over the peak."""
    raw = make_raw(line=20e-6, line_freq=60)
    out = preprocess(raw)
    assert power_at(out, 50) > 10 * power_at(out, 40) > 20 * power_at(out, 60)
    out = preprocess(raw, line_freq=50)
    assert power_at(out, 50) < power_at(out, 60)
    raw.info["line_freq"] = 50
    out = preprocess(raw, line_freq=False)
    assert power_at(out, 50) > 10 * power_at(out, 40)


@pytest.mark.parametrize("line_freq", [True, 0, -50])
def test_line_freq_must_be_a_frequency(line_freq):
    with pytest.raises(ValueError, match="line_freq must be a positive frequency"):
        preprocess(make_raw(), line_freq=line_freq)


@pytest.mark.parametrize(
    "kwargs, match",
    [
        (dict(l_freq=0), "l_freq must be a positive"),
        (dict(h_freq=np.nan), "h_freq must be a positive"),
        (dict(sfreq=-5), "sfreq must be a positive"),
        (dict(l_freq=30, h_freq=10), "l_freq must be below h_freq"),
    ],
)
def test_frequencies_must_be_possible(kwargs, match):
    """No band-stop filter takes the place of the band-pass, either."""
    with pytest.raises(ValueError, match=match):
        preprocess(make_raw(), **kwargs)


@settings(deadline=None, max_examples=25)
@given(
    line=st.sampled_from([50.0, 60.0]),
    sfreq=st.sampled_from([128.0, 160.0, 250.0, 500.0]),
    unit=st.sampled_from([1e-6, 1.0]),
    seconds=st.floats(2, 30),
    seed=st.integers(0, 99),
)
def test_find_line_freq(line, sfreq, unit, seconds, seed):
    rng = np.random.default_rng(seed)
    times = np.arange(int(sfreq * seconds)) / sfreq
    noise = rng.standard_normal((8, len(times)))
    assert find_line_freq(unit * noise, sfreq) is None
    with_line = noise + np.sin(2 * np.pi * (line + 0.1) * times + 1)
    assert find_line_freq(unit * with_line, sfreq) == line


def test_find_line_freq_in_epochs_and_around_gaps():
    rng = np.random.default_rng(0)
    times = np.arange(200) / 200
    data = rng.standard_normal((40, 6, 200)) + np.sin(2 * np.pi * 60 * times)
    assert find_line_freq(data, 200.0) == 60
    flat = data.transpose(1, 0, 2).reshape(6, -1)
    assert find_line_freq(flat, 200.0) == 60
    flat[:, 1000:3000] = np.nan
    flat[0] = np.nan
    flat[1] = 0
    assert find_line_freq(flat, 200.0) == 60
    assert find_line_freq(np.full((2, 900), np.nan), 200.0) is None
    flat[2:, 1500:] = 0  # most of the time nothing was recorded
    assert find_line_freq(flat, 200.0) is None


@pytest.mark.parametrize("sfreq, n_times", [(80.0, 800), (100.0, 1000), (200.0, 0), (200.0, 40)])
def test_find_line_freq_where_it_cannot_be_seen(sfreq, n_times):
    data = np.random.default_rng(0).standard_normal((3, n_times))
    assert find_line_freq(data, sfreq) is None


# Short data


def test_preprocess_epochs():
    raw = make_raw(seconds=100, line=50e-6, line_freq=50)
    epochs = mne.make_fixed_length_epochs(raw, 50.0, preload=True)
    out = preprocess(epochs)
    assert isinstance(out, mne.BaseEpochs)
    assert out.get_data().shape == (2, 6, 10000)
    assert_array_equal(out.events, epochs.events)
    assert_allclose(out.get_data(picks="eeg").mean(axis=1), 0, atol=1e-15)
    assert power_at(out, 50) < 0.02 * power_at(epochs, 50)
    assert out.info["highpass"] == pytest.approx(0.1)


@pytest.mark.parametrize("seconds, sfreq", [(1.0, 256.0), (4.0, 256.0), (1.0, 152.0)])
def test_short_epochs_are_not_high_passed(seconds, sfreq):
    raw = make_raw(sfreq=sfreq, line=50e-6, line_freq=50)
    raw._data[:5] += 50e-6 * np.arange(5)[:, None]
    epochs = mne.make_fixed_length_epochs(raw, seconds, preload=True)
    before = epochs.get_data()
    with pytest.warns(RuntimeWarning, match="high-pass at 0.1 Hz needs 33 s of continuous data"):
        out = preprocess(epochs)
    assert_array_equal(epochs.get_data(), before)
    # Between 75 and 76 Hz a second is too short for a low-pass: the data end there by themselves.
    assert out.info["highpass"] == 0 and out.info["lowpass"] == (75 if sfreq > 160 else 76)
    assert np.abs(out.get_data(picks="eeg").mean(axis=-1)).max() < 2e-6
    assert power_at(out, 50) < 0.2 * power_at(epochs, 50)


def test_epochs_of_preprocessed_data_stay():
    clean = preprocess(make_raw(line_freq=50))
    epochs = mne.make_fixed_length_epochs(clean, 2.0, preload=True)
    out = preprocess(epochs, line_freq=False)
    assert out.info["highpass"] == clean.info["highpass"]
    # At their edges the low-pass has less to go by.
    inner = slice(50, -50)
    after, before = out.get_data(picks="eeg")[..., inner], epochs.get_data(picks="eeg")[..., inner]
    assert_allclose(after, before, atol=3e-6)


def test_short_raw():
    with pytest.warns(RuntimeWarning, match="longest segment has 10 s"):
        out = preprocess(make_raw(seconds=10, line_freq=50))
    assert out.times[-1] == pytest.approx(10, abs=0.01)


def test_joins_are_not_filtered_across():
    """Segments of a recording are processed separately."""
    pieces = [make_raw(seconds=2, line_freq=50, seed=seed) for seed in range(20)]
    for k, piece in enumerate(pieces):
        piece._data[:5] += k * 1e-4
    raw = mne.concatenate_raws(pieces)
    with pytest.warns(RuntimeWarning, match="longest segment has 2 s"):
        out = preprocess(raw)
    parts = out.get_data(picks="eeg")[:, : 20 * 400].reshape(5, 20, 400)
    assert np.abs(parts[..., 50:-50].mean(axis=-1)).max() < 3e-6
    assert list(out.annotations.onset) == list(raw.annotations.onset)


# What is refused


@pytest.mark.parametrize(
    "scale, message",
    [
        (1e6, "not in volts: multiply them by 1e-6"),
        (1e4, "not in volts"),
        (1e-6, "scaled to volts twice: multiply them by 1e6"),
        (0.0, "are flat"),
    ],
)
def test_units(scale, message):
    raw = make_raw()
    raw._data[:5] *= scale
    with pytest.raises(ValueError, match="expected between 1e-9 and 1e-2 V") as error:
        preprocess(raw)
    assert message in str(error.value)


@settings(deadline=None, max_examples=25)
@given(
    level=st.floats(1e-7, 1e-3),
    offset=st.floats(-0.3, 0.3),
    epochs=st.booleans(),
    seed=st.integers(0, 9),
)
def test_units_look_past_offsets(level, offset, epochs, seed):
    """Electrode offsets of several hundred millivolts are accepted, as in BioSemi recordings."""
    rng = np.random.default_rng(seed)
    data = level * rng.standard_normal((4, 3, 500)) + offset * rng.standard_normal((1, 3, 1))
    data = data if epochs else data[0]
    check_units(data)
    with pytest.raises(ValueError, match="median absolute value of the EEG"):
        check_units(data * 1e6 / (level * 1e5))
    with_gap = data.copy()
    with_gap[..., 0, :] = np.nan
    check_units(with_gap)


def test_units_of_nothing():
    check_units(np.full((2, 10), np.nan))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(value):
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


def test_what_is_not_potentials():
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


@pytest.mark.parametrize(
    "path, line_freq",
    [
        ("eegmmi/sub-012/eeg/sub-012_task-imagery_run-04_eeg.edf", 60),
        ("mdd/sub-mdd01/eeg/sub-mdd01_task-eyesclosed_eeg.edf", 50),
        ("eegmat/sub-04/eeg/sub-04_task-rest_eeg.edf", None),
    ],
)
def test_line_in_shared_recordings(shared, path, line_freq):
    raw = mne.io.read_raw_edf(shared / "eeg" / path, preload=True)
    assert find_line_freq(raw.get_data(picks="eeg"), raw.info["sfreq"]) == line_freq
    check_units(raw.get_data(picks="eeg"))


def test_short_segments_are_warned_of_once():
    parts = [make_raw(seconds=seconds) for seconds in (60, 6, 4, 1)]
    raw = mne.concatenate_raws(parts)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        preprocess(raw, line_freq=50)
    (message,) = [str(warning.message) for warning in found]
    assert message.startswith(
        "3 of 4 segments of continuous time are shorter than the notch filter"
    )


def test_a_mark_of_no_length_leaves_no_empty_segment():
    """A segment without samples has no mean to subtract, which NumPy would warn of."""
    raw = make_raw(seconds=4)
    marks = mne.Annotations([1, 1.5], [2, 0], "BAD_ACQ_SKIP", raw.info["meas_date"])
    raw.set_annotations(marks)
    done = preprocess(raw, line_freq=False, verbose="error")
    assert np.isfinite(done.get_data()).all()


@pytest.mark.filterwarnings("ignore:A high-pass at")
@pytest.mark.parametrize("n_times, sfreq", [(1078, 512.3), (2510, 512.3), (392, 128.0)])
def test_filters_are_no_longer_than_the_data(n_times, sfreq):
    """MNE warns if they are; the tests take that for an error."""
    raw = make_raw(sfreq=sfreq, seconds=(n_times + 0.5) / sfreq, line=20e-6)
    assert raw.n_times == n_times
    with pytest.warns(match="low-passed") if sfreq < 150 else nullcontext():
        done = preprocess(raw, line_freq=50)
    kept = preprocess(raw, line_freq=False, verbose="error")
    assert power_at(done, 50) < 0.5 * power_at(kept, 50)


@pytest.mark.filterwarnings("ignore:A high-pass at")
def test_neighbouring_joins_leave_no_empty_segment_to_filter():
    raw = make_raw(sfreq=250, seconds=2)
    marks = mne.Annotations([0.1, 0.4, 0.4], [0.3, 0.0, 1.5], "EDGE boundary")
    done = preprocess(raw.set_annotations(marks), line_freq=50)
    assert np.isfinite(done.get_data()).all()


@pytest.mark.filterwarnings("ignore:A high-pass at", "ignore:A notch filter at")
@pytest.mark.parametrize("content", [0.0, 0.5, 1e-12])
@pytest.mark.parametrize("kind", ["Raw", "Epochs"])
def test_bad_segments_decide_about_no_error(kind, content):
    """Most of the recording is a bad segment, by which its unit is not judged."""
    inst = make_raw(seconds=4)
    inst._data[:5, 256:-64] = content
    inst.set_annotations(mne.Annotations(1.0, 2.75, "BAD_pause"))
    if kind == "Epochs":
        options = dict(duration=2.0, preload=True, reject_by_annotation=False)
        inst = mne.make_fixed_length_epochs(inst, **options)
    assert preprocess(inst, line_freq=50).info["sfreq"] == 200
    inst.set_annotations(None)
    with pytest.raises(ValueError, match="The median absolute value of the EEG is"):
        preprocess(inst, line_freq=50)


def test_impossible_values_are_refused_without_a_warning_of_numpy():
    with pytest.raises(ValueError, match="is inf V"):
        check_units(np.full((2, 2), [[1e308], [-1e308]]) * [1, 0.9])


@pytest.mark.filterwarnings("ignore:A high-pass at")
def test_impossible_values_of_other_signals_stay_there():
    """Their overflow while resampling is no news."""
    raw = make_raw(seconds=4, names=["Fp1", "F3", "Cz", "P4", "Oz", "RESP"])
    raw._data[5, 300:700] = [1e308, -1e308] * 200
    with pytest.warns(RuntimeWarning, match="Left out of the reference .*: RESP"):
        done = preprocess(raw, line_freq=50)
    expected = preprocess(raw.copy().drop_channels(["RESP"]), line_freq=50, verbose="error")
    assert_allclose(done.get_data(NAMES), expected.get_data(NAMES), atol=1e-12)


@pytest.mark.parametrize("content", [np.nan, 0.3])
@pytest.mark.parametrize("kind", ["Raw", "Epochs"])
def test_channels_that_annotations_mark_throughout_are_bad(kind, content):
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
