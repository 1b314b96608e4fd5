# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Readers of data sets that are published as EDF, on small files of the same form.

In all recordings, channel ``k`` contains ``100 k`` plus the time in seconds, in microvolts, so that
what is read shows where it was cut.
"""

import types
from functools import partial

import edfio
import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import datasets, preprocess
from mne_gram.datasets import (
    RECIPES,
    read_eegbci,
    read_hmc,
    read_tuev,
)
from mne_gram.datasets._tuev import CHANNELS as TUEV_CHANNELS

OLD = dict(T7="T3", T8="T4", P7="T5", P8="T6")


def _clock(n_channels, seconds, sfreq):
    """Return channels that encode their number and the time, in microvolts."""
    times = np.arange(round(seconds * sfreq)) / sfreq
    return times + 100.0 * np.arange(n_channels)[:, None]


def _tell(epochs):
    """Return the channel number and the time at which each window starts."""
    value = 1e6 * epochs.get_data(copy=True)[:, :, 0]
    return np.round(value[0] // 100).astype(int), value[:, 0] % 100


def _write_edf(path, names, seconds=60, sfreq=50, annotations=(), start=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [
        edfio.EdfSignal(row, sfreq, label=name, physical_dimension="uV", physical_range=(0, 6000))
        for name, row in zip(names, _clock(len(names), seconds, sfreq), strict=True)
    ]
    notes = [edfio.EdfAnnotation(*item) for item in annotations]
    edfio.Edf(signals, annotations=notes, starttime=start).write(path)
    return path


# ---------------------------------------------------------------------------------------------
# TUEV


@pytest.fixture
def tuev(tmp_path):
    """Two training recordings and one test recording, with names as distributed."""
    names = [f"EEG {OLD.get(name, name)}-REF" for name in (*TUEV_CHANNELS, "T1", "A1")]
    rows = {
        "train/aaa/aaa_00000001": "3,10.0,11.0,1\n4,10.0,11.0,1\n4,10.0,11.0,6\n0,30.5,31.5,2\n",
        "train/bbb/bbb_00000001": "21,20,21,4\n",
        "eval/000/bckg_000_a_": "2,0.5,1.5,3\n2,59.0,60.0,5\n",
    }
    for place, text in rows.items():
        path = _write_edf(tmp_path / f"{place}.edf", names)
        path.with_suffix(".rec").write_text(text, encoding="utf-8")
    return tmp_path


def test_read_tuev(tuev):
    """Each row of a .rec file is a window."""
    found = read_tuev(tuev)
    assert isinstance(found, types.GeneratorType)
    first, second, test = found
    assert first.ch_names == list(TUEV_CHANNELS)
    assert first.get_data().shape == (4, 19, 250)
    numbers, times = _tell(first)
    assert_array_equal(numbers, np.arange(19))
    assert_allclose(times, [8, 8, 8, 28.5], atol=0.1)
    frame = first.metadata
    assert frame["label"].tolist() == ["spsw", "spsw", "bckg", "gped"]
    assert frame["derivation"].tolist() == ["3", "4", "4", "0"]
    assert frame["onset"].tolist() == [10, 10, 10, 30.5]
    assert frame["stop"].tolist() == [11, 11, 11, 31.5]
    assert set(frame["subject"]) == {"aaa"} and set(frame["run"]) == {"00000001"}
    assert set(frame["file"]) == {"aaa_00000001.edf"}
    assert_array_equal(first.events[:, 2], [1, 1, 6, 2])
    assert_allclose([first.tmin, first.tmax], [-2, 3 - 1 / 50])
    # Sorted in reverse, bbb is the first 80 % (one of two, rounded down).
    assert set(second.metadata["part"]) == {"train"} and set(frame["part"]) == {"validation"}
    assert set(test.metadata["part"]) == {"test"} and set(test.metadata["subject"]) == {"000"}
    assert test.metadata["run"].tolist() == ["bckg_000_a_"] * 2


def test_channels_are_taken_by_name(tuev):
    """The order of channels does not depend on that in the file."""
    names = [f"EEG {name}-REF" for name in TUEV_CHANNELS[::-1]]
    _write_edf(tuev / "train/bbb/bbb_00000001.edf", names)
    (epochs,) = read_tuev(tuev, subjects=["bbb"])
    assert epochs.ch_names == list(TUEV_CHANNELS)
    assert_array_equal(_tell(epochs)[0], np.arange(19)[::-1])


def test_tuev_moves_windows_into_the_recording(tuev):
    """The window of an event near an end is moved, and the metadata have the shift."""
    (test,) = read_tuev(tuev, part="test")
    assert_allclose(_tell(test)[1], [0, 55], atol=0.1)
    assert_allclose(test.metadata["onset"], [0.5, 59])
    assert_allclose(test.metadata["shift"], [1.5, -2])


def test_tuev_one_row_per_event(tuev):
    first, *_ = read_tuev(tuev, subjects=["aaa"], one_row_per_event=True)
    assert first.metadata["derivation"].tolist() == ["3,4", "4", "0"]
    assert first.metadata["label"].tolist() == ["spsw", "bckg", "gped"]


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")  # MNE 1.13, pandas 3.1
def test_tuev_windows_of_one_onset_can_be_joined_and_saved(tuev, tmp_path):
    joined = mne.concatenate_epochs(list(read_tuev(tuev)))
    assert len(joined) == 7 and len(np.unique(joined.events[:, 0])) == 7
    joined.save(tmp_path / "all-epo.fif")
    again = mne.read_epochs(tmp_path / "all-epo.fif")
    assert again.metadata["label"].tolist() == joined.metadata["label"].tolist()


def test_transform_comes_before_cutting(tuev):
    """The transform gets the continuous recording, and may change its sampling rate."""
    seen = []

    def resample(raw):
        seen.append(raw)
        return raw.load_data().resample(25)

    (epochs, *_) = read_tuev(tuev, subjects=["aaa"], transform=resample)
    assert isinstance(seen[0], mne.io.BaseRaw) and len(seen[0].ch_names) == 19
    assert epochs.get_data().shape[-1] == 125
    assert_allclose(_tell(epochs)[1], [8, 8, 8, 28.5], atol=0.2)
    with pytest.raises(TypeError, match="transform must return"):
        next(read_tuev(tuev, transform=lambda raw: raw.get_data()))
    with pytest.raises(TypeError, match="function"):
        read_tuev(tuev, transform="notch")


def test_published_preprocessing(tuev):
    """The settings of the recipe are accepted by preprocess."""
    transform = partial(preprocess, **RECIPES["tuev"].preprocessing)
    with pytest.warns(RuntimeWarning, match="low-passed"):  # the files are of 50 Hz
        (epochs,) = RECIPES["tuev"].read(tuev, subjects=["bbb"], transform=transform)
    data = epochs.get_data()
    assert data.shape == (1, 19, 1000)
    assert_allclose(data.mean(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", "lines of"),
        ("", "found 0 lines"),
        ("1,2,3,7\n", r"labels \[7"),
        ("22,2,3,1\n", r"channels \[22"),
        ("1,3,2,1\n", "end after"),
        ("1,a,3,1\n", "not four numbers"),
    ],
)
def test_tuev_bad_events(tuev, text, message):
    (tuev / "train/aaa/aaa_00000001.rec").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        list(read_tuev(tuev))


def test_tuev_bad_folders(tuev, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="Found no .*edf"):
        read_tuev(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_tuev(tmp_path / "none")
    with pytest.raises(ValueError, match="nor in a folder eval"):
        read_tuev(tuev / "train" / "aaa")
    with pytest.raises(ValueError, match="no recording of subject zzz; the subjects are 000, aaa"):
        read_tuev(tuev, subjects=["zzz"])
    with pytest.raises(ValueError, match="No recording is left"):
        read_tuev(tuev, subjects=["aaa"], part="test")
    with pytest.raises(ValueError, match="'part'"):
        read_tuev(tuev, part="dev")
    (tuev / "train/aaa/aaa_00000001.rec").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 3 recordings have no .rec .*aaa_00000001"):
        read_tuev(tuev)
    _write_edf(tuev / "train/ccc/ccc_1.edf", ["EEG FP1-REF", "EEG C3-REF"])
    for path in tuev.rglob("*.edf"):
        path.with_suffix(".rec").write_text("1,10,11,1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="ccc_1.edf has no channel FP2, F7"):
        list(read_tuev(tuev, subjects=["ccc"]))


def test_tuev_recording_shorter_than_a_window(tuev):
    _write_edf(tuev / "train/aaa/aaa_00000001.edf", list(TUEV_CHANNELS), seconds=4)
    with pytest.raises(ValueError, match="None of the 4 windows of 5 s"):
        list(read_tuev(tuev, subjects=["aaa"]))


# ---------------------------------------------------------------------------------------------
# HMC


PSG = ["EEG F4-M1", "EEG C4-M1", "EEG O2-M1", "EEG C3-M2", "EMG chin", "EOG E1-M2", "ECG"]
NIGHT = [
    (0.0, 30.0, "Sleep stage W"),
    (30.0, None, "Lights off@@EEG F4-A1"),
    (30.0, 30.0, "Sleep stage W"),
    (60.0, 30.0, "Sleep stage N1"),
    (90.0, 30.0, "Sleep stage R"),
    (120.0, None, "Lights on@@EEG F4-A1"),
    (120.0, 30.0, "Sleep stage W"),
]


def _write_night(root, subject="SN001", night=NIGHT):
    _write_edf(root / f"{subject}.edf", PSG, seconds=160, sfreq=20)
    _write_edf(root / f"{subject}_sleepscoring.edf", ["x"], 160, 1, night)


def test_read_hmc(tmp_path):
    """Each scored epoch of 30 s between lights off and lights on gives two windows of 15 s."""
    for k in range(1, 6):
        _write_night(tmp_path, f"SN{k:03d}")
    epochs = list(read_hmc(tmp_path))
    parts = [set(own.metadata["part"]).pop() for own in epochs]
    assert parts == ["validation", "test", "train", "train", "train"]
    first = epochs[0]
    assert not first.preload
    assert first.ch_names == ["F4", "C4", "O2", "C3"]
    assert first.get_data().shape == (6, 4, 300)
    numbers, times = _tell(first)
    assert_array_equal(numbers, np.arange(4))
    assert_allclose(times, [30, 45, 60, 75, 90, 5], atol=0.1)  # 105 s read as 5, see _clock
    assert first.metadata["label"].tolist() == ["W", "W", "N1", "N1", "R", "R"]
    assert_allclose(first.metadata["onset"], np.arange(30, 120, 15))
    assert first.metadata["subject"].tolist() == ["SN001"] * 6
    (test,) = read_hmc(tmp_path, part="test", preload=True)
    assert test.preload and set(test.metadata["subject"]) == {"SN002"}
    assert len(mne.concatenate_epochs(epochs)) == 30


@pytest.mark.parametrize(
    ("night", "message"),
    [
        ([*NIGHT, (60.0, 30.0, "Sleep stage ?")], r"stages \['\?'\]"),
        ([*NIGHT, (60.0, 20.0, "Sleep stage W")], "stages of 20.0 s"),
        ([item for item in NIGHT if "off" not in item[2]], "no annotation 'lights off'"),
        ([item for item in NIGHT if "stage" not in item[2]], "has 0 scored epochs"),
    ],
)
def test_hmc_bad_scoring(tmp_path, night, message):
    _write_night(tmp_path, night=night)
    with pytest.raises(ValueError, match=message):
        list(read_hmc(tmp_path))


def test_hmc_missing_files(tmp_path):
    _write_night(tmp_path)
    (tmp_path / "SN001_sleepscoring.edf").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 1 recordings .* SN001.edf"):
        read_hmc(tmp_path)
    _write_night(tmp_path)
    _write_edf(tmp_path / "SN001.edf", PSG[1:], seconds=160, sfreq=20)
    with pytest.raises(ValueError, match="SN001.edf has no channel F4"):
        list(read_hmc(tmp_path))


def test_hmc_night_that_was_cut_short(tmp_path):
    _write_night(tmp_path)
    _write_edf(tmp_path / "SN001.edf", PSG, seconds=100, sfreq=20)
    with pytest.warns(RuntimeWarning, match="2 of 6 windows of 15 s reach beyond"):
        (epochs,) = read_hmc(tmp_path)
    assert len(epochs.events) == 4 and len(epochs.metadata) == 4
    assert epochs.get_data().shape == (4, 4, 300)


# ---------------------------------------------------------------------------------------------
# Movement and imagery


CUES = [(0.0, 4.1, "T0"), (4.1, 4.1, "T1"), (8.2, 4.1, "T0"), (12.3, 4.1, "T2")]


def test_read_eegbci(tmp_path):
    """The meaning of markers depends on the run."""
    names = ["Fc5.", "C3..", "Cz..", "C4..", "Iz.."]
    files = [
        _write_edf(tmp_path / f"S00{k}R{run}.edf", names, 30, 160, CUES)
        for k, run in ((1, "04"), (2, "06"), (2, "03"))
    ]
    found = list(read_eegbci(files, labels=["left", "right", "fists", "feet"]))
    assert [set(own.metadata["task"]).pop() for own in found] == ["imagery", "imagery", "movement"]
    assert [own.metadata["label"].tolist() for own in found] == [
        ["left", "right"],
        ["fists", "feet"],
        ["left", "right"],
    ]
    first = found[0]
    assert first.ch_names == ["FC5", "C3", "CZ", "C4", "IZ"]
    assert first.get_data().shape == (2, 5, 640)
    assert_allclose(_tell(first)[1], [4.1, 12.3], atol=0.1)
    assert first.metadata[["subject", "run"]].values.tolist() == [["001", "04"]] * 2
    assert len(mne.concatenate_epochs(found)) == 6
    (late,) = read_eegbci(files[:1], labels=["rest"], tmin=0.5, length=2)
    assert_allclose(_tell(late)[1], [0.5, 8.7], atol=0.1)
    assert_allclose([late.tmin, late.tmax], [0.5, 2.5 - 1 / 160], atol=1e-6)


def test_eegbci_bad_input(tmp_path):
    names = ["C3..", "C4.."]
    with pytest.raises(TypeError, match="list of files"):
        read_eegbci(tmp_path / "S001R04.edf")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_eegbci([tmp_path / "S001R04.edf"])
    with pytest.raises(ValueError, match="not like S001R04.edf"):
        read_eegbci([tmp_path / "S001R15.edf"])
    with pytest.raises(ValueError, match="empty"):
        read_eegbci([])
    with pytest.raises(ValueError, match="labels must be some of"):
        read_eegbci([tmp_path / "S001R04.edf"], labels=["tongue"])
    path = _write_edf(tmp_path / "S001R06.edf", names, 30, 160, CUES)
    with pytest.raises(ValueError, match="Run 6 .* has feet, fists, rest, none of left, right"):
        read_eegbci([path])
    path = _write_edf(tmp_path / "S001R04.edf", names, 30, 160)
    with pytest.raises(ValueError, match="no event of left, right; it has none at all"):
        list(read_eegbci([path]))


def test_public_names():
    """All names in the stub can be imported."""
    assert {"read_tuev", "sample", "RECIPES"} <= {*datasets.__all__}
    for name in datasets.__all__:
        assert getattr(datasets, name) is not None
