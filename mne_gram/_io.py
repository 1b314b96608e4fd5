# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files, recordings above all: each is written whole or not at all."""

import os
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mne

# What the formats that can be written do to the samples.
PRECISION = {
    ".fif": "fif keeps the precision that the input has",
    ".edf": "EDF keeps 16 bits a sample: good samples are rounded too",
    ".vhdr": "BrainVision keeps 32-bit floats",
}
# MNE only warns when samples that a file promises are missing.
_CUT_SHORT = "Invalid tag with only|Number of records from the header does not match"


def read_inst(path):
    """Read a recording in any format that MNE reads, or epochs from ``-epo.fif``.

    Parameters
    ----------
    path : path-like
        The file. Epochs are told by the end of its name, ``epo.fif`` or ``epo.fif.gz``.

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs
        The recording, in memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RuntimeError
        If the file is cut short or is not what its name says.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The input {path} does not exist.")
    is_epochs = path.name.endswith(("epo.fif", "epo.fif.gz"))
    read = mne.read_epochs if is_epochs else mne.io.read_raw
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", _CUT_SHORT, RuntimeWarning)
            inst = read(path, preload=True)
        if path.suffix.lower() == ".vhdr":
            _check_brainvision_length(path, inst.filenames[0])
    except Exception as exc:  # a broken header makes the readers raise whatever they trip over
        raise RuntimeError(
            f"{path} cannot be read as {'epochs' if is_epochs else 'a continuous recording'}. It "
            "is cut short, or not in the format that its name says (the name of a file of epochs "
            f"has to end in -epo.fif). The reader said: {exc}"
        ) from exc
    return inst


def _check_brainvision_length(header_path, data_path):
    """Raise if a binary data file holds less than its header promises."""
    text = Path(header_path).read_text(encoding="utf-8", errors="replace")
    header = dict(re.findall(r"^(\w+)=([^\r\n]*)", text, re.MULTILINE))
    n_bytes = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}.get(header.get("BinaryFormat"))
    if n_bytes is None:  # a text file, which MNE checks line by line
        return
    frame = n_bytes * int(header["NumberOfChannels"])
    size = Path(data_path).stat().st_size
    if size % frame or size < frame * int(header.get("DataPoints", 0)):
        raise ValueError(f"{data_path} ends before the last sample.")


def check_output(path, *, inst=None, source=None, overwrite=False):
    """Raise, before any work is done, if a file could not be written.

    Parameters
    ----------
    path : path-like
        The file to be.
    inst : mne.io.Raw | mne.Epochs | None
        What :func:`write_inst` is to write there; None for a file of another kind.
    source : path-like | None
        The file that is read meanwhile and hence must not be replaced.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is False.
    FileNotFoundError
        If its folder does not exist.
    PermissionError
        If its folder cannot be written to.
    ValueError
        If the file is the ``source``, or ``inst`` cannot be written in the format of its name.
    """
    path = Path(path)
    if inst is not None:
        _get_format(inst, path)
    files = [path]
    if path.suffix.lower() == ".vhdr":
        files += [path.with_suffix(".eeg"), path.with_suffix(".vmrk")]
    if source is not None and Path(source).resolve() in [file.resolve() for file in files]:
        raise ValueError(f"The output {path} would replace the input. Name another output.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} of the output {path.name} is not there.")
    _check_free(files, overwrite)
    with staged(path, overwrite):
        pass


def write_inst(inst, path, *, overwrite=False):
    """Write a recording to fif, EDF or BrainVision, or epochs to fif.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        What to write. It is left as it is.
    path : path-like
        The file, whose extension tells the format: ``.fif``, ``.fif.gz``, ``.edf`` or ``.vhdr``.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    note : str
        What the format does to the precision of the samples.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is False.
    PermissionError
        If its folder cannot be written to.
    ValueError
        If the extension is none of these, or epochs are to go into another format than fif.
    """
    path = Path(path)
    extension = _get_format(inst, path)
    with staged(path, overwrite) as file:
        if not isinstance(inst, mne.io.BaseRaw):
            inst.save(file, fmt="double")
        elif extension == ".fif":
            # A file of single precision gives its good samples back unchanged in single precision.
            is_single = inst.orig_format == "single" and isinstance(inst, mne.io.Raw)
            inst.save(file, fmt="single" if is_single else "double")
        elif extension == ".edf":
            # One range a channel, so that a large channel does not coarsen the small ones.
            mne.export.export_raw(file, inst.copy(), physical_range="channelwise")
        else:
            with warnings.catch_warnings():
                # That samples are rounded is told below, and markers of some channels are standard.
                warnings.filterwarnings("ignore", "Encountered data in .* format")
                warnings.filterwarnings("ignore", "events: you specified at least one event that")
                mne.export.export_raw(file, inst)
    return PRECISION[extension]


def write_figure(figure, path, *, overwrite=False):
    """Write a figure in the format that the name of the file tells.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : path-like
        The file.
    overwrite : bool
        Whether an existing file may be replaced.
    """
    with staged(path, overwrite) as file:
        figure.savefig(file)


def _get_format(inst, path):
    """Return the extension that names the format of a recording's file."""
    name = Path(path).name.lower()
    extension = next((ext for ext in PRECISION if name.endswith((ext, f"{ext}.gz"))), None)
    is_raw = isinstance(inst, mne.io.BaseRaw)
    if extension is None or (name.endswith(".gz") and extension != ".fif"):
        raise ValueError(
            f"The name {Path(path).name} of the output tells no format that is written. It has to "
            f"end in {'.fif, .fif.gz, .edf or .vhdr' if is_raw else '-epo.fif or -epo.fif.gz'}."
        )
    if not is_raw and not name.endswith(("epo.fif", "epo.fif.gz")):
        raise ValueError(
            f"The output {Path(path).name} is for epochs, which are only written to fif and known "
            "by their name. It has to end in -epo.fif or -epo.fif.gz."
        )
    return extension


def _check_free(files, overwrite):
    """Raise if one of some files exists and must not be replaced."""
    taken = [str(file) for file in files if file.exists()]
    if taken and not overwrite:
        raise FileExistsError(
            f"{', '.join(taken)} exists already. Name another output, or allow overwriting."
        )


@contextmanager
def staged(path, overwrite):
    """Yield ``path`` in a temporary folder beside it; when all went well, move what is there."""
    path = Path(path)
    try:
        folder = TemporaryDirectory(prefix=".mne_gram-", dir=path.parent)
    except OSError as exc:
        raise PermissionError(
            f"The folder {path.parent} of the output {path.name} cannot be written to: "
            f"{exc.strerror}."
        ) from exc
    with folder:
        yield Path(folder.name) / path.name
        # The named file goes last: it is the one that refers to the others.
        files = sorted(Path(folder.name).iterdir(), key=lambda file: file.name == path.name)
        _check_free([path.parent / file.name for file in files], overwrite)
        for file in files:
            os.replace(file, path.parent / file.name)


def mark_bads(inst, names):
    """Add channels to the bad ones of a recording, in place.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The recording.
    names : list of str
        Names of channels.

    Raises
    ------
    ValueError
        If the recording has no such channel.
    """
    unknown = [name for name in names if name not in inst.ch_names]
    if unknown:
        raise ValueError(
            f"The recording has no channel {', '.join(unknown)} that could be bad; its channels "
            f"are {', '.join(inst.ch_names)}."
        )
    inst.info["bads"] += [name for name in names if name not in inst.info["bads"]]
