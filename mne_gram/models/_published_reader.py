# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading the published checkpoint files without executing anything in them.

A published file is a ``torch.save`` of ``{model, optimizer, epoch, scaler, cf}``. Its ``cf`` (the
authors' configuration) pickles two classes in addition to tensors and plain containers; they are
read as harmless stand-ins, and any other class makes reading fail.
"""

import collections
import pathlib
import pickletools
import re
import zipfile

import torch

#: Classes in published files, and their stand-ins.
_STAND_INS = [
    (collections.OrderedDict, "addict.addict.Dict"),
    (pathlib.PurePosixPath, "pathlib.PosixPath"),
]
# Classes that torch allows, and that take memory by themselves.
_SIZED = re.compile(
    r"(__builtin__|builtins) bytearray|torch\._utils _rebuild_(?!(tensor(_v2)?|parameter)$)\w+",
    re.ASCII,
)
_LONGEST_NAME = 200
SOURCES = (
    "Download the file again from the authors' sharing page (see mne_gram.fetch_model) and compare "
    "its size with that on the page."
)


def read_published(fname):
    """Return the tensors (entry ``model``) and the configuration (``cf``) of a published file.

    Raises RuntimeError for files that are broken or contain other classes, and ValueError for other
    formats.
    """
    if not zipfile.is_zipfile(fname):
        raise RuntimeError(
            f"{fname} cannot be read as a published Gram checkpoint. Found: no complete zip "
            f"archive. Expected: a file written by torch.save, which is one; a download that was "
            f"cut short or a saved web page is not. {SOURCES}"
        )
    try:
        _check_archive(fname)
        with torch.serialization.safe_globals(_STAND_INS):
            content = torch.load(fname, map_location="cpu", weights_only=True)
    except Exception as error:  # broken or hostile pickles raise anything
        raise RuntimeError(
            f"{fname} cannot be read as a published Gram checkpoint. Found: {_reason(error)}. "
            f"Expected: tensors, numbers and text; nothing else is ever executed. {SOURCES}"
        ) from None
    wanted = ("model", "cf")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), dict) for k in wanted):
        found = type(content).__name__
        if isinstance(content, dict):
            found = ", ".join(sorted(map(show, content))[:10])
        raise ValueError(
            f"{fname} is not a published Gram checkpoint: expected a dict with the dicts 'model' "
            f"and 'cf', found {found}. {SOURCES}"
        )
    tensors, cf = dict(content["model"]), dict(content["cf"])
    names = (isinstance(name, str) and len(name) <= _LONGEST_NAME for name in tensors)
    wrong = [k for ok, k in zip(names, tensors, strict=True) if not ok or not _is_plain(tensors[k])]
    if wrong or not tensors:
        raise ValueError(
            f"{fname} is not a published Gram checkpoint: expected tensors only under 'model', "
            f"found {', '.join(map(show, wrong[:5])) or 'nothing'}. {SOURCES}"
        )
    # Several tensors may be views of the same numbers, of which each would be copied.
    size, found = sum(v.numel() * v.element_size() for v in tensors.values()), fname.stat().st_size
    if size > found:
        raise ValueError(
            f"{fname} is not a published Gram checkpoint: its tensors take {size} bytes, more than "
            f"the {found} of the file. {SOURCES}"
        )
    return tensors, cf


def _check_archive(fname):
    """Raise if a file would take more memory than on disk when it is read."""
    with zipfile.ZipFile(fname) as archive:
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise ValueError("an archive that is compressed, which torch.save does not do")
        for name in archive.namelist():
            if not name.endswith("data.pkl"):
                continue
            with archive.open(name) as file:
                for opcode, arg, _ in pickletools.genops(file):
                    if opcode.name == "GLOBAL" and _SIZED.fullmatch(arg):
                        raise ValueError(f"GLOBAL {arg.replace(' ', '.')}")


def _is_plain(value):
    """Return whether a value is a tensor in memory."""
    is_tensor = isinstance(value, torch.Tensor) and value.layout == torch.strided
    return is_tensor and value.device.type == "cpu" and not value.is_quantized


def show(value):
    """Return a value for a message; containers by their type only, as they may be endless."""
    if isinstance(value, str | int | float | bool | None) and not is_huge(value):
        return repr(value)[:80]
    return f"a {type(value).__name__}"


def is_huge(value):
    """Return whether a value is an integer that cannot be converted to a float."""
    return isinstance(value, int) and abs(value) >= 2**63


def _reason(error):
    """Return torch's reason, without its advice to load the file unsafely."""
    text = str(error).strip()
    name = re.search(r"GLOBAL ([\w.]*\w)", text)
    if name:
        return f"a pickled {name.group(1)}, which does not belong in such a file and might run code"
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__} ({first.split('. ')[0].rstrip('.')})"
