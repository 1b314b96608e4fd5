# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What builds the documentation: inventories of other projects, and the check of links."""

import importlib
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mne_gram

PACKAGE = Path(mne_gram.__file__).parent
DOC = Path(__file__).resolve().parents[1] / "doc"
if not DOC.is_dir():
    pytest.skip("The documentation is not beside the tests.", allow_module_level=True)


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a script."""
    monkeypatch.syspath_prepend(DOC)
    return importlib.import_module


# ---------------------------------------------------------------------------------------------
# How it is built


def test_page_of_rooms_is_complete():
    """It names every folder, and every module of the restoration; the picture has its folders."""
    page = (DOC / "rooms.rst").read_text("utf8")
    table, steps = page.split("The data of :func:`mne_gram.restore` pass")
    parts = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")} - {"data"}
    names = re.findall(r"``(\w+)``", "".join(re.findall(r"^   \* - (``.*)$", table, re.M)))
    assert sorted(names) == sorted(parts)
    modules = {path.stem for path in (PACKAGE / "restoration").glob("_[a-z]*.py")}
    assert modules - {*re.findall(r"``(\w+)``", steps)} == set()
    drawn = re.findall(r">(\w+)</text>", (DOC / "images" / "rooms.svg").read_text("utf8"))
    assert {*drawn} == parts - {"_counts", "_docs", "_threads", "_workers"}


# ---------------------------------------------------------------------------------------------
# Inventories


def build(folder, text, conf="", builder="html"):
    """Build a page, warnings being errors, and return the folder of what was built."""
    folder.mkdir()
    (folder / "conf.py").write_text(conf)
    (folder / "index.rst").write_text(f"Title\n=====\n\n{text}\n")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", builder, folder, folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    """Return the inventory of a project that documents a class."""
    pytest.importorskip("sphinx")
    site = build(tmp_path_factory.mktemp("site") / "mne", ".. py:class:: mne.Report")
    return site / "objects.inv"


@pytest.mark.parametrize("is_there", [False, True])
def test_links_to_other_projects(inventory, tmp_path, is_there):
    """They are links where there is an inventory, else plain text without a warning."""
    folder = tmp_path / "inventories"
    folder.mkdir()
    if is_there:
        shutil.copy(inventory, folder / "mne.inv")
    conf = (
        f"import sys\nsys.path.insert(0, {str(DOC)!r})\n"
        "from inventories import find_inventories\n"
        "extensions = ['sphinx.ext.intersphinx']\n"
        f"intersphinx_mapping = find_inventories({str(folder)!r})\n"
    )
    text = "A :class:`mne.Report`, :meth:`mne.Report.save` and :func:`torch.compile`."
    built = (build(tmp_path / "doc", text, conf) / "index.html").read_text(encoding="utf-8")
    link = 'href="https://mne.tools/stable/index.html#mne.Report"'
    assert (link in built) == is_there
    assert "mne.Report.save" in built and "torch.compile" in built


def test_only_files_that_are_there_are_used(load, tmp_path):
    """Sphinx fetches what is not a file, and a build is to need no network."""
    inventories = load("inventories")
    assert inventories.find_inventories(tmp_path / "nowhere") == {}
    for name in ("numpy.inv", "torch.inv.part", "other.inv"):
        (tmp_path / name).touch()
    site, file = inventories.find_inventories(tmp_path)["numpy"]
    assert list(inventories.find_inventories(tmp_path)) == ["numpy"]
    assert site == "https://numpy.org/doc/stable/" and file == str(tmp_path / "numpy.inv")


def test_documentation_uses_the_inventories(load):
    conf = runpy.run_path(str(DOC / "conf.py"))
    assert "sphinx.ext.intersphinx" in conf["extensions"]
    assert conf["intersphinx_mapping"] == load("inventories").find_inventories()


def test_fetching(load, tmp_path):
    """What is not there, or no inventory, is said; the one that was there before is kept."""
    inventories = load("inventories")
    content = b"# Sphinx inventory version 2\n# Project: x\n"
    for name, text in (("good", content), ("page", b"<html>")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "objects.inv").write_bytes(text)
    sites = {name: f"{(tmp_path / name).as_uri()}/" for name in ("good", "page", "gone")}
    folder = tmp_path / "inventories"
    folder.mkdir()
    (folder / "page.inv").write_bytes(b"before")
    failures = inventories.fetch_inventories(folder, sites)
    assert list(failures) == ["page", "gone"]
    assert "is not an inventory" in failures["page"] and "gone/objects.inv" in failures["gone"]
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {"good.inv": content, "page.inv": b"before"}


# ---------------------------------------------------------------------------------------------
# Equations


def test_equations_need_no_script(tmp_path):
    """They are MathML, within sentences and on lines of their own."""
    pytest.importorskip("sphinx")
    conf = (
        f"import sys\nsys.path.insert(0, {str(DOC)!r})\n"
        "extensions = ['math_renderer']\nhtml_math_renderer = 'mathml'\n"
    )
    text = r"A ratio :math:`x_b`." + "\n\n" + r".. math:: \frac{1}{n}"
    built = (build(tmp_path / "doc", text, conf) / "index.html").read_text(encoding="utf-8")
    assert "<msub>" in built and "<mfrac>" in built
    assert built.count("<math ") == 2 and built.count('display="block"') == 1
    assert "mathjax" not in built.lower()


def test_equations_of_the_documentation():
    """All of them can be written as MathML."""
    pytest.importorskip("docutils")
    from docutils.utils.math.latex2mathml import tex2mathml

    text = (DOC / "method.rst").read_text(encoding="utf-8")
    found = re.findall(r":math:`([^`]+)`", text)
    found += re.findall(r"^\.\. math:: ((?:.+\n)+)", text, flags=re.MULTILINE)
    assert len(found) > 20
    for equation in found:
        assert tex2mathml(equation).startswith("<math ")


# ---------------------------------------------------------------------------------------------
# Links


def write_pages(folder, link):
    """Write two pages of which the first has a link, and a template, which does not count."""
    for name in ("more", "_static", "_images"):
        (folder / name).mkdir()
    (folder / "_images" / "a b.png").touch()
    (folder / "_static" / "macro.html").write_text('<a href="{{ anywhere }}">')
    (folder / "index.html").write_text(
        f'<a href="{link}">x</a> <img src="_images/a%20b.png?v=1"/> <h1 id="&auml;">'
        '<a href="#">top</a> <a href="https://example.org/#no">x</a> <a href="mailto:a@b.c">x</a>'
    )
    (folder / "more" / "two.html").write_text(
        '<a name="old"></a><p id="here"><a href="../index.html#%C3%A4">x</a><a href="#old">x</a>'
    )


@pytest.mark.parametrize(
    ("link", "counts"),
    [
        ("more/two.html", "3 links to files, 2 to places"),
        ("more/two.html#here", "3 links to files, 3 to places"),
        ("#", "2 links to files, 2 to places"),
        ("#ä", "2 links to files, 3 to places"),
    ],
)
def test_good_links(load, tmp_path, capsys, link, counts):
    write_pages(tmp_path, link)
    assert load("check_links").main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"2 pages, {counts} in pages: 0 broken\n"


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("more/three.html", "no such file"),
        ("more", "no such file"),
        ("../outside.html", "no such file"),
        ("/index.html", "no such file"),  # the site need not stand at the root of its host
        ("more/two.html#there", "no such place in the page"),
        ("#here", "no such place in the page"),
        ("_images/c.png", "no such file"),
    ],
)
def test_broken_links(load, tmp_path, capsys, link, wrong):
    folder = tmp_path / "html"
    folder.mkdir()
    (tmp_path / "outside.html").touch()
    write_pages(folder, link)
    assert load("check_links").main([str(folder)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first == f"index.html: {link}: {wrong}" and last.endswith(": 1 broken")


def test_a_folder_without_pages_is_said(load, tmp_path, capsys):
    with pytest.raises(SystemExit):
        load("check_links").main([str(tmp_path)])
    assert "no HTML page" in capsys.readouterr().err
