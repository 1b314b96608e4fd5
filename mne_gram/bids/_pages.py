# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""HTML pages of a derivative data set, one per subject and an index; and their figures."""

import platform
from collections import Counter
from html import escape

import mne
import numpy as np
from mne.utils import use_log_level

from .. import __version__
from .._counts import count
from ..report import describe_summary, format_summary, list_figures
from ._dataset import read_title
from ._journal import PRIVATE, Journal, get_temporary, write_text
from ._lock import hold

_N_WORST, _N_CHANNELS = 6, 6  # recordings on the index, channels per figure
_STYLE = """\
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
  color: #222; line-height: 1.4; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.failed { color: #a00; } figure { margin: 1rem 0; } figure img { max-width: 100%; }
figcaption { font-size: 0.9rem; } .scroll { overflow-x: auto; } small { color: #555; }
"""


def draw_report(report, stem):
    """Draw the figures of a RestorationReport, to files whose names begin with a stem.

    Returns the summary as a dict for JSON, and for each figure its title, its caption (or why it
    cannot be drawn) and its path (or None).
    """
    figures = []
    for title, caption, missing, draw in list_figures(report, _N_CHANNELS):
        if missing:
            figures.append((title, missing, None))
            continue
        path = stem.with_name(f"{stem.name}{title.replace(' ', '')}.png")
        _save(draw, path)
        figures.append((title, caption, path))
    return describe_summary(report), figures


def _save(draw, path):
    """Save a figure without opening a window."""
    import matplotlib.pyplot as plt

    with plt.ioff():
        figure = draw()
    try:
        figure.savefig(path, dpi=100)
    finally:
        plt.close(figure)


def write_pages(folder):
    """Write the pages of all entries in the journal of a folder; return the path of the index."""
    index = folder / "index.html"
    with hold(folder / PRIVATE / "locks" / "pages.lock", wait=60) as lock:
        if lock is None:  # another run has been writing them for a minute
            return index
        # Measurements for the prior of the data set are no results.
        entries = [entry for entry in Journal(folder).read_all() if entry["job"] != "prior"]
        subjects = {}
        for entry in entries:
            if entry["status"] != "moving":
                subjects.setdefault(entry["entities"]["sub"], []).append(entry)
        for subject, own in subjects.items():
            _write_subject(folder, subject, own)
        write_text(folder, index.name, _format_index(folder, subjects))
    return index


def _write_subject(folder, subject, entries):
    """Write the page of a subject, if it is older than one of the entries."""
    path = folder / f"sub-{subject}.html"
    times = [entry["time"] for entry in entries]
    mark = f"<!-- {len(entries)} entries, {max(times)}, mne_gram {__version__} -->"
    if path.exists() and mark in path.read_text(encoding="utf-8", errors="replace"):
        return
    with use_log_level("error"):
        page = mne.Report(title=f"sub-{subject}")
        for entry in entries:
            _add_recording(page, folder, entry)
        file = get_temporary(folder, f"report.{path.name}")
        page.save(file, open_browser=False, overwrite=True)
        write_text(folder, path.name, f"{file.read_text(encoding='utf-8')}\n{mark}\n")
        file.unlink()


def _add_recording(page, folder, entry):
    """Add one recording to the page of its subject."""
    name, row = entry["recording"].rpartition("/")[2], entry["row"]
    section, tags = f"{name} ({entry['job']})", (entry["job"],)
    options = dict(section=section, tags=tags)
    if entry["status"] == "failed":
        page.add_html(f"<p>Failed: {escape(row['why'])}</p>", "Failure", **options)
        return
    parts = [_format_facts(row)]
    if "summary" in row:
        parts.insert(0, format_summary(row["summary"], row["channels"]))
    page.add_html("\n".join(parts), "Summary", **options)
    for figure in row.get("figures", []):
        path = figure["path"] and folder / figure["path"]
        title = figure["title"].capitalize()
        if path and _is_within(path, folder):
            page.add_image(path, title, caption=figure["text"], **options)
        else:
            text = "The figure was removed." if path else figure["text"]
            page.add_html(f"<p>{escape(text)}</p>", title, **options)


def _is_within(path, folder):
    """Return whether a file exists, and is not a link to one outside of a folder."""
    return path.is_file() and folder.resolve() in path.resolve().parents


def _format_facts(row):
    """Return the facts and warnings of a recording as HTML."""
    facts = [
        f"{row['duration']:.1f} s of {count(row['n_channels'], 'channel')} at {row['sfreq']:g} Hz; "
        f"computed in {row['compute_seconds']:.1f} s.",
        f"Channels marked as bad: {', '.join(row['bads']) or 'none'}.",
    ]
    if row.get("found"):
        found = row["found"]["channels"]
        names = ", ".join(f"{name} ({why})" for name, why in found.items()) or "none"
        n_found = count(row["found"]["n_spans"], "bad segment")
        facts.append(f"Channels detected as bad: {names}; {n_found}.")
    if "n_windows" in row:
        facts.append(f"{count(row['n_windows'], 'window')}, {row['good']:.0%} of patches good.")
    if row.get("prior"):
        facts.append(f"{_format_prior(row['prior'])}.")
    facts += [f"Warning: {note}" for note in row.get("notes", [])]
    return "<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in facts) + "</ul>"


def _format_prior(prior):
    """Return a line about the prior that a recording was restored with, without full stop."""
    text = f"Prior: {prior['text']}, sha256 {prior['sha256'][:12]}"
    if prior["excluded"]:
        text += f"; without {', '.join(prior['excluded'])}"
    return text


def _list_priors(done):
    """Yield a paragraph about the priors that recordings were restored with."""
    counts = Counter(
        f"{prior['text']} (sha256 {prior['sha256'][:12]})"
        for entry in done
        if (prior := entry["row"].get("prior"))
    )
    if counts:
        parts = "; ".join(f"{number} with {text}" for text, number in sorted(counts.items()))
        yield f"<p>Priors: {escape(parts)}.</p>"


def _format_index(folder, subjects):
    """Return the index page."""
    entries = [entry for own in subjects.values() for entry in own]
    done = sorted((r for r in entries if r["status"] == "done"), key=_get_rank)
    failed = [entry for entry in entries if entry["status"] == "failed"]
    versions = sorted({entry["version"] for entry in entries})
    seconds = sum(entry["row"]["compute_seconds"] for entry in done)
    parts = [
        f"<h1>{escape(read_title(folder))}</h1>",
        f"<p>{count(len(done), 'recording')} done, {len(failed)} failed; "
        f"{count(len(subjects), 'subject')}; "
        f"{count(sum(len(r['row'].get('channels', [])) for r in done), 'channel')} restored; "
        f"{seconds:.0f} s of computation.</p>",
        *_list_priors(done),
        *_format_failures(failed),
        "<h2>Recordings by expected error, largest first</h2>",
        _format_table(done),
        *_format_worst(folder, done),
        f"<p><small>Made by mne_gram {', '.join(versions)}; page by mne_gram {__version__}, "
        f"MNE-Python {mne.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}. Errors are estimated on clean samples that were masked "
        "and restored.</small></p>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>mne_gram report'
        f"</title><style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _get_rank(entry):
    """Return a sort key: largest expected error first, recordings without bad channels last."""
    worst = entry["row"].get("worst_nmse")
    n_channels = len(entry["row"].get("channels", []))
    # An unknown error counts as larger than any other.
    return (-np.inf if worst is None and n_channels else -(worst or 0.0)), entry["recording"]


def _format_failures(failed):
    """Yield the table of failures, if any."""
    if failed:
        lines = [
            f"<tr><td>{_link(r)}</td><td>{escape(r['job'])}</td>"
            f'<td class="failed">{escape(r["row"]["why"])}</td></tr>'
            for r in failed
        ]
        head = "<tr><th>Recording</th><th>Job</th><th>Error</th></tr>"
        yield f'<h2 class="failed">Failures</h2><table>{head}{"".join(lines)}</table>'


def _link(entry):
    """Return the name of a recording as a link to the page of its subject."""
    name = escape(entry["recording"].rpartition("/")[2])
    return f'<a href="sub-{escape(entry["entities"]["sub"])}.html">{name}</a>'


def _format_table(done):
    """Return the table of recordings."""
    head = ["Recording", "Job", "Duration (s)", "Restored channels", "Restored (channel-seconds)"]
    head += ["Segments", "Expected r", "Expected NMSE", "Worst NMSE", "Computation (s)", "Warnings"]
    numeric = {2, 4, 5, 6, 7, 8, 9, 10}
    lines = ["".join(_cell("th", text, k in numeric) for k, text in enumerate(head))]
    for entry in done:
        row = entry["row"]
        names = [channel["channel"] for channel in row.get("channels", [])]
        cells = [
            entry["job"],
            f"{row['duration']:.0f}",
            ", ".join(names) or "none",
            f"{row.get('seconds_restored', 0):.1f}",
            str(len(row.get("spans", []))),
            *(_number(row.get(key)) for key in ("expected_r", "expected_nmse", "worst_nmse")),
            f"{row['compute_seconds']:.1f}",
            str(len(row.get("notes", []))),
        ]
        cells = "".join(_cell("td", text, k in numeric) for k, text in enumerate(cells, 1))
        lines.append(f"<td>{_link(entry)}</td>{cells}")
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>{body}</table></div>'


def _cell(tag, text, is_numeric):
    return f"<{tag}{' class=number' if is_numeric else ''}>{escape(text)}</{tag}>"


def _number(value):
    return "" if value is None else f"{value:.2f}"


def _format_worst(folder, done):
    """Yield the figures of the recordings with the largest expected error."""
    shown = []
    for entry in done:
        figures = entry["row"].get("figures", [])
        path = figures[0]["path"] if figures else None
        if path and _is_within(folder / path, folder):
            caption = f"{_link(entry)}. {escape(figures[0]['text'])}"
            shown.append(
                f'<figure><img src="{escape(path)}" alt="Before and after" loading="lazy">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
    if shown:
        yield "<h2>Before and after: the recordings with the largest expected error</h2>" + "".join(
            shown[:_N_WORST]
        )
