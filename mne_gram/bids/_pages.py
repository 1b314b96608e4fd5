# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The pages of a derivative data set: one for each subject, and one for all of it."""

import json
import platform
from html import escape

import mne
import numpy as np
from mne.utils import use_log_level

from .._version import __version__
from ._lock import hold
from ._state import PRIVATE, Store, get_temporary, write_text

_N_WORST = 6
_STYLE = """\
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
  color: #222; line-height: 1.4; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.failed { color: #a00; } figure { margin: 1rem 0; } figure img { max-width: 100%; }
figcaption { font-size: 0.9rem; } .scroll { overflow-x: auto; } small { color: #555; }
"""


def write_pages(folder):
    """Write the pages of all that the records of a derivative data set tell.

    Parameters
    ----------
    folder : pathlib.Path
        The derivative data set.

    Returns
    -------
    index : pathlib.Path
        The page of the data set.
    """
    index = folder / "index.html"
    with hold(folder / PRIVATE / "locks" / "pages.lock", wait=60) as lock:
        if lock is None:  # another run has been writing them for a minute
            return index
        records = Store(folder).read_all()
        subjects = {}
        for record in records:
            if record["status"] != "moving":
                subjects.setdefault(record["entities"]["sub"], []).append(record)
        for subject, own in subjects.items():
            _write_subject(folder, subject, own)
        write_text(folder, index.name, _format_index(folder, subjects))
    return index


def _write_subject(folder, subject, records):
    """Write the page of a subject, if it is older than a record of it."""
    path = folder / f"sub-{subject}.html"
    times = [record["time"] for record in records]
    mark = f"<!-- {len(records)} records, {max(times)}, mne_gram {__version__} -->"
    if path.exists() and mark in path.read_text(encoding="utf-8", errors="replace"):
        return
    with use_log_level("error"):
        page = mne.Report(title=f"sub-{subject}")
        for record in records:
            _add_record(page, folder, record)
        file = get_temporary(folder, f"report.{path.name}")
        page.save(file, open_browser=False, overwrite=True)
        write_text(folder, path.name, f"{file.read_text(encoding='utf-8')}\n{mark}\n")
        file.unlink()


def _add_record(page, folder, record):
    """Add what was done with one recording to the page of its subject."""
    name, row = record["recording"].rpartition("/")[2], record["row"]
    section, tags = f"{name} ({record['job']})", (record["job"],)
    options = dict(section=section, tags=tags)
    if record["status"] == "failed":
        page.add_html(f"<p>Failed: {escape(row['why'])}</p>", "Failure", **options)
        return
    parts = [row.get("summary_html", ""), _format_facts(row)]
    page.add_html("\n".join(parts), "Summary", **options)
    for figure in row.get("figures", []):
        path = figure["path"] and folder / figure["path"]
        title = figure["title"].capitalize()
        if path and path.is_file():
            page.add_image(path, title, caption=figure["text"], **options)
        else:
            text = "The figure is gone." if path else figure["text"]
            page.add_html(f"<p>{escape(text)}</p>", title, **options)


def _format_facts(row):
    """Return facts of a recording, and the warnings that it gave, as HTML."""
    facts = [
        f"{row['duration']:.1f} s of {row['n_channels']} channels at {row['sfreq']:g} Hz; "
        f"{row['compute_seconds']:.1f} s of work.",
        f"Marked as bad all through: {', '.join(row['bads']) or 'none'}.",
    ]
    if row.get("found"):
        found = row["found"]["channels"]
        names = ", ".join(f"{name} ({why})" for name, why in found.items()) or "none"
        facts.append(f"Found to be bad: {names}; {row['found']['n_spans']} stretches.")
    if "n_windows" in row:
        facts.append(f"{row['n_windows']} windows, {row['good']:.0%} of their patches good.")
    facts += [f"Warning: {note}" for note in row.get("notes", [])]
    return "<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in facts) + "</ul>"


def _format_index(folder, subjects):
    """Return the page of the data set."""
    records = [record for own in subjects.values() for record in own]
    # Those with the largest expected error first; those of which nothing was bad at the end.
    done = sorted((r for r in records if r["status"] == "done"), key=_get_rank)
    failed = [record for record in records if record["status"] == "failed"]
    versions = sorted({record["version"] for record in records})
    seconds = sum(record["row"]["compute_seconds"] for record in done)
    parts = [
        f"<h1>{escape(_get_title(folder))}</h1>",
        f"<p>{len(done)} recordings done, {len(failed)} failed; {len(subjects)} subjects; "
        f"{sum(len(r['row'].get('channels', [])) for r in done)} channels restored; "
        f"{seconds:.0f} s of work.</p>",
        *_format_failures(failed),
        "<h2>Recordings, the largest expected error first</h2>",
        _format_table(done),
        *_format_worst(folder, done),
        f"<p><small>Made by mne_gram {', '.join(versions)}; page by mne_gram {__version__}, "
        f"MNE-Python {mne.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}. Errors are estimates, from clean samples that were hidden "
        "and restored.</small></p>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Report of mne_gram'
        f"</title><style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _get_title(folder):
    try:
        text = (folder / "dataset_description.json").read_text(encoding="utf-8")
        return json.loads(text)["Name"]
    except (OSError, ValueError, KeyError):  # somebody has edited it
        return folder.name


def _get_rank(record):
    worst = record["row"].get("worst_nmse")
    n_channels = len(record["row"].get("channels", []))
    # A channel whose error nobody knows is worse than one with a large error.
    return (-np.inf if worst is None and n_channels else -(worst or 0.0)), record["recording"]


def _format_failures(failed):
    """Yield the table of failures, if there are any."""
    if failed:
        lines = [
            f"<tr><td>{_link(r)}</td><td>{escape(r['job'])}</td>"
            f'<td class="failed">{escape(r["row"]["why"])}</td></tr>'
            for r in failed
        ]
        head = "<tr><th>Recording</th><th>Job</th><th>Error</th></tr>"
        yield f'<h2 class="failed">Failures</h2><table>{head}{"".join(lines)}</table>'


def _link(record):
    """Return the name of a recording as a link to the page of its subject."""
    name = escape(record["recording"].rpartition("/")[2])
    return f'<a href="sub-{escape(record["entities"]["sub"])}.html">{name}</a>'


def _format_table(done):
    """Return the table of recordings."""
    head = ["Recording", "Job", "Length (s)", "Restored channels", "Restored (channel-seconds)"]
    head += ["Stretches", "Expected r", "Expected NMSE", "Worst NMSE", "Work (s)", "Warnings"]
    numeric = {2, 4, 5, 6, 7, 8, 9, 10}
    lines = ["".join(_cell("th", text, k in numeric) for k, text in enumerate(head))]
    for record in done:
        row = record["row"]
        names = [channel["channel"] for channel in row.get("channels", [])]
        cells = [
            record["job"],
            f"{row['duration']:.0f}",
            ", ".join(names) or "none",
            f"{row.get('seconds_restored', 0):.1f}",
            str(len(row.get("spans", []))),
            *(_number(row.get(key)) for key in ("expected_r", "expected_nmse", "worst_nmse")),
            f"{row['compute_seconds']:.1f}",
            str(len(row.get("notes", []))),
        ]
        cells = "".join(_cell("td", text, k in numeric) for k, text in enumerate(cells, 1))
        lines.append(f"<td>{_link(record)}</td>{cells}")
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>{body}</table></div>'


def _cell(tag, text, is_numeric):
    return f"<{tag}{' class=number' if is_numeric else ''}>{escape(text)}</{tag}>"


def _number(value):
    return "" if value is None else f"{value:.2f}"


def _format_worst(folder, done):
    """Yield the figures of the recordings with the largest expected error."""
    shown = []
    for record in done:
        figures = record["row"].get("figures", [])
        path = figures[0]["path"] if figures else None
        if path and (folder / path).is_file():
            caption = f"{_link(record)}. {escape(figures[0]['text'])}"
            shown.append(
                f'<figure><img src="{escape(path)}" alt="Before and after" loading="lazy">'
                f"<figcaption>{caption}</figcaption></figure>"
            )
    if shown:
        yield "<h2>Before and after, the worst cases</h2>" + "".join(shown[:_N_WORST])
