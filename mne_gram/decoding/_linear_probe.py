# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The linear probe: regularised linear models of features, averaged over views of the bands."""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from ._feature_kinds import KINDS
from ._inner_folds import check_groups, make_folds
from ._signal_features import BANDS

# Inverse strengths that are tried, for features whose variances add up to 1.
_STRENGTHS = tuple(10.0 ** np.linspace(-2, 4, 9))
_MAX_ITER = 2000
_DIGITS = 3  # of the weights in an average; losses have the solver's tolerance
# The prior weight of the model of all bands together. The others share the rest.
_TOGETHER = 0.5
#: Models of single bands are fitted up to this many trials: they help with little data, and the
#: time that each takes grows faster than the number of trials.
MOST_TRIALS = 2000


class FeatureView(NamedTuple):
    """Features that one linear model is fitted to."""

    shares: tuple  #: standard deviation of each block, all its features together; 0 leaves it out
    prior: float = 1.0  #: weight of the model before its loss is known
    name: tuple = ()  #: the bands


class FeatureLayout(NamedTuple):
    """How features are concatenated."""

    sizes: tuple  #: number of features of each block
    views: tuple  #: of FeatureView; the models of all are averaged


class ProbeChoice(NamedTuple):
    """What the log loss over folds chooses."""

    strengths: tuple  #: inverse strength of the penalty, for each view
    weights: tuple  #: of each view's model; they add up to 1


class Probe(NamedTuple):
    """A fitted linear model."""

    coef: np.ndarray  #: (n_classes, n_features)
    intercept: np.ndarray  #: (n_classes,)
    chosen: ProbeChoice
    losses: tuple | None  #: for each view, the mean log loss of each strength that was tried

    @property
    def C(self):
        """Inverse strength of the penalty in the view with the largest weight."""
        return self.chosen.strengths[int(np.argmax(self.chosen.weights))]

    def get_logits(self, x):
        """Return unnormalised log probabilities, shape (n_trials, n_classes)."""
        return np.asarray(x, float) @ self.coef.T + self.intercept


def make_layout(kinds, bands, n_trials):
    """Return the layout of fitted kinds of features.

    One view per band of covariances and one of all ``bands`` (None for the default ones), each
    with all other features; with many trials only the latter, without covariances a single one.
    """
    sizes = tuple(size for kind in kinds for size in kind.sizes)
    names = [kind.kind for kind in kinds for _ in kind.sizes]
    shares = np.array([KINDS[name] for name in names])
    if "tangent" not in names:
        return FeatureLayout(sizes, (FeatureView(tuple(shares.tolist())),))
    place = names.index("tangent")
    views = []
    sets = _list_band_sets(kinds, bands)
    for k, chosen in enumerate(sets):
        own = shares.copy()
        own[[name == "tangent" for name in names]] = 0.0
        start = place if k == 0 else place + k - 1
        own[start : start + len(chosen)] = KINDS["tangent"] / np.sqrt(len(chosen))
        prior = _TOGETHER if k == 0 else (1 - _TOGETHER) / (len(sets) - 1)
        views.append(FeatureView(tuple(own.tolist()), prior, chosen))
    return FeatureLayout(sizes, tuple(views[:1] if n_trials > MOST_TRIALS else views))


def _list_band_sets(kinds, bands):
    """Return all bands together, and each alone including the alternative ones."""
    (measured,) = (kind.bands for kind in kinds if kind.kind == "tangent")
    together = measured[: len(BANDS if bands is None else bands)]
    return [together] if len(measured) == 1 else [together, *((one,) for one in measured)]


def learn_probe(x, labels, classes, chosen, cv, layout=None):
    """Fit the probe to the trials that have a weight.

    ``x`` (n_trials, n_features), ``labels`` TrialLabels, ``classes`` the labels of the codes,
    ``cv`` as in `GramClassifier`, ``chosen`` and ``layout`` as in `fit_probe`.
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


def fit_probe(x, y, n_classes, weights, *, folds=None, chosen=None, layout=None, n_units=None):
    """Fit multinomial logistic regressions with a ridge penalty to each view; average them.

    ``x`` (n_trials, n_features), ``y`` class numbers and positive ``weights`` (n_trials,). Without
    ``chosen`` (a ProbeChoice, or the strength of the first view alone) the ``folds`` choose.
    """
    present, y = np.unique(y, return_inverse=True)
    x = np.asarray(x, float)
    if layout is None:
        layout = FeatureLayout((x.shape[1],), (FeatureView((1.0,)),))
    if np.isscalar(chosen):
        chosen = ProbeChoice((chosen,), (1.0,))
    mean = np.average(x, axis=0, weights=weights)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    # Features that are constant up to rounding contain no information.
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf
    scale[scale == 0] = np.inf
    # One grid of strengths for few and for many features.
    scale *= np.repeat(np.sqrt(layout.sizes), layout.sizes)
    z = (x - mean) / scale
    coef, intercept, chosen, losses = _fit_views(z, y, weights, folds, chosen, layout, n_units)
    coef = coef / scale
    intercept = intercept - coef @ mean
    if len(present) < n_classes:
        coef, intercept = _add_unseen(coef, intercept, present, n_classes, len(y))
    return Probe(coef, intercept, chosen, losses)


def _fit_views(z, y, weights, folds, chosen, layout, n_units):
    """Fit a model to each view, and average them; return the fields of `Probe`."""
    # For each view, the strength with the least log loss over the folds is taken. The models are
    # averaged (their logits, so that the average is a linear model too) with weights
    # prior * exp(-n_units * loss), for as many independent groups of trials (None: the sum of the
    # weights): pseudo Bayesian model averaging, as in Yao et al. (2018, Bayesian Analysis 13,
    # doi:10.1214/17-BA1091, section 3.4 without its correction).
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
        chosen = ProbeChoice(tuple(strengths), tuple((shares / shares.sum()).tolist()))
    coef, intercept = (
        sum(share * part for share, part in zip(chosen.weights, parts, strict=True))
        for parts in zip(*models, strict=True)
    )
    return coef, intercept, chosen, tuple(losses) or None


def _rotate(z, weights, layout, view, grams):
    """Return coordinates of the trials in a view, as few as possible, and their inverse."""
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
    # The penalised optimum is in the span of the trials.
    total = np.zeros((len(z), len(z)))
    for k in used:
        gram = grams[k] if k in grams else z[:, blocks[k]] @ z[:, blocks[k]].T
        if all(other.shares[k] for other in layout.views):
            grams[k] = gram
        total += shares[k] ** 2 * gram
    # With the weights, the principal axes are those of as many copies of the trials. The solver's
    # stopping depends on the axes.
    root = np.sqrt(weights)[:, None]
    values, vectors = np.linalg.eigh(root * total * root.T)
    keep = values > 1e-10 * max(values[-1], np.finfo(float).tiny)
    if not keep.any():
        keep[-1] = True
    vectors, size = vectors[:, keep], np.sqrt(np.maximum(values[keep], np.finfo(float).tiny))
    back = (root * vectors / size).T

    def spread(coef):
        # Once for the scaled features, once for the unscaled ones.
        return join([shares[k] * (coef @ back @ z[:, blocks[k]]) for k in used])

    return vectors * size / root, spread


def _make_model(C):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=_MAX_ITER, warm_start=True)


def _try_strengths(z, y, weights, folds):
    """Return the mean log loss of held-out trials, for strengths in increasing order.

    Stops after two strengths worse than the best: the loss has one minimum, and the weakest
    penalties take longest.
    """
    models = [_make_model(_STRENGTHS[0]) for _ in folds]  # each starts from the last fit
    total = sum(weights[test].sum() for _, test in folds)
    losses = []
    for strength in _STRENGTHS:
        loss = 0.0
        for model, (train, test) in zip(models, folds, strict=True):
            model.set_params(C=strength).fit(z[train], y[train], weights[train])
            coef, intercept = _as_softmax(model)
            chances = log_softmax(z[test] @ coef.T + intercept, axis=1)
            chances = chances[np.arange(len(test)), y[test]]
            loss -= np.maximum(chances, -50) @ weights[test]  # so that no trial dominates
        losses.append(loss / total)
        if len(losses) - np.argmin(losses) > 2:
            break
    return np.array(losses)


def _as_softmax(model):
    """Return coefficients and intercepts with one row per class, also for two classes."""
    coef, intercept = model.coef_, model.intercept_
    if len(coef) == 1:
        coef = np.concatenate([-coef / 2, coef / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    return coef, intercept


def _add_unseen(coef, intercept, present, n_classes, n_trials):
    """Give classes without trials the odds of half a trial, whatever the features."""
    full, offsets = np.zeros((n_classes, coef.shape[1])), np.full(n_classes, np.nan)
    full[present], offsets[present] = coef, intercept
    # Relative to the mean logit of the others.
    full[np.isnan(offsets)] = coef.mean(axis=0)
    offsets[np.isnan(offsets)] = intercept.mean() - np.log(2 * n_trials)
    return full, offsets
