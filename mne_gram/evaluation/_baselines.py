# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classical decoders: spatial patterns, covariances in the tangent space, band power.

They are fitted to Epochs (``X``) with labels (``y``) and the subject of each window (``groups``).
"""

import mne
import numpy as np
from pyriemann.estimation import Covariances
from pyriemann.tangentspace import TangentSpace
from scipy.signal import butter, sosfiltfilt, welch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ..decoding import fit_probe, make_folds

BANDS = ((1, 4), (4, 8), (8, 13), (13, 30), (30, 45))  # Hz
N_PATTERNS = 6
_ORDER = 4  # of the filter, on each side and in each direction
_SECONDS = 2.0  # length of the segments of Welch's method


def filter_band(data, sfreq, band):
    """Return windows (n_windows, n_channels, n_times), filtered to a band without phase shift."""
    sos = butter(_ORDER, band, "bandpass", fs=sfreq, output="sos")
    return sosfiltfilt(sos, data, axis=-1)


def measure_band_power(data, sfreq):
    """Return the logarithm of the power in five bands, shape (n_windows, n_channels * n_bands)."""
    freqs, spectrum = welch(data, sfreq, nperseg=min(data.shape[-1], round(_SECONDS * sfreq)))
    inside = [(freqs >= low) & (freqs < high) for low, high in BANDS]
    power = np.stack([spectrum[..., k].mean(axis=-1) for k in inside if k.any()], axis=-1)
    return np.log(np.maximum(power, np.finfo(float).tiny)).reshape(len(data), -1)


class _FeatureDecoder(ClassifierMixin, BaseEstimator):
    """Logistic regression of standardised features, which subclasses compute.

    The strength of the penalty is chosen by the log loss in folds of the training windows, by
    subject where groups are passed: the linear model of ``GramClassifier(adapt="probe")``.
    """

    def fit(self, X, y, groups=None):
        """Fit to windows."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        features = self._fit_features(X)
        folds = make_folds(codes, self.classes_, groups)
        self.probe_ = fit_probe(features, codes, len(self.classes_), np.ones(len(y)), folds=folds)
        return self

    def predict_proba(self, X):
        """Return probabilities, shape (n_windows, n_classes)."""
        return softmax(self.probe_.get_logits(self._get_features(X)), axis=1)

    def _fit_features(self, X):
        """Return the features of the training windows."""
        return self._get_features(X)


class BandPowerDecoder(_FeatureDecoder):
    """Logarithm of the power in five bands of each channel; logistic regression."""

    def _get_features(self, X):
        return measure_band_power(X.get_data(copy=False), X.info["sfreq"])


class TangentDecoder(_FeatureDecoder):
    """Covariances of a band in the tangent space at their mean; logistic regression.

    Barachant et al. (2012), doi:10.1109/TBME.2011.2172210, by pyRiemann. Covariances are shrunk
    (OAS), which restores the rank that an average reference or removed components have lost.
    """

    def __init__(self, band=(8.0, 30.0)):
        self.band = band

    def _fit_features(self, X):
        self.space_ = TangentSpace(metric="riemann")
        return self.space_.fit_transform(self._get_covariances(X))

    def _get_features(self, X):
        return self.space_.transform(self._get_covariances(X))

    def _get_covariances(self, X):
        # In microvolts: in volts the shrinkage meets numbers near the smallest ones.
        data = 1e6 * X.get_data(copy=False)
        return Covariances(estimator="oas").transform(filter_band(data, X.info["sfreq"], self.band))


class PatternsDecoder(ClassifierMixin, BaseEstimator):
    """Six common spatial patterns of a band (Ledoit-Wolf); linear discriminant analysis."""

    def __init__(self, band=(8.0, 30.0)):
        self.band = band

    def fit(self, X, y, groups=None):
        """Fit to windows; groups are not needed, because there is no strength to choose."""
        self.classes_ = np.unique(y)
        data = self._filter(X)
        n_patterns = min(N_PATTERNS, data.shape[1])
        self.patterns_ = mne.decoding.CSP(n_patterns, reg="ledoit_wolf", log=True)
        self.discriminant_ = LinearDiscriminantAnalysis()
        with mne.use_log_level("error"):
            self.discriminant_.fit(self.patterns_.fit_transform(data, y), y)
        return self

    def predict_proba(self, X):
        """Return probabilities, shape (n_windows, n_classes)."""
        return self.discriminant_.predict_proba(self.patterns_.transform(self._filter(X)))

    def _filter(self, X):
        return filter_band(1e6 * X.get_data(copy=False), X.info["sfreq"], self.band)
