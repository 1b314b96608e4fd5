# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading and writing parts of a recording, in memory or memory-mapped."""

import mmap
from pathlib import Path
from shutil import disk_usage

import numpy as np

_THIN_SAMPLES = 20_000
_COPY_VALUES = 2**22  # 32 MB in double precision


class Samples:
    """The samples of some channels, read and written in parts; epochs are laid end to end.

    ``data`` are all channels, ``([n_epochs, ]n_channels, n_times)``, ``picks`` those to work with,
    and ``segments`` the starts and stops of segments of continuous time. Inside ``holes``, where
    nothing was recorded, zeros are read, whatever the data contain.
    """

    def __init__(self, data, picks, segments, holes=()):
        self._data, self.picks, self.segments, self.holes = data, picks, segments, holes
        self.n_times = data.shape[-1] * (len(data) if data.ndim == 3 else 1)
        self.kept = {}  # what was computed of the samples, until these are written

    def select(self, channels):
        """Return the samples of some channels, counted in ``picks``."""
        return Samples(self._data, self.picks[channels], self.segments, self.holes)

    def read(self, start=0, stop=None, step=1):
        """Return a copy of every ``step``-th sample, shape (n_picks, n_samples)."""
        stop = self.n_times if stop is None else stop
        if step > 1:
            return self._read_thinly(start, stop, step)
        if self._data.ndim == 2:
            part = np.asarray(self._data[self.picks, start:stop], float)
        else:
            length = self._data.shape[-1]
            first, last = start // length, -(-stop // length)
            part = self._data[first:last, self.picks].transpose(1, 0, 2)
            part = part.reshape(len(self.picks), -1)
            part = part[:, start - first * length : stop - first * length].astype(float)
        drop_pages(self._data)
        self._empty_holes(part, start, stop)
        return part

    def _read_thinly(self, start, stop, step):
        """Read every ``step``-th sample in chunks: all at once would map all of them."""
        values = np.empty((len(self.picks), max(0, -(-(stop - start) // step))))
        length = self._data.shape[-1]
        for first, last in cut_chunks(len(self.picks) * step, values.shape[1]):
            index = np.arange(start + first * step, start + last * step, step)
            if self._data.ndim == 2:
                part = self._data[self.picks, index[0] : index[-1] + 1 : step]
            else:
                part = self._data[index // length, self.picks[:, None], index % length]
            values[:, first:last] = part
            drop_pages(self._data)
        self._empty_holes(values, start, stop, step)
        return values

    def _empty_holes(self, values, start, stop, step=1):
        """Set every ``step``-th sample from ``start`` to 0 inside holes, in place."""
        for hole in self.holes:
            first, last = (-(-(min(max(edge, start), stop) - start) // step) for edge in hole)
            values[:, first:last] = 0.0

    def write(self, channel, start, values):
        """Put values in place; nothing else is touched."""
        self.kept.clear()
        pick, stop = self.picks[channel], start + len(values)
        if self._data.ndim == 2:
            self._data[pick, start:stop] = values
            return
        length = self._data.shape[-1]
        for epoch in range(start // length, -(-stop // length)):
            offset = epoch * length
            a, b = max(start, offset), min(stop, offset + length)
            self._data[epoch, pick, a - offset : b - offset] = values[a - start : b - start]

    def chunks(self):
        """Yield starts and stops of chunks of which a copy is small."""
        yield from cut_chunks(len(self.picks), self.n_times)

    def release(self):
        """Give memory back if the data are memory-mapped."""
        drop_pages(self._data)

    def thin(self):
        """Return how many samples apart some twenty thousand are, enough for rough statistics."""
        return max(1, self.n_times // _THIN_SAMPLES)


class Scratch(np.memmap):
    """A memory-mapped array of which no more stays in memory than is being read."""

    def __getitem__(self, index):
        """Return a copy."""
        values = np.array(np.asarray(self)[index])
        drop_pages(self)
        return values

    def __setitem__(self, index, values):
        """Write; NumPy would write into what ``__getitem__`` returns."""
        np.asarray(self)[index] = values


def cut_chunks(n_channels, n_times):
    """Yield starts and stops of chunks of time of which a copy is small."""
    length = max(1, _COPY_VALUES // max(1, n_channels))
    for start in range(0, n_times, length):
        yield start, min(start + length, n_times)


def drop_pages(data):
    """Tell the system that a memory-mapped file need not stay in memory; ignore other arrays.

    Otherwise the process seems to need as much memory as the file is long.
    """
    mapped = getattr(data, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)


def load_raw(raw, path, kind=np.memmap):
    """Load a Raw that is not preloaded into a memory-mapped file, in chunks.

    ``kind`` is the type of array. Raises an OSError if the disk has no room for the file, and a
    ValueError if the recording itself is in it.
    """
    if Path(path).resolve() in [Path(name).resolve() for name in raw.filenames if name]:
        raise ValueError(f"The file {path} contains the recording itself. Give another file.")
    check_room(raw, Path(path).parent)
    shape = len(raw.ch_names), raw.n_times
    data = np.memmap(path, dtype=float, mode="w+", shape=shape)
    if _can_be_cut(raw):
        for start, stop in cut_chunks(*shape):
            data[:, start:stop] = raw._read_segment(start, stop)
            drop_pages(data)
    else:
        raw._read_segment(data_buffer=data)
    data.flush()
    raw._data, raw.preload = kind(path, dtype=float, mode="r+", shape=shape), True
    raw._comp = None  # it is applied while reading
    raw.close()


def check_room(raw, folder):
    """Raise an OSError if a folder has no room for the samples of a Raw.

    On a full disk, writing to a memory-mapped file would end the process.
    """
    needed, free = 8 * len(raw.ch_names) * raw.n_times, disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"The data need {needed / 1e9:.2f} GB in the folder {folder}, which has "
            f"{free / 1e9:.2f} GB left. Free some space there, or give another folder."
        )


def _can_be_cut(raw):
    """Return whether reading a Raw in chunks gives the same as reading all of it at once."""
    for name, extras in zip(raw.filenames, raw._raw_extras, strict=True):
        if str(name).endswith(".gz"):  # each chunk would be unpacked from the start of the file
            return False
        if isinstance(extras, dict) and "n_samps" in extras and "sel" in extras:
            if len(np.unique(extras["n_samps"][extras["sel"]])) > 1:  # EDF, which MNE resamples
                return False
    return True
