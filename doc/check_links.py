# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Check that all links within the built documentation lead somewhere.

Run ::

    python doc/check_links.py doc/_build/html

Sphinx checks what it links itself. This reads the pages as a browser does: every file that a page
links or shows, and every place in a page, has to be there. Links to other sites are not followed.
"""

import argparse
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links, and the places in it.

    Parameters
    ----------
    text : str
        The page.

    Attributes
    ----------
    links : set of str
        All values of ``href`` and ``src``.
    places : set of str
        What ``#place`` can name.
    """

    def __init__(self, text):
        super().__init__()
        self.links, self.places = set(), {"", "top"}  # which a browser knows without help
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note the links and the place of an element."""
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.links.add(value)
            elif name == "id" or (tag, name) == ("a", "name"):
                self.places.add(value)


def check_links(folder):
    """Follow all links of all pages within a folder.

    Parameters
    ----------
    folder : path-like
        The built documentation.

    Returns
    -------
    counts : dict of str to int
        How many ``pages`` there are, and links to ``files`` and to ``places`` in pages.
    broken : list of tuple of str
        Page, link and what is wrong with it.
    """
    folder = Path(folder).resolve()
    names = sorted(folder.rglob("*.html"))
    # What the theme keeps among its files are templates.
    names = [name for name in names if "_static" not in name.relative_to(folder).parts]
    pages = {name: Page(name.read_text(encoding="utf-8")) for name in names}
    counts, broken = dict(pages=len(pages), files=0, places=0), []
    for name, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            file = (name.parent / unquote(parts.path)).resolve() if parts.path else name
            wrong = ""
            counts["files"] += bool(parts.path)
            if not file.is_file() or not file.is_relative_to(folder):
                wrong = "no such file"
            elif file in pages:
                counts["places"] += bool(parts.fragment)
                if unquote(parts.fragment) not in pages[file].places:
                    wrong = "no such place in the page"
            if wrong:
                broken.append((str(name.relative_to(folder)), link, wrong))
    return counts, broken


def main(argv=None):
    """Check a folder; return 1 if a link is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the built documentation")
    folder = parser.parse_args(argv).folder
    counts, broken = check_links(folder)
    if not counts["pages"]:
        parser.error(f"there is no HTML page in {folder}; run make doc")
    for page, link, wrong in broken:
        print(f"{page}: {link}: {wrong}")
    print(
        f"{counts['pages']} pages, {counts['files']} links to files, {counts['places']} to places "
        f"in pages: {len(broken)} broken"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
