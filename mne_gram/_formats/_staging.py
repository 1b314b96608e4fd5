# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Writing files, each completely or not at all."""

import errno
import os
import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

# How the libraries that write files report a full or read-only disk, and what it is.
_CODES = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EROFS", "EFBIG")} - {None}
_TEXTS = {
    r"No space left|os error 28|\d+ requested and \d+ written": errno.ENOSPC,
    r"Read-only file system|os error 30": errno.EROFS,
    r"File too large|os error 27": errno.EFBIG,
}


class UnwritableError(OSError):
    """A disk is full or read-only; ``filename`` is the folder."""

    def __str__(self):
        return (
            f"The folder {self.filename} cannot be written to: {self.strerror}. Free some space "
            "there, or give an output in another folder."
        )


@contextmanager
def writing(folder):
    """Raise an UnwritableError for whatever a library raises because a disk is full."""
    try:
        yield
    except UnwritableError:
        raise
    except Exception as exc:
        code = getattr(exc, "errno", None)
        if code not in _CODES:
            code = next((code for text, code in _TEXTS.items() if re.search(text, str(exc))), None)
        if code is None:
            raise
        raise UnwritableError(code, os.strerror(code), str(folder)) from exc


def check_free(files, overwrite):
    """Raise if a file exists that must not be replaced."""
    folders = [str(file) for file in files if file.is_dir()]
    if folders:
        raise IsADirectoryError(f"{', '.join(folders)} is a folder. Give another output.")
    taken = [str(file) for file in files if os.path.lexists(file)]
    if taken and not overwrite:
        raise FileExistsError(
            f"{', '.join(taken)} already exists. Give another output, or allow overwriting."
        )


@contextmanager
def staged(path, overwrite):
    """Yield a temporary path for a file, which is moved to its place if no error occurs."""
    with staged_together([path], overwrite) as (file,):
        yield file


@contextmanager
def staged_together(paths, overwrite):
    """Yield temporary paths for several files: in the end, all of them are moved or none.

    The first file is moved last, and files that were written beside one are moved with it.
    """
    paths = [Path(path) for path in paths]
    with writing(paths[0].parent), ExitStack() as stack:
        folders = [Path(stack.enter_context(make_scratch_folder(path.parent))) for path in paths]
        yield [folder / path.name for folder, path in zip(folders, paths, strict=True)]
        moves = {}
        for folder, path in zip(folders[::-1], paths[::-1], strict=True):
            # The named file, which refers to those beside it, goes last.
            files = sorted(folder.iterdir(), key=lambda file, name=path.name: file.name == name)
            moves.update({file: path.parent / file.name for file in files})
        check_free(moves.values(), overwrite)
        for file, target in moves.items():
            os.replace(file, target)


def make_scratch_folder(folder):
    """Return a TemporaryDirectory inside a folder."""
    try:
        return TemporaryDirectory(prefix=".mne_gram-", dir=folder)
    except OSError as exc:
        if exc.errno in _CODES:
            raise UnwritableError(exc.errno, exc.strerror, str(folder)) from exc
        raise PermissionError(
            f"The folder {folder} cannot be written to: {exc.strerror}. Give an output in another "
            "folder."
        ) from exc
