# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Long recordings: in blocks they come out as in one go, and without their size in memory."""

import tracemalloc

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import restore
from mne_gram._recording import BadSpans, _samples, collect_spans, find_spans, open_recording
from mne_gram.restoration import _blocks, _spline
from mne_gram.restoration._blocks import choose_borders, join_spans
from mne_gram.restoration._gaps import Estimate
from mne_gram.restoration._tally import RestoredSpan

some = settings(deadline=None, max_examples=30)
NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 C3 Cz C4 P3 P4 O1 O2".split()
SFREQ = 100.0
N_SECONDS = 90


def make_raw(seconds=N_SECONDS, seed=0, drift=False):
    """Return channels that share slow noise."""
    rng = np.random.default_rng(seed)
    n_times = round(seconds * SFREQ)
    spectrum = np.fft.rfft(rng.standard_normal((len(NAMES), n_times)))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(n_times, 1 / SFREQ), 0.5))
    signal = np.fft.irfft(spectrum, n_times)
    mixing = rng.standard_normal((len(NAMES), len(NAMES)))
    data = 1e-5 * (mixing @ signal) / signal.std()
    if drift:
        data += 1e-3 * np.arange(len(NAMES))[:, None] + 1e-4 * np.linspace(-1, 1, n_times)
    info = mne.create_info(NAMES, SFREQ, "eeg").set_montage("easycap-M1")
    return mne.io.RawArray(data, info, verbose="error")


def make_mask(seconds=N_SECONDS):
    """Return a mask with all that can happen at a border."""
    mask = np.zeros((len(NAMES), round(seconds * SFREQ)), bool)

    def mark(channel, start, stop):
        mask[channel, round(start * SFREQ) : round(stop * SFREQ)] = True

    mask[3] = True  # all through
    mark(5, 12, 58)  # over several borders
    mark(7, 28, 33)
    mark(8, 29.5, 31)
    mark(9, 59.9, 60.2)
    rng = np.random.default_rng(1)
    for start in rng.uniform(0, seconds - 3, 12):
        mark(rng.integers(10, 14), start, start + rng.uniform(0, 3))
    return mask


@pytest.fixture
def short_blocks(monkeypatch):
    """Cut time every twenty seconds or so, once it is asked for."""

    def shorten(seconds=20.0):
        monkeypatch.setattr(_blocks, "_BLOCK_SECONDS", seconds)
        monkeypatch.setattr(_blocks, "_SHORTEST_SECONDS", 1.0)

    return shorten


def fill(raw, mask):
    """Return the recording with NaN where it is bad."""
    raw = raw.copy()
    raw._data[mask] = np.nan
    return raw


def describe(inst):
    """Return the annotations as plain tuples."""
    return [
        (round(a["onset"], 6), round(a["duration"], 6), a["description"], a["ch_names"])
        for a in inst.annotations
    ]


def compare(raw, mask, shorten, tolerance, seconds=20.0, **kwargs):
    """Restore in one go and in blocks; both have to be alike to a share of the signal."""
    kwargs = dict(mask=mask, return_report=True, verbose="error") | kwargs
    one, report = restore(fill(raw, mask), **kwargs)
    shorten(seconds)
    other, in_blocks = restore(fill(raw, mask), **kwargs)
    signal = raw.get_data()
    scale = np.diff(signal).std()
    assert_allclose(other.get_data(), one.get_data(), rtol=0, atol=tolerance * scale)
    assert_array_equal(other.get_data()[~mask], signal[~mask])
    assert_allclose(in_blocks.std, report.std, rtol=0, atol=1e-5 * np.nanmax(report.std))
    assert describe(other) == describe(one)
    assert other.info["bads"] == one.info["bads"]
    table, expected = in_blocks.to_data_frame(), report.to_data_frame()
    assert list(table["channel"]) == list(expected["channel"])
    assert_allclose(table["seconds"], expected["seconds"])
    assert_allclose(table["expected_nmse"], expected["expected_nmse"], rtol=1e-5)
    return other


# ---------------------------------------------------------------------------------------------
# The same as in one go


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(method="auto"),
        dict(method="spatial"),
        dict(method="spatial", output="sample", random_state=3),
        dict(method="spline"),
    ],
    ids=str,
)
def test_the_same_as_in_one_go(short_blocks, kwargs):
    compare(make_raw(), make_mask(), short_blocks, 1e-9, **kwargs)


@pytest.mark.parametrize("seconds", [11.0, 27.0, 44.0])
def test_the_length_of_blocks_does_not_matter(short_blocks, seconds):
    raw = make_raw(drift=True)
    compare(raw, make_mask(), short_blocks, 1e-9, seconds=seconds, method="spatial")


def test_segments(short_blocks):
    """Borders at joins of files and beside them."""
    raw = mne.concatenate_raws([make_raw(41), make_raw(20, 1), make_raw(29, 2)], verbose="error")
    mask = make_mask()
    mask[12, 3900:6200] = True
    compare(raw, mask, short_blocks, 1e-9, method="spatial")


@pytest.mark.parametrize("gaps", ["keep", "fill"])
def test_no_good_channel_for_longer_than_a_block(short_blocks, gaps):
    """How far the line is drawn that fills such a gap roughly does depend on the blocks."""
    mask = make_mask()
    mask[:, 3000:6500] = True
    mask[:, 7000:7050] = True
    raw = compare(make_raw(), mask, short_blocks, 1e-2, method="spatial", all_channel_gaps=gaps)
    assert np.isfinite(raw.get_data()).all() == (gaps == "fill")


def test_steps_of_what_is_far_away(short_blocks):
    """How large a step is usual at one end of a long gap is known from both ends."""
    raw, mask = make_raw(), make_mask()
    mask[10:] = False
    raw._data[5, :1200] *= 0.02
    compare(raw, mask, short_blocks, 1e-9, method="spatial")


def test_epochs(short_blocks):
    raw, mask = make_raw(), make_mask()
    epochs = mne.make_fixed_length_epochs(fill(raw, mask), 1.0, preload=True, verbose="error")
    bad = mask.reshape(len(NAMES), -1, 100).transpose(1, 0, 2)
    bad[:, 3] |= ~bad.all(axis=(0, 2))[3]
    one = restore(epochs, mask=bad, method="spatial", verbose="error").get_data()
    short_blocks()
    other = restore(epochs, mask=bad, method="spatial", verbose="error").get_data()
    assert_allclose(other, one, rtol=0, atol=1e-9 * np.abs(one).mean())
    assert_array_equal(other[~bad], epochs.get_data()[~bad])


def test_garbage_does_not_matter(short_blocks):
    raw, mask = make_raw(), make_mask()
    short_blocks()
    found = []
    for garbage in (np.nan, 1.0):
        broken = raw.copy()
        broken._data[mask] = garbage
        found.append(restore(broken, mask=mask, method="spatial", verbose="error").get_data())
    assert_array_equal(found[0], found[1])


def test_blocks_are_cross_faded(short_blocks, monkeypatch):
    """Where the estimates of two blocks differ there is no step."""
    raw, mask = make_raw(), make_mask()
    short_blocks()

    def estimate(block, plan):
        level, n_times = 1e-6 * (1 + np.sqrt(block.first)), block.n_times
        return [Estimate(3, 0, n_times, np.full(n_times, level), np.ones(n_times))]

    monkeypatch.setattr(_spline, "estimate", estimate)
    restored = restore(fill(raw, mask), mask=mask, method="spline", verbose="error")
    row = restored.get_data()[3]
    levels, steps = np.unique(row[::100]), np.abs(np.diff(row))
    assert len(levels) >= 4
    assert 0 < steps.max() < 2.5 * np.diff(levels).max() / (0.5 * SFREQ)
    assert (steps > 0).sum() <= 55 * (len(levels) - 1)


def test_the_network_in_blocks(short_blocks):
    """What it adds depends on the block, and joins without a step."""
    from mne_gram.models import Gram, Tokenizer
    from mne_gram.models._config import gram_nano, tokenizer_nano
    from mne_gram.models._files import GramModel

    tokenizer, gram = Tokenizer(tokenizer_nano(), seed=0), Gram(gram_nano(), seed=0)
    network = GramModel(tokenizer=tokenizer.eval(), gram=gram.eval())
    raw, mask = make_raw(), make_mask()
    short_blocks()
    borders = choose_borders(find_spans(mask), [(0, raw.n_times)], SFREQ)[1:-1]
    assert len(borders) >= 3
    restored = restore(
        fill(raw, mask), mask=mask, method="gram", model=network, line_freq=60.0, verbose="error"
    )
    signal = restored.get_data()
    assert_array_equal(signal[~mask], raw.get_data()[~mask])
    steps = np.abs(np.diff(signal[[3, 5]]))
    inside = [border - 1 for border in borders if mask[5, border - 1] and mask[5, border]]
    assert inside
    assert (steps[:, inside] <= np.quantile(steps, 0.999, axis=1)[:, None]).all()


# ---------------------------------------------------------------------------------------------
# Where blocks begin


def no_spans(n_channels, n_times):
    """Return that nothing is bad."""
    return BadSpans((np.zeros((0, 2), int),) * n_channels, n_times)


def test_short_recordings_are_one_block():
    for seconds in (1, 600, 900):
        n_times = round(seconds * 160)
        assert choose_borders(no_spans(64, n_times), [(0, n_times)], 160.0) == [0, n_times]
    borders = choose_borders(no_spans(64, 160 * 86_400), [(0, 160 * 86_400)], 160.0)
    assert len(borders) == 145


def test_blocks_of_many_channels_are_shorter():
    n_times = 2000 * 3600
    lengths = np.diff(choose_borders(no_spans(256, n_times), [(0, n_times)], 2000.0))
    assert 30 * 2000 < lengths.min() and lengths.max() < 90 * 2000


def test_borders_avoid_gaps(short_blocks):
    short_blocks()
    mask = np.zeros((5, 9000), bool)
    mask[0] = True  # whole channels go over every border
    mask[1, 1700:2100] = True
    mask[2, 3500:3700] = mask[3, 3650:3900] = True
    borders = choose_borders(find_spans(mask), [(0, 9000)], SFREQ)
    assert len(borders) == 6 and borders[0] == 0 and borders[-1] == 9000
    for border in borders[1:-1]:
        assert not (mask[1:, border - 1] & mask[1:, border]).any()
    assert borders[1] == 1700 or borders[1] == 2100
    # A join of files is as good a place as one where all is well.
    mask[4] = True
    mask[4, 8999] = False
    segments = [(0, 5300), (5300, 9000)]
    assert 5300 in choose_borders(find_spans(mask), segments, SFREQ)


@some
@given(seed=st.integers(0, 10_000), seconds=st.floats(5, 40))
def test_borders_are_in_order(seed, seconds):
    rng = np.random.default_rng(seed)
    n_times = int(rng.integers(100, 20_000))
    mask = np.zeros((4, n_times), bool)
    for start in rng.integers(0, n_times, rng.integers(0, 20)):
        mask[rng.integers(4), start : start + rng.integers(1, 3000)] = True
    cuts = np.unique(np.r_[0, rng.integers(1, n_times, 3), n_times]).tolist()
    segments = list(zip(cuts[:-1], cuts[1:], strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blocks, "_BLOCK_SECONDS", seconds)
        patch.setattr(_blocks, "_SHORTEST_SECONDS", 1.0)
        borders = choose_borders(find_spans(mask), segments, SFREQ)
    lengths = np.diff(borders)
    assert borders[0] == 0 and borders[-1] == n_times
    assert lengths.min() > 0 and lengths.max() <= 1.5 * seconds * SFREQ + 2


def restored(*args):
    """Return a restored span without standard deviations."""
    return RestoredSpan(*args, std=None)


def test_spans_are_joined_at_borders_only():
    found = [
        restored(0, 0, 100, False),
        restored(1, 50, 100, False),
        restored(2, 50, 100, False),
        restored(0, 100, 150, False),
        restored(1, 100, 150, False),
        restored(2, 100, 120, True),
        restored(0, 150, 200, False),
        restored(1, 160, 200, False),
    ]
    whole = np.array([True, False, False])
    joined = join_spans(found, [0, 100, 200], [(0, 200)], whole)
    assert joined == [
        restored(0, 0, 150, False),  # at 150 something else than a border cut it
        restored(1, 50, 150, False),
        restored(2, 50, 100, False),
        restored(2, 100, 120, True),
        restored(0, 150, 200, False),
        restored(1, 160, 200, False),
    ]
    # Where another segment begins only channels that are bad throughout continue.
    joined = join_spans(found[:5], [0, 100, 200], [(0, 100), (100, 200)], whole)
    assert restored(0, 0, 150, False) in joined and restored(1, 100, 150, False) in joined


# ---------------------------------------------------------------------------------------------
# Memory


@pytest.fixture
def saved(tmp_path):
    """Return a file with bad channels and spans, and the mask."""
    raw, mask = make_raw(), make_mask()
    spans = collect_spans(raw, np.arange(len(NAMES)), mask).spans
    raw.info["bads"] = [NAMES[3]]
    marks = [(a, b, name) for name, rows in zip(NAMES, spans, strict=True) for a, b in rows]
    marks = [mark for mark in marks if mark[2] != NAMES[3]]
    onsets, stops, names = zip(*marks, strict=True)
    onsets, stops = np.array(onsets) / SFREQ, np.array(stops) / SFREQ
    raw.set_annotations(
        mne.Annotations(onsets, stops - onsets, "BAD_x", ch_names=[(name,) for name in names])
    )
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    return tmp_path / "a_raw.fif"


def test_in_a_file(saved, tmp_path, short_blocks):
    """A Raw that is not preloaded is restored into a file that is memory-mapped."""
    lazy = mne.io.read_raw(saved, verbose="error")
    one = restore(lazy, method="spatial", verbose="error")
    short_blocks()
    other = restore(lazy, method="spatial", preload=tmp_path / "b.dat", verbose="error")
    assert not lazy.preload and other.preload
    assert isinstance(other._data, np.memmap)
    assert (tmp_path / "b.dat").stat().st_size == other._data.nbytes
    assert_allclose(other.get_data(), one.get_data(), rtol=0, atol=1e-14)
    # MNE goes on with it as with any other.
    assert_allclose(other.copy().crop(10, 20).get_data(), one.copy().crop(10, 20).get_data())


def test_in_place_in_a_file(saved, tmp_path, short_blocks):
    """What was read into a file is restored there."""
    expected = restore(mne.io.read_raw(saved, verbose="error"), method="spatial", verbose="error")
    short_blocks()
    raw = mne.io.read_raw(saved, preload=str(tmp_path / "b.dat"), verbose="error")
    assert restore(raw, method="spatial", copy=False, verbose="error") is raw
    content = np.fromfile(tmp_path / "b.dat").reshape(len(NAMES), -1)
    assert_allclose(content, expected.get_data(), rtol=0, atol=1e-14)


def test_the_file_is_not_one_of_the_recording(saved):
    lazy = mne.io.read_raw(saved, verbose="error")
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="contains the recording itself"):
        restore(lazy, preload=saved, verbose="error")
    assert saved.read_bytes() == before


def test_only_what_is_not_in_memory_goes_to_a_file(saved, tmp_path):
    raw = mne.io.read_raw(saved, preload=True, verbose="error")
    for inst, preload in ((raw, tmp_path / "b.dat"), (raw, False)):
        with pytest.raises(ValueError, match="Found preload=.*expected True"):
            restore(inst, preload=preload, verbose="error")
    with pytest.raises(TypeError, match="preload must be"):
        restore(raw, preload=3, verbose="error")


def measure_peak(seconds, folder, short_blocks):
    """Return how much memory the restoration of a recording takes at most."""
    raw = make_raw(seconds)
    path = folder / f"{seconds}_raw.fif"
    raw.info["bads"] = [NAMES[3]]
    raw.set_annotations(mne.Annotations([25, 130], [10, 20], "BAD_x", ch_names=[["O1"], ["Fz"]]))
    raw.save(path, verbose="error")
    del raw
    lazy = mne.io.read_raw(path, verbose="error")
    tracemalloc.start()
    restore(lazy, method="spatial", copy=False, preload=folder / "b.dat", verbose="error")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_recording(tmp_path, short_blocks, monkeypatch):
    short_blocks(60.0)
    # Recordings of many hours are copied to the disk in segments; so are these.
    monkeypatch.setattr(_samples, "_COPY_VALUES", 2**18)
    restore(fill(make_raw(5), make_mask(5)), mask=make_mask(5), method="spatial", verbose="error")
    one, other = (measure_peak(seconds, tmp_path, short_blocks) for seconds in (400, 1600))
    grown = 1200 * SFREQ * len(NAMES) * 8
    # But for the standard deviations of a whole channel where these change.
    assert other - one < 0.25 * grown


def test_samples_are_read_in_place():
    raw = make_raw()
    picks = np.array([2, 5])
    samples = open_recording(raw, picks, no_spans(2, raw.n_times)).samples
    assert_array_equal(samples.read(100, 200), raw.get_data()[[2, 5], 100:200])
