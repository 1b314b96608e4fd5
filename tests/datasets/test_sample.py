# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The bundled sample recording."""

from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import datasets
from mne_gram.montage import match_channels

DATA = Path(datasets.__file__).parent / "data"


@pytest.fixture(scope="module")
def loaded():
    return datasets.sample(return_truth=True)


def bad_span(raw):
    """Return the channel index and the samples of the bad segment."""
    (item,) = [item for item in raw.annotations if item["description"].startswith("BAD_")]
    (name,) = item["ch_names"]
    start, stop = raw.time_as_index([item["onset"], item["onset"] + item["duration"]])
    return raw.ch_names.index(name), start, stop


def test_sample(loaded):
    raw, truth = loaded
    assert raw.preload and truth.preload
    for inst in loaded:
        assert len(inst.ch_names) == 64 and inst.info["sfreq"] == 160
        assert abs(inst.times[-1] - 20) < 0.1
        assert inst.info["line_freq"] == 60
        assert set(inst.get_channel_types()) == {"eeg"}
        channel_map = match_channels(inst.info)
        assert set(channel_map.how) == {"exact"}
        assert np.isfinite(channel_map.positions).all()
    assert truth.info["bads"] == ["FT8"] and raw.info["bads"] == ["CP2", "FT8"]
    assert set(truth.annotations.description) == {"T0", "T1", "T2"}
    assert set(raw.annotations.description) == {"T0", "T1", "T2", "BAD_pop"}


def test_sample_is_eeg_in_volts(loaded):
    level = np.median(np.abs(loaded[1].get_data()))
    assert 5e-6 < level < 50e-6


def test_only_what_is_marked_is_garbage(loaded):
    raw, truth = loaded
    channel, start, stop = bad_span(raw)
    assert 2.9 < (stop - start) / 160 < 3.1
    marked = np.zeros(raw.get_data().shape, bool)
    marked[raw.ch_names.index(raw.info["bads"][0])] = True
    marked[channel, start:stop] = True
    difference = np.abs(raw.get_data() - truth.get_data())
    assert (difference[~marked] == 0).all()
    for row, samples in (
        (raw.ch_names.index(raw.info["bads"][0]), slice(None)),
        (channel, slice(start, stop)),
    ):
        error = (difference[row, samples] ** 2).mean() / truth.get_data()[row, samples].var()
        assert error > 1


def test_sample_is_the_same_every_time(loaded):
    again = datasets.sample()
    assert isinstance(again, mne.io.BaseRaw)
    assert_array_equal(again.get_data(), loaded[0].get_data())
    again._data[:] = 0
    assert loaded[0].get_data().any()


def test_events_are_kept(loaded):
    events, event_id = mne.events_from_annotations(loaded[0])
    assert set(event_id) == {"T0", "T1", "T2"}  # BAD_ annotations make no events
    assert len(events) == 5
    assert_allclose(np.diff(events[:, 0]) / 160, 4.1)


def test_sample_is_small_and_attributed():
    assert (DATA / "sample_eeg.edf").stat().st_size < 1_000_000
    text = (DATA / "sample_eeg_ATTRIBUTION.txt").read_text("utf-8")
    for piece in (
        "ODC-By 1.0",
        "10.1109/TBME.2004.827072",
        "10.1161/01.CIR.101.23.e215",
        "changed",
    ):
        assert piece in text


def test_sample_is_the_original(loaded, shared):
    path = "eeg/eegmmi/sub-004/eeg/sub-004_task-imagery_run-04_eeg.edf"
    source = mne.io.read_raw_edf(shared / path, preload=True)
    truth = loaded[1]
    assert [name.strip(".").upper() for name in source.ch_names] == [
        name.upper() for name in truth.ch_names
    ]
    assert_array_equal(truth.get_data(), source.get_data()[:, 2560 : 2560 + 3200])
    kept = source.annotations[4:9]
    assert_array_equal(truth.annotations.description, kept.description)
    assert_allclose(truth.annotations.onset, kept.onset - 16, atol=1e-4)


def test_wrong_argument():
    with pytest.raises(TypeError, match="return_truth"):
        datasets.sample(return_truth="yes")
