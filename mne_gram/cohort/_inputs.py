# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The recordings that a prior is fitted to: data, files, or a BIDS data set."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mne import BaseEpochs
from mne.io import BaseRaw
from mne.utils import _validate_type, use_log_level

from .._files import (
    BidsRecording,
    loaded,
    parse_entities,
    read_inst,
    read_recording,
    select_recordings,
)
from ._measure import Measurement, measure_recording

_DATASET = "cohort"  # of recordings that do not come from a BIDS data set
_NOBODY = {"", "0", "x"}  # in lower case, of anonymized data: by MNE, and in EDF+


@dataclass(frozen=True, eq=False)
class Input:
    """A recording to measure: an inst, a path or a BidsRecording."""

    inst: object
    source: tuple  # data set, subject (None if it is not known until a file is read) and file
    number: int


def list_inputs(insts, subjects):
    """Return an iterable of Inputs, and their number, None where it is unknown.

    Raises ValueError or TypeError for anything that is no recording.
    """
    if isinstance(insts, BaseRaw | BaseEpochs):
        insts = [insts]
    if _is_bids_path(insts) or _is_folder(insts):
        inputs = list(_list_bids(insts, subjects))
        return inputs, len(inputs)
    if isinstance(insts, str | Path):
        insts = [insts]
    _validate_type(insts, Iterable, "insts", "an iterable of recordings, or a BIDS root")
    number = len(insts) if isinstance(insts, Sized) else None
    if subjects is not None:
        _validate_type(subjects, (list, tuple), "subjects", "a list of str")
        if number not in (None, len(subjects)):
            raise ValueError(_explain_lengths(number, len(subjects)))
    return _iterate(insts, subjects), number


def _is_bids_path(value):
    return hasattr(type(value), "fpath")  # mne_bids is slow to import


def _is_folder(insts):
    return isinstance(insts, str | Path) and Path(insts).is_dir()


def _explain_lengths(number, n_subjects):
    return f"Found {number} recordings and {n_subjects} subjects, expected a subject for each."


def _iterate(insts, subjects):
    """Yield an Input for each recording, one at a time."""
    number = 0
    for number, inst in enumerate(insts, 1):
        if subjects is not None and number > len(subjects):
            raise ValueError(_explain_lengths(f"at least {number}", len(subjects)))
        if _is_bids_path(inst):
            inst = BidsRecording(Path(inst.root), Path(inst.fpath).relative_to(inst.root))
        kinds = (BaseRaw, BaseEpochs, "path-like", BidsRecording)
        _validate_type(inst, kinds, "each of insts", "Raw, Epochs or path-like")
        if isinstance(inst, str):
            inst = Path(inst)
        subject = None if subjects is None else str(subjects[number - 1])
        yield Input(inst, _describe(inst, subject, number), number)
    if subjects is not None and number < len(subjects):
        raise ValueError(_explain_lengths(number, len(subjects)))


def _describe(inst, subject, number):
    """Return the source of a recording: data set, subject if it is known, and file."""
    if isinstance(inst, BidsRecording):
        own = inst.path.parts[0]
        return inst.root.resolve().name, subject or own, inst.path.name
    if isinstance(inst, Path):
        file = inst
    else:
        names = inst.filenames if isinstance(inst, BaseRaw) else [inst.filename]
        file = next((Path(name) for name in names if name), None)
    name = file.name if file is not None else ""
    entity = parse_entities(name.split(".")[0]).get("sub")
    if subject is None and entity:
        subject = f"sub-{entity}"
    return _DATASET, subject, name or f"recording-{number}"


def _find_subject(given, inst=None):
    """Return the source of an Input with its subject, by the info of its opened recording."""
    dataset, subject, name = given.source
    if subject is None:
        about = (inst.info["subject_info"] if inst is not None else None) or {}
        his_id = str(about.get("his_id") or "").strip()
        subject = f"recording-{given.number}" if his_id.lower() in _NOBODY else his_id
    return dataset, subject, name


def _list_bids(root, subjects):
    """Yield an Input for each recording of a BIDS data set."""
    selection = dict(subjects=subjects)
    if _is_bids_path(root):
        if root.root is None:
            raise ValueError("The BIDSPath has no root, expected the folder of the data set.")
        for name in ("subject", "session", "task", "run"):
            value = getattr(root, name)
            if value is not None and (name != "subject" or subjects is None):
                selection[f"{name}s"] = value
        root = root.root
    for recording in select_recordings(Path(root), selection):
        yield Input(recording, _describe(recording, None, 0), 0)


def measure_input(given, mask):
    """Measure an Input; one that cannot be read is left out, and the reason is in the result."""
    from threadpoolctl import threadpool_limits

    source = _find_subject(given)
    try:
        inst = _open(given.inst)
        source = _find_subject(given, inst)
        # One thread, as in a worker process: the order of sums depends on the number of threads.
        with (
            threadpool_limits(1),
            use_log_level("error"),
            TemporaryDirectory(prefix="mne_gram-") as folder,
        ):
            with loaded(inst, folder):
                return measure_recording(inst, source, mask)
    except (OSError, RuntimeError, ValueError) as exc:
        return Measurement(source, None, str(exc))


def _open(inst):
    """Return Raw or Epochs, which may be loaded without a change of what was given."""
    with use_log_level("error"):
        if isinstance(inst, BidsRecording):
            if inst.problem:
                raise ValueError(inst.problem)
            return read_recording(inst)
        if isinstance(inst, Path):
            return read_inst(inst, preload=False)
    return inst if inst.preload else inst.copy()
