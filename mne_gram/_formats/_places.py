# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Places in a folder of results, which anybody may have changed: never outside, never by links."""

from pathlib import Path
from shutil import rmtree


def is_inside(name):
    """Return whether a name is that of a file below a folder, as text."""
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") for part in parts)
    return plain and name.isprintable() and not set(name) & set("\\:")


def find_place(folder, name):
    """Return the path of a file in a folder; ValueError if it would lie elsewhere."""
    if not is_inside(name):
        raise ValueError(f"{name!r} is not the name of a file in {folder}.")
    check_folders(folder, Path(name).parent)
    return folder / name


def check_folders(folder, *names):
    """Raise ValueError if a folder below another is a link, or lies in one."""
    for name in names:
        for part in [*reversed(Path(name).parents), Path(name)]:
            path = folder / part
            if part.parts and is_link(path):
                raise ValueError(
                    f"{path} is a link, and results are only written to real folders. "
                    "Replace it by a folder, or give another folder for the results."
                )


def is_link(path):
    """Return whether a path is a symbolic link, or a junction of Windows."""
    return path.is_symlink() or getattr(path, "is_junction", bool)()


def remove_tree(path):
    """Remove a folder, or a link in its place, if there is one."""
    if path.is_symlink():
        path.unlink()
    rmtree(path, ignore_errors=True)
