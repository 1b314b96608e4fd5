# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Test that cutting and joining are exact inverses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._recording._patches import (
    cut_patches,
    cut_windows,
    join_patches,
    overlap_add,
    window_starts,
)

few = settings(deadline=None, max_examples=60)
leads = hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)


@st.composite
def tilings(draw):
    """Draw (n_times, window, step) that can cover a signal."""
    window = draw(st.integers(1, 40))
    return draw(st.integers(window, 200)), window, draw(st.integers(1, window))


@few
@given(lead=leads, n=st.integers(1, 16), patch=st.integers(1, 30), dtype=st.sampled_from("fd"))
def test_patches_round_trip(lead, n, patch, dtype):
    x = np.random.default_rng(n).standard_normal((*lead, n * patch)).astype(dtype)
    patches = cut_patches(x, patch)
    assert patches.shape == (*lead, n, patch)
    assert_array_equal(patches[..., -1, :], x[..., -patch:])
    back = join_patches(patches)
    assert back.dtype == x.dtype
    assert_array_equal(back, x)


def test_patches_are_a_second_by_default():
    assert cut_patches(np.zeros((3, 800))).shape == (3, 4, 200)


def test_patches_refuse_a_rest():
    with pytest.raises(ValueError, match="401 samples, which is no multiple of 200"):
        cut_patches(np.zeros((2, 401)))


@few
@given(tilings())
def test_window_starts_cover_everything(tiling):
    n_times, window, step = tiling
    starts = window_starts(n_times, window, step)
    assert starts[0] == 0 and starts[-1] == n_times - window
    assert (np.diff(starts) > 0).all() and (np.diff(starts) <= step).all()
    covered = np.zeros(n_times, bool)
    for start in starts:
        covered[start : start + window] = True
    assert covered.all()


def test_window_starts_need_no_extra_window_when_they_fit():
    assert_array_equal(window_starts(1000, 400, 200), [0, 200, 400, 600])
    assert_array_equal(window_starts(1001, 400, 200), [0, 200, 400, 600, 601])


@pytest.mark.parametrize("step", [0, 11])
def test_window_starts_refuse_gaps(step):
    with pytest.raises(ValueError, match="step must be between 1 and the window's 10"):
        window_starts(100, 10, step)


def test_window_starts_refuse_short_signals():
    with pytest.raises(ValueError, match="window of 10 samples doesn't fit into a signal of 9"):
        window_starts(9, 10, 5)


@few
@given(tiling=tilings(), lead=leads, data=st.data())
def test_overlap_add_inverts_cutting(tiling, lead, data):
    n_times, window, step = tiling
    taper = data.draw(st.integers(0, window // 2))
    x = np.random.default_rng(n_times).standard_normal((*lead, n_times))
    starts = window_starts(n_times, window, step)
    windows = cut_windows(x, starts, window)
    assert windows.shape == (len(starts), *lead, window)
    assert_allclose(overlap_add(windows, starts, n_times, taper), x, rtol=1e-12, atol=1e-12)


@few
@given(tilings(), st.data())
def test_overlap_add_is_a_weighted_mean(tiling, data):
    """Between windows that disagree the result stays between them: weights add up to one."""
    n_times, window, step = tiling
    taper = data.draw(st.integers(0, window // 2))
    starts = window_starts(n_times, window, step)
    levels = np.random.default_rng(step).uniform(-1, 1, len(starts))
    x = overlap_add(np.repeat(levels[:, None], window, axis=1), starts, n_times, taper)
    for t in range(n_times):
        here = levels[(starts <= t) & (t < starts + window)]
        assert here.min() - 1e-12 <= x[t] <= here.max() + 1e-12


def test_overlap_add_fades_over_half_a_patch():
    """Two windows that overlap by half a patch cross-fade in a straight line, without a jump."""
    windows = np.stack([np.zeros(400), np.ones(400)])
    x = overlap_add(windows, [0, 300], 700, taper=100)
    assert_allclose(x[:300], 0)
    assert_allclose(x[400:], 1)
    assert_allclose(np.diff(x[300:400]), 0.01)


def test_overlap_add_keeps_single_precision():
    windows = np.ones((1, 2, 10), np.float32)
    assert overlap_add(windows, [0], 10, 2).dtype == np.float32


def test_overlap_add_refuses_what_it_cannot_do():
    windows = np.ones((2, 10))
    with pytest.raises(ValueError, match="5 of 25 samples are in no window"):
        overlap_add(windows, [0, 15], 25, 0)
    with pytest.raises(ValueError, match="taper must be between 0 and 5"):
        overlap_add(windows, [0, 10], 20, 6)
