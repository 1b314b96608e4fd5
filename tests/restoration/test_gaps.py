# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Where repaired segments meet good samples."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._recording import Block
from mne_gram.restoration import _runs
from mne_gram.restoration._gaps import (
    Estimate,
    bridge,
    join_surroundings,
    look_around,
    measure_miss,
)
from mne_gram.restoration._gaussian import find_gaps
from mne_gram.restoration._runs import join_runs, list_gaps
from mne_gram.restoration._seams import find_limit, limit_steps, usual_step

some = settings(deadline=None, max_examples=30)
SFREQ = 100.0


def make_block(data, mask, segments=None):
    """Return signals as a block."""
    return Block(data, mask, segments or [(0, data.shape[1])], 0, SFREQ)


# ---------------------------------------------------------------------------------------------
# Joining runs


def join(cuts, signals, stds, margin=100, n_times=600):
    """Join the estimates of one gap from its runs, each with a signal (n_times,) or a level."""
    estimates = []
    for a, b, signal, std in zip(cuts[:-1], cuts[1:], signals, stds, strict=True):
        left, right = max(0, a - margin), min(n_times, b + margin)
        values = np.broadcast_to(signal, n_times)[None, left:right]
        estimates.append(((a, b), np.array([1]), left, values, np.array([std])))
    gaps = np.array([(1, cuts[0], cuts[-1], 0, n_times)])
    ((number, left, right, values, std),) = join_runs(gaps, estimates, margin, n_times, SFREQ)
    assert number == 0 and right - left == len(values)
    return left[0], values, std


def test_one_run_stays_as_it_is():
    signal = np.random.default_rng(0).standard_normal(500)
    left, joined, std = join((200, 300), [signal], [2.0], n_times=500)
    assert left == 100
    assert_allclose(joined, signal[100:400])
    assert_allclose(std, 2.0)


CUTS = (200, 250, 318, 320, 400)


def test_runs_that_agree_are_joined_exactly():
    signal = np.random.default_rng(0).standard_normal(600)
    left, joined, std = join(CUTS, [signal] * 4, [3.0] * 4)
    assert left == 100 and len(joined) == 400
    assert_allclose(joined, signal[100:500])
    assert_allclose(std, 3.0)


def test_runs_that_disagree_are_cross_faded():
    levels = np.array([0.0, 1.0, 5.0, 2.0])
    left, joined, std = join(CUTS, levels, 1 + levels)
    at = joined[np.array([200, 215, 285, 360, 399]) - left]
    assert_allclose(at, [0.0, 0.0, 1.0, 2.0, 2.0], atol=1e-6)  # each its own in the middle
    assert joined.min() >= 0 and joined.max() <= 5
    assert np.abs(np.diff(joined[200 - left : 300 - left])).max() < 0.25  # no step of 1 there
    assert_allclose(std, 1 + joined, atol=1e-9)


@pytest.mark.parametrize("together", [1, 100, 2**18])
def test_gaps_of_several_channels_are_joined_each_on_its_own(monkeypatch, together):
    """Two gaps of one channel and one of another that overlaps them, in two segments."""
    monkeypatch.setattr(_runs, "_TOGETHER", together)
    segments = (0, 60), (60, 100)
    gaps = np.array([(0, 10, 20, 0, 60), (0, 70, 80, 60, 100), (2, 15, 60, 0, 60)])
    runs, estimates = {(10, 15): [0], (15, 20): [0, 2], (20, 60): [2], (70, 80): [0]}, []
    for number, ((a, b), channels) in enumerate(runs.items()):
        segment = segments[a >= 60]
        left, right = max(segment[0], a - 30), min(segment[1], b + 30)
        values = np.full((len(channels), right - left), float(number))
        values += 10 * np.array(channels)[:, None]
        estimates.append(((a, b), np.array(channels), left, values, np.ones(len(channels))))
    found = {}
    for numbers, left, right, values, std in join_runs(gaps, estimates, 30, 100, SFREQ):
        cuts = np.cumsum(right - left)[:-1]
        parts = zip(left, np.split(values, cuts), np.split(std, cuts), strict=True)
        found |= zip(numbers.tolist(), parts, strict=True)
    first, second, third = (found[number] for number in range(3))
    assert [gap[0] for gap in (first, second, third)] == [0, 60, 0]
    assert [len(gap[1]) for gap in (first, second, third)] == [50, 40, 60]
    assert_allclose(first[1][[0, 10, 19, 49]], [0, 0, 1, 1], atol=1e-6)
    assert_allclose(second[1], 3.0)
    assert_allclose(third[1][[0, 15, 59]], [21, 21, 22], atol=1e-6)
    assert_allclose(np.concatenate([gap[2] for gap in (first, second, third)]), 1.0)


@some
@given(seed=st.integers(0, 10_000))
def test_joined_values_lie_between_the_estimates(seed):
    rng = np.random.default_rng(seed)
    cuts = [100, *np.sort(rng.choice(np.arange(101, 200), 4, replace=False)).tolist(), 200]
    levels = rng.uniform(-1, 1, 5)
    left, joined, std = join(cuts, levels, np.ones(5), margin=60, n_times=300)
    assert (left, len(joined)) == (40, 220)
    assert levels.min() - 1e-9 <= joined.min() and joined.max() <= levels.max() + 1e-9
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
    block, n_times = make_block(data, mask), len(signal)
    table = np.array([(channel, a, b, *s) for channel, a, b, s in list_gaps(mask, [(0, n_times)])])
    left, right = np.maximum(0, table[:, 1] - 100), np.minimum(n_times, table[:, 2] + 100)
    values = np.concatenate([guess[a:b] for a, b in zip(left, right, strict=True)])
    estimates = (left, right, values, np.ones(len(values))) if told else None
    some, around = look_around(block, table, 100, estimates)
    miss = measure_miss([around], SFREQ)
    found = bridge(block, [some], [around], miss, fill_gaps)
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


@some
@given(seed=st.integers(0, 10_000), n_steps=st.integers(1, 300))
def test_the_limit_is_a_quantile(seed, n_steps):
    steps = np.random.default_rng(seed).exponential(size=n_steps)
    assert find_limit(steps) == pytest.approx(np.quantile(steps, 0.99))


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


def test_dropouts_of_all_channels_take_little_memory(monkeypatch):
    """Gaps without an estimate are divided as others are, and as little of the rest is kept."""
    data = np.random.default_rng(0).standard_normal((4, 600))
    mask = np.zeros(data.shape, bool)
    mask[:, 5::6] = True
    mask[0] = True
    operators = SimpleNamespace(find_precisions=lambda channels: (None, None))
    spatial = SimpleNamespace(whole=mask.all(axis=1), operators=operators, noise=None)
    found = []
    for together in (2**18, 2**10):
        monkeypatch.setattr(_runs, "_TOGETHER", together)
        _, gaps, surroundings = find_gaps(make_block(data.copy(), mask), spatial)
        miss = measure_miss(surroundings, SFREQ)
        found.append((len(gaps), join_surroundings(surroundings), miss))
    (few, joined, miss), (many, again, same) = found
    assert few == 1 and many > 10
    assert joined.counts.max() <= 60
    for one, other in zip(joined[:7], again[:7], strict=True):
        assert_array_equal(one, other)
    assert_allclose(miss.kernel, same.kernel)
    assert miss.spreads == pytest.approx(same.spreads)
