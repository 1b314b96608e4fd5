# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading and writing of recordings."""

import os
import re

import mne
import numpy as np
import pytest

from mne_gram._files import _io


@pytest.fixture
def raw():
    """Return 10 s of noise in four channels, with annotations, in volts."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fp1", "Fp2", "C3", "C4"], 250.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.normal(size=(4, 2500)), info, verbose="error")
    raw.set_meas_date(1.5e9)
    raw.set_annotations(
        mne.Annotations([1, 2.6], [0.5, 1.4], ["go", "stop"], raw.info["meas_date"])
    )
    return raw


@pytest.fixture
def epochs(raw):
    """Return one-second epochs of the noise."""
    return mne.make_fixed_length_epochs(raw, 1.0, preload=True, verbose="error")


# Half a step of 16 bits over the largest range; 32-bit floats of numbers under 1 mV.
@pytest.mark.parametrize(
    ("name", "error"),
    [("a_raw.fif", 0), ("a_raw.fif.gz", 0), ("a.edf", 1e-9), ("a.vhdr", 1e-10)],
)
def test_write_and_read(raw, tmp_path, name, error):
    """Data and annotations are read as written, and no other file is left."""
    before = raw.get_data()
    note = _io.write_inst(raw, tmp_path / name)
    assert note == next(_io.PRECISION[ext] for ext in _io.PRECISION if ext in name)
    read = _io.read_inst(tmp_path / name)
    assert read.ch_names == raw.ch_names
    np.testing.assert_allclose(read.get_data(), before, rtol=0, atol=error)
    # BrainVision marks free text as comments, and the start of the recording.
    assert {d.removeprefix("Comment/") for d in read.annotations.description} >= {"go", "stop"}
    np.testing.assert_array_equal(raw.get_data(), before)
    n_files = 3 if name.endswith(".vhdr") else 1
    assert len(list(tmp_path.iterdir())) == n_files


@pytest.mark.parametrize("name", ["a_raw.fif", "a.edf", "a.vhdr"])
def test_annotations_of_channels(raw, tmp_path, name):
    """Every format keeps the channels of annotations."""
    raw.annotations.append(5, 1, "RESTORED", [["Fp1", "C4"]])
    raw.annotations.append(5, 1, "BAD_pop, loud", [["Fp2", "C4"]])
    raw.annotations.append(7, 1, "BAD_move")
    _io.write_inst(raw, tmp_path / name)
    assert "BAD_pop, loud" in raw.annotations.description
    read = _io.read_inst(tmp_path / name)
    marks = {"RESTORED": (5, {"Fp1", "C4"}), "BAD_pop, loud": (5, {"Fp2", "C4"})}
    for text, (onset, names) in (marks | {"BAD_move": (7, set())}).items():
        found = [a for a in read.annotations if a["description"] == text]
        assert found and {channel for a in found for channel in a["ch_names"]} == names
        onsets = [(a["onset"] - read.first_time, a["duration"]) for a in found]
        np.testing.assert_allclose(onsets, len(found) * [(onset, 1)], atol=1e-6)
    assert sum("go" in text for text in read.annotations.description) == 1


@pytest.mark.parametrize("has_date", [True, False])
def test_marks_of_brainvision(raw, tmp_path, has_date):
    """Markers of other programs keep their channels; unknown channels are a warning."""
    raw.set_meas_date(1.5e9 if has_date else None)
    raw.set_annotations(mne.Annotations([1], [0.5], ["BAD_pop"], raw.info["meas_date"], [["C3"]]))
    _io.write_inst(raw, tmp_path / "a.vhdr")
    markers = tmp_path / "a.vmrk"
    with markers.open("a", encoding="utf-8") as file:
        file.write("Mk8=Bad Interval,Gradient,501,25,2\nMk9=Comment,BAD_all,751,25\n")
    # The header names the markers, whatever the files are called.
    header = tmp_path / "a.vhdr"
    markers = markers.rename(tmp_path / "marks.vmrk")
    header.write_text(header.read_text(encoding="utf-8").replace("a.vmrk", "marks.vmrk"))
    annotations = _io.read_inst(header).annotations
    expected = {"BAD_pop": ("C3",), "Bad Interval/Gradient": ("Fp2",), "BAD_all": ()}
    # Some versions of MNE keep the marker that begins a file.
    annotations.delete(np.flatnonzero(np.char.startswith(annotations.description, "New Segment")))
    assert dict(zip(annotations.description, annotations.ch_names, strict=True)) == expected
    np.testing.assert_allclose(annotations.onset, [1, 2, 3])
    np.testing.assert_allclose(annotations.duration, [0.5, 0.1, 0.1])
    markers.write_text(markers.read_text(encoding="utf-8").replace("251,125,3", "251,125,33"))
    with pytest.warns(RuntimeWarning, match=r"does not have \(33\).*apply to all channels"):
        annotations = _io.read_inst(header).annotations
    assert annotations.ch_names[list(annotations.description).index("BAD_pop")] == ()


def test_formats_without_channels_of_annotations(raw, tmp_path):
    """A format that may have lost the channels of bad segments is a warning."""
    raw.set_annotations(mne.Annotations([1, 5], 1, ["go", "BAD_ACQ_SKIP"]))
    mne.export.export_raw(tmp_path / "a.set", raw)
    assert len(_io.read_inst(tmp_path / "a.set").annotations) == 2
    raw.annotations.append(3, 1, "BAD_pop", [["C3"]])
    mne.export.export_raw(tmp_path / "a.set", raw, overwrite=True)
    with pytest.warns(RuntimeWarning, match="a.set has 1 annotation.*apply to all channels"):
        _io.read_inst(tmp_path / "a.set")


def test_precision_of_fif(raw, epochs, tmp_path):
    """Samples of 64-bit or 32-bit files are equal to the bit."""
    for fmt in ("single", "double"):
        raw.save(tmp_path / "in_raw.fif", fmt=fmt, overwrite=True)
        read = _io.read_inst(tmp_path / "in_raw.fif")
        note = _io.write_inst(read, tmp_path / "out_raw.fif", overwrite=True)
        assert {"single": "32-bit", "double": "64-bit"}[fmt] in note
        again = _io.read_inst(tmp_path / "out_raw.fif")
        np.testing.assert_array_equal(again.get_data(), read.get_data())
        assert again.orig_format == fmt
        epochs.save(tmp_path / "in-epo.fif", fmt=fmt, overwrite=True)
        read = _io.read_inst(tmp_path / "in-epo.fif")
        note = _io.write_inst(read, tmp_path / "out-epo.fif", overwrite=True)
        again = _io.read_inst(tmp_path / "out-epo.fif")
        np.testing.assert_array_equal(again.get_data(), read.get_data())
        assert "64-bit" in note
        assert (tmp_path / "out-epo.fif").stat().st_size > again.get_data().nbytes


def test_range_of_edf(raw, tmp_path):
    """A channel of large amplitude does not reduce the precision of others."""
    raw.apply_function(lambda x: 1e3 * x, picks=["C4"])
    _io.write_inst(raw, tmp_path / "a.edf")
    read = _io.read_inst(tmp_path / "a.edf")
    np.testing.assert_allclose(read.get_data("C3"), raw.get_data("C3"), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("a_raw.fif", "a_raw.fif"),
        ("a-epo.fif", "a-epo.fif"),
        ("a.edf", "a.edf"),
        ("a.vhdr", "a.eeg"),
        ("a.vhdr", "a.vhdr"),
    ],
)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_cut_short(raw, epochs, tmp_path, name, cut, share):
    """A truncated file is an error in any format."""
    _io.write_inst(epochs if "epo" in name else raw, tmp_path / name)
    size = (tmp_path / cut).stat().st_size
    os.truncate(tmp_path / cut, int(share * size) - (share == 0.99))
    text = (
        rf"{re.escape(name)} cannot be read.*truncated" if share else f"{re.escape(cut)} is empty"
    )
    with pytest.raises(RuntimeError, match=text):
        _io.read_inst(tmp_path / name)


def _cut_brainvision(folder, n_samples, marker="", program="pybv"):
    """Truncate a file without a number of samples between samples, and add a marker."""
    header = folder / "a.vhdr"
    text = header.read_text(encoding="utf-8").replace("pybv", program)
    header.write_text(re.sub("DataPoints=.*\n", "", text), encoding="utf-8")
    os.truncate(folder / "a.eeg", n_samples * 4 * 4)
    with (folder / "a.vmrk").open("a", encoding="utf-8") as file:
        file.write(f"{marker}\n")
    return header


@pytest.mark.filterwarnings("ignore:Omitted", "ignore:Limited")
def test_brainvision_cut_at_a_sample(raw, tmp_path):
    """Markers well beyond the data show that these are truncated."""
    _io.write_inst(raw, tmp_path / "a.vhdr")  # markers end at samples 375 and 1000
    for n_samples in (700, 400):  # the second marker begins inside and outside
        header = _cut_brainvision(tmp_path, n_samples)
        with pytest.raises(RuntimeError, match="truncated.*markers reach sample 1000"):
            _io.read_inst(header)
    _io.write_inst(raw, tmp_path / "a.vhdr", overwrite=True)
    with pytest.raises(RuntimeError, match="reach sample 2050"):
        _io.read_inst(_cut_brainvision(tmp_path, 1750, "Mk9=Response,R  1,2051,1,0", "other"))


@pytest.mark.filterwarnings("ignore:Omitted", "ignore:Limited")
@pytest.mark.parametrize(
    "marker",
    [
        "Mk9=Response,R  1,2501,1,0",  # just after the end
        "Mk9=Response,R  1,2700,1,0",
        "Mk9=Stimulus,S  1,2400,2000,0",  # a stimulus that goes on after the recording
        "Mk9=Comment,BAD_end,2400,900,2",
        "",
    ],
)
def test_brainvision_with_late_markers(raw, tmp_path, marker):
    """A complete file with an event at the very end is read."""
    _io.write_inst(raw, tmp_path / "a.vhdr")
    read = _io.read_inst(_cut_brainvision(tmp_path, 2500, marker, "other"))
    np.testing.assert_allclose(read.get_data(), raw.get_data(), rtol=0, atol=1e-10)
    if "BAD_end" in marker:
        assert read.annotations.ch_names[-1] == ("Fp2",)
        assert read.annotations[-1]["onset"] + read.annotations[-1]["duration"] <= 10


def test_read_wrong(tmp_path, raw):
    """A missing file, or one in another format than its name says, is an error."""
    with pytest.raises(FileNotFoundError, match="a.fif does not exist"):
        _io.read_inst(tmp_path / "a.fif")
    for name in ("a.xyz", "a_raw.fif", "a-epo.fif", "a.edf"):
        (tmp_path / name).write_text("not EEG")
        with pytest.raises(RuntimeError, match="not in the format that its name says"):
            _io.read_inst(tmp_path / name)


def test_output_exists(raw, tmp_path):
    """An existing file is only replaced on demand, including all files of BrainVision."""
    _io.write_inst(raw, tmp_path / "a.vhdr")
    (tmp_path / "a.vhdr").unlink()
    for function in (_io.check_output, lambda p, **kw: _io.write_inst(raw, p, **kw)):
        with pytest.raises(FileExistsError, match=r"a\.(eeg|vmrk) already exists"):
            function(tmp_path / "a.vhdr")
        function(tmp_path / "a.vhdr", overwrite=True)
        (tmp_path / "a.vhdr").unlink(missing_ok=True)


def test_output_would_replace_input(raw, tmp_path, monkeypatch):
    """The input is never replaced, by any of its paths."""
    monkeypatch.chdir(tmp_path)
    for source, output in [("a.fif", tmp_path / "a.fif"), ("a.eeg", "a.vhdr")]:
        with pytest.raises(ValueError, match="would replace the input"):
            _io.check_output(output, source=source, overwrite=True)
    _io.check_output("b.fif", source="a.fif")


def test_output_folder(raw, tmp_path, monkeypatch):
    """A missing or read-only folder is an error before any computation."""
    with pytest.raises(FileNotFoundError, match="nowhere, .*does not exist"):
        _io.check_output(tmp_path / "nowhere" / "a.fif")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # The superuser has all permissions, so the error is simulated.
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError, match="cannot be written to: Permission denied"):
        _io.check_output(tmp_path / "a.fif")


def test_output_format(raw, epochs, tmp_path):
    """Only formats that can be written are accepted, and only fif for epochs."""
    for name in ("a", "a.cnt", "a.edf.gz", "k.FIF", "k_raw.FIF.GZ", "k.EDF", "k.Vhdr"):
        with pytest.raises(ValueError, match="is not supported"):
            _io.check_output(tmp_path / name, inst=raw)
    with pytest.raises(ValueError, match="only written to fif"):
        _io.check_output(tmp_path / "a.edf", inst=epochs)
    with pytest.raises(ValueError, match="only written to fif.*-epo.fif"):
        _io.check_output(tmp_path / "a.set", inst=epochs)
    with pytest.raises(ValueError, match="in lower case"):
        _io.check_output(tmp_path / "k-EPO.FIF", inst=epochs)
    for name in ("k-epo.fif", "k_ave.fif.gz"):  # it could not be read again
        with pytest.raises(ValueError, match="the name of epochs or evoked data"):
            _io.check_output(tmp_path / name, inst=raw)
    _io.check_output(tmp_path / "shockwave.fif", inst=raw)
    odd = raw.copy().rename_channels({"C3": "C3 µ", "C4": "C4, a name too long"})
    for name in ("a.edf", "a.bdf"):
        with pytest.raises(ValueError, match="unlike C3 µ, C4, a name too long. Rename"):
            _io.check_output(tmp_path / name, inst=odd)
    _io.check_output(tmp_path / "a.vhdr", inst=odd)
    (tmp_path / "a.fif").mkdir()
    with pytest.raises(IsADirectoryError, match="a.fif is a folder"):
        _io.check_output(tmp_path / "a.fif", inst=raw, overwrite=True)


@pytest.mark.parametrize("name", ["a_raw.fif", "a.vhdr"])
def test_failed_write_leaves_nothing(raw, tmp_path, monkeypatch, name):
    """After a failure, an older file is unchanged and no other file is left."""
    _io.write_inst(raw, tmp_path / name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr("mne.io.BaseRaw.get_data", fail)
    monkeypatch.setattr("mne.io.base._write_raw_data", fail)
    with pytest.raises(OSError, match="no space left"):
        _io.write_inst(raw, tmp_path / name, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_split_fif(raw, tmp_path):
    """All parts of a recording that MNE splits are moved."""
    raw = mne.concatenate_raws([raw.copy() for _ in range(50)], verbose="error")
    save = raw.save
    raw.save = lambda *args, **kwargs: save(*args, split_size="2MB", **kwargs)
    _io.write_inst(raw, tmp_path / "a_raw.fif")
    assert len(list(tmp_path.iterdir())) > 1
    read = _io.read_inst(tmp_path / "a_raw.fif")
    np.testing.assert_array_equal(read.get_data(), raw.get_data())
