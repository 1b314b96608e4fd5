# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Writing files, each completely or not at all."""

import errno
import os
import re
import signal
import threading
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
    except UnwritableError as exc:
        if Path(folder) in Path(exc.filename).parents:  # a temporary folder, which is gone then
            exc.filename = str(folder)
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
        raise _refuse(taken)


def _refuse(taken):
    """Return the error that files exist."""
    return FileExistsError(
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

    The first file is moved last, and files that were written beside one are moved with it. An
    interrupt waits for the moves, and after an error those that were done are undone. Only a
    process that is killed between two moves leaves some of the files.
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
        with _uninterrupted():
            _move_all(moves, overwrite)


def _move_all(moves, overwrite):
    """Move files to their targets; after an error, all targets are as before."""
    begun = []
    try:
        for number, (file, target) in enumerate(moves.items()):
            begun.append((target, file.with_name(f".old-{number}")))
            if overwrite and len(moves) > 1 and os.path.lexists(target):
                _keep(*begun[-1])
            _move(file, target, overwrite)
    except BaseException:
        for number, (target, old) in reversed(list(enumerate(begun, 1))):
            is_moved = number < len(begun)  # the last one failed
            if os.path.lexists(old) and (is_moved or not os.path.lexists(target)):
                os.replace(old, target)
            elif is_moved:
                os.unlink(target)
        raise


def _keep(target, path):
    """Make a file available under another path, and leave it in its place if possible."""
    try:
        os.link(target, path, follow_symlinks=False)
    except (OSError, NotImplementedError):  # not all file systems have links
        os.replace(target, path)


def _move(file, target, overwrite):
    """Move a file; one that appeared in the meantime is only replaced if that is allowed."""
    if not overwrite:
        try:
            os.link(file, target)
            return
        except FileExistsError:
            raise _refuse([str(target)]) from None
        except (OSError, NotImplementedError):
            pass  # not all file systems have links
    os.replace(file, target)


@contextmanager
def _uninterrupted():
    """Let signals that Python handles, such as Ctrl-C, wait until the end."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets them
        yield
        return
    waiting = []
    names = (signal.SIGINT, signal.SIGTERM)
    handlers = {name: signal.getsignal(name) for name in names}
    handlers = {name: handler for name, handler in handlers.items() if callable(handler)}
    for name in handlers:
        signal.signal(name, lambda *args: waiting.append(args))
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
        for name, frame in waiting:  # also if a move failed
            handlers[name](name, frame)


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
