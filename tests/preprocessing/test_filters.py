# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The band, and data that are too short for it."""

import warnings
from contextlib import nullcontext

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.preprocessing import preprocess


def test_band_can_be_chosen(make_raw, power_at):
    out = preprocess(make_raw(line_freq=50), l_freq=1.0, h_freq=40.0)
    assert out.info["highpass"] == 1 and out.info["lowpass"] == 40
    assert power_at(out, 60) < 0.01 * power_at(out, 20)
    out = preprocess(make_raw(line_freq=50), l_freq=None, h_freq=None, sfreq=100.0)
    assert out.info["sfreq"] == 100 and out.info["highpass"] == 0


def test_harmonics_are_taken_out_too(make_raw, power_at):
    raw = make_raw(line=0)
    out = preprocess(raw, line_freq=25)
    for freq in (25, 50):
        assert power_at(out, freq) < 0.5 * power_at(out, freq - 5)


@pytest.mark.parametrize("sfreq", [100.0, 128.0])
def test_low_rates(sfreq, make_raw, power_at):
    with pytest.warns(RuntimeWarning, match=f"low-passed at {sfreq / 2:g} Hz"):
        out = preprocess(make_raw(sfreq=sfreq, line_freq=50))
    assert out.info["sfreq"] == 200
    assert power_at(out, 20) > 100 * power_at(out, sfreq / 2 + 5)


@pytest.mark.parametrize("sfreq", [150.5, 160.0, 200.0, 512.0, 2000.0])
def test_rates_that_hold_the_band(sfreq, make_raw, power_at):
    out = preprocess(make_raw(sfreq=sfreq, seconds=40, line_freq=60))
    assert out.info["sfreq"] == 200
    assert 0.5 < power_at(out, 70) / power_at(out, 20) < 2


def test_filtered_data_give_a_warning(make_raw):
    raw = make_raw(line_freq=50).filter(0.5, 45.0)
    with pytest.warns(RuntimeWarning, match="high-passed at 0.5 Hz.*low-passed at 45 Hz"):
        preprocess(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preprocess(raw, l_freq=0.5, h_freq=45.0)


@pytest.mark.parametrize(
    "kwargs, match",
    [
        (dict(l_freq=0), "l_freq must be a positive"),
        (dict(h_freq=np.nan), "h_freq must be a positive"),
        (dict(sfreq=-5), "sfreq must be a positive"),
        (dict(l_freq=30, h_freq=10), "l_freq must be below h_freq"),
    ],
)
def test_frequencies_must_be_possible(kwargs, match, make_raw):
    """No band-stop filter takes the place of the band-pass, either."""
    with pytest.raises(ValueError, match=match):
        preprocess(make_raw(), **kwargs)


def test_preprocess_epochs(make_raw, power_at):
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
def test_short_epochs_are_not_high_passed(seconds, sfreq, make_raw, power_at):
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


def test_epochs_of_preprocessed_data_stay(make_raw):
    clean = preprocess(make_raw(line_freq=50))
    epochs = mne.make_fixed_length_epochs(clean, 2.0, preload=True)
    out = preprocess(epochs, line_freq=False)
    assert out.info["highpass"] == clean.info["highpass"]
    # At their edges the low-pass has less to go by.
    inner = slice(50, -50)
    after, before = out.get_data(picks="eeg")[..., inner], epochs.get_data(picks="eeg")[..., inner]
    assert_allclose(after, before, atol=3e-6)


def test_short_raw(make_raw):
    with pytest.warns(RuntimeWarning, match="longest segment has 10 s"):
        out = preprocess(make_raw(seconds=10, line_freq=50))
    assert out.times[-1] == pytest.approx(10, abs=0.01)


def test_joins_are_not_filtered_across(make_raw):
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


def test_short_segments_are_warned_of_once(make_raw):
    parts = [make_raw(seconds=seconds) for seconds in (60, 6, 4, 1)]
    raw = mne.concatenate_raws(parts)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        preprocess(raw, line_freq=50)
    (message,) = [str(warning.message) for warning in found]
    assert message.startswith(
        "3 of 4 segments of continuous time are shorter than the notch filter"
    )


def test_a_mark_of_no_length_leaves_no_empty_segment(make_raw):
    """A segment without samples has no mean to subtract, which NumPy would warn of."""
    raw = make_raw(seconds=4)
    marks = mne.Annotations([1, 1.5], [2, 0], "BAD_ACQ_SKIP", raw.info["meas_date"])
    raw.set_annotations(marks)
    done = preprocess(raw, line_freq=False, verbose="error")
    assert np.isfinite(done.get_data()).all()


@pytest.mark.filterwarnings("ignore:A high-pass at")
@pytest.mark.parametrize("n_times, sfreq", [(1078, 512.3), (2510, 512.3), (392, 128.0)])
def test_filters_are_no_longer_than_the_data(n_times, sfreq, make_raw, power_at):
    """MNE warns if they are; the tests take that for an error."""
    raw = make_raw(sfreq=sfreq, seconds=(n_times + 0.5) / sfreq, line=20e-6)
    assert raw.n_times == n_times
    with pytest.warns(match="low-passed") if sfreq < 150 else nullcontext():
        done = preprocess(raw, line_freq=50)
    kept = preprocess(raw, line_freq=False, verbose="error")
    assert power_at(done, 50) < 0.5 * power_at(kept, 50)


@pytest.mark.filterwarnings("ignore:A high-pass at")
def test_neighbouring_joins_leave_no_empty_segment_to_filter(make_raw):
    raw = make_raw(sfreq=250, seconds=2)
    marks = mne.Annotations([0.1, 0.4, 0.4], [0.3, 0.0, 1.5], "EDGE boundary")
    done = preprocess(raw.set_annotations(marks), line_freq=50)
    assert np.isfinite(done.get_data()).all()
