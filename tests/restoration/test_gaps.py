# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Where repaired stretches meet good samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._recording import Block
from mne_gram.restoration._gaps import (
    Estimate,
    Gap,
    bridge,
    join_runs,
    limit_steps,
    look_around,
    measure_miss,
    usual_step,
)
from mne_gram.restoration._gaussian import list_gaps

some = settings(deadline=None, max_examples=30)
SFREQ = 100.0


def make_block(data, mask, segments=None):
    """Return signals as a block."""
    return Block(data, mask, segments or [(0, data.shape[1])], 0, SFREQ)


# ---------------------------------------------------------------------------------------------
# Joining runs


def estimate(left, right, values, std=1.0):
    """Return an entry of the table of estimates."""
    return left, right, np.broadcast_to(values, right - left).astype(float), std


def test_one_run_stays_as_it_is():
    mask = np.zeros((3, 500), bool)
    mask[1, 200:300] = True
    values = np.random.default_rng(0).standard_normal(300)
    estimates = {(1, 200): (100, 400, values, 2.0)}
    left, joined, std = join_runs(estimates, 1, 200, 300, mask, SFREQ)
    assert left == 100
    assert_allclose(joined, values)
    assert_allclose(std, 2.0)


def overlapping_mask():
    """Return a mask where channel 1 is bad, and others are too for a part of that time."""
    mask = np.zeros((3, 600), bool)
    mask[1, 200:400] = True
    mask[0, 250:320] = True
    mask[2, 318:500] = True
    return mask


CUTS = (200, 250, 318, 320, 400)


def test_runs_that_agree_are_joined_exactly():
    signal = np.random.default_rng(0).standard_normal(600)
    estimates = {
        (1, a): (a - 100, b + 100, signal[a - 100 : b + 100], 3.0)
        for a, b in zip(CUTS[:-1], CUTS[1:], strict=True)
    }
    left, joined, std = join_runs(estimates, 1, 200, 400, overlapping_mask(), SFREQ)
    assert left == 100 and len(joined) == 400
    assert_allclose(joined, signal[100:500])
    assert_allclose(std, 3.0)


def test_runs_that_disagree_are_cross_faded():
    levels = (0.0, 1.0, 5.0, 2.0)
    estimates = {
        (1, a): estimate(a - 100, b + 100, level, 1 + level)
        for a, b, level in zip(CUTS[:-1], CUTS[1:], levels, strict=True)
    }
    left, joined, std = join_runs(estimates, 1, 200, 400, overlapping_mask(), SFREQ)
    at = joined[np.array([200, 215, 285, 360, 399]) - left]
    assert_allclose(at, [0.0, 0.0, 1.0, 2.0, 2.0], atol=1e-6)  # each its own in the middle
    assert joined.min() >= 0 and joined.max() <= 5
    assert np.abs(np.diff(joined[200 - left : 300 - left])).max() < 0.25  # no step of 1 there
    assert_allclose(std, 1 + joined, atol=1e-9)


def test_a_run_without_estimate():
    estimates = {(1, a): estimate(a - 10, b + 10, 0.0) for a, b in ((200, 250), (320, 400))}
    assert join_runs(estimates, 1, 200, 400, overlapping_mask(), SFREQ) is None


@some
@given(seed=st.integers(0, 10_000))
def test_joined_values_lie_between_the_estimates(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((4, 300), bool)
    mask[0, 100:200] = True
    for channel in (1, 2, 3):
        start = rng.integers(80, 200)
        mask[channel, start : start + rng.integers(1, 60)] = True
    changes = np.flatnonzero((mask[:, 1:] != mask[:, :-1]).any(axis=0)) + 1
    cuts = sorted({100, 200, *changes[(changes > 100) & (changes < 200)].tolist()})
    estimates = {}
    for a, b in zip(cuts[:-1], cuts[1:], strict=True):
        left, right = max(0, a - 60), min(300, b + 60)
        estimates[0, a] = estimate(left, right, rng.uniform(-1, 1))
    left, joined, std = join_runs(estimates, 0, 100, 200, mask, SFREQ)
    assert (left, len(joined)) == (40, 220)
    levels = [values[0] for *_, values, _ in estimates.values()]
    assert min(levels) - 1e-9 <= joined.min() and joined.max() <= max(levels) + 1e-9
    assert_allclose(std, 1.0)


# ---------------------------------------------------------------------------------------------
# Bridging


def smooth_noise(n_times, seed=0, width=20):
    """Return noise whose neighbours are alike."""
    white = np.random.default_rng(seed).standard_normal(n_times + 4 * width)
    kernel = np.hanning(width)
    smooth = np.convolve(white, kernel / np.linalg.norm(kernel), "same")
    return smooth[2 * width : -2 * width]


def bridge_one(signal, gaps, guess, *, fill_gaps=False, told=True):
    """Bridge gaps of one channel; return the table of repaired stretches."""
    data = signal[None].copy()
    mask = np.zeros(data.shape, bool)
    for start, stop in gaps:
        mask[0, start:stop] = True
    data[mask] = np.nan  # not looked at
    block, gaps = make_block(data, mask), []
    for channel, a, b, segment in list_gaps(mask, [(0, len(signal))]):
        left, right = max(0, a - 100), min(len(signal), b + 100)
        joined = (left, guess[left:right], np.full(right - left, 1.0)) if told else None
        gaps.append(Gap(channel, a, b, segment, joined))
    surroundings = [look_around(block, gap) for gap in gaps]
    miss = measure_miss([gap.channel for gap in gaps], surroundings, SFREQ)
    found = bridge(block, gaps, surroundings, miss, fill_gaps)
    return [(e.channel, e.start, e.stop, e.values, e.std, e.invented) for e in found]


def test_a_perfect_estimate_is_left_alone():
    signal = smooth_noise(1000)
    ((channel, a, b, values, std, invented),) = bridge_one(signal, [(400, 500)], signal)
    assert (channel, a, b, invented) == (0, 400, 500, False)
    assert_allclose(values, signal[400:500], atol=1e-12)
    assert (std < 1.0).all() and (std >= 0).all()


def test_a_constant_miss_is_found():
    signal = smooth_noise(1000)
    ((*_, values, _, _),) = bridge_one(signal + 50.0, [(400, 500)], signal)
    assert_allclose(values, signal[400:500] + 50.0, atol=1e-6)


def test_the_miss_is_continued_into_the_gap():
    signal, miss = smooth_noise(2000, 1), smooth_noise(2000, 2, width=40)
    gaps = [(300, 330), (800, 990), (1500, 1510)]
    repaired = bridge_one(signal + miss, gaps, signal)
    for (_, a, b, values, std, _), (start, stop) in zip(repaired, gaps, strict=True):
        assert (a, b) == (start, stop)
        error = values - (signal + miss)[a:b]
        # Continuous at both ends, where the estimate alone is off by the miss.
        assert np.abs(error[[0, -1]]).max() < 0.5 * miss.std()
        # Surest at the ends, as good as before in the middle.
        assert std[0] < std[len(std) // 2] and std[-1] < std[len(std) // 2]
    short = bridge_one(signal + miss, gaps, signal)[2][3] - (signal + miss)[1500:1510]
    assert np.abs(short).max() < 0.3 * miss.std()


def test_the_spread_is_that_of_the_miss_around():
    signal = smooth_noise(4000, 1)
    miss = 10.0 * smooth_noise(4000, 2)
    ((*_, std, _),) = bridge_one(signal + miss, [(1900, 2100)], signal)
    # What is seen (10) and what the model says (1) weigh alike.
    assert np.sqrt((1 + miss[1800:1900].var()) / 2) * 0.5 < std[100] < 2 * 10


def test_what_no_channel_tells_is_left_out_or_invented():
    signal = smooth_noise(1000, width=40) + 7.0
    nothing = np.zeros(1000)
    assert bridge_one(signal, [(400, 460)], nothing, told=False) == []
    ((*_, values, std, invented),) = bridge_one(
        signal, [(400, 460)], nothing, told=False, fill_gaps=True
    )
    assert invented
    assert np.abs(values[[0, -1]] - signal[[399, 460]]).max() < 0.4
    assert np.isfinite(values).all() and (std > 0).all()


def test_a_gap_without_a_past_and_a_future_cannot_be_invented():
    signal = smooth_noise(200)
    nothing = np.zeros(200)
    assert bridge_one(signal, [(0, 200)], nothing, told=False, fill_gaps=True) == []


@pytest.mark.parametrize("gap", [(0, 50), (950, 1000), (0, 1), (999, 1000)])
def test_gaps_at_the_ends_of_a_recording(gap):
    signal = smooth_noise(1000)
    ((_, a, b, values, std, _),) = bridge_one(signal + 5.0, [gap], signal)
    assert (a, b) == gap
    assert_allclose(values, signal[a:b] + 5.0, atol=1e-6)
    assert np.isfinite(std).all()


# ---------------------------------------------------------------------------------------------
# Steps


def test_usual_step_by_hand():
    row = np.cumsum(np.r_[0.0, np.ones(99), np.full(100, 3.0), np.ones(800)])
    mask = np.zeros((1, 1000), bool)
    mask[0, 300:310] = True
    estimate = Estimate(0, 300, 310, np.zeros(10), np.zeros(10))
    data = row[None].copy()
    data[mask] = np.nan
    assert usual_step(make_block(data, mask), estimate, (0, 1000)) == 3.0  # within 2 s before
    assert usual_step(make_block(data, mask), estimate, (250, 1000)) == 1.0  # segments end it


def test_usual_step_of_nothing():
    mask = np.ones((1, 50), bool)
    mask[0, ::2] = False  # no two good neighbours
    estimate = Estimate(0, 11, 12, np.zeros(1), np.zeros(1))
    assert usual_step(make_block(np.zeros((1, 50)), mask), estimate, (0, 50)) is None


def edge_steps(data, estimate, n_times):
    """Return the steps at both ends of an estimate that have a neighbour."""
    steps = []
    row = data[estimate.channel]
    if estimate.start > 0:
        steps.append(abs(estimate.values[0] - row[estimate.start - 1]))
    if estimate.stop < n_times:
        steps.append(abs(estimate.values[-1] - row[estimate.stop]))
    return steps


@some
@given(seed=st.integers(0, 10_000), offset=st.floats(-100, 100))
def test_steps_are_limited(seed, offset):
    rng = np.random.default_rng(seed)
    data = smooth_noise(1500, seed)[None]
    mask = np.zeros(data.shape, bool)
    for _ in range(4):
        start = rng.integers(0, 1490)
        mask[0, start : start + rng.integers(2, 200)] = True
    mask[0, -5:] = mask[0, :5] = False
    estimates = [
        Estimate(channel, a, b, offset + rng.standard_normal(b - a), np.ones(b - a))
        for channel, a, b, _ in list_gaps(mask, [(0, 1500)])
    ]
    before = [estimate.values.copy() for estimate in estimates]
    good = np.where(mask, np.nan, data)
    limit_steps(make_block(good, mask), estimates)
    for estimate, old in zip(estimates, before, strict=True):
        limit = usual_step(make_block(good, mask), estimate, (0, 1500))
        if limit is None or len(old) == 1:
            continue
        assert max(edge_steps(good, estimate, 1500)) <= limit * (1 + 1e-9)
        # Beyond the ramps nothing changes.
        assert_array_equal(estimate.values[10:-10], old[10:-10])


def test_usual_steps_stay():
    data = smooth_noise(500)[None]
    mask = np.zeros(data.shape, bool)
    mask[0, 200:260] = True
    estimate = Estimate(0, 200, 260, data[0, 200:260].copy(), np.ones(60))
    limit = usual_step(make_block(data, mask), estimate, (0, 500))
    assert max(edge_steps(data, estimate, 500)) <= limit
    limit_steps(make_block(data, mask), [estimate])
    assert_array_equal(estimate.values, data[0, 200:260])


@pytest.mark.parametrize("value", [-40.0, 0.0, 40.0])
def test_one_sample_suits_both_neighbours(value):
    data = smooth_noise(500)[None]
    mask = np.zeros(data.shape, bool)
    mask[0, 250] = True
    estimate = Estimate(0, 250, 251, np.array([value]), np.ones(1))
    limit = usual_step(make_block(data, mask), estimate, (0, 500))
    limit_steps(make_block(data, mask), [estimate])
    assert max(edge_steps(data, estimate, 500)) <= limit * (1 + 1e-9)


def test_one_sample_between_neighbours_far_apart_lies_in_the_middle():
    data = smooth_noise(500)[None]
    data[0, 251:] += 100.0
    mask = np.zeros(data.shape, bool)
    mask[0, 250] = True
    estimate = Estimate(0, 250, 251, np.array([-40.0]), np.ones(1))
    limit_steps(make_block(data, mask), [estimate])
    assert estimate.values[0] == pytest.approx(data[0, [249, 251]].mean())


def test_the_neighbour_in_another_piece_is_no_neighbour():
    data = smooth_noise(500)[None]
    mask = np.zeros(data.shape, bool)
    mask[0, 200:260] = True
    values = data[0, 200:260] + 30.0
    segments = [(0, 200), (200, 260), (260, 500)]
    estimate = Estimate(0, 200, 260, values.copy(), np.ones(60))
    limit_steps(make_block(data, mask, segments), [estimate])
    assert_array_equal(estimate.values, values)
