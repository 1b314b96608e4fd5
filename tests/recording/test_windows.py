# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Clean windows: where they lie, what they hold, and what their covariances tell."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._recording import (
    Recording,
    Samples,
    choose_windows,
    find_spans,
    group_products,
    measure_moments,
    split_recording,
    subtract_mean,
)
from mne_gram.covariance import band_products

some = settings(deadline=None, max_examples=25)
SFREQ = 100.0


def make_raw(n_times, meas_date=None, first_samp=0):
    """Return a recording of noise."""
    info = mne.create_info(["Fz", "Cz", "Pz"], SFREQ, "eeg")
    data = np.random.default_rng(0).standard_normal((3, n_times)) * 1e-5
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    if meas_date is not None:
        raw.set_meas_date(meas_date)
    return raw


# ---------------------------------------------------------------------------------------------
# Pieces


@pytest.mark.parametrize("meas_date", [None, 1_000_000_000])
@pytest.mark.parametrize("crop", [0.0, 2.0])
def test_pieces_end_where_recordings_were_joined(meas_date, crop):
    parts = [make_raw(n, meas_date, first_samp=150) for n in (500, 300, 400)]
    raw = mne.concatenate_raws(parts, verbose="error")
    raw.crop(crop, None)
    offset = round(crop * SFREQ)
    assert raw.first_samp == 150 + offset
    assert split_recording(raw) == [
        (0, 500 - offset),
        (500 - offset, 800 - offset),
        (800 - offset, 1200 - offset),
    ]


def test_pieces_without_joins():
    raw = make_raw(700, 1_000_000_000, first_samp=33)
    assert split_recording(raw) == [(0, 700)]
    onset = raw.first_time + 2
    raw.set_annotations(mne.Annotations([onset], [1], ["BAD"], orig_time=raw.info["meas_date"]))
    assert split_recording(raw) == [(0, 700)]  # bad, but without a gap in time


@pytest.mark.parametrize("meas_date", [None, 1_000_000_000])
def test_pieces_end_at_holes_of_the_acquisition(meas_date):
    raw = make_raw(700, meas_date, first_samp=120)
    if meas_date is None:  # MNE then counts from the first sample
        hole = mne.Annotations([2.0], [1.5], ["bad_acq_skip"])
    else:
        onset = raw.first_time + 2.0
        hole = mne.Annotations([onset], [1.5], ["BAD_ACQ_SKIP"], orig_time=raw.info["meas_date"])
    raw.set_annotations(hole)
    assert split_recording(raw) == [(0, 200), (200, 350), (350, 700)]


# ---------------------------------------------------------------------------------------------
# Windows


def cut_windows(data, mask, segments, sfreq, max_windows):
    """Cut the windows that are chosen, 0 where a channel is not good throughout."""
    starts, length, good = choose_windows(find_spans(mask), segments, sfreq, max_windows)
    windows = np.zeros((len(starts), len(data), length))
    for window, start, usable in zip(windows, starts, good, strict=True):
        window[usable] = data[usable, start : start + length]
    return windows, good


def window_products(windows, good, sfreq, carries_reference):
    """Return the spectra of windows relative to the mean of good channels."""
    largest = np.abs(windows).max(axis=2)
    return subtract_mean(band_products(windows, sfreq), largest, good, carries_reference)


def group_moments(windows, good, sfreq, carries_reference):
    """Return the moments of windows."""
    return group_products(window_products(windows, good, sfreq, carries_reference), good)


def draw_case(seed):
    """Draw signals with NaN where bad, and segments."""
    rng = np.random.default_rng(seed)
    n_channels, n_times = int(rng.integers(5, 12)), int(rng.integers(150, 3000))
    mask = np.zeros((n_channels, n_times), bool)
    for _ in range(rng.integers(0, 8)):
        start = rng.integers(0, n_times)
        mask[rng.integers(n_channels), start : start + rng.integers(1, 500)] = True
    data = rng.standard_normal(mask.shape)
    data[mask] = np.nan
    inside = np.sort(rng.choice(np.arange(1, n_times), rng.integers(0, 4), replace=False))
    cuts = [0, *inside.tolist(), n_times]
    return data, mask, list(zip(cuts[:-1], cuts[1:], strict=True))


@some
@given(seed=st.integers(0, 10_000), max_windows=st.integers(2, 60))
def test_windows_hold_nothing_bad(seed, max_windows):
    data, mask, segments = draw_case(seed)
    windows, good = cut_windows(data, mask, segments, SFREQ, max_windows)
    assert windows.shape[:2] == good.shape
    assert np.isfinite(windows).all()
    assert (windows[~good] == 0).all()
    assert (windows[good] != 0).any(axis=1).all()
    assert (good.sum(axis=1) >= 2).all()


@some
@given(seed=st.integers(0, 10_000))
def test_windows_lie_in_one_segment(seed):
    data, mask, segments = draw_case(seed)
    clock = np.broadcast_to(np.arange(1.0, data.shape[1] + 1), data.shape)  # tells the time
    windows, good = cut_windows(clock, mask, segments, SFREQ, 1000)
    assert windows.shape[2] == min(100, max(stop - start for start, stop in segments))
    seen = []
    for window, usable in zip(windows, good, strict=True):
        times = window[usable][0].astype(int) - 1
        assert_array_equal(np.diff(times), 1)
        assert (window[usable] == times + 1).all()
        assert not mask[usable][:, times].any()
        assert mask[~usable][:, times].any(axis=1).all()  # not good is what has a bad sample
        assert any(start <= times[0] and times[-1] < stop for start, stop in segments)
        seen.append(times[0])
    assert len(set(seen)) == len(seen)


def test_windows_are_spread_over_the_recording():
    n_times = 60_000
    data = np.broadcast_to(np.arange(1.0, n_times + 1), (6, n_times))
    windows, good = cut_windows(data, np.zeros(data.shape, bool), [(0, n_times)], SFREQ, 50)
    assert len(windows) == 50 and good.all()
    starts = windows[:, 0, 0] - 1
    assert starts[0] == 0 and starts[-1] >= n_times - 150
    assert np.ptp(np.diff(starts)) <= 50  # evenly, up to a step


def test_half_overlapping_windows():
    data = np.broadcast_to(np.arange(1.0, 501), (4, 500))
    windows, _ = cut_windows(data, np.zeros(data.shape, bool), [(0, 500)], SFREQ, 100)
    assert_array_equal(windows[:, 0, 0] - 1, np.arange(0, 401, 50))


def test_full_windows_come_first():
    mask = np.zeros((6, 4000), bool)
    mask[2, 1000:2000] = True
    _, good = cut_windows(np.ones(mask.shape), mask, [(0, 4000)], SFREQ, 20)
    assert len(good) == 20 and good.all()


def test_a_channel_that_is_seldom_good_has_windows():
    mask = np.zeros((6, 4000), bool)
    mask[0] = True
    mask[0, 2000:2300] = False
    mask[1, 1900:2400] = True  # so that it is never in the fullest windows
    mask[2, 1900:2400] = True
    _, good = cut_windows(np.ones(mask.shape), mask, [(0, 4000)], SFREQ, 20)
    assert good.any(axis=0).all()


def test_no_windows():
    mask = np.ones((6, 400), bool)
    windows, good = cut_windows(np.full(mask.shape, np.nan), mask, [(0, 400)], SFREQ, 20)
    assert len(windows) == len(good) == 0
    assert group_moments(windows, good, SFREQ, np.ones(6)) == []


# ---------------------------------------------------------------------------------------------
# Moments


def white_windows(n_windows, cov, seed=0):
    """Return windows of white noise with a covariance."""
    rng = np.random.default_rng(seed)
    return np.linalg.cholesky(cov) @ rng.standard_normal((n_windows, len(cov), 100))


def draw_cov(n, seed=0):
    """Draw a covariance."""
    factor = np.random.default_rng(seed).standard_normal((n, 2 * n))
    return factor @ factor.T / (2 * n)


def test_moments_tell_the_covariance_relative_to_the_mean():
    true = draw_cov(5)
    windows = white_windows(2000, true)
    (moments,) = group_moments(windows, np.ones((2000, 5), bool), SFREQ, np.ones(5))
    average = np.eye(5) - 1 / 5
    assert_array_equal(moments.good, np.arange(5))
    assert 1950 < moments.n_windows <= 2000
    for cov in moments.cov:
        assert_allclose(cov.sum(axis=0), 0, atol=1e-12)
        found = cov / np.trace(cov) * np.trace(average @ true @ average)
        assert_allclose(found, average @ true @ average, atol=0.06)


def test_moments_are_grouped_by_pattern():
    windows = white_windows(60, draw_cov(6))
    good = np.ones((60, 6), bool)
    good[20:50, 3] = False
    windows[20:50, 3] = 0.0
    first, second = sorted(
        group_moments(windows, good, SFREQ, np.ones(6)), key=lambda m: len(m.good)
    )
    assert_array_equal(first.good, [0, 1, 2, 4, 5])
    assert_array_equal(second.good, np.arange(6))
    assert first.n_windows == pytest.approx(30, abs=1)
    assert second.n_windows == pytest.approx(30, abs=1)
    # Each is what its windows alone give.
    (alone,) = group_moments(windows[20:50, first.good], good[20:50, first.good], SFREQ, np.ones(5))
    assert_allclose(first.cov, alone.cov, rtol=1e-6)


@some
@given(seed=st.integers(0, 1000), size=st.sampled_from([1e-2, 1.0, 1e3]))
def test_moments_are_free_of_the_reference(seed, size):
    rng = np.random.default_rng(seed)
    windows = rng.standard_normal((20, 6, 100))
    good = rng.random((20, 6)) < 0.8
    good[:, :2] = True  # something to refer to
    windows[~good] = 0.0
    carries_reference = np.array([1.0, 1, 1, 0, 1, 0])
    shared = size * rng.standard_normal((20, 1, 100))
    moved = np.where((good * carries_reference)[..., None] > 0, windows + shared, windows)
    one = group_moments(windows, good, SFREQ, carries_reference)
    other = group_moments(moved, good, SFREQ, carries_reference)
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert_array_equal(a.good, b.good)
        assert_allclose(a.cov, b.cov, atol=1e-9 * max(1, size))


def test_bipolar_derivations_are_not_referred():
    windows = white_windows(30, draw_cov(4))
    (moments,) = group_moments(windows, np.ones((30, 4), bool), SFREQ, np.zeros(4))
    (shifted,) = group_moments(windows + 1.0, np.ones((30, 4), bool), SFREQ, np.zeros(4))
    assert_allclose(moments.cov, shifted.cov, atol=1e-12)  # an offset is no signal
    assert np.linalg.matrix_rank(moments.cov[3]) == 4


def test_loud_windows_count_little():
    true = draw_cov(5)
    windows = white_windows(100, true)
    loud = windows.copy()
    loud[40:42] *= 1000.0
    good = np.ones((100, 5), bool)
    (clean,) = group_moments(windows, good, SFREQ, np.ones(5))
    (moments,) = group_moments(loud, good, SFREQ, np.ones(5))
    assert moments.n_windows < clean.n_windows - 1.9
    assert (np.einsum("bii->b", moments.cov) < 1.3 * np.einsum("bii->b", clean.cov)).all()


def test_moments_scale_with_the_signal():
    windows = white_windows(30, draw_cov(4))
    good = np.ones((30, 4), bool)
    (one,) = group_moments(windows, good, SFREQ, np.ones(4))
    (tiny,) = group_moments(1e-6 * windows, good, SFREQ, np.ones(4))
    assert tiny.n_windows == pytest.approx(one.n_windows)
    assert_allclose(1e12 * tiny.cov, one.cov, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("chunk", [2**22, 2000])
def test_moments_of_a_recording(monkeypatch, chunk):
    """They are those of its windows, however many of these are read together."""
    monkeypatch.setattr("mne_gram._recording._windows._CHUNK_VALUES", chunk)
    data, mask, segments = draw_case(11)
    samples = Samples(data, np.arange(len(data)), segments)
    recording = Recording(samples, find_spans(mask), mne.create_info(len(data), SFREQ, "eeg"))
    carries_reference = np.ones(len(data))
    found = measure_moments(recording, carries_reference, max_windows=30)
    windows, good = cut_windows(data, mask, segments, SFREQ, 30)
    expected = group_moments(windows, good, SFREQ, carries_reference)
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one.good, other.good)
        assert_allclose(one.cov, other.cov, rtol=1e-9)


def test_windows_are_transformed_once(monkeypatch):
    """More that is hidden leaves the spectra of most windows; what is written is read again."""
    rng = np.random.default_rng(3)
    data, seen = rng.standard_normal((6, 2000)), []
    data += 100 * rng.standard_normal(2000)  # a reference
    mask = np.zeros(data.shape, bool)
    mask[0, 300:500] = True
    data[mask] = np.nan

    def count(windows, sfreq):
        seen.append(len(windows))
        return band_products(windows, sfreq)

    monkeypatch.setattr("mne_gram._recording._windows.band_products", count)
    info = mne.create_info(len(data), SFREQ, "eeg")

    def measure(samples, hidden):
        recording = Recording(samples, find_spans(mask | hidden), info)
        return measure_moments(recording, np.ones(len(data)))

    samples = Samples(data, np.arange(len(data)), [(0, 2000)])
    measure(samples, np.zeros_like(mask))
    (n_windows,) = seen
    hidden = np.zeros_like(mask)
    hidden[2], hidden[4, :900] = True, True
    for wanted in (hidden, np.zeros_like(mask)):
        seen.clear()
        found = measure(samples, wanted)
        assert sum(seen) == 0
        seen.clear()
        expected = measure(Samples(data, np.arange(len(data)), [(0, 2000)]), wanted)
        assert sum(seen) == n_windows
        for one, other in zip(found, expected, strict=True):
            assert_array_equal(one.good, other.good)
            assert_allclose(one.cov, other.cov, rtol=1e-9, atol=1e-12)
    samples.write(1, 0, 3 * data[1])
    seen.clear()
    again = measure(samples, np.zeros_like(mask))
    assert sum(seen) == n_windows
    assert not np.allclose(again[0].cov, found[0].cov)


def test_halves_of_the_windows():
    """Runs of windows take turns, and their mean is the whole; few windows are not halved."""
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((60, 3, 100))
    good = np.ones((60, 3), bool)
    products = window_products(windows, good, SFREQ, np.ones(3))
    (whole,) = group_products(products, good)
    assert whole.halves.shape == (2, *whole.cov.shape)
    first = np.arange(60) // 10 % 2 == 0
    (expected,) = group_products([p[first] for p in products], good[first])
    assert_allclose(whole.halves[0], expected.cov, rtol=1e-6)
    assert_allclose(whole.halves.mean(axis=0), whole.cov, rtol=1e-6)
    (few,) = group_products([p[:39] for p in products], good[:39])
    assert few.halves is None
