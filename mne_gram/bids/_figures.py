# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The figures of one recording, drawn while what they show is in memory."""

import numpy as np

from ..report import _format_summary, _list_figures

_N_CHANNELS = 6


def draw_report(report, stem):
    """Draw what a restoration did.

    Parameters
    ----------
    report : RestorationReport
        The report.
    stem : pathlib.Path
        How the names of the files begin.

    Returns
    -------
    summary : str
        What was done, as HTML.
    figures : list of tuple
        The title of each figure, its caption, or why it cannot be drawn, and its file or None.
    """
    rows = sorted(report._rows, key=lambda row: -np.nan_to_num(row["expected_nmse"], nan=np.inf))
    figures = []
    for title, caption, missing, draw in _list_figures(report, rows, _N_CHANNELS):
        if missing:
            figures.append((title, missing, None))
            continue
        path = stem.with_name(f"{stem.name}{title.replace(' ', '')}.png")
        _save(draw, path)
        figures.append((title, caption, path))
    return _format_summary(report, rows), figures


def _save(draw, path):
    """Draw without opening a window."""
    import matplotlib.pyplot as plt

    with plt.ioff():
        figure = draw()
    try:
        figure.savefig(path, dpi=100)
    finally:
        plt.close(figure)
