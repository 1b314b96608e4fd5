# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files of single Measurements, so that a data set can be measured step by step."""

import numpy as np

from .._formats import Member, read_npz, staged
from ..covariance import RecordingCovariance, pack_recordings, unpack_recordings
from ._measure import Measurement

_VERSION = 1
_MAX_BYTES = 2**24
_MEMBERS = dict(
    version=Member("iu", 0),
    source=Member("U", 1, (3,)),
    reason=Member("U", 0),
    dropped=Member("U", 2, (None, 2)),
    covs=Member("f", 1, optional=True, finite=True),
    channels=Member("iu", 1, optional=True),
    n_channels=Member("iu", 1, (1,), optional=True),
    sources=Member("U", 2, (1, 3), optional=True),
)


def write_measurement(measurement, fname, *, overwrite=False):
    """Write a Measurement to an ``.npz`` file, completely or not at all."""
    arrays = dict(
        version=np.array(_VERSION),
        source=np.array(measurement.source, str),
        reason=np.array(measurement.reason, str),
        dropped=np.array(measurement.dropped, str).reshape(-1, 2),
    )
    if measurement.recording is not None:
        arrays |= pack_recordings([measurement.recording])
    with staged(fname, overwrite) as path, open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_measurement(fname):
    """Read a Measurement; ValueError if the file is not a valid one."""
    arrays = read_npz(fname, _MEMBERS, max_bytes=_MAX_BYTES)
    if arrays["version"] != _VERSION:
        raise ValueError(
            f"{fname} is of version {arrays['version']}, expected {_VERSION}. Measure it again."
        )
    source, recording = tuple(arrays["source"].tolist()), None
    if "covs" in arrays:
        if not {"channels", "n_channels", "sources"} <= arrays.keys():
            raise ValueError(f"{fname} lacks the channels of its covariances. Measure it again.")
        recording = RecordingCovariance(*unpack_recordings(fname, arrays)[0])
    dropped = tuple(tuple(row) for row in arrays["dropped"].tolist())
    return Measurement(source, recording, str(arrays["reason"]), dropped)
