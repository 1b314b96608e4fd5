# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Arrays from files that an attacker made: refused by their headers, before they are unpacked."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from mne_gram._formats import Member, read_npz

EXPECTED = {
    "data": Member("f", 2, (None, 3), finite=True),
    "names": Member("U", 1, optional=True),
    "column_*": Member("iu", (0, 1), optional=True),
}
LIMIT = 2**20


def pack(array, **options):
    """Return the bytes of an .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def forge(header, data=b""):
    """Return the bytes of an .npy file with any header."""
    header = header.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def forge_shape(shape, data=b""):
    """Return the bytes of an .npy file of single precision with any shape."""
    return forge(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}", data)


def write(path, members, method=zipfile.ZIP_STORED):
    """Write a zip archive of named bytes."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


GOOD = pack(np.ones((4, 3), np.float32))
NAMES = pack(np.array(["a", "b"]))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_expected_arrays_are_read(tmp_path, save):
    """Arrays that NumPy wrote are read unchanged, optional ones only if they are there."""
    data, names = np.arange(6.0).reshape(2, 3), np.array(["Fz", "Ä"])
    save(tmp_path / "a.npz", data=data, names=names, column_0=np.arange(3), column_12=np.array(1))
    found = read_npz(tmp_path / "a.npz", EXPECTED, max_bytes=LIMIT)
    assert list(found) == ["data", "names", "column_0", "column_12"]
    np.testing.assert_array_equal(found["data"], data)
    assert found["names"].tolist() == ["Fz", "Ä"]
    save(tmp_path / "b.npz", data=data)
    assert list(read_npz(tmp_path / "b.npz", EXPECTED, max_bytes=LIMIT)) == ["data"]


@pytest.mark.parametrize(
    "members, match",
    [
        ([], "no array 'data'"),
        ([("data.npy", GOOD), ("more.npy", GOOD)], "unexpected array 'more.npy'"),
        ([("data", GOOD)], "unexpected array 'data'"),
        ([("data.npy", GOOD), ("../names.npy", NAMES)], "unexpected array '../names.npy'"),
        ([("data.npy", GOOD), ("column_1234567.npy", GOOD)], "unexpected array"),
        ([("data.npy", pack(np.ones((2, 3), int)))], "type int64, expected float"),
        ([("data.npy", pack(np.array([[None] * 3])))], "type object, expected float"),
        ([("data.npy", pack(np.zeros((2, 3), "f4,f4")))], "expected float"),
        ([("data.npy", pack(np.ones(3)))], r"shape \(3,\), expected 2 axes"),
        ([("data.npy", pack(np.ones((3, 2))))], r"shape \(3, 2\), expected \(any, 3\)"),
        ([("data.npy", pack(np.full((1, 3), np.nan)))], "not finite"),
        ([("data.npy", GOOD[:-1])], "47 bytes, expected 48"),
        ([("data.npy", GOOD + b"0")], "49 bytes, expected 48"),
        ([("data.npy", GOOD[:40])], "truncated"),
        ([("data.npy", b"")], "truncated"),
        ([("data.npy", b"\x93NUMPY\x09\x00" + GOOD[8:])], "unknown version"),
        ([("data.npy", forge("[" * 9000))], "truncated"),
        ([("data.npy", forge("-" * 9000 + "1"))], "truncated"),
        ([("data.npy", forge("{'descr': 3, 'fortran_order': False, 'shape': (1, 3)}"))], "trunca"),
        ([("data.npy", forge("{'descr': '<f4', 'fortran_order': 1, 'shape': (1, 3)}"))], "trunca"),
        ([("data.npy", forge_shape("(-1, 3)"))], "axes"),
        ([("data.npy", forge_shape("(True, 3)", 12 * b"0"))], "axes"),
        (
            [("data.npy", forge_shape("(10**18, 3)"))],
            "truncated",
        ),
        (
            [("data.npy", forge_shape((10**30, 3)))],
            "0 bytes, expected",
        ),
        ([("data.npy", GOOD), ("names.npy", NAMES.replace(b"a\0\0\0", b"\xff" * 4))], "truncated"),
    ],
)
def test_hostile_archives(tmp_path, members, match):
    """Every fault is one ValueError that names the file."""
    path = write(tmp_path / "a.npz", members)
    with pytest.raises(ValueError, match=match) as error:
        read_npz(path, EXPECTED, max_bytes=LIMIT)
    assert str(path) in str(error.value)


def test_repeated_array(tmp_path):
    """Of two arrays of one name, neither is taken."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write(tmp_path / "a.npz", [("data.npy", GOOD), ("data.npy", GOOD)])
    with pytest.raises(ValueError, match="more than one array 'data.npy'"):
        read_npz(path, EXPECTED, max_bytes=LIMIT)


@pytest.mark.parametrize("kind", ["data", "column_3"])
def test_bomb_is_not_unpacked(tmp_path, kind):
    """A small file of large arrays is refused without taking their memory."""
    bomb = pack(np.zeros((2**20, 3)))
    path = write(tmp_path / "a.npz", [(f"{kind}.npy", bomb)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**16
    del bomb
    tracemalloc.start()
    with pytest.raises(ValueError, match="no array 'data'|24.0 MiB, expected at most 1.0 MiB"):
        read_npz(path, EXPECTED, max_bytes=LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**18


def test_other_files(tmp_path):
    """Missing files, folders, text, and other methods of compression."""
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_npz(tmp_path / "a.npz", EXPECTED, max_bytes=LIMIT)
    with pytest.raises(ValueError, match="not a regular file"):
        read_npz(tmp_path, EXPECTED, max_bytes=LIMIT)
    (tmp_path / "a.npz").write_text("<html>")
    with pytest.raises(ValueError, match="is not an .npz file, or is truncated"):
        read_npz(tmp_path / "a.npz", EXPECTED, max_bytes=LIMIT)
    path = write(tmp_path / "b.npz", [("data.npy", GOOD)], zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match="another method"):
        read_npz(path, EXPECTED, max_bytes=LIMIT)
