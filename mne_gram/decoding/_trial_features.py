# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of features that a trial can be turned into."""

import hashlib
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from mne.utils import _check_option, warn

from ..features import encode_windows
from ._backbone import load_backbone
from ._epochs_input import PATCH
from ._signal_features import EDGES, BandPower, Compared, Tangent

#: What a user can ask for, and the standard deviation that all features of a kind share in a probe.
#: Covariances carry most; what the others add is drowned by their noise if they count as much.
KINDS = {"embedding": 0.3, "tangent": 1.0, "bandpower": 0.3}
_WIDE = (8.0, 30.0)  # Hz. Of few trials, one covariance of much signal tells more than three.
_HIGHEST = 75.0  # Hz, what is left of the signals
_FEW = 10  # trials of a person, of which the mean says little
_kept = ContextVar("kept", default=None)
_POOLS = ("cls", "mean", "channels")


class EmbeddingFeatures:
    """What the encoder of stage 2 makes of a trial.

    Parameters
    ----------
    model : path-like
        The model.
    pool : "cls" | "mean" | "channels"
        The CLS vector, the mean over patches, or a mean for each channel.
    device : str | None
        Where to compute.
    batch_size : int | None
        Windows that the network sees at once.
    """

    def __init__(self, model, pool, device, batch_size):
        self.model, self.pool = model, pool
        self.device, self.batch_size = device, batch_size

    def fit_transform(self, trials, weights=None):
        """Check the settings, remember which weights are used, and encode trials.

        Parameters
        ----------
        trials : Trials
            The trials.
        weights : array, shape (n_trials,) | None
            How much each counts where features refer to a mean.

        Returns
        -------
        features : array of float32, shape (n_trials, n_features)
            A row a trial.
        """
        _check_option("pool", self.pool, _POOLS)
        backbone = load_backbone(self.model, self.device)
        self.sha256, self.dim = backbone.sha256, backbone.gram.config.dim
        self.ch_names = trials.ch_names
        features = self._encode(trials)
        self.sizes, self.compared = [features.shape[1]], None
        if trials.people is not None:
            self.compared = Compared().fit(features, trials.people, weights)
        return self._compare(features, trials)

    def transform(self, trials):
        """Encode trials.

        Parameters
        ----------
        trials : Trials
            The trials. What is left of a trial after its last whole second is not seen.

        Returns
        -------
        features : array of float32, shape (n_trials, n_features)
            A row a trial.
        """
        return self._compare(self._encode(trials), trials)

    def _encode(self, trials):
        backbone = load_backbone(self.model, self.device, fall_back=True)
        check_same(backbone, self.sha256, self.model)

        def encode(x):
            options = dict(pool=self.pool, batch_size=self.batch_size, verbose="warning")
            return encode_windows(backbone, x, trials.channels, **options)

        about = (self.sha256, self.pool, trials.channels.tobytes())
        features = trials.map(lambda x: _encode_new(encode, whole_seconds(x), about))
        return features.reshape(len(features), -1)

    def _compare(self, features, trials):
        if self.compared is None:
            return features
        return self.compared.transform(features, trials.people)

    def get_feature_names_out(self):
        """Return a name a feature, a list."""
        if self.pool == "channels":
            return [f"gram_{name}_{k}" for name in self.ch_names for k in range(self.dim)]
        return [f"gram_{self.pool}_{k}" for k in range(self.dim)]


@contextmanager
def keeping(kept):
    """Keep what the network made of each trial, and do not ask it again.

    Parameters
    ----------
    kept : dict
        Where it is kept. Other batches round otherwise, in the seventh digit: that is why nothing
        is kept unless this is asked for.

    Yields
    ------
    kept : dict
        The same.
    """
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def _encode_new(encode, x, about):
    """Encode the trials of which nothing is kept, and return those of all."""
    kept = _kept.get()
    if kept is None:
        return encode(x)
    keys = [(*about, hashlib.blake2b(np.ascontiguousarray(trial)).digest()) for trial in x]
    new = [k for k, key in enumerate(keys) if key not in kept]
    if new:
        kept.update(zip([keys[k] for k in new], encode(x[new]), strict=True))
    return np.stack([kept[key] for key in keys])


def whole_seconds(x):
    """Return trials, (..., n_times) at 200 Hz, up to the end of their last whole second."""
    return x[..., : x.shape[-1] // PATCH * PATCH]


def check_same(backbone, sha256, model):
    """Refuse weights other than those that something was fitted with."""
    if backbone.sha256 != sha256:
        raise RuntimeError(
            f"The model {str(model)!r} on this machine holds other weights (sha256 "
            f"{backbone.sha256}) than the one that this was fitted with ({sha256}). Fit again, or "
            "put the former model there."
        )


class SignalFeatures:
    """Classical features: band power, or covariances in the tangent space.

    Parameters
    ----------
    kind : "tangent" | "bandpower"
        Which.
    bands : sequence of tuple of float
        Lower and upper edge of each band in Hz.
    """

    def __init__(self, kind, bands):
        self.kind = kind
        self.inner = {"tangent": Tangent, "bandpower": BandPower}[kind](bands)

    def fit_transform(self, trials, weights=None):
        """Learn the mean that trials are compared with, and compute their features.

        Parameters
        ----------
        trials : Trials
            The trials.
        weights : array, shape (n_trials,) | None
            How much each counts in the mean.

        Returns
        -------
        features : array, shape (n_trials, n_features)
            A row a trial.
        """
        measured = trials.map(self.inner.measure)
        self.ch_names = trials.ch_names
        self.sizes = self.inner.count(len(self.ch_names))
        self.inner.fit(measured, trials.people, weights)
        return self.inner.transform(measured, trials.people)

    def transform(self, trials):
        """Compute the features.

        Parameters
        ----------
        trials : Trials
            The trials.

        Returns
        -------
        features : array, shape (n_trials, n_features)
            A row a trial.
        """
        return self.inner.transform(trials.map(self.inner.measure), trials.people)

    def get_feature_names_out(self):
        """Return a name a feature, a list."""
        return self.inner.name(self.ch_names)


def make_features(kinds, model, pool, device, batch_size, bands=None, *, alternatives=False):
    """Return an unfitted object for each kind of features.

    Parameters
    ----------
    kinds : tuple of str
        Some of `KINDS`.
    model, pool, device, batch_size
        As in `EmbeddingFeatures`.
    bands : sequence of tuple of float | None
        Lower and upper edges in Hz; None for six.
    alternatives : bool
        Whether to add bands that are no part of all bands together, but are tried alone.

    Returns
    -------
    features : list
        Objects with ``fit_transform``, ``transform`` and ``get_feature_names_out``.
    """
    kinds = as_kinds(kinds)
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"features must name one or more of {tuple(KINDS)}, each once, got {kinds}."
        )
    for kind in kinds:
        _check_option("features", kind, tuple(KINDS))
    edges = check_bands(bands) or EDGES
    extra = (_WIDE,) if alternatives and bands is None else ()
    return [
        EmbeddingFeatures(model, pool, device, batch_size)
        if kind == "embedding"
        else SignalFeatures(kind, edges + extra if kind == "tangent" else edges)
        for kind in kinds
    ]


def check_bands(bands):
    """Return bands as a tuple of tuples of float, or None.

    Parameters
    ----------
    bands : sequence of tuple of float | None
        Lower and upper edges in Hz.

    Returns
    -------
    bands : tuple | None
        The same.

    Raises
    ------
    ValueError
        If there is none, or a band is not a pair of rising frequencies up to 75 Hz.
    """
    if bands is None:
        return None
    try:
        found = tuple((float(low), float(high)) for low, high in bands)
    except (TypeError, ValueError):
        found = ()
    if not found or not all(0 <= low < high <= _HIGHEST for low, high in found):
        raise ValueError(
            f"bands must be a list of pairs of frequencies, the lower one first, between 0 and "
            f"{_HIGHEST:g} Hz, such as [(8, 13), (13, 30)]; got {bands!r}."
        )
    return found


def as_kinds(kinds):
    """Return the kinds of features as a tuple of their names."""
    return (kinds,) if isinstance(kinds, str) else tuple(kinds)


def warn_of_few(people, known=()):
    """Warn of people of whom there are too few trials to be compared with themselves.

    Parameters
    ----------
    people : array, shape (n_trials,) | None
        Whose trial each is.
    known : container
        People who were met before, whose mean is known.
    """
    if people is None:
        return
    names, counts = np.unique(people, return_counts=True)
    few = [
        f"{name} ({count})"
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
        if count < _FEW and name not in known
    ]
    if few:
        warn(
            f"align compares trials with the mean of the person's own, but there are fewer than "
            f"{_FEW} trials of {', '.join(few)}. Give more trials of these people together, of all "
            "classes, or set align=None."
        )
