# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""SEED-V, on recordings of the same form."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mne_gram.datasets import (
    cut_seedv,
    read_seedv,
)
from mne_gram.datasets._seedv import FILMS


def _make_seedv(session="1", n_more=0):
    """Return a Raw like a session: 62 electrodes and four unused channels."""
    entries = [name for name in list_electrodes() if name not in ("M1", "M2")][:62]
    names = [*entries[:30], "M1", "M2", *entries[30:], "VEO", "HEO"]
    seconds = FILMS[session][1][-1] + 1 + n_more
    info = mne.create_info(names, 2.0, "eeg")
    times = np.arange(2 * seconds) / 2
    data = 1e-6 * np.tile(times, (len(names), 1))
    data[:, 0] = 0
    return mne.io.RawArray(data, info, verbose="error"), entries


def list_electrodes():
    """Return the electrodes of the montage, without those at the same position."""
    from mne_gram.montage import ELECTRODES

    return [name for name in ELECTRODES if name not in ("T3", "T4", "T5", "T6", "A1", "A2")]


@pytest.mark.parametrize("session", list(FILMS))
def test_cut_seedv(session):
    """As many windows of 4 s as fit into each film."""
    raw, entries = _make_seedv(session)
    names = list(raw.ch_names)
    epochs = cut_seedv(raw, "7", session)
    assert raw.ch_names == names  # it is left as it is
    assert epochs.ch_names == entries
    starts, stops, numbers = map(np.array, FILMS[session])
    counts = (stops - starts) // 4
    frame = epochs.metadata
    assert frame["film"].tolist() == np.repeat(np.arange(1, 16), counts).tolist()
    labels = np.array(["disgust", "fear", "sad", "neutral", "happy"])
    assert frame["label"].tolist() == np.repeat(labels[numbers], counts).tolist()
    data = 1e6 * epochs.get_data(picks=[0])[:, 0]
    assert data.shape == (counts.sum(), 8)
    assert_allclose(data[:, 0], frame["onset"])
    within = [
        starts[k - 1] <= onset <= stops[k - 1] - 4
        for k, onset in frame[["film", "onset"]].values.astype(int)
    ]
    assert all(within)
    assert set(frame["session"]) == {session} and set(frame["subject"]) == {"7"}


def test_seedv_films():
    """Every emotion has three films per session, in temporal order."""
    for starts, stops, numbers in FILMS.values():
        assert (np.bincount(numbers) == 3).all() and len(starts) == len(stops) == 15
        assert (np.diff(np.ravel(np.column_stack([starts, stops]))) > 0).all()


def test_seedv_bad_input(tmp_path):
    raw, _ = _make_seedv()
    with pytest.raises(ValueError, match="session must be one of 1, 2, 3, got 4"):
        cut_seedv(raw, "1", "4")
    with pytest.raises(
        ValueError, match="lasts 3000 s, and the films of session 1 last until 3359"
    ):
        cut_seedv(raw.copy().crop(0, 2999.5), "1", "1")
    with pytest.raises(ValueError, match="has 61 channels beside M1, M2"):
        cut_seedv(raw.copy().drop_channels("FP1"), "1", "1")
    with pytest.raises(ValueError, match="not electrodes by name: EXG"):
        cut_seedv(raw.copy().rename_channels({"FP1": "EXG"}), "1", "1")
    with pytest.raises(TypeError, match="raw must be"):
        cut_seedv(raw.get_data(), "1", "1")
    with pytest.raises(FileNotFoundError, match="Found no"):
        read_seedv(tmp_path)
    (tmp_path / "a.cnt").touch()
    with pytest.raises(ValueError, match="a.cnt is not subject_session_date.cnt"):
        read_seedv(tmp_path)


def test_read_seedv_opens_files_one_at_a_time(tmp_path, monkeypatch):
    """Files are opened one at a time, when they are needed."""
    for subject in range(1, 6):
        (tmp_path / f"{subject}_1_20180804.cnt").touch()
    opened = []

    def read_raw_cnt(path, **kwargs):
        opened.append(path.name)
        return _make_seedv()[0]

    monkeypatch.setattr(mne.io, "read_raw_cnt", read_raw_cnt)
    found = read_seedv(tmp_path)
    assert opened == []
    epochs = next(found)
    assert opened == ["1_1_20180804.cnt"]
    assert set(epochs.metadata["part"]) == {"test"}
    assert set(epochs.metadata["file"]) == {"1_1_20180804.cnt"}
    assert [set(own.metadata["part"]).pop() for own in found] == ["validation"] + 3 * ["train"]
