# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The command line: its files, its output and its errors."""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import mne
import numpy as np
import pandas as pd
import pytest

import mne_gram
from mne_gram._commands._main import _build_parser, main
from mne_gram._commands._shared import complete_input
from mne_gram._files import _io


@pytest.fixture(scope="module")
def recording():
    """Return eight seconds of 23 channels of the bundled sample, two of which are bad."""
    names = "Fp1 Fp2 F7 F3 Fz F4 F8 FT8 T9 T7 C3 Cz C4 T8 T10 CP2 P7 P3 Pz P4 P8 O1 O2".split()
    return mne_gram.datasets.sample(verbose="error").pick(names).crop(0, 8, include_tmax=False)


@pytest.fixture
def source(recording, tmp_path):
    """Return a file with the recording."""
    path = tmp_path / "in_raw.fif"
    recording.save(path, fmt="double", verbose="error")
    return path


def _run(*args):
    """Run the command line with a fast method."""
    return main(["restore", *map(str, args), "--method", "spatial"])


def _get_error(capsys):
    """Return the one line of the standard error."""
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("mne_gram: error: ")
    return line


def test_restore(recording, source, tmp_path, capsys):
    """A restored recording, a figure and a report are written, and their names printed."""
    out = tmp_path / "out_raw.fif"
    figure, report = tmp_path / "out.png", tmp_path / "out.txt"
    assert _run(source, out, "--figure", figure, "--report", report) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    restored = _io.read_inst(out)
    bads = recording.info["bads"]
    good = [name for name in recording.ch_names if name not in bads]
    np.testing.assert_array_equal(restored.get_data(good), recording.get_data(good))
    assert np.abs(restored.get_data(bads) - recording.get_data(bads)).max(axis=1).min() > 1e-7
    assert restored.info["bads"] == []
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert all(name in report.read_text(encoding="utf-8") for name in bads)
    for text in (*bads, str(out), str(figure), str(report), _io.PRECISION[".fif"]):
        assert text in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (source, out, figure, report)
    )


@pytest.mark.filterwarnings("ignore:Estimated head radius")
@pytest.mark.parametrize("name", ["out.edf", "out.bdf", "out.vhdr", "out.set"])
def test_other_formats(source, tmp_path, name):
    """The format of the output follows its extension."""
    if name.endswith(".set"):
        pytest.importorskip("eeglabio")
    if name.endswith(".bdf") and not mne.utils.check_version("mne", "1.11"):
        pytest.skip("needs MNE-Python 1.11")
    assert _run(source, tmp_path / name) == 0
    assert _io.read_inst(tmp_path / name).ch_names == _io.read_inst(source).ch_names


def test_epochs(recording, tmp_path):
    """Epochs are restored to epochs."""
    epochs = mne.make_fixed_length_epochs(recording, 2.0, preload=True, verbose="error")
    epochs.save(tmp_path / "in-epo.fif", fmt="double", verbose="error")
    assert _run(tmp_path / "in-epo.fif", tmp_path / "out-epo.fif") == 0
    restored = mne.read_epochs(tmp_path / "out-epo.fif", verbose="error")
    assert restored.get_data().shape == epochs.get_data().shape
    assert restored.info["bads"] == []


def test_bads_and_json(recording, source, tmp_path, capsys):
    """Further bad channels can be given, and the report printed as JSON."""
    name = recording.ch_names[0]
    assert _run(source, tmp_path / "out_raw.fif", "--json", "--verbose", "--bads", name) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["input"] == str(source) and result["version"] == mne_gram.__version__
    assert {row["channel"] for row in result["channels"]} == {name, *recording.info["bads"]}
    assert all(row["seconds"] > 7 for row in result["channels"])


def test_options_reach_restore(source, tmp_path, monkeypatch):
    """The options are passed to the function."""
    got = {}

    def restore(inst, **kwargs):
        got.update(kwargs)
        raise RuntimeError("enough")

    monkeypatch.setattr("mne_gram.restoration.restore", restore)
    options = "--method gram --output sample --model folder --line-freq 60 --random-state 3"
    options += " --prior bundled --exclude Fz O1 --device cuda --batch-size 2"
    args = ["restore", str(source), str(tmp_path / "a.fif"), *options.split()]
    assert main([*args, "--all-channel-gaps", "fill"]) == 1
    assert got == {
        "mask": None,
        "method": "gram",
        "output": "sample",
        "model": "folder",
        "prior": "bundled",
        "line_freq": 60.0,
        "all_channel_gaps": "fill",
        "return_report": True,
        "random_state": 3,
        "exclude": ["Fz", "O1"],
        "device": "cuda",
        "batch_size": 2,
        "copy": False,
    }


def test_exclude(recording, source, tmp_path, capsys):
    """Excluded channels are unchanged and stay bad; an unknown one is an error."""
    first, other = recording.info["bads"]
    assert _run(source, tmp_path / "out_raw.fif", "--exclude", first) == 0
    restored = _io.read_inst(tmp_path / "out_raw.fif")
    assert restored.info["bads"] == [first]
    np.testing.assert_array_equal(restored.get_data(first), recording.get_data(first))
    assert np.abs(restored.get_data(other) - recording.get_data(other)).max() > 1e-7
    capsys.readouterr()
    assert _run(source, tmp_path / "b_raw.fif", "--exclude", "X1") == 1
    assert "no channel X1, named by --exclude" in _get_error(capsys)


def _mark(source):
    """Make a file longer, with more bad segments; return the data."""
    raw = mne.concatenate_raws([_io.read_inst(source) for _ in range(5)], verbose="error")
    raw.annotations.delete(np.arange(len(raw.annotations)))
    marks = mne.Annotations([5, 11], [9, 4], "BAD_x", raw.info["meas_date"], [["C3"], ["O1"]])
    raw.set_annotations(marks)
    raw.save(source, fmt="double", overwrite=True, verbose="error")
    return raw


@pytest.mark.parametrize("name", ["out_raw.fif", "out.vhdr", "out.edf"])
def test_large_recordings_are_not_loaded(source, tmp_path, capsys, monkeypatch, name):
    """Large recordings are kept in a temporary file, with the same result."""
    raw, tmp = _mark(source), tmp_path / "tmp"
    tmp.mkdir()
    capsys.readouterr()
    assert _run(source, tmp_path / f"small_{name}") == 0
    table = capsys.readouterr().out.replace("small_", "")
    seen, load_raw = [], _io.load_raw

    def load(inst, path, kind):
        seen.append(path)
        load_raw(inst, path, kind)

    monkeypatch.setattr(_io, "load_raw", load)
    monkeypatch.setattr(_io, "LARGE", 0)
    monkeypatch.setattr("mne_gram.restoration._blocks._BLOCK_SECONDS", 10.0)
    monkeypatch.setattr("mne_gram.restoration._blocks._SHORTEST_SECONDS", 1.0)
    monkeypatch.setattr("mne_gram._recording._samples._COPY_VALUES", 23 * 500)
    assert _run(source, tmp_path / name, "--tmp", tmp) == 0
    assert capsys.readouterr().out == table
    assert seen[0].parent.parent == tmp and list(tmp.iterdir()) == []
    one, other = _io.read_inst(tmp_path / f"small_{name}"), _io.read_inst(tmp_path / name)
    scale = np.abs(one.get_data()).mean()
    tolerance = 1e-9 if name.endswith("fif") else 1e-3
    np.testing.assert_allclose(other.get_data(), one.get_data(), rtol=0, atol=tolerance * scale)
    assert [a["description"] for a in other.annotations] == [
        a["description"] for a in one.annotations
    ]
    # Bad segments differ from the input.
    inside = slice(round(6 * 160), round(12 * 160))
    change = (other.get_data("C3") - raw.get_data("C3"))[:, inside]
    assert (np.abs(change) > 1e-7).mean() > 0.5


def test_no_room_for_a_large_recording(source, tmp_path, capsys, monkeypatch):
    """Missing disk space is an error before any computation."""
    from types import SimpleNamespace

    monkeypatch.setattr(_io, "LARGE", 0)
    monkeypatch.setattr(
        "mne_gram._recording._samples.disk_usage", lambda _: SimpleNamespace(free=0)
    )
    assert _run(source, tmp_path / "out_raw.fif") == 1
    assert "Free some space there" in _get_error(capsys)
    assert list(tmp_path.iterdir()) == [source]


def test_a_failure_leaves_no_temporary_file(source, tmp_path, capsys, monkeypatch):
    """After a failure, no temporary file of a large recording is left."""

    def fail(*args, **kwargs):
        raise RuntimeError("enough")

    monkeypatch.setattr(_io, "LARGE", 0)
    monkeypatch.setattr("mne_gram.restoration.restore", fail)
    assert _run(source, tmp_path / "out_raw.fif") == 1
    assert "enough" in _get_error(capsys)
    assert list(tmp_path.iterdir()) == [source]


def test_montage(source, tmp_path, capsys):
    """A template montage sets positions; an unknown one is an error."""
    raw = _io.read_inst(source).drop_channels(["T9", "T10"])  # which the template does not have
    raw.set_montage(None).save(source, fmt="double", overwrite=True, verbose="error")
    assert _run(source, tmp_path / "out_raw.fif", "--montage", "biosemi64") == 0
    assert _io.read_inst(tmp_path / "out_raw.fif").get_montage() is not None
    capsys.readouterr()
    assert _run(source, tmp_path / "b_raw.fif", "--montage", "nonesuch") == 1
    assert "no montage named 'nonesuch', expected one of" in _get_error(capsys)


@pytest.mark.parametrize("montage", ["colin27_1020", "standard_1005", "biosemi64"])
def test_montage_of_dressed_names(recording, montage, capsys):
    """The positions are those of the channels that the package understands."""
    raw = recording.copy().drop_channels(["T9", "T10"]).set_montage(None)
    dressed = raw.copy().rename_channels({n: f"EEG {n}-LE" for n in raw.ch_names})
    dressed.rename_channels({"EEG T7-LE": "EEG T3-LE", "EEG F3-LE": "f3", "EEG O1-LE": "X"})
    options = argparse.Namespace(bads=[], montage=montage)
    complete_input(raw, options)
    with pytest.warns(RuntimeWarning, match="'X'"):
        complete_input(dressed, options)
    places = [[ch["loc"][:3] for ch in inst.info["chs"]] for inst in (raw, dressed)]
    known = [name != "O1" for name in raw.ch_names]
    np.testing.assert_allclose(np.array(places[1])[known], np.array(places[0])[known])
    assert np.isnan(np.array(places[1])[raw.ch_names.index("O1")]).all()


def test_sample_in_a_new_process(tmp_path, monkeypatch, capsys):
    """The command of the README runs, but not twice without --overwrite."""
    command = [sys.executable, "-m", "mne_gram", "restore", "--sample", "restored_raw.fif"]
    command += ["--figure", "restored.png", "--report", "restored.txt"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    names = ["restored.png", "restored.txt", "restored_raw.fif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert _io.read_inst(tmp_path / "restored_raw.fif").info["bads"] == []
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(command[3:]) == 1
    assert "already exists" in _get_error(capsys)


def test_missing_input(tmp_path, capsys):
    """No file, no traceback."""
    assert _run(tmp_path / "none_raw.fif", tmp_path / "out_raw.fif") == 1
    assert "none_raw.fif does not exist" in _get_error(capsys)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
def test_terminated(source, tmp_path, capsys, monkeypatch):
    """SIGTERM ends a command like Ctrl-C: no file is left."""

    def restore(inst, **kwargs):
        assert len(list(tmp_path.glob(".mne_gram-*"))) == 1  # the samples
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(_io, "LARGE", 0)
    monkeypatch.setattr("mne_gram.restoration.restore", restore)
    assert _run(source, tmp_path / "out_raw.fif") == 143
    assert capsys.readouterr().err == "mne_gram: stopped.\n"
    assert list(tmp_path.iterdir()) == [source]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
def test_handler_of_the_caller_stays(source, tmp_path, monkeypatch):
    """A program that calls main decides itself what SIGTERM does, such as nothing."""
    seen = []
    monkeypatch.setattr(
        "mne_gram.restoration.restore",
        lambda inst, **kwargs: seen.append(signal.getsignal(signal.SIGTERM)),
    )
    old = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        _run(source, tmp_path / "out_raw.fif")
        assert seen == [signal.SIG_IGN] and signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, old)


def test_truncated_input(source, tmp_path, capsys):
    """A truncated file is an error."""
    os.truncate(source, source.stat().st_size // 2)
    assert _run(source, tmp_path / "out_raw.fif") == 1
    assert "truncated" in _get_error(capsys)
    assert not (tmp_path / "out_raw.fif").exists()


def test_unknown_bad(source, tmp_path, capsys):
    """A missing bad channel is an error that names it."""
    assert _run(source, tmp_path / "out_raw.fif", "--bads", "Nowhere") == 1
    assert "no channel Nowhere" in _get_error(capsys)


@pytest.mark.filterwarnings("ignore:A high-pass at 0.1 Hz:RuntimeWarning")
def test_names_as_people_write_them(source, tmp_path, capsys):
    """--bads, --exclude and --picks find Cz in EEG Cz-LE, and T7 in T3."""
    raw = _io.read_inst(source)
    raw.rename_channels({"Cz": "EEG Cz-LE", "T7": "T3"}).save(
        source, fmt="double", overwrite=True, verbose="error"
    )
    capsys.readouterr()
    options = ["--bads", "Cz,T7", "--exclude", *raw.info["bads"], "T7", "--json"]
    assert _run(source, tmp_path / "out_raw.fif", *options) == 0
    rows = json.loads(capsys.readouterr().out)["channels"]
    assert [row["channel"] for row in rows] == ["EEG Cz-LE"]
    assert "T3" in _io.read_inst(tmp_path / "out_raw.fif").info["bads"]
    picks = "Fp1 Fp2 F3 C3 cz".split()
    assert main(["find-bads", str(source), "--picks", *picks]) == 0
    assert "Checked 5 EEG channels" in capsys.readouterr().out
    out = str(tmp_path / "a.npz")
    assert main(["embed", str(source), out, "--picks", *picks, "--window", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ch_names"][-1] in ("EEG Cz-LE", "CZ")
    for command in (["find-bads", str(source)], ["embed", str(source), str(tmp_path / "b.npz")]):
        assert main([*command, "--picks", "X1"]) == 1
        assert "no channel X1, named by --picks" in _get_error(capsys)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_bars_only_in_terminals(source, tmp_path, capsys, monkeypatch, is_terminal):
    """Elsewhere, such as in the file of a cluster, lines are all."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.delenv("MNE_TQDM", raising=False)
    args = ["prior", "fit", str(source), "--out", str(tmp_path / "a.npz")]
    assert main(args) == 0
    assert ("Recordings" in capsys.readouterr().err) == is_terminal
    assert "MNE_TQDM" not in os.environ


def test_folder_as_input(tmp_path, capsys):
    """A folder is no recording."""
    (tmp_path / "study").mkdir()
    assert _run(tmp_path / "study", tmp_path / "out_raw.fif") == 1
    assert "study is a folder, expected a recording" in _get_error(capsys)


def test_all_channels_bad(recording, source, tmp_path, capsys):
    """A recording without good channels cannot be restored."""
    assert _run(source, tmp_path / "out_raw.fif", "--bads", *recording.ch_names) == 1
    assert _get_error(capsys)
    assert not (tmp_path / "out_raw.fif").exists()


@pytest.mark.parametrize("kind", ["out_raw.fif", "out.vhdr", "--figure", "--report"])
def test_existing_output(source, tmp_path, capsys, kind):
    """Existing files are not replaced."""
    args = [tmp_path / "out_raw.fif", kind, tmp_path / "old.png"]
    args = args if kind.startswith("--") else [tmp_path / kind]
    args = [*args[:-1], args[-1].with_suffix(".txt" if kind == "--report" else args[-1].suffix)]
    args[-1].write_text("old")
    assert _run(source, *args) == 1
    assert "already exists" in _get_error(capsys)
    assert args[-1].read_text() == "old"
    assert not kind.startswith("--") or not args[0].exists()


def test_overwrite(source, tmp_path):
    """Existing files are replaced with --overwrite."""
    paths = [tmp_path / name for name in ("out_raw.fif", "out.png", "out.txt")]
    for path in paths:
        path.write_text("old")
    args = [paths[0], "--figure", paths[1], "--report", paths[2]]
    assert _run(source, *args, "--overwrite") == 0
    assert all(path.stat().st_size > 100 for path in paths)


@pytest.mark.parametrize(
    "late", ["mne_gram.viz.plot_restoration", "mne_gram._commands._restore._describe"]
)
@pytest.mark.parametrize("is_old", [True, False])
def test_late_failure(source, tmp_path, capsys, monkeypatch, late, is_old):
    """A failure at the very end leaves no new file and older ones unchanged."""

    def fail(*args, **kwargs):
        raise RuntimeError("no figure")

    monkeypatch.setattr(late, fail)
    paths = [tmp_path / name for name in ("out.vhdr", "out.png", "out.txt")]
    for path in paths * is_old:
        path.write_text("old")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    args = [paths[0], "--figure", paths[1], "--report", paths[2], *["--overwrite"] * is_old]
    assert _run(source, *args) == 1
    assert "mne_gram: error: no figure" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    assert _run(source, *args) == 0
    assert len(list(tmp_path.iterdir())) == 6  # BrainVision consists of three


@pytest.mark.parametrize("name", ["in.vhdr", "in.edf"])
def test_marks_of_channels(recording, tmp_path, capsys, name):
    """Bad segments of channels are restored in all formats of the input."""
    raw = recording.copy().drop_channels(recording.info["bads"])
    raw.set_annotations(
        mne.Annotations([2], [1], ["BAD_pop"], raw.info["meas_date"], [raw.ch_names[3:5]])
    )
    _io.write_inst(raw, tmp_path / name)
    capsys.readouterr()
    assert _run(tmp_path / name, tmp_path / "out_raw.fif", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["channels"]
    assert {row["channel"] for row in rows} == set(raw.ch_names[3:5])
    np.testing.assert_allclose([row["seconds"] for row in rows], 1, atol=0.02)


def test_input_as_output(source, capsys):
    """The input is never replaced."""
    before = source.read_bytes()
    assert _run(source, source, "--overwrite") == 1
    assert "would replace the input" in _get_error(capsys)
    assert source.read_bytes() == before


def test_unsupported_output(source, tmp_path, capsys):
    """A format that cannot be written is an error before any computation."""
    with pytest.raises(SystemExit, match="2"):
        _run(source, tmp_path / "out.xyz")
    assert ".fif, .fif.gz, .edf, .bdf, .vhdr, .set" in capsys.readouterr().err


def test_missing_folder(source, tmp_path, capsys):
    """A missing folder is not created."""
    assert _run(source, tmp_path / "none" / "out_raw.fif") == 1
    assert "does not exist" in _get_error(capsys)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["restore"],
        ["restore", "only.fif"],
        ["restore", "in.fif", "out.fif", "--sample"],
        ["restore", "in.fif", "out.fif", "--method", "magic"],
        ["restore", "in.fif", "out.fif", "--figure", "out.xyz"],
        ["restore", "in.fif", "out.fif", "--report", "out.xyz"],
        ["weights"],
        ["weights", "convert", "a.pth"],
        ["restore", "in.fif", "out.fif", "--window", "3"],
    ],
)
def test_wrong_arguments(args, capsys):
    """Wrong arguments exit with code 2 and the usage of the command."""
    with pytest.raises(SystemExit) as exc:
        main(args)
    assert exc.value.code == 2
    command = args[0] if len(args) > 1 else ""
    assert f"usage: mne_gram {command}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["restore", "--bads", "T7", "in.fif", "out.fif"],
        ["find-bads", "--bads", "T7", "in.fif"],
        ["bids", "--task", "rest", "folder"],
    ],
)
def test_files_after_a_list(args, capsys):
    """They are taken for values of the option, which the error explains."""
    with pytest.raises(SystemExit, match="2"):
        main(args)
    assert f"such as {args[1] if args[0] != 'bids' else '--subject'} takes everything" in (
        capsys.readouterr().err
    )


def test_warnings_are_one_line(source, tmp_path):
    """A warning of a library is printed to the standard error in one line."""
    run = subprocess.run(
        [sys.executable, "-m", "mne_gram", "restore", source, tmp_path / "misnamed.fif"]
        + ["--method", "spatial"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0
    (line,) = run.stderr.splitlines()
    assert line.startswith("mne_gram: warning: ") and "naming conventions" in line


def test_sys_info(capsys):
    """Versions of the package and its dependencies are printed without importing them."""
    for name in ("sys-info", "sys_info"):  # as the function is called
        assert main([name]) == 0
        text = capsys.readouterr().out
        printed = dict(line.split(maxsplit=1) for line in text.splitlines())
        assert main([name, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        lines = [f"{key} {'not installed' if v is None else v}".split() for key, v in facts.items()]
        assert lines == [line.split() for line in text.splitlines()]
        assert printed["mne-gram"] == mne_gram.__version__
        assert printed["mne"] == mne.__version__
        assert printed["numpy"] == np.__version__


def test_completion(capsys):
    """The script is one that the shell accepts, with commands, options and files."""
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = "mne_gram find-bads --wri"
    test = f"COMP_WORDS=({words}); COMP_CWORD=2; _shtab_mne_gram --wri; echo ${{COMPREPLY[@]}}"
    run = subprocess.run(["bash", "-c", f"{script}\n{test}"], capture_output=True, text=True)
    assert run.stdout.split() == ["--write"]
    assert "_find_bads_pos_0_COMPGEN=_shtab_compgen_files" in script
    assert "_bids_pos_0_COMPGEN=_shtab_compgen_dirs" in script


def test_completion_without_package(capsys, monkeypatch):
    """A missing package is named."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 1
    assert "pip install 'mne-gram[completion]'" in _get_error(capsys)


@pytest.fixture
def evokeds(recording, tmp_path):
    """Return a file with two conditions, whose bad channels are CP2 and FT8."""
    made = []
    for comment, start in (("go", 0), ("stop", 320)):
        data = recording.get_data(start=start, stop=start + 160)
        made.append(mne.EvokedArray(data, recording.info, tmin=-0.2, comment=comment, nave=7))
    path = tmp_path / "in-ave.fif"
    mne.write_evokeds(path, made, verbose="error")
    return path


def test_restore_evokeds(evokeds, tmp_path, capsys):
    """All conditions of a file are restored to one file."""
    out, table = tmp_path / "out-ave.fif", tmp_path / "out.csv"
    assert _run(evokeds, out, "--report", table) == 0
    printed = capsys.readouterr().out
    assert printed.index("go\n") < printed.index("stop\n") < printed.index(f"Wrote {out}")
    before, after = (mne.read_evokeds(path, verbose="error") for path in (evokeds, out))
    assert [evoked.comment for evoked in after] == ["go", "stop"]
    bads = [name for name in before[0].ch_names if name in ("CP2", "FT8")]
    for old, new in zip(before, after, strict=True):
        assert (new.nave, new.tmin, new.info["bads"]) == (7, old.tmin, [])
        changed = np.any(old.data != new.data, axis=1)
        assert [name for name, one in zip(old.ch_names, changed, strict=True) if one] == bads
    rows = pd.read_csv(table)
    pairs = [(condition, name) for condition in ("go", "stop") for name in bads]
    assert list(zip(rows["condition"], rows["channel"], strict=True)) == pairs
    assert _run(evokeds, out, "--json", "--overwrite") == 0
    conditions = json.loads(capsys.readouterr().out)["conditions"]
    assert [len(one["channels"]) for one in conditions] == [2, 2]


@pytest.mark.filterwarnings("ignore:This filename")
def test_raw_named_like_evokeds(source, tmp_path):
    """A recording whose name ends in a word such as wave is no file of evoked data."""
    path = tmp_path / "wave.fif"
    shutil.copy(source, path)
    assert _run(path, tmp_path / "out_raw.fif", "--method", "spline") == 0


def test_wrong_evokeds(evokeds, tmp_path, capsys):
    """What is not possible for evoked data is refused before anything is computed."""
    for args in (["out-ave.fif", "--find-bads"], ["out-ave.fif", "--figure", "a.png"], ["out.edf"]):
        with pytest.raises(SystemExit) as exc:
            _run(evokeds, *(tmp_path / name if name[0] != "-" else name for name in args))
        assert exc.value.code == 2
    assert "which are only written to fif" in capsys.readouterr().err
    evoked = mne.read_evokeds(evokeds, 0, verbose="error")
    evoked.kind = "standard_error"
    mne.write_evokeds(evokeds, evoked, overwrite=True, verbose="error")
    assert _run(evokeds, tmp_path / "out-ave.fif") == 1
    assert "contains standard errors (go)" in _get_error(capsys)
    evokeds.write_bytes(b"x")
    assert _run(evokeds, tmp_path / "out-ave.fif") == 1
    assert "cannot be read as evoked data" in _get_error(capsys)


@pytest.mark.parametrize("name, package", [("a.set", "eeglabio"), ("a.bdf", "mne>=1.11")])
def test_missing_writers(source, tmp_path, capsys, monkeypatch, name, package):
    """A package that a format needs is named before anything is computed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("mne.utils.check_version", lambda *args: False)
    assert _run(source, tmp_path / name) == 1
    assert f"pip install {package}" in _get_error(capsys).replace("'", "")


def test_weights_list(capsys):
    """The names of weights are printed."""
    assert main(["weights", "list"]) == 0
    assert "gram-tiny" in capsys.readouterr().out


def test_weights_errors(tmp_path, capsys):
    """Unknown names and missing files are reported in one line."""
    assert main(["weights", "fetch", "nonesuch"]) == 1
    assert "nonesuch" in _get_error(capsys)
    assert main(["weights", "convert", str(tmp_path / "a.pth"), str(tmp_path / "b")]) == 1
    assert "a.pth" in _get_error(capsys)


def test_verbose_shows_where(tmp_path, capsys):
    """With ``--verbose``, the traceback of an error precedes its line."""
    assert _run(tmp_path / "none_raw.fif", tmp_path / "out_raw.fif", "--verbose") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and lines[-1].startswith("mne_gram: error: ")


def test_version(capsys):
    """The version is that of the package."""
    with pytest.raises(SystemExit) as exc:
        main(["--version"])
    assert exc.value.code == 0
    assert capsys.readouterr().out == f"mne_gram {mne_gram.__version__}\n"


def _list_commands(parser, path=()):
    """Yield the words and the parser of each command."""
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not actions:
        yield path, parser
    for action in actions:
        for name, child in action.choices.items():
            yield from _list_commands(child, (*path, name))


COMMANDS = dict(_list_commands(_build_parser()))


def test_all_commands_are_there():
    names = {path[0] for path in COMMANDS}
    wanted = "restore find-bads embed tokens bids pretrain bench weights sys-info prior completion"
    assert names == set(wanted.split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_teaches_by_an_example_that_can_be_read(path):
    """Every command has a description, and examples that it accepts."""
    parser = COMMANDS[path]
    text = parser.epilog or ""
    assert parser.description
    calls = re.findall(rf"(?:^| )(mne_gram {' '.join(path)} .*)$", text, re.MULTILINE)
    calls += re.findall(rf"^ *(mne_gram {' '.join(path)})$", text, re.MULTILINE)
    assert calls, f"no example in the help of {' '.join(path)}"
    for call in calls:
        words = shlex.split(call.split(" > ")[0].replace("$SLURM_ARRAY_TASK_ID", "1"))
        _build_parser().parse_args(words[1:])


def test_weights_are_listed_as_json(capsys):
    assert main(["weights", "list", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert models["gram-tiny"]["present"] and len(models["gram-tiny"]["sha256"]) == 64


def test_restore_finds_bads(tmp_path, capsys):
    """With ``--find-bads``, unmarked bad channels are restored."""
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    raw.pick(raw.ch_names[::4]).info["bads"] = []
    raw._data[raw.ch_names.index("C3")] = 0.0
    source, out = tmp_path / "flat_raw.fif", tmp_path / "restored_raw.fif"
    raw.save(source, verbose="error")
    assert main(["restore", str(source), str(out), "--find-bads", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["channels"]
    assert "C3" in {row["channel"] for row in rows}
    assert mne.io.read_raw(out, verbose="error").get_data("C3").std() > 1e-6
