# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""EDF files are those that MNE writes, but written block by block."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._files._edf import write_edf
from mne_gram._recording import _samples

needs_bdf = pytest.mark.skipif(
    not mne.utils.check_version("mne", "1.11"), reason="MNE-Python 1.11 writes BDF"
)
NAMES, TYPES = ["Fp1", "C3", "C4", "STI", "temp"], ["eeg", "eog", "eeg", "stim", "misc"]


def make_raw(sfreq=250.0, n_times=2500, scale=1.0):
    """Return channels of several types with annotations."""
    rng = np.random.default_rng(0)
    data = 1e-5 * scale * rng.normal(size=(5, n_times))
    data[3], data[4] = rng.integers(0, 3, n_times), 36.6
    data[1] *= 100
    raw = mne.io.RawArray(data, mne.create_info(NAMES, sfreq, TYPES), verbose="error")
    raw.set_meas_date(1.5e9 + 0.25).crop(1)
    marks = ["go", "Stimulus/S  1", "BAD_ä, b", "end"]
    end = raw.times[-1] + 1
    raw.set_annotations(
        mne.Annotations(
            raw.first_time + np.array([1, 2.6, 4, end - 1]),
            [0.5, 1.4, 0.2, 0],
            marks,
            raw.info["meas_date"],
            [[], [], ["C4", "Fp1"], []],
        )
    )
    return raw


def read(path):
    """Read a file, and return the data and the annotations as tuples."""
    raw = mne.io.read_raw(path, verbose="error")
    rows = zip(
        raw.annotations.onset,
        raw.annotations.duration,
        raw.annotations.description,
        raw.annotations.ch_names,
        strict=True,
    )
    return raw, sorted((float(a), float(b), text, tuple(sorted(c))) for a, b, text, c in rows)


@pytest.mark.parametrize("extension", [".edf", pytest.param(".bdf", marks=needs_bdf)])
@pytest.mark.parametrize("copied", [2**22, 2000])
@pytest.mark.parametrize(("sfreq", "n_times"), [(250.0, 2500), (1000.0, 6000), (256.5, 2560)])
def test_the_same_as_of_mne(tmp_path, monkeypatch, extension, copied, sfreq, n_times):
    """In one block or in several, the file is as MNE writes it."""
    raw = make_raw(sfreq, n_times)
    monkeypatch.setattr(_samples, "_COPY_VALUES", copied)
    before = raw.get_data()
    ours, theirs = (tmp_path / f"{name}{extension}" for name in "ab")
    write_edf(ours, raw)
    assert_array_equal(raw.get_data(), before)
    with mne.utils.use_log_level("error"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn_explicit", lambda *args, **kwargs: None)
        mne.export.export_raw(theirs, raw.copy(), physical_range="channelwise")
    (ours, marks), (theirs, _) = read(ours), read(theirs)
    assert ours.ch_names == theirs.ch_names and ours.n_times == theirs.n_times == raw.n_times
    assert ours.info["sfreq"] == theirs.info["sfreq"]
    assert ours.info["meas_date"] == theirs.info["meas_date"]
    assert_allclose(ours.get_data(), theirs.get_data(), rtol=1e-12)
    error = np.abs(ours.get_data("Fp1") - before[0]).max()
    assert error < np.ptp(before[0]) / {".edf": 2**16, ".bdf": 2**24}[extension]
    # Older versions of MNE count annotations from another sample if the start was cropped.
    expected = [(1, 0.5, "go"), (2.6, 1.4, "Stimulus/S  1"), (4, 0.2, "BAD_ä, b")]
    expected.append((raw.times[-1], 0, "end"))
    assert [mark[2] for mark in marks] == [mark[2] for mark in expected]
    assert marks[2][3] == ("C4", "Fp1") and marks[0][3] == ()
    assert_allclose([mark[:2] for mark in marks], [mark[:2] for mark in expected], atol=1e-6)


def test_the_last_record_is_filled_up(tmp_path):
    raw = make_raw(250.0, 2630)
    with pytest.warns(RuntimeWarning, match="repeated for 0.48 s.*BAD_ACQ_SKIP"):
        write_edf(tmp_path / "a.edf", raw)
    found, marks = read(tmp_path / "a.edf")
    assert found.n_times == 2500
    assert_allclose(found.get_data("Fp1")[:, :2380], raw.get_data("Fp1"), rtol=0, atol=1e-9)
    assert_array_equal(found.get_data()[:, 2380:], found.get_data()[:, [2379]] + np.zeros(120))
    assert (9.52, 0.48, "BAD_ACQ_SKIP", ()) in [
        (round(a, 6), round(b, 6), *c) for a, b, *c in marks
    ]


def test_shorter_than_a_record(tmp_path):
    raw = make_raw().crop(0, 0.3)
    with pytest.warns(RuntimeWarning, match="BAD_ACQ_SKIP"):
        write_edf(tmp_path / "a.edf", raw)
    assert read(tmp_path / "a.edf")[0].n_times == 250


def test_no_nan(tmp_path):
    raw = make_raw()
    raw._data[0, 5] = np.nan
    with pytest.raises(ValueError, match="cannot store the NaN"):
        write_edf(tmp_path / "a.edf", raw)


def test_early_date(tmp_path):
    """A date before 1985, as of anonymized recordings, is replaced with a warning."""
    raw = make_raw().set_meas_date(-1e9)
    with pytest.warns(RuntimeWarning, match="cannot store 1938-04-24"):
        write_edf(tmp_path / "a.edf", raw)
    date = mne.io.read_raw_edf(tmp_path / "a.edf", verbose="error").info["meas_date"]
    assert (date.year, date.month, date.hour) == (1985, 1, 22)
