# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``prior``, and ``--prior`` of the others."""

import json
import shutil

import mne
import numpy as np
import pytest

import mne_gram
from mne_gram._commands._main import main
from mne_gram.covariance import read_prior


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return three recordings, the last two with a bad channel."""
    folder = tmp_path_factory.mktemp("recordings")
    paths = []
    for k in range(3):
        raw = mne_gram.datasets.sample(verbose="error").crop(5 * k, 5 * k + 6)
        raw.pick([*raw.ch_names[::4], "Cz", "FT8"]).info["bads"] = ["Cz"] if k else []
        paths.append(folder / f"sub-{k}_task-rest_raw.fif")
        raw.set_annotations(None).save(paths[-1], fmt="double", verbose="error")
    return paths


@pytest.fixture(scope="module")
def lab(files):
    """Return a prior of these recordings."""
    path = files[0].with_name("lab.npz")
    assert main(["prior", "fit", *map(str, files), "--out", str(path)]) == 0
    return path


def test_fit(files, lab, capsys):
    """Each file is a subject; an existing file is kept unless it may be overwritten."""
    prior = read_prior(lab)
    assert [r.source[1] for r in prior.recordings[-3:]] == ["sub-0", "sub-1", "sub-2"]
    assert prior.base is not None and prior.n_cohort == 3
    args = ["prior", "fit", *map(str, files), "--out", str(lab)]
    assert main(args) == 1
    assert "already exists" in capsys.readouterr().err.splitlines()[-1]
    assert main([*args, "--overwrite", "--no-base", "--n-jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "3 recordings of 3 subjects." in out and f"Wrote {lab}." in out
    assert read_prior(lab).base is None
    assert main([*args, "--overwrite"]) == 0


def test_fit_bids(bids_source, tmp_path, capsys):
    """A BIDS data set has its own subjects."""
    path = tmp_path / "lab.npz"
    assert main(["prior", "fit", "--bids-root", str(bids_source), "--out", str(path)]) == 0
    assert "3 recordings of 2 subjects." in capsys.readouterr().out
    assert {r.source[:2] for r in read_prior(path).recordings[-3:]} == {
        ("data", "sub-01"),
        ("data", "sub-02"),
    }


def test_fit_selection(bids_source, tmp_path, capsys):
    """Recordings of a data set are selected as by the other commands."""
    args = ["prior", "fit", "--bids-root", str(bids_source), "--out", str(tmp_path / "lab.npz")]
    assert main([*args, "--subject", "01", "--run", "2"]) == 0
    out = capsys.readouterr().out
    assert "data: sub-01: sub-01_task-rest_run-02_eeg.vhdr" in out
    assert "1 recording of 1 subject." in out
    assert main([*args, "--overwrite", "--task", "sleep"]) == 1
    assert "no recording with task-sleep" in capsys.readouterr().err


def test_fit_subjects(files, tmp_path, capsys):
    """The subjects of files can be named, one for each."""
    args = ["prior", "fit", *map(str, files), "--out", str(tmp_path / "lab.npz"), "--subject"]
    assert main([*args, "a", "a", "b"]) == 0
    assert "3 recordings of 2 subjects." in capsys.readouterr().out
    for wrong, text in (
        (["a", "b"], "got 2 for 3 recordings"),
        (["a"] * 3 + ["--run", "1"], "--run"),
    ):
        with pytest.raises(SystemExit) as exc:
            main([*args, *wrong])
        assert exc.value.code == 2 and text in capsys.readouterr().err


def test_show(lab, tmp_path, capsys):
    """Recordings and electrodes are printed as text and as JSON, and drawn."""
    figure = tmp_path / "lab.png"
    assert main(["prior", "show", str(lab), "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    n_electrodes = len(read_prior(lab).recordings[-2].channels)
    assert f"cohort: sub-1: sub-1_task-rest_raw.fif: {n_electrodes} electrodes" in out
    assert "3 recordings of 3 subjects." in out and figure.stat().st_size > 1000
    assert main(["prior", "show", str(lab), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["recordings"]) == 3 and shown["n_base"] > 50
    assert (shown["electrodes"]["CZ"], shown["electrodes"]["T7"]) == (1, 3)


@pytest.mark.parametrize(
    "args",
    [["show", "nonesuch.npz"], ["fit", "nonesuch.fif", "--out", "lab.npz"]],
)
def test_errors_are_one_line(args, tmp_path, monkeypatch, capsys):
    """Missing files are reported in one line, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert main(["prior", *args]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("mne_gram: error: ") and "nonesuch" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", [[], ["a_raw.fif", "--bids-root", "data"]])
def test_fit_needs_one_source(args, capsys):
    """Recordings and a data set exclude each other."""
    with pytest.raises(SystemExit) as exc:
        main(["prior", "fit", *args, "--out", "lab.npz"])
    assert exc.value.code == 2 and "either" in capsys.readouterr().err


def test_restore_and_find_bads(files, lab, tmp_path, capsys):
    """Both use the prior; a file that is none is refused."""
    restored = {}
    for name, args in dict(bundled=[], lab=["--prior", str(lab)]).items():
        path = tmp_path / f"{name}_raw.fif"
        assert main(["restore", str(files[1]), str(path), "--method", "spatial", *args]) == 0
        restored[name] = mne.io.read_raw_fif(path, verbose="error").get_data("Cz")
    raw = mne.io.read_raw_fif(files[1], preload=True, verbose="error")
    expected = mne_gram.restore(raw, method="spatial", prior=lab, verbose="error").get_data("Cz")
    np.testing.assert_array_equal(restored["lab"], expected)
    assert np.abs(restored["lab"] - restored["bundled"]).max() > 1e-7
    capsys.readouterr()
    assert main(["find-bads", str(files[0]), "--prior", str(lab), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == mne_gram.__version__
    other = tmp_path / "other.npz"
    shutil.copy(files[0], other)
    for command in (["restore", str(files[1]), str(tmp_path / "out_raw.fif")], ["find-bads"]):
        args = command if len(command) > 1 else [*command, str(files[0])]
        assert main([*args, "--prior", str(other)]) == 1
        assert "other.npz" in capsys.readouterr().err.splitlines()[-1]


def test_bids(bids_copy, lab, capsys):
    """A data set is restored with the prior in a file, and the report says so."""
    args = ["bids", str(bids_copy), "--method", "spatial", "--no-report", "--subject", "02"]
    assert main([*args, "--prior", str(lab), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["prior"]["kind"], printed["prior"]["n_subjects"]) == ("file", 3)
    assert main(args) == 0
    assert "Prior: the bundled library." in capsys.readouterr().out
    assert main([*args, "--prior", "bundled", "--refit-prior"]) == 1
    assert "--refit-prior needs --prior dataset" in capsys.readouterr().err
