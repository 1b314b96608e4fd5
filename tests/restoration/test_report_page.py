# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The report as a section of MNE's report and as a page."""

import re
import shutil
import subprocess

import mne
import numpy as np
import pytest

import mne_gram
from mne_gram import restore
from mne_gram.report import add_restoration

pytestmark = pytest.mark.usefixtures("figures")


TITLES = [f"Restoration: {what}" for what in ("summary", "before and after", "experts", "map")]


# ---------------------------------------------------------------------------------------------
# A section for MNE's report, and the page


@pytest.fixture
def page():
    return mne.Report(title="A person", verbose="error")


def get_html(page):
    """Return what was added, by title."""
    titles, _, htmls = page.get_contents()
    return dict(zip(titles, htmls, strict=True))


def test_section(restored, page):
    add_restoration(page, restored[1])
    content = get_html(page)
    assert list(content) == TITLES
    summary = content[TITLES[0]]
    assert restored[1].summary.split(";")[0].replace("'", "&#x27;") in summary
    for row in restored[1].to_dict()["channels"]:
        cells = rf"<td>{row['channel']}</td>.*<td>{row['seconds']:.1f}</td>"
        assert re.search(cells + rf".*<td>{row['expected_r']:.2f}</td>", summary)
    nmse = restored[1].to_data_frame().set_index("channel")["expected_nmse"]
    places = [summary.index(f"<td>{name}</td>") for name in nmse.sort_values().index[::-1]]
    assert places == sorted(places)  # the worst first
    assert "n_components=7" in summary and mne_gram.__version__ in summary
    assert "<img" in content[TITLES[1]] and "<img" in content[TITLES[3]]
    assert "No clean samples were hidden" in content[TITLES[2]]
    assert "Weight of spatial" in summary and "Weight of gram" not in summary


def test_worst_channels_are_drawn(restored, page, monkeypatch):
    drawn = []
    plot = mne_gram.viz.plot_restoration

    def spy(*args, **kwargs):
        drawn.append(kwargs)
        return plot(*args, **kwargs)

    monkeypatch.setattr("mne_gram.report.plot_restoration", spy)
    add_restoration(page, restored[1], n_channels=2)
    nmse = restored[1].to_data_frame().set_index("channel")["expected_nmse"]
    assert drawn[0]["picks"] == nmse.sort_values().index[::-1].tolist()
    assert drawn[0]["n_channels"] == 2


def test_section_with_evidence(page, toy):
    inst = toy.make_inst().set_montage("colin27_1005" if has_colin27() else "standard_1005")
    add_restoration(page, toy.make_report(inst, evidence=toy.make_evidence()))
    content = get_html(page)
    assert all("<img" in content[title] for title in TITLES[1:])
    assert "contains 91 % of the hidden samples" in content[TITLES[0]]
    assert "Weight of sphere" in content[TITLES[0]]


def has_colin27():
    return "colin27_1005" in mne.channels.get_builtin_montages()


def test_title_section_tags_and_replacing(page, toy):
    options = dict(title="rest", section="Repair", tags=("eeg", "repair"))
    add_restoration(page, toy.make_report(), **options)
    add_restoration(page, toy.make_report(), **{**options, "section": "Other"})
    assert len(page) == 8 and set(page.tags) == {"eeg", "repair"}
    add_restoration(page, toy.make_report(evidence=toy.make_evidence()), replace=True, **options)
    titles, tags, htmls = page.get_contents()
    assert titles == ["Repair", "Other"] and len(page) == 8
    assert set(tags) == {("eeg", "repair")}
    for html, n_figures in zip(htmls, [2, 1], strict=True):
        for what in ("summary", "before and after", "experts", "map"):
            assert f"rest: {what}" in html
        assert html.count("<img") == n_figures


def test_names_are_escaped(page, toy):
    inst = toy.make_inst().rename_channels({"C3": "<C3 & co>"})
    add_restoration(page, toy.make_report(inst))
    summary = get_html(page)[TITLES[0]]
    assert "&lt;C3 &amp; co&gt;" in summary and "<C3" not in summary


def test_section_of_nothing(recording, page):
    _, report = restore(recording, return_report=True, verbose="error")
    add_restoration(page, report)
    content = get_html(page)
    assert "Nothing was restored" in content[TITLES[0]] and "<table" not in content[TITLES[0]]
    assert "<img" not in content[TITLES[1]]


def test_what_cannot_be_drawn_says_why(page, toy):
    add_restoration(page, toy.make_report(std=np.nan))
    content = get_html(page)
    assert "no positions" in content[TITLES[3]]
    assert content[TITLES[0]].count("not known") == 2


def test_method_adds_the_same_section(page, toy, tmp_path):
    """The saved page contains it, under the title, section and tags that were given."""
    report = toy.make_report(evidence=toy.make_evidence())
    options = dict(title="rest", section="Repair", tags=("eeg",), n_channels=2)
    report.add_to(page, **options)
    assert page.tags == ("eeg",) and page.get_contents()[0] == ["Repair"]
    report.add_to(page, replace=True, **options)
    assert len(page) == 4
    page.save(tmp_path / "page.html", open_browser=False, verbose="error")
    saved = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f"rest: {title.split(': ')[1]}" in saved for title in TITLES)
    assert "<td>C3</td>" in saved and saved.count("data:image/") >= 2


def test_section_refuses(restored):
    with pytest.raises(TypeError, match="mne_report must be"):
        add_restoration("report.html", restored[1])


def test_page(restored, tmp_path):
    report, path = restored[1], tmp_path / "page.html"
    report.save(path)
    text = path.read_text(encoding="utf-8")
    assert all(f"<td>{row['channel']}</td>" in text for row in report.to_dict()["channels"])
    assert text.count("data:image/") >= 2
    # It needs no other file.
    assert not re.search(r"""<(?:script|link|img)[^>]+(?:src|href)=["'](?!data:)""", text)
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(FileExistsError, match="already exists"):
        report.save(path)
    path.write_text("old")
    report.save(path, overwrite=True)
    assert path.stat().st_size > 10_000


def test_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch, toy):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(self, fname, **kwargs):
        fname.write_text("half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(mne.Report, "save", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        toy.make_report().save(path, overwrite=True)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_page_opens_in_a_browser(restored, tmp_path):
    names = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("there is no Chromium")
    restored[1].save(tmp_path / "page.html")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    dom = subprocess.run(
        [browser, *options, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "Restoration: summary" in dom and "<td>F3</td>" in dom
