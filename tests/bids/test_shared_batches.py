# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings that share batches on one device: the same results and the same guarantees.

No accelerator is needed: the runs are forced to share batches, on the CPU.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path

import joblib
import mne
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram import run_bids
from mne_gram._files import select_recordings, write_inst
from mne_gram.bids import _encode, _parallel, _process, _shared_batches
from mne_gram.bids._journal import Journal
from mne_gram.bids._lock import hold
from mne_gram.bids._settings import Settings
from mne_gram.models import Gram

ATOL = 2e-5  # other batches add up in another order, in float32; vectors are of the order of 1
N_SUBJECTS = 6
# Two windows of 2 s and one of 1 s each, in batches of four.
OPTIONS = dict(job="embed", window=2, batch_size=4, report=False, verbose="error")
NAMES = "FC5 FC1 FC2 C3 Cz C4 CP2 Fp1 Fp2 Fz P3 Pz P4 O1 O2".split()
ONE_THREAD = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class _Inline:
    """A pool that runs and counts its tasks immediately, in this process."""

    def __init__(self):
        self.n_read = 0

    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        self.n_read += 1
        return future


@pytest.fixture
def together(monkeypatch):
    """Force recordings to share batches, read in this process; return the pool of readers."""
    pool = _Inline()
    monkeypatch.setattr(_parallel, "_share_batches", lambda settings: True)
    monkeypatch.setattr(_shared_batches, "_start_readers", lambda n_jobs: nullcontext(pool))
    return pool


@pytest.fixture
def calls(monkeypatch):
    """Return a list to which each call of the encoder adds the shape of the mask."""
    shapes, run = [], Gram.encode

    def count(self, x, channels, mask=None):
        shapes.append(tuple(mask.shape))
        return run(self, x, channels, mask)

    monkeypatch.setattr(Gram, "encode", count)
    return shapes


def _write_recordings(root, n_subjects, seconds=5.0, names=NAMES):
    """Write a data set with one short recording per subject."""
    import mne_bids

    sample = mne_gram.datasets.sample(verbose="error")
    sample.info["line_freq"] = 50.0
    sample.set_annotations(None)
    for k in range(n_subjects):
        start = 1.5 * k % 10
        raw = sample.copy().crop(start, start + seconds, include_tmax=False)
        raw.pick(names)
        path = mne_bids.BIDSPath(root=root, subject=f"{k + 1:02}", task="rest", datatype="eeg")
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="BrainVision", overwrite=True, verbose="error"
        )
    return root


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a data set of six recordings of 5 s."""
    return _write_recordings(tmp_path_factory.mktemp("short") / "data", N_SUBJECTS)


@pytest.fixture
def copy(source, tmp_path):
    """Return a copy of it that can be changed."""
    return Path(shutil.copytree(source, tmp_path / "data"))


@pytest.fixture(scope="module")
def one_by_one(source, tmp_path_factory):
    """Return the report of a run in which each recording is encoded separately."""
    return run_bids(source, derivatives=tmp_path_factory.mktemp("alone") / "out", **OPTIONS)


def _read(folder, kind="embedding"):
    """Return the feature sets of a derivative data set, by subject."""
    read = dict(embedding=mne_gram.read_embedding, tokens=mne_gram.read_tokens)[kind]
    return {path.name[:6]: read(path) for path in sorted(folder.glob(f"sub-*/eeg/*_{kind}.npz"))}


def _check_same(folder, other, kind="embedding", atol=ATOL):
    """Check that the results of two runs are equal up to rounding in float32."""
    made, expected = _read(folder, kind), _read(other, kind)
    assert list(made) == list(expected) != []
    for name, one in expected.items():
        assert_allclose(made[name].data, one.data, rtol=0, atol=atol)
        assert_array_equal(made[name].good, one.good)
        assert repr(made[name]) == repr(one)
        for field in ("ch_names", "first_time", "model", "sha256"):
            assert getattr(made[name], field) == getattr(one, field)
        assert_array_equal(made[name].onsets, one.onsets)
    for path in sorted(other.glob("sub-*/eeg/*.json")):
        assert (folder / path.relative_to(other)).read_bytes() == path.read_bytes()


def _check_clean(folder):
    """Check that no temporary files are left."""
    private = folder / ".mne_gram"
    assert not list(private.glob("staging/*")) and not list(private.glob("locks/*"))


def _get_statuses(report):
    return [row["status"] for row in report.rows]


# ---------------------------------------------------------------------------------------------
# Values and batches


def test_batches_across_recordings(source, one_by_one, together, calls, tmp_path):
    """Eighteen windows are five batches instead of six, with the same rows and values."""
    report = run_bids(source, derivatives=tmp_path / "out", **OPTIONS)
    assert [shape[0] for shape in calls] == [4, 4, 4, 4, 2]
    assert _get_statuses(report) == ["done"] * N_SUBJECTS
    for row, expected in zip(report.rows, one_by_one.rows, strict=True):
        assert row.keys() == expected.keys()
        times = ("seconds", "compute_seconds")
        assert {k: row[k] for k in row if k not in times} == {
            k: expected[k] for k in expected if k not in times
        }
        assert 0 < row["compute_seconds"] == row["seconds"]
    _check_same(report.folder, one_by_one.folder)
    _check_clean(report.folder)
    assert "[6/6]" in report.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("pool", ["mean", "channels", "times", "patches"])
def test_pools(source, together, tmp_path, monkeypatch, pool):
    """The values of all poolings are the same too, with windows longer than the network allows."""
    options = OPTIONS | dict(pool=pool, window=None, subjects=["01", "02"])
    report = run_bids(source, derivatives=tmp_path / "out", **options)
    monkeypatch.undo()
    run_bids(source, derivatives=tmp_path / "alone", **options)
    _check_same(report.folder, tmp_path / "alone")


def test_tokens(source, together, tmp_path, monkeypatch):
    """Tokens are the same, except where two classes are equally near up to rounding."""
    options = OPTIONS | dict(job="tokens")
    report = run_bids(source, derivatives=tmp_path / "out", **options)
    monkeypatch.undo()
    run_bids(source, derivatives=tmp_path / "alone", **options)
    made, expected = (_read(path, "tokens") for path in (report.folder, tmp_path / "alone"))
    same = np.concatenate([made[k].data.ravel() == expected[k].data.ravel() for k in expected])
    assert len(same) == N_SUBJECTS * 3 * 2 * len(made["sub-01"].ch_names) and same.mean() > 0.999


def test_montages_and_lengths(copy, together, calls, tmp_path, monkeypatch):
    """Recordings with another montage or shorter windows have separate batches."""
    _write_recordings(copy, 2, names=["Fz", "Cz", "Pz", "C3", "C4", "P3", "P4", "O1"])
    short = _write_recordings(copy.parent / "shorter", 3, seconds=1.5)
    shutil.rmtree(copy / "sub-03")
    shutil.copytree(short / "sub-03", copy / "sub-03")
    report = run_bids(copy, **OPTIONS)
    n_channels = len(report.rows[-1]["shape"]) and report.rows[-1]["n_channels"]
    assert Counter(calls) == {
        (4, 8, 2): 1,
        (2, 8, 2): 1,
        (1, n_channels, 1): 1,
        (4, n_channels, 2): 2,
        (1, n_channels, 2): 1,
    }
    monkeypatch.undo()
    run_bids(copy, derivatives=tmp_path / "alone", **OPTIONS)
    _check_same(report.folder, tmp_path / "alone")


def test_epochs(copy, together, tmp_path, monkeypatch):
    """Epochs are windows already; they and their recording have separate results."""
    stem = copy / "sub-01" / "eeg" / "sub-01_task-rest"
    raw = mne.io.read_raw_brainvision(f"{stem}_eeg.vhdr", preload=True, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 1.0, preload=True, verbose="error")
    epochs.info["bads"] = ["CP2"]
    epochs.save(f"{stem}_desc-clean_epo.fif", verbose="error")
    options = OPTIONS | dict(subjects=["01", "02"])
    report = run_bids(copy, **options)
    assert _get_statuses(report) == ["done"] * 3
    assert [row["n_windows"] for row in report.rows] == [5, 3, 3]
    monkeypatch.undo()
    run_bids(copy, derivatives=tmp_path / "alone", **options)
    for name in ("sub-01_task-rest_desc-gramEpochs", "sub-01_task-rest_desc-gram"):
        made, expected = (
            mne_gram.read_embedding(folder / "sub-01" / "eeg" / f"{name}_embedding.npz")
            for folder in (report.folder, tmp_path / "alone")
        )
        assert_allclose(made.data, expected.data, rtol=0, atol=ATOL)
        assert (made.events is None) is ("Epochs" not in name)
        assert_array_equal(made.onsets, expected.onsets)


def test_found_bads(copy, together, tmp_path):
    """Detected bad channels and segments are masked, and reported."""
    table = copy / "sub-01" / "eeg" / "sub-01_task-rest_eeg.vhdr"
    raw = mne.io.read_raw_brainvision(table, preload=True, verbose="error")
    raw._data[raw.ch_names.index("Cz")] = 0.0
    write_inst(raw, table, overwrite=True)
    report = run_bids(copy, find_bads=True, **OPTIONS | dict(subjects="01"))
    assert report.rows[0]["found"]["channels"]["Cz"] == "flat"
    assert (_read(report.folder)["sub-01"].good < 1).all()


def test_bound_of_memory(source, together, tmp_path, monkeypatch):
    """At most n_jobs + 1 recordings, and those of two batches, are read but not yet encoded."""
    ahead, encoder = [], _shared_batches.JointEncoder

    class Spy(encoder):
        n_taken = 0

        def add(self, *args):
            ahead.append(together.n_read - self.n_taken)
            type(self).n_taken += 1
            waiting = sum(len(batch.parts) for batch in self._batches.values())
            assert waiting < OPTIONS["batch_size"]
            return super().add(*args)

    monkeypatch.setattr(_shared_batches, "JointEncoder", Spy)
    run_bids(source, derivatives=tmp_path / "out", n_jobs=2, **OPTIONS)
    assert len(ahead) == N_SUBJECTS and max(ahead) == 3
    ahead.clear()
    Spy.n_taken, together.n_read = 0, 0
    run_bids(source, derivatives=tmp_path / "one", n_jobs=1, **OPTIONS)
    assert max(ahead) == 2


# ---------------------------------------------------------------------------------------------
# Failures


def test_broken_recording_among_them(copy, one_by_one, together, calls):
    """A recording that cannot be read fails; the others share batches as without it."""
    header = copy / "sub-03" / "eeg" / "sub-03_task-rest_eeg.vhdr"
    text = header.read_text(encoding="utf-8")
    header.write_text(text[:60], encoding="utf-8")
    report = run_bids(copy, **OPTIONS)
    assert _get_statuses(report) == ["done", "done", "failed", "done", "done", "done"]
    (row,) = report.failures
    assert "cannot be read" in row["why"] and "Traceback" in report.log.read_text(encoding="utf-8")
    assert [shape[0] for shape in calls] == [4, 4, 4, 3]
    _check_clean(report.folder)
    with pytest.raises(RuntimeError, match="sub-03.*failed"):
        run_bids(copy, on_error="raise", **OPTIONS)
    _check_clean(report.folder)
    header.write_text(text, encoding="utf-8")
    report = run_bids(copy, **OPTIONS)
    assert _get_statuses(report) == ["skipped", "skipped", "done", *["skipped"] * 3]
    assert report.rows[2]["why"] == "it failed before"
    _check_same(report.folder, one_by_one.folder)


def _break(monkeypatch, is_broken):
    """Make the network fail on some batches."""
    run = _encode.encode_windows

    def encode(model, x, *args, **kwargs):
        if is_broken(x):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return run(model, x, *args, **kwargs)

    monkeypatch.setattr(_encode, "encode_windows", encode)


def test_memory_of_the_device_runs_out(source, one_by_one, together, tmp_path, monkeypatch):
    """Batches that are too large are encoded recording by recording, which is reported."""
    _break(monkeypatch, lambda x: len(x) > 3)
    report = run_bids(source, derivatives=tmp_path / "out", **OPTIONS)
    assert _get_statuses(report) == ["done"] * N_SUBJECTS
    notes = [note for row in report.rows for note in row["notes"]]
    notes = [note for note in notes if "Encoded separately" in note]
    assert notes and "CUDA out of memory" in notes[0]
    assert "CUDA out of memory" in report.log.read_text(encoding="utf-8")
    _check_same(report.folder, one_by_one.folder)


def test_only_the_guilty_fails(source, one_by_one, together, tmp_path, monkeypatch):
    """A recording on which the network fails does not affect those that share its batches."""
    recording = select_recordings(source, dict(subjects="03"))[0]
    settings = Settings(folder=tmp_path / "out", job="embed", window=2, batch_size=4)
    with pytest.warns(RuntimeWarning, match="high-pass"):
        windows, _, _ = _encode.read_windows(recording, settings, tmp_path)
    mark = windows.cuts.cut(2)[0][1, 0, 0]  # of its second window
    _break(monkeypatch, lambda x: (x[:, 0, 0] == mark).any())
    report = run_bids(source, derivatives=tmp_path / "out", **OPTIONS)
    assert _get_statuses(report) == ["done", "done", "failed", "done", "done", "done"]
    assert "CUDA out of memory" in report.failures[0]["why"]
    made = _read(report.folder)
    assert "sub-03" not in made and not (report.folder / "sub-03").exists()
    for name, one in made.items():
        assert_allclose(one.data, _read(one_by_one.folder)[name].data, rtol=0, atol=ATOL)
    _check_clean(report.folder)


def test_device_that_is_not_there(source, tmp_path, monkeypatch):
    """Each recording reports a missing device, and those up to date are skipped anyway."""
    monkeypatch.setattr(_shared_batches, "_start_readers", lambda n_jobs: nullcontext(_Inline()))
    folder = tmp_path / "out"
    run_bids(source, derivatives=folder, subjects="01", **OPTIONS)
    report = run_bids(source, derivatives=folder, subjects=["01", "02"], device="xpu", **OPTIONS)
    assert _get_statuses(report) == ["skipped", "failed"]
    assert "xpu" in report.failures[0]["why"].lower()


def test_disk_is_full(source, together, tmp_path, monkeypatch):
    """If the disk is full, recordings fail and leave no partial files."""

    def fill(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mne_gram.Embedding, "save", fill)
    report = run_bids(source, derivatives=tmp_path / "out", **OPTIONS)
    assert _get_statuses(report) == ["failed"] * N_SUBJECTS
    assert "No space left" in report.rows[0]["why"] and not _read(report.folder)
    _check_clean(report.folder)
    monkeypatch.undo()
    assert _get_statuses(run_bids(source, derivatives=tmp_path / "out", **OPTIONS)) == (
        ["done"] * N_SUBJECTS
    )


def test_file_that_came_meanwhile(source, together, tmp_path, monkeypatch):
    """A foreign file that appeared while the recording waited is not replaced."""
    name = "sub-01_task-rest_desc-gram_embedding.npz"
    path, run = tmp_path / "out" / "sub-01" / "eeg" / name, _encode.encode_windows

    def encode(*args, **kwargs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious", encoding="utf-8")
        return run(*args, **kwargs)

    monkeypatch.setattr(_encode, "encode_windows", encode)
    report = run_bids(source, derivatives=tmp_path / "out", **OPTIONS | dict(subjects="01"))
    assert "already exists" in report.failures[0]["why"]
    assert path.read_text(encoding="utf-8") == "precious"


def test_busy_and_done(source, together, calls, tmp_path):
    """Recordings are skipped if busy or up to date, and processed again if changed."""
    folder = tmp_path / "out"
    recording = select_recordings(source, {})[1]
    with hold(Journal(folder).get_lock_path(recording, "embed")):
        report = run_bids(source, derivatives=folder, **OPTIONS)
        assert _get_statuses(report) == ["done", "busy", *["done"] * 4]
    calls.clear()
    left = folder / ".mne_gram" / "staging" / "sub-01_task-rest_eeg.embed"
    left.mkdir()  # by a run that was killed after its last move
    report = run_bids(source, derivatives=folder, **OPTIONS)
    assert _get_statuses(report) == ["skipped", "done", *["skipped"] * 4] and not left.exists()
    assert [shape[0] for shape in calls] == [3]
    report = run_bids(source, derivatives=folder, **OPTIONS | dict(pool="mean"))
    assert {row["why"] for row in report.rows} == {"the parameters changed"}
    report = run_bids(source, derivatives=folder, overwrite=True, **OPTIONS | dict(pool="mean"))
    assert {row["why"] for row in report.rows} == {"overwritten"}


# ---------------------------------------------------------------------------------------------
# Interruptions


def test_interrupt(source, one_by_one, together, tmp_path, monkeypatch):
    """Ctrl-C leaves only finished recordings, and the next run resumes."""
    folder, n_calls, run = tmp_path / "out", [], _encode.encode_windows

    def interrupt(*args, **kwargs):
        n_calls.append(1)
        if len(n_calls) == 3:
            raise KeyboardInterrupt
        return run(*args, **kwargs)

    monkeypatch.setattr(_encode, "encode_windows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_bids(source, derivatives=folder, **OPTIONS)
    _check_clean(folder)
    assert len(_read(folder)) == 2  # which were in the first two batches
    monkeypatch.setattr(_encode, "encode_windows", run)
    report = run_bids(source, derivatives=folder, **OPTIONS)
    assert sorted(_get_statuses(report)) == ["done"] * 4 + ["skipped"] * 2
    _check_same(folder, one_by_one.folder)


def test_interrupted_while_reading(source, together, tmp_path, monkeypatch):
    """A large recording that is being read leaves no temporary files either."""

    def interrupt(inst, folder):
        (folder / "samples.dat").touch()
        assert folder.name == "sub-01_task-rest_eeg.embed.reading"
        monkeypatch.setattr(_process, "remove_tree", lambda *args, **kwargs: None)  # as if killed
        raise KeyboardInterrupt

    rmtree = _process.remove_tree
    monkeypatch.setattr(_encode, "loaded", interrupt)
    give_up = _shared_batches._Pipeline.give_up
    monkeypatch.setattr(
        _shared_batches._Pipeline,
        "give_up",
        lambda run: (monkeypatch.setattr(_process, "remove_tree", rmtree), give_up(run)),
    )
    with pytest.raises(KeyboardInterrupt):
        run_bids(source, derivatives=tmp_path / "out", **OPTIONS)
    _check_clean(tmp_path / "out")


# Forks runs that kill themselves before a certain move of a file; each reads in its own process,
# and encodes together.
DIE = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
import torch
from mne_gram import run_bids
from mne_gram.bids import _journal, _parallel, _shared_batches

root, folder, counts, options = sys.argv[1:]
replace, calls = _journal._replace, []

def die(path, target):
    if "sub-" in str(target):
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
    replace(path, target)

_journal._replace = die
_parallel._share_batches = lambda settings: True
_shared_batches._start_readers = lambda n_jobs: ThreadPoolExecutor(1)
for count in eval(counts):
    pid = os.fork()
    if not pid:
        run_bids(root, derivatives=f"{folder}/{count}", **eval(options))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed(source, one_by_one, together, tmp_path):
    """A run killed at any step leaves no partial results, and the next one completes them."""
    arguments = [source, tmp_path, (1, 7, 12), repr(OPTIONS | dict(n_jobs=2))]
    command = [sys.executable, "-c", DIE, *map(str, arguments)]
    subprocess.run(command, check=True, timeout=200, env=ONE_THREAD)
    for folder in (tmp_path / "1", tmp_path / "7", tmp_path / "12"):
        for path in folder.glob("sub-*/eeg/*.npz"):  # each can be read, and has its sidecar
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            assert about["Shape"] == list(mne_gram.read_embedding(path).data.shape)
        report = run_bids(source, derivatives=folder, **OPTIONS)
        assert set(_get_statuses(report)) <= {"done", "skipped"}
        assert "done" in _get_statuses(report)
        _check_same(folder, one_by_one.folder)
        _check_clean(folder)


# ---------------------------------------------------------------------------------------------
# Processes and devices


def test_processes(copy, one_by_one, tmp_path, monkeypatch):
    """Other processes read, this one has the network; a broken recording is reported too."""
    monkeypatch.setattr(_parallel, "_share_batches", lambda settings: True)
    path = copy / "sub-06" / "eeg" / "sub-06_task-rest_eeg.eeg"
    path.write_bytes(path.read_bytes()[:100])
    report = run_bids(copy, derivatives=tmp_path / "out", n_jobs=2, **OPTIONS)
    assert _get_statuses(report) == ["done"] * 5 + ["failed"]
    shutil.rmtree(one_by_one.folder.parent / "kept", ignore_errors=True)
    kept = shutil.copytree(one_by_one.folder, tmp_path / "kept")
    shutil.rmtree(kept / "sub-06")
    _check_same(report.folder, kept)
    _check_clean(report.folder)


def _die(recording, settings):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_reader_is_killed(source, tmp_path, monkeypatch):
    """If a reader process is killed, the run ends with what to do."""
    monkeypatch.setattr(_parallel, "_share_batches", lambda settings: True)
    monkeypatch.setattr(_shared_batches, "_read", _die)
    with pytest.raises(RuntimeError, match="was killed.*smaller n_jobs"):
        run_bids(source, derivatives=tmp_path / "out", **OPTIONS)
    _check_clean(tmp_path / "out")


@pytest.mark.parametrize(
    ("job", "device", "expected"),
    [
        ("embed", None, False),
        ("embed", "cpu", False),
        ("embed", "cpu:0", False),
        ("embed", "cuda", True),
        ("tokens", "cuda:1", True),
        ("tokens", "mps", True),
        ("restore", "cuda", False),
    ],
)
def test_when_together(tmp_path, job, device, expected):
    """Batches are shared on accelerators, by the jobs that only need the network."""
    settings = Settings(folder=tmp_path, job=job, device=device)
    assert _parallel._share_batches(settings) is expected
    with joblib.parallel_config("threading"):
        assert not _parallel._share_batches(settings)


def test_number_of_readers(source, tmp_path, monkeypatch):
    """There are n_jobs readers, at most one per recording."""
    numbers = []

    @contextmanager
    def start(n_jobs):
        numbers.append(n_jobs)
        yield _Inline()

    monkeypatch.setattr(_parallel, "_share_batches", lambda settings: True)
    monkeypatch.setattr(_shared_batches, "_start_readers", start)
    for n_jobs, kwargs in ((1, {}), (3, {}), (9, {}), (4, dict(subjects="01")), (2, {})):
        run_bids(source, derivatives=tmp_path / "out", n_jobs=n_jobs, **OPTIONS | kwargs)
    assert numbers == [1, 3, 6, 1, 2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("job", ["embed", "tokens"])
def test_on_a_gpu(source, one_by_one, calls, tmp_path, job):
    """The results are the same on CUDA, in the precision of its matrix products."""
    options = OPTIONS | dict(job=job)
    report = run_bids(source, derivatives=tmp_path / "out", device="cuda", n_jobs=2, **options)
    assert _get_statuses(report) == ["done"] * N_SUBJECTS
    if job == "embed":
        assert [shape[0] for shape in calls] == [4, 4, 4, 4, 2]
        return _check_same(report.folder, one_by_one.folder, atol=1e-3)
    run_bids(source, derivatives=tmp_path / "alone", **options)
    made, expected = (_read(path, "tokens") for path in (report.folder, tmp_path / "alone"))
    same = np.concatenate([made[k].data.ravel() == expected[k].data.ravel() for k in expected])
    assert same.mean() > 0.99
