# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files, recordings above all: each is written whole or not at all."""

import os
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mne

from .._recording import Scratch, check_room, load_raw
from ._brainvision import complete_brainvision, write_brainvision
from ._edf import write_edf

# What the formats that can be written do to the samples.
PRECISION = {
    ".fif": "fif of 64-bit floats",
    ".edf": "EDF keeps 16 bits a sample: good samples are rounded too",
    ".vhdr": "BrainVision keeps 32-bit floats",
}
SINGLE_FIF = "fif of 32-bit floats, as in the input"
LARGE = 2**29  # bytes in double precision: from there on, recordings are not held in memory
# MNE only warns when samples that a file promises are missing.
CUT_SHORT = "Invalid tag with only|Number of records from the header does not match"
# Formats in which an annotation can be of some channels only.
_KEEPS_CHANNELS = (".fif", ".fif.gz", ".edf", ".bdf", ".vhdr")
_CUTS = ("BAD BOUNDARY", "BAD_ACQ_SKIP")  # joins and holes of the file, which are of all channels


def read_inst(path, *, preload=True):
    """Read a recording in any format that MNE reads, or epochs from ``-epo.fif``.

    Parameters
    ----------
    path : path-like
        The file. Epochs are told by the end of its name, ``epo.fif`` or ``epo.fif.gz``.
    preload : bool
        Whether to read the samples of a recording too. Epochs always are in memory.

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs
        The recording.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RuntimeError
        If the file is cut short or is not what its name says.

    Notes
    -----
    BrainVision headers need not tell the number of samples. The data are taken to be cut short
    as well if a marker begins more than a second after their end, or, in a file written by pybv
    (which writes no marker that outlasts the data), if one ends more than a second after it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The input {path} does not exist.")
    is_epochs = path.name.endswith(("epo.fif", "epo.fif.gz"))
    with _reading(path, is_epochs):
        inst = mne.read_epochs(path) if is_epochs else mne.io.read_raw(path, preload=preload)
        if path.suffix.lower() == ".vhdr":
            complete_brainvision(path, inst)
    if not path.name.lower().endswith(_KEEPS_CHANNELS):
        _warn_of_lost_channels(path, inst)
    return inst


@contextmanager
def loaded(inst, folder):
    """Load a recording for as long as the context lasts.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        A recording; one that is loaded stays as it is.
    folder : path-like
        Where a recording that is large is kept meanwhile, in a temporary file that is
        memory-mapped. Its size is 8 bytes a sample.

    Yields
    ------
    inst : mne.io.Raw | mne.Epochs
        The same.

    Raises
    ------
    OSError
        If there is no room for that file.
    RuntimeError
        If the recording cannot be read.
    """
    if inst.preload:
        yield inst
        return
    path = Path(inst.filenames[0])
    if 8 * len(inst.ch_names) * inst.n_times <= LARGE:
        with _reading(path):
            inst.load_data()
        yield inst
        return
    check_room(inst, folder)
    with _make_folder(Path(folder)) as scratch:
        with _reading(path):
            load_raw(inst, Path(scratch) / "samples.dat", Scratch)
        try:
            yield inst
        finally:
            inst._data = None  # some systems remove no file that is mapped


@contextmanager
def _reading(path, is_epochs=False):
    """Turn whatever a reader trips over into an error that says so."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", CUT_SHORT, RuntimeWarning)
            yield
    except Exception as exc:  # a broken header makes the readers raise whatever they trip over
        raise RuntimeError(
            f"{path} cannot be read as {'epochs' if is_epochs else 'a continuous recording'}. It "
            "is cut short, or not in the format that its name says (the name of a file of epochs "
            f"has to end in -epo.fif). The reader said: {exc}"
        ) from exc


def _warn_of_lost_channels(path, inst):
    """Warn of bad annotations that may have been of some channels only."""
    n_bad = sum(
        text.upper().startswith("BAD") and not text.upper().startswith(_CUTS) and not names
        for text, names in zip(inst.annotations.description, inst.annotations.ch_names, strict=True)
    )
    if n_bad:
        mne.utils.warn(
            f"{path.name} has {n_bad} annotation(s) of bad signal. Its format does not tell the "
            "channels of an annotation, so they count for all channels. Take a fif, BrainVision "
            "or EDF file if they are of some channels only."
        )


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
        What was done to the precision of the samples.

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
    note = PRECISION[extension]
    with staged(path, overwrite) as file:
        if not isinstance(inst, mne.io.BaseRaw):  # which do not tell how they were stored
            inst.save(file, fmt="double")
        elif extension == ".fif":
            # A file of single precision gives its good samples back unchanged in single precision.
            is_single = inst.orig_format == "single" and isinstance(inst, mne.io.Raw)
            inst.save(file, fmt="single" if is_single else "double")
            note = SINGLE_FIF if is_single else note
        elif extension == ".edf":
            write_edf(file, inst)
        else:
            write_brainvision(file, inst)
    return note


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
    name = Path(path).name  # not in lower case: MNE writes to no K.FIF
    extension = next((ext for ext in PRECISION if name.endswith((ext, f"{ext}.gz"))), None)
    is_raw = isinstance(inst, mne.io.BaseRaw)
    if extension is None or (name.endswith(".gz") and extension != ".fif"):
        raise ValueError(
            f"The name {name} of the output tells no format that is written. It has to end in "
            f"{'.fif, .fif.gz, .edf or .vhdr' if is_raw else '-epo.fif or -epo.fif.gz'}, in lower "
            "case."
        )
    if not is_raw and not name.endswith(("epo.fif", "epo.fif.gz")):
        raise ValueError(
            f"The output {name} is for epochs, which are only written to fif and known "
            "by their name. It has to end in -epo.fif or -epo.fif.gz."
        )
    return extension


def _check_free(files, overwrite):
    """Raise if one of some files exists and must not be replaced."""
    folders = [str(file) for file in files if file.is_dir()]
    if folders:
        raise IsADirectoryError(f"{', '.join(folders)} is a folder. Name another output.")
    taken = [str(file) for file in files if file.exists()]
    if taken and not overwrite:
        raise FileExistsError(
            f"{', '.join(taken)} exists already. Name another output, or allow overwriting."
        )


@contextmanager
def staged(path, overwrite):
    """Yield ``path`` in a temporary folder beside it; when all went well, move what is there."""
    with staged_together([path], overwrite) as (file,):
        yield file


@contextmanager
def staged_together(paths, overwrite):
    """Do as :func:`staged` for several files: all of them are moved in the end, or none.

    Parameters
    ----------
    paths : list of path-like
        The files to be, with names of their own. The first one is moved last.
    overwrite : bool
        Whether existing files may be replaced.

    Yields
    ------
    files : list of Path
        Where to write them meanwhile.
    """
    paths = [Path(path) for path in paths]
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(_make_folder(path.parent))) for path in paths]
        yield [folder / path.name for folder, path in zip(folders, paths, strict=True)]
        moves = {}
        for folder, path in zip(folders[::-1], paths[::-1], strict=True):
            # The named file goes last: it is the one that refers to the others.
            files = sorted(folder.iterdir(), key=lambda file, name=path.name: file.name == name)
            moves.update({file: path.parent / file.name for file in files})
        _check_free(moves.values(), overwrite)
        for file, target in moves.items():
            os.replace(file, target)


def _make_folder(folder):
    """Return a temporary folder inside a folder, as a context manager."""
    try:
        return TemporaryDirectory(prefix=".mne_gram-", dir=folder)
    except OSError as exc:
        raise PermissionError(f"The folder {folder} cannot be written to: {exc.strerror}.") from exc
