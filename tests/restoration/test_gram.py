# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows for the network: they cover the signal, and are put together again without steps."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.restoration._gram import cross_fade, list_starts

few = settings(deadline=None, max_examples=60)
sizes = st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(n, 200), st.just(n)))


@few
@given(sizes)
def test_windows_cover_every_sample(size):
    n_times, length = size
    starts = list_starts(n_times, length)
    assert starts[0] == 0 and starts[-1] == n_times - length
    assert (np.diff(starts) > 0).all() and (np.diff(starts) <= length).all()
    covered = np.zeros(n_times, bool)
    for start in starts:
        covered[start : start + length] = True
    assert covered.all()


def test_no_extra_window_where_they_fit():
    assert_array_equal(list_starts(1000, 200), [0, 200, 400, 600, 800])
    assert_array_equal(list_starts(1001, 200), [0, 200, 400, 600, 800, 801])


@few
@given(sizes, st.integers(0, 1000))
def test_cross_fading_inverts_cutting(size, seed):
    n_times, length = size
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, n_times))
    starts = list_starts(n_times, length)
    windows = np.stack([x[:, start : start + length] for start in starts])
    fade = rng.uniform(0.1, 1, length)
    assert_allclose(cross_fade(windows, starts, n_times, fade), x, rtol=1e-12, atol=1e-12)


@few
@given(sizes, st.integers(0, 1000))
def test_cross_fading_is_a_weighted_mean(size, seed):
    """Between windows that disagree the result lies between them: weights add up to one."""
    n_times, length = size
    rng = np.random.default_rng(seed)
    starts = list_starts(n_times, length)
    levels = rng.uniform(-1, 1, len(starts))
    windows = np.repeat(levels[:, None], length, axis=1)
    x = cross_fade(windows, starts, n_times, rng.uniform(0.1, 1, length))
    for t in range(n_times):
        here = levels[(starts <= t) & (t < starts + length)]
        assert here.min() - 1e-12 <= x[t] <= here.max() + 1e-12


def test_windows_fade_into_each_other():
    """Two windows that overlap cross-fade in a straight line, without a jump."""
    windows = np.stack([np.zeros(400), np.ones(400)])
    ramp = (np.arange(100) + 0.5) / 100
    fade = np.r_[ramp, np.ones(200), ramp[::-1]]
    x = cross_fade(windows, [0, 300], 700, fade)
    assert_allclose(x[:300], 0)
    assert_allclose(x[400:], 1)
    assert_allclose(np.diff(x[300:400]), 0.01)
