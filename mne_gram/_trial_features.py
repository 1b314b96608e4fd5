# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of features that a trial can be turned into."""

from mne.utils import _check_option

from ._backbone import load_backbone
from ._encoding import encode_windows
from ._epochs_input import PATCH
from ._signal_features import BandPower, Tangent

#: What a user can ask for.
KINDS = ("embedding", "tangent", "bandpower")
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

    def fit_transform(self, trials):
        """Check the settings, remember which weights are used, and encode trials.

        Parameters
        ----------
        trials : Trials
            The trials.

        Returns
        -------
        features : array of float32, shape (n_trials, n_features)
            A row a trial.
        """
        _check_option("pool", self.pool, _POOLS)
        backbone = load_backbone(self.model, self.device)
        self.sha256, self.dim = backbone.sha256, backbone.gram.config.dim
        self.ch_names = trials.ch_names
        return self.transform(trials)

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
        backbone = load_backbone(self.model, self.device, fall_back=True)
        check_same(backbone, self.sha256, self.model)
        features = trials.map(
            lambda x: encode_windows(
                backbone, whole_seconds(x), trials.channels, pool=self.pool,
                batch_size=self.batch_size, verbose="warning",
            )
        )  # fmt: skip
        return features.reshape(len(features), -1)

    def get_feature_names_out(self):
        """Return a name a feature, a list."""
        if self.pool == "channels":
            return [f"gram_{name}_{k}" for name in self.ch_names for k in range(self.dim)]
        return [f"gram_{self.pool}_{k}" for k in range(self.dim)]


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
    """

    def __init__(self, kind):
        self.inner = {"tangent": Tangent, "bandpower": BandPower}[kind]()

    def fit_transform(self, trials):
        """Learn the mean that trials are compared with, and compute their features.

        Parameters
        ----------
        trials : Trials
            The trials.

        Returns
        -------
        features : array, shape (n_trials, n_features)
            A row a trial.
        """
        measured = trials.map(self.inner.measure)
        self.ch_names = trials.ch_names
        return self.inner.fit(measured).transform(measured)

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
        return self.inner.transform(trials.map(self.inner.measure))

    def get_feature_names_out(self):
        """Return a name a feature, a list."""
        return self.inner.name(self.ch_names)


def make_features(kinds, model, pool, device, batch_size):
    """Return an unfitted object for each kind of features.

    Parameters
    ----------
    kinds : tuple of str
        Some of `KINDS`.
    model, pool, device, batch_size
        As in `EmbeddingFeatures`.

    Returns
    -------
    features : list
        Objects with ``fit_transform``, ``transform`` and ``get_feature_names_out``.
    """
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(f"features must name one or more of {KINDS}, each once, got {kinds}.")
    for kind in kinds:
        _check_option("features", kind, KINDS)
    return [
        EmbeddingFeatures(model, pool, device, batch_size)
        if kind == "embedding"
        else SignalFeatures(kind)
        for kind in kinds
    ]
