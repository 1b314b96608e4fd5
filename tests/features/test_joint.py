# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows of several recordings share batches, and come out by recording as they went in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mne_gram.features._cuts import Cuts
from mne_gram.features._joint import JointEncoder


def make_cuts(lengths, n_channels=2, seed=0, bad=None):
    """Return contiguous windows of given lengths."""
    lengths = np.array(lengths)
    starts = 200 * np.r_[0, np.cumsum(lengths[:-1])]
    data = 1e-5 * np.random.default_rng(seed).standard_normal((1, n_channels, 200 * lengths.sum()))
    return Cuts(
        data=data,
        epoch=np.zeros(len(lengths), int),
        start=starts,
        length=lengths,
        bad=bad,
        referenced=np.zeros(0, int),
        rows=np.arange(n_channels),
    )


class Network:
    """Returns some samples of each window, and notes what it got."""

    def __init__(self, break_at=lambda x: False):
        self.calls, self.break_at = [], break_at

    def __call__(self, x, channels, mask):
        """Return every fiftieth sample."""
        assert x.shape == (*mask.shape[:2], mask.shape[2] * 200) and len(channels) == x.shape[1]
        self.calls.append((len(x), tuple(channels), mask.shape[2]))
        if self.break_at(x):
            raise RuntimeError("out of\nmemory")
        return x[:, :, ::50]


def encode_alone(cuts):
    """Encode a recording alone."""
    return cuts.cut(int(cuts.length.max()))[0][:, :, ::50]


@settings(deadline=None, max_examples=80)
@given(
    recordings=st.lists(
        st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=9), st.integers(1, 3)),
        min_size=1,
        max_size=12,
    ),
    batch_size=st.integers(1, 7),
)
def test_every_recording_is_returned(recordings, batch_size):
    """Each recording is returned once, with its values in order, from full batches.

    Batches have one montage and one length, and few windows wait at any time.
    """
    network = Network()
    encoder = JointEncoder(network)
    made, whole, n_called = {}, {}, 0
    for name, (lengths, n_channels) in enumerate(recordings):
        whole[name] = make_cuts(lengths, n_channels, seed=name)
        done = list(encoder.add(name, whole[name], np.arange(n_channels), batch_size))
        made.update({encoded.name: encoded for encoded in done})
        n_in = sum(len(cuts) for cuts in whole.values())
        n_waiting = n_in - sum(n for n, *_ in network.calls)
        assert 0 <= n_waiting <= 2 * batch_size
        short = [n for n, *_ in network.calls[n_called:] if n < batch_size]
        assert not short or len(encoder._batches) > 1  # only where many montages wait
        n_called = len(network.calls)
    made.update({encoded.name: encoded for encoded in encoder.flush()})
    assert list(encoder.flush()) == [] and sorted(made) == list(whole)
    assert all(n <= batch_size for n, *_ in network.calls)
    for name, cuts in whole.items():
        assert_array_equal(made[name].data, encode_alone(cuts))
        assert_array_equal(made[name].good, 1.0)
        assert made[name].error is None and made[name].notes == []
    groups = {(tuple(range(n)), max(lengths)) for lengths, n in recordings}
    assert {call[1:] for call in network.calls} == groups


def test_batches_hold_several_recordings():
    """Twelve recordings of three windows are nine batches of four."""
    network = Network()
    encoder = JointEncoder(network)
    done = [
        len(list(encoder.add(k, make_cuts([2, 2, 1], seed=k), np.arange(2), 4))) for k in range(12)
    ]
    assert network.calls == [(4, (0, 1), 2)] * 9
    assert done == [0, 1, 1, 2] * 3  # as soon as their last window is through


def test_montages_do_not_mix():
    """Other channels, or another order, have their own batch."""
    network = Network()
    encoder = JointEncoder(network)
    for k, channels in enumerate(([4, 7], [7, 4], [4, 9], [4, 7])):
        list(encoder.add(k, make_cuts([1], seed=k), np.array(channels), 2))
    assert network.calls == [(2, (4, 7), 1)]
    assert [encoded.name for encoded in encoder.flush()] == [1, 2]


def test_only_the_failing_recording_fails():
    """If a batch fails, each recording in it gets another chance separately, and this is noted."""
    guilty = make_cuts([1, 1, 1], seed=1)
    guilty.data[0, 0, 250] = 5.0  # in its second window
    network = Network(break_at=lambda x: np.nanmax(x) > 1e3)
    encoder = JointEncoder(network)
    made = {}
    for k in range(4):
        cuts = guilty if k == 1 else make_cuts([1, 1, 1], seed=k)
        made.update({e.name: e for e in encoder.add(k, cuts, np.arange(2), 4)})
    made.update({e.name: e for e in encoder.flush()})
    # Batches of 3 + 1, 2 + 2 and 1 + 3 windows, of which the second one fails.
    assert [n for n, *_ in network.calls] == [4, 4, 2, 2, 4]
    assert str(made[1].error) == "out of\nmemory"
    for k in (0, 2, 3):
        assert made[k].error is None
        assert_array_equal(made[k].data, encode_alone(make_cuts([1, 1, 1], seed=k)))
    assert made[0].notes == made[3].notes == []
    (note,) = made[2].notes
    assert "Encoded separately" in note and "RuntimeError: out of memory" in note


def test_alone_in_a_batch():
    """A recording that fills a batch and fails is not tried twice, nor are its other windows."""
    network = Network(break_at=lambda x: True)
    encoder = JointEncoder(network)
    (encoded,) = encoder.add("a", make_cuts([1] * 6), np.arange(2), 2)
    assert isinstance(encoded.error, RuntimeError) and encoded.notes == []
    assert len(network.calls) == 1


def test_memory_of_a_failed_batch_is_let_go():
    """The memory of a failed batch is freed before its recordings are tried alone."""
    held = []

    class Memory:
        pass

    def encode(x, channels, mask):
        import weakref

        memory = Memory()
        alive = [ref for ref in held if ref() is not None]
        assert not alive, "the failed batch still holds its memory"
        held.append(weakref.ref(memory))
        if len(x) > 1:
            raise MemoryError("together")
        return x[:, 0, :1]

    encoder = JointEncoder(encode)
    done = [e for k in range(2) for e in encoder.add(k, make_cuts([1], seed=k), np.arange(2), 2)]
    assert [e.error for e in done] == [None, None]


def test_windows_without_good_patches_are_noted():
    """Windows without good patches are noted, as when a recording is encoded alone."""
    cuts = make_cuts([1, 2], bad=type("Bad", (), dict(spans=[np.array([[0, 200]])] * 2)))
    (encoded,) = JointEncoder(Network()).add("a", cuts, np.arange(2), 2)
    assert_array_equal(encoded.good, [0.0, 1.0])
    assert "bad in 1 of 2 windows (0)" in encoded.notes[0]


@pytest.mark.parametrize("batch_size", [0, -1])
def test_wrong_batch_size_ends(batch_size):
    """The network raises the error; nothing hangs."""
    (encoded,) = JointEncoder(Network()).add("a", make_cuts([1]), np.arange(2), batch_size)
    assert len(encoded.data) == 1
