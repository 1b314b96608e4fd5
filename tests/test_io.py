# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading and writing of recordings."""

import os
import re

import mne
import numpy as np
import pytest

from mne_gram import _io


@pytest.fixture
def raw():
    """Return 10 s of noise in four channels, with annotations, in volts."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fp1", "Fp2", "C3", "C4"], 250.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.normal(size=(4, 2500)), info, verbose="error")
    raw.set_meas_date(1.5e9)
    raw.set_annotations(mne.Annotations([1, 3], [0.5, 1], ["go", "stop"], raw.info["meas_date"]))
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
    """What is written is read back, with its annotations, and no other file is left."""
    before = raw.get_data()
    note = _io.write_inst(raw, tmp_path / name)
    assert note in _io.PRECISION.values()
    read = _io.read_inst(tmp_path / name)
    assert read.ch_names == raw.ch_names
    np.testing.assert_allclose(read.get_data(), before, rtol=0, atol=error)
    # BrainVision marks free text as a comment, and the begin of the recording.
    assert {d.removeprefix("Comment/") for d in read.annotations.description} >= {"go", "stop"}
    np.testing.assert_array_equal(raw.get_data(), before)
    n_files = 3 if name.endswith(".vhdr") else 1
    assert len(list(tmp_path.iterdir())) == n_files


@pytest.mark.parametrize("name", ["a_raw.fif", "a.edf", "a.vhdr"])
def test_annotations_of_channels(raw, tmp_path, name):
    """Every format keeps what is annotated in some channels only."""
    raw.annotations.append(5, 1, "RESTORED", [["Fp1", "C4"]])
    _io.write_inst(raw, tmp_path / name)
    if name == "a.vhdr":  # whose channels MNE does not read
        markers = (tmp_path / "a.vmrk").read_text(encoding="utf-8")
        assert re.findall(r"RESTORED,1251,250,(\d)", markers) == ["1", "4"]
        return
    annotations = _io.read_inst(tmp_path / name).annotations
    found = [a for a in annotations if a["description"] == "RESTORED"]
    assert {channel for a in found for channel in a["ch_names"]} == {"Fp1", "C4"}
    assert all(a["onset"] == 5 and a["duration"] == 1 for a in found)


def test_precision_of_fif(raw, epochs, tmp_path):
    """A file of 64-bit or 32-bit floats gives its samples back bit by bit."""
    for fmt in ("single", "double"):
        raw.save(tmp_path / "in_raw.fif", fmt=fmt, overwrite=True)
        read = _io.read_inst(tmp_path / "in_raw.fif")
        _io.write_inst(read, tmp_path / "out_raw.fif", overwrite=True)
        again = _io.read_inst(tmp_path / "out_raw.fif")
        np.testing.assert_array_equal(again.get_data(), read.get_data())
        assert again.orig_format == fmt
    _io.write_inst(epochs, tmp_path / "a-epo.fif")
    again = _io.read_inst(tmp_path / "a-epo.fif")
    np.testing.assert_array_equal(again.get_data(), epochs.get_data())


def test_range_of_edf(raw, tmp_path):
    """A large channel does not coarsen the others."""
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
    """A file that lost its end is refused, whatever its format."""
    _io.write_inst(epochs if "epo" in name else raw, tmp_path / name)
    if cut == "a.eeg" and share in (0, 0.5):  # these are whole samples, so the header has to tell
        path = tmp_path / name
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("[Common Infos]", "[Common Infos]\nDataPoints=2500"))
    size = (tmp_path / cut).stat().st_size
    os.truncate(tmp_path / cut, int(share * size) - (share == 0.99))
    with pytest.raises(RuntimeError, match=f"{re.escape(name)} cannot be read.*cut short"):
        _io.read_inst(tmp_path / name)


def test_read_wrong(tmp_path, raw):
    """A file that is missing, or not what its name says, is refused with the reason."""
    with pytest.raises(FileNotFoundError, match="a.fif does not exist"):
        _io.read_inst(tmp_path / "a.fif")
    for name in ("a.xyz", "a_raw.fif", "a-epo.fif", "a.edf"):
        (tmp_path / name).write_text("not EEG")
        with pytest.raises(RuntimeError, match="not in the format that its name says"):
            _io.read_inst(tmp_path / name)


def test_output_exists(raw, tmp_path):
    """An existing file is replaced only on demand; that holds for all files of BrainVision."""
    _io.write_inst(raw, tmp_path / "a.vhdr")
    (tmp_path / "a.vhdr").unlink()
    for function in (_io.check_output, lambda p, **kw: _io.write_inst(raw, p, **kw)):
        with pytest.raises(FileExistsError, match=r"a\.(eeg|vmrk) exists already"):
            function(tmp_path / "a.vhdr")
        function(tmp_path / "a.vhdr", overwrite=True)
        (tmp_path / "a.vhdr").unlink(missing_ok=True)


def test_output_would_replace_input(raw, tmp_path, monkeypatch):
    """The input is never replaced, by whatever path it is named."""
    monkeypatch.chdir(tmp_path)
    for source, output in [("a.fif", tmp_path / "a.fif"), ("a.eeg", "a.vhdr")]:
        with pytest.raises(ValueError, match="would replace the input"):
            _io.check_output(output, source=source, overwrite=True)
    _io.check_output("b.fif", source="a.fif")


def test_output_folder(raw, tmp_path, monkeypatch):
    """A folder that is missing, or may not be written to, is refused before the work."""
    with pytest.raises(FileNotFoundError, match="nowhere .*is not there"):
        _io.check_output(tmp_path / "nowhere" / "a.fif")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Permissions do not bind the superuser, so that the refusal is played.
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError, match="cannot be written to: Permission denied"):
        _io.check_output(tmp_path / "a.fif")


def test_output_format(raw, epochs, tmp_path):
    """Only formats that are written are accepted, and epochs only in fif."""
    for name in ("a", "a.set", "a.edf.gz"):
        with pytest.raises(ValueError, match="tells no format"):
            _io.check_output(tmp_path / name, inst=raw)
    with pytest.raises(ValueError, match="only written to fif"):
        _io.check_output(tmp_path / "a.edf", inst=epochs)
    with pytest.raises(ValueError, match="tells no format .*-epo.fif"):
        _io.check_output(tmp_path / "a.set", inst=epochs)


@pytest.mark.parametrize("name", ["a_raw.fif", "a.vhdr"])
def test_failed_write_leaves_nothing(raw, tmp_path, monkeypatch, name):
    """After a failure an older file is as it was, and nothing else is left."""
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
    """A recording that MNE splits over files is moved as a whole."""
    raw = mne.concatenate_raws([raw.copy() for _ in range(50)], verbose="error")
    save = raw.save
    raw.save = lambda *args, **kwargs: save(*args, split_size="2MB", **kwargs)
    _io.write_inst(raw, tmp_path / "a_raw.fif")
    assert len(list(tmp_path.iterdir())) > 1
    read = _io.read_inst(tmp_path / "a_raw.fif")
    np.testing.assert_array_equal(read.get_data(), raw.get_data())


def test_mark_bads(raw):
    """Channels are added to the bad ones, once; unknown ones are refused."""
    raw.info["bads"] = ["C4"]
    _io.mark_bads(raw, ["Fp1", "C4"])
    assert raw.info["bads"] == ["C4", "Fp1"]
    with pytest.raises(ValueError, match="no channel X, Y .* Fp1, Fp2, C3, C4"):
        _io.mark_bads(raw, ["X", "C3", "Y"])
    assert raw.info["bads"] == ["C4", "Fp1"]
