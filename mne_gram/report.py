# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A section for :class:`mne.Report`."""

import platform
from functools import partial
from html import escape

import mne
import numpy as np
from mne.utils import _validate_type

from ._version import __version__
from .montage import find_placed
from .restoration import describe_calibration, describe_extent, format_number
from .viz import plot_channel_map, plot_restoration, plot_scores

__all__ = ["add_restoration"]


def add_restoration(
    mne_report,
    report,
    *,
    title="Restoration",
    section=None,
    tags=("restoration",),
    n_channels=6,
    replace=False,
):
    """Add what a restoration did to a report of MNE.

    Parameters
    ----------
    mne_report : mne.Report
        The report to add to.
    report : RestorationReport
        What :func:`mne_gram.restore` returned.
    title : str
        How the titles of what is added begin.
    section : str | None
        The section of the report to put it in; None puts it in none.
    tags : tuple of str
        Tags, by which readers filter.
    n_channels : int
        How many channels the figure shows, those with the largest expected error first.
    replace : bool
        Whether to replace what was added before under the same title and section.

    Notes
    -----
    Four items are added: a summary with the table of channels and what to know before going on,
    the channels before and after, the error of each expert on hidden clean patches, and a map of
    the restored channels. What cannot be drawn is replaced by a sentence that says why.

    Examples
    --------
    >>> import mne
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample(verbose="error")
    >>> restored, report = mne_gram.restore(raw, return_report=True, verbose="error")
    >>> mne_report = mne.Report(title="sub-01", verbose="error")
    >>> mne_gram.report.add_restoration(mne_report, report)
    >>> len(mne_report)
    4
    """
    import matplotlib.pyplot as plt

    _validate_type(mne_report, mne.Report, "mne_report")
    rows = sorted(report._rows, key=lambda row: -np.nan_to_num(row["expected_nmse"], nan=np.inf))
    options = dict(section=section, tags=tags, replace=replace)
    mne_report.add_html(_format_summary(report, rows), f"{title}: summary", **options)
    for what, caption, missing, draw in _list_figures(report, rows, n_channels):
        if missing:
            mne_report.add_html(f"<p>{missing}</p>", f"{title}: {what}", **options)
            continue
        with plt.ioff():  # no window opens
            fig = draw()
        mne_report.add_figure(fig, f"{title}: {what}", caption=caption, **options)
        plt.close(fig)


def _list_figures(report, rows, n_channels):
    """Return what each figure shows, its caption, why it cannot be drawn, and what draws it."""
    names = [row["channel"] for row in rows]
    return [
        (
            "before and after",
            "The first restored stretch of each channel, the largest expected error first. Blue: "
            "restored, with the 90 % interval; grey: what was there before; dotted: seams.",
            "" if rows else "Nothing was restored.",
            partial(
                plot_restoration,
                report,
                picks=names,
                n_channels=n_channels,
                scores=False,
                show=False,
            ),
        ),
        (
            "experts",
            "How the experts restored clean patches that were hidden for the purpose; what was "
            "done is blue. An estimate of zero has an NMSE of 1.",
            "No clean patches were hidden to score the experts." * (report.evidence is None),
            partial(plot_scores, report, show=False),
        ),
        (
            "map",
            "Restored channels, coloured by the expected NMSE; a thick edge is a channel that was "
            "bad all through.",
            "" if find_placed(report._info).any() else "The channels have no positions.",
            partial(plot_channel_map, report, show=False),
        ),
    ]


def _format_summary(report, rows):
    """Return the summary, the table of channels and the notes as HTML."""
    parts = [f"<p>{escape(report.summary)}</p>"]
    if rows:
        parts.append(_format_table(rows))
    if report.evidence is not None:
        parts.append(f"<p>{escape(describe_calibration(report.evidence))}</p>")
    if report.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
        parts.append(f"<ul>{items}</ul>")
    parts.append(
        f"<p><small>Method {escape(report.method)}, output {escape(report.output)}; mne_gram "
        f"{__version__}, MNE-Python {mne.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}.</small></p>"
    )
    return "\n".join(parts)


def _format_table(rows):
    """Return the table of channels as HTML."""
    experts = [key for key in rows[0] if key.startswith("weight_") and any(r[key] for r in rows)]
    head = ["Channel", "Restored", "Seconds", "Invented (s)", "Expected NMSE", "Expected r"]
    head += [f"Weight of {key.removeprefix('weight_')}" for key in experts]
    lines = [[f"<th>{escape(text)}</th>" for text in head]]
    for row in rows:
        cells = [row["channel"], describe_extent(row)]
        cells += [f"{row['seconds']:.1f}", f"{row['invented']:.1f}" if row["invented"] else ""]
        keys = ["expected_nmse", "expected_r", *experts]
        cells += [format_number(row[key], "not known") for key in keys]
        lines.append([f"<td>{escape(text)}</td>" for text in cells])
    head, *body = [f"<tr>{''.join(cells)}</tr>" for cells in lines]
    return (
        f'<table class="table table-sm table-hover"><thead>{head}</thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def write_page(report, fname):
    """Write a report as a page of HTML that needs no other one.

    Parameters
    ----------
    report : RestorationReport
        The report.
    fname : path-like
        The file, which is replaced.
    """
    with mne.utils.use_log_level("warning"):
        page = mne.Report(title="Restoration by mne_gram")
        add_restoration(page, report)
        page.save(fname, open_browser=False, overwrite=True)
