# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Encode windows of several recordings in shared batches."""

import time
import traceback
from dataclasses import dataclass, field

import numpy as np

from ._sets import describe_bad

_N_WAITING = 2.0  # batches; the most windows that wait, over all montages


@dataclass(eq=False)
class Encoded:
    """The result of a recording."""

    name: object
    good: np.ndarray  #: share of good patches, (n_windows,)
    data: np.ndarray | None = None  #: (n_windows, ...)
    error: Exception | None = None
    notes: list = field(default_factory=list)  #: remarks for the report
    seconds: float = 0.0  #: share of the time of the network

    def put(self, rows, values):
        """Store the results of some windows."""
        if self.data is None:
            self.data = np.empty((len(self.good), *values.shape[1:]), values.dtype)
        self.data[rows] = values


@dataclass(eq=False)
class _Part:
    """Windows of one recording in a batch."""

    encoded: Encoded
    rows: slice
    x: np.ndarray
    mask: np.ndarray

    @property
    def is_last(self):
        return self.rows.stop == len(self.encoded.good)


@dataclass(eq=False)
class _Batch:
    """Windows of the same channels and length that are encoded together."""

    channels: np.ndarray
    size: int
    parts: list = field(default_factory=list)

    @property
    def n_windows(self):
        return sum(len(part.x) for part in self.parts)


class JointEncoder:
    """Encodes windows of several recordings in shared batches.

    ``encode`` maps ``x, channels, mask`` (as in `encode_windows`) to values (n_windows, ...).
    Recordings are cut as they come, so that only the windows of incomplete batches are kept.
    """

    def __init__(self, encode):
        self._encode = encode
        self._batches = {}  # by length and montage

    def add(self, name, cuts, channels, batch_size):
        """Add the Cuts of a recording; yield an Encoded for each recording that is complete.

        ``channels`` are montage indices; the batch size must be the same for equal channels and
        length.
        """
        n_patches = int(cuts.length.max())
        key = (n_patches, *channels.tolist())
        encoded, start = Encoded(name, np.zeros(len(cuts))), 0
        while start < len(cuts):
            batch = self._batches.setdefault(key, _Batch(channels, max(1, batch_size)))
            rows = slice(start, min(start + batch.size - batch.n_windows, len(cuts)))
            own = cuts.select(rows)
            x, mask = own.cut(n_patches)
            encoded.good[rows] = own.get_good(mask)
            batch.parts.append(_Part(encoded, rows, x, mask))
            start = rows.stop
            if batch.n_windows == batch.size:
                yield from self._run(key)
        while sum(batch.n_windows / batch.size for batch in self._batches.values()) > _N_WAITING:
            yield from self._run(next(iter(self._batches)))

    def flush(self):
        """Encode the remaining windows; yield as :meth:`add` does."""
        while self._batches:
            yield from self._run(next(iter(self._batches)))

    def _run(self, key):
        """Encode a batch; yield the recordings that are then complete."""
        batch = self._batches.pop(key)
        parts = [part for part in batch.parts if part.encoded.error is None]
        error = self._try(parts, batch.channels) if parts else None
        if error is not None and len(parts) == 1:
            parts[0].encoded.error = error
        elif error is not None:  # each recording is tried alone
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            note = f"Encoded separately, because a batch with other recordings failed ({text})."
            for part in parts:
                part.encoded.notes.append(note)
                part.encoded.error = self._try([part], batch.channels)
        for part in batch.parts:
            if part.is_last:
                yield _complete(part.encoded)

    def _try(self, parts, channels):
        """Encode windows of some recordings; return the exception, or None."""
        start = time.perf_counter()
        x = np.concatenate([part.x for part in parts])
        mask = np.concatenate([part.mask for part in parts])
        try:
            values = self._encode(x, channels, mask)
        except Exception as exc:  # such as a lack of memory, which the frames would keep
            traceback.clear_frames(exc.__traceback__)
            return exc
        seconds = (time.perf_counter() - start) / len(values)
        for part in parts:
            own, values = values[: len(part.x)], values[len(part.x) :]
            part.encoded.put(part.rows, own)
            part.encoded.seconds += seconds * len(own)
        return None


def _complete(encoded):
    """Return a recording with its final notes."""
    encoded.notes = list(dict.fromkeys(encoded.notes))
    if encoded.error is None and not encoded.good.all():
        encoded.notes.append(describe_bad(encoded.data, encoded.good))
    return encoded
