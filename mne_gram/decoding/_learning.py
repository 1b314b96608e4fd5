# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a classifier learns: a linear model of features, or a network that is fine-tuned."""

from dataclasses import dataclass, field
from numbers import Integral
from typing import NamedTuple

import numpy as np

from ._backbone import load_backbone
from ._folds import can_fold, check_groups, make_folds
from ._linear_probe import fit_probe
from ._trial_features import check_same, make_features


class Labels(NamedTuple):
    """What is known of each trial beside its signals."""

    codes: np.ndarray  #: number of the class
    weights: np.ndarray  #: 0 for trials that are left out
    groups: np.ndarray | None  #: trials of one group are not parted

    @property
    def rows(self):
        """The trials that are learnt from."""
        return np.flatnonzero(self.weights > 0)


@dataclass(frozen=True)
class NetworkSettings:
    """How a network is fine-tuned.

    Attributes
    ----------
    kind : "lora" | "full"
        What may change.
    model : path-like
        What to start from.
    device : str | None
        Where to compute.
    rank : int
        Of adapters.
    seed : int
        Of all draws.
    C : float | None
        Inverse strength of the linear model that ``"lora"`` starts with.
    cv : int | cross-validation generator | iterable | None
        The folds, one of which is held out.
    changes : dict
        What differs from the recipe; None values do not.
    """

    kind: str
    model: object
    device: object
    rank: int
    seed: int
    C: float | None = None
    cv: object = None
    changes: dict = field(default_factory=dict)


def learn_probe(x, labels, classes, chosen, cv, layout=None):
    """Fit the linear model to the trials that have a weight.

    Parameters
    ----------
    x : array, shape (n_trials, n_features)
        Features.
    labels : Labels
        What they belong to.
    classes : array, shape (n_classes,)
        What the classes are called.
    chosen : Chosen | float | None
        What was chosen before, or the inverse strength of the penalty; None chooses.
    cv : int | cross-validation generator | iterable | None
        The folds to choose by.
    layout : Layout | None
        How features lie side by side.

    Returns
    -------
    probe : Probe
        The model.
    """
    rows, folds, n_units = labels.rows, None, None
    if labels.groups is not None:
        check_groups(labels.groups[rows])
        n_units = len(np.unique(labels.groups[rows]))
    if chosen is None:
        folds = make_folds(labels.codes, classes, labels.groups, cv, rows=rows)
    codes, weights = labels.codes[rows], labels.weights[rows]
    options = dict(folds=folds, chosen=chosen, layout=layout, n_units=n_units)
    return fit_probe(x[rows], codes, len(classes), weights, **options)


def learn_more(met, classes, C, cv, layout=None):
    """Fit the linear model to all trials that were met one batch after the other.

    Parameters
    ----------
    met : list of tuple of (array, Labels)
        Features and what they belong to, of each batch.
    classes, C, cv, layout
        As in `learn_probe`, whose ``chosen`` is C. With trials that are too few for folds, a weak
        model is fitted.

    Returns
    -------
    probe : Probe
        The model.
    """
    x = np.concatenate([features for features, _ in met])
    parts = [labels for _, labels in met]
    groups = None
    if all(labels.groups is not None for labels in parts):
        groups = np.concatenate([labels.groups for labels in parts])
    codes = np.concatenate([labels.codes for labels in parts])
    labels = Labels(codes, np.concatenate([labels.weights for labels in parts]), groups)
    rows = labels.rows
    n_folds = cv if isinstance(cv, Integral) else 2
    if not can_fold(codes[rows], None if groups is None else groups[rows], n_folds):
        labels, C = labels._replace(groups=None), 1.0 if C is None else C
    return learn_probe(x, labels, classes, C, cv, layout)


def learn_network(settings, trials, labels, classes, former=None):
    """Fine-tune the encoder until trials that are held out gain nothing more.

    Parameters
    ----------
    settings : NetworkSettings
        How.
    trials : Trials
        The trials.
    labels : Labels
        What they belong to.
    classes : array, shape (n_classes,)
        What the classes are called.
    former : Adaptation | None
        What to go on from.

    Returns
    -------
    adaptation : Adaptation
        What changed.
    """
    from ._adapting import adapt_network

    rows = labels.rows
    if labels.groups is not None:
        check_groups(labels.groups[rows])
    folds = make_folds(labels.codes, classes, labels.groups, settings.cv, rows=rows)
    choice = np.random.default_rng([settings.seed, 0]).integers(len(folds))
    train, validation = (rows[part] for part in folds[choice])
    head = None
    if settings.kind == "lora" and former is None:
        head = _learn_head(settings, trials, labels, classes, train)
    training = _start(settings, len(classes), former, head)
    data = trials, labels.codes, labels.weights
    return adapt_network(training, *data, train, validation)


def continue_network(settings, trials, labels, n_classes, former=None):
    """Pass over trials once.

    Parameters
    ----------
    settings : NetworkSettings
        How.
    trials : Trials
        The trials.
    labels : Labels
        What they belong to.
    n_classes : int
        How many classes there are.
    former : Adaptation | None
        What to go on from.

    Returns
    -------
    adaptation : Adaptation
        What changed.
    """
    training = _start(settings, n_classes, former)
    training.train_epoch(trials, labels.codes, labels.weights, labels.rows, 1, constant=True)
    return training.get_result(training.average)


def _learn_head(settings, trials, labels, classes, train):
    """Return the linear model of the frozen network's CLS vectors."""
    (part,) = make_features("embedding", settings.model, "cls", settings.device, None)
    x = part.fit_transform(trials)
    held_out = np.ones(len(trials), bool)
    held_out[train] = False
    labels = labels._replace(weights=np.where(held_out, 0.0, labels.weights))
    groups, rows = labels.groups, labels.rows
    C = settings.C
    if C is None and not can_fold(labels.codes[rows], None if groups is None else groups[rows], 2):
        C = 1.0
    if C is not None:
        labels = labels._replace(groups=None)
    probe = learn_probe(x, labels, classes, C, None)
    return probe.coef, probe.intercept


def _start(settings, n_classes, former=None, head=None):
    """Return a network that is ready to learn."""
    from ._adapting import Training
    from ._recipe import choose_recipe

    recipe = choose_recipe(settings.kind, **settings.changes)
    backbone = load_backbone(settings.model, settings.device)
    if former is not None:
        check_same(backbone, former.sha256, settings.model)
        if former.kind != settings.kind:
            raise ValueError(
                f"The classifier was fitted with adapt={former.kind!r} and cannot go on with "
                f"adapt={settings.kind!r}. Fit a new one (sklearn.base.clone)."
            )
    args = settings.kind, n_classes, recipe, settings.rank, settings.seed
    return Training(backbone, *args, start=former, head=head)
