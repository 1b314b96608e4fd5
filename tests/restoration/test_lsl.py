# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A stream of MNE-LSL is restored by a callback, over the loopback of this machine."""

import time
import uuid

import mne
import numpy as np
import pytest

from mne_gram import LiveRestorer, Restorer
from mne_gram.datasets import sample

SECONDS = 10.0


@pytest.fixture
def players():
    """Return the classes of a player and a stream; needs the library liblsl."""
    player = pytest.importorskip("mne_lsl.player", reason="needs MNE-LSL", exc_type=ImportError)
    stream = pytest.importorskip("mne_lsl.stream", reason="needs liblsl", exc_type=Exception)
    return player.PlayerLSL, stream.StreamLSL


def _wait(condition):
    """Wait until a condition is true; returns whether it is."""
    end = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.filterwarnings("ignore:The locations of multiple reference:RuntimeWarning")
def test_stream(players):
    """A channel that is flat is found and restored; marked and added ones at once."""
    player_class, stream_class = players
    raw = sample(return_truth=True, verbose="error")[1]
    raw.pick(["FC5", "FC1", "FC2", "FC6", "C3", "Cz", "C4", "CP5", "CP1", "CP2", "CP6", "Pz"])
    restorer = Restorer().fit(raw)
    raw._data[4] = 0.0  # C3
    raw.drop_channels("Pz")
    live, before, after = LiveRestorer(restorer), [], []

    def keep(data, timestamps, info):
        before.append(data.copy())
        return data, timestamps

    def keep_restored(data, timestamps, info):
        after.append(data.copy())
        return data, timestamps

    name = str(uuid.uuid4())
    with (
        mne.utils.use_log_level("error"),
        player_class(raw, chunk_size=8, name=name, source_id=name),
    ):
        stream = stream_class(bufsize=1.0, name=name, source_id=name)
        stream.connect(acquisition_delay=0.02, timeout=SECONDS)
        stream.add_reference_channels("Pz")
        stream.info["bads"] = ["Cz", "Pz"]
        for callback in (keep, live, keep_restored):
            stream.add_callback(callback)
        try:
            assert _wait(lambda: live.bads == ["C3", "Cz", "Pz"])
            n_found = len(after)
            assert _wait(lambda: len(after) > n_found + 4)
            end = stream.get_data(0.1)[0]
        finally:
            stream.disconnect()
    assert (end.std(axis=1) > 1e-6).all() and np.abs(end).max() < 1e-3  # volts
    again = LiveRestorer(restorer)
    marks = np.isin(restorer.ch_names_, ["Cz", "Pz"])
    chunks = zip(before, after, strict=False)
    differences = [np.abs(again.process(x.T, mask=marks) - y.T).max() for x, y in chunks]
    assert len(differences) > 5 and max(differences) < 1e-12
    assert again.annotations.onset[0] == live.annotations.onset[0] <= 1.01
