# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings and base classes of recordings, and their files."""

from dataclasses import dataclass

import numpy as np

from .._counts import count
from .._docs import fill_doc
from ._files import read_features, write_features

_ARRAYS = ("data", "onsets", "durations", "good", "events")
_HEADER = ("ch_names", "first_time", "model", "sha256", "event_id")


@dataclass(eq=False, repr=False, kw_only=True)
class _FeatureSet:
    """Windows of a recording with their times, channels and metadata."""

    data: np.ndarray
    ch_names: list
    onsets: np.ndarray
    durations: np.ndarray
    good: np.ndarray
    first_time: float | None = None
    model: str | None = None
    sha256: str | None = None
    events: np.ndarray | None = None
    event_id: dict | None = None
    metadata: object = None

    def __post_init__(self):
        n_windows = len(self.data)
        for name in ("onsets", "durations", "good", "events", "metadata"):
            value = getattr(self, name)
            if value is not None and len(value) != n_windows:
                raise ValueError(
                    f"{name} has {len(value)} rows, expected {n_windows}: one per window."
                )

    def __len__(self):
        """Return the number of windows."""
        return len(self.data)

    @property
    def times(self):
        """Centre of each window in seconds, on the clock of ``onsets``."""
        return self.onsets + self.durations / 2

    def _describe(self):
        seconds = [f"{value:g}" for value in np.unique(self.durations)[[0, -1]]]
        length = " to ".join(dict.fromkeys(seconds))
        model = "" if self.model is None else f", {self.model}"
        size = count(len(self), "window")
        return f"{size} of {length} s, {count(len(self.ch_names), 'channel')}{model}"

    def _tabulate(self, by_channel, by_patch):
        """Return a table of times and labels, and the indices of window, channel and patch."""
        import pandas as pd

        n_channels = len(self.ch_names) if by_channel else 1
        n_patches = self.data.shape[-1 if self._patches_last else -2] if by_patch else 1
        index = np.indices((len(self), n_channels, n_patches)).reshape(3, -1)
        if by_patch:  # shorter windows have fewer rows
            index = index[:, index[2] < np.round(self.durations[index[0]])]
        window, channel, patch = index
        table = pd.DataFrame({"window": window, "onset": self.onsets[window] + patch})
        table["duration"] = 1.0 if by_patch else self.durations[window]
        if by_channel:
            table["channel"] = np.array(self.ch_names, object)[channel]
        else:
            table["good"] = self.good[window]
        if self.events is not None:
            names = {code: name for name, code in (self.event_id or {}).items()}
            codes = self.events[window, 2]
            table["event"] = [names.get(code, str(code)) for code in codes.tolist()]
        if self.metadata is not None:
            rows = self.metadata.iloc[window].reset_index(drop=True)
            taken = {name: f"{name}_metadata" for name in table.columns}
            table = pd.concat([table, rows.rename(columns=taken)], axis=1)
        return table, index

    def save(self, fname, *, overwrite=False):
        """Save to a file.

        Parameters
        ----------
        fname : path-like
            The file, ending in ``.npz``; :func:`numpy.load` can read it too.
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        ValueError
            If the name has another ending, or the metadata contain objects that are neither
            numbers nor text.

        Notes
        -----
        The file is written atomically. It contains plain arrays and JSON, no pickles.
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        header = {name: getattr(self, name) for name in (*_HEADER, *self._own)}
        kind = type(self).__name__
        write_features(fname, kind, arrays, header, self.metadata, overwrite=overwrite)


@fill_doc
class Embedding(_FeatureSet):
    """Vectors of windows, the result of :func:`mne_gram.compute_embedding`.

    Parameters
    ----------
    pool : str
        How the vectors of a window were pooled.
    **kwargs
        The attributes.

    Attributes
    ----------
    data : array of float32, shape (n_windows, ..., dim)
        The vectors: ``(n_windows, dim)`` with ``pool`` ``"cls"`` and ``"mean"``, ``(n_windows,
        n_channels, dim)`` with ``"channels"``, ``(n_windows, n_patches, dim)`` with ``"times"``,
        ``(n_windows, n_channels, n_patches, dim)`` with ``"patches"``. NaN without good patches.
    pool : str
        How the vectors of a window were pooled.
    %(feature_set)s
    """

    _own = ("pool",)
    _patches_last = False

    def __init__(self, *, pool, **kwargs):
        self.pool = pool
        super().__init__(**kwargs)

    def __repr__(self):
        """Return a short description."""
        shape = " x ".join(map(str, self.data.shape[1:]))
        return f"<Embedding | {self.pool!r} ({shape}) of {self._describe()}>"

    def to_data_frame(self):
        """Return the vectors as a table.

        Returns
        -------
        df : pandas.DataFrame
            One row per vector, which belongs to a window or to a channel or second of it. Columns:
            ``window``, ``onset``, ``duration``, ``channel`` or ``good``, ``event`` and the metadata
            of Epochs, and the vector as ``gram000, gram001, ...``.
        """
        import pandas as pd

        by_channel = self.pool in ("channels", "patches")
        by_patch = self.pool in ("times", "patches")
        table, (window, channel, patch) = self._tabulate(by_channel, by_patch)
        index = (window, *([channel] * by_channel), *([patch] * by_patch))
        names = [f"gram{k:03d}" for k in range(self.data.shape[-1])]
        return pd.concat([table, pd.DataFrame(self.data[index], columns=names)], axis=1)


@fill_doc
class Tokens(_FeatureSet):
    """Base classes of patches, the result of :func:`mne_gram.compute_tokens`.

    Parameters
    ----------
    n_classes : int
        The number of base classes of the tokenizer.
    **kwargs
        The attributes.

    Attributes
    ----------
    data : array of int64, shape (n_windows, n_channels, n_patches)
        The base class of each patch (a second of a channel); -1 for bad patches and beyond the
        end of shorter windows.
    n_classes : int
        The number of base classes of the tokenizer.
    %(feature_set)s
    """

    _own = ("n_classes",)
    _patches_last = True

    def __init__(self, *, n_classes, **kwargs):
        self.n_classes = n_classes
        super().__init__(**kwargs)

    def __repr__(self):
        """Return a short description."""
        n_used = len(np.unique(self.data[self.data >= 0]))
        return f"<Tokens | {n_used} of {self.n_classes} base classes in {self._describe()}>"

    def to_data_frame(self):
        """Return the base classes as a table.

        Returns
        -------
        df : pandas.DataFrame
            One row per patch. Columns: ``window``, ``onset``, ``duration``, ``channel``, ``event``
            and the metadata of Epochs, and ``token``, -1 where bad.
        """
        table, index = self._tabulate(by_channel=True, by_patch=True)
        table["token"] = self.data[tuple(index)]
        return table


def read_embedding(fname):
    """Read an embedding from a file that :meth:`mne_gram.Embedding.save` wrote.

    Parameters
    ----------
    fname : path-like
        The file.

    Returns
    -------
    embedding : Embedding
        The vectors.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    RuntimeError
        If the file does not contain an embedding, or is broken.
    """
    return Embedding(**read_features(fname, "Embedding"))


def read_tokens(fname):
    """Read base classes from a file that :meth:`mne_gram.Tokens.save` wrote.

    Parameters
    ----------
    fname : path-like
        The file.

    Returns
    -------
    tokens : Tokens
        The base classes.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    RuntimeError
        If the file does not contain base classes, or is broken.
    """
    return Tokens(**read_features(fname, "Tokens"))


def describe_bad(data, good):
    """Return a warning of windows without a good patch; ``good`` are shares, (n_windows,)."""
    none = np.flatnonzero(good == 0)
    missing = "NaN" if data.dtype.kind == "f" else "-1"
    return (
        f"All patches are bad in {len(none)} of {len(good)} windows "
        f"({', '.join(map(str, none[:10]))}{', ...' if len(none) > 10 else ''}), which are "
        f"{missing} throughout. Leave them out (embedding.good == 0), or restore the recording "
        "first."
    )
