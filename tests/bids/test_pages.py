# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""HTML pages: their content and order, and that a browser shows them."""

import importlib.metadata
import json
import re
import shutil
import subprocess

import pytest

import mne_gram
from mne_gram import run_bids
from mne_gram.bids._journal import Journal
from mne_gram.bids._pages import write_pages

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)


@pytest.fixture(scope="module")
def report(bids_source, tmp_path_factory):
    """Return a run with one broken recording among three."""
    root = shutil.copytree(bids_source, tmp_path_factory.mktemp("pages") / "data")
    header = root / "sub-01" / "eeg" / "sub-01_task-rest_run-02_eeg.vhdr"
    header.write_text("not a <header>", encoding="utf-8")
    return run_bids(root, verbose="error", method="spatial")


def test_index(report):
    """The index has all recordings, channels, errors and versions; its links exist."""
    page = report.index.read_text(encoding="utf-8")
    for text in ("CP2", "FT8", "FC5", "Failures", mne_gram.__version__, "Expected NMSE"):
        assert text in page
    assert importlib.metadata.version("mne") in page
    assert page.count("<tr>") == 1 + 2 + 1 + 1  # tables of two recordings and one failure
    links = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert {"sub-01.html", "sub-02.html"} <= set(links)
    assert any(link.endswith("_beforeandafter.png") for link in links)
    assert all((report.folder / link).is_file() for link in links)
    assert "cannot be read" in page


def test_worst_first(report, tmp_path):
    """Recordings are sorted by expected error, largest first, unknown errors before all others."""
    folder = shutil.copytree(report.folder, tmp_path / "copy")
    records = folder / ".mne_gram" / "records"

    def list_runs(errors):
        for name, worst in errors.items():
            path = records / f"{name}_eeg.restore.json"
            record = json.loads(path.read_text(encoding="utf-8"))
            record["row"]["worst_nmse"] = worst
            path.write_text(json.dumps(record), encoding="utf-8")
        page = write_pages(folder).read_text(encoding="utf-8").partition("Recordings by")[2]
        return re.findall(r"html\">(sub-\d+_task-rest_run-\d+)_eeg", page)[:2]

    one, two = "sub-01_task-rest_run-01", "sub-02_task-rest_run-01"
    assert list_runs({one: 0.1, two: 0.9}) == [two, one]
    assert list_runs({one: 0.9, two: 0.1}) == [one, two]
    assert list_runs({one: 0.9, two: None}) == [two, one]


def test_subject(report):
    """The page of a subject is an MNE report with one section per recording, failures included."""
    page = (report.folder / "sub-01.html").read_text(encoding="utf-8")
    for text in (
        "sub-01_task-rest_run-01_eeg.vhdr (restore)",
        "sub-01_task-rest_run-02_eeg.vhdr (restore)",
        "Before and after",
        "Experts",
        "Map",
        "Failed: ",
        "data:image/png",
    ):
        assert text in page
    assert "<header>" not in page.partition("Failed: ")[2][:500]  # errors are escaped


def test_pages_of_a_second_run(report, bids_source):
    """Pages are written from the journal, so they are complete if all recordings are up to date."""
    page = report.folder / "sub-02.html"
    before = page.stat().st_mtime_ns
    index = report.index.read_text(encoding="utf-8")
    root = report.folder.parent.parent
    again = run_bids(root, verbose="error", method="spatial")
    assert [row["status"] for row in again.rows] == ["skipped", "failed", "skipped"]
    assert page.stat().st_mtime_ns == before
    assert again.index.read_text(encoding="utf-8").count("<tr>") == index.count("<tr>")
    page.unlink()
    write_pages(report.folder)
    assert page.is_file()
    # A record that is gone, or of a recording that is being moved, is in no page.
    journal = Journal(report.folder)
    assert len(journal.read_all()) == 3


def test_pages_are_not_worth_a_failure(bids_copy, monkeypatch):
    """A failure to write the pages is a warning, as the recordings are done."""

    def fail(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mne_gram.bids._steps, "write_pages", fail)
    with pytest.warns(RuntimeWarning, match="pages of the report"):
        report = run_bids(bids_copy, subjects="02", method="spatial", verbose="warning")
    assert report.failures == [] and report.index is None


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser(report, tmp_path):
    """A headless browser shows the page."""
    picture = tmp_path / "page.png"
    subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,1600"),
            *(f"--screenshot={picture}", report.index.as_uri()),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    from matplotlib.image import imread

    assert imread(picture)[..., :3].std() > 0.05  # not a blank page
