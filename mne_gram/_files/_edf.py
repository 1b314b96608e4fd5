# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""EDF+ and BDF+ files of any length: MNE writes the header, the samples follow block by block."""

from typing import NamedTuple

import mne
import numpy as np
from mne.utils import warn

from .._recording import cut_chunks

# Bytes of each field in the header of a signal, in their order.
_FIELDS = dict(
    label=16,
    transducer=80,
    dimension=8,
    physical_min=8,
    physical_max=8,
    digital_min=8,
    digital_max=8,
    prefiltering=80,
    n_samples=8,
    reserved=32,
)
_N_RECORDS = slice(236, 244)
_ANNOTATIONS = (b"EDF Annotations", b"BDF Annotations")
_YEARS = range(1985, 2085)


class _Header(NamedTuple):
    """The parts of a header that are needed here."""

    content: bytearray
    duration: float  # of a record, in seconds
    fields: dict  # lists of bytes, one per signal
    onset: float  # of the first sample, in seconds after the start, which is a full second


def write_edf(path, raw):
    """Write a Raw to EDF or BDF block by block, with a physical range for each channel."""
    width = _get_width(path)  # bytes per sample
    low, high = _find_ranges(raw)
    header = _make_header(path, raw, low, high)
    length = int(header.fields["n_samples"][0])
    n_records = -(-raw.n_times // length)
    n_missing = n_records * length - raw.n_times
    if n_missing:
        seconds = n_missing / raw.info["sfreq"]
        warn(
            f"{path.suffix[1:].upper()} consists of records of {header.duration:g} s, so the last "
            f"value of each channel is repeated for {seconds:.3g} s. This part is annotated as "
            "BAD_ACQ_SKIP."
        )
    notes = _format_annotations(raw, header, n_records, n_missing / raw.info["sfreq"], width)
    n_channels = len(raw.ch_names)
    limits = [
        np.array([float(value) for value in header.fields[name][:n_channels]])[:, None]
        for name in ("physical_min", "physical_max", "digital_min", "digital_max")
    ]
    scale = _find_scale(low, high, *limits[:2])
    gain = (limits[1] - limits[0]) / (limits[3] - limits[2])
    offset = limits[1] / gain - limits[3]
    with path.open("wb") as file:
        file.write(_complete_header(header, n_records, notes.itemsize // width))
        for first, last in cut_chunks(n_channels * length, n_records):
            part = raw.get_data(start=first * length, stop=min(last * length, raw.n_times))
            part = np.pad(part, ((0, 0), (0, (last - first) * length - part.shape[1])), "edge")
            part = np.round(scale * part / gain - offset).clip(limits[2], limits[3])
            samples = part.reshape(n_channels, last - first, length).transpose(1, 0, 2)
            samples = samples.astype("<i4", order="C").view(np.uint8)
            samples = samples.reshape(last - first, -1, 4)[:, :, :width].reshape(last - first, -1)
            texts = notes[first:last].view(np.uint8).reshape(last - first, -1)
            file.write(np.concatenate([samples, texts], axis=1).tobytes())


def _get_width(path):
    """Return the number of bytes per sample of the format of a path."""
    return 3 if path.suffix == ".bdf" else 2


def _find_ranges(raw):
    """Return the minimum and maximum of each channel, two arrays of shape (n_channels,)."""
    low, high = np.full((2, len(raw.ch_names)), np.nan)
    for start, stop in cut_chunks(len(raw.ch_names), raw.n_times):
        part = raw.get_data(start=start, stop=stop)
        if not np.isfinite(part).all():
            raise ValueError("EDF and BDF cannot store the NaN or infinite values of these data.")
        low, high = np.fmin(low, part.min(axis=1)), np.fmax(high, part.max(axis=1))
    return low, high


def _find_scale(low, high, physical_min, physical_max):
    """Return the factor by which MNE scaled each channel, shape (n_channels, 1).

    It depends on the channel type and the version of MNE.
    """
    low, high = low[:, None], high[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(low != 0, physical_min / low, physical_max / high)
    return np.where(ratio > 1e3, 1e6, 1.0)


def _make_header(path, raw, low, high):
    """Have MNE write one record with the ranges of all data; return its _Header."""
    n_samples = int(np.floor(raw.info["sfreq"]))
    record = np.repeat(low[:, None], n_samples, axis=1)
    record[:, -1] = high
    one = mne.io.RawArray(record, raw.info.copy(), verbose="error")
    date = raw.info["meas_date"]
    if date is not None and date.year not in _YEARS:
        warn(f"EDF and BDF cannot store {date:%Y-%m-%d}; 1985-01-01 is written as date instead.")
        one.set_meas_date(date.replace(year=1985, month=1, day=1))
    with mne.utils.use_log_level("error"):
        mne.export.export_raw(path, one, physical_range="channelwise", overwrite=True)
    content = path.read_bytes()
    n_bytes, n_signals = int(content[184:192]), int(content[252:256])
    fields, place = {}, 256
    for name, width in _FIELDS.items():
        fields[name] = [content[place + k * width :][:width] for k in range(n_signals)]
        place += n_signals * width
    if int(content[_N_RECORDS]) != 1 or not fields["label"][-1].startswith(_ANNOTATIONS):
        raise RuntimeError("The header written by MNE is not as expected.")
    n_before = _get_width(path) * sum(int(value) for value in fields["n_samples"][:-1])
    onset = float(content[n_bytes + n_before :].split(b"\x14")[0])
    return _Header(bytearray(content[:n_bytes]), float(content[244:252]), fields, onset)


def _complete_header(header, n_records, n_values):
    """Return the header with numbers of records and of annotation values per record."""
    content, n_signals = header.content, len(header.fields["label"])
    content[_N_RECORDS] = f"{n_records:<8}".encode()
    widths = list(_FIELDS.values())
    before = widths[: list(_FIELDS).index("n_samples")]
    place = 256 + n_signals * sum(before) + 8 * (n_signals - 1)
    content[place : place + 8] = f"{n_values:<8}".encode()
    return bytes(content)


def _format_annotations(raw, header, n_records, missing, width):
    """Return the annotations of each record as bytes of equal length, shape (n_records,)."""
    notes = [
        (onset - raw.first_time, duration, text + (f"@@{name}" if name else ""))
        for onset, duration, text, names in zip(
            raw.annotations.onset,
            raw.annotations.duration,
            raw.annotations.description,
            raw.annotations.ch_names,
            strict=True,
        )
        for name in names or [""]
    ]
    if missing:
        notes.append((raw.n_times / raw.info["sfreq"], missing, "BAD_ACQ_SKIP"))
    records = [
        [f"{_format_number(k * header.duration + header.onset, sign=True)}\x14\x14\x00"]
        for k in range(n_records)
    ]
    for onset, duration, text in sorted(notes):
        number = min(max(0, int(onset // header.duration)), n_records - 1)
        start = _format_number(onset + header.onset, sign=True)
        records[number].append(f"{start}\x15{_format_number(duration)}\x14{text}\x14\x00")
    records = ["".join(parts).encode() for parts in records]
    longest = max(len(record) for record in records)
    return np.array(records, dtype=f"S{longest + -longest % width}")


def _format_number(number, sign=False):
    """Return the shortest decimal text of a number."""
    return np.format_float_positional(number, trim="-", sign=sign)
