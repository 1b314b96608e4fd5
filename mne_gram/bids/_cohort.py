# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The job ``prior``: one recording measured, for the prior of its data set."""

import numpy as np
from pooch import file_hash

from .._files import loaded, read_recording
from .._formats import Member, read_npz
from ..cohort import measure_recording
from ..covariance import N_BANDS, RecordingCovariance
from ..detection import find_bads
from ..montage import ELECTRODES
from ._library import name_recording
from ._restore import describe_input

_LARGEST = 2**24  # bytes of a measurement; 114 electrodes take 1 MB
_FEWEST = 3  # electrodes
_ARRAYS = dict(channels=Member("i", 1), cov=Member("f", 3, (N_BANDS, None, None), finite=True))


def measure_for_prior(recording, settings, folder):
    """Measure a recording and write its covariances to a folder.

    Returns the paths, none if it is left out, and the facts: ``record`` is the sha256 of the file,
    ``excluded`` the reason, ``electrodes`` are those that were measured, and
    ``dropped`` are the channels that were left out although they are not marked, with the reason.
    """
    inst = read_recording(recording)
    facts = describe_input(inst)
    with loaded(inst, folder):
        if settings.find_bads:  # as the run does before it restores
            found = find_bads(inst, line_freq=settings.line_freq)
            inst = found.mark(inst, copy=False)
            facts["found"] = dict(channels=found.reasons, n_spans=len(found.spans))
        measured = measure_recording(inst, name_recording(recording))
    made = measured.recording
    facts["dropped"] = dict(measured.dropped)
    if made is None:
        return [], dict(facts, excluded=measured.reason)
    path = folder / settings.get_target(recording)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, channels=made.channels.astype(np.int64), cov=made.cov.astype(np.float64))
    facts["record"] = file_hash(path)
    facts["electrodes"] = [ELECTRODES[k] for k in made.channels]
    return [path], facts


def read_record(path, source, checksum):
    """Read the covariances of a recording; ValueError if they are not those that were written."""
    if not path.is_file() or path.stat().st_size > _LARGEST or file_hash(path) != checksum:
        raise ValueError(f"The measurement {path.name} is missing or was changed")
    arrays = read_npz(path, _ARRAYS, max_bytes=_LARGEST)
    channels, cov = arrays["channels"], arrays["cov"]
    _check(path, channels, cov)
    return RecordingCovariance(source, channels, cov)


def _check(path, channels, cov):
    """Raise ValueError unless these are the covariances of different electrodes."""
    n, scale = len(channels), np.abs(cov).max(initial=0.0)
    is_valid = (
        n >= _FEWEST
        and len(np.unique(channels)) == n
        and channels.min() >= 0
        and channels.max() < len(ELECTRODES)
        and cov.shape == (N_BANDS, n, n)
        and scale > 0
        and np.abs(cov - cov.transpose(0, 2, 1)).max() <= 1e-9 * scale
        and np.linalg.eigvalsh(cov).min() >= -1e-6 * scale
    )
    if not is_valid:
        raise ValueError(f"{path.name} does not contain covariances of electrodes")
