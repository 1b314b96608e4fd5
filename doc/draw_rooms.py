# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Draw which folder of the package imports which, as doc/images/rooms.svg."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# From what stands on all others to what all others stand on.
LAYERS = (
    ("_commands",),
    ("bids", "benchmarking"),
    ("_bids", "decoding"),
    ("_classifying", "report"),
    ("harmonization", "viz", "datasets"),
    ("_drawing",),
    ("training", "features"),
    ("restoration", "_embedding"),
    ("detection", "_restoring"),
    ("_detecting", "weights"),
    ("_files", "prior", "_inference"),
    ("_recording", "_model_io", "metrics"),
    ("preprocessing", "spatial", "models"),
    ("montage", "_bands", "_patches"),
    ("_channels",),
)
WIDTH, HEIGHT, GAP = 148, 34, 66


def find_imports():
    """Return which top-level names import which at their top, and which inside functions."""
    package = ROOT / "mne_gram"
    found = {True: {}, False: {}}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = list(parts[:-1])[: len(parts) - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                target = ".".join([*base, name]).split(".")[0]
                if target != parts[0]:
                    found[node in tree.body].setdefault(parts[0], set()).add(target)
    return found[True], found[False]


def draw():
    """Return the picture as SVG."""
    imports, nested = find_imports()
    places = {}
    columns = max(map(len, LAYERS))
    total = columns * (WIDTH + 30)
    for row, names in enumerate(LAYERS):
        for k, name in enumerate(names):
            x = total * (k + 0.5) / len(names)
            places[name] = (x, 30 + row * GAP)
    lacking = {name for name in {**imports, **nested} if not name.startswith("__")} - set(places)
    lacking -= {"_version", "_sys_info"}
    if lacking:
        raise ValueError(f"LAYERS lacks {', '.join(sorted(lacking))}.")
    height = 30 + len(LAYERS) * GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" '
        'font-family="sans-serif" font-size="14">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#777"/></marker></defs>',
    ]
    for source, target in sorted(_reduce(imports, set(places))):
        lines.append(_draw_arrow(places[source], places[target]))
    for name, (x, y) in places.items():
        fill = "#e8f1f8" if name.startswith("_") else "#cfe3f2"
        lines.append(
            f'<rect x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" '
            f'height="{HEIGHT}" rx="6" fill="{fill}" stroke="#0072b2"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle">{name}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _reduce(imports, names):
    """Return the imports that are not also there by way of another."""

    def reach(start, seen):
        for target in imports.get(start, set()) & names - seen:
            seen.add(target)
            reach(target, seen)
        return seen

    arrows = set()
    for source in names:
        targets = imports.get(source, set()) & names
        behind = set().union(*(reach(target, set()) for target in targets))
        arrows |= {(source, target) for target in targets - behind}
    return arrows


def _draw_arrow(source, target):
    (x0, y0), (x1, y1) = source, target
    colour = "#888" if y1 > y0 else "#d55e00"  # what runs upwards stands out
    return (
        f'<path d="M{x0:.0f} {y0 + HEIGHT / 2:.0f} C{x0:.0f} {y0 + GAP * 0.7:.0f} '
        f'{x1:.0f} {y1 - GAP * 0.7:.0f} {x1:.0f} {y1 - HEIGHT / 2 - 2:.0f}" fill="none" '
        f'stroke="{colour}" marker-end="url(#a)"/>'
    )


if __name__ == "__main__":
    (ROOT / "doc" / "images" / "rooms.svg").write_text(draw(), encoding="utf-8")
