# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How Sphinx builds the documentation; nothing is fetched while it does."""

import sys
import warnings
from pathlib import Path

import matplotlib

import mne_gram

sys.path.insert(0, str(Path(__file__).resolve().parent))
from inventories import find_inventories  # noqa: E402

matplotlib.use("agg")
warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive", UserWarning)

project = "mne_gram"
author = "The mne_gram developers"
copyright = f"2026, {author}"
version = release = mne_gram.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "math_renderer",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "unreleased",
]
exclude_patterns = ["_build", "changes"]
templates_path = ["_templates"]

intersphinx_mapping = find_inventories()

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

smartquotes = False  # code in tables keeps its quotes

highlight_language = "text"  # of literal blocks without a language: commands and their output

html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_favicon = "_static/favicon.svg"
html_sidebars = {"index": [], "install": []}
html_theme_options = {
    "header_links_before_dropdown": 7,
    "logo": {
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo_dark.svg",
        "alt_text": "mne_gram: start page",
    },
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "show_toc_level": 2,
}

sphinx_gallery_conf = {
    "examples_dirs": "../tutorials",
    "gallery_dirs": "auto_tutorials",
    "filename_pattern": r"[/\\]\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "show_memory": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "ignore_repr_types": r"matplotlib[.](text|axes|figure)|mne[.]Info",
}


def _skip(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds for its own routing, and documents with links of its own."""
    inherited = name == "get_metadata_routing" or (
        name.startswith("set_") and name.endswith("_request")
    )
    return True if inherited else None


def setup(app):
    app.connect("autodoc-skip-member", _skip)
