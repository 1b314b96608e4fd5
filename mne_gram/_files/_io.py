# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading recordings; writing files, each completely or not at all."""

import importlib.util
import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import mne

from .._counts import count
from .._formats import check_free, make_scratch_folder, staged
from .._recording import Scratch, check_room, load_raw
from ._brainvision import complete_brainvision, write_brainvision
from ._content import check_content
from ._edf import write_edf
from ._edf_gaps import complete_gaps, is_discontinuous

# The precision of the formats that can be written.
PRECISION = {
    ".fif": "fif of 64-bit floats",
    ".edf": "EDF has 16 bits per sample: good samples are rounded too",
    ".bdf": "BDF has 24 bits per sample: good samples are rounded too",
    ".vhdr": "BrainVision has 32-bit floats",
    ".set": "EEGLAB has 32-bit floats",
}
SINGLE_FIF = "fif of 32-bit floats, as in the input"
EPOCHS_FIF = ("epo.fif", "epo.fif.gz")
EVOKED_FIF = ("-ave.fif", "-ave.fif.gz", "_ave.fif", "_ave.fif.gz")
LARGE = 2**29  # bytes in double precision, above which recordings are not held in memory
# The warnings of MNE when a file ends before its last sample.
CUT_SHORT = "Invalid tag with only|Number of records from the header does not match"
# Formats that keep the channels of an annotation.
_KEEPS_CHANNELS = (".fif", ".fif.gz", ".edf", ".bdf", ".vhdr")
_OF_ALL_CHANNELS = ("BAD BOUNDARY", "BAD_ACQ_SKIP")  # boundaries and gaps in the file


def read_inst(path, *, preload=True):
    """Read Raw in any format that MNE reads, or Epochs (always loaded) from ``*epo.fif[.gz]``.

    Raises FileNotFoundError if there is no such file, and RuntimeError if it is truncated, empty or
    not in the format of its name.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(f"The input {path} does not exist.")
    if path.is_dir() and not path.absolute().suffix:  # unlike .mff and .ds
        raise IsADirectoryError(
            f"{path} is a folder, expected a recording. For a BIDS data set, use mne_gram bids."
        )
    check_content(path)
    is_epochs = path.name.endswith(EPOCHS_FIF)
    with _reading(path, *(["epochs"] if is_epochs else [])):
        has_gaps = is_discontinuous(path)
        if has_gaps:
            # Annotations have the time that passed, which is longer.
            warnings.filterwarnings("ignore", "(Limited|Omitted) .* annotation", RuntimeWarning)
        inst = mne.read_epochs(path) if is_epochs else _read_raw(path, preload)
        if path.suffix.lower() == ".vhdr":
            complete_brainvision(path, inst)
        if has_gaps:
            complete_gaps(path, inst)
    if not path.name.lower().endswith(_KEEPS_CHANNELS):
        _warn_of_lost_channels(path, inst)
    return inst


def read_evokeds(path):
    """Read all Evoked of a file, as `read_inst` reads other data."""
    path = Path(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(f"The input {path} does not exist.")
    check_content(path)
    with _reading(path, "evoked data"):
        return mne.read_evokeds(path)


def write_evokeds(evokeds, path, *, overwrite=False):
    """Write Evoked to one file, as `write_inst` writes other data.

    They share one list of bad channels in the file: those that are bad in any of them.
    """
    get_format(evokeds[0], path)
    bads = {name for evoked in evokeds for name in evoked.info["bads"]}
    for evoked in evokeds:
        evoked.info["bads"] = [name for name in evoked.ch_names if name in bads]
    with staged(path, overwrite) as file:
        mne.write_evokeds(file, evokeds)
    return SINGLE_FIF


def _read_raw(path, preload):
    """Read a Raw, also in EGI's simple binary format, which MNE does not recognise by its name."""
    read = mne.io.read_raw_egi if path.suffix == ".raw" else mne.io.read_raw
    return read(path, preload=preload)


@contextmanager
def loaded(inst, folder):
    """Load an inst during the context, a large one memory-mapped to a temporary file in a folder.

    Yields the same inst. Raises OSError if there is no room for the file (8 bytes per sample), and
    RuntimeError if the recording cannot be read.
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
    with make_scratch_folder(Path(folder)) as scratch:
        with _reading(path):
            load_raw(inst, Path(scratch) / "samples.dat", Scratch)
        try:
            yield inst
        finally:
            inst._data = None  # some systems do not remove a mapped file


@contextmanager
def _reading(path, what="a continuous recording"):
    """Turn any exception of a reader into a RuntimeError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", CUT_SHORT, RuntimeWarning)
            yield
    except Exception as exc:  # a broken header can make readers raise anything
        raise RuntimeError(
            f"{path} cannot be read as {what}. It is truncated, or not in the format that its name "
            f"says (names of epochs files have to end in -epo.fif). The reader reported: {exc}"
        ) from exc


def _warn_of_lost_channels(path, inst):
    """Warn about bad segments that may have been of some channels only."""
    n_bad = sum(
        text.upper().startswith("BAD")
        and not text.upper().startswith(_OF_ALL_CHANNELS)
        and not names
        for text, names in zip(inst.annotations.description, inst.annotations.ch_names, strict=True)
    )
    if n_bad:
        mne.utils.warn(
            f"{path.name} has {count(n_bad, 'annotation')} of bad segments. Its format does not "
            "store the channels of annotations, so they apply to all channels. Use a fif, "
            "BrainVision or EDF file if they are meant for some channels only."
        )


def check_output(path, *, inst=None, source=None, overwrite=False):
    """Raise, before any computation, if a file could not be written.

    ``inst`` is what will be written (None: no recording); ``source`` must not be replaced.
    """
    path = Path(path)
    if inst is not None:
        get_format(inst, path)
    files = [path]
    if path.suffix.lower() == ".vhdr":
        files += [path.with_suffix(".eeg"), path.with_suffix(".vmrk")]
    if source is not None and Path(source).resolve() in [file.resolve() for file in files]:
        raise ValueError(f"The output {path} would replace the input. Give another output.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}, the folder of the output, does not exist.")
    check_free(files, overwrite)
    with staged(path, overwrite):
        pass


def write_inst(inst, path, *, overwrite=False):
    """Write Raw to ``.fif[.gz]`` or a format of `PRECISION`, or Epochs to ``-epo.fif[.gz]``.

    Returns a note on the precision of the samples. Raises FileExistsError, PermissionError, or
    ValueError for another format.
    """
    path = Path(path)
    extension = get_format(inst, path)
    note = PRECISION[extension]
    with staged(path, overwrite) as file:
        if not isinstance(inst, mne.io.BaseRaw):  # Epochs do not know their format
            inst.save(file, fmt="double")
        elif extension == ".fif":
            # Good samples of a file in single precision are unchanged in single precision.
            is_single = inst.orig_format == "single" and isinstance(inst, mne.io.Raw)
            inst.save(file, fmt="single" if is_single else "double")
            note = SINGLE_FIF if is_single else note
        elif extension in (".edf", ".bdf"):
            write_edf(file, inst)
        elif extension == ".set":
            _write_eeglab(file, inst)
        else:
            write_brainvision(file, inst)
    return note


def _write_eeglab(path, raw):
    """Write a Raw to EEGLAB; annotations lose their channels, which is a warning for bad ones."""
    marks = zip(raw.annotations.description, raw.annotations.ch_names, strict=True)
    n_bad = sum(text.upper().startswith("BAD") and len(names) > 0 for text, names in marks)
    if n_bad:
        mne.utils.warn(
            f"EEGLAB files do not store the channels of annotations, so "
            f"{count(n_bad, 'bad segment')} of single channels will apply to all channels. Write a "
            "fif, BrainVision or EDF file to keep them."
        )
    with mne.utils.use_log_level("error"):
        mne.export.export_raw(path, raw)


def write_figure(figure, path, *, overwrite=False):
    """Write a matplotlib figure in the format of the file name."""
    with staged(path, overwrite) as file:
        figure.savefig(file)


def get_format(inst, path):
    """Return the extension by which an inst is written to a path.

    Raises ValueError if there is none, and RuntimeError if a package that it needs is missing.
    """
    name = Path(path).name  # not in lower case: MNE does not write to A.FIF
    if not isinstance(inst, mne.io.BaseRaw):
        return _check_fif(name, "epochs" if isinstance(inst, mne.BaseEpochs) else "evoked data")
    extension = next((ext for ext in PRECISION if name.endswith((ext, f"{ext}.gz"))), None)
    if extension is None or (name.endswith(".gz") and extension != ".fif"):
        raise ValueError(
            f"The format of the output {name} is not supported. Its name has to end in .fif, "
            ".fif.gz, .edf, .bdf, .vhdr or .set, in lower case."
        )
    if name.endswith(EPOCHS_FIF + EVOKED_FIF):
        raise ValueError(
            f"The output {name} has the name of epochs or evoked data, but is a continuous "
            "recording. Its name has to end in -raw.fif, for example."
        )
    wrong = [ch for ch in inst.ch_names if len(ch) > 16 or not ch.isascii()]
    if wrong and extension in (".edf", ".bdf"):
        raise ValueError(
            f"{extension[1:].upper()} stores names of channels of up to 16 ASCII characters, "
            f"unlike {', '.join(wrong)}. Rename these channels, or give an output in another "
            "format."
        )
    if extension == ".set" and importlib.util.find_spec("eeglabio") is None:
        raise RuntimeError("Writing .set needs the package eeglabio: pip install eeglabio")
    if extension == ".bdf" and not mne.utils.check_version("mne", "1.11"):
        raise RuntimeError("Writing .bdf needs MNE-Python 1.11: pip install 'mne>=1.11' -U edfio")
    return extension


def _check_fif(name, what):
    """Return .fif, or raise ValueError unless the name is that of a file of epochs or Evoked."""
    endings = dict(epochs=EPOCHS_FIF).get(what, EVOKED_FIF)
    if not name.endswith(endings):
        raise ValueError(
            f"The output {name} is for {what}, which are only written to fif. Its name has to end "
            f"in -{endings[0].lstrip('-')} or -{endings[1].lstrip('-')}, in lower case."
        )
    return ".fif"
