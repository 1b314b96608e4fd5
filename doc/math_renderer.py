# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Write equations as MathML, which browsers draw themselves, so that no script is fetched."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def visit_math(self, node):
    """Write an equation within a sentence."""
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_display_math(self, node):
    """Write an equation of its own."""
    text = tex2mathml(node.astext()).replace("<math ", '<math display="block" ', 1)
    self.body.append(f'<div class="math">{text}</div>')
    raise nodes.SkipNode


def setup(app):
    """Make this the renderer of HTML pages."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_display_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
