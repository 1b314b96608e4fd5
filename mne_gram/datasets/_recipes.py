# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The published protocols: preprocessing, fine-tuning and measures for each data set."""

import importlib
from dataclasses import dataclass

from ._hmc import CHANNELS as _HMC_CHANNELS
from ._hmc import LABELS as _HMC_LABELS
from ._seedv import LABELS as _SEEDV_LABELS
from ._shumi import LABELS as _SHUMI_LABELS
from ._tuev import CHANNELS as _TUEV_CHANNELS
from ._tuev import LABELS as _TUEV_LABELS

_CLASSES = ("accuracy", "balanced_accuracy", "kappa", "weighted_f1")
_BINARY = (
    "pr_auc",
    "roc_auc",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
)


@dataclass(frozen=True)
class Recipe:
    """A published protocol of fine-tuning and evaluation.

    Attributes
    ----------
    name, title : str
        The names of the recipe and of the data set.
    labels : tuple of str
        The classes, in the order of their numbers.
    n_channels : int
        The number of channels.
    ch_names : tuple of str | None
        The channel names; None for those of the files.
    reference : "average" | None
        The reference; None for that of the recording.
    line_freq : float | False
        The power line frequency to filter out, in Hz; False for no filter.
    window : float
        The window length in seconds.
    learning_rate : float
        The base learning rate of fine-tuning.
    batch_size : int
        The number of windows per batch.
    measures : tuple of str
        The measures on the whole test set, as in :func:`mne_gram.metrics.score_classes`.
    chosen_by : str
        The measure on the validation set by which the training epoch is chosen.
    seeds : tuple of int
        The seeds over which results are averaged.

    Notes
    -----
    Li et al., IEEE Transactions on Affective Computing 2025, doi:10.1109/TAFFC.2025.3638592.
    """

    name: str
    title: str
    labels: tuple
    n_channels: int
    ch_names: tuple | None
    reference: str | None
    line_freq: float | bool
    window: float
    learning_rate: float
    batch_size: int = 128
    measures: tuple = _CLASSES
    chosen_by: str = "kappa"
    seeds: tuple = (0, 10, 20, 30, 40)

    @property
    def preprocessing(self):
        """Keyword arguments of :func:`mne_gram.preprocess` : dict."""
        return dict(line_freq=self.line_freq, reference=self.reference)

    def read(self, root, **kwargs):
        """Read the data set, one recording at a time.

        Parameters
        ----------
        root : path-like
            The folder of the data set as distributed.
        **kwargs : dict
            Further arguments of the reader, such as ``part`` and ``transform``.

        Returns
        -------
        epochs : iterator of mne.Epochs
            The windows of one recording after the other.
        """
        return self._get("read")(root, **kwargs)

    def split(self, *subjects):
        """Split subjects as published.

        Parameters
        ----------
        *subjects : list of str
            All subjects; for TUEV, those of its train and those of its eval set.

        Returns
        -------
        parts : dict
            Lists of subjects by part: ``"train"``, ``"validation"`` and ``"test"``.
        """
        return self._get("split")(*subjects)

    def _get(self, verb):
        module = importlib.import_module(f"{__package__}._{self.name}")
        return getattr(module, f"{verb}_{self.name}")


def _make_recipes():
    """Return the recipes by name."""
    recipes = (
        Recipe(
            name="tuev",
            title="TUEV",
            labels=_TUEV_LABELS,
            n_channels=19,
            ch_names=_TUEV_CHANNELS,
            reference="average",
            line_freq=60.0,
            window=5.0,
            learning_rate=5e-4,
        ),
        Recipe(
            name="hmc",
            title="HMC",
            labels=_HMC_LABELS,
            n_channels=4,
            ch_names=_HMC_CHANNELS,
            reference=None,
            line_freq=50.0,
            window=15.0,
            learning_rate=1e-4,
        ),
        Recipe(
            name="seedv",
            title="SEED-V",
            labels=_SEEDV_LABELS,
            n_channels=62,
            ch_names=None,
            reference="average",
            line_freq=50.0,
            window=4.0,
            learning_rate=1e-4,
            batch_size=64,
        ),
        Recipe(
            name="shumi",
            title="SHU-MI",
            labels=_SHUMI_LABELS,
            n_channels=32,
            ch_names=None,
            reference=None,
            line_freq=False,
            window=4.0,
            measures=_BINARY,
            chosen_by="roc_auc",
            learning_rate=5e-4,
        ),
    )
    return {recipe.name: recipe for recipe in recipes}


RECIPES = _make_recipes()
