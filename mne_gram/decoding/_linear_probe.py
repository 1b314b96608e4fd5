# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Regularised linear models of features, averaged, with their strengths chosen inside."""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

# Inverse strengths that are tried, for features whose variances add up to 1.
_STRENGTHS = tuple(10.0 ** np.linspace(-2, 4, 9))
_MAX_ITER = 2000
_DIGITS = 3  # of weights in an average; losses, known to the solver's tolerance, tell no more


class View(NamedTuple):
    """Features that a linear model is fitted to."""

    shares: tuple  #: standard deviation of each block, all its features together; 0 leaves it out
    prior: float = 1.0  #: how much the model counts before anything is known
    name: tuple = ()  #: what the features are


class Layout(NamedTuple):
    """How features lie side by side."""

    sizes: tuple  #: number of features of each block
    views: tuple  #: of View: models are fitted to each and averaged


class Chosen(NamedTuple):
    """What the log loss over folds chooses."""

    strengths: tuple  #: inverse strength of the penalty, for each view
    weights: tuple  #: of each view's model; they add up to 1


class Probe(NamedTuple):
    """A fitted linear model."""

    coef: np.ndarray  #: (n_classes, n_features)
    intercept: np.ndarray  #: (n_classes,)
    chosen: Chosen
    losses: tuple | None  #: for each view, the mean log loss of each strength that was tried

    @property
    def C(self):
        """Inverse strength of the penalty in the view that counts most."""
        return self.chosen.strengths[int(np.argmax(self.chosen.weights))]

    def get_logits(self, x):
        """Return unnormalised log probabilities, shape (n_trials, n_classes)."""
        return np.asarray(x, float) @ self.coef.T + self.intercept


def fit_probe(x, y, n_classes, weights, *, folds=None, chosen=None, layout=None, n_units=None):
    """Fit a multinomial logistic regression with a ridge penalty, or an average of some.

    Parameters
    ----------
    x : array, shape (n_trials, n_features)
        Features; they are standardised here.
    y : array of int, shape (n_trials,)
        Class of each trial, 0 to ``n_classes - 1``. Some may lack.
    n_classes : int
        How many there are.
    weights : array, shape (n_trials,)
        Positive weight of each trial.
    folds : list of tuple of array | None
        Rows to learn from and rows to test, by which is chosen.
    chosen : Chosen | float | None
        What was chosen before. A number is the inverse strength, for features whose variances add
        up to 1, of the first view, which is then alone. None chooses.
    layout : Layout | None
        How features lie side by side, and in which views; None for all in one.
    n_units : int | None
        How many groups of trials are independent; None for all trials, as often as they weigh.

    Returns
    -------
    probe : Probe
        The model, of features as they are given.

    Notes
    -----
    Of each view, the strength with the least log loss over the folds is taken. The models of the
    views are averaged (their logits, so that the average is a linear model too) with weights
    ``prior * exp(-n_units * loss)``: pseudo Bayesian model averaging, as in Yao et al. (2018,
    Bayesian Analysis 13, doi:10.1214/17-BA1091, section 3.4 without its correction), for as many
    independent trials as there are people or other groups. Weights are rounded to a thousandth.
    """
    present, y = np.unique(y, return_inverse=True)
    x = np.asarray(x, float)
    if layout is None:
        layout = Layout((x.shape[1],), (View((1.0,)),))
    if np.isscalar(chosen):
        chosen = Chosen((chosen,), (1.0,))
    mean = np.average(x, axis=0, weights=weights)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    # A feature that is the same throughout up to rounding tells nothing.
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf
    scale[scale == 0] = np.inf
    # One grid of strengths for few and for many features.
    scale *= np.repeat(np.sqrt(layout.sizes), layout.sizes)
    if len(present) == 1:
        coef, intercept = np.zeros((1, x.shape[1])), np.zeros(1)
        chosen, losses = chosen or Chosen((1.0,), (1.0,)), None
    else:
        z = (x - mean) / scale
        coef, intercept, chosen, losses = _fit_views(z, y, weights, folds, chosen, layout, n_units)
    coef = coef / scale
    intercept = intercept - coef @ mean
    if len(present) < n_classes:
        coef, intercept = _add_unseen(coef, intercept, present, n_classes, len(y))
    return Probe(coef, intercept, chosen, losses)


def _fit_views(z, y, weights, folds, chosen, layout, n_units):
    """Fit a model to each view, and average them; return what is in a `Probe`."""
    models, strengths, losses, grams = [], [], [], {}
    for k, view in enumerate(layout.views[: len(chosen.weights) if chosen else None]):
        if chosen and not chosen.weights[k]:
            models.append((0.0, 0.0))
            continue
        coordinates, spread = _rotate(z, weights, layout, view, grams)
        if not chosen:
            found = _try_strengths(coordinates, y, weights, folds)
            losses.append(found)
            strengths.append(_STRENGTHS[int(found.argmin())])
        model = _make_model(chosen.strengths[k] if chosen else strengths[k])
        coef, intercept = _as_softmax(model.fit(coordinates, y, weights))
        models.append((spread(coef), intercept))
    if not chosen:
        n_units = weights.sum() if n_units is None else n_units
        scores = -n_units * np.array([own.min() for own in losses])
        shares = softmax(scores + np.log([view.prior for view in layout.views]))
        shares = np.round(shares, _DIGITS)
        chosen = Chosen(tuple(strengths), tuple((shares / shares.sum()).tolist()))
    coef, intercept = (
        sum(share * part for share, part in zip(chosen.weights, parts, strict=True))
        for parts in zip(*models, strict=True)
    )
    return coef, intercept, chosen, tuple(losses) or None


def _rotate(z, weights, layout, view, grams):
    """Return coordinates of the trials in a view, few enough, and what spreads coefficients."""
    ends = np.cumsum(layout.sizes)
    blocks = [slice(end - size, end) for end, size in zip(ends, layout.sizes, strict=True)]
    shares = np.array(view.shares) / np.linalg.norm(view.shares)
    used = np.flatnonzero(shares)
    n_features = sum(layout.sizes[k] for k in used)

    def join(parts):
        full = np.zeros((len(parts[0]), z.shape[1]))
        for k, part in zip(used, parts, strict=True):
            full[:, blocks[k]] = shares[k] * part
        return full

    if n_features <= len(z):
        edges = np.cumsum([layout.sizes[k] for k in used])[:-1]
        coordinates = np.concatenate([shares[k] * z[:, blocks[k]] for k in used], axis=1)
        return coordinates, lambda coef: join(np.split(coef, edges, axis=1))
    # The penalised optimum lies in the span of the trials.
    total = np.zeros((len(z), len(z)))
    for k in used:
        gram = grams[k] if k in grams else z[:, blocks[k]] @ z[:, blocks[k]].T
        if all(other.shares[k] for other in layout.views):
            grams[k] = gram
        total += shares[k] ** 2 * gram
    # With the weights, the principal axes are those of the same trials as so many copies. When the
    # solver stops depends on the axes.
    root = np.sqrt(weights)[:, None]
    values, vectors = np.linalg.eigh(root * total * root.T)
    keep = values > 1e-10 * max(values[-1], np.finfo(float).tiny)
    if not keep.any():
        keep[-1] = True
    vectors, size = vectors[:, keep], np.sqrt(np.maximum(values[keep], np.finfo(float).tiny))
    back = (root * vectors / size).T

    def spread(coef):
        # Once for what the features were, once for what they are to be.
        return join([shares[k] * (coef @ back @ z[:, blocks[k]]) for k in used])

    return vectors * size / root, spread


def _make_model(C):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=_MAX_ITER, warm_start=True)


def _try_strengths(z, y, weights, folds):
    """Return the mean log loss of trials that were not learnt from, for strengths up to the best.

    What follows two strengths that are worse than the best is not tried: the loss falls and rises
    once, and the weakest penalties take longest.
    """
    models = [_make_model(_STRENGTHS[0]) for _ in folds]  # each start is the last one's end
    total = sum(weights[test].sum() for _, test in folds)
    losses = []
    for strength in _STRENGTHS:
        loss = 0.0
        for model, (train, test) in zip(models, folds, strict=True):
            model.set_params(C=strength).fit(z[train], y[train], weights[train])
            coef, intercept = _as_softmax(model)
            chances = log_softmax(z[test] @ coef.T + intercept, axis=1)
            chances = chances[np.arange(len(test)), y[test]]
            loss -= np.maximum(chances, -50) @ weights[test]  # one trial may not rule all folds
        losses.append(loss / total)
        if len(losses) - np.argmin(losses) > 2:
            break
    return np.array(losses)


def _as_softmax(model):
    """Return coefficients and intercepts, a row a class, of two classes too."""
    coef, intercept = model.coef_, model.intercept_
    if len(coef) == 1:
        coef = np.concatenate([-coef / 2, coef / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    return coef, intercept


def _add_unseen(coef, intercept, present, n_classes, n_trials):
    """Give classes of which there was no trial the odds of half a trial, wherever it lies."""
    full, offsets = np.zeros((n_classes, coef.shape[1])), np.full(n_classes, np.nan)
    full[present], offsets[present] = coef, intercept
    # Relative to the mean logit of the others, which is that of all features at their mean.
    full[np.isnan(offsets)] = coef.mean(axis=0)
    offsets[np.isnan(offsets)] = intercept.mean() - np.log(2 * n_trials)
    return full, offsets
