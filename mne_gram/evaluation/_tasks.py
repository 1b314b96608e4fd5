# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Tasks: labelled windows of a data set, preprocessed, and how they are to be split."""

import hashlib
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
from mne.utils import _check_option, catch_logging, logger, warn

from ..preprocessing import preprocess

PROTOCOLS = ("across", "within", "published")
IMAGERY_BAND, STATE_BAND = (8.0, 30.0), (4.0, 40.0)  # Hz


@dataclass(frozen=True)
class Task:
    """Labelled windows.

    Attributes
    ----------
    name : str
        What the task is called in tables.
    epochs : mne.Epochs
        The windows, preprocessed and in memory. Their metadata tell ``subject, recording, label``
        and, in the published protocol, ``part``.
    labels : tuple of str
        The classes in order.
    protocol : "across" | "within" | "published"
        Whether people are tested who were not learnt from, or trials of the same people, or the
        parts of the published split.
    reference : "average" | None
        The reference that the windows are in, for classifiers that would set it.
    band : tuple of float
        The band in Hz that CSP and covariances are of.
    measures : tuple of str | None
        What is measured; None for all that there are.
    settings : tuple of tuple
        Arguments of GramClassifier, name and value, that the published fine-tuning had; they are
        those of ``adapt="full"``.
    unmet : tuple of str
        People whose signals the model has never met, labels or not, if that is known.
    """

    name: str
    epochs: object
    labels: tuple
    protocol: str = "across"
    reference: str | None = "average"
    band: tuple = STATE_BAND
    measures: tuple | None = None
    settings: tuple = ()
    unmet: tuple = ()

    def __post_init__(self):
        """Refuse what cannot be tested."""
        if not re.fullmatch(r"[\w.+-]+", self.name):
            raise ValueError(
                f"The name of a task becomes part of names of files, got {self.name!r}. Give one "
                "of letters, digits, and . + - _ alone."
            )
        _check_option("protocol", self.protocol, PROTOCOLS)
        counts = Counter(self.y.tolist())
        missing = [label for label in self.labels if not counts[label]]
        if len(counts) < 2 or missing:
            raise ValueError(
                f"The task {self.name} has windows of {dict(counts)}, expected some of each of "
                f"{len(self.labels)} classes, two at least: {', '.join(map(str, self.labels))}."
            )

    @property
    def y(self):
        """The label of each window, shape (n_windows,)."""
        return self.epochs.metadata["label"].to_numpy(str)

    @property
    def subjects(self):
        """The person of each window, shape (n_windows,)."""
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
        """A number for all that results depend on but the method."""
        digest = hashlib.sha256()
        frame = self.epochs.metadata[["subject", "recording", "label"]]
        data = self.epochs.get_data(copy=False)
        facts = (frame.to_csv(), self.epochs.ch_names, self.epochs.info["sfreq"], data.shape)
        facts += (self.protocol, self.labels, self.reference, self.band, self.settings)
        digest.update(repr(facts).encode())
        # In single precision and a few digits, as the last ones differ between machines.
        digest.update(np.format_float_scientific(np.abs(data).mean(), 6).encode())
        return digest.hexdigest()[:12]


def make_transform(*, line_freq=None, reference="average"):
    """Return a function that preprocesses a recording, for readers of data sets.

    Parameters
    ----------
    line_freq : float | False | None
        As of :func:`mne_gram.preprocess`.
    reference : "average" | None
        As of :func:`mne_gram.preprocess`.

    Returns
    -------
    transform : callable
        Takes and returns a Raw (or Epochs, where the data are delivered cut). Channels that are
        marked as bad are restored after it from the others, so that all people have the same.
    """

    def transform(inst):
        """Preprocess a recording, restore what is marked as bad."""
        inst = preprocess(inst, line_freq=line_freq, reference=reference)
        if inst.info["bads"]:
            from ..restoration import restore

            inst = restore(inst, method="spatial", copy=False)
        return inst

    return transform


def make_task(name, found, *, labels=None, protocol="across", max_windows=None, **kwargs):
    """Bring the windows of many recordings together.

    Parameters
    ----------
    name : str
        What the task is called.
    found : iterable of mne.Epochs
        Those of one recording after another, as the readers return them.
    labels : list of str | None
        The classes in order; None takes those that occur, sorted.
    protocol : "across" | "within" | "published"
        How the task is split.
    max_windows : int | None
        At most this many windows of a recording, spread over it; None for all.
    **kwargs : dict
        Further attributes of :class:`Task`.

    Returns
    -------
    task : Task
        The task. Only channels that all recordings have are kept; a warning names the others.

    Raises
    ------
    ValueError
        If there are no windows, no common channels, or rates differ.
    """
    pieces = []
    # What happens to each of many recordings is told once for all of them.
    with (
        warnings.catch_warnings(record=True) as caught,
        mne.use_log_level("warning"),
        catch_logging(),
    ):
        warnings.simplefilter("always")
        for epochs in found:
            epochs = _thin(epochs.load_data(), max_windows)
            frame = epochs.metadata
            if len(frame):
                epochs.metadata = frame.assign(recording=frame["session"] + "/" + frame["file"])
                pieces.append(epochs)
    for text, count in Counter(str(warning.message) for warning in caught).items():
        warn(f"{text} ({count} times)" if count > 1 else text)
    if not pieces:
        raise ValueError(f"There is no window for the task {name}.")
    logger.info(f"{name}: {len(pieces)} recordings")
    epochs = _join(pieces)
    if labels is None:
        labels = sorted(set(epochs.metadata["label"]))
    return Task(name, epochs, tuple(labels), protocol, **kwargs)


def _thin(epochs, most):
    """Return no more than some windows, spread over the recording."""
    if most is None or len(epochs) <= most:
        return epochs
    return epochs[np.unique(np.linspace(0, len(epochs) - 1, most).round().astype(int))]


def _join(pieces):
    """Return all windows as one, of the channels that all have, in the first one's order."""
    rates = sorted({epochs.info["sfreq"] for epochs in pieces})
    lengths = sorted({len(epochs.times) for epochs in pieces})
    if len(rates) > 1 or len(lengths) > 1:
        raise ValueError(
            f"The windows have rates {rates} Hz and lengths {lengths}; they must be the same."
        )
    common = set.intersection(*(set(epochs.ch_names) for epochs in pieces))
    others = {name for epochs in pieces for name in epochs.ch_names} - common
    if not common:
        raise ValueError("There is no channel that all recordings have.")
    if others:
        warn(f"Channels that not all recordings have are left out: {', '.join(sorted(others))}.")
    names = [name for name in pieces[0].ch_names if name in common]
    data = np.concatenate([epochs.get_data(picks=names, copy=False) for epochs in pieces])
    import pandas as pd

    metadata = pd.concat([epochs.metadata for epochs in pieces], ignore_index=True)
    first = pieces[0].copy().pick(names)
    return mne.EpochsArray(
        data, first.info, tmin=first.tmin, metadata=metadata, proj=False, verbose="error"
    )


def load_recipe_task(recipe, root, *, name=None, line_freq=None, max_windows=None, **kwargs):
    """Read a data set as published.

    Parameters
    ----------
    recipe : str
        Name of the recipe.
    root : path-like
        The folder of the owners' files.
    name : str | None
        What the task is called; None takes the name of the recipe.
    line_freq : float | False | None
        Frequency of the power line; None takes the published one.
    max_windows : int | None
        At most this many windows of a recording.
    **kwargs : dict
        Further arguments of the reader.

    Returns
    -------
    task : Task
        The task, which all is in memory: ``max_windows`` or ``subjects`` keep it small.
    """
    from ..datasets import RECIPES

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
        Events by label, as of :func:`mne_gram.datasets.read_bids_epochs`; None for all.
    by : str | None
        The entity that labels recordings, as of :func:`mne_gram.datasets.read_bids_windows`;
        None for events.
    labels : list of str | None
        With ``by``: the values that count.
    tmin, length : float
        Start of a window after its event, and its length, in seconds.
    within : bool
        Whether to split each person's trials, and not people.
    name : str | None
        What the task is called; None takes the name of the folder.
    line_freq : float | False | None
        Frequency of the power line, as of :func:`mne_gram.preprocess`.
    max_windows : int | None
        At most this many windows of a recording.
    **kwargs : dict
        Further arguments of the reader: ``subjects``, ``tasks``.

    Returns
    -------
    task : Task
        The task.
    """
    from ..datasets import read_bids_epochs, read_bids_windows

    kwargs.update(transform=make_transform(line_freq=line_freq), length=length)
    if by is not None:
        found = read_bids_windows(root, by, labels=labels, **kwargs)
    else:
        found = read_bids_epochs(root, events, tmin, **kwargs)
    return make_task(
        name or Path(root).resolve().name,
        found,
        labels=labels or (list(events) if events else None),
        protocol="within" if within else "across",
        max_windows=max_windows,
        band=STATE_BAND if by is not None else IMAGERY_BAND,
    )
