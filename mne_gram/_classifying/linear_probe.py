# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A regularised linear model of features, with its strength chosen inside."""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

# Inverse strengths that are tried, for features whose variances add up to 1.
_STRENGTHS = tuple(10.0 ** np.linspace(-2, 4, 9))
_MAX_ITER = 2000


class Probe(NamedTuple):
    """A fitted linear model."""

    coef: np.ndarray  #: (n_classes, n_features)
    intercept: np.ndarray  #: (n_classes,)
    C: float  #: inverse strength of the penalty
    losses: np.ndarray | None  #: mean log loss over the folds for each strength that was tried

    def get_logits(self, x):
        """Return unnormalised log probabilities, shape (n_trials, n_classes)."""
        return np.asarray(x, float) @ self.coef.T + self.intercept


def fit_probe(x, y, n_classes, weights, *, folds=None, C=None, kinds=None):
    """Fit a multinomial logistic regression with a ridge penalty.

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
        Rows to learn from and rows to test, by which the strength is chosen.
    C : float | None
        The inverse strength, for features whose variances add up to 1; None chooses the one
        with the least log loss over the folds.
    kinds : list of tuple of (int, float) | None
        For each kind of features, side by side, how many there are, and the standard deviation
        of all of them together, relative to the other kinds. None for one kind.

    Returns
    -------
    probe : Probe
        The model, of features as they are given.
    """
    present, y = np.unique(y, return_inverse=True)
    x = np.asarray(x, float)
    mean = np.average(x, axis=0, weights=weights)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    # A feature that is the same throughout up to rounding tells nothing.
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf
    scale[scale == 0] = np.inf
    # One grid of strengths for few and for many features.
    sizes, shares = zip(*(kinds or [(x.shape[1], 1.0)]), strict=True)
    scale *= np.repeat(np.sqrt(sizes) * np.linalg.norm(shares) / shares, sizes)
    z, back = (x - mean) / scale, None
    if z.shape[1] > len(z):
        # The penalised optimum lies in the span of the trials.
        z, back = _rotate(z)
    losses = None
    if len(present) == 1:
        coef, intercept = np.zeros((1, z.shape[1])), np.zeros(1)
    else:
        if C is None:
            losses = _try_strengths(z, y, weights, folds)
            C = _STRENGTHS[int(losses.argmin())]
        model = _make_model(C).fit(z, y, weights)
        coef, intercept = _as_softmax(model)
    if back is not None:
        coef = coef @ back
    coef = coef / scale
    intercept = intercept - coef @ mean
    if len(present) < n_classes:
        coef, intercept = _add_unseen(coef, intercept, present, n_classes, len(y))
    return Probe(coef, intercept, C, losses)


def _rotate(z):
    """Return coordinates in the span of the trials, and the basis (n_coordinates, n_features)."""
    values, vectors = np.linalg.eigh(z @ z.T)
    keep = values > 1e-10 * max(values[-1], np.finfo(float).tiny)
    if not keep.any():
        keep[-1] = True
    size = np.sqrt(np.maximum(values[keep], np.finfo(float).tiny))
    return vectors[:, keep] * size, (vectors[:, keep] / size).T @ z


def _make_model(C):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=_MAX_ITER, warm_start=True)


def _try_strengths(z, y, weights, folds):
    """Return the mean log loss of trials that were not learnt from, for each strength."""
    totals = np.zeros(len(_STRENGTHS))
    for train, test in folds:
        model = _make_model(_STRENGTHS[0])
        for k, strength in enumerate(_STRENGTHS):  # each start is the last one's end
            model.set_params(C=strength).fit(z[train], y[train], weights[train])
            coef, intercept = _as_softmax(model)
            chances = log_softmax(z[test] @ coef.T + intercept, axis=1)[
                np.arange(len(test)), y[test]
            ]
            totals[k] -= (
                np.maximum(chances, -50) @ weights[test]
            )  # one trial may not rule all folds
    return totals / sum(weights[test].sum() for _, test in folds)


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
