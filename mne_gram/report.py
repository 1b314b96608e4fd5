# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Sections for :class:`mne.Report`, and the HTML page of a restoration."""

import platform
from functools import partial
from html import escape

import mne
import numpy as np
from mne.utils import _validate_type

from . import __version__
from .montage import find_placed
from .viz import plot_bads, plot_channel_map, plot_prior, plot_restoration, plot_scores

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
    """Add the results of a restoration to a report of MNE, as ``report.add_to`` does.

    Parameters
    ----------
    mne_report : mne.Report
        The report to add to.
    report : RestorationReport
        What :func:`mne_gram.restore` returned.
    title : str
        The beginning of the titles of the added items.
    section : str | None
        The section of the report to add to; None for no section.
    tags : tuple of str
        Tags to filter by.
    n_channels : int
        The number of channels in the figure, those with the largest expected error first.
    replace : bool
        Whether to replace items that were added before under the same title and section.

    Notes
    -----
    Four items are added: a summary with the table of channels and notes on further processing, the
    channels before and after, the error of each expert on hidden clean samples, and a map of the
    restored channels. A figure that cannot be drawn is replaced by a sentence that says why.

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
    summary = format_summary(describe_summary(report), report.to_dict()["channels"])
    options = dict(section=section, tags=tags, replace=replace)
    _add(mne_report, title, summary, list_figures(report, n_channels), options)


def add_bads(mne_report, report, *, title, section, tags, replace):
    """Add a BadsReport to a report of MNE: a summary, and when which channels are bad."""
    caption = "When which channels are bad; bars over the whole width are bad channels."
    missing = "" if report.ch_names else "No channel was checked."
    figure = "over time", caption, missing, partial(plot_bads, report, show=False)
    options = dict(section=section, tags=tags, replace=replace)
    _add(mne_report, title, _format_bads(report), [figure], options)


def add_prior(mne_report, prior, *, title, section, tags, replace):
    """Add a Prior to a report of MNE: a summary, and who it was estimated from."""
    caption = (
        "Subjects of each data set (those of the cohort are red), and in how many subjects each "
        "electrode was measured."
    )
    figure = "recordings", caption, "", partial(plot_prior, prior, show=False)
    options = dict(section=section, tags=tags, replace=replace)
    _add(mne_report, title, prior._repr_html_(), [figure], options)


def _add(mne_report, title, summary, figures, options):
    """Add a summary in HTML, and figures as of `list_figures`."""
    import matplotlib.pyplot as plt

    _validate_type(mne_report, mne.Report, "mne_report")
    mne_report.add_html(summary, f"{title}: summary", **options)
    for what, caption, missing, draw in figures:
        if missing:
            mne_report.add_html(f"<p>{missing}</p>", f"{title}: {what}", **options)
            continue
        with plt.ioff():  # no window opens
            fig = draw()
        mne_report.add_figure(fig, f"{title}: {what}", caption=caption, **options)
        plt.close(fig)


def list_figures(report, n_channels):
    """Return of each figure its name, caption, why it cannot be drawn, and what draws it."""
    names = [row["channel"] for row in _sort_channels(report.to_dict()["channels"])]
    return [
        (
            "before and after",
            "The first restored segment of each channel, the largest expected error first. Blue: "
            "restored, with the 90 % interval; grey: what was there before; dotted: seams.",
            "" if names else "Nothing was restored.",
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
            "How well the experts restored clean samples that were hidden for the purpose; the one "
            "that was chosen is blue. An estimate of zero has an NMSE of 1.",
            "No clean samples were hidden to score the experts." * (report.evidence is None),
            partial(plot_scores, report, show=False),
        ),
        (
            "map",
            "Restored channels, coloured by the expected NMSE; channels that were bad throughout "
            "the recording have a thick edge.",
            "" if find_placed(report.info).any() else "The channels have no positions.",
            partial(plot_channel_map, report, show=False),
        ),
    ]


def _sort_channels(rows):
    """Return the rows of channels, those with the largest or an unknown error first."""
    known = [row for row in rows if row["expected_nmse"] is not None]
    unknown = [row for row in rows if row["expected_nmse"] is None]
    return unknown + sorted(known, key=lambda row: -row["expected_nmse"])


def describe_summary(report):
    """Return what `format_summary` needs in addition to the rows of channels, for JSON."""
    versions = (
        f"mne_gram {__version__}, MNE-Python {mne.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}"
    )
    evidence = report.evidence
    return dict(
        text=report.summary,
        calibration=None if evidence is None else evidence.calibration_note,
        notes=list(report.notes),
        method=report.method,
        output=report.output,
        versions=versions,
    )


def format_summary(content, channels):
    """Return the summary, the table of channels and the notes as HTML.

    ``content`` is that of `describe_summary`, ``channels`` are the rows of a report.
    """
    parts, rows = [f"<p>{escape(content['text'])}</p>"], _sort_channels(channels)
    if rows:
        parts.append(_format_table(rows))
    if content["calibration"] is not None:
        parts.append(f"<p>{escape(content['calibration'])}</p>")
    if content["notes"]:
        items = "".join(f"<li>{escape(note)}</li>" for note in content["notes"])
        parts.append(f"<ul>{items}</ul>")
    parts.append(
        f"<p><small>Method {escape(content['method'])}, output {escape(content['output'])}; "
        f"{escape(content['versions'])}.</small></p>"
    )
    return "\n".join(parts)


def _format_table(rows):
    """Return the table of restored channels as HTML."""
    experts = [key for key in rows[0] if key.startswith("weight_") and any(r[key] for r in rows)]
    head = ["Channel", "Restored", "Seconds", "Invented (s)", "Expected NMSE", "Expected r"]
    head += [f"Weight of {key.removeprefix('weight_')}" for key in experts]
    lines = []
    for row in rows:
        cells = [row["channel"], row["extent"]]
        cells += [f"{row['seconds']:.1f}", f"{row['invented']:.1f}" if row["invented"] else ""]
        values = [row[key] for key in ("expected_nmse", "expected_r", *experts)]
        cells += ["not known" if value is None else f"{value:.2f}" for value in values]
        lines.append(cells)
    return _format_cells(head, lines)


def _format_bads(report):
    """Return a BadsReport as HTML: its summary, and a table of channels that are bad at times."""
    scores = report.scores
    scores = scores[scores["bad"] | (scores["seconds"] > 0)]
    head = ["Channel", "Bad throughout", "Bad segments (s)", "Misfit", "Correlation", "Line (µV)"]
    lines = []
    for name, row in scores.iterrows():
        values = row["misfit"], row["correlation"], 1e6 * row["line"]
        cells = [name, row["why"], f"{row['seconds']:.1f}" if row["seconds"] else ""]
        lines.append(cells + ["not known" if np.isnan(v) else f"{v:.2f}" for v in values])
    text = "".join(f"<p>{escape(line)}</p>" for line in report.summary.splitlines())
    return text + (_format_cells(head, lines) if lines else "")


def _format_cells(head, lines):
    """Return a table of text as HTML."""
    head = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in cells)}</tr>" for cells in lines
    )
    return (
        f'<table class="table table-sm table-hover"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def write_page(report, fname):
    """Write a report as an HTML page that needs no other file; ``fname`` is replaced."""
    with mne.utils.use_log_level("warning"):
        page = mne.Report(title="Restoration by mne_gram")
        add_restoration(page, report)
        page.save(fname, open_browser=False, overwrite=True)
