# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Commands whose output cannot be written, or is not read: what they say, and what they leave."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

import mne_gram
from mne_gram._commands._main import _get_line, main
from mne_gram._formats import UnwritableError, staged

resource = pytest.importorskip("resource", reason="Windows has no limits of this kind.")


@contextmanager
def small_files(limit):
    """Let every file that grows beyond some bytes fail, like on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a recording of eight seconds with bad channels."""
    names = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 CP2 P7 P3 Pz P4 P8 O1 O2".split()
    raw = mne_gram.datasets.sample(verbose="error").pick(names).crop(0, 8, include_tmax=False)
    path = tmp_path_factory.mktemp("source") / "in_raw.fif"
    raw.save(path, fmt="double", verbose="error")
    return path


COMMANDS = {
    "fif": ["restore", "IN", "OUT/a_raw.fif", "--method", "spatial"],
    "vhdr": ["restore", "IN", "OUT/a.vhdr", "--method", "spatial"],
    "edf": ["restore", "IN", "OUT/a.edf", "--method", "spatial"],
    "figure": ["restore", "IN", "OUT/a_raw.fif", "--method", "spatial", "--figure", "OUT/a.png"],
    "embed": ["embed", "IN", "OUT/a.npz", "--window", "1", "--pool", "patches"],
    "table": ["embed", "IN", "OUT/a.csv", "--window", "1", "--pool", "patches"],
    "tokens": ["tokens", "IN", "OUT/a.csv", "--window", "1"],
    "find-bads": ["find-bads", "IN", "--output", "OUT/a_raw.fif"],
    "prepare": ["pretrain", "prepare", "--file", "IN", "--out", "OUT/corpus"],
}


def run(args, source, folder):
    """Run a command with the names of its files filled in."""
    names = {"IN": str(source), "OUT": str(folder)}
    return main([names.get(a, a.replace("OUT/", f"{folder}/")) for a in args])


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.filterwarnings("ignore:A high-pass at 0.1 Hz:RuntimeWarning")
def test_full_disk(source, tmp_path, capsys, name):
    """The error says which folder is full and what to do; no half file is left."""
    with small_files(1000):
        assert run(COMMANDS[name], source, tmp_path) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("mne_gram: error: ") and "[Errno" not in line
    assert str(tmp_path) in line and ".mne_gram-" not in line
    assert os.strerror(errno.EFBIG) in line or os.strerror(errno.ENOSPC) in line
    assert "another folder" in line or "Make space" in line
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in left if path.stat().st_size > 1000 or path.name[0] == "."] == []
    if name != "prepare":
        assert left == []


@pytest.mark.parametrize("name", ["fif", "embed", "tokens", "find-bads"])
def test_read_only_disk(source, tmp_path, capsys, name, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert run(COMMANDS[name], source, tmp_path) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert f"{tmp_path} cannot be written to: Read-only file system. " in line
    assert "another folder" in line and "[Errno" not in line


def test_errors_of_the_system_have_no_number():
    """Their text may say more than that of the system."""
    assert _get_line(OSError(28, "The log is full. Make room", "log.csv")) == (
        "The log is full. Make room: log.csv"
    )
    assert _get_line(OSError(13, "Permission denied")) == "Permission denied."


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError("4096 requested and 0 written"),  # NumPy
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_reasons(tmp_path, error):
    """However a library reports a full disk, it is one kind of error."""
    with pytest.raises(UnwritableError, match=f"{tmp_path} .*: No space left.*another folder"):
        with staged(tmp_path / "a", False):
            raise error
    with pytest.raises(UnwritableError) as caught:
        with staged(tmp_path / "a", False), staged(tmp_path / "b", False):
            raise error
    assert caught.value.errno == errno.ENOSPC and str(caught.value).count("No space") == 1
    with pytest.raises(ValueError, match="other"):
        with staged(tmp_path / "a", False):
            raise ValueError("other")


@pytest.mark.parametrize(
    "args",
    [
        ["restore", "IN", "OUT/a.xyz"],
        ["restore", "IN", "OUT/a.cnt"],
        ["restore", "IN", "OUT/a.FIF"],
        ["find-bads", "IN", "--output", "OUT/a.txt"],
        ["embed", "IN", "OUT/a.fif"],
        ["tokens", "IN", "OUT/a"],
    ],
)
def test_wrong_suffixes_are_wrong_arguments(source, tmp_path, capsys, args):
    with pytest.raises(SystemExit) as caught:
        run(args, source, tmp_path)
    assert caught.value.code == 2
    assert "does not end in ." in capsys.readouterr().err


def test_epochs_to_another_format_are_wrong_arguments(source, tmp_path, capsys):
    raw = mne_gram._files.read_inst(source)
    path = tmp_path / "in-epo.fif"
    import mne

    mne.make_fixed_length_epochs(raw, 2.0, preload=True).save(path, verbose="error")
    for args in (["restore", "IN", "OUT/a.edf"], ["find-bads", "IN", "--output", "OUT/a.vhdr"]):
        with pytest.raises(SystemExit) as caught:
            run(args, path, tmp_path)
        assert caught.value.code == 2
        assert "-epo.fif" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["weights", "list"], ["find-bads", "IN", "--json"]])
def test_a_reader_that_goes_away_is_no_error(source, args):
    """As in ``mne_gram find-bads ... --json | head -1``."""
    command = [sys.executable, "-m", "mne_gram", *(str(source) if a == "IN" else a for a in args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141 and "Broken pipe" not in error and "Exception" not in error


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"is empty\. .*datalad get"),
        (b"/annex/objects/MD5E-s1--0.fif\n", r"is a pointer of git-annex.*datalad get"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            r"is a pointer of Git LFS.*git lfs pull",
        ),
        (None, r"is a link to a file that is missing\. .*datalad get"),
    ],
)
@pytest.mark.parametrize("name", ["a_raw.fif", "a.edf", "a.vhdr", "a.set", "eeg of .vhdr"])
def test_content_that_was_not_fetched(source, tmp_path, name, content, text):
    """Data sets are often fetched without the content of their files."""
    path = tmp_path / name
    if name.startswith("eeg"):
        path = tmp_path / "b.vhdr"
        raw = mne_gram._files.read_inst(source)
        mne_gram._files.write_inst(raw, path)
        path.with_suffix(".eeg").unlink()
    missing = path.with_suffix(".eeg") if name.startswith("eeg") else path
    if content is None:
        missing.symlink_to(tmp_path / ".git" / "annex" / "nothing")
    else:
        missing.write_bytes(content)
    with pytest.raises((FileNotFoundError, RuntimeError), match=f"{missing.name} {text}"):
        mne_gram._files.read_inst(path, preload=False)
