# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The report of a restoration as text and as JSON."""

import json
import textwrap

import numpy as np

from .._version import __version__
from ._evidence import to_number

_WIDTH = 100


def format_report(report):
    """Return a report as text.

    Parameters
    ----------
    report : RestorationReport
        The report.

    Returns
    -------
    text : str
        Several lines.
    """
    lines = textwrap.wrap(f"mne_gram {__version__}: {report.summary}", _WIDTH)
    if not report._rows:
        return "\n".join(lines)
    lines += ["", *_format_channels(report._rows), ""]
    if report.evidence is not None:
        lines += [*_format_evidence(report), ""]
    for note in report.notes:
        lines += textwrap.wrap(note, _WIDTH)
    return "\n".join(lines)


def describe_extent(row):
    """Say how much of a channel was restored."""
    if row["whole"]:
        return "all through"
    return "1 part" if row["n_segments"] == 1 else f"{row['n_segments']} parts"


def format_number(value, missing="?"):
    """Return a number with two decimals, or what stands for one that is not known."""
    return f"{value:.2f}" if np.isfinite(value) else missing


def describe_calibration(evidence):
    """Say how the standard deviation was checked, or nothing."""
    parts = []
    if evidence.calibration is not None:
        parts.append(f"Standard deviations were multiplied by {evidence.calibration:.2f}.")
    if evidence.coverage is not None:
        parts.append(f"The 90 % interval then holds {evidence.coverage:.0%} of the hidden samples.")
    return " ".join(parts)


def _format_channels(rows):
    """Return the table of channels as lines."""
    width = max(7, *(len(row["channel"]) for row in rows))
    lines = [f"{'channel':{width}}  what       seconds  expected NMSE  expected r"]
    for row in rows:
        nmse, r = format_number(row["expected_nmse"]), format_number(row["expected_r"])
        what = describe_extent(row)
        lines.append(
            f"{row['channel']:{width}}  {what:11}{row['seconds']:7.1f}  {nmse:>13}  {r:>10}"
        )
        if row["invented"]:
            lines.append(f"{'':{width}}  {row['invented']:.1f} s of it invented")
    return lines


def _format_evidence(report):
    """Return the table of experts as lines."""
    evidence = report.evidence
    chosen = evidence.find_chosen(report.method)
    title = evidence.title
    lines = textwrap.wrap(f"{title[0].upper()}{title[1:]}:", _WIDTH)
    width = max(6, *(len(expert) for expert in evidence.experts)) if evidence.experts else 6
    lines.append(f"{'expert':{width}}  NMSE     r  weight")
    for expert, *values in evidence.to_table():
        nmse, r, weight = (format_number(value, "") for value in values)
        mark = "  (chosen)" if expert == chosen else ""
        lines.append(f"{expert:{width}}  {nmse:>4}  {r:>4}  {weight:>6}{mark}".rstrip())
    return lines + textwrap.wrap(describe_calibration(evidence), _WIDTH)


def format_json(report):
    """Return a report as JSON.

    Parameters
    ----------
    report : RestorationReport
        The report.

    Returns
    -------
    text : str
        An object; numbers that are not known are null.
    """
    content = dict(
        version=__version__,
        method=report.method,
        output=report.output,
        summary=report.summary,
        rank_before=report.rank_before,
        rank_after=report.rank_after,
        evidence=None if report.evidence is None else report.evidence.to_dict(),
        channels=[{key: to_number(value) for key, value in row.items()} for row in report._rows],
        notes=report.notes,
    )
    return json.dumps(content, indent=1) + "\n"
