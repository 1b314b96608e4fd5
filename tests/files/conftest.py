# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Writers of formats that MNE reads and does not write, as small as their readers allow.

All take a path, data in volts ``(n_channels, n_times)``, channel names and an integer sampling
rate, and store 16 bits per sample in units of ``STEP``.
"""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

STEP = 1e-7  # volts


@pytest.fixture(scope="session")
def odd_formats():
    """Return the writers."""
    writers = (write_gdf, write_cnt, write_egi, write_bdf, make_gaps)
    return SimpleNamespace(STEP=STEP, **{writer.__name__: writer for writer in writers})


def _to_int16(data):
    return np.round(data / STEP).clip(-32768, 32767).astype("<i2")


def write_gdf(path, data, names, sfreq, events=()):
    """Write GDF 1.25; ``events`` are tuples of sample, code, channel (0: all) and duration."""
    n, limit = len(names), 32768 * STEP * 1e6
    fixed = b"GDF 1.25".ljust(8) + b"X X".ljust(160) + b"2020010203040500"
    fixed += struct.pack("<q", 256 + 256 * n) + bytes(24 + 20)
    fixed += struct.pack("<qIII", data.shape[1] // sfreq, 1, 1, n)
    fields = b"".join(name.encode().ljust(16) for name in names) + b" " * 80 * n
    fields += b"uV".ljust(8) * n
    fields += struct.pack(f"<{2 * n}d", *[-limit] * n, *[limit] * n)
    fields += struct.pack(f"<{2 * n}q", *[-32768] * n, *[32768] * n)
    fields += b" " * 80 * n + struct.pack(f"<{2 * n}i", *[sfreq] * n, *[3] * n) + bytes(32 * n)
    records = _to_int16(data).reshape(n, -1, sfreq).transpose(1, 0, 2)
    sample, code, channel, duration = np.array(events, int).reshape(-1, 4).T
    table = bytes([3]) + sfreq.to_bytes(3, "little") + struct.pack("<I", len(events))
    table += (sample + 1).astype("<u4").tobytes() + code.astype("<u2").tobytes()
    table += channel.astype("<u2").tobytes() + duration.astype("<u4").tobytes()
    path.write_bytes(fixed + fields + records.tobytes() + table)


def write_cnt(path, data, names, sfreq, bads=()):
    """Write Neuroscan CNT without events; bad channels are marked in the header."""
    n, n_times = data.shape
    header = bytearray(900 + 75 * n)
    header[0:12] = b"Version 3.0\0"
    header[225:235], header[235:247] = b"01/02/20\0\0", b"03:04:05\0\0\0\0"
    struct.pack_into("<H", header, 370, n)
    struct.pack_into("<H", header, 376, sfreq)
    struct.pack_into("<i", header, 864, n_times)
    struct.pack_into("<i", header, 886, len(header) + 2 * data.size)
    for k, name in enumerate(names):
        place = 900 + 75 * k
        header[place : place + 10] = name.encode().ljust(10, b"\0")
        header[place + 14] = name in bads
        angle = 2 * np.pi * k / n
        struct.pack_into("<2f", header, place + 19, np.cos(angle), np.sin(angle))
        struct.pack_into("<f", header, place + 59, 204.8 * STEP * 1e6)
        struct.pack_into("<f", header, place + 71, 1.0)
    events = bytes([1]) + struct.pack("<ii", 0, 0)
    path.write_bytes(bytes(header) + _to_int16(data).T.tobytes() + events)


def write_egi(path, data, names, sfreq, event=None):
    """Write EGI's simple binary format in single precision; channels have numbers, no names.

    ``event`` is a code of four letters and its sample.
    """
    events = np.zeros((1 if event else 0, data.shape[1]))
    if event:
        events[0, event[1]] = 1
    header = struct.pack(">i6hi5h", 4, 2020, 1, 2, 3, 4, 5, 0, sfreq, len(data), 1, 0, 0)
    header += struct.pack(">ih", data.shape[1], len(events))
    header += event[0].encode() if event else b""
    path.write_bytes(header + np.vstack([data * 1e6, events]).T.astype(">f4").tobytes())


def write_bdf(path, data, names, sfreq):
    """Write BDF, with 24 bits per sample."""
    n, limit = len(names), 8_000_000
    columns = [
        [name.encode().ljust(16) for name in names],
        [b" " * 80] * n,
        [b"uV".ljust(8)] * n,
        [f"{-limit * STEP * 1e6:<8.0f}".encode()] * n,
        [f"{limit * STEP * 1e6:<8.0f}".encode()] * n,
        [str(-limit).encode().ljust(8)] * n,
        [str(limit).encode().ljust(8)] * n,
        [b" " * 80] * n,
        [str(sfreq).encode().ljust(8)] * n,
        [b" " * 32] * n,
    ]
    header = b"\xffBIOSEMI" + b" " * 160 + b"02.01.2003.04.05"
    header += str(256 * (n + 1)).encode().ljust(8) + b"24BIT".ljust(44)
    header += f"{data.shape[1] // sfreq:<8}{1:<8}{n:<4}".encode()
    values = np.round(data / STEP).clip(-limit, limit).astype("<i4")
    records = values.reshape(n, -1, sfreq).transpose(1, 0, 2)
    body = np.ascontiguousarray(records).view("u1").reshape(-1, 4)[:, :3]
    path.write_bytes(header + b"".join(b"".join(column) for column in columns) + body.tobytes())


def make_gaps(path, onsets):
    """Turn an EDF+ file into one with gaps: its records begin at ``onsets`` seconds."""
    content = bytearray(path.read_bytes())
    content[192:236] = content[192:236].replace(b"EDF+C", b"EDF+D")
    n_header, n_records, n = int(content[184:192]), int(content[236:244]), int(content[252:256])
    at = 256 + n * (16 + 80 + 8 * 5 + 80)
    sizes = [2 * int(content[at + 8 * k : at + 8 * k + 8]) for k in range(n)]
    assert len(onsets) == n_records
    for k, onset in enumerate(onsets):
        stop = n_header + (k + 1) * sum(sizes)
        start = stop - sizes[-1]
        rest = bytes(content[start:stop]).partition(b"\x14\x14\0")[2].rstrip(b"\0")
        block = f"+{onset:g}\x14\x14\0".encode() + rest + (b"\0" if rest else b"")
        assert len(block) <= stop - start
        content[start:stop] = block.ljust(stop - start, b"\0")
    path.write_bytes(bytes(content))
