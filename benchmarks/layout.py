# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Print how large the package is, and how its folders depend on each other.

Run ``python benchmarks/layout.py``, or name the root of another checkout to compare versions. A
room is a folder or a module directly below the package; an arrow is an import from one room to
another, inside functions as well.
"""

import argparse
import ast
import io
import re
import tokenize
from collections import Counter, defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

NAME = "mne_gram"
# Phrases that readers of MNE's documentation stumble over, and what stands in the text instead.
PHRASES = {
    "bad all through": "bad throughout the recording",
    "what is bad": "bad channels and segments",
    "for a while": "segment",
    "a row a": "one row per",
    "a band each": "one per band",
    "how far to trust": "expected error",
    "over night": "resumes after an interruption",
    "have not": "missing",
    "no EEG": "non-EEG",
    "tells? of": "shows",
    "people who": "subjects",
    "learnt from": "pre-trained on",
    "level with": "on par with",
    "stretch(es)?": "segment",
}


def count_lines(source):
    """Return the numbers of lines of code, docstrings, comments, and blank ones."""
    lines = source.splitlines()
    documented = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                documented |= set(range(value.lineno, value.end_lineno + 1))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        t.start[0]
        for t in tokens
        if t.type == tokenize.COMMENT and not t.line[: t.start[1]].strip()
    }
    blank = {k for k, line in enumerate(lines, 1) if not line.strip()} - documented
    n_code = len(lines) - len(documented) - len(comments) - len(blank)
    counts = dict(code=n_code, docstrings=len(documented), comments=len(comments))
    return Counter(counts, blank=len(blank))


def find_arrows(package):
    """Return ``{(room, other): modules of the room that import the other}``."""
    arrows = defaultdict(set)
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts == ("__init__",):
            continue
        parents = (NAME, *parts[:-1])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            base = parents[: len(parents) - node.level + 1] if node.level else ()
            target = [*base, *(node.module.split(".") if node.module else [])]
            names = [alias.name for alias in node.names] if len(target) == 1 else [target[-1]]
            for name in names if target[:1] == [NAME] else []:
                other = target[1] if len(target) > 1 else name
                exists = (package / other).is_dir() or (package / f"{other}.py").exists()
                if exists and other != parts[0]:
                    arrows[parts[0], other].add("/".join(parts))
    return arrows


def find_floors(arrows):
    """Return the floor of each room, one above all that it imports, or a circle if there is one."""
    graph = defaultdict(set)
    for room, other in arrows:
        graph[room].add(other)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return None, " -> ".join(error.args[1])
    floors = {}
    for room in order:
        floors[room] = 1 + max((floors[other] for other in graph[room]), default=0)
    return floors, None


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", default=Path(__file__).resolve().parents[1], type=Path)
    package = parser.parse_args(argv).root / NAME
    files = sorted(package.rglob("*.py"))
    sources = {path: path.read_text(encoding="utf-8") for path in files}
    lines = sum((count_lines(source) for source in sources.values()), Counter())
    longest = max(files, key=lambda path: sources[path].count("\n"))
    print(f"{sum(lines.values())} lines in {len(files)} files: {dict(lines)}")
    print(f"longest file: {longest.relative_to(package)}, {sources[longest].count(chr(10))} lines")
    arrows = find_arrows(package)
    floors, circle = find_floors(arrows)
    rooms = {room for pair in arrows for room in pair}
    print(f"{len(rooms)} rooms, {len(arrows)} arrows", end=", ")
    print(f"{max(floors.values())} floors, no circle" if floors else f"a circle: {circle}")
    text = " ".join(" ".join(sources.values()).split())
    counts = {phrase: len(re.findall(rf"\b{phrase}\b", text)) for phrase in PHRASES}
    print(f"phrases to avoid: {sum(counts.values())}, {counts}")


if __name__ == "__main__":
    main()
