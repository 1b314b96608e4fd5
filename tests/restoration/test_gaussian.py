# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The spatial expert in time: what is estimated, from what, and in which order."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._recording import Recording, Samples, find_spans
from mne_gram.covariance._bands import N_BANDS, STATISTICS_EDGES, split_bands, sum_bands
from mne_gram.covariance._conditional import interpolation_operators
from mne_gram.restoration import _fit, _gaussian, _shared_bands
from mne_gram.restoration._fit import Settings, find_baselines, fit_covariance
from mne_gram.restoration._gaps import Estimate
from mne_gram.restoration._gaussian import estimate_spatial
from mne_gram.restoration._noise import Noise
from mne_gram.restoration._runs import find_runs, list_gaps

some = settings(deadline=None, max_examples=20)
SFREQ = 100.0
N_CHANNELS, N_TIMES = 8, 1200
SEGMENTS = [(0, N_TIMES)]


def draw_cov(n=N_CHANNELS, seed=0, rank=None):
    """Draw a covariance."""
    factor = np.random.default_rng(seed).standard_normal((n, rank or 3 * n))
    return factor @ factor.T / factor.shape[1]


def same_in_all_bands(cov):
    """Return the covariance a band of white noise."""
    share = np.diff(STATISTICS_EDGES) / np.ptp(STATISTICS_EDGES)
    return cov * share[:, None, None]


def draw_data(cov, n_times=N_TIMES, seed=1):
    """Draw white noise with a covariance."""
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(values.clip(0))
    return root @ np.random.default_rng(seed).standard_normal((len(cov), n_times))


def draw_mask(seed, n_channels=N_CHANNELS, n_times=N_TIMES, n_spans=6):
    """Draw bad stretches; never more than three channels, so that enough are good."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((n_channels, n_times), bool)
    for _ in range(n_spans):
        start = rng.integers(0, n_times)
        mask[rng.integers(3), start : start + rng.integers(1, 200)] = True
    return mask


def repair(data, mask, segments, sfreq, cov, carries_reference, **settings):
    """Estimate the bad samples of signals in place, given the covariances."""
    info = mne.create_info(len(data), sfreq, "eeg")
    recording = Recording(Samples(data, np.arange(len(data)), segments), find_spans(mask), info)
    fit = fit_covariance(recording, cov, carries_reference, Settings(**settings))
    block = recording.block()
    estimates = estimate_spatial(block, fit)
    data[:] = block.data
    return estimates


# ---------------------------------------------------------------------------------------------
# Runs and gaps


def test_runs_by_hand():
    mask = np.zeros((3, 20), bool)
    mask[0, 2:6] = True
    mask[1, 4:9] = True
    mask[2, 15:] = True
    first, second = (0, 8), (8, 20)
    assert find_runs(mask, [first, second]) == [
        (2, 4, first),
        (4, 6, first),
        (6, 8, first),
        (8, 9, second),
        (15, 20, second),
    ]
    assert list_gaps(mask, [first, second]) == [
        (0, 2, 6, first),
        (1, 4, 8, first),
        (1, 8, 9, second),
        (2, 15, 20, second),
    ]


@some
@given(seed=st.integers(0, 10_000))
def test_runs_and_segments_cover_what_is_bad(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((4, 60)) < rng.choice([0.05, 0.5, 0.95])
    cuts = [0, *np.sort(rng.choice(np.arange(1, 60), 3, replace=False)).tolist(), 60]
    segments = list(zip(cuts[:-1], cuts[1:], strict=True))
    seen = np.zeros(60, int)
    for a, b, (start, stop) in find_runs(mask, segments):
        assert start <= a < b <= stop
        assert (mask[:, a:b] == mask[:, [a]]).all()
        seen[a:b] += 1
    assert_array_equal(seen, mask.any(axis=0))
    covered = np.zeros(mask.shape, int)
    for channel, a, b, (start, stop) in list_gaps(mask, segments):
        assert start <= a < b <= stop
        covered[channel, a:b] += 1
        assert a == start or not mask[channel, a - 1]  # as long as they can be
        assert b == stop or not mask[channel, b]
    assert_array_equal(covered, mask)


def test_nothing_bad():
    assert find_runs(np.zeros((2, 9), bool), [(0, 9)]) == []
    assert list_gaps(np.zeros((2, 9), bool), [(0, 9)]) == []


# ---------------------------------------------------------------------------------------------
# Noise


@some
@given(cuts=st.lists(st.integers(0, 10_000), min_size=2, max_size=5, unique=True))
def test_noise_is_the_same_in_any_order(cuts):
    cuts = sorted(cuts)
    spans = list(zip(cuts[:-1], cuts[1:], strict=True))
    noise = Noise(np.random.SeedSequence(3), 2)
    whole = noise.read(cuts[0], cuts[-1])
    assert whole.shape == (N_BANDS, 2, cuts[-1] - cuts[0])
    backwards = [Noise(np.random.SeedSequence(3), 2).read(a, b) for a, b in spans[::-1]]
    assert_array_equal(np.concatenate(backwards[::-1], axis=2), whole)


def test_noise_is_white():
    noise = Noise(np.random.SeedSequence(0), 2).read(1000, 41_000)
    assert_allclose(noise.mean(axis=2), 0, atol=0.03)
    flat = noise.reshape(2 * N_BANDS, -1)
    assert_allclose(np.corrcoef(flat), np.eye(2 * N_BANDS), atol=0.03)
    assert_allclose(flat.std(axis=1), 1, atol=0.03)
    # Chunks are not repeated.
    assert abs(np.corrcoef(noise[0, 0, :4096], noise[0, 0, 4096:8192])[0, 1]) < 0.1
    other = Noise(np.random.SeedSequence(1), 2).read(1000, 2000)
    assert abs(np.corrcoef(noise[0, 0, :1000], other[0, 0])[0, 1]) < 0.15


# ---------------------------------------------------------------------------------------------
# Baselines


def find_all_baselines(data, mask, carries_reference):
    """Find the baselines of signals without a break."""
    samples = Samples(data, np.arange(len(data)), [(0, data.shape[1])])
    info = mne.create_info(len(data), SFREQ, "eeg")
    return find_baselines(Recording(samples, find_spans(mask), info), carries_reference)


def read_baselines(data, mask, carries_reference):
    """Return the baselines of all channels, 0 where there is none."""
    baselines = np.zeros(data.shape)
    for channel, baseline in find_all_baselines(data, mask, carries_reference).items():
        baselines[channel] = baseline(np.arange(data.shape[1]))
    return baselines


def test_offsets_and_drifts_are_found():
    rng = np.random.default_rng(0)
    n_times = round(120 * SFREQ)
    signal = rng.standard_normal((6, n_times))
    offsets = np.array([0.0, 100.0, -300.0, 50.0, 0.0, 0.0])
    offsets -= offsets[[0, 2, 3, 4]].mean()  # those that are good throughout
    drift = np.linspace(-20, 20, n_times)
    data = signal + offsets[:, None]
    data[1] += drift
    mask = np.zeros(data.shape, bool)
    mask[1, 4000:5000] = True
    mask[5] = True
    data[mask] = np.nan
    baselines = read_baselines(data, mask, np.ones(6))
    assert_array_equal(baselines[5], 0)  # never good: nothing is known of it
    for channel in (0, 2, 3, 4):
        assert_allclose(baselines[channel], offsets[channel], atol=0.3)
    error = np.abs(baselines[1] - offsets[1] - drift)
    assert error.max() < 6 and error[2000:-2000].max() < 2  # level in the first and last block


def test_signals_around_zero_have_no_baseline():
    data = draw_data(draw_cov(), 3000)
    mask, carries_reference = np.zeros(data.shape, bool), np.ones(N_CHANNELS)
    assert find_all_baselines(data, mask, carries_reference) == {}


@some
@given(seed=st.integers(0, 1000), size=st.sampled_from([1.0, 1e3]))
def test_what_all_channels_share_is_no_baseline(seed, size):
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((6, 1000)) + 10 * rng.standard_normal((6, 1))
    carries_reference = np.array([1.0, 1, 1, 1, 0, 1])
    mask = np.zeros(data.shape, bool)
    mask[0, 100:500] = True
    moved = data + size * carries_reference[:, None] * rng.standard_normal(1000).cumsum()
    one, other = (read_baselines(x, mask, carries_reference) for x in (data, moved))
    assert_allclose(other, one, atol=1e-9 * size)


def test_offsets_do_not_reach_the_estimates():
    """An electrode's offset, a thousand times the signal, harms no other channel."""
    cov = draw_cov()
    truth = draw_data(cov)
    mask = np.zeros(truth.shape, bool)
    mask[2] = True
    mask[4, 500:800] = True
    offsets = np.zeros((N_CHANNELS, 1))
    offsets[1], offsets[4] = 1000.0, -500.0
    found = []
    for offset in (0.0, offsets):
        data = np.where(mask, np.nan, truth + offset)
        repair(data, mask, SEGMENTS, SFREQ, same_in_all_bands(cov), np.ones(N_CHANNELS))
        found.append(data)
    # A stretch stands on its channel's own offset; all channels stand on the mean of the good.
    assert np.abs(found[1][4, 500:800] + 500.0).mean() < 5
    kept = [0, 1, 3, 5, 6, 7]
    assert np.abs(found[1][2] - found[0][2] - offsets[kept].mean()).mean() < 0.3


@pytest.fixture
def without_baseline(monkeypatch):
    """Take no medians off: what is tested is exact for signals of mean zero."""
    monkeypatch.setattr(_fit, "find_baselines", lambda *args: {})


# ---------------------------------------------------------------------------------------------
# Repair


@some
@given(seed=st.integers(0, 10_000), garbage=st.sampled_from([np.nan, np.inf, 1e6]))
def test_good_samples_stay_and_garbage_does_not_matter(seed, garbage):
    cov = draw_cov(seed=seed)
    truth = draw_data(cov)
    mask = draw_mask(seed)
    mask[-1] = True
    carries_reference = np.ones(N_CHANNELS)
    found = []
    for value in (0.0, garbage):
        data = np.where(mask, value, truth)
        estimates = repair(data, mask, SEGMENTS, SFREQ, same_in_all_bands(cov), carries_reference)
        assert_allclose(data[~mask], truth[~mask], rtol=0, atol=1e-12)
        done = np.zeros(mask.shape, int)
        for s in estimates:
            done[s.channel, s.start : s.stop] += 1
            assert len(s.values) == len(s.std) == s.stop - s.start
            assert_array_equal(data[s.channel, s.start : s.stop], s.values)
            assert (s.std >= 0).all() and not s.invented
        assert_array_equal(done, mask)
        found.append(data)
    assert_array_equal(found[0], found[1])


def test_whole_channels_follow_the_conditional_mean(without_baseline):
    cov = draw_cov()
    truth = draw_data(cov)
    mask = np.zeros(truth.shape, bool)
    mask[[2, 5]] = True
    good, bad = np.flatnonzero(~mask[:, 0]), np.array([2, 5])
    weights, error = interpolation_operators(cov, np.ones(N_CHANNELS), good, bad)
    data = np.where(mask, np.nan, truth)
    estimates = repair(data, mask, SEGMENTS, SFREQ, same_in_all_bands(cov), np.ones(N_CHANNELS))
    assert_allclose(data[bad], weights @ truth[good], atol=1e-8)
    for estimate in estimates:
        expected = np.sqrt(error[list(bad).index(estimate.channel)].max())
        assert_allclose(estimate.std, expected, rtol=1e-6)


def leave_alone(block, gaps, *args):
    """Take the place of bridge: add nothing to what the other channels tell."""
    estimates = []
    for some in gaps:
        cuts = np.cumsum(some.sizes)[:-1]
        parts = np.split(some.values, cuts), np.split(some.std, cuts)
        places = some.channel.tolist(), some.start.tolist(), some.stop.tolist()
        estimates += [Estimate(*row) for row in zip(*places, *parts, strict=True)]
    return estimates


def test_repaired_channels_tell_no_more_than_the_good_ones(without_baseline):
    """Whole channels are estimated as if the other gaps had not been filled (tower property)."""
    cov = draw_cov()
    truth = draw_data(cov)
    mask = np.zeros(truth.shape, bool)
    mask[2] = True
    mask[4, 500:800] = True
    data = np.where(mask, np.nan, truth)
    with pytest.MonkeyPatch.context() as patch:  # without what past and future add
        patch.setattr(_gaussian, "bridge", leave_alone)
        patch.setattr(_gaussian, "limit_steps", lambda *args: None)
        repair(data, mask, SEGMENTS, SFREQ, same_in_all_bands(cov), np.ones(N_CHANNELS))
    good = np.array([0, 1, 3, 5, 6, 7])
    weights, _ = interpolation_operators(cov, np.ones(N_CHANNELS), good, np.array([2, 4]))
    # But for the ridge, which is put in twice, and the small frame of fewer channels.
    assert_allclose(data[4, 600:700], (weights @ truth[good])[1, 600:700], atol=1e-8)
    assert_allclose(data[2, 600:700], (weights @ truth[good])[0, 600:700], atol=0.02)


def test_bands_have_their_own_weights():
    """A channel that copies one neighbour in slow waves and another in fast ones is found."""
    rng = np.random.default_rng(0)
    times = np.arange(N_TIMES) / SFREQ
    slow = np.sin(2 * np.pi * 2 * times + rng.uniform(0, 6, (4, 1)))
    fast = np.sin(2 * np.pi * 20 * times + rng.uniform(0, 6, (4, 1)))
    truth = np.zeros((5, N_TIMES))
    truth[:4] = slow + fast
    truth[4] = slow[0] + fast[1]
    covs = np.tile(np.eye(5), (N_BANDS, 1, 1))
    for band, twin in ((0, 0), (3, 1)):
        covs[band, 4, twin] = covs[band, twin, 4] = 0.9999
    mask = np.zeros(truth.shape, bool)
    mask[4, 300:900] = True
    mask[4] = True
    data = np.where(mask, np.nan, truth)
    # Derivations, so that no reference is taken off.
    repair(data, mask, SEGMENTS, SFREQ, covs, np.zeros(5))
    inside = slice(200, -200)
    assert_allclose(data[4, inside], truth[4, inside], atol=0.05)


def test_stretches_are_estimated_as_if_whole():
    cov = draw_cov(rank=4)  # four sources, so the others tell nearly everything
    truth = draw_data(cov)
    mask = draw_mask(3)
    data = np.where(mask, np.nan, truth)
    repair(data, mask, SEGMENTS, SFREQ, same_in_all_bands(cov), np.ones(N_CHANNELS))
    assert ((data - truth)[mask] ** 2).sum() < 0.05 * (truth[mask] ** 2).sum()


def test_blocks_change_nothing(monkeypatch):
    cov = draw_cov()
    truth = draw_data(cov)
    mask = draw_mask(5)
    mask[6] = True
    covs = same_in_all_bands(cov) * np.arange(1, N_BANDS + 1)[:, None, None]
    covs[2] = draw_cov(seed=9)
    found = []
    for seconds in (60.0, 0.7):
        monkeypatch.setattr(_gaussian, "_CHUNK_SECONDS", seconds)
        for seed in (None, np.random.SeedSequence(0)):
            data = np.where(mask, np.nan, truth)
            repair(data, mask, SEGMENTS, SFREQ, covs, np.ones(N_CHANNELS), seed=seed)
            found.append(data)
    assert_allclose(found[2], found[0], atol=1e-9)
    assert_allclose(found[3], found[1], atol=1e-9)


def test_pieces_do_not_touch(without_baseline):
    """What happens in one piece does not change another."""
    cov = draw_cov()
    truth = draw_data(cov)
    mask = draw_mask(7)
    mask[6] = True
    covs = same_in_all_bands(cov)
    covs[1] = draw_cov(seed=9)
    segments = [(0, 500), (500, N_TIMES)]
    other = truth.copy()
    other[:, :500] = 100 * draw_data(cov, 500, seed=8)
    found = []
    for signal in (truth, other):
        data = np.where(mask, np.nan, signal)
        with pytest.MonkeyPatch.context() as patch:  # its statistics are those of all gaps
            patch.setattr(_gaussian, "bridge", leave_alone)
            repair(data, mask, segments, SFREQ, covs, np.ones(N_CHANNELS))
        found.append(data)
    assert_allclose(found[1][:, 500:], found[0][:, 500:], atol=1e-9)


@pytest.mark.parametrize("fill_gaps", [False, True])
def test_where_nothing_is_good(fill_gaps):
    cov = draw_cov()
    truth = draw_data(cov)
    mask = np.zeros(truth.shape, bool)
    mask[:, 400:450] = True
    mask[0, 300:600] = True
    mask[7] = True
    data = np.where(mask, np.nan, truth)
    estimates = repair(
        data,
        mask,
        SEGMENTS,
        SFREQ,
        same_in_all_bands(cov),
        np.ones(N_CHANNELS),
        fill_gaps=fill_gaps,
    )
    done = np.zeros(mask.shape, bool)
    for s in estimates:
        assert np.isfinite(s.values).all()
        done[s.channel, s.start : s.stop] = True
    if fill_gaps:
        assert_array_equal(done, mask)
        assert all(s.invented for s in estimates if s.channel in range(1, 7))
    else:
        assert not done[1:, 400:450].any()
        assert done[7, :400].all() and done[7, 450:].all()


def test_a_piece_without_anything_good_is_left_alone():
    cov = draw_cov()
    mask = np.zeros((N_CHANNELS, N_TIMES), bool)
    mask[:, 400:450] = mask[7] = True
    data = np.where(mask, np.nan, draw_data(cov))
    segments = [(0, 400), (400, 450), (450, N_TIMES)]
    estimates = repair(
        data, mask, segments, SFREQ, same_in_all_bands(cov), np.ones(N_CHANNELS), fill_gaps=True
    )
    assert [(s.channel, s.start, s.stop) for s in estimates] == [(7, 0, 400), (7, 450, N_TIMES)]


def test_many_patterns_share_what_is_costly(monkeypatch):
    """A scattered mask needs few solves and filters, and the estimates are as good as without."""
    cov = draw_cov()
    truth = draw_data(cov, 600)
    truth = np.apply_along_axis(np.convolve, 1, truth, np.hanning(9), "same")
    mask = np.random.default_rng(0).random(truth.shape) < 0.3
    mask[-2:] = False
    calls = dict(solves=0, filters=0)

    def count(name, function):
        def counted(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return counted

    found = []
    solve, shares = interpolation_operators, _gaussian._MANY
    for many in (np.inf, shares):
        monkeypatch.setattr(_gaussian, "_MANY", many)
        monkeypatch.setattr(_fit, "interpolation_operators", count("solves", solve))
        monkeypatch.setattr(_shared_bands, "split_bands", count("filters", split_bands))
        monkeypatch.setattr(_gaussian, "sum_bands", count("filters", sum_bands))
        calls.update(solves=0, filters=0)
        data = np.where(mask, np.nan, truth)
        repair(data, mask, [(0, 250), (250, 600)], SFREQ, same_in_all_bands(cov), np.ones(8))
        assert calls["solves"] == 0 and calls["filters"] <= 4
        assert_array_equal(data[~mask], truth[~mask])
        found.append(data)
    error, limited = (((data - truth)[mask] ** 2).sum() for data in found)
    assert limited < 1.05 * error
    # The same, run by run.
    monkeypatch.setattr(_gaussian, "_MANY", np.inf)
    monkeypatch.setattr(_shared_bands, "_SECONDS", 0.0)
    data = np.where(mask, np.nan, truth)
    calls.update(solves=0, filters=0)
    repair(data, mask, [(0, 250), (250, 600)], SFREQ, same_in_all_bands(cov), np.ones(8))
    assert calls["solves"] > 100 and calls["filters"] > 100
    assert_allclose(data, found[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "draw", "twins"])
def test_shared_bands_give_what_each_run_gives_on_its_own(monkeypatch, kind):
    """Also for draws, and for channels that are copies of each other."""
    cov = draw_cov()
    if kind == "twins":
        cov[:, 1], cov[1] = cov[:, 0], cov[0]
    covs = same_in_all_bands(cov) * np.arange(1, N_BANDS + 1)[:, None, None]
    truth = draw_data(cov, 80)
    mask = np.random.default_rng(1).random(truth.shape) < 0.3
    mask[-2:] = False
    seed = np.random.SeedSequence(0) if kind == "draw" else None
    found = []
    for seconds in (_shared_bands._SECONDS, 0.0):
        monkeypatch.setattr(_shared_bands, "_SECONDS", seconds)
        data = np.where(mask, np.nan, truth)
        repair(data, mask, [(0, 30), (30, 80)], SFREQ, covs, np.ones(8), seed=seed)
        found.append(data)
    assert_allclose(found[1], found[0], atol=1e-5 if kind == "draw" else 1e-6)


def test_draws_have_the_covariance_of_the_error():
    cov = draw_cov()
    n_times = 20_000
    truth = draw_data(cov, n_times)
    mask = np.zeros(truth.shape, bool)
    mask[[1, 4]] = True
    carries_reference = np.ones(N_CHANNELS)
    covs = same_in_all_bands(cov)
    draws = []
    for seed in (None, 0, 0, 1):
        data = np.where(mask, np.nan, truth)
        seed = None if seed is None else np.random.SeedSequence(seed)
        repair(data, mask, [(0, n_times)], SFREQ, covs, carries_reference, seed=seed)
        draws.append(data[[1, 4]])
    mean, one, same, other = draws
    assert_array_equal(one, same)
    assert np.abs(np.corrcoef((one - mean)[0], (other - mean)[0])[0, 1]) < 0.1
    _, error = interpolation_operators(
        cov, carries_reference, np.array([0, 2, 3, 5, 6, 7]), np.array([1, 4])
    )
    found = np.cov(one - mean)
    # White noise reaches from 0 to 50 Hz, its covariance was given for 0.5 to 45 Hz.
    assert_allclose(found, error * 50 / np.ptp(STATISTICS_EDGES), atol=0.1 * np.trace(error))
