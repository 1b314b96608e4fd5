# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What is bad: info, annotations and masks, sample by sample."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mne_gram._marks import annotated_spans, is_bad_annotation
from mne_gram._recording import _masks
from mne_gram._recording._masks import (
    collect_mask,
    collect_spans,
    find_all_channel_gaps,
    find_spans,
    is_inside,
    merge_spans,
)

some = settings(deadline=None, max_examples=50)

NAMES = ["Fz", "Cz", "Pz", "Oz", "STI"]
SFREQ = 100.0
EEG = np.arange(4)
DATES = [None, 1_000_000_000]


def make_raw(meas_date=None, first_samp=0, n_times=1000):
    """Return four EEG channels and a stim channel."""
    info = mne.create_info(NAMES, SFREQ, ["eeg"] * 4 + ["stim"])
    data = np.random.default_rng(0).standard_normal((5, n_times)) * 1e-5
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    if meas_date is not None:
        raw.set_meas_date(meas_date)
    return raw


def annotate(raw, onset, duration, text, ch_names=None):
    """Annotate a Raw, onsets in seconds after its first sample."""
    orig_time = raw.info["meas_date"]
    shift = raw.first_time if orig_time is not None else 0.0
    raw.set_annotations(
        mne.Annotations(np.add(onset, shift), duration, text, orig_time, ch_names=ch_names),
        verbose="error",
    )
    return raw


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("BAD", True),
        ("BAD_jump", True),
        ("bad muscle", True),
        ("RESTORED", False),
        ("EDGE boundary", False),
        ("BAD boundary", False),
        ("BAD_ACQ_SKIP", False),
        ("bad_acq_skip", False),
        ("stimulus BAD", False),
        ("", False),
    ],
)
def test_which_annotations_are_bad(text, bad):
    assert is_bad_annotation(text) is bad


@pytest.mark.parametrize("meas_date", DATES)
@pytest.mark.parametrize("first_samp", [0, 250])
def test_spans_of_raw(meas_date, first_samp):
    raw = make_raw(meas_date, first_samp)
    annotate(
        raw,
        [1.0, 2.0, 4.5, 9.5],
        [0.5, 1.0, 0.0, 0.5],
        ["BAD_a", "fine", "BAD_point", "BAD_end"],
        [("Cz", "Pz"), (), (), ()],
    )
    assert annotated_spans(raw) == [(0, 0, 100, 150, ("Cz", "Pz")), (3, 0, 950, 1000, ())]
    raw.crop(1.25, 9.7)
    spans = annotated_spans(raw)
    assert [span[2:4] for span in spans] == [(0, 25), (825, 846)]
    assert raw.annotations.description[spans[1][0]] == "BAD_end"


@pytest.mark.parametrize("meas_date", DATES)
def test_spans_agree_with_mne(meas_date):
    raw = make_raw(meas_date, 250).crop(0.7, None)
    annotate(raw, [0.503, 3.0, 8.0], [0.251, 2.0, 5.0], ["BAD_a", "BAD_b", "BAD_c"])
    bad = collect_mask(raw, EEG)
    without = raw.get_data(picks=EEG, reject_by_annotation="NaN", verbose="error")
    assert_array_equal(bad, np.isnan(without))
    assert bad.any() and not bad.all()


def test_no_annotations():
    raw = make_raw()
    assert annotated_spans(raw) == []
    assert not collect_mask(raw, EEG).any()
    assert collect_mask(raw, EEG).shape == (4, 1000)


def test_mask_of_raw():
    raw = annotate(make_raw(), [1.0, 3.0], [1.0, 1.0], "BAD", [("Pz", "STI"), ()])
    raw.info["bads"] = ["Oz"]
    extra = np.zeros((5, 1000), bool)
    extra[1, 700:705] = True
    extra[4] = True  # no EEG: not looked at
    bad = collect_mask(raw, EEG, extra)
    expected = np.zeros((4, 1000), bool)
    expected[2, 100:200] = True
    expected[:, 300:400] = True
    expected[3] = True
    expected[1, 700:705] = True
    assert_array_equal(bad, expected)
    assert_array_equal(collect_mask(raw, [3, 1], extra), expected[[3, 1]])
    assert extra.sum() == 1005  # the mask that came is not written to


def test_mask_of_evoked():
    raw = make_raw()
    evoked = mne.EvokedArray(raw.get_data()[:, :80], raw.info)
    evoked.info["bads"] = ["Cz"]
    extra = np.zeros((5, 80), bool)
    extra[0, 10:20] = True
    bad = collect_mask(evoked, EEG, extra)
    assert bad.shape == (4, 80)
    assert bad[1].all() and bad[0, 10:20].all() and bad.sum() == 90


def make_epochs(raw, samples, tmin=-0.2, tmax=0.5):
    """Cut epochs around samples, counted from the first one of the Raw."""
    events = np.c_[np.add(samples, raw.first_samp), np.zeros(len(samples), int), [1] * len(samples)]
    return mne.Epochs(
        raw,
        events,
        tmin=tmin,
        tmax=tmax,
        baseline=None,
        reject_by_annotation=False,
        preload=True,
        verbose="error",
    )


@pytest.mark.parametrize("meas_date", DATES)
@pytest.mark.parametrize("first_samp", [0, 250])
def test_mask_of_epochs(meas_date, first_samp):
    raw = annotate(make_raw(meas_date, first_samp), [2.1, 5.0], [0.2, 0.1], "BAD", [("Cz",), ()])
    epochs = make_epochs(raw, [100, 200, 480, 800])
    bad = collect_mask(epochs, EEG).reshape(4, 4, -1)
    expected = np.zeros(bad.shape, bool)
    expected[1, 1, 30:50] = True  # 2.1 s is 0.1 s after the event, which is 0.2 s after the start
    expected[:, 2, 40:50] = True
    assert_array_equal(bad, expected)
    # The same samples as those of the Raw.
    whole = collect_mask(raw, EEG)
    for k, sample in enumerate([100, 200, 480, 800]):
        assert_array_equal(bad[:, k], whole[:, sample - 20 : sample + 51])
    dropped = epochs.copy().drop([0], verbose="error")
    assert_array_equal(collect_mask(dropped, EEG).reshape(4, 3, -1), expected[:, 1:])


def test_mask_of_overlapping_epochs():
    raw = annotate(make_raw(), [2.0], [0.3], "BAD", [("Fz",)])
    epochs = make_epochs(raw, [190, 210])
    bad = collect_mask(epochs, EEG).reshape(4, 2, -1)
    assert_array_equal(np.flatnonzero(bad[0, 0]), np.arange(30, 60))
    assert_array_equal(np.flatnonzero(bad[0, 1]), np.arange(10, 40))


def test_mask_of_epochs_by_hand():
    epochs = make_epochs(make_raw(), [100, 200, 300])
    labels = np.zeros((3, 5), bool)
    labels[1, 2] = True
    bad = collect_mask(epochs, EEG, labels).reshape(4, 3, -1)
    assert bad[2, 1].all() and bad.sum() == 71
    samples = np.zeros((3, 5, 71), bool)
    samples[2, 0, 5:9] = True
    bad = collect_mask(epochs, EEG, samples).reshape(4, 3, -1)
    assert bad[0, 2, 5:9].all() and bad.sum() == 4


@pytest.mark.parametrize(
    ("mask", "error", "match"),
    [
        (np.zeros((4, 1000), bool), ValueError, r"shape \(5, 1000\).*got \(4, 1000\)"),
        (np.zeros((5, 999), bool), ValueError, "got"),
        (np.zeros((5, 1000)), ValueError, "dtype bool"),
        ([[True]], TypeError, "bool array"),
    ],
)
def test_wrong_masks_are_refused(mask, error, match):
    with pytest.raises(error, match=match):
        collect_mask(make_raw(), EEG, mask)


def test_wrong_masks_of_epochs_are_refused():
    epochs = make_epochs(make_raw(), [100, 200, 300])
    with pytest.raises(ValueError, match=r"\(3, 5\) or \(3, 5, 71\)"):
        collect_mask(epochs, EEG, np.zeros((5, 3), bool))
    with pytest.raises(ValueError, match="RejectLog"):
        collect_mask(epochs, EEG, np.zeros((3, 5), int))


# ---------------------------------------------------------------------------------------------
# Spans


def draw_mask(seed, n_channels=4, n_times=60):
    """Draw a mask with few or many changes."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((n_channels, n_times)) < rng.choice([0.02, 0.3, 0.9])
    mask = np.repeat(coarse, rng.choice([1, 7]), axis=1)[:, :n_times]
    mask[rng.random(n_channels) < 0.2] = True
    return mask


@some
@given(seed=st.integers(0, 10_000))
def test_spans_are_the_mask(seed):
    rng, mask = np.random.default_rng(seed), draw_mask(seed)
    spans = find_spans(mask)
    assert len(spans) == len(mask)
    assert_array_equal(spans.paint(), mask)
    assert_array_equal(spans.n_bad, mask.sum(axis=1))
    assert_array_equal(spans.whole, mask.all(axis=1))
    start, stop = sorted(rng.integers(0, 61, 2))
    step = int(rng.integers(1, 9))
    for few in (0, _masks._FEW):  # all at once, and one by one
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_masks, "_FEW", few)
            assert_array_equal(spans.paint(start, stop, step), mask[:, start:stop:step])
    assert_array_equal(spans.select([2, 0]).paint(), mask[[2, 0]])
    if start < stop:
        assert spans.covers(1, start, stop) == mask[1, start:stop].all()
    for rows, row in zip(spans.spans, mask, strict=True):
        assert (rows[1:, 0] > rows[:-1, 1]).all()  # apart from each other
        assert_array_equal(is_inside(rows, np.arange(60)), row)


@some
@given(seed=st.integers(0, 10_000))
def test_arithmetic_of_spans(seed):
    one, other = draw_mask(seed), draw_mask(seed + 1)
    spans, others = find_spans(one), find_spans(other)
    assert_array_equal(spans.join(others).paint(), one | other)
    assert_array_equal(spans.subtract(others).paint(), one & ~other)
    gaps = find_all_channel_gaps(spans)
    assert_array_equal(is_inside(gaps, np.arange(60)), (~one).sum(axis=0) < 2)


def test_merging_by_hand():
    assert_array_equal(
        merge_spans([(30, 40), (5, 9), (9, 12), (6, 8), (20, 20)]), [(5, 12), (30, 40)]
    )
    assert merge_spans([]).shape == (0, 2)


def test_spans_and_mask_are_the_same():
    raw = annotate(make_raw(), [1, 3], [2, 4], ["BAD_x", "BAD_y"], [["Cz"], []])
    raw.info["bads"] = ["Oz"]
    mask = np.zeros((5, 1000), bool)
    mask[0, 900:] = mask[1, 250:420] = True
    spans = collect_spans(raw, EEG, mask)
    assert_array_equal(spans.spans[1], [(100, 700)])
    assert_array_equal(spans.spans[3], [(0, 1000)])
    assert_array_equal(spans.paint(), collect_mask(raw, EEG, mask))
