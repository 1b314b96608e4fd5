# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Masks of stage 2: how many patches they hide, and which."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.montage import CH_NAMES, electrode_positions
from mne_gram.training._masks import (
    MASK_KINDS,
    MASK_SHARES,
    channel_distances,
    count_hidden,
    draw_mask,
)

INDEX = {name: k for k, name in enumerate(CH_NAMES)}
WHOLE = settings(deadline=None, max_examples=60)

channel_sets = st.lists(st.integers(0, 129), min_size=1, max_size=70, unique=True).map(np.array)
lengths = st.integers(1, 16)
shares = st.floats(0.02, 0.98)
seeds = st.integers(0, 2**32)


def draw(kind, channels, n, share, seed=0):
    """Draw a mask from a seed."""
    return draw_mask(kind, channels, n, np.random.default_rng(seed), share=share)


@WHOLE
@given(channel_sets, lengths, shares, seeds, st.sampled_from(MASK_KINDS))
def test_number_hidden_does_not_depend_on_the_draw(channels, n, share, seed, kind):
    if len(channels) * n == 1:
        return
    mask = draw(kind, channels, n, share, seed)
    assert mask.shape == (len(channels), n)
    assert mask.dtype == bool
    assert 0 < mask.sum() < mask.size
    assert mask.sum() == np.prod(count_hidden(kind, len(channels), n, share))
    assert mask.sum() == draw(kind, channels[::-1], n, share, seed + 1).sum()
    assert_array_equal(mask, draw(kind, channels, n, share, seed))
    if kind != "random" and len(channels) > 2:
        assert (~mask.any(axis=1)).sum() >= 2


@WHOLE
@given(channel_sets, lengths, st.sampled_from(MASK_KINDS))
def test_number_hidden_follows_the_share(channels, n, kind):
    if len(channels) * n == 1:
        return
    counts = [np.prod(count_hidden(kind, len(channels), n, s)) for s in np.linspace(0.05, 0.95, 19)]
    if kind != "span":  # rounding twice may go back by a little
        assert (np.diff(counts) >= 0).all()
    if len(channels) >= 16:
        low, high = MASK_SHARES[kind]
        for share in (low, (low + high) / 2, high):
            hidden = np.prod(count_hidden(kind, len(channels), n, share)) / (len(channels) * n)
            assert abs(hidden - share) < 0.05


@WHOLE
@given(channel_sets, lengths, shares, seeds, st.sampled_from(["channels", "cluster"]))
def test_whole_channels(channels, n, share, seed, kind):
    if len(channels) < 2:
        return
    mask = draw(kind, channels, n, share, seed)
    assert_array_equal(mask.all(axis=1), mask.any(axis=1))


@WHOLE
@given(channel_sets, lengths, shares, seeds)
def test_clusters_are_compact(channels, n, share, seed):
    if len(channels) < 2:
        return
    hidden = draw("cluster", channels, n, share, seed)[:, 0]
    distances = channel_distances()[np.ix_(channels, channels)]
    # Around one of the hidden channels, no visible one is nearer than a hidden one.
    farthest = distances[:, hidden].max(axis=1)
    nearest = distances[:, ~hidden].min(axis=1)
    assert (farthest <= nearest)[hidden].any()


@WHOLE
@given(channel_sets, lengths, shares, seeds)
def test_spans_are_one_stretch_of_several_channels(channels, n, share, seed):
    if len(channels) * n == 1:
        return
    mask = draw("span", channels, n, share, seed)
    when = mask.any(axis=0)
    assert_array_equal(mask, mask.any(axis=1)[:, None] & when)
    assert np.ptp(np.flatnonzero(when)) + 1 == when.sum()


def test_spans_are_shorter_than_the_window():
    channels = np.arange(16)
    mask = draw("span", channels, 16, 0.25)
    assert mask.any(axis=0).sum() == 8
    assert mask.any(axis=1).sum() == 8


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_everything_may_be_hidden(kind):
    channels = np.array([INDEX[name] for name in "FP1 FP2 C3 C4 P7 P8 O1 O2".split()])
    rng = np.random.default_rng(0)
    masks = np.array([draw_mask(kind, channels, 6, rng, share=0.3) for _ in range(600)])
    hidden = masks.mean(axis=0)
    assert hidden.min() > 0.05
    assert hidden.max() < 0.75
    if kind in ("random", "channels"):
        assert_allclose(hidden, masks[0].mean(), atol=0.08)
    assert len(np.unique(masks.reshape(600, -1), axis=0)) >= 6  # clusters: some share all members


def test_published_share():
    mask = draw("random", np.arange(19), 14, 0.5)
    assert mask.sum() == 19 * 14 // 2
    assert MASK_SHARES["random"][0] < 0.5 < MASK_SHARES["random"][1]


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_small_windows(kind):
    one_channel = draw(kind, [3], 8, 0.4)
    assert one_channel.sum() == 3
    if kind != "random":
        assert np.ptp(np.flatnonzero(one_channel[0])) == 2
    assert draw(kind, np.arange(10), 1, 0.3).sum() == 3
    assert draw(kind, [3, 7], 1, 0.9).sum() == 1
    with pytest.raises(ValueError, match="one to hide and one to leave visible"):
        draw(kind, [3], 1, 0.5)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_share_out_of_range(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        draw("random", np.arange(4), 4, share)


def test_unknown_kind():
    with pytest.raises(ValueError, match="Invalid value for the 'kind' parameter"):
        draw("half", np.arange(4), 4, 0.5)


def test_distances():
    distances = channel_distances()
    assert distances.shape == (130, 130)
    assert_array_equal(distances, distances.T)
    assert distances[INDEX["T3"], INDEX["T7"]] == 0
    places = electrode_positions()
    middle = (places[INDEX["FP1"]] + places[INDEX["F7"]]) / 2
    assert_allclose(
        distances[INDEX["FP1-F7"], INDEX["CZ"]], np.linalg.norm(middle - places[INDEX["CZ"]])
    )
    with pytest.raises(ValueError, match="read-only"):
        distances[0, 0] = 1
