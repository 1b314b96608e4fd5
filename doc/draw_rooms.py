# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Draw which folder of the package imports which, as doc/images/rooms.svg.

The layers are those of the import contract in pyproject.toml. This needs Python 3.11 and
import-linter.
"""

from pathlib import Path

import grimp
import tomllib

ROOT = Path(__file__).resolve().parents[1]
BOX, GAP, PITCH = (132, 36), 150, 84  # size of a box, and distances of columns and rows
INK, LINE, FILL, INNER = "#333333", "#7f9db3", "#cfe3f2", "#eef4f9"
LEFT_OUT = {"_counts", "_docs", "_threads", "_workers"}  # small modules that most folders import


def read_layers():
    """Return the names of each layer, from top to bottom, without those that are left out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (c for c in settings["tool"]["importlinter"]["contracts"] if "layers" in c)
    layers = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    layers = [[name for name in layer if name not in LEFT_OUT] for layer in layers]
    return [layer for layer in layers if layer]


def find_imports(names):
    """Return which names import which, inside functions as well."""
    graph = grimp.build_graph("mne_gram", cache_dir=None)
    imports = {name: set() for name in names}
    for module in graph.modules:
        source = module.split(".")[1:2]
        for target in graph.find_modules_directly_imported_by(module):
            other = target.split(".")[1:2]
            if source != other and {*source, *other} <= names and source and other:
                imports[source[0]].add(other[0])
    return imports


def reduce_imports(imports):
    """Return pairs of names without those that follow from others."""

    def reach(name):
        return set().union(*({other} | reach(other) for other in imports[name]))

    pairs = set()
    for name, others in imports.items():
        behind = set().union(*map(reach, others))
        pairs |= {(name, other) for other in others - behind}
    return pairs


def draw():
    """Return the picture as SVG."""
    layers = read_layers()
    width = GAP * max(map(len, layers)) + 20
    height = PITCH * len(layers)
    places = {
        name: (width * (k + 0.5) / len(names), PITCH * (row + 0.5))
        for row, names in enumerate(layers)
        for k, name in enumerate(names)
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="15">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/>'
        "</marker></defs>",
    ]
    for source, target in sorted(reduce_imports(find_imports(set(places)))):
        lines.append(_draw_arrow(places[source], places[target]))
    for name, (x, y) in places.items():
        fill = INNER if name.startswith("_") else FILL
        lines.append(
            f'<rect x="{x - BOX[0] / 2:.0f}" y="{y - BOX[1] / 2:.0f}" width="{BOX[0]}" '
            f'height="{BOX[1]}" rx="6" fill="{fill}" stroke="{LINE}"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle" fill="{INK}">{name}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _draw_arrow(source, target):
    """Return the path from the lower edge of a box to the upper edge of another."""
    (x0, y0), (x1, y1) = source, target
    y0, y1 = y0 + BOX[1] / 2, y1 - BOX[1] / 2 - 2
    bend = min(40, (y1 - y0) / 2)
    path = (
        f"M{x0:.0f} {y0:.0f} C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
    )
    return (
        f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.5" marker-end="url(#tip)"/>'
    )


if __name__ == "__main__":
    (ROOT / "doc" / "images" / "rooms.svg").write_text(draw(), encoding="utf-8")
