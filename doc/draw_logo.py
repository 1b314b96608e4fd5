# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Draw the logo and the favicon: EEG traces, one of which has a repaired segment."""

from pathlib import Path

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

FOLDER = Path(__file__).parent / "_static"
REPAIRED = "#D55E00"
COLOURS = {"logo": ("#0072B2", "#1F2937"), "logo_dark": ("#56B4E9", "#F3F4F6")}
SIZE = 64  # of the square mark


def make_wave(n_cycles, phase, seed):
    """Return a wave whose size waxes and wanes, as alpha does, between -1 and 1."""
    t = np.linspace(0, 1, 121)
    slow = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    size = 0.45 + 0.55 * np.sin(np.pi * t + 0.4 * np.sin(2 * np.pi * t + slow)) ** 2
    return t, size * np.sin(2 * np.pi * n_cycles * t + phase)


def draw_trace(t, wave, middle, height, colour, width):
    """Return a line of the mark."""
    places = " ".join(
        f"{4 + 56 * x:.1f},{middle - height * y:.1f}" for x, y in zip(t, wave, strict=True)
    )
    look = 'fill="none" stroke-linecap="round" stroke-linejoin="round"'
    return f'<polyline {look} stroke="{colour}" stroke-width="{width}" points="{places}"/>'


def draw_mark(colour, rows, width):
    """Return the lines of the mark; the middle segment of the middle row is repaired."""
    lines = []
    for row, (middle, height, n_cycles, phase) in enumerate(rows):
        t, wave = make_wave(n_cycles, phase, row)
        if row != len(rows) // 2:
            lines.append(draw_trace(t, wave, middle, height, colour, width))
            continue
        first, last = 38, 82
        for part in (slice(0, first + 1), slice(last, None)):
            lines.append(draw_trace(t[part], wave[part], middle, height, colour, width))
        part = slice(first, last + 1)
        lines.append(draw_trace(t[part], wave[part], middle, height, REPAIRED, 1.35 * width))
    return lines


def draw_text(text, colour, left, baseline, size):
    """Return a text as a path, so that it looks the same with any fonts."""
    path = TextPath(
        (0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans", weight="bold")
    )
    words = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        pairs = np.reshape(points, (-1, 2)) * (1, -1) + (left, baseline)
        letter = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}[int(code)]
        words.append(
            letter if letter == "Z" else letter + " ".join(f"{x:.2f},{y:.2f}" for x, y in pairs)
        )
    return f'<path fill="{colour}" d="{"".join(words)}"/>', left + path.get_extents().x1


def write(name, width, lines):
    """Write a picture."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {SIZE}">'
    text = "\n".join([head, "<title>mne_gram</title>", *lines, "</svg>", ""])
    (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


def main():
    """Draw all of them."""
    rows = [(13, 8, 4, 0.3), (32, 10, 3.5, 1.2), (51, 8, 4.5, 2.2)]
    for name, (colour, ink) in COLOURS.items():
        text, right = draw_text("mne_gram", ink, 74, 43, 34)
        write(name, right + 4, [*draw_mark(colour, rows, 2.6), text])
    write("favicon", SIZE, draw_mark("#0072B2", [(32, 24, 3, 1.2)], 6))


if __name__ == "__main__":
    main()
