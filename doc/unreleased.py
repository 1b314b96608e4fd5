# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Show the changelog fragments of changes that are not released yet.

Before the documentation is built, towncrier renders ``changes/dev`` into a file that
``changelog.rst`` includes.
"""

import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parent
FILE = DOC / "changes" / "unreleased.inc"


def render_fragments():
    """Return the fragments as a section of the changelog; empty if there are none."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--date", "unreleased"]
    done = subprocess.run(command, cwd=DOC.parent, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"towncrier cannot render the fragments: {done.stderr.strip()}")
    return "" if "No significant changes." in done.stdout else done.stdout.strip() + "\n"


def write_fragments(app=None):
    """Write the section if it has changed; otherwise, the page is not built again."""
    text = render_fragments()
    if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        FILE.write_text(text, encoding="utf-8")


def setup(app):
    """Connect to Sphinx."""
    app.connect("builder-inited", write_fragments)
    return {"parallel_read_safe": True}
