# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Batches: what is drawn, how often, and what never is."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mne.utils import catch_logging
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.montage import CH_NAMES
from mne_gram.training._augment import (
    DROP_SIZES,
    augment,
    choose_channels,
    size_odds,
    subtract_average,
)
from mne_gram.training._batches import Sampler, validation_batches
from mne_gram.training._buckets import good_rows, start_runs
from mne_gram.training._config import TrainingConfig
from mne_gram.training._corpus import Corpus, CorpusRecording
from mne_gram.training._masks import MASK_KINDS, MASK_SHARES, channel_distances
from mne_gram.training._runs import make_sampler

INDEX = {name: k for k, name in enumerate(CH_NAMES)}


def indices(names):
    """Return the sorted montage indices of names."""
    return np.sort([INDEX[name] for name in names.split()])


M64 = indices(
    "FP1 FPZ FP2 AF7 AF3 AFZ AF4 AF8 F7 F5 F3 F1 FZ F2 F4 F6 F8 "
    "FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 "
    "PO7 PO3 POZ PO4 PO8 O1 OZ O2 IZ"
)
M19 = indices("FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2")
ALL_KINDS = dict.fromkeys(MASK_KINDS, 1.0)


def make_recording(folder, name, channels, n_seconds, pieces=None, bad=(), data=None):
    """Write a recording whose channel ``r`` holds ``slope(r) * sample``, poison where bad."""
    n_times = 200 * n_seconds
    pieces = pieces or ((0, n_times),)
    if data is None:
        data = slopes(len(channels))[:, None] * np.arange(n_times)
    data = data.astype(np.float32)
    outside = np.ones(n_times, bool)
    for start, stop in pieces:
        outside[start:stop] = False
    data[:, outside] = np.nan
    for row, start, stop in bad:
        data[row, 200 * start : 200 * stop] = np.nan
    file = name.replace("/", "__") + ".npy"
    np.save(folder / file, data)
    dataset, stem = name.split("/")
    return CorpusRecording(
        name=name,
        dataset=dataset,
        subject=stem.split("_")[0],
        ch_names=tuple(CH_NAMES[k] for k in channels),
        channels=tuple(int(k) for k in channels),
        n_times=n_times,
        pieces=tuple(pieces),
        bad=tuple(bad),
        scale=(1.0,) * len(channels),
        file=file,
        sha256="",
        n_bytes=(folder / file).stat().st_size,
        source=name,
        licence="none",
        notes=(),
    )


def slopes(n_channels):
    """Return what tells the channels of a recording apart."""
    return (1 + np.arange(n_channels)) ** 2 * 1e-5


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return three data sets: 64 channels with marks, 19 channels, 61 channels in short pieces."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    some = tuple((int(r), int(s), int(s) + 2) for r, s in rng.integers((64, 58), size=(12, 2)))
    trials = tuple((210 * k, 210 * k + 200) for k in range(28))
    recordings = [
        make_recording(folder, "a/s1_x", M64, 60),
        make_recording(folder, "a/s2_x", M64, 60, bad=some),
        make_recording(folder, "a/s2_y", M64, 30, bad=((5, 0, 30), (6, 0, 30))),
        make_recording(folder, "b/s1_x", M19, 90),
        make_recording(folder, "b/s2_x", M19, 45, pieces=((50, 2050), (2100, 2900), (3000, 9000))),
        make_recording(folder, "b/s3_x", M64, 40),
        make_recording(folder, "c/s1_x", M64[:61], 30, pieces=trials),
    ]
    return Corpus(folder, tuple(recordings), ())


@pytest.fixture(scope="module")
def masked(corpus):
    """Return a sampler that does all that it can."""
    return Sampler(corpus, seed=3, tokens_per_batch=1024, mask_kinds=ALL_KINDS)


def same(a, b):
    """Tell whether two batches are equal."""
    tensors = ("x", "channels", "mask")
    equal = all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)
    return equal and a.kind == b.kind and a.sources == b.sources


# ---------------------------------------------------------------------------------------------
# Drawing


def test_form(masked):
    for step in range(60):
        batch = masked.draw(step, 0)
        n_windows, n_channels, n_patches = batch.mask.shape
        assert (n_channels, n_patches) in masked.buckets
        assert n_windows == max(1, 1024 // (n_channels * n_patches))
        assert batch.x.shape == (n_windows, n_channels, 200 * n_patches)
        assert batch.x.dtype == torch.float32
        assert batch.channels.shape == (n_windows, n_channels)
        assert batch.channels.dtype == torch.int64
        assert (batch.channels.diff(dim=1) > 0).all()
        assert batch.kind in MASK_KINDS
        counts = batch.mask.sum(dim=(1, 2))
        assert (counts == counts[0]).all()
        assert 0 < counts[0] < n_channels * n_patches
        assert len(batch.sources) == n_windows
        assert torch.isfinite(batch.x).all()


def test_stage_1_hides_nothing(corpus):
    batch = Sampler(corpus).draw(0, 0)
    assert batch.kind == "none"
    assert not batch.mask.any()


def test_same_seed_step_and_part_give_the_same(corpus, masked):
    again = Sampler(corpus, seed=3, tokens_per_batch=1024, mask_kinds=ALL_KINDS)
    order = np.random.default_rng(0).permutation(30)
    drawn = {step: again.draw(step, 1) for step in order}
    assert all(same(masked.draw(step, 1), drawn[step]) for step in range(30))
    assert not same(masked.draw(0, 0), masked.draw(0, 1))
    assert not same(masked.draw(0, 0), masked.draw(1, 0))
    other = Sampler(corpus, seed=4, tokens_per_batch=1024, mask_kinds=ALL_KINDS)
    assert not same(masked.draw(0, 0), other.draw(0, 0))


def test_threads(masked):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda step: masked.draw(step, 0), range(40)))
    assert all(same(masked.draw(step, 0), batch) for step, batch in enumerate(found))


def test_global_random_state_stays(corpus, masked):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    masked.draw(0, 0)
    validation_batches(corpus, kinds=MASK_KINDS)
    assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_windows_are_what_is_in_the_recordings(corpus):
    sampler = Sampler(corpus, tokens_per_batch=512, augment=False)
    recordings = {r.name: r for r in corpus.recordings}
    fractions = []
    for step in range(40):
        batch = sampler.draw(step, 0)
        for x, channels, source in zip(
            batch.x.numpy(), batch.channels.numpy(), batch.sources, strict=True
        ):
            name, second = source.removesuffix(" s").split(" @ ")
            recording = recordings[name]
            rows = np.searchsorted(recording.channels, channels)
            slope = slopes(len(recording.channels))[rows]
            slope -= slope.mean()
            start = round(float(np.median(x[slope != 0, 0] / slope[slope != 0])))
            assert abs(start / 200 - float(second)) <= 0.051
            assert_allclose(x, slope[:, None] * (start + np.arange(x.shape[1])), atol=0.02)
            stop = start + x.shape[1]
            assert any(a <= start and stop <= b for a, b in recording.pieces)
            for row, first, last in recording.bad:
                assert row not in rows or stop <= 200 * first or start >= 200 * last
            fractions.append(start % 200)
    assert len(set(fractions)) > 60  # windows start anywhere within a second


def test_average_reference_over_those_kept(masked):
    for step in range(30):
        x = masked.draw(step, 0).x
        assert x.mean(dim=1).abs().max() < 1e-5 * x.abs().max()


def test_recordings_count_by_their_tokens(corpus):
    sampler = Sampler(corpus, tokens_per_batch=512, augment=False)
    seen = Counter()
    n_steps = 1200
    for step in range(n_steps):
        batch = sampler.draw(step, 0)
        for source in batch.sources:
            seen[source.split(" @ ")[0]] += batch.mask[0].numel()
    expected = np.array([corpus.good(k).sum() for k in range(len(corpus))], float)
    expected /= expected.sum()
    found = np.array([seen[r.name] for r in corpus.recordings]) / sum(seen.values())
    # As if every batch were one draw: four standard deviations.
    assert (np.abs(found - expected) < 4 * np.sqrt(expected / n_steps)).all()


def test_data_sets_are_mixed_in_a_batch(corpus):
    sampler = Sampler(corpus, tokens_per_batch=4096, dropout_channels=False)
    mixed = []
    for step in range(60):
        batch = sampler.draw(step, 0)
        if batch.channels.shape[1] == 64:  # of data sets a and b
            mixed.append(len({source[0] for source in batch.sources}))
    assert len(mixed) > 10
    assert np.mean(np.array(mixed) == 2) > 0.9


def test_drop_out_sizes(corpus):
    one = corpus.select(lambda r: r.name == "a/s1_x")
    shares = {shape[0]: share for shape, share in Sampler(one).buckets.items()}
    assert shares == pytest.approx({64: 0.5, 32: 0.1, 19: 0.1, 16: 0.1, 8: 0.1, 4: 0.1})
    assert Sampler(one, dropout_channels=False).buckets == {(64, 4): 1.0}
    assert {n for _, n in Sampler(one).buckets} == {4, 8, 13, 16}
    sampler = Sampler(one, tokens_per_batch=256, augment=False)
    drawn = Counter(sampler.draw(step, 0).mask.shape[1] for step in range(200))
    assert set(drawn) == {4, 8, 16, 19, 32, 64}
    assert 70 < drawn[64] < 130


def test_marked_channels_lower_the_native_number(corpus):
    by_name = {
        r.name: set(Sampler(corpus.select(lambda x, r=r: x is r), dropout_channels=False).buckets)
        for r in corpus.recordings
    }
    assert by_name["a/s2_y"] == {(60, 4)}  # 62 are good: a multiple of 4
    assert by_name["c/s1_x"] == {(61, 1)}
    assert by_name["b/s2_x"] == {(19, 13), (19, 8), (19, 4)}  # 30, 10 and 4 seconds


def test_small_windows_are_not_made_smaller(corpus):
    short = Sampler(corpus.select(lambda r: r.dataset == "c"))
    assert set(short.buckets) == {(61, 1), (32, 1), (19, 1), (16, 1)}


def test_seconds_marked_everywhere_and_dead_recordings(tmp_path):
    everywhere = tuple((row, 10, 50) for row in range(19))
    dead = tuple((row, 0, 20) for row in range(19))
    part = make_recording(tmp_path, "a/s1_part", M19, 60, bad=everywhere)
    gone = make_recording(tmp_path, "a/s2_gone", M19, 20, bad=dead)
    sampler = Sampler(Corpus(tmp_path, (part, gone)), mask_kinds=ALL_KINDS)
    assert {shape for shape in sampler.buckets if shape[0] == 19} == {(19, 8)}  # in 10 seconds
    for step in range(40):
        batch = sampler.draw(step, 0)
        assert torch.isfinite(batch.x).all()
        assert all(source.startswith("a/s1_part") for source in batch.sources)
    with pytest.raises(ValueError, match="None of the 1 recordings of the corpus has a window"):
        Sampler(Corpus(tmp_path, (gone,)))
    with pytest.raises(ValueError, match="0 recordings"):
        Sampler(Corpus(tmp_path, ()))


def test_left_out_recordings_are_named(tmp_path):
    good = make_recording(tmp_path, "a/s1_good", M19, 20)
    dead = make_recording(
        tmp_path, "a/s2_dead", M19, 20, bad=tuple((row, 0, 20) for row in range(19))
    )
    with catch_logging(verbose="info") as log:
        Sampler(Corpus(tmp_path, (good, dead)))
    assert "1 of 2 recordings have no unmarked window and are left out: a/s2_dead" in log.getvalue()


def test_few_channels(tmp_path):
    bipolar = [INDEX["FP1-F7"], INDEX["F7-T7"], INDEX["C3"]]
    recording = make_recording(tmp_path, "a/s1", bipolar, 40)
    batch = Sampler(Corpus(tmp_path, (recording,)), augment=False, mask_kinds=ALL_KINDS).draw(0, 0)
    assert batch.mask.shape[1:] == (3, 16)
    slope = batch.x[0].diff(dim=1).mean(dim=1).numpy()
    assert_allclose(slope, slopes(3), rtol=1e-2)  # a lone electrode has no average to go to
    alone = make_recording(tmp_path, "a/s2", [INDEX["CZ"]], 40)
    batch = Sampler(Corpus(tmp_path, (alone,)), mask_kinds=ALL_KINDS).draw(0, 0)
    assert batch.mask.shape == (256, 1, 16)
    assert batch.x.abs().max() > 0


def test_share_of_hidden_patches(corpus):
    for kind, (low, high) in MASK_SHARES.items():
        sampler = Sampler(
            corpus, tokens_per_batch=256, mask_kinds={kind: 2}, dropout_channels=False
        )
        batches = [sampler.draw(step, 0) for step in range(60)]
        assert {batch.kind for batch in batches} == {kind}
        shares = np.array([batch.mask.float().mean().item() for batch in batches])
        assert low - 0.06 < shares.min() < low + 0.1
        assert high - 0.1 < shares.max() < high + 0.06
    published = Sampler(corpus, mask_kinds={"random": 1}, mask_share={"random": (0.5, 0.5)})
    for step in range(10):
        mask = published.draw(step, 0).mask
        assert abs(mask[0].sum() - mask[0].numel() / 2) <= 0.5


def test_few_shapes(corpus):
    """CUDA graphs are recorded by shape, so few shares are hidden, over the same range."""
    training = TrainingConfig(n_parts=1, tokens_per_part=512, compile="graphs")
    few, many = (
        make_sampler(corpus, replace(training, compile=compile), masked=True)
        for compile in ("graphs", False)
    )
    shapes, shares = [], []
    for sampler in (few, many):
        batches = [sampler.draw(k) for k in range(200)]
        shapes.append({(*b.mask.shape[1:], b.places.hidden.shape[1]) for b in batches})
        shares.append(np.mean([b.mask.float().mean() for b in batches]))
    by_bucket = Counter(shape[:2] for shape in shapes[0])
    assert max(by_bucket.values()) <= 4 * len(MASK_KINDS)
    assert len(shapes[0]) < 0.7 * len(shapes[1])
    assert_allclose(*shares, atol=0.01)


def test_kinds_by_weight(corpus):
    kinds = {"random": 3.0, "cluster": 1.0, "span": 0.0}
    sampler = Sampler(corpus, tokens_per_batch=128, mask_kinds=kinds)
    seen = Counter(sampler.draw(step, 0).kind for step in range(300))
    assert set(seen) == {"random", "cluster"}
    assert 190 < seen["random"] < 260


# ---------------------------------------------------------------------------------------------
# Validation


def test_validation(corpus):
    batches = validation_batches(corpus, kinds=("none", "random", "cluster"), windows_per_subject=6)
    per_subject = {}
    for subject, batch in batches:
        per_subject.setdefault(subject, {}).setdefault(batch.kind, []).append(batch)
        assert all(f"{s.split('/')[0]}/{s.split('/')[1][:2]}" == subject for s in batch.sources)
        assert torch.isfinite(batch.x).all()
        assert batch.x.mean(dim=1).abs().max() < 1e-5 * batch.x.abs().max()
        assert batch.mask.any() == (batch.kind != "none")
    assert sorted(per_subject) == ["a/s1", "a/s2", "b/s1", "b/s2", "b/s3", "c/s1"]
    for kinds in per_subject.values():
        assert set(kinds) == {"none", "random", "cluster"}
        assert sum(len(batch.sources) for batch in kinds["none"]) == 6
        for a, b in zip(kinds["none"], kinds["cluster"], strict=True):
            assert torch.equal(a.x, b.x)
            assert a.sources == b.sources
    whole = per_subject["a/s1"]["none"][0]
    assert whole.mask.shape == (6, 64, 4)
    seconds = [float(s.split(" @ ")[1][:-2]) for s in whole.sources]
    assert_allclose(np.diff(seconds), 56 / 6, atol=0.2)
    # Both recordings of a subject, by their length, with all channels that are good in a window.
    sources = [s for batch in per_subject["a/s2"]["none"] for s in batch.sources]
    assert Counter(source[:6] for source in sources) == {"a/s2_x": 4, "a/s2_y": 2}
    assert 62 in {batch.mask.shape[1] for batch in per_subject["a/s2"]["none"]}


def test_validation_stays_the_same(corpus):
    first = dict(validation_batches(corpus, kinds=("span",), seed=2))
    second = dict(validation_batches(corpus, kinds=("span",), seed=2))
    fewer = corpus.select(lambda r: r.dataset != "a")
    third = dict(validation_batches(fewer, kinds=("random", "span"), seed=2))
    assert all(same(first[subject], second[subject]) for subject in first)
    assert sorted(third) == ["b/s1", "b/s2", "b/s3", "c/s1"]
    assert all(same(first[subject], third[subject]) for subject in third)
    other = dict(validation_batches(corpus, kinds=("span",), seed=3))
    assert not same(first["b/s1"], other["b/s1"])


def test_validation_of_a_short_recording_repeats_nothing(tmp_path):
    recording = make_recording(tmp_path, "a/s1", M64, 3, pieces=((0, 200), (210, 410), (400, 600)))
    ((subject, batch),) = validation_batches(Corpus(tmp_path, (recording,)))
    assert subject == "a/s1"
    assert len(set(batch.sources)) == len(batch.sources) == 3


# ---------------------------------------------------------------------------------------------
# Where windows may start


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_starts_agree_with_looking_at_every_sample(seed, n_patches):
    rng = np.random.default_rng(seed)
    n_times = int(rng.integers(400, 2600))
    good = rng.random((4, -(-n_times // 200))) > rng.choice([0.0, 0.1, 0.5])
    cuts = np.sort(rng.choice(n_times + 1, 2 * rng.integers(1, 4), replace=False)).reshape(-1, 2)
    runs, counts = start_runs(good, cuts, n_patches)
    found = np.full(n_times + 1, -1)
    for (low, high), count in zip(runs, counts, strict=True):
        assert low < high
        found[low:high] = count
    marks = np.array([(r, s, s + 1) for r, s in np.argwhere(~good)], int).reshape(-1, 3)
    samples = np.repeat(good, 200, axis=1)
    for start in range(0, n_times + 1, 7):
        stop = start + 200 * n_patches
        if any(low <= start and stop <= high for low, high in cuts):
            rows = np.flatnonzero(samples[:, start:stop].all(axis=1))
            assert found[start] == len(rows)
            assert_array_equal(good_rows(marks, 4, start, stop), rows)
        else:
            assert found[start] == -1


# ---------------------------------------------------------------------------------------------
# Channels, reference, augmentation


@pytest.mark.parametrize("n_channels", [1, 4, 5, 19, 20, 61, 64, 128])
def test_odds_of_sizes(n_channels):
    odds = size_odds(n_channels, drop=True)
    assert sum(odds.values()) == pytest.approx(1)
    assert set(odds) == {n_channels, *(size for size in DROP_SIZES if size < n_channels)}
    assert odds[n_channels] == (0.5 if n_channels > 4 else 1)
    assert size_odds(n_channels, drop=False) == {n_channels: 1}


def test_chosen_channels_are_any_or_spread():
    rng = np.random.default_rng(0)
    distances = channel_distances()

    def closest(rows):
        near = distances[np.ix_(M64[rows], M64[rows])]
        return near[~np.eye(len(rows), dtype=bool)].min()

    spread, seen = 0, np.zeros(64)
    for _ in range(200):
        rows = choose_channels(M64, 8, rng)
        assert (np.diff(rows) > 0).all()
        assert len(rows) == 8
        spread += closest(rows) > 0.06
        seen[rows] += 1
    assert 70 < spread < 140
    assert seen.min() > 0
    assert_array_equal(choose_channels(M64, 64, rng), np.arange(64))


def test_ten_twenty_set_half_of_the_time():
    rng = np.random.default_rng(0)
    old = M64.copy()
    for new, name in [("T7", "T3"), ("T8", "T4"), ("P7", "T5"), ("P8", "T6")]:
        old[old == INDEX[new]] = INDEX[name]
    for channels in (M64, old):
        hits = 0
        for _ in range(200):
            names = {CH_NAMES[k] for k in channels[choose_channels(channels, 19, rng)]}
            assert len(names) == 19
            hits += {"FP1", "FZ", "CZ", "PZ", "O2"} <= names and not names & {"AFZ", "FCZ", "C1"}
        assert 70 < hits < 130
    without = M64[M64 != INDEX["CZ"]]
    subsets = {tuple(choose_channels(without, 19, rng)) for _ in range(50)}
    assert len(subsets) == 50


def test_spread_channels_take_a_shared_place_last():
    channels = np.array([INDEX[name] for name in "T3 T7 C3 CZ C4 T8".split()])
    rng = np.random.default_rng(0)
    both = np.mean([{0, 1} <= set(choose_channels(channels, 5, rng)) for _ in range(200)])
    assert both < 0.5  # only where the choice is any


def test_average_leaves_derivations():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 50)).astype(np.float32) + 3
    channels = np.array([[0, 1, 2, 120], [0, 1, 120, 121]])
    y = subtract_average(x.copy(), channels)
    assert_allclose(y[0, :3].mean(axis=0), 0, atol=1e-6)
    assert_allclose(y[1, :2].mean(axis=0), 0, atol=1e-6)
    assert_array_equal(y[0, 3], x[0, 3])
    assert_array_equal(y[1, 2:], x[1, 2:])
    lone = subtract_average(x.copy(), np.array([[0, 120, 121, 122]] * 2))
    assert_array_equal(lone, x)
    twice = subtract_average(y.copy(), channels)
    assert_allclose(twice, y, atol=1e-6)


def test_augmentation_is_mild():
    rng = np.random.default_rng(0)
    x = np.broadcast_to(np.sin(np.arange(400) / 7), (500, 2, 400)).astype(np.float32)
    y = augment(x.copy(), rng)
    gain = (y * x).sum(axis=(1, 2)) / (x * x).sum(axis=(1, 2))
    assert 0.4 < np.mean(gain > 0) < 0.6
    assert np.std(np.log(np.abs(gain))) == pytest.approx(0.25, rel=0.15)
    noise = (y - gain[:, None, None] * x).std(axis=(1, 2))
    assert noise.max() < 0.0165
    assert noise.max() > 0.013
    assert noise.mean() == pytest.approx(0.0075, rel=0.15)
    assert_array_equal(y, augment(x.copy(), np.random.default_rng(0)))


# ---------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(tokens_per_window=0), "tokens_per_window must be at least 2"),
        (dict(tokens_per_batch=1), "tokens_per_batch must be at least 2"),
        (dict(mask_kinds={}), "must have weights"),
        (dict(mask_kinds={"random": -1.0}), "must have weights"),
        (dict(mask_kinds={"half": 1.0}), "Invalid value"),
        (dict(mask_kinds={"random": 1}, mask_share={"half": (0.1, 0.2)}), "Invalid value"),
        (dict(mask_kinds={"random": 1}, mask_share={"random": (0.5, 1.0)}), "low <= high"),
        (dict(mask_kinds={"random": 1}, mask_share={"random": (0.6, 0.5)}), "low <= high"),
    ],
)
def test_bad_options(corpus, options, message):
    with pytest.raises(ValueError, match=message):
        Sampler(corpus, **options)


def test_unknown_validation_kind(corpus):
    with pytest.raises(ValueError, match="Invalid value"):
        validation_batches(corpus, kinds=("half",))
