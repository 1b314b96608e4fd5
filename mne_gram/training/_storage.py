# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The files of a corpus: an array and a note for each recording, and the index."""

import json
import re
from hashlib import sha256

import numpy as np
from pooch import file_hash

from .._files import staged
from .._formats import read_json_object
from ._entries import find_fault
from ._recordings import load_recording
from ._sources import hash_source, hide_paths, take_stamp

FORMAT = "mne_gram corpus"
VERSION = 1  # of index, marks and preprocessing
INDEX = "corpus.json"


def get_file(name):
    """Return the file of a recording, relative to the corpus, with portable letters."""
    flat = re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("/", "__"))
    if "__" in name or flat != name.replace("/", "__", 1):  # otherwise names may collide
        flat += f"-{sha256(name.encode()).hexdigest()[:8]}"
    return f"data/{flat}.npy"


def prepare_one(source, folder, settings):
    """Prepare one recording with ``settings``, unless that is done already.

    Returns its entry in the index (None if it failed), the reason of the failure (None otherwise),
    and whether it was prepared now. Raises OSError if it cannot be written.
    """
    try:
        facts = _find_done(source, folder, settings)
        is_new = facts is None
        if is_new:
            stamp, digest = take_stamp(source), hash_source(source)
            array, facts = load_recording(source, settings["dtype"], settings["line_freq"])
    except Exception as exc:  # readers raise anything
        return None, hide_paths(source, f"{type(exc).__name__}: {exc}"), False
    if is_new:
        try:
            facts |= _write_array(folder / get_file(source.name), array)
            done = dict(settings=settings, stamp=stamp, digest=digest, facts=facts)
            _write_text(_get_note(folder, source), json.dumps(done))
        except OSError as exc:
            raise OSError(
                exc.errno,
                f"{source.name} could not be written to {folder}: {exc.strerror or exc}. Make "
                "space and call prepare_corpus again: finished recordings are kept",
            ) from exc
    about = dict(name=source.name, dataset=source.dataset, subject=source.subject)
    about |= dict(source=source.place, licence=source.licence, file=get_file(source.name))
    return {**about, **facts, **about}, None, is_new


def _get_note(folder, source):
    """Return the note on the making of an array, which is written after it."""
    return (folder / get_file(source.name)).with_suffix(".json")


def _write_array(path, array):
    """Write an array, completely or not at all; return sha256 and size of the file."""
    with staged(path, True) as file:
        np.save(file, array)
        facts = dict(sha256=file_hash(file), n_bytes=file.stat().st_size)
    return facts


def _write_text(path, text):
    """Write a text, completely or not at all."""
    with staged(path, True) as file:
        file.write_text(text, encoding="utf-8")


def _find_done(source, folder, settings):
    """Return the facts of a recording that is ready and unchanged, otherwise None."""
    try:
        done = read_json_object(_get_note(folder, source))
        same = done["settings"] == settings
        same &= file_hash(folder / get_file(source.name)) == done["facts"]["sha256"]
        # Copying a data set changes only the times of its files.
        same &= done["stamp"] == take_stamp(source) or done["digest"] == hash_source(source)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    about = dict.fromkeys(("name", "dataset", "subject", "source", "licence"), "")
    is_valid = same and not find_fault({**done["facts"], **about, "file": get_file(source.name)})
    return done["facts"] if is_valid else None


def clear_others(folder, settings, selection, overwrite):
    """Remove a corpus with other settings if ``overwrite``, otherwise raise ValueError."""
    others, found = [], None
    for path in [folder / INDEX, *sorted((folder / "data").glob("*.json"))]:
        wanted = dict(settings=settings)
        if path.name == INDEX:
            wanted["selection"] = selection
        try:
            other = read_json_object(path)
            other = {key: other[key] for key in wanted}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # missing or damaged files are written again
        if other != wanted:
            found = found or other
            others += [path, path.with_suffix(".npy")]
    if found and not overwrite:
        raise ValueError(
            f"{folder} contains a corpus with {_describe(found)}; requested was "
            f"{_describe(dict(settings=settings, selection=selection))}. Give another folder, or "
            "overwrite=True to replace it."
        )
    for path in others:
        path.unlink(missing_ok=True)


def _describe(options):
    """Return options as text."""
    return ", ".join(
        f"{key}={value!r}" for group in options.values() for key, value in group.items()
    )


def write_index(folder, settings, selection, recordings, failures):
    """Write the index, one line per recording."""
    head = dict(format=FORMAT, version=VERSION, settings=settings, selection=selection)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, rows in (("recordings", recordings), ("failures", failures)):
        rows = ",".join(f"\n  {json.dumps(row)}" for row in rows)
        lines.append(f" {json.dumps(key)}: [{rows}]")
    _write_text(folder / INDEX, "{\n" + ",\n".join(lines) + "\n}\n")


def read_index(folder):
    """Return the index of a corpus, with the lists ``recordings`` and ``failures``.

    Raises RuntimeError if it is damaged or of another version, and ValueError if there is none.
    """
    path = folder / INDEX
    if not path.is_file():
        raise ValueError(
            f"{folder} contains no corpus: it has no {INDEX}. Give a folder from prepare_corpus. "
            "If that was interrupted, call it again to resume."
        )
    again = "Delete it and run prepare_corpus again; finished recordings are kept."
    try:
        index = read_json_object(path)
    except ValueError as exc:
        raise RuntimeError(f"The index is damaged. {exc} {again}") from exc
    if index.get("format") != FORMAT:
        raise RuntimeError(f"{path} is not the index of a corpus of mne_gram. Give another folder.")
    if index.get("version") != VERSION:
        raise RuntimeError(
            f"The corpus in {folder} has version {index.get('version')}, expected {VERSION}. Run "
            "prepare_corpus again, into another folder or with overwrite=True."
        )
    if not all(isinstance(index.get(key), list) for key in ("recordings", "failures")):
        raise RuntimeError(f"{path} is damaged: it lists no recordings. {again}")
    if not isinstance(index.get("selection"), dict):
        raise RuntimeError(f"{path} is damaged: it does not say what was selected. {again}")
    return index
