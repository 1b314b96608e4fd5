# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings in the formats of other amplifiers, with gaps, in parts, and of a whole day."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram import restore
from mne_gram._commands._main import main
from mne_gram._files import read_inst, write_inst

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
SFREQ = 160


@pytest.fixture(scope="module")
def truth(odd_formats):
    """Return ten seconds of 19 good channels, rounded to the precision of the files."""
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1].pick(NAMES)
    raw.set_annotations(None).crop(0, 10, include_tmax=False)
    raw._data = np.round(raw._data / odd_formats.STEP) * odd_formats.STEP
    return raw


def check(path, truth, bads=("C3",), names=NAMES, precision=2e-9):
    """Check that a file is read, restored as the data themselves are, and written again."""
    raw = read_inst(path)
    assert raw.info["sfreq"] == SFREQ and raw.ch_names[: len(names)] == list(names)
    raw.pick(raw.ch_names[: len(names)])
    assert_allclose(raw.get_data(), truth.get_data(), rtol=0, atol=precision)
    raw.info["bads"] = list(bads)
    restored = restore(raw, method="spatial", verbose="error")
    good = [k for k, name in enumerate(names) if name not in bads]
    bad = np.setdiff1d(np.arange(len(names)), good)
    assert_array_equal(restored.get_data(good), raw.get_data(good))
    expected = truth.copy().rename_channels(dict(zip(truth.ch_names, names, strict=True)))
    expected.info["bads"] = list(bads)
    expected.set_montage(raw.get_montage(), on_missing="ignore")
    expected = restore(expected, method="spatial", verbose="error").get_data(bad)
    assert_allclose(restored.get_data(bad), expected, rtol=0, atol=100 * precision)
    for name in ("again_raw.fif", "again.vhdr", "again.edf"):
        write_inst(restored, path.parent / name)
        again = read_inst(path.parent / name).get_data()[:, : restored.n_times]
        assert_allclose(again, restored.get_data(), rtol=0, atol=2e-7)
    return raw


def test_gdf(odd_formats, truth, tmp_path):
    events = [(320, 769, 0, 1), (800, 1023, 4, 160)]
    odd_formats.write_gdf(tmp_path / "a.gdf", truth.get_data(), NAMES, SFREQ, events)
    raw = check(tmp_path / "a.gdf", truth)
    assert list(raw.annotations.onset) == [2.0, 5.0]
    assert list(raw.annotations.description) == ["769", "1023"]


def test_cnt(odd_formats, truth, tmp_path):
    """Channels that the header marks as bad are restored."""
    odd_formats.write_cnt(tmp_path / "a.cnt", truth.get_data(), NAMES, SFREQ, bads=["C3"])
    assert read_inst(tmp_path / "a.cnt").info["bads"] == ["C3"]
    check(tmp_path / "a.cnt", truth)


def test_egi(odd_formats, truth, tmp_path):
    """The channels of a net are known by position only."""
    names = [f"E{k}" for k in range(1, 33)]
    montage = mne.channels.make_standard_montage("GSN-HydroCel-32")
    rng = np.random.default_rng(0)
    data = rng.standard_normal((32, 19)) @ truth.get_data() / 4
    odd_formats.write_egi(tmp_path / "a.raw", data, names, SFREQ, ("STIM", 400))
    raw = read_inst(tmp_path / "a.raw")
    assert raw.ch_names[:32] == names and raw.annotations.description[0] == "STIM"
    assert_allclose(raw.get_data(names), data, rtol=0, atol=1e-10)
    raw.pick(names).info["bads"] = ["E7"]
    with pytest.warns(RuntimeWarning, match="E7"):  # of unknown place
        restore(raw, method="spatial", verbose="warning")
    raw.set_montage(montage, on_missing="ignore", verbose="error")
    restored = restore(raw, method="spatial", verbose="error")
    assert restored.info["bads"] == [] and np.ptp(restored.get_data("E7")) > 0


def test_bdf(odd_formats, truth, tmp_path):
    """BioSemi's files have offsets of tens of millivolts, as amplifiers have no high-pass."""
    offset = 0.02 * np.random.default_rng(0).standard_normal((19, 1)).round(3)
    raw = truth.copy()
    raw._data += offset
    odd_formats.write_bdf(tmp_path / "a.bdf", raw.get_data(), NAMES, SFREQ)
    found = read_inst(tmp_path / "a.bdf")
    assert_allclose(found.get_data(), raw.get_data(), rtol=0, atol=1e-8)
    check_offset = found.get_data().mean(axis=1, keepdims=True) - truth.get_data().mean(
        axis=1, keepdims=True
    )
    assert_allclose(check_offset, offset, rtol=0, atol=1e-8)
    found.info["bads"] = ["C3"]
    restored = restore(found, method="spatial", verbose="error").get_data("C3")
    plain = truth.copy()
    plain.info["bads"] = ["C3"]
    expected = restore(plain, method="spatial", verbose="error").get_data("C3")
    assert np.corrcoef(restored[0], expected[0])[0, 1] > 0.999


# ---------------------------------------------------------------------------------------------
# Gaps


GAPS = [0, 1, 2, 3, 14, 15, 16, 17.5, 18.5, 19.5]  # when records of a second begin


@pytest.fixture
def gapped(odd_formats, truth, tmp_path):
    """Return a file with gaps of 10 s and half a second, and with events."""
    raw = truth.copy()
    texts = ["one event that makes room for the others", "BAD_two", "three"]
    raw.set_annotations(mne.Annotations([1.5, 5.25, 9.0], [0, 0.5, 0], texts))
    path = tmp_path / "a.edf"
    write_inst(raw, path)
    odd_formats.make_gaps(path, GAPS)
    content = path.read_bytes()
    for old, new in (
        (b"+5.25\x15", b"+15.2\x15"),
        (b"+9\x150\x14three\x14", b"+19\x14three\x14\0"),
    ):
        assert content.count(old) == 1
        content = content.replace(old, new)
    path.write_bytes(content)
    return path, raw


def test_gaps_of_edf(gapped, truth):
    """Joins are annotated, events are where they happened, and nothing is estimated across."""
    path, raw = gapped
    with pytest.warns(RuntimeWarning, match=r"2 gaps \(10.5 s\).*EDGE boundary"):
        found = read_inst(path)
    assert found.n_times == raw.n_times
    onsets = (found.annotations.onset - found.first_time).round(3).tolist()
    annotations = list(zip(onsets, found.annotations.description, strict=True))
    assert annotations == [
        (1.5, "one event that makes room for the others"),
        (4.0, "BAD boundary"),
        (4.0, "EDGE boundary"),
        (5.2, "BAD_two"),
        (7.0, "BAD boundary"),
        (7.0, "EDGE boundary"),
        (8.5, "three"),
    ]
    found.info["bads"] = ["C3"]
    parts = restore(found, method="spatial", verbose="error")
    assert np.isfinite(parts.get_data()).all()
    joined = mne.concatenate_raws(
        [truth.copy().crop(a, b, include_tmax=False) for a, b in ((0, 4), (4, 7), (7, 10))]
    )
    joined.annotations.append(joined.first_time + 5.2, 0.5, "BAD_two")
    joined.info["bads"] = ["C3"]
    expected = restore(joined, method="spatial", verbose="error")
    assert_allclose(parts.get_data("C3"), expected.get_data("C3"), rtol=0, atol=1e-8)


def test_a_file_without_gaps_is_left_alone(odd_formats, truth, tmp_path):
    """EDF+D may be continuous all the same, and may start a fraction of a second late."""
    raw = truth.copy()
    texts = ["one event and more", "two"]
    raw.set_annotations(mne.Annotations([1.5, 3.0], [0.25, 0.0], texts))
    write_inst(raw, tmp_path / "a.edf")
    content = (tmp_path / "a.edf").read_bytes()
    (tmp_path / "a.edf").write_bytes(content.replace(b" and more\x14\0", b"\x14" + bytes(10)))
    odd_formats.make_gaps(tmp_path / "a.edf", [k + 0.5 for k in range(10)])
    found = read_inst(tmp_path / "a.edf")
    assert list(found.annotations.description) == ["one event", "two"]


# ---------------------------------------------------------------------------------------------
# BrainVision with impedances, and recordings in parts


def test_brainvision_with_impedances(truth, tmp_path):
    """The recorder writes them below the header, some out of range or unknown."""
    path = tmp_path / "a.vhdr"
    write_inst(truth, path)
    values = ["5", "0", "???", "Out of Range!", *["12"] * (len(NAMES) - 4)]
    lines = [
        "",
        "A m p l i f i e r  S e t u p",
        "============================",
        f"Number of channels: {len(NAMES)}",
        "Sampling Rate [Hz]: 160",
        "",
        "Impedance [kOhm] at 12:34:56 :",
        *[f"{name}:{value:>10}" for name, value in zip(NAMES, values, strict=True)],
        "Ref:          3",
        "Gnd:          2",
    ]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    raw = read_inst(path)
    assert raw.impedances["Fp1"]["imp"] == 5 and np.isnan(raw.impedances["F7"]["imp"])
    check(path, truth, precision=1e-9)


@pytest.fixture(scope="module")
def long(truth):
    """Return a hundred seconds."""
    raw = mne.concatenate_raws([truth.copy() for _ in range(10)], verbose="error")
    marks = mne.Annotations([12.0, 71.0], [3.0, 2.0], "BAD_x", ch_names=[["C3"], ["O1"]])
    raw.set_annotations(marks)
    raw.info["bads"] = ["Pz"]
    return raw


def test_split_fif(long, tmp_path, capsys):
    """A recording in three files is one recording, in memory and from disk."""
    path = tmp_path / "long_raw.fif"
    long.save(path, fmt="double", split_size="2MB", verbose="error")
    assert len(list(tmp_path.iterdir())) > 1
    raw = read_inst(path, preload=False)
    assert raw.n_times == long.n_times and len(raw.filenames) > 1
    expected = restore(long, method="spatial", verbose="error")
    restored = restore(raw, method="spatial", verbose="error")
    assert_array_equal(restored.get_data(), expected.get_data())
    (tmp_path / "out").mkdir()
    args = ["restore", str(path), str(tmp_path / "out" / "a_raw.fif"), "--method", "spatial"]
    assert main(args) == 0
    capsys.readouterr()
    assert_array_equal(read_inst(args[2]).get_data(), expected.get_data())
    # A part that is missing is not a shorter recording.
    parts = sorted(tmp_path.glob("long_raw-*.fif"))
    parts[-1].unlink()
    with pytest.raises(RuntimeError, match="cannot be read"):
        read_inst(path)


@pytest.mark.slow
def test_a_day_from_disk(truth, tmp_path, capsys, monkeypatch):
    """24 hours are restored from disk to disk, without their size in memory."""
    import tracemalloc

    raw = truth.copy().pick(["Fp1", "Fp2", "C3", "C4", "O1", "O2"])
    raw.set_annotations(mne.Annotations([2.0], [1.0], ["BAD_x"], ch_names=[["C4"]]))
    path = tmp_path / "day.vhdr"
    write_inst(raw, path)
    block = path.with_suffix(".eeg").read_bytes()
    n_blocks = 24 * 360
    rng = np.random.default_rng(0)
    with path.with_suffix(".eeg").open("wb") as file:
        values = np.frombuffer(block, "<f4")
        for _ in range(n_blocks):
            file.write((values * np.float32(rng.uniform(0.8, 1.2))).tobytes())
    text = path.read_text(encoding="utf-8")
    assert f"DataPoints={raw.n_times}" in text
    path.write_text(
        text.replace(f"DataPoints={raw.n_times}", f"DataPoints={n_blocks * raw.n_times}"),
        encoding="utf-8",
    )
    monkeypatch.setattr("mne_gram._files._io.LARGE", 0)
    out = tmp_path / "out.vhdr"
    args = ["restore", str(path), str(out), "--bads", "O1", "--method", "spatial"]
    tracemalloc.start()
    assert main(args) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "O1" in capsys.readouterr().out
    # Half of the day in double precision: the deviation of a restored channel is kept.
    assert peak < 4 * n_blocks * raw.get_data().size
    day, restored = read_inst(path, preload=False), read_inst(out, preload=False)
    assert restored.n_times == 24 * 3600 * SFREQ and restored.info["bads"] == []
    for start in (0, 12 * 3600 * SFREQ, restored.n_times - 1000):
        a, b = (r.get_data(start=start, stop=start + 1000) for r in (day, restored))
        good = [day.ch_names.index(name) for name in ("Fp1", "Fp2", "C3", "O2")]
        assert_array_equal(a[good], b[good])
        a, b = (part[day.ch_names.index("O1")] for part in (a, b))
        assert np.isfinite(b).all() and np.corrcoef(a, b)[0, 1] > 0.5
