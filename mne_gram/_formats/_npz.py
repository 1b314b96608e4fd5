# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Arrays in ``.npz`` files, which are zip archives of ``.npy`` files."""

import math
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

_KINDS = dict(b="bool", i="int", u="uint", f="float", c="complex", U="text", m="duration", M="date")


class Member(NamedTuple):
    """An array that is expected in a file.

    ``kinds`` are letters of `numpy.dtype.kind` ("f", "iu", "U", ...; never "O" or "V"), ``ndim``
    one number of axes or several, ``shape`` the size of each axis (None: any).
    """

    kinds: str
    ndim: int | tuple
    shape: tuple | None = None
    optional: bool = False
    finite: bool = False  # whether NaN and infinity are refused


def read_npz(fname, expected, *, max_bytes):
    """Read exactly the expected arrays, after a check of all names, types, shapes and sizes.

    ``expected`` maps names to `Member`; a name that ends in ``*`` stands for any number in its
    place. ``max_bytes`` is the largest size of all arrays together. Nothing is unpickled. Raises
    FileNotFoundError, PermissionError, or ValueError for anything else.
    """
    fname = Path(fname)
    if not fname.exists():
        raise FileNotFoundError(f"The file {fname} does not exist.")
    if not fname.is_file():  # a pipe or device may never end
        raise ValueError(f"{fname} is not a regular file.")
    try:
        with fname.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            members = _check_names(fname, archive, expected, max_bytes)
            for name, (info, wanted) in members.items():
                _check_header(fname, name, archive, info, wanted)
            return {
                name: _read_member(fname, name, archive, *member)
                for name, member in members.items()
            }
    except (FileNotFoundError, PermissionError, _Refused):
        raise
    except Exception as exc:  # broken archives raise anything
        raise ValueError(
            f"{fname} is not an .npz file, or is truncated ({type(exc).__name__}: {exc})."
        ) from exc


class _Refused(ValueError):
    """A file that is not as expected."""


def _check_names(fname, archive, expected, max_bytes):
    """Return the entry and the Member of each name, if no name is missing, unknown or repeated."""
    members = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        wanted = expected.get(name) or expected.get(re.sub(r"\d{1,6}$", "*", name))
        if wanted is None or name in members or not info.filename.endswith(".npy"):
            problem = "contains more than one" if name in members else "contains the unexpected"
            raise _Refused(f"{fname} {problem} array {info.filename[:80]!r}.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Refused(f"{fname} is compressed by another method than NumPy's.")
        members[name] = info, wanted
    missing = [k for k, m in expected.items() if k not in members and not m.optional]
    missing = [name for name in missing if not name.endswith("*")]
    if missing:
        raise _Refused(f"{fname} has no array {', '.join(map(repr, missing))}.")
    size = sum(info.file_size for info, _ in members.values())
    if size > max_bytes:
        raise _Refused(
            f"The arrays in {fname} would take {size / 2**20:.1f} MiB, expected at most "
            f"{max_bytes / 2**20:.1f} MiB."
        )
    return members


def _check_header(fname, name, archive, info, wanted):
    """Raise if an array is of another type or shape, or not as large as its header says."""
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise _Refused(f"{fname}: the array {name!r} is of an unknown version {version}.")
        shape, _, dtype = readers[version](stream)
        start = stream.tell()
    ndims = wanted.ndim if isinstance(wanted.ndim, tuple) else (wanted.ndim,)
    if dtype.kind not in wanted.kinds or dtype.hasobject:
        kinds = " or ".join(_KINDS[kind] for kind in wanted.kinds)
        raise _Refused(f"{fname}: the array {name!r} is of type {dtype}, expected {kinds}.")
    if any(isinstance(n, bool) or n < 0 for n in shape) or len(shape) not in ndims:
        raise _Refused(
            f"{fname}: the array {name!r} has the shape {shape}, expected "
            f"{' or '.join(map(str, ndims))} axes."
        )
    if wanted.shape is not None and any(
        want not in (None, found) for found, want in zip(shape, wanted.shape, strict=True)
    ):
        raise _Refused(
            f"{fname}: the array {name!r} has the shape {shape}, expected "
            f"({', '.join('any' if n is None else str(n) for n in wanted.shape)})."
        )
    size = math.prod(shape) * dtype.itemsize
    if start + size != info.file_size:
        raise _Refused(
            f"{fname}: the array {name!r} has {info.file_size - start} bytes, expected {size} for "
            f"the shape {shape} and type {dtype}."
        )


def _read_member(fname, name, archive, info, wanted):
    """Return an array whose header was checked."""
    with archive.open(info) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    if wanted.finite and not np.isfinite(array).all():
        raise _Refused(f"{fname}: the array {name!r} contains values that are not finite.")
    if array.dtype.kind == "U" and array.size:
        array.tolist()  # raises if a code is not a character
    return array
