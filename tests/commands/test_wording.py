# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Errors, warnings and logs of the library in terms of the command line."""

import ast
import re
from pathlib import Path

import mne
import pytest

import mne_gram
from mne_gram._commands._main import _build_parser, main
from mne_gram._commands._wording import to_options
from mne_gram._files import write_inst

# The modules whose messages a command can show.
_ROOMS = (
    *("_checks.py", "_recording/_input.py", "_files/*.py", "bids/*.py", "cohort/*.py"),
    *(
        "detection/_find_bads.py",
        "features/_cuts.py",
        "models/_registry.py",
        "models/_inference.py",
    ),
    *("montage/_head.py", "montage/_match.py", "preprocessing/*.py"),
    *(f"restoration/_{name}.py" for name in "fit gram mark methods restore spline".split()),
)
_PYTHON = re.compile(r"info\[|\binst\.|mne_gram\.\w+|\b\w+=(True|False|None|')|(?<!--)\bpicks\b")


@pytest.fixture(scope="module")
def parsers():
    """Return the parsers of commands by name."""
    (commands,) = (a for a in _build_parser()._actions if hasattr(a.choices, "values"))
    return commands.choices


@pytest.mark.parametrize(
    "command, text, expected",
    [
        (
            "restore",
            "Use method='spatial' or output='mean'.",
            "Use --method spatial or --output mean.",
        ),
        ("restore", "or set all_channel_gaps='fill'.", "or set --all-channel-gaps fill."),
        ("restore", "(see all_channel_gaps)", "(see --all-channel-gaps)"),
        (
            "restore",
            "far too large. Mark them in info['bads'].",
            "far too large. Name bad channels with --bads.",
        ),
        ("bids", "or mark them in info['bads'].", "or mark bad channels in channels.tsv."),
        ("bids", "refit_prior=True makes a new one", "--refit-prior makes a new one"),
        (
            "bids",
            "refit_prior needs prior='dataset', got 'x'",
            "--refit-prior needs --prior dataset, got 'x'",
        ),
        ("bids", "a smaller n_jobs.", "a smaller --n-jobs."),
        ("bids", "shard must be i/n", "--shard must be i/n"),
        ("find-bads", "f(lambda x: x, picks='eeg')", "f(lambda x: x, picks='eeg')"),
        (
            "restore",
            "Remove usable\nchannels from info['bads'].",
            "Do not mark usable channels as bad.",
        ),
        (
            "bids",
            "written to (derivatives=, or --derivatives on the command line).",
            "written to (--derivatives).",
        ),
        ("restore", "the prior and the method of others", "the prior and the method of others"),
        (
            "find-bads",
            "/data/line_freq/n_jobs.fif is a folder",
            "/data/line_freq/n_jobs.fif is a folder",
        ),
    ],
)
def test_arguments(parsers, command, text, expected):
    assert to_options(text, parsers[command]) == expected


@pytest.mark.parametrize(
    "name",
    [
        "/my data/line_freq and n_jobs/a_raw.fif",
        "my prior must be/a_raw.fif",
        "model=gram_raw.fif",
        "with inst.a_raw.fif",
        r"C:\data\line_freq\a_raw.fif",
    ],
)
def test_names_of_files_stay(name, capsys):
    """Also those that contain a text which is replaced elsewhere."""
    assert main(["restore", name, "out_raw.fif"]) == 1
    assert f"The input {name} does not exist" in capsys.readouterr().err


def test_folder_of_the_process_stays(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "my line_freq study"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["bids", "."]) == 1
    assert str(folder) in capsys.readouterr().err


def test_file_as_a_value(parsers):
    parser = parsers["restore"]
    parser.given = ["a_raw.fif", "lab.npz"]
    try:
        text = "prior='lab.npz' does not fit a_raw.fif, leave out line_freq."
        expected = "--prior lab.npz does not fit a_raw.fif, leave out --line-freq."
        assert to_options(text, parser) == expected
    finally:
        del parser.given


def _list_messages(path):
    """Yield the texts of exceptions, warnings and logs in a module; values are X."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if not (name.endswith(("Error", "warn")) or name.startswith("logger.")):
            continue
        for arg in node.args[:1]:
            if isinstance(arg, ast.JoinedStr):
                values = [getattr(part, "value", None) for part in arg.values]
                yield "".join(v if isinstance(v, str) else "X" for v in values)
            elif isinstance(arg, ast.Constant) and isinstance(arg.value, str):
                yield arg.value


def test_messages_name_no_arguments(parsers):
    """Each message that a command can show has a form for at least one command."""
    root, seen = Path(mne_gram.__file__).parent, 0
    for path in sorted(path for room in _ROOMS for path in root.glob(room)):
        for text in _list_messages(path):
            shown = [to_options(text, parser) for parser in parsers.values()]
            assert not all(map(_PYTHON.search, shown)), f"{path.name}: {text}"
            seen += bool(_PYTHON.search(text))
    assert seen > 20


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Return a file of eight seconds in which nothing is marked as bad."""
    raw = mne_gram.datasets.sample(verbose="error").crop(0, 8, include_tmax=False)
    raw.drop_channels(raw.info["bads"]).pick(raw.ch_names[::2]).set_annotations(None)
    path = tmp_path_factory.mktemp("clean") / "in_raw.fif"
    raw.save(path, fmt="double", verbose="error")
    return path


def test_log(clean, tmp_path, capsys):
    """Advice in the log and in the results names options; the logger is as before."""
    filters = list(mne.utils.logger.filters)
    assert main(["restore", str(clean), str(tmp_path / "out_raw.fif"), "--verbose"]) == 0
    assert (
        "Name bad channels with --bads, or detect them with --find-bads" in capsys.readouterr().err
    )
    assert mne.utils.logger.filters == filters
    assert main(["restore", str(clean), str(tmp_path / "b_raw.fif"), "--bads", "O1"]) == 0
    out = capsys.readouterr().out
    assert "set the average reference again" in " ".join(out.split())
    assert "fmt=" not in out and "inst." not in out
    assert main(["find-bads", str(clean), "--span-threshold", "0.5", "--verbose"]) == 0
    out, err = capsys.readouterr()
    assert "Nothing is marked yet: add --output or" in out and "report." not in out + err


@pytest.mark.filterwarnings("default")
def test_errors_and_warnings(clean, tmp_path, capsys):
    raw = mne_gram._files.read_inst(clean)
    raw._data[2] *= 1e3
    write_inst(raw, tmp_path / "in_raw.fif")
    args = ["restore", str(tmp_path / "in_raw.fif"), str(tmp_path / "out_raw.fif"), "--bads", "O1"]
    assert main([*args, "--method", "spatial"]) == 0
    err = capsys.readouterr().err
    assert "mne_gram: warning: Left out of the reference" in err
    assert "or name bad channels with --bads." in err and "info[" not in err
    assert main([*args, "--overwrite", "--method", "spline", "--output", "sample"]) == 1
    assert (
        "--method spline has no posterior to draw from: use --output mean"
        in capsys.readouterr().err
    )
    args = ["find-bads", str(clean), "--span-threshold", "-1"]
    assert main(args) == 1
    assert "--channel-threshold and --span-threshold must be positive" in capsys.readouterr().err
