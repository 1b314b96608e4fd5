# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files of single measurements."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mne_gram.cohort import Measurement, measure_recording, read_measurement, write_measurement
from mne_gram.covariance import round_recording

SOURCE = ("lab", "sub-01", "sub-01_eeg.edf")


def test_same_measurement_is_read(make_raw, tmp_path):
    """To the precision of the file, which is what a prior is made of."""
    raw = make_raw(seconds=10)
    raw.info["bads"] = ["C3"]
    found = measure_recording(raw, SOURCE)
    write_measurement(found, tmp_path / "a.npz")
    again = read_measurement(tmp_path / "a.npz")
    assert (again.source, again.reason, again.dropped) == (SOURCE, "", (("C3", "bad"),))
    assert again.recording.source == SOURCE
    assert_array_equal(again.recording.channels, found.recording.channels)
    assert_array_equal(again.recording.cov, round_recording(found.recording).cov)
    assert_array_equal(round_recording(again.recording).cov, again.recording.cov)


def test_reason_is_read(tmp_path):
    write_measurement(Measurement(SOURCE, None, "too short"), tmp_path / "a")
    again = read_measurement(tmp_path / "a")
    assert again.recording is None and again.reason == "too short" and again.dropped == ()
    with pytest.raises(FileExistsError):
        write_measurement(again, tmp_path / "a")
    write_measurement(again, tmp_path / "a", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("version", np.array(2), "is of version 2, expected 1"),
        ("covs", np.full(5 * 190, np.nan), "'covs' contains values that are not finite"),
        ("covs", np.ones(7), "covs has 7 values, expected 950"),
        ("channels", None, "lacks the channels"),
        ("source", np.array(["a", "b"]), "'source' has the shape"),
    ],
)
def test_invalid_files(make_raw, tmp_path, name, value, match):
    write_measurement(measure_recording(make_raw(seconds=10), SOURCE), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        arrays = dict(file)
    arrays[name] = value
    np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ValueError, match=match):
        read_measurement(tmp_path / "a.npz")
