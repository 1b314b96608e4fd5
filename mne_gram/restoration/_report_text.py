# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The report of a restoration as text."""

import textwrap

import numpy as np

from .. import __version__
from .._counts import count

_WIDTH = 72


def summarize(report, rows, seconds_left):
    """Return what was done in one line, given the rows of the table."""
    text = "Nothing was restored."
    if rows:
        n_whole = sum(row["whole"] for row in rows)
        r = np.median([row["expected_r"] for row in rows])
        expected = f"; median expected correlation {r:.2f}" if np.isfinite(r) else ""
        n_parts = len(rows) - n_whole
        text = (
            f"Restored {count(n_whole, 'bad channel')} and bad segments of "
            f"{count(n_parts, 'channel')} by method {report.method!r}{expected}."
        )
    if seconds_left:
        text += (
            f" {seconds_left:.1f} channel-seconds were left unchanged: too few channels are good "
            "at these times (see all_channel_gaps), or the positions of the channels are unknown."
        )
    return text


def list_notes(report):
    """Return what to consider in further processing, a list of str."""
    notes = []
    if report.rank_before is not None and report.rank:
        n = report.rank["eeg"]
        notes.append(
            f"The rank is {report.rank_before} for the channels that are good at some time, and "
            f"{report.rank_after} for all channels after restoration. Restored channels are "
            "combinations of the others in each frequency band and add no measured information: "
            f"set n_components={n} or fewer for an ICA, and rank=dict(eeg={n}), which is "
            "report.rank, for whitening. Use one less if you set an average reference afterwards."
        )
    if report.prior is not None:
        notes.append(_describe_prior(report.prior, report.evidence))
    if report.output == "sample":
        notes.append(
            "The estimates are random draws: they have the power of the signal, and a larger "
            "error than conditional means."
        )
    notes += [
        "Restored channels have the reference of the data. If that is an average that included a "
        "bad channel, set the reference again: inst.set_eeg_reference('average').",
        "To save the good samples without rounding, write FIF with fmt='double'; BrainVision keeps "
        "single precision, EDF 16 bits.",
    ]
    return notes


def _describe_prior(prior, evidence):
    """Return sentences about the prior that was used, and what its cohort is worth."""
    names = {
        "bundled": "the prior in the package",
        "fitted": "a fitted prior",
        "another": "another prior than that in the package",
    }
    text = (
        f"Other subjects' recordings are from {names.get(prior['name'], prior['name'])}: "
        f"{count(prior['n_recordings'], 'recording')} of {count(prior['n_subjects'], 'subject')}"
    )
    if prior["n_cohort"]:
        text += f", of which {prior['n_cohort']} of {prior['n_cohort_subjects']} are the cohort"
    if prior["cohort_weight"] is not None:
        text += f", which weighs {prior['cohort_weight']:.0%} in the mixture for these data"
    scores = {} if evidence is None else evidence.scores
    if "bundled" in scores:
        text += (
            f". The NMSE of hidden good channels is {scores['spatial']:.2f} with the cohort and "
            f"{scores['bundled']:.2f} without it"
        )
    return f"{text}."


def describe_extent(row):
    """Return how much of a channel was restored, in words."""
    if row["whole"]:
        return "whole channel"
    return count(row["n_segments"], "segment")


def format_text(report, rows):
    """Return the report as lines of text."""
    lines = textwrap.wrap(f"mne_gram {__version__}: {report.summary}", _WIDTH)
    if not rows:
        return "\n".join(lines)
    lines += ["", *_format_channels(rows), ""]
    if report.evidence is not None:
        lines += [*_format_evidence(report.evidence, report.method), ""]
    for note in report.notes:
        lines += textwrap.wrap(note, _WIDTH)
    return "\n".join(lines)


def _format_number(value, missing):
    """Return a number with two decimals, or a substitute for one that is unknown."""
    return f"{value:.2f}" if np.isfinite(value) else missing


def _format_channels(rows):
    """Return the table of channels as lines."""
    width = max(7, *(len(row["channel"]) for row in rows))
    lines = [f"{'channel':{width}}  restored     seconds  expected NMSE  expected r"]
    for row in rows:
        nmse, r = (_format_number(row[key], "?") for key in ("expected_nmse", "expected_r"))
        start = f"{row['channel']:{width}}  {describe_extent(row):13}"
        lines.append(f"{start}{row['seconds']:7.1f}  {nmse:>13}  {r:>10}")
        if row["invented"]:
            lines.append(f"{'':{width}}  {row['invented']:.1f} s of these invented")
    return lines


def _format_evidence(evidence, method):
    """Return the table of experts as lines."""
    chosen, title = evidence.find_chosen(method), evidence.title
    lines = textwrap.wrap(f"{title[0].upper()}{title[1:]}:", _WIDTH)
    width = max(6, *(len(expert) for expert in evidence.experts)) if evidence.experts else 6
    lines.append(f"{'expert':{width}}  NMSE     r  weight")
    for expert, *values in evidence.to_table():
        nmse, r, weight = (_format_number(value, "") for value in values)
        mark = "  (used)" if expert == chosen else ""
        lines.append(f"{expert:{width}}  {nmse:>4}  {r:>4}  {weight:>6}{mark}".rstrip())
    return lines + textwrap.wrap(evidence.calibration_note, _WIDTH)
