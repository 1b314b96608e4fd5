# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of features of a trial: the embedding beside the classical ones."""

import hashlib
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from mne.utils import _check_option, warn

from ..models import encode_windows
from ._backbone import check_same, load_backbone
from ._signal_features import BANDS, BandPower, Recentring, Tangent
from ._trial_reader import whole_seconds

#: The kinds, and the standard deviation of all features of a kind together in a probe.
#: Covariances are the most informative; noise in the others would dominate with equal shares.
KINDS = {"embedding": 0.3, "tangent": 1.0, "bandpower": 0.3}
_WIDE = (8.0, 30.0)  # Hz; with few trials, one covariance of a wide band is better than three
_HIGHEST = 75.0  # Hz, the low-pass of the preprocessing
_FEW = 10  # trials of a subject, too few for a reliable mean
_cache = ContextVar("cache", default=None)
_POOLS = ("cls", "mean", "channels")


class EmbeddingFeatures(Recentring):
    """The encoder's output of trials; the parameters are those of `GramFeatures`."""

    kind = "embedding"

    def __init__(self, model, pool, device, batch_size):
        self.model, self.pool = model, pool
        self.device, self.batch_size = device, batch_size

    def fit_transform(self, trials, weights=None):
        """Encode trials, shape (n_trials, n_features); remember the weights of the network."""
        _check_option("pool", self.pool, _POOLS)
        backbone = load_backbone(self.model, self.device)
        self.sha256, self.dim = backbone.sha256, backbone.gram.config.dim
        self.ch_names = trials.ch_names
        features = self._encode(trials)
        self.sizes = [features.shape[1]]
        if trials.subjects is None:
            return features
        return self.fit_mean(features, trials.subjects, weights).recentre(features, trials.subjects)

    def transform(self, trials):
        """Encode trials, shape (n_trials, n_features)."""
        features = self._encode(trials)
        return features if trials.subjects is None else self.recentre(features, trials.subjects)

    def _encode(self, trials):
        backbone = load_backbone(self.model, self.device, fall_back=True)
        check_same(backbone, self.sha256, self.model)

        def encode(x):
            options = dict(pool=self.pool, batch_size=self.batch_size, verbose="warning")
            return encode_windows(backbone, x, trials.channels, **options)

        about = (self.sha256, self.pool, trials.channels.tobytes())
        features = trials.map(lambda x: _encode_new(encode, whole_seconds(x), about))
        return features.reshape(len(features), -1)

    def get_feature_names_out(self):
        """Return one name per feature, a list."""
        if self.pool == "channels":
            return [f"gram_{name}_{k}" for name in self.ch_names for k in range(self.dim)]
        return [f"gram_{self.pool}_{k}" for k in range(self.dim)]


@contextmanager
def cache_encodings(cache):
    """Keep the encoding of each trial in a dict and reuse it.

    Rounding depends on the batch (in the seventh digit), so nothing is cached by default.
    """
    token = _cache.set(cache)
    try:
        yield cache
    finally:
        _cache.reset(token)


def _encode_new(encode, x, about):
    """Encode the trials that are not cached, and return the encodings of all."""
    cache = _cache.get()
    if cache is None:
        return encode(x)
    keys = [(*about, hashlib.blake2b(np.ascontiguousarray(trial)).digest()) for trial in x]
    new = [k for k, key in enumerate(keys) if key not in cache]
    if new:
        cache.update(zip([keys[k] for k in new], encode(x[new]), strict=True))
    return np.stack([cache[key] for key in keys])


def make_features(kinds, model, pool, device, batch_size, bands=None, *, alternatives=False):
    """Return an unfitted object for each kind of features.

    With ``alternatives``, bands are added that are used alone but not with all bands together.
    """
    kinds = as_kinds(kinds)
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"features must be one or more of {tuple(KINDS)}, each at most once, got {kinds}."
        )
    for kind in kinds:
        _check_option("features", kind, tuple(KINDS))
    bands_together = _check_bands(bands) or BANDS
    extra = (_WIDE,) if alternatives and bands is None else ()
    make = {
        "embedding": lambda: EmbeddingFeatures(model, pool, device, batch_size),
        "tangent": lambda: Tangent(bands_together + extra),
        "bandpower": lambda: BandPower(bands_together),
    }
    return [make[kind]() for kind in kinds]


def _check_bands(bands):
    """Return bands as a tuple of tuples of float, or None."""
    if bands is None:
        return None
    try:
        found = tuple((float(low), float(high)) for low, high in bands)
    except (TypeError, ValueError):
        found = ()
    if not found or not all(0 <= low < high <= _HIGHEST for low, high in found):
        raise ValueError(
            f"bands must be a list of pairs of increasing frequencies between 0 and {_HIGHEST:g} "
            f"Hz, such as [(8, 13), (13, 30)]; got {bands!r}."
        )
    return found


def as_kinds(kinds):
    """Return the kinds of features as a tuple of their names."""
    return (kinds,) if isinstance(kinds, str) else tuple(kinds)


def warn_of_few(subjects, known=()):
    """Warn of subjects (n_trials,) with too few trials for their own mean, unless known."""
    if subjects is None:
        return
    names, counts = np.unique(subjects, return_counts=True)
    few = [
        f"{name} ({count})"
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
        if count < _FEW and name not in known
    ]
    if few:
        warn(
            "align compares trials with the mean of the subject's own trials, but there are fewer "
            f"than {_FEW} trials of {', '.join(few)}; single trials are compared with the mean "
            "over the subjects of fit. Pass more trials of these subjects together, of all "
            "classes, or set align=None."
        )
