# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Writing files, each completely or not at all."""

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


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
    with ExitStack() as stack:
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
        raise PermissionError(f"The folder {folder} cannot be written to: {exc.strerror}.") from exc
