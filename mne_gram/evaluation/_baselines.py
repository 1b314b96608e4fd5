# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classical decoders: spatial patterns, covariances in the tangent space, band power."""

import numpy as np
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
    """Filter windows to a band, without a shift in time.

    Parameters
    ----------
    data : array, shape (n_windows, n_channels, n_times)
        Windows.
    sfreq : float
        Sampling rate in Hz.
    band : tuple of float
        Lower and upper edge in Hz.

    Returns
    -------
    filtered : array, shape (n_windows, n_channels, n_times)
        The windows.
    """
    sos = butter(_ORDER, band, "bandpass", fs=sfreq, output="sos")
    return sosfiltfilt(sos, data, axis=-1)


def measure_band_power(data, sfreq):
    """Return the logarithm of the power in five bands.

    Parameters
    ----------
    data : array, shape (n_windows, n_channels, n_times)
        Windows.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    power : array, shape (n_windows, n_channels * n_bands)
        Logarithms.
    """
    freqs, spectrum = welch(data, sfreq, nperseg=min(data.shape[-1], round(_SECONDS * sfreq)))
    inside = [(freqs >= low) & (freqs < high) for low, high in BANDS]
    power = np.stack([spectrum[..., k].mean(axis=-1) for k in inside if k.any()], axis=-1)
    return np.log(np.maximum(power, np.finfo(float).tiny)).reshape(len(data), -1)


class _Decoder(ClassifierMixin, BaseEstimator):
    """Names the most probable class."""

    def predict(self, X):
        """Return the most probable classes.

        Parameters
        ----------
        X : mne.Epochs
            Windows.

        Returns
        -------
        y : array, shape (n_windows,)
            Labels.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class _FeatureDecoder(_Decoder):
    """Logistic regression of standardised features, which subclasses compute.

    The strength of the penalty is chosen by the log loss in folds of what is learnt from, by
    person where groups are given: the linear model of ``GramClassifier(adapt="probe")``.
    """

    def fit(self, X, y, groups=None):
        """Learn to classify.

        Parameters
        ----------
        X : mne.Epochs
            Windows.
        y : array, shape (n_windows,)
            Their labels.
        groups : array, shape (n_windows,) | None
            Whose windows they are.

        Returns
        -------
        self : object
            The same.
        """
        self.classes_, number = np.unique(y, return_inverse=True)
        features = self._fit_features(X)
        folds = make_folds(number, self.classes_, groups)
        self.probe_ = fit_probe(features, number, len(self.classes_), np.ones(len(y)), folds=folds)
        return self

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : mne.Epochs
            Windows.

        Returns
        -------
        probabilities : array, shape (n_windows, n_classes)
            In the order of ``classes_``.
        """
        return softmax(self.probe_.get_logits(self._get_features(X)), axis=1)

    def _fit_features(self, X):
        """Return the features of windows to learn from."""
        return self._get_features(X)


class BandPowerDecoder(_FeatureDecoder):
    """Logarithm of the power in five bands of each channel; logistic regression."""

    def _get_features(self, X):
        return measure_band_power(X.get_data(copy=False), X.info["sfreq"])


class TangentDecoder(_FeatureDecoder):
    """Covariances of a band in the tangent space at their mean; logistic regression.

    Parameters
    ----------
    band : tuple of float
        Lower and upper edge in Hz.

    Notes
    -----
    Covariances are shrunk (OAS), which leaves them of full rank where an average reference or the
    removal of components had taken some. Barachant et al., IEEE Transactions on Biomedical
    Engineering 59(4), 2012, by pyRiemann.
    """

    def __init__(self, band=(8.0, 30.0)):
        self.band = band

    def _fit_features(self, X):
        from pyriemann.tangentspace import TangentSpace

        self.space_ = TangentSpace(metric="riemann")
        return self.space_.fit_transform(self._get_covariances(X))

    def _get_features(self, X):
        return self.space_.transform(self._get_covariances(X))

    def _get_covariances(self, X):
        from pyriemann.estimation import Covariances

        # Microvolts: in volts the shrinkage meets numbers near the smallest there are.
        data = 1e6 * X.get_data(copy=False)
        return Covariances(estimator="oas").transform(filter_band(data, X.info["sfreq"], self.band))


class PatternsDecoder(_Decoder):
    """Common spatial patterns of a band, linear discriminant analysis.

    Parameters
    ----------
    band : tuple of float
        Lower and upper edge in Hz.

    Notes
    -----
    Six patterns of covariances that are shrunk (Ledoit-Wolf), by :class:`mne.decoding.CSP`.
    """

    def __init__(self, band=(8.0, 30.0)):
        self.band = band

    def fit(self, X, y, groups=None):
        """Learn to classify.

        Parameters
        ----------
        X : mne.Epochs
            Windows.
        y : array, shape (n_windows,)
            Their labels.
        groups : None
            Not used: there is no strength to be chosen.

        Returns
        -------
        self : PatternsDecoder
            The same.
        """
        import mne

        self.classes_ = np.unique(y)
        data = self._filter(X)
        self.patterns_ = mne.decoding.CSP(
            min(N_PATTERNS, data.shape[1]), reg="ledoit_wolf", log=True
        )
        self.discriminant_ = LinearDiscriminantAnalysis()
        with mne.use_log_level("error"):
            self.discriminant_.fit(self.patterns_.fit_transform(data, y), y)
        return self

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : mne.Epochs
            Windows.

        Returns
        -------
        probabilities : array, shape (n_windows, n_classes)
            In the order of ``classes_``.
        """
        return self.discriminant_.predict_proba(self.patterns_.transform(self._filter(X)))

    def _filter(self, X):
        return filter_band(1e6 * X.get_data(copy=False), X.info["sfreq"], self.band)
