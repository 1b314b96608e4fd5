# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Tasks: preprocessed windows with labels, and the protocol by which they are split."""

import hashlib
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
import pandas as pd
from mne.utils import _check_option, catch_logging, logger, warn

from ..datasets import RECIPES, read_bids_epochs, read_bids_windows
from ..preprocessing import preprocess
from ..restoration import restore

PROTOCOLS = ("across", "within", "published", "held-out")
IMAGERY_BAND, STATE_BAND = (8.0, 30.0), (4.0, 40.0)  # Hz


@dataclass(frozen=True)
class Task:
    """Windows with labels.

    Attributes
    ----------
    name : str
        The name of the task in tables.
    epochs : mne.Epochs
        The windows, preprocessed and in memory. Their metadata have the columns ``subject``,
        ``recording``, ``label`` and, in the protocols with a test set, ``part``.
    labels : tuple of str
        The classes in order.
    protocol : "across" | "within" | "published" | "held-out"
        How windows are split: by subject, within each subject, as published, or with a test set
        that is the same for each seed.
    reference : "average" | None
        The reference of the windows, for classifiers that would set it.
    band : tuple of float
        The band in Hz of spatial patterns and covariances.
    measures : tuple of str | None
        The measures; None for all that exist for that number of classes.
    settings : tuple of tuple
        Arguments of GramClassifier, name and value, for ``adapt="full"`` as published.
    """

    name: str
    epochs: object
    labels: tuple
    protocol: str = "across"
    reference: str | None = "average"
    band: tuple = STATE_BAND
    measures: tuple | None = None
    settings: tuple = ()

    def __post_init__(self):
        """Check name, protocol and labels."""
        if not re.fullmatch(r"[\w.+-]+", self.name):
            raise ValueError(
                f"The name of a task is used in file names and may contain letters, digits and "
                f". + - _ only, got {self.name!r}."
            )
        _check_option("protocol", self.protocol, PROTOCOLS)
        counts = Counter(self.y.tolist())
        missing = [label for label in self.labels if not counts[label]]
        if len(counts) < 2 or missing:
            raise ValueError(
                f"The task {self.name} has windows of {dict(counts)}, expected some of each of "
                f"{len(self.labels)} classes (at least two): {', '.join(map(str, self.labels))}."
            )

    @property
    def y(self):
        """The label of each window, shape (n_windows,)."""
        return self.epochs.metadata["label"].to_numpy(str)

    @property
    def subjects(self):
        """The subject of each window, shape (n_windows,)."""
        return self.epochs.metadata["subject"].to_numpy(str)

    @property
    def recordings(self):
        """The recording of each window, shape (n_windows,)."""
        return self.epochs.metadata["recording"].to_numpy(str)

    @property
    def has_whole_recordings(self):
        """Whether each recording has one label, so that it can be scored as a whole."""
        pairs = {*zip(self.recordings.tolist(), self.y.tolist(), strict=True)}
        return len(pairs) == len({recording for recording, _ in pairs})

    @property
    def digest(self):
        """Twelve digits for everything that results depend on except the method."""
        digest = hashlib.sha256()
        frame = self.epochs.metadata[["subject", "recording", "label"]]
        data = self.epochs.get_data(copy=False)
        facts = (frame.to_csv(), self.epochs.ch_names, self.epochs.info["sfreq"], data.shape)
        facts += (self.protocol, self.labels, self.reference, self.band, self.settings)
        digest.update(repr(facts).encode())
        # Only a few digits, because the last ones differ between machines.
        digest.update(np.format_float_scientific(np.abs(data).mean(), 6).encode())
        return digest.hexdigest()[:12]


def make_transform(*, line_freq=None, reference="average"):
    """Return a function that preprocesses a Raw or Epochs and restores its bad channels.

    The parameters are those of :func:`mne_gram.preprocess`. With restored channels, all subjects
    have the same channels.
    """

    def transform(inst):
        """Preprocess a recording and restore its bad channels."""
        inst = preprocess(inst, line_freq=line_freq, reference=reference)
        if inst.info["bads"]:
            inst = restore(inst, method="spatial", copy=False)
        return inst

    return transform


def make_task(name, recordings, *, labels=None, protocol="across", max_windows=None, **kwargs):
    """Combine the windows of several recordings.

    Parameters
    ----------
    name : str
        The name of the task.
    recordings : iterable of mne.Epochs
        The windows of one recording after the other, as the readers in :mod:`mne_gram.datasets`
        return them: their metadata have the columns ``subject``, ``session``, ``file`` and
        ``label``.
    labels : list of str | None
        The classes in order; None takes those that occur, sorted.
    protocol : "across" | "within" | "published" | "held-out"
        How windows are split: by subject, within each subject, as published, or with a test set
        that is the same for each seed.
    max_windows : int | None
        The maximum number of windows per recording, spread over it; None for all.
    **kwargs : dict
        Further attributes of :class:`Task`.

    Returns
    -------
    task : Task
        The task. Only channels that all recordings have are kept; a warning lists the others.

    Raises
    ------
    ValueError
        If there are no windows or no common channels, or sampling rates or lengths differ.
    """
    windows = []
    # Each warning is repeated once for all recordings.
    with (
        warnings.catch_warnings(record=True) as caught,
        mne.use_log_level("warning"),
        catch_logging(),
    ):
        warnings.simplefilter("always")
        for epochs in recordings:
            epochs = _thin(epochs.load_data(), max_windows)
            frame = epochs.metadata
            if len(frame):
                epochs.metadata = frame.assign(recording=frame["session"] + "/" + frame["file"])
                windows.append(epochs)
    for text, count in Counter(str(warning.message) for warning in caught).items():
        warn(f"{text} ({count} times)" if count > 1 else text)
    if not windows:
        raise ValueError(f"The task {name} has no windows.")
    logger.info(f"{name}: {len(windows)} recordings")
    epochs = _join(windows)
    if labels is None:
        labels = sorted(set(epochs.metadata["label"]))
    return Task(name, epochs, tuple(labels), protocol, **kwargs)


def _thin(epochs, most):
    """Return at most ``most`` windows, spread over the recording."""
    if most is None or len(epochs) <= most:
        return epochs
    return epochs[np.unique(np.linspace(0, len(epochs) - 1, most).round().astype(int))]


def _join(windows):
    """Concatenate Epochs with their common channels, in the order of the first."""
    rates = sorted({epochs.info["sfreq"] for epochs in windows})
    lengths = sorted({len(epochs.times) for epochs in windows})
    if len(rates) > 1 or len(lengths) > 1:
        raise ValueError(
            f"The windows have sampling rates {rates} Hz and lengths {lengths}, not one of each."
        )
    common = set.intersection(*(set(epochs.ch_names) for epochs in windows))
    others = {name for epochs in windows for name in epochs.ch_names} - common
    if not common:
        raise ValueError("There is no channel that all recordings have in common.")
    if others:
        warn(f"Channels missing in some recordings are left out: {', '.join(sorted(others))}.")
    names = [name for name in windows[0].ch_names if name in common]
    data = np.concatenate([epochs.get_data(picks=names, copy=False) for epochs in windows])
    metadata = pd.concat([epochs.metadata for epochs in windows], ignore_index=True)
    first = windows[0].copy().pick(names)
    return mne.EpochsArray(
        data, first.info, tmin=first.tmin, metadata=metadata, proj=False, verbose="error"
    )


def load_recipe_task(recipe, root, *, name=None, line_freq=None, max_windows=None, **kwargs):
    """Read a published data set, with its published preprocessing, split and measures.

    Parameters
    ----------
    recipe : str
        The name of the data set, one of :data:`mne_gram.datasets.RECIPES`.
    root : path-like
        The folder of the downloaded files.
    name : str | None
        The name of the task; None takes that of the data set.
    line_freq : float | False | None
        The power line frequency in Hz; None takes the published one.
    max_windows : int | None
        The maximum number of windows per recording, spread over it; None for all.
    **kwargs : dict
        Further arguments of the reader, such as ``subjects``.

    Returns
    -------
    task : Task
        The task, all in memory: ``max_windows`` or ``subjects`` make it smaller.
    """
    recipe = RECIPES[recipe]
    settings = dict(recipe.preprocessing)
    if line_freq is not None:
        settings["line_freq"] = line_freq
    return make_task(
        name or recipe.name,
        recipe.read(root, transform=make_transform(**settings), **kwargs),
        labels=recipe.labels,
        protocol="published",
        max_windows=max_windows,
        reference=recipe.reference,
        measures=recipe.measures,
        settings=(("learning_rate", recipe.learning_rate), ("batch_size", recipe.batch_size)),
        band=IMAGERY_BAND if recipe.name == "shumi" else STATE_BAND,
    )


def load_bids_task(
    root,
    *,
    events=None,
    by=None,
    labels=None,
    tmin=0.0,
    length=4.0,
    within=False,
    name=None,
    line_freq=None,
    max_windows=None,
    **kwargs,
):
    """Read a BIDS data set as windows at events, or of whole recordings.

    Parameters
    ----------
    root : path-like
        The data set.
    events : dict | None
        Events by label, as in :func:`mne_gram.datasets.read_bids_epochs`; None for all.
    by : str | None
        The entity that labels recordings, as in :func:`mne_gram.datasets.read_bids_windows`;
        None for events.
    labels : list of str | None
        With ``by``: the values to use, in order; None takes all that occur, sorted.
    tmin, length : float
        Start of a window relative to its event, and its length, in seconds.
    within : bool
        Whether to split within each subject instead of across subjects.
    name : str | None
        The name of the task; None takes that of the folder.
    line_freq : float | False | None
        The power line frequency in Hz, as in :func:`mne_gram.preprocess`.
    max_windows : int | None
        The maximum number of windows per recording, spread over it; None for all.
    **kwargs : dict
        Further arguments of the reader: ``subjects``, ``tasks``.

    Returns
    -------
    task : Task
        The task.
    """
    kwargs.update(transform=make_transform(line_freq=line_freq), length=length)
    if by is not None:
        recordings = read_bids_windows(root, by, labels=labels, **kwargs)
    else:
        recordings = read_bids_epochs(root, events, tmin, **kwargs)
    return make_task(
        name or Path(root).resolve().name,
        recordings,
        labels=labels or (list(events) if events else None),
        protocol="within" if within else "across",
        max_windows=max_windows,
        band=STATE_BAND if by is not None else IMAGERY_BAND,
    )
