# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Derivative folders that an attacker made: records, links and texts in them are not trusted."""

import json
import os
import shutil
import sys

import pytest

from mne_gram import run_bids
from mne_gram.bids._journal import Journal
from mne_gram.bids._pages import write_pages

STEM = "sub-02_task-rest_run-01"
RECORD = f".mne_gram/records/{STEM}_eeg.restore.json"
TARGET = f"sub-02/eeg/{STEM}_desc-restored_eeg.vhdr"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


def run(root, folder, **kwargs):
    """Restore one recording with the fastest method, without figures."""
    options = dict(subjects="02", method="spatial", report=False, verbose="error")
    return run_bids(root, derivatives=folder, **(options | kwargs))


@pytest.fixture(scope="module")
def finished(bids_source, tmp_path_factory):
    """Return the folder of a run that is complete, with pages."""
    folder = tmp_path_factory.mktemp("hostile") / "out"
    run(bids_source, folder, report=True)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """Return a copy of that folder, in a folder of its own."""
    (tmp_path / "victim.txt").write_text("precious")
    (tmp_path / "victims").mkdir()
    return shutil.copytree(finished, tmp_path / "out", copy_function=shutil.copy2)


def read_record(folder):
    return json.loads((folder / RECORD).read_text(encoding="utf-8"))


def change(folder, **entries):
    """Change entries of a record."""
    (folder / RECORD).write_text(json.dumps(read_record(folder) | entries), encoding="utf-8")


# ---------------------------------------------------------------------------------------------
# Names in records


def list_names(folder):
    """Return names of files that are not those of the recording."""
    return [
        "../victim.txt",
        "sub-02/../../victim.txt",
        str(folder.parent / "victim.txt"),
        "sub-02/eeg/../../../victim.txt",
        "dataset_description.json",
        "README.md",
        f"sub-01/eeg/{STEM}_x",
        "sub-02/eeg/other.txt",
        "..\\victim.txt",
        "C:/victim.txt",
        "sub-02/eeg/\0",
        "",
        ".",
    ]


@pytest.mark.parametrize("status", ["done", "moving", "failed"])
def test_names_elsewhere_are_not_deleted(bids_source, folder, status):
    """A record that names a file elsewhere is redone, and the file is left alone."""
    (folder / "sub-02" / "eeg" / "other.txt").write_text("other")
    (folder / "sub-01" / "eeg").mkdir(parents=True)
    (folder / "sub-01" / "eeg" / f"{STEM}_x").write_text("other")
    good = read_record(folder)
    before = {p: p.read_bytes() for p in folder.parent.rglob("*") if p.is_file()}
    for name in list_names(folder):
        change(folder, **(good | dict(status=status, files=good["files"] | {name: 8})))
        report = run(bids_source, folder)
        assert report.rows[0]["status"] == "done" and report.rows[0]["why"], name
        assert not report.failures, name
        for path in (folder.parent / "victim.txt", folder / "README.md"):
            assert path.read_bytes() == before[path], name
        assert (folder / "sub-02" / "eeg" / "other.txt").exists()
        assert (folder / "sub-01" / "eeg" / f"{STEM}_x").exists()
        assert set(read_record(folder)["files"]) <= set(good["files"])


@needs_links
def test_names_through_a_link_are_not_deleted(bids_source, folder):
    """A folder that is a link, in the name of a file of a record, is not followed."""
    (folder.parent / "victims" / f"{STEM}_x.txt").write_text("precious")
    (folder / "sub-02" / "linked").symlink_to(folder.parent / "victims", True)
    good = read_record(folder)
    change(folder, status="moving", files=good["files"] | {f"sub-02/linked/{STEM}_x.txt": 8})
    assert run(bids_source, folder).rows[0]["status"] == "done"
    assert (folder.parent / "victims" / f"{STEM}_x.txt").exists()


# ---------------------------------------------------------------------------------------------
# Damaged records

DEEP = "[" * 100_000 + "]" * 100_000
DAMAGES = {
    "empty": "",
    "half": '{"format": 1, "status": "do',
    "list": "[]",
    "deep": DEEP,
    "deep row": '{"format": 1, "row": ' + DEEP + "}",
    "latin": b"\xff\xfe",
    "other format": dict(format=7),
    "format is true": dict(format=True),
    "no status": dict(status=None),
    "status": dict(status="finished"),
    "no key": dict(key=None),
    "key is a list": dict(key=[]),
    "no files": dict(files=None),
    "files is a list": dict(files=["a"]),
    "sizes": dict(files={TARGET: "8"}),
    "no row": dict(row=None),
    "row is text": dict(row="x"),
    "row without duration": dict(row={}),
    "row of another recording": dict(row=dict(recording="sub-03", status="done")),
    "stat": dict(stat=[1]),
    "stat of a file": dict(stat={f"sub-02/eeg/{STEM}_eeg.vhdr": 3}),
    "another recording": dict(recording="sub-01/eeg/sub-01_task-rest_run-01_eeg.vhdr"),
    "another job": dict(job="embed"),
    "subject": dict(entities=dict(sub="../../x")),
    "no entities": dict(entities=[]),
    "time": dict(time="--><script>"),
    "no time": dict(time=3),
    "version": dict(version="<b>"),
}


def test_damaged_weights(folder):
    """Weights of experts are numbers, of the same experts for all channels."""
    good = read_record(folder)
    for key, value in (("weight_prior", "x"), ("weight_new", 0.5)):
        row = json.loads(json.dumps(good["row"]))
        assert len(row["channels"]) > 1
        row["channels"][0][key] = value
        change(folder, row=row)
        assert Journal(folder).read_all() == []


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_records_are_redone(bids_source, folder, name):
    """A damaged record is made again, and does not fail its recording or the run."""
    damage, before = DAMAGES[name], (folder / TARGET).read_bytes()
    if isinstance(damage, dict):
        change(folder, **damage)
    else:
        (folder / RECORD).write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    planned = run(bids_source, folder, dry_run=True).rows
    assert [row["status"] for row in planned] == ["planned"]
    assert write_pages(folder).is_file()
    (row,) = run(bids_source, folder).rows
    assert row["status"] == "done" and "damaged" in row["why"]
    assert (folder / TARGET).read_bytes() == before
    assert run(bids_source, folder).rows[0]["status"] == "skipped"


def test_damaged_record_of_a_failure(bids_copy, folder):
    """A damaged record, then a failure, then a run: the results are replaced, not in the way."""
    (folder / RECORD).write_text("{", encoding="utf-8")
    header = bids_copy / "sub-02" / "eeg" / f"{STEM}_eeg.vhdr"
    text = header.read_text(encoding="utf-8")
    header.write_text("broken")
    assert run(bids_copy, folder).rows[0]["status"] == "failed"
    header.write_text(text, encoding="utf-8")
    assert run(bids_copy, folder).rows[0]["status"] == "done"


def test_foreign_results_are_still_refused(bids_source, folder):
    """Without any record, results are not known to be ours."""
    (folder / RECORD).unlink()
    (row,) = run(bids_source, folder).rows
    assert row["status"] == "failed" and "already exists" in row["why"]


def test_record_of_another_is_not_shown(bids_source, folder):
    """A record that is not named after its recording is in no page."""
    (folder / RECORD).rename(folder / RECORD.replace("run-01", "run-07"))
    assert Journal(folder).read_all() == []
    assert STEM not in write_pages(folder).read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------
# Pages


def walk(value, path=()):
    """Yield the paths of all texts in a row."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in pairs:
            yield from walk(part, (*path, key))
    elif isinstance(value, str):
        yield path


def test_pages_escape_every_text(folder):
    """No text of a record comes to a page as HTML."""
    good = read_record(folder)
    good["row"]["summary_html"] = SCRIPT
    good["row"]["notes"] = ["note"]
    seen = 0
    for keys in [*walk(good), ("row", "extra")]:
        other = json.loads(json.dumps(good))
        content = other
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = SCRIPT
        (folder / RECORD).write_text(json.dumps(other), encoding="utf-8")
        for page in folder.glob("*.html"):
            page.unlink()
        write_pages(folder)
        for page in folder.glob("*.html"):
            text = page.read_text(encoding="utf-8")
            assert "<script>alert(1)" not in text and "<img src=x" not in text, keys
            seen += "&lt;script&gt;alert(1)" in text
        assert not list(folder.parent.glob("*.html"))
    assert seen >= 5  # the texts of summary, channels and notes are there


def test_summary_is_shown(folder):
    """The page of a subject has the table of restored channels and the note on their error."""
    text = (folder / "sub-02.html").read_text(encoding="utf-8")
    assert '<table class="table table-sm table-hover">' in text
    assert "Expected NMSE" in text and "Method spatial, output mean; mne_gram" in text


def test_figures_elsewhere_are_not_shown(folder):
    """A record cannot bring images from elsewhere into a page."""
    image = next((folder / "figures" / "sub-02").glob("*.png"))
    shutil.copy(image, folder.parent / "secret.png")
    good = read_record(folder)
    for name in ("../secret.png", str(folder.parent / "secret.png"), "https://x.org/a.png"):
        good["row"]["figures"][0]["path"] = name
        (folder / RECORD).write_text(json.dumps(good), encoding="utf-8")
        (folder / "sub-02.html").unlink(missing_ok=True)
        page = write_pages(folder).read_text(encoding="utf-8")
        assert "secret" not in page and "x.org" not in page and STEM not in page


@needs_links
def test_linked_figures_are_not_shown(folder):
    """A figure that is a link to a file elsewhere is not put into a page, one inside is."""
    image = folder / read_record(folder)["row"]["figures"][0]["path"]
    secret = folder.parent / "secret.png"
    for place, is_shown in ((folder / "sub-02" / "real.png", True), (secret, False)):
        shutil.move(image, place)
        image.symlink_to(place)
        (folder / "sub-02.html").unlink()
        index = write_pages(folder).read_text(encoding="utf-8")
        page = (folder / "sub-02.html").read_text(encoding="utf-8")
        assert ("The figure was removed." not in page) == is_shown
        assert (image.name in index) == is_shown
        image.unlink()
        shutil.move(place, image)


# ---------------------------------------------------------------------------------------------
# Links


@needs_links
@pytest.mark.parametrize(
    "name",
    [
        *(".mne_gram", ".mne_gram/records", ".mne_gram/staging", ".mne_gram/locks"),
        *("figures", "logs", "sub-02"),
    ],
)
@pytest.mark.parametrize("dangling", [False, True])
def test_linked_folders_are_not_written_through(bids_source, folder, name, dangling):
    """A folder in the results that is a link elsewhere ends the run or recording by name."""
    victims = folder.parent / "victims"
    shutil.rmtree(folder / name)
    if dangling:
        victims.rmdir()
    (folder / name).symlink_to(victims, True)
    if name == "sub-02":
        (row,) = run(bids_source, folder, report=True).rows
        assert row["status"] == "failed"
        text = row["why"]
    else:
        with pytest.raises(ValueError, match="is a link") as error:
            run(bids_source, folder)
        text = str(error.value)
    assert f"{folder / name} is a link" in text and "Replace it" in text
    assert not victims.exists() if dangling else list(victims.iterdir()) == []


@needs_links
@pytest.mark.parametrize("name", ["figures/sub-02", "sub-02/eeg"])
def test_linked_subfolders(bids_source, folder, name):
    """The same for folders below."""
    victims = folder.parent / "victims"
    shutil.rmtree(folder / name)
    (folder / name).symlink_to(victims, True)
    (row,) = run(bids_source, folder, report=True).rows
    assert row["status"] == "failed" and "is a link" in row["why"]
    assert list(victims.iterdir()) == []


@needs_links
def test_temporary_files_are_not_written_through(bids_source, folder):
    """Links in place of temporary files are replaced, not followed."""
    victim, staging = folder.parent / "victim.txt", folder / ".mne_gram" / "staging"
    names = ["dataset_description.json", "participants.tsv", "index.html", "sub-02.html"]
    names += ["report.sub-02.html", "sub-02.eeg.x", RECORD.replace("/", ".")]
    for name in names:
        (staging / f"new.{name}").symlink_to(victim)
    (staging / f"{STEM}_eeg.restore").symlink_to(folder.parent / "victims", True)
    (folder / "dataset_description.json").write_text(
        json.dumps(dict(GeneratedBy=[dict(Name="mne_gram")])), encoding="utf-8"
    )
    run(bids_source, folder, overwrite=True, report=True)
    assert victim.read_text() == "precious"
    assert list((folder.parent / "victims").iterdir()) == []
    assert read_record(folder)["status"] == "done"


@needs_links
def test_dangling_results_are_not_replaced(bids_source, tmp_path):
    """A result that is a link to a missing file is foreign, as a file would be."""
    folder = tmp_path / "out"
    run(bids_source, folder, subjects="01")
    path = folder / TARGET
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "missing")
    (row,) = run(bids_source, folder).rows
    assert row["status"] == "failed" and "already exists" in row["why"]
    assert path.is_symlink()
    assert run(bids_source, folder, overwrite=True).rows[0]["status"] == "done"
    assert not (tmp_path / "missing").exists() and not path.is_symlink()


# ---------------------------------------------------------------------------------------------
# Locks and descriptions


@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        "[]",
        '{"pid": "1"}',
        '{"pid": -1}',
        json.dumps(dict(host=os.uname().nodename, pid=10**30, token="x"))
        if hasattr(os, "uname")
        else "{}",
    ],
)
def test_hostile_locks(bids_source, folder, content):
    """A lock that no run wrote is stale, and no process is asked by its content."""
    path = folder / ".mne_gram" / "locks" / f"{STEM}_eeg.restore.lock"
    space = os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else ""
    if content.startswith("{"):
        content = json.dumps(dict(json.loads(content), space=space, started=""))
    path.write_text(content, encoding="utf-8")
    os.utime(path, (1e9, 1e9))
    assert run(bids_source, folder, overwrite=True).rows[0]["status"] == "done"


@needs_links
def test_linked_lock(bids_source, folder):
    """A lock that is a link to nothing becomes stale as any other."""
    path = folder / ".mne_gram" / "locks" / f"{STEM}_eeg.restore.lock"
    path.symlink_to(folder.parent / "missing")
    os.utime(path, (1e9, 1e9), follow_symlinks=False)
    assert run(bids_source, folder, overwrite=True).rows[0]["status"] == "done"
    assert not path.is_symlink() and not (folder.parent / "missing").exists()


@pytest.mark.parametrize(
    "content", [DEEP, "[]", '{"GeneratedBy": 3}', '{"GeneratedBy": ["mne_gram"]}', '{"Name": 3}']
)
def test_hostile_descriptions(bids_source, folder, content):
    """A description that is not one is an error that names the file."""
    path = folder / "dataset_description.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="dataset_description.json|contains other files"):
        run(bids_source, folder)
    assert path.read_text(encoding="utf-8") == content
