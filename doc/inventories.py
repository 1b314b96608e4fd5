# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Inventories of other projects' documentation, by which ours links to their pages.

Run ::

    python doc/inventories.py

to fetch them into ``doc/_inventories``. A build takes those that are there, links nothing to the
other projects, and never waits for a network.
"""

import os
from pathlib import Path
from urllib.request import urlopen

FOLDER = Path(__file__).resolve().parent / "_inventories"
SITES = {
    "mne": "https://mne.tools/stable/",
    "mne_bids": "https://mne.tools/mne-bids/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "sklearn": "https://scikit-learn.org/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
_BEGIN = b"# Sphinx inventory version "


def find_inventories(folder=FOLDER):
    """Return what Sphinx is to know of other projects.

    Parameters
    ----------
    folder : path-like
        Where the inventories are, if any.

    Returns
    -------
    mapping : dict of str to tuple of str
        The value of ``intersphinx_mapping``: site and file of each project whose inventory is
        there.
    """
    files = {name: Path(folder).resolve() / f"{name}.inv" for name in SITES}
    return {name: (SITES[name], str(file)) for name, file in files.items() if file.is_file()}


def fetch_inventories(folder=FOLDER, sites=SITES):
    """Fetch inventories; those that are there are replaced.

    Parameters
    ----------
    folder : path-like
        Where they go.
    sites : dict of str to str
        Where each project's documentation is.

    Returns
    -------
    failures : dict of str to str
        Why an inventory could not be fetched. What was there before is kept.
    """
    folder, failures = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, site in sites.items():
        try:
            # The sites are constants.
            with urlopen(f"{site}objects.inv", timeout=30) as answer:  # noqa: S310
                content = answer.read()
        except OSError as exc:
            failures[name] = f"{site}objects.inv: {exc}"
            continue
        if not content.startswith(_BEGIN):
            failures[name] = f"{site}objects.inv is not an inventory: it begins {content[:30]!r}"
            continue
        part = folder / f"{name}.inv.part"
        part.write_bytes(content)
        os.replace(part, folder / f"{name}.inv")
    return failures


def main():
    """Fetch all inventories; return 1 if one is lacking."""
    failures = fetch_inventories()
    for name, reason in failures.items():
        print(f"{name}: {reason}")
    print(f"{len(find_inventories())} of {len(SITES)} inventories are in {FOLDER}.")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
