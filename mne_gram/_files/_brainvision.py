# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What MNE leaves out of BrainVision files: channels of annotations, and a check of the length."""

import re
import warnings
from pathlib import Path

import mne
import numpy as np
from mne.io.constants import FIFF

from .._recording import cut_chunks

_RESOLUTION = 0.1  # microvolts per unit of the samples, as in pybv
# Annotations that begin so are read as they were written, without "Comment/".
_MARKS = ("BAD", "RESTORED", "INVENTED")


def complete_brainvision(path, raw):
    """Check the length of a file, and restore the texts and channels of annotations, in place.

    ``raw`` is what MNE read from the header in ``path``. Raises ValueError if the data end before
    the number of samples in the header, or a second before the last marker.
    """
    header = _read_header(path)
    markers = _read_markers(path, header)
    _check_length(header, markers, raw)
    _set_marks(raw, markers)


def write_brainvision(path, raw):
    """Write a Raw block by block, with its number of samples in the header."""
    with warnings.catch_warnings():
        # That samples are rounded is reported elsewhere.
        warnings.filterwarnings("ignore", "Encountered data in .* format")
        # pybv writes the header, for a recording of one sample.
        first = mne.io.RawArray(np.zeros((len(raw.ch_names), 1)), raw.info.copy(), verbose="error")
        mne.export.export_raw(path, first)
    # Without the number of samples, truncated data could not be detected.
    header = path.read_text(encoding="utf-8")
    section = "[Common Infos]\n"
    header = header.replace(section, f"{section}DataPoints={raw.n_times}\n", 1)
    path.write_text(header, encoding="utf-8")
    with path.with_suffix(".vmrk").open("a", encoding="utf-8") as file:
        file.writelines(_format_markers(raw))
    in_volts = np.array([ch["unit"] == FIFF.FIFF_UNIT_V for ch in raw.info["chs"]])
    factors = np.where(in_volts, 1e6, 1.0)[:, None] / _RESOLUTION
    with path.with_suffix(".eeg").open("wb") as file:
        for start, stop in cut_chunks(len(raw.ch_names), raw.n_times):
            part = factors * raw.get_data(start=start, stop=stop)
            file.write(part.T.astype("<f4").tobytes())


def _format_markers(raw):
    """Yield a line of the marker file for each annotation and channel."""
    sfreq, n_times = raw.info["sfreq"], raw.n_times
    number = 1 if raw.info["meas_date"] is None else 2  # the first one has the date
    for annotation in raw.annotations:
        first = round((annotation["onset"] - raw.first_time) * sfreq)
        first = min(max(0, first), n_times - 1)
        size = min(round(annotation["duration"] * sfreq), n_times - first)
        text = annotation["description"].removeprefix("Comment/")
        kind, event = "Comment", re.fullmatch(r"(Stimulus/S|Response/R) *(\d+)", text)
        if event:
            kind, text = event[1].split("/")
            text = f"{text}{event[2]:>3}"
        text = text.replace(",", r"\1")  # a comma separates fields
        names = annotation.get("ch_names", ())
        for channel in [raw.ch_names.index(name) + 1 for name in names] or [0]:
            yield f"Mk{number}={kind},{text},{first + 1},{size},{channel}\n"
            number += 1


def _read_header(path):
    """Return the entries of a header, and as ``is_pybv`` whether pybv wrote it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    header = dict(re.findall(r"^(\w+)=([^\r\n]*)", text, re.MULTILINE))
    return header | {"is_pybv": "pybv" in text.partition("[Common Infos]")[0]}


def _read_markers(path, header):
    """Return a list of (text, first sample, number of samples, channel number as str)."""
    name = header.get("MarkerFile", "").strip()
    candidates = [path.parent / name, path.with_suffix(".vmrk")]
    file = next((file for file in candidates if file.is_file()), None)
    if not name or file is None:  # MNE reads no markers either
        return []
    content = file.read_bytes()
    try:
        content = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        content = content.decode("latin-1")
    markers = []
    for line in re.findall(r"^Mk\d+=([^\r\n]*)", content, re.MULTILINE):
        kind, text, start, size, channel, *_ = [*line.split(","), "", ""]
        text = f"{kind}/{text}".replace(r"\1", ",").removeprefix("Comment/")
        size = int(size) if size.strip().isdigit() else 0
        markers.append((text, int(start) - 1, size, channel.strip() or "0"))
    return markers


def _check_length(header, markers, raw):
    """Raise if a data file is shorter than its header and markers say."""
    n_samples, data_path = raw.n_times, raw.filenames[0]
    n_bytes = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}.get(header.get("BinaryFormat"))
    if n_bytes is not None:  # else a text file, which MNE checks
        frame = n_bytes * int(header["NumberOfChannels"])
        size = Path(data_path).stat().st_size
        if size % frame or size < frame * int(header.get("DataPoints", 0)):
            raise ValueError(f"{data_path} ends before the last sample.")
    # Recorders may mark an event just after the last sample, or one that lasts beyond it; pybv does
    # neither.
    last = max((start + header["is_pybv"] * size for _, start, size, _ in markers), default=0)
    if last > n_samples + raw.info["sfreq"]:
        raise ValueError(
            f"{data_path} ends after {n_samples} samples, but its markers reach sample {last}."
        )


def _set_marks(raw, markers):
    """Restore the texts and channels of BAD and RESTORED annotations, in place."""
    spans = {}  # there is one marker per channel
    for text, start, size, channel in markers:
        if text.upper().startswith(_MARKS):
            spans.setdefault((text, start, size), set()).add(channel)
    if not spans:
        return
    annotations = raw.annotations.copy()
    annotations.delete(
        [
            k
            for k, text in enumerate(annotations.description)
            if text.removeprefix("Comment/").upper().startswith(_MARKS)
        ]
    )
    numbers = {str(k): name for k, name in enumerate(raw.ch_names, start=1)}
    unknown = set().union(*spans.values()) - {"0", *numbers}
    if unknown:
        mne.utils.warn(
            f"The markers of {raw.filenames[0]} refer to channels that it does not have "
            f"({', '.join(sorted(unknown))}); these annotations apply to all channels."
        )
    for (text, start, size), channels in spans.items():
        names = [name for number, name in numbers.items() if number in channels]
        names = names if channels <= numbers.keys() else []
        annotations.append(start / raw.info["sfreq"], size / raw.info["sfreq"], text, [names])
    raw.set_annotations(annotations, emit_warning=False)  # the reader has warned
