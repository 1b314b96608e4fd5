# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files without their content, as of data sets that were fetched in part."""

import re

_POINTERS = {
    b"/annex/objects/": ("git-annex", "datalad get"),
    b"version https://git-lfs": ("Git LFS", "git lfs pull"),
}
_EMPTY = (
    "If it belongs to a data set that was fetched without the content of its files, fetch this "
    "file with 'datalad get {}'."
)


def check_content(path):
    """Raise if a recording, or a file that belongs to it, is empty or only stands for a file.

    FileNotFoundError for a link to a missing file, RuntimeError otherwise.
    """
    _check_file(path)
    for other in list_companions(path):
        _check_file(other)


def _check_file(path):
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(
            f"{path} is a link to a file that is missing. {_EMPTY.format(path.name)}"
        )
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(32)
    if not start:
        raise RuntimeError(f"{path} is empty. {_EMPTY.format(path.name)}")
    for text, (system, command) in _POINTERS.items():
        if start.startswith(text):
            raise RuntimeError(
                f"{path} is a pointer of {system} to a file that was not fetched. Fetch it with "
                f"'{command}'."
            )


def list_companions(path):
    """List the files that belong to a recording and were named by or after it."""
    if path.suffix == ".set":
        return [path.with_suffix(".fdt")]
    if path.suffix != ".vhdr":
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    names = dict(re.findall(r"^(DataFile|MarkerFile)=([^\r\n]*)", text, re.MULTILINE))
    names = [name.strip().replace("$b", path.stem) for name in names.values()]
    return [path.parent / name for name in names if name.strip()]
