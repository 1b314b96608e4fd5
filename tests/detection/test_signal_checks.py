# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Flat, clipped and bridged channels, line noise, and windows."""

import mne
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.detection._signal_checks import (
    choose_clipped,
    find_bridged,
    find_flat,
    find_plateaus,
    has_flat,
    measure_line,
)
from mne_gram.detection._signals import Signals

SFREQ = 160.0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(10, 60), st.sampled_from([100.0, 160.0, 250.0]))
def test_flat_to_the_sample(seed, length, sfreq):
    """A flat segment is marked exactly if it is long enough, and nothing else is."""
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
    """The line's root mean square is measured at any phase, and is 0 above the Nyquist rate."""
    times = np.arange(160) / 160
    waves = np.array([[np.sin(2 * np.pi * 50 * times), np.cos(2 * np.pi * 60.0 * times) * 2]])
    assert_allclose(measure_line(waves, 160.0, [50.0])[0, 0], np.sqrt(0.5), rtol=0.01)
    assert_allclose(measure_line(waves, 160.0, [50.0, 60.0])[0, 1], np.sqrt(2), rtol=0.01)
    assert_array_equal(measure_line(waves, 160.0, [90.0]), np.zeros((1, 2)))


def test_bridged_pairs():
    """Bridged pairs have a small difference relative to that of neighbours."""
    cov = np.eye(4) + 0.5
    cov[0, 1] = cov[1, 0] = 1.4999
    used = np.ones(4, bool)
    assert find_bridged(cov, used, list("abcd")) == [("a", "b")]
    used[0] = False
    assert find_bridged(cov, used, list("abcd")) == []


def test_windows_cover_time(make_raw):
    """Windows cover each segment exactly once."""
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


def test_has_flat():
    """Runs of any length, anywhere, are found as by find_flat."""
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((3, 40, 150))
    for window in windows:
        for row in range(30):
            start, length = rng.integers(0, 150), rng.integers(1, 60)
            window[row, start : start + length] = window[row, start]
    expected = [find_flat(window, 100.0, 1.0).any(axis=1) for window in windows]
    assert 20 < np.sum(expected) < 100
    assert_array_equal([has_flat(window, 100.0, 1.0) for window in windows], expected)
