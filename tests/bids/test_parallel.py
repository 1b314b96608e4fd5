# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Runs that are killed, that share the recordings, and that use several processes."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import joblib
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import mne_gram.models
from mne_gram import run_bids
from mne_gram._files import select_recordings
from mne_gram.bids import _parallel, _process
from mne_gram.bids._journal import Journal
from mne_gram.bids._lock import hold

ONE_THREAD = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
OPTIONS = dict(method="spatial", report=False, verbose="error", save_std=True)


def _read_results(folder):
    """Return the content of the recordings and sidecars of a derivative data set, by name."""
    paths = sorted(path for path in folder.glob("sub-*/eeg/*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Compute with one thread, as workers do; with more, the last bits may differ."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def expected(bids_source, tmp_path_factory):
    """Return the results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("expected") / "mne-gram"
    run_bids(bids_source, derivatives=folder, **OPTIONS)
    return _read_results(folder)


def _check(folder, expected):
    """Check that all files are there, and no others."""
    assert _read_results(folder) == expected
    private = folder / ".mne_gram"
    assert not list(private.glob("staging/*")) and not list(private.glob("locks/*"))
    assert not list(folder.rglob("new.*")) and not list(folder.rglob(".mne_gram-*"))


def _check_nothing_half_made(folder, *versions):
    """Check that each recording that a reader could open is complete and consistent."""
    found = _read_results(folder) if folder.exists() else {}
    for name in found:
        if name.endswith("_desc-restored_eeg.vhdr"):
            stem = name.removesuffix("_desc-restored_eeg.vhdr")
            own = _select(found, stem)
            assert own in [_select(version, stem) for version in versions]


def _select(results, start):
    return {name: content for name, content in results.items() if name.startswith(start)}


# Forks a child for each number of moves, which kills itself before that move; the processes that
# tests run in have threads, beside which one must not fork.
DIE = """
import os, pathlib, shutil, signal, sys
from mne_gram import run_bids
from mne_gram.bids import _journal

root, before, parent, step, options = sys.argv[1:]
replace, count = _journal._replace, 1
# All that is imported on use is imported here, once.
warm = pathlib.Path(parent) / "warm"
run_bids(root, derivatives=warm, subjects="02", **eval(options))
while count < 100:
    folder = pathlib.Path(parent) / f"out{count}"
    if pathlib.Path(before).exists():
        shutil.copytree(before, folder)
    pid = os.fork()
    if pid == 0:
        calls = []

        def die(*args):
            calls.append(args)
            if len(calls) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*args)

        _journal._replace = die
        run_bids(root, derivatives=folder, subjects="02", **eval(options))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != -signal.SIGKILL:
        sys.exit(code)
    count += int(step)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("is_first", [True, False])
def test_killed_before_each_move(bids_source, expected, tmp_path, is_first):
    """Killed at any step, with or without older results, a run leaves nothing half-made.

    The next run finishes, and removes what was left.
    """
    before, expected = tmp_path / "before", _select(expected, "sub-02")
    if not is_first:
        options = OPTIONS | dict(method="spline", save_std=False)
        run_bids(bids_source, derivatives=before, subjects="02", **options)
    old = _read_results(before)
    arguments = [bids_source, before, tmp_path, 2 if is_first else 3, repr(OPTIONS)]
    command = [sys.executable, "-c", DIE, *map(str, arguments)]
    subprocess.run(command, check=True, timeout=200, env=ONE_THREAD)
    folders = sorted(tmp_path.glob("out*"), key=lambda path: int(path.name[3:]))
    assert len(folders) * arguments[3] > len(expected) - 3  # positions may be there before
    for folder in folders[:-1]:
        _check_nothing_half_made(folder, old, expected)
    for folder in folders[:-1:4]:
        (row,) = run_bids(bids_source, derivatives=folder, subjects="02", **OPTIONS).rows
        assert row["status"] == "done"
        _check(folder, expected)
    _check(folders[-1], expected)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.slow
def test_killed_process(bids_source, expected, tmp_path):
    """Recordings of a killed run are completed by the next run."""
    folder = tmp_path / "out"
    code = (
        "import mne_gram, sys\n"
        f"mne_gram.run_bids(sys.argv[1], derivatives=sys.argv[2], **{OPTIONS!r})"
    )
    command = [sys.executable, "-c", code, str(bids_source), str(folder)]
    process = subprocess.Popen(command, env=ONE_THREAD)
    records = folder / ".mne_gram" / "records"
    until = time.monotonic() + 60
    while not list(records.glob("*.json")) and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    _check_nothing_half_made(folder, expected)
    report = run_bids(bids_source, derivatives=folder, **OPTIONS)
    assert {row["status"] for row in report.rows} <= {"done", "skipped"}
    assert "done" in [row["status"] for row in report.rows]
    _check(folder, expected)


def test_interrupt_is_no_failure(bids_source, tmp_path, monkeypatch):
    """Ctrl-C ends the run and leaves no partial files; the next run resumes."""

    def interrupt(*args):
        raise KeyboardInterrupt

    folder = tmp_path / "out"
    monkeypatch.setitem(_process.JOB_FUNCTIONS, "restore", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_bids(bids_source, derivatives=folder, **OPTIONS)
    assert not list((folder / ".mne_gram").glob("*/*"))
    monkeypatch.undo()
    assert run_bids(bids_source, derivatives=folder, runs=2, **OPTIONS).failures == []


def test_busy(bids_source, tmp_path):
    """A recording that another run is processing is skipped, and is not a failure."""
    folder = tmp_path / "out"
    recording = _find(bids_source)[1]
    with hold(Journal(folder).get_lock_path(recording, "restore")):
        report = run_bids(bids_source, derivatives=folder, **OPTIONS)
    assert [row["status"] for row in report.rows] == ["done", "busy", "done"]
    assert report.failures == [] and "1 busy" in report.summary
    report = run_bids(bids_source, derivatives=folder, **OPTIONS)
    assert [row["status"] for row in report.rows] == ["skipped", "done", "skipped"]


def _find(root):
    return select_recordings(root, {})


@pytest.mark.slow
def test_two_runs_share_the_work(bids_source, expected, tmp_path):
    """Two simultaneous runs process each recording once."""
    folder, reports = tmp_path / "out", []

    def run():
        reports.append(run_bids(bids_source, derivatives=folder, **OPTIONS))

    # The shares of two machines, and a third one that wants all of it.
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "mne_gram", "bids", str(bids_source)),
                *("--derivatives", str(folder), "--method", "spatial", "--no-report", "--std"),
                *("--shard", shard),
            ],
            env=ONE_THREAD,
        )
        for shard in ("1/2", "2/2")
    ]
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(200)
    assert [process.wait() for process in processes] == [0, 0]
    assert reports[0].failures == []
    _check(folder, expected)


@pytest.mark.slow
def test_same_with_two_processes(bids_source, expected, tmp_path):
    """Results of joblib processes are equal to the bit."""
    folder = tmp_path / "out"
    report = run_bids(bids_source, derivatives=folder, n_jobs=2, **OPTIONS)
    assert [row["status"] for row in report.rows] == ["done"] * 3
    _check(folder, expected)


def test_threads_of_the_caller_stay(bids_source, tmp_path, monkeypatch):
    """The number of threads is unchanged in the caller's process and one in others."""
    import torch

    seen, n_threads = [], torch.get_num_threads()

    def look(recording, settings):
        seen.append((torch.get_num_threads(), {p["num_threads"] for p in threadpool_info()}))
        return dict(recording=recording.path.as_posix(), status="skipped", seconds=0.0, job="embed")

    monkeypatch.setattr(_parallel, "process_recording", look)
    with threadpool_limits(2):
        before = torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()}
        run_bids(bids_source, derivatives=tmp_path / "out", job="embed", subjects="02")
        with joblib.parallel_config("threading"):
            run_bids(
                bids_source, derivatives=tmp_path / "out", job="embed", subjects="02", n_jobs=2
            )
        after = torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()}
    assert seen[0] == before == after and before[1] == {2}
    try:
        recording, settings = _find(bids_source)[0], type("S", (), dict(uses_network=True))
        _parallel._process_in_worker(recording, settings, ("elsewhere", 1))
        assert seen[-1] == (1, {1})
    finally:
        torch.set_num_threads(n_threads)


def test_model_is_loaded_once(bids_source, tmp_path, monkeypatch):
    """A process loads the model once for all recordings."""
    calls, load = [], mne_gram.models.load_model
    monkeypatch.setattr(
        mne_gram.models, "load_model", lambda *a, **k: (calls.append(a), load(*a, **k))[1]
    )
    report = run_bids(bids_source, derivatives=tmp_path / "out", job="tokens", report=False)
    assert report.failures == [] and len(calls) == 1


@pytest.mark.slow
def test_dask(bids_source, expected, tmp_path):
    """Results of two processes of a dask cluster are equal to the bit."""
    distributed = pytest.importorskip("distributed")
    folder = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster:
            with distributed.Client(cluster), joblib.parallel_config("dask"):
                report = run_bids(bids_source, derivatives=folder, n_jobs=-1, **OPTIONS)
    assert [row["status"] for row in report.rows] == ["done"] * 3
    _check(folder, expected)


def test_time_left():
    """The log line of a recording has the progress and the remaining time."""
    clock = _parallel._Clock(3)
    row = dict(recording="sub-01/eeg/a_eeg.vhdr", status="skipped", job="restore", seconds=0.0)
    assert clock.describe(row) == "[1/3] a_eeg.vhdr: up to date"
    clock._start -= 10
    row.update(status="failed", why="it broke")
    assert clock.describe(row) == "[2/3] a_eeg.vhdr: failed, it broke, 0:00:10 left"
    row.update(status="done", channels=[{}, {}], expected_r=0.9, seconds=5.0)
    assert clock.describe(row) == "[3/3] a_eeg.vhdr: 2 channels restored (expected r 0.90), 5.0 s"
