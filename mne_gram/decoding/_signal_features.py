# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classical features of trials: covariances in the tangent space, and band power."""

import numpy as np
from scipy.signal import welch

from ..preprocessing import SFREQ

# Below 1 Hz, trials of a few seconds contain little information; above 45 Hz, muscle and line.
#: Default bands in Hz; the upper edge belongs to the next band.
BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 20.0), (20.0, 30.0), (30.0, 45.0))
_SEGMENT = 400  # samples at 200 Hz per segment of the averaged spectrum
# Directions with less of the mean covariance than this, relative to the largest, are ignored: an
# average reference or removed components leave nothing but rounding errors there.
_RANK_TOL = 1e-3
_CHUNK = 2**23  # values that are processed at once


def measure_covariances(x, bands=BANDS):
    """Return covariances (n_trials, n_bands, n_channels, n_channels) of trials at 200 Hz.

    The real part of cross-spectra over half overlapping segments of 2 s, shrunk (see `_shrink`).
    """
    n_trials, n_channels, n_times = x.shape
    length = min(_SEGMENT, n_times)
    starts = np.arange(0, n_times - length + 1, max(length // 2, 1))
    taper = np.hanning(length + 2)[1:-1]
    freqs = np.fft.rfftfreq(length, 1 / SFREQ)
    inside = _find_inside(freqs, bands)
    cov = np.empty((n_trials, len(bands), n_channels, n_channels))
    step = max(1, _CHUNK // (len(starts) * n_channels * length))
    for first in range(0, n_trials, step):
        part = np.asarray(x[first : first + step], float)
        segments = np.stack([part[..., a : a + length] for a in starts], axis=-2)
        segments -= segments.mean(axis=-1, keepdims=True)
        spectrum = np.fft.rfft(segments * taper)
        for band, keep in enumerate(inside):
            z = spectrum[..., keep].reshape(*part.shape[:2], -1)
            z = np.concatenate([z.real, z.imag], axis=-1)
            cov[first : first + step, band] = z @ z.swapaxes(1, 2)
    cov *= 2 / (len(starts) * length * (taper @ taper))
    # As many samples as twice the bandwidth times the duration.
    dof = np.array([2 * (high - low) * n_times / SFREQ for low, high in bands])
    return _shrink(cov, dof[:, None, None])


def _find_inside(freqs, bands):
    """Return one mask of the frequencies per band."""
    inside = [(freqs >= low) & (freqs < high) for low, high in bands]
    for (low, high), found in zip(bands, inside, strict=True):
        if not found.any():
            raise ValueError(
                f"No frequency lies between {low:g} and {high:g} Hz: the frequency resolution of "
                f"these trials is {freqs[1]:g} Hz. Use wider bands or longer trials."
            )
    return inside


def _shrink(cov, dof):
    """Shrink covariances (..., p, p) towards a multiple of the identity.

    Chen et al. (2010), doi:10.1109/TSP.2010.2053029, eq. 23, with ``dof`` samples.
    """
    p = cov.shape[-1]
    mean = np.trace(cov, axis1=-2, axis2=-1)[..., None, None] / p
    square = (cov**2).sum(axis=(-2, -1), keepdims=True)
    lost = (dof + 1 - 2 / p) * (square - p * mean**2)
    found = (1 - 2 / p) * square + p**2 * mean**2
    share = np.minimum(1.0, np.divide(found, lost, out=np.ones_like(found), where=lost > 0))
    return (1 - share) * cov + share * mean * np.eye(p)


def _whiten(mean):
    """Return the whitening matrix of a mean (p, p) where it has rank, and the other projector."""
    values, vectors = np.linalg.eigh(mean)
    keep = values > _RANK_TOL * values[-1]
    kept, rest = vectors[:, keep], vectors[:, ~keep]
    return (kept / np.sqrt(values[keep])) @ kept.T, rest @ rest.T


def _log(cov):
    """Return the matrix logarithm of symmetric positive matrices, (..., p, p)."""
    values, vectors = np.linalg.eigh(cov)
    values = np.log(np.maximum(values, 1e-10))
    return (vectors * values[..., None, :]) @ vectors.swapaxes(-1, -2)


class Recentring:
    """Measurements relative to their mean, over all trials or over each subject's own trials."""

    def fit_mean(self, measured, subjects=None, weights=None):
        """Compute the mean of measurements (n_trials, ...), and each subject's if passed."""
        weights = np.ones(len(measured)) if weights is None else weights
        self.mean, self.own_means = np.average(measured, axis=0, weights=weights), {}
        for subject in [] if subjects is None else np.unique(subjects[weights > 0]).tolist():
            rows = (subjects == subject) & (weights > 0)
            if rows.sum() > 1:
                own = np.average(measured[rows], axis=0, weights=weights[rows])
                self.own_means[subject] = own
        return self

    def recentre(self, measured, subjects=None):
        """Return features (n_trials, n_features) of measurements relative to the mean.

        Subjects that were not in `fit_mean` are compared with the mean of their trials here, and
        single trials with the mean over all subjects: nothing of them would be left otherwise.
        """
        if subjects is None:
            return self._compare(measured, self.mean)
        features = None
        for subject in np.unique(subjects).tolist():
            rows = subjects == subject
            mean = self.own_means.get(subject)
            if mean is None:
                mean = measured[rows].mean(axis=0) if rows.sum() > 1 else self.mean
            part = self._compare(measured[rows], mean)
            if features is None:
                features = np.empty((len(measured), part.shape[1]))
            features[rows] = part
        return features

    @staticmethod
    def _compare(measured, mean):
        return (measured - mean).reshape(len(measured), -1)


class _BandFeatures(Recentring):
    """Features that are measured in bands; subclasses say what is measured."""

    def __init__(self, bands=BANDS):
        self.bands = bands

    def fit_transform(self, trials, weights=None):
        """Compute the mean of trials and return their features, shape (n_trials, n_features)."""
        measured = trials.map(self.measure)
        self.ch_names = trials.ch_names
        self.sizes = self._get_sizes(len(self.ch_names))
        return self.fit_mean(measured, trials.subjects, weights).recentre(measured, trials.subjects)

    def transform(self, trials):
        """Return the features of trials, shape (n_trials, n_features)."""
        return self.recentre(trials.map(self.measure), trials.subjects)


class Tangent(_BandFeatures):
    """Covariances in the tangent space at their arithmetic mean, one block per band.

    Barachant et al. (2012), doi:10.1109/TBME.2011.2172210; with one mean per subject the alignment
    of He and Wu (2020), doi:10.1109/TBME.2019.2913914, in each band.
    """

    kind = "tangent"

    def measure(self, x):
        """Return the covariances (n_trials, n_bands, n_channels, n_channels) of trials."""
        return measure_covariances(x, self.bands)

    def _get_sizes(self, n_channels):
        """Return the number of features in each block."""
        return [n_channels * (n_channels + 1) // 2] * len(self.bands)

    @staticmethod
    def _compare(cov, mean):
        """Whiten by the mean and take the logarithm; return the upper triangles."""
        features = []
        upper = np.triu_indices(mean.shape[-1])
        size = np.where(upper[0] == upper[1], 1.0, np.sqrt(2))
        for band, centre in enumerate(mean):
            white, rest = _whiten(centre)
            found = _log(white @ cov[:, band] @ white + rest)
            features.append(found[:, upper[0], upper[1]] * size)
        return np.concatenate(features, axis=1)

    def get_feature_names_out(self):
        """Return one name per feature, a list."""
        rows, columns = np.triu_indices(len(self.ch_names))
        return [
            f"tangent_{low:g}-{high:g}Hz_{self.ch_names[i]}_{self.ch_names[j]}"
            for low, high in self.bands
            for i, j in zip(rows, columns, strict=True)
        ]


class BandPower(_BandFeatures):
    """Logarithm of the power in each band relative to its mean, all in one block."""

    kind = "bandpower"

    def measure(self, x):
        """Return the log of the mean power density, shape (n_trials, n_channels, n_bands)."""
        freqs, power = welch(x, SFREQ, nperseg=min(_SEGMENT, x.shape[-1]))
        inside = _find_inside(freqs, self.bands)
        power = np.stack([power[..., keep].mean(axis=-1) for keep in inside], axis=-1)
        # A flat channel has no power, which is then the same in all trials.
        return np.log(np.maximum(power, np.finfo(np.float32).tiny)).astype(float)

    def _get_sizes(self, n_channels):
        """Return the number of features in each block."""
        return [n_channels * len(self.bands)]

    def get_feature_names_out(self):
        """Return one name per feature, a list."""
        return [
            f"power_{low:g}-{high:g}Hz_{name}" for name in self.ch_names for low, high in self.bands
        ]
