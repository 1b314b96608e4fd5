# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows of several recordings in common batches, and what comes out by recording again."""

import time
import traceback
from dataclasses import dataclass, field

import numpy as np

from ._encoding import describe_bad

_N_WAITING = 2.0  # batches' worth of windows that wait at most, of all montages together


@dataclass(eq=False)
class Encoded:
    """What the network made of a recording.

    Attributes
    ----------
    name : object
        What the recording was called.
    good : array, shape (n_windows,)
        Share of the patches of each window that are good.
    data : array, shape (n_windows, ...) | None
        What the network made of the windows.
    error : Exception | None
        Why there is nothing, if it failed.
    notes : list of str
        What has to be told of it.
    seconds : float
        Its share of the time that the network took.
    """

    name: object
    good: np.ndarray
    data: np.ndarray | None = None
    error: Exception | None = None
    notes: list = field(default_factory=list)
    seconds: float = 0.0

    def put(self, rows, values):
        """Keep what the network made of some of the windows."""
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
    """Windows of one montage and one length that the network is to get together."""

    channels: np.ndarray
    size: int
    parts: list = field(default_factory=list)

    @property
    def n_windows(self):
        return sum(len(part.x) for part in self.parts)


class JointEncoder:
    """Puts windows of several recordings together into batches.

    Recordings are cut as they come, so that no more of them is kept than the windows of batches
    that are not full yet.

    Parameters
    ----------
    encode : callable
        Makes ``values (n_windows, ...)`` of ``x, channels, mask``, as
        :func:`~mne_gram.features._encoding.encode_windows` takes them.
    """

    def __init__(self, encode):
        self._encode = encode
        self._batches = {}  # by length and montage

    def add(self, name, cuts, channels, batch_size):
        """Take the windows of a recording.

        Parameters
        ----------
        name : object
            What to call it.
        cuts : Cuts
            Its windows.
        channels : array of int, shape (n_channels,)
            Montage index of each channel.
        batch_size : int
            Windows in a batch, the same for all recordings with these channels and this length.

        Yields
        ------
        encoded : Encoded
            Each recording, this one or one before it, whose last window has been encoded.
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
        """Encode what still waits, in batches that are not full; yields as :meth:`add` does."""
        while self._batches:
            yield from self._run(next(iter(self._batches)))

    def _run(self, key):
        """Encode a batch; yield the recordings that are complete then."""
        batch = self._batches.pop(key)
        parts = [part for part in batch.parts if part.encoded.error is None]
        error = self._try(parts, batch.channels) if parts else None
        if error is not None and len(parts) == 1:
            parts[0].encoded.error = error
        elif error is not None:  # of what stood together, only that fails that fails alone too
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            note = (
                f"Encoded by itself, since a batch together with other recordings failed ({text})."
            )
            for part in parts:
                part.encoded.notes.append(note)
                part.encoded.error = self._try([part], batch.channels)
        for part in batch.parts:
            if part.is_last:
                yield _complete(part.encoded)

    def _try(self, parts, channels):
        """Encode windows of some recordings; return what went wrong, or None."""
        start = time.perf_counter()
        x = np.concatenate([part.x for part in parts])
        mask = np.concatenate([part.mask for part in parts])
        try:
            values = self._encode(x, channels, mask)
        except Exception as exc:  # also that memory ran out, which the frames would hold on to
            traceback.clear_frames(exc.__traceback__)
            return exc
        seconds = (time.perf_counter() - start) / len(values)
        for part in parts:
            own, values = values[: len(part.x)], values[len(part.x) :]
            part.encoded.put(part.rows, own)
            part.encoded.seconds += seconds * len(own)
        return None


def _complete(encoded):
    """Return a recording with all that is to be told of it."""
    encoded.notes = list(dict.fromkeys(encoded.notes))
    if encoded.error is None and not encoded.good.all():
        encoded.notes.append(describe_bad(encoded.data, encoded.good))
    return encoded
