# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``bids`` and ``find-bads``: their output, files and errors."""

import json

import mne
import numpy as np
import pandas as pd
import pytest

import mne_gram
from mne_gram._commands._find_bads import _describe_row, _join_channels
from mne_gram._commands._main import main
from mne_gram.detection import BadsReport
from mne_gram.detection._report import Span


def _run(root, *args):
    """Run ``bids`` with the fastest method and without figures."""
    return main(["bids", str(root), "--method", "spatial", "--no-report", *map(str, args)])


def test_bids(bids_copy, capsys):
    """A table is printed, one log line per recording goes to standard error; a second run skips."""
    assert _run(bids_copy, "--subject", "02") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-2] == "1 recording: 1 done."
    assert "[1/1] sub-02_task-rest_run-01_eeg.vhdr: 2 channels restored" in err
    assert _run(bids_copy, "--run", "1", "--subject", "01,02", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in printed["recordings"]] == ["done", "skipped"]
    assert _run(bids_copy, "--subject", "02", "--exclude", "CP2,X9", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["recordings"]
    assert (row["status"], row["n_restored"]) == ("done", 1)
    assert printed["version"] == mne_gram.__version__ and printed["index"] is None


def test_exit_code_of_failures(bids_copy, capsys):
    """If a recording fails, the others are done and the exit code is 1."""
    header = bids_copy / "sub-01" / "eeg" / "sub-01_task-rest_run-01_eeg.vhdr"
    header.write_text("x", encoding="utf-8")
    assert _run(bids_copy) == 1
    out, err = capsys.readouterr()
    assert "3 recordings: 1 failed, 2 done." in out
    line = err.splitlines()[-1]
    assert line.startswith("mne_gram: error: 1 of 3 recordings failed: sub-01/eeg/sub-01_task")
    assert _run(bids_copy, "--stop-on-error") == 1
    assert "failed" in capsys.readouterr().err.splitlines()[-1]


def test_dry_run(bids_copy, capsys):
    """A dry run prints what would be done, and writes nothing."""
    assert _run(bids_copy, "--dry-run") == 0
    out = capsys.readouterr().out
    assert out.count("planned ") == 3 and "bad: CP2, FT8" in out
    assert not (bids_copy / "derivatives").exists()


@pytest.mark.parametrize(
    "args, text",
    [
        (["--subject", "77"], "sub-77"),
        (["--shard", "5/4"], "i from 1 to n"),
        (["--model", "nonesuch", "--job", "embed"], "nonesuch"),
    ],
)
def test_errors_are_one_line(bids_copy, capsys, args, text):
    """Wrong values are reported in one line, and nothing is written."""
    assert _run(bids_copy, *args) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("mne_gram: error: ") and text in line
    assert not (bids_copy / "derivatives").exists()


def test_no_data_set(tmp_path, capsys):
    """A missing folder is reported in one line."""
    assert _run(tmp_path) == 1
    assert "not a BIDS data set" in capsys.readouterr().err


def test_no_scheduler(bids_copy, capsys, monkeypatch):
    """A missing dask scheduler, or missing dask, is reported in one line."""
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    assert _run(bids_copy, "--dask", "tcp://127.0.0.1:1") == 1
    assert "mne-gram[dask]" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["bids", "find-bads"])
def test_help_has_examples(command, capsys):
    """The help has examples."""
    with pytest.raises(SystemExit) as exc:
        main([command, "--help"])
    assert exc.value.code == 0
    assert f"  mne_gram {command} " in capsys.readouterr().out


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Return a file with eight seconds of the sample and a flat segment of a channel."""
    raw = mne_gram.datasets.sample(verbose="error").crop(0, 8, include_tmax=False)
    raw.pick([*raw.ch_names[::4], "Cz", "FT8"]).info["bads"] = []
    raw._data[raw.ch_names.index("Cz"), 320:640] = 0.0
    path = tmp_path_factory.mktemp("cli") / "in_raw.fif"
    raw.save(path, fmt="double", verbose="error")
    return path


def test_find_bads(recording, capsys):
    """The findings are printed as text and as JSON."""
    assert main(["find-bads", str(recording)]) == 0
    assert "Checked 18 EEG channels" in capsys.readouterr().out
    assert main(["find-bads", str(recording), "--json", "--bads", "FT8"]) == 0
    printed = json.loads(capsys.readouterr().out)
    flat = [span for span in printed["spans"] if span["channel"] == "Cz"]
    assert flat[0]["why"] == "flat" and flat[0]["start"] == pytest.approx(2.0, abs=0.05)


def test_find_bads_writes(recording, tmp_path, capsys):
    """A marked copy and a table are written; the input is unchanged."""
    before = recording.read_bytes()
    out, table = tmp_path / "out_raw.fif", tmp_path / "found.csv"
    args = ["find-bads", str(recording), "--output", str(out), "--table", str(table)]
    assert main(args) == 0
    printed = capsys.readouterr().out
    assert f"Wrote {out}." in printed and f"Wrote {table}." in printed
    marked = mne.io.read_raw_fif(out, verbose="error")
    rows = pd.read_csv(table)
    assert set(marked.info["bads"]) == set(rows["channel"][rows["whole"]])
    assert "BAD_gram_flat" in marked.annotations.description
    assert recording.read_bytes() == before
    assert main(args) == 1
    assert "already exists" in capsys.readouterr().err
    assert main([*args, "--overwrite"]) == 0


def test_find_bads_wrong_input(recording, tmp_path, capsys):
    """Missing files, wrong channels, wrong names and a missing input are errors."""
    assert main(["find-bads", str(tmp_path / "none_raw.fif")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert main(["find-bads", str(tmp_path / "a-ave.fif")]) == 1
    assert "a-ave.fif has the name of evoked data" in capsys.readouterr().err
    assert main(["find-bads", str(recording), "--bads", "X1"]) == 1
    assert "no channel X1" in capsys.readouterr().err
    assert main(["find-bads", str(tmp_path)]) == 1
    assert "has no dataset_description.json" in capsys.readouterr().err
    for args in ([], ["a.fif", "--sample"], ["a.fif", "--table", "a.txt"]):
        with pytest.raises(SystemExit) as exc:
            main(["find-bads", *args])
        assert exc.value.code == 2


def test_find_bads_in_data_set(bids_copy, capsys):
    """A table per recording is printed; files are only changed with ``--write``."""
    tables = sorted(bids_copy.glob("sub-01/eeg/*run-02_channels.tsv"))
    tables[0].write_text(tables[0].read_text().replace("\tbad\t", "\tgood\t"))
    before = tables[0].read_bytes()
    args = ["find-bads", str(bids_copy), "--subject", "01", "--run", "2"]
    for more, text in (([], None), (["--write", "--dry-run"], "Would write")):
        assert main([*args, *more]) == 0
        out = capsys.readouterr().out
        assert "run-02_eeg.vhdr: 2 bad channels, " in out and "FT8" in out
        assert ("rite" in out) == (text is not None) and (text or "") in out
        assert tables[0].read_bytes() == before
    assert main([*args, "--write", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (row,) = printed["recordings"]
    assert printed["written"] and row["files"][0].endswith("run-02_channels.tsv")
    assert {found["channel"] for found in row["found"] if found["whole"]} == {"CP2", "FT8"}
    table = pd.read_csv(tables[0], sep="\t").set_index("name")
    assert table["status"]["CP2"] == "bad" and "misfit" in table["status_description"]["CP2"]


def test_counts_are_singular_or_plural():
    """The line of a recording reads as English."""
    spans = [Span("Pz", 3.0, 3.5, "flat")]
    info = mne.create_info(["Pz", "Cz"], 100.0, "eeg")
    found = BadsReport(mne.io.RawArray(np.zeros((2, 900)), info), [0, 1], {}, spans, {}, [])
    table = found.to_data_frame().assign(marked="new")
    line, *_ = _describe_row(dict(recording="a.edf", found=found, table=table))
    assert line == "a.edf: 0 bad channels, 1 bad segment, 1 of them new"


def test_segments_of_all_channels_are_one_row():
    """In the printed table only, and next to segments of single channels."""
    rows = [("A", 0, 1), ("B", 0, 1), ("C", 0, 9), ("A", 3, 4)]
    table = pd.DataFrame(rows, columns=["channel", "start", "stop"])
    table = table.assign(why="flat", whole=[False, False, True, False], marked="new")
    joined = _join_channels(table, 2)
    assert list(joined["channel"]) == ["all", "C", "A"] and list(joined["stop"]) == [1, 9, 4]


def test_find_bads_in_file_of_data_set(bids_copy, tmp_path, capsys):
    """One recording of a data set is marked by its path, and the findings go to a table too."""
    path = bids_copy / "sub-02" / "eeg" / "sub-02_task-rest_run-01_eeg.vhdr"
    out = tmp_path / "found.csv"
    assert main(["find-bads", str(path), "--write", "--table", str(out), "--bads", "Cz"]) == 0
    assert "2 bad channels" in capsys.readouterr().out
    assert {"CP2", "FT8"} <= set(pd.read_csv(out)["channel"])
    path.write_text("x")
    assert main(["find-bads", str(path), "--write"]) == 1
    printed, err = capsys.readouterr()
    assert "failed: " in printed and "1 of 1 recordings failed" in err


@pytest.mark.parametrize(
    "args",
    [
        ["a.fif", "--dry-run"],
        ["a.fif", "--write", "--output", "b.fif"],
        ["--sample", "--write"],
        ["a.fif", "--subject", "01"],
    ],
)
def test_find_bads_wrong_options(args):
    """Options that do not go together are wrong arguments."""
    with pytest.raises(SystemExit) as exc:
        main(["find-bads", *args])
    assert exc.value.code == 2
