# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Samples that are not EEG are marked; trials, gaps and joins of recordings."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.preprocessing import VOLTS_TO_MODEL, preprocess
from mne_gram.training._marking import SECOND, _find_stuck, cut_pieces, find_joins, mark_recorded

# ---------------------------------------------------------------------------------------------
# What is marked


def test_marks_find_what_was_put_in(tmp_path, toy):
    """Every kind of second without EEG is marked, on its channel, and nothing else."""
    raw = toy.make_raw(step=0.1e-6)
    data = raw._data
    data[0, 2000:2400] = data[0, 2000]  # Fp1 flat in seconds 10 and 11
    data[1, 3080:3150] = data[1, 3080]  # Fp2 stuck for a third of second 15
    # C3 reaches the end of its range for a moment, more than once
    limit = 0.9 * data[2].max()
    data[2] = np.minimum(data[2], limit)
    runs = np.flatnonzero(data[2] == limit)
    starts = runs[np.r_[True, np.diff(runs) > 1]]
    lengths = np.diff(np.r_[np.flatnonzero(np.r_[True, np.diff(runs) > 1]), len(runs)])
    clipped = sorted({int(s) // SECOND for s, n in zip(starts, lengths, strict=True) if n >= 3})
    assert (lengths >= 3).sum() >= 2
    data[3] += 5e-3  # an electrode's offset, which no gap may turn into steps
    data[3, 5000:5010] = np.nan  # C4 in second 25
    data[5, 4200:4400] = 1e-8 * np.sin(np.arange(200))  # O2 in second 21
    data[4, 6100:6150] += 2e-3 * np.hanning(50)  # O1 in second 30
    raw.set_annotations(
        mne.Annotations([34.5, 37.2], [1.0, 0.5], ["BAD_cough", "BAD_o2"], ch_names=[[], ["O2"]])
    )
    corpus = toy.prepare_raw(tmp_path, raw)
    marked = toy.get_marked(corpus)
    everywhere = {30, 34, 35}  # O1 moved the average by 300 uV; the cough is of all channels
    assert {name: set(seconds) - everywhere for name, seconds in marked.items()} == {
        "Fp1": {10, 11},
        "Fp2": {15},
        "C3": set(clipped) - everywhere,
        "C4": {25},
        "O1": set(),
        "O2": {21, 37},
    }
    assert not corpus.good(0)[:, sorted(everywhere)].any()
    assert np.isfinite(corpus.read(0, range(6), 0, 8000)).all()
    n_marked = sum(map(len, marked.values()))
    assert corpus.n_tokens == 6 * toy.N_SECONDS - n_marked
    assert sum(stop - start for _, start, stop in corpus.recordings[0].bad) == n_marked


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    sfreq=st.sampled_from([128.0, 160.0, 250.0, 256.0, 512.0, 1000.0, 2048.0]),
    step=st.sampled_from([None, 0.03e-6, 0.1e-6, 0.5e-6, 1e-6]),
    h_freq=st.sampled_from([12, 40, 70]),
)
def test_clean_is_not_marked(seed, sfreq, step, h_freq, toy):
    """However fine the converter and fast the amplifier, EEG is not taken for flat or clipped."""
    raw = toy.make_raw(
        seed, names=toy.NAMES[:3], n_seconds=10, sfreq=sfreq, step=step, h_freq=h_freq
    )
    assert not mark_recorded(raw).any()
    raw._data *= 1e-3  # nor in a unit of its own
    assert not mark_recorded(raw).any()


def test_what_clipping_is():
    """Once and long, or often and short, at the end of a range; crests and coarse steps are not."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(4000)
    once = noise.copy()
    once[1000:1012] = 5.0
    often = np.minimum(noise, 3.0)
    often[[500, 501, 502, 900, 901, 902, 903, 2000, 2001, 2002]] = 3.0
    crests = np.round(300 * np.cos(2 * np.pi * np.arange(8000) / 1000))  # each 18 ms, in 1 s
    coarse = np.repeat(rng.integers(-10, 11, 800), 5).astype(float)
    assert np.flatnonzero(_find_stuck(once, 200.0)).tolist() == list(range(1000, 1012))
    assert np.flatnonzero(_find_stuck(often, 200.0)).tolist() == [
        *range(500, 503),
        *range(900, 904),
        *range(2000, 2003),
    ]
    often[900:904] = 0.1 * np.arange(4)
    for signal in (noise, crests, coarse, often):
        assert not _find_stuck(signal, 1000.0 if signal is crests else 200.0).any()


@pytest.mark.parametrize("sfreq", [160.0, 250.0, 333.3])
def test_marks_at_other_rates(sfreq, toy):
    """Seconds are those of the clock, whatever the rate."""
    raw = toy.make_raw(n_seconds=9.4, sfreq=sfreq)
    first, last = np.round(np.array([3, 5]) * sfreq).astype(int)
    raw._data[1, first:last] = 1e-5
    raw._data[2, -10:] = np.nan
    marked = mark_recorded(raw)
    assert marked.shape == (6, 10)
    assert np.argwhere(marked).tolist() == [[1, 3], [1, 4], [2, 9]]


@pytest.mark.parametrize("kind", ["flat", "dropped", "huge", "nan", "info"])
def test_bad_channels_stay_out_of_the_average(tmp_path, kind, toy):
    """A channel that is bad most of the time is marked throughout, and touches no other."""
    raw = toy.make_raw(1)
    rng = np.random.default_rng(2)
    expected = raw.copy()
    expected.info["bads"] = ["C4"]
    expected = preprocess(expected, verbose="error").get_data() * VOLTS_TO_MODEL
    if kind == "flat":
        raw._data[3] = 3e-6
    elif kind == "dropped":
        raw._data[3, 2400:] = 0
    elif kind == "huge":  # so much that the average makes every channel huge
        raw._data[3] = 20e-3 * rng.standard_normal(raw.n_times)
    elif kind == "nan":
        raw._data[3] = np.nan
    else:
        raw.info["bads"] = ["C4"]
    corpus = toy.prepare_raw(tmp_path, raw, dtype="float32")
    assert toy.get_marked(corpus) == {"C4": list(range(toy.N_SECONDS))}
    good = [0, 1, 2, 4, 5]
    data = corpus.read(0, good, 0, 8000)
    np.testing.assert_allclose(data, expected[good], atol=1e-6)


def test_bad_time_is_not_a_bad_channel(tmp_path, toy):
    """A recording most of which is annotated keeps its channels in the rest."""
    raw = toy.make_raw()
    raw.set_annotations(mne.Annotations(0, 30, "BAD_start"))
    corpus = toy.prepare_raw(tmp_path, raw)
    assert toy.get_marked(corpus) == {name: list(range(30)) for name in toy.NAMES}
    assert corpus.n_tokens == 6 * 10


def test_derivations_share_no_reference(tmp_path, toy):
    """A huge derivation spoils no other, as there is no average of them."""
    names = ["Fp1-F7", "F7-T7", "T7-P7", "P7-O1"]
    raw = toy.make_raw(names=names)
    raw._data[1, 2000:2200] += 20e-3 * np.sin(np.arange(200) / 5)
    corpus = toy.prepare_raw(tmp_path, raw)
    marked = toy.get_marked(corpus)
    assert set(marked) == {"F7-T7"} and 10 in marked["F7-T7"]


# ---------------------------------------------------------------------------------------------
# Where time is cut


def test_trials_of_one_second(tmp_path, toy):
    """Trials that were joined are pieces of exactly a second, at a rate that is no multiple."""
    raws = [toy.make_raw(k, n_seconds=1, sfreq=256.0) for k in range(8)]
    raw = mne.concatenate_raws(raws, verbose="error")
    corpus = toy.prepare_raw(tmp_path, raw)
    expected = tuple((k * SECOND, (k + 1) * SECOND) for k in range(8))
    assert corpus.recordings[0].pieces == expected
    assert corpus.n_tokens == 8 * 6


def test_holes_and_joins_of_eeglab(tmp_path, toy):
    """Holes belong to no piece, and no filter runs across a join that EEGLAB noted."""
    raw = toy.make_raw(n_seconds=100)
    raw._data[:, 10_000:] += np.array([[3e-3], [-3e-3], [1e-3], [0], [0], [-1e-3]])
    raw.set_annotations(
        mne.Annotations([50.0, 70.3, 99.5], [0, 10, 0], ["boundary", "BAD_ACQ_SKIP", "EDGE x"])
    )
    assert find_joins(raw) == ([50.0, 99.5], [(70.3, 80.3)])
    corpus = toy.prepare_raw(tmp_path, raw)
    assert corpus.recordings[0].pieces == ((0, 10_000), (10_000, 14_060), (16_060, 19_900))
    # Filtered as one piece, a step of 3 mV would go on for seconds.
    good = corpus.good(0)
    assert good[:, :48].all() and good[:, 52:70].all()
    assert np.ptp(corpus.read(0, range(6), 52 * SECOND, 60 * SECOND), axis=1).max() < 2.0


def test_joins_after_cropping(toy):
    """Times count from the first sample of the recording, with and without a date."""
    raw = toy.make_raw(n_seconds=20)
    for date in (None, 1e9):
        dated = raw.copy().set_meas_date(date)
        dated.set_annotations(mne.Annotations([12.0], [0], ["EDGE"], dated.info["meas_date"]))
        joins, _ = find_joins(dated.crop(5.0))
        np.testing.assert_allclose(joins, [7.0])


@settings(deadline=None, max_examples=100)
@given(
    joins=st.lists(st.floats(-1, 31), max_size=12),
    holes=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5)), max_size=3),
    n_times=st.integers(0, 30 * SECOND),
)
def test_pieces_hold_no_join(joins, holes, n_times):
    """Pieces are inside, a second at least, and contain no join or hole but for its rounding."""
    holes = [(start, start + length) for start, length in holes]
    pieces = cut_pieces(sorted(joins), holes, n_times)
    assert pieces == sorted(pieces)
    for start, stop in pieces:
        assert 0 <= start and stop <= n_times and stop - start >= SECOND
        slack = 3 if stop - start == SECOND else 1
        for join in joins:
            sample = join * SECOND
            assert not start + slack < sample < stop - slack
        for first, last in holes:
            inside = min(stop, last * SECOND) - max(start, first * SECOND)
            assert inside <= slack
    if not joins and not holes:
        assert pieces == ([(0, n_times)] if n_times >= SECOND else [])


@pytest.mark.parametrize("sfreq", [256.0, 250.0, 512.0, 173.61, 1024.0])
def test_no_trial_is_lost_to_rounding(sfreq):
    """Trials as long as a second, or a sample shorter, each give one second."""
    for n_samples in (int(np.ceil(sfreq)), int(np.ceil(sfreq)) - 1):
        n_trials = 30
        n_times = round(n_trials * n_samples * 200 / sfreq)
        joins = [k * n_samples / sfreq for k in range(1, n_trials)]
        pieces = cut_pieces(joins, [], n_times)
        if n_samples / sfreq * SECOND >= SECOND - 1:
            assert len(pieces) == n_trials
            assert all(stop - start in (200, 201, 202) for start, stop in pieces)
