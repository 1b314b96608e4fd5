# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The prior of a data set: made once, kept, shared by machines, and never trusted when read."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest

import mne_gram
from mne_gram import run_bids
from mne_gram._files import select_recordings
from mne_gram.bids import _library, _prior, _prior_files
from mne_gram.bids._cohort import read_record
from mne_gram.covariance import N_BANDS, _prior_file, load_prior

VALIDATOR = shutil.which("bids-validator-deno")
CHANNELS = ["Fp1", "F3", "C3", "P3", "O1", "F7", "T7", "Fz", "Cz", "Pz", "F4", "C4", "P4", "O2"]


@lru_cache
def load_few():
    """Return a part of the bundled prior, which takes less time to be extended."""
    prior = load_prior()
    kept = slice(0, None, len(prior.recordings) // 10)
    return replace(prior, weights=prior.weights[kept], recordings=prior.recordings[kept])


@pytest.fixture(scope="module", autouse=True)
def few():
    """Add cohorts to a part of the bundled library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_prior, "load_prior", load_few)
        yield


def _write(root, subject, run="01", *, bads=("C3",), start=0.0, session=None):
    """Write six seconds of the sample recording as a recording of a data set."""
    raw = mne_gram.datasets.sample(verbose="error").pick(CHANNELS).crop(start, start + 6)
    raw.set_annotations(None)
    raw.info.update(bads=list(bads), line_freq=50.0)
    path = mne_bids.BIDSPath(
        root=root, subject=subject, session=session, task="rest", run=run, datatype="eeg"
    )
    mne_bids.write_raw_bids(raw, path, allow_preload=True, format="BrainVision", verbose="error")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a data set of three subjects with one recording each, and two of the first."""
    root = tmp_path_factory.mktemp("cohort") / "data"
    _write(root, "01")
    _write(root, "01", "02", bads=(), start=3.0)
    _write(root, "02", bads=("Pz", "O1"), start=5.0)
    _write(root, "03", start=7.0)
    return root


@pytest.fixture
def root(source, tmp_path):
    """Return a copy of the data set, to write to."""
    return Path(shutil.copytree(source, tmp_path / "data"))


def _run(root, **kwargs):
    """Run with the fastest method and without figures."""
    return run_bids(root, **(dict(method="spatial", report=False, verbose="error") | kwargs))


def _get_statuses(report):
    return [row["status"] for row in report.rows]


def _read(folder):
    """Return the prior of a folder and its sidecar."""
    about = json.loads((folder / "prior.json").read_text(encoding="utf-8"))
    return mne_gram.read_prior(folder / "prior.npz"), about


def _read_results(folder):
    """Return the prior and all samples that were written."""
    paths = [folder / "prior.npz", *sorted(folder.rglob("*.eeg"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    """Return the report of a run with the defaults."""
    return _run(source, derivatives=tmp_path_factory.mktemp("out") / "mne-gram")


def test_is_the_default(source, done):
    """The recordings of the data set are measured without their bad channels, and are the prior."""
    assert _get_statuses(done) == ["done"] * 4
    prior, about = _read(done.folder)
    cohort = prior.recordings[-4:]
    assert prior.n_cohort == 4 and [r.source[1] for r in cohort] == [
        f"sub-{subject}" for subject in ("01", "01", "02", "03")
    ]
    for recording, bads in zip(cohort, [{"C3"}, set(), {"PZ", "O1"}, {"C3"}], strict=True):
        found = {mne_gram.montage.CH_NAMES[k] for k in recording.channels}
        missing = {name.upper() for name in CHANNELS} - found
        assert missing == bads | set(about["Audit"].get(recording.source[2], {}))
    assert about["SHA256"] == done.prior["sha256"] == _library.file_hash(done.folder / "prior.npz")
    assert about["Subjects"] == {"sub-01": 2, "sub-02": 1, "sub-03": 1}
    assert len(about["Recordings"]) == 4 and about["Excluded"] == {}
    assert (done.prior["kind"], done.prior["n_subjects"], done.prior["n_recordings"]) == (
        "dataset",
        3,
        4,
    )
    assert "4 recordings of 3 subjects" in str(done)
    row = done.rows[0]
    assert row["prior"]["excluded"] == [row["recording"].rpartition("/")[2]]
    sidecar = next(done.folder.glob("sub-01/eeg/*run-01_desc-restored_eeg.json"))
    restoration = json.loads(sidecar.read_text(encoding="utf-8"))["Restoration"]
    assert restoration["Weights"]["prior"] == about["SHA256"]
    assert restoration["Prior"]["n_subjects"] == 3


def test_events_have_both_files_or_none(done):
    """A recording without events has neither ``events.tsv`` nor a sidecar of it."""
    tables, sidecars = (
        {path.stem for path in done.folder.glob(f"sub-*/eeg/*_events.{ext}")}
        for ext in ("tsv", "json")
    )
    assert tables == sidecars and len(tables) == 3


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno")
def test_valid(done):
    """The prior and its sidecar do not make the results invalid."""
    assert (done.folder / "prior.npz").is_file()
    run = subprocess.run([VALIDATOR, str(done.folder), "--format", "json"], capture_output=True)
    issues = json.loads(run.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_restores_without_the_recording_itself(source, done):
    """The library of a recording has the subject's other recordings, and not its own."""
    library = _library.open_library("dataset", done.folder / "prior.npz")
    prior = library.load()
    first = select_recordings(source, {})[0]
    used, excluded = _library.load_for(library, first)
    assert excluded == [first.path.name]
    sources = [r.source for r in used.recordings]
    assert sources == [s for s in prior.sources if s[2] not in excluded]
    assert len(used.library) == len(used.weights) == len(sources) and used.n_cohort == 3
    raw = mne.io.read_raw_brainvision(first.file, preload=True, verbose="error")
    raw.info["bads"] = ["C3"]
    expected = mne_gram.restore(raw, method="spatial", prior=used, verbose="error").get_data("C3")
    path = next(done.folder.glob("sub-01/eeg/*run-01_desc-restored_eeg.vhdr"))
    found = mne.io.read_raw_brainvision(path, verbose="error").get_data("C3")
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())
    bundled = mne_gram.restore(raw, method="spatial", verbose="error").get_data("C3")
    assert np.abs(found - bundled).max() > 1e-2 * expected.std()


def test_epochs_of_the_recording_are_itself(source):
    """Epochs cut from a recording are the same data, other runs and sessions are not."""
    first = select_recordings(source, {})[0]

    def is_same(name, data_set="data"):
        return _library._is_same(first, (data_set, name[:6], name))

    assert is_same("sub-01_task-rest_run-01_desc-clean_epo.fif")
    assert not is_same("sub-01_task-rest_run-01_eeg.vhdr", "other")
    assert not is_same("sub-01_task-rest_run-02_eeg.vhdr")
    assert not is_same("sub-02_task-rest_run-01_eeg.vhdr")
    assert not is_same("sub-01_ses-2_task-rest_run-01_eeg.vhdr")


def test_does_not_depend_on_workers(source, done, tmp_path):
    """With two workers, the prior and all samples are the same, bit for bit."""
    other = _run(source, derivatives=tmp_path / "out", n_jobs=2)
    assert _read_results(other.folder) == _read_results(done.folder)


def test_resumes(root, done):
    """A second run does nothing; measurements and results survive in the same place."""
    first = _run(root)
    before = {p: p.stat().st_mtime_ns for p in first.folder.rglob("*.npz")}
    assert len(before) == 5  # the prior, and one per recording
    again = _run(root)
    assert _get_statuses(again) == ["skipped"] * 4
    assert before == {p: p.stat().st_mtime_ns for p in first.folder.rglob("*.npz")}
    assert _read_results(again.folder) == _read_results(done.folder)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("step", ["measure", pytest.param("save", marks=pytest.mark.slow), "store"])
def test_survives_a_kill(root, done, step):
    """A run killed while it measures, saves, or between the sidecar and the prior, is completed."""
    if step == "measure":
        patch = "b._cohort.measure_recording"
        call = "calls.append(1); len(calls) > 2 and os.kill(os.getpid(), 9); return real(*a, **k)"
    elif step == "save":
        patch = "mne_gram.covariance._prior_file.staged"
        call = "real(*a, **k).__enter__(); os.kill(os.getpid(), 9)"
    else:
        patch, call = "b._prior_files.put_in_place", "os.kill(os.getpid(), 9)"
    module, name = patch.rsplit(".", 1)
    code = (
        "import os, sys, mne_gram, mne_gram.bids as b\n"
        "from mne_gram.bids import _cohort, _prior, _prior_files\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"_prior.load_prior = __import__({Path(__file__).stem!r}).load_few\n"
        f"calls, real = [], {patch}\n"
        f"def stop(*a, **k):\n    {call}\n"
        f"{module}.{name} = stop\n"
        "mne_gram.run_bids(sys.argv[1], method='spatial', report=False, verbose='error')\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    folder = root / "derivatives" / "mne-gram"
    records = {p: p.stat().st_mtime_ns for p in folder.glob(".mne_gram/cohort/*.npz")}
    assert len(records) == (2 if step == "measure" else 4)
    assert not (folder / "prior.npz").exists()
    report = _run(root)
    assert _get_statuses(report) == ["done"] * 4
    assert records == {p: p.stat().st_mtime_ns for p in records}
    assert _read_results(folder) == _read_results(done.folder)
    assert not list(folder.glob(".mne_gram/staging/*"))


def test_what_a_run_left_that_was_killed_while_saving_is_removed(tmp_path, monkeypatch):
    """The folder of a random name, in which a file is until it is complete, is in a known one."""
    places, real = [], _prior_file.staged
    monkeypatch.setattr(_prior_file, "staged", lambda *a: places.append(a[0]) or real(*a))
    staging = tmp_path / ".mne_gram" / "staging"
    (staging / "prior" / ".mne_gram-1a2b").mkdir(parents=True)
    (staging / "prior" / ".mne_gram-1a2b" / "prior.npz").write_bytes(b"half")
    path = _prior_files.save_temporary(load_few(), tmp_path, "prior.npz")
    assert places[0].parent == staging / "prior" and list(staging.iterdir()) == [path]
    assert len(mne_gram.read_prior(path).recordings) == len(load_few().recordings)


def test_new_subjects_use_the_stored_prior(root):
    """Later subjects are restored with the prior as it is, until it is made again."""
    first = _run(root)
    checksum = first.prior["sha256"]
    _write(root, "04", start=9.0)
    later = _run(root)
    assert _get_statuses(later) == ["skipped"] * 4 + ["done"]
    assert later.prior["sha256"] == checksum and later.rows[-1]["prior"]["excluded"] == []
    plan = _run(root, dry_run=True)
    assert "1 subject is not in it" in plan.prior["text"]
    refit = _run(root, refit_prior=True)
    assert _get_statuses(refit) == ["done"] * 5 and refit.prior["n_subjects"] == 4
    assert {row["why"] for row in refit.rows} == {"the weights changed"}
    assert _get_statuses(_run(root, refit_prior=True)) == ["skipped"] * 5
    # One subject alone uses it, too.
    assert _run(root, subjects="04").prior["sha256"] == refit.prior["sha256"] != checksum


def test_changed_recordings_use_the_stored_prior(root):
    """Other bad channels are reported, and change the prior when it is made again."""
    first = _run(root)
    (table,) = root.glob("sub-02/eeg/*_channels.tsv")
    text = table.read_text(encoding="utf-8-sig")
    lines = [n.replace("\tgood", "\tbad") if n.startswith("C4\t") else n for n in text.split("\n")]
    table.write_text("\n".join(lines), encoding="utf-8")
    plan = _run(root, dry_run=True)
    assert "1 recording has changed since (refit_prior=True measures again)" in plan.prior["text"]
    later = _run(root)
    assert _get_statuses(later) == ["skipped"] * 2 + ["done", "skipped"]
    assert later.rows[2]["why"] == "the input changed"
    assert later.prior["sha256"] == first.prior["sha256"]
    refit = _run(root, refit_prior=True)
    assert _get_statuses(refit) == ["done"] * 4 and refit.prior["sha256"] != first.prior["sha256"]
    assert "changed since" not in _run(root, dry_run=True).prior["text"]


def test_few_subjects_use_the_bundled_library(root, caplog):
    """Below three subjects there is no prior of the data set, and the log says so."""
    report = _run(root, subjects=["01", "02"], verbose="info")
    assert report.prior["kind"] == "bundled" and not (report.folder / "prior.npz").exists()
    assert "needs 3 subjects, 2 selected" in caplog.text
    same = _run(root, subjects=["01", "02"], prior="bundled")
    assert _get_statuses(same) == ["skipped"] * 3
    with pytest.raises(ValueError, match="needs 3 subjects, and 2 are selected"):
        _run(root, subjects=["01", "02"], refit_prior=True)


def test_few_usable_recordings_use_the_bundled_library(root):
    """If a recording cannot be used, its reason is kept; two subjects are too few."""
    for path in root.glob("sub-03/eeg/*_channels.tsv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        lines[2:] = [line.replace("good", "bad") for line in lines[2:]]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = _run(root, shard=None)
    assert report.prior["kind"] == "bundled" and not (report.folder / "prior.npz").exists()
    about = json.loads((report.folder / "prior.json").read_text(encoding="utf-8"))
    (name,) = about["Excluded"]
    assert name.startswith("sub-03/eeg/") and about["SHA256"] is None
    # Shards need not wait for a prior that cannot be made.
    assert _run(root, shard="1/2").prior["kind"] == "bundled"


def test_same_channel_bad_in_all(tmp_path):
    """An electrode that is bad in everybody is completed by the bundled library."""
    for k, subject in enumerate(("01", "02", "03")):
        _write(tmp_path / "data", subject, start=2.0 * k)
    report = _run(tmp_path / "data")
    assert _get_statuses(report) == ["done"] * 3 and report.prior["kind"] == "dataset"
    assert all(0 < row["worst_nmse"] < 1.5 for row in report.rows)


def test_shards(root, done):
    """Shards say what to run first; they may share measuring, and the results are the same."""
    with pytest.raises(ValueError, match="--job prior"):
        _run(root, shard="1/2")
    assert not (root / "derivatives").exists()
    with pytest.raises(ValueError, match="shard cannot make the prior"):
        _run(root, shard="1/2", refit_prior=True)
    for shard in ("1/2", "2/2"):
        assert _get_statuses(_run(root, job="prior", shard=shard)) == ["done"] * 2
    first = _run(root, job="prior")
    assert _get_statuses(first) == ["skipped"] * 4 and first.prior["kind"] == "dataset"
    assert "14 electrodes" in str(first) and not list(first.folder.glob("sub-*"))
    for shard in ("1/2", "2/2"):
        assert _get_statuses(_run(root, shard=shard)) == ["done"] * 2
    assert _read_results(first.folder) == _read_results(done.folder)


def test_large_data_sets(root, monkeypatch):
    """Of many recordings, those of different subjects are taken first."""
    monkeypatch.setattr(_prior, "MOST_RECORDINGS", 3)
    chosen = _prior.choose_cohort(select_recordings(root, {}))
    assert [r.name for r in chosen] == [
        f"sub-{subject}_task-rest_run-01_eeg" for subject in ("01", "02", "03")
    ]
    monkeypatch.setattr(_prior, "MOST_RECORDINGS", 2)
    chosen = _prior.choose_cohort(select_recordings(root, {}))
    assert [r.entities["sub"] for r in chosen] == ["01", "02"]
    monkeypatch.setattr(_prior, "MOST_RECORDINGS", 3)
    report = _run(root, job="prior")
    assert len(report.rows) == report.prior["n_recordings"] == 3
    plan = _run(root, dry_run=True)
    assert len(plan.rows) == 4 and "not in it" not in plan.prior["text"]


def test_dry_run(root):
    """A dry run reports the plan for the prior, and writes nothing."""
    plan = _run(root, dry_run=True)
    assert "to be estimated from 4 recordings of 3 subjects, of which 0" in str(plan)
    assert _get_statuses(plan) == ["planned"] * 4 and not (root / "derivatives").exists()
    _run(root, job="prior")
    plan = _run(root, dry_run=True)
    assert plan.prior["kind"] == "dataset" and plan.prior["n_subjects"] == 3


def test_file_and_object(root, done, tmp_path):
    """A prior in a file, or as an object, is used as it is, without its copy of the recording."""
    path = tmp_path / "l\x07ab.npz"
    shutil.copy(done.folder / "prior.npz", path)
    one = dict(subjects="01", runs="01")
    by_file = _run(root, prior=path, **one)
    assert by_file.prior["kind"] == "file" and by_file.prior["file"] == "l?ab.npz"
    assert not (by_file.folder / "prior.npz").exists()
    by_object = _run(root, prior=mne_gram.read_prior(path), **one)
    assert by_object.prior["text"].startswith(
        "a prior given as an object, with 4"
    ) and _get_statuses(by_object) == ["skipped"]
    name = next(done.folder.glob("sub-01/eeg/*run-01*.eeg")).relative_to(done.folder)
    assert (by_file.folder / name).read_bytes() == (done.folder / name).read_bytes()


@pytest.mark.parametrize(
    "kwargs, match",
    [
        (dict(prior="nonesuch.npz"), "nonesuch.npz"),
        (dict(prior="bundled", refit_prior=True), "refit_prior needs prior='dataset'"),
        (dict(prior="bundled", job="prior"), "makes the prior of the data set"),
    ],
)
def test_wrong_arguments(root, kwargs, match):
    """Wrong arguments are refused before anything is written."""
    with pytest.raises((ValueError, OSError), match=match):
        _run(root, **kwargs)
    assert not (root / "derivatives").exists()


def test_only_what_needs_it_makes_it(root):
    """The spline and embeddings need no prior."""
    assert _run(root, method="spline", subjects=["01", "02", "03"]).prior is None
    assert not list(root.rglob("prior.*"))


def test_measurements_are_not_trusted(root, done):
    """A measurement that is not what was written is repeated."""
    _run(root, job="prior")
    folder = root / "derivatives" / "mne-gram"
    path, other = sorted(folder.glob(".mne_gram/cohort/*.npz"))[1:3]
    content = path.read_bytes()
    for changed in (
        content[:-100],
        other.read_bytes(),
        content[:2000] + b"\xff" * 8 + content[2008:],  # of the same size
    ):
        path.write_bytes(changed)
        (folder / "prior.npz").unlink()
        _run(root, job="prior")
        assert path.read_bytes() == content
        assert (folder / "prior.npz").read_bytes() == (done.folder / "prior.npz").read_bytes()


def test_record_is_checked(tmp_path):
    """Arrays of wrong types, shapes and values are refused, even with the right checksum."""
    good = dict(channels=np.arange(5), cov=np.repeat(np.eye(5)[None], N_BANDS, 0))
    cases = dict(
        good=good,
        few=dict(channels=np.arange(2), cov=good["cov"][:, :2, :2]),
        repeated=dict(good, channels=np.array([0, 1, 2, 3, 3])),
        unknown=dict(good, channels=np.arange(5) + 1000),
        nan=dict(good, cov=good["cov"] * np.nan),
        indefinite=dict(good, cov=-good["cov"]),
        asymmetric=dict(good, cov=good["cov"] + np.eye(5, k=1)),
        pickled=dict(good, channels=np.array([{}, 1, 2, 3, 4], object)),
        shape=dict(good, cov=good["cov"][:, :4]),
        zero=dict(good, cov=0 * good["cov"]),
    )
    for name, arrays in cases.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays)
        checksum = _library.file_hash(path)
        if name == "good":
            assert read_record(path, ("a", "b", "c"), checksum).source == ("a", "b", "c")
            with pytest.raises(ValueError, match="changed"):
                read_record(path, ("a", "b", "c"), "0" * 64)
            continue
        with pytest.raises(ValueError, match=path.name):
            read_record(path, ("a", "b", "c"), checksum)


def test_stored_prior_is_not_trusted(root):
    """A changed prior or sidecar is an error that names the way out, which works."""
    report = _run(root, job="prior")
    path, sidecar = report.folder / "prior.npz", report.folder / "prior.json"
    content, about = path.read_bytes(), sidecar.read_text(encoding="utf-8")
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="refit_prior=True"):
        _run(root)
    path.write_bytes(content)
    for text in ("[]", "{", '{"SHA256": 5}', about.replace('"sub-01_', '5, "sub-01_', 1)):
        sidecar.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="does not describe a prior"):
            _run(root)
    sidecar.unlink()
    with pytest.raises(FileExistsError, match="not written by an earlier run"):
        _run(root)
    with pytest.raises(FileExistsError, match="not written by an earlier run"):
        _run(root, refit_prior=True)
    assert _get_statuses(_run(root, refit_prior=True, overwrite=True)) == ["done"] * 4
    assert path.read_bytes() == content


def test_waits_for_another_run(root, monkeypatch):
    """A run that finds another one at work waits until the lock is free."""
    monkeypatch.setattr(_prior, "_PAUSE", 0.01)
    real, held = _prior.hold, []

    def hold(path):
        held.append(time.monotonic())
        return real(root / "nowhere") if len(held) > 3 else _Busy()

    monkeypatch.setattr(_prior, "hold", hold)
    with _prior._waiting(root / "lock") as lock:
        assert lock is not None and len(held) == 4


class _Busy:
    """The lock of another run."""

    def __enter__(self):
        return None

    def __exit__(self, *args):
        return False


def test_pages_name_the_prior(root):
    """The index and the page of a subject say which prior was used, and its size."""
    report = _run(root, report=True)
    text = "the library of this data set, with 4 recordings of 3 subjects"
    assert text in report.index.read_text(encoding="utf-8")
    page = (report.folder / "sub-01.html").read_text(encoding="utf-8")
    assert text in page and report.prior["sha256"][:12] in page


def test_ignored_files_are_completed(root):
    """The list of an earlier version is completed, and what users added is kept."""
    folder = root / "derivatives" / "mne-gram"
    _run(root, job="prior")
    path = folder / ".bidsignore"
    old = [line for line in path.read_text(encoding="utf-8").splitlines() if "prior" not in line]
    path.write_text("\n".join([*old, "mine/"]), encoding="utf-8")
    _run(root, job="prior")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == [*old, "mine/", "prior.npz", "prior.json"]


def test_finds_bads_with_it(root):
    """With detection, recordings are measured without what was found."""
    raw_path = next(root.glob("sub-03/eeg/*_eeg.vhdr"))
    data = np.fromfile(raw_path.with_suffix(".eeg"), "<f4").reshape(-1, len(CHANNELS))
    data[:, CHANNELS.index("F4")] = 0.0
    data.tofile(raw_path.with_suffix(".eeg"))
    report = _run(root, find_bads=True)
    prior, about = _read(report.folder)
    channels = [mne_gram.montage.CH_NAMES[k] for k in prior.recordings[-1].channels]
    assert "F4" not in channels and about["Parameters"]["find_bads"] is True
    assert report.rows[-1]["found"]["channels"].keys() >= {"F4"}
    assert "with detection" in _run(root, dry_run=True).prior["text"]
