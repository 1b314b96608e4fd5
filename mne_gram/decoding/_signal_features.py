# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classical features of trials: covariances in the tangent space, and band power.

Each trial is measured by itself (:func:`measure_covariances`). What the measurement is compared
with, the mean of the trials that were learnt from or of the person's own trials, is kept by
:class:`Tangent` and :class:`BandPower`.
"""

import numpy as np

# Below a hertz a trial of a few seconds tells little, above 45 Hz there is muscle and line.
#: Bands in Hz, of which the upper edge belongs to the next one.
EDGES = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 20.0), (20.0, 30.0), (30.0, 45.0))
_SEGMENT = 400  # samples at 200 Hz, the segments whose spectra are averaged
_SFREQ = 200.0
# Directions that hold less of the mean covariance than this, relative to the largest, are not
# compared: an average reference, and components that were taken out, leave none but rounding.
_RANK_TOL = 1e-3
_CHUNK = 2**23  # values that are worked on at once


def measure_covariances(x, bands=EDGES):
    """Measure the covariance of the channels in each band.

    Parameters
    ----------
    x : array, shape (n_trials, n_channels, n_times)
        Trials at 200 Hz.
    bands : sequence of tuple of float
        Lower and upper edge of each in Hz.

    Returns
    -------
    cov : array, shape (n_trials, n_bands, n_channels, n_channels)
        Real part of the cross-spectra over the frequencies of the bands, averaged over segments
        of two seconds that overlap by half, shrunk towards a multiple of the identity.

    Notes
    -----
    The shrinkage is that of Chen et al. (2010, IEEE Transactions on Signal Processing 58,
    doi:10.1109/TSP.2010.2053029, eq. 23, the oracle approximating one), with as many samples as
    the band has in this time: twice the bandwidth times the duration.
    """
    n_trials, n_channels, n_times = x.shape
    length = min(_SEGMENT, n_times)
    starts = np.arange(0, n_times - length + 1, max(length // 2, 1))
    taper = np.hanning(length + 2)[1:-1]
    freqs = np.fft.rfftfreq(length, 1 / _SFREQ)
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
    dof = np.array([2 * (high - low) * n_times / _SFREQ for low, high in bands])
    return _shrink(cov, dof[:, None, None])


def _find_inside(freqs, bands):
    """Return which frequencies are in each band."""
    inside = [(freqs >= low) & (freqs < high) for low, high in bands]
    for (low, high), found in zip(bands, inside, strict=True):
        if not found.any():
            raise ValueError(
                f"No frequency lies between {low:g} and {high:g} Hz: those that can be told apart "
                f"in these trials are {freqs[1]:g} Hz apart. Give wider bands, or longer trials."
            )
    return inside


def _shrink(cov, dof):
    """Shrink covariances towards a multiple of the identity."""
    p = cov.shape[-1]
    mean = np.trace(cov, axis1=-2, axis2=-1)[..., None, None] / p
    square = (cov**2).sum(axis=(-2, -1), keepdims=True)
    lost = (dof + 1 - 2 / p) * (square - p * mean**2)
    found = (1 - 2 / p) * square + p**2 * mean**2
    share = np.minimum(1.0, np.divide(found, lost, out=np.ones_like(found), where=lost > 0))
    return (1 - share) * cov + share * mean * np.eye(p)


def _whiten(mean):
    """Return what makes a covariance white where it has rank, and the projector on the rest."""
    values, vectors = np.linalg.eigh(mean)
    keep = values > _RANK_TOL * values[-1]
    kept, rest = vectors[:, keep], vectors[:, ~keep]
    return (kept / np.sqrt(values[keep])) @ kept.T, rest @ rest.T


def _log(cov):
    """Return the matrix logarithm of symmetric positive matrices, (..., p, p)."""
    values, vectors = np.linalg.eigh(cov)
    values = np.log(np.maximum(values, 1e-10))
    return (vectors * values[..., None, :]) @ vectors.swapaxes(-1, -2)


class Compared:
    """Measurements less their mean, of all trials or of each person's own.

    Attributes
    ----------
    mean : array
        Of the trials that were learnt from.
    own : dict
        Of those of each person, where they are told apart.
    """

    def fit(self, measured, people=None, weights=None):
        """Learn what to compare with.

        Parameters
        ----------
        measured : array, shape (n_trials, ...)
            The measurements.
        people : array, shape (n_trials,) | None
            Whose trial each is; None does not tell people apart.
        weights : array, shape (n_trials,) | None
            How much each trial counts; None counts all alike.

        Returns
        -------
        self : Compared
            The same.
        """
        weights = np.ones(len(measured)) if weights is None else weights
        self.mean, self.own = np.average(measured, axis=0, weights=weights), {}
        for person in [] if people is None else np.unique(people[weights > 0]).tolist():
            rows = people == person
            self.own[person] = np.average(measured[rows], axis=0, weights=weights[rows])
        return self

    def transform(self, measured, people=None):
        """Compare trials with the mean.

        Parameters
        ----------
        measured : array, shape (n_trials, ...)
            The measurements.
        people : array, shape (n_trials,) | None
            Whose trial each is. Those of people who were not met before are compared with the
            mean of their trials here.

        Returns
        -------
        features : array, shape (n_trials, n_features)
            A row a trial.
        """
        if people is None:
            return self._compare(measured, self.mean)
        features = None
        for person in np.unique(people).tolist():
            rows = people == person
            mean = self.own[person] if person in self.own else measured[rows].mean(axis=0)
            part = self._compare(measured[rows], mean)
            if features is None:
                features = np.empty((len(measured), part.shape[1]))
            features[rows] = part
        return features

    @staticmethod
    def _compare(measured, mean):
        return (measured - mean).reshape(len(measured), -1)


class Tangent(Compared):
    """Covariances seen from their mean.

    Parameters
    ----------
    bands : sequence of tuple of float
        As in `measure_covariances`.

    Notes
    -----
    Each band's covariance is whitened by the mean, and of what comes out the logarithm is taken;
    its upper triangle, with off-diagonal elements times the root of 2, are the features. This is
    the tangent space of Barachant et al. (2012, IEEE Transactions on Biomedical Engineering 59,
    doi:10.1109/TBME.2011.2172210) at the arithmetic mean. With a mean for each person it is the
    alignment of He and Wu (2020, IEEE Transactions on Biomedical Engineering 67,
    doi:10.1109/TBME.2019.2913914), in each band.
    """

    def __init__(self, bands=EDGES):
        self.bands = bands

    def measure(self, x):
        """Return `measure_covariances` of trials in these bands."""
        return measure_covariances(x, self.bands)

    def count(self, n_channels):
        """Return how many features there are, in blocks that could be used alone: the bands."""
        return [n_channels * (n_channels + 1) // 2] * len(self.bands)

    @staticmethod
    def _compare(cov, mean):
        features = []
        upper = np.triu_indices(mean.shape[-1])
        size = np.where(upper[0] == upper[1], 1.0, np.sqrt(2))
        for band, centre in enumerate(mean):
            white, rest = _whiten(centre)
            found = _log(white @ cov[:, band] @ white + rest)
            features.append(found[:, upper[0], upper[1]] * size)
        return np.concatenate(features, axis=1)

    def name(self, ch_names):
        """Return a name for each feature."""
        rows, columns = np.triu_indices(len(ch_names))
        return [
            f"tangent_{low:g}-{high:g}Hz_{ch_names[i]}_{ch_names[j]}"
            for low, high in self.bands
            for i, j in zip(rows, columns, strict=True)
        ]


class BandPower(Compared):
    """Logarithm of the power in each band, less its mean.

    Parameters
    ----------
    bands : sequence of tuple of float
        Lower and upper edge of each in Hz.
    """

    def __init__(self, bands=EDGES):
        self.bands = bands

    def measure(self, x):
        """Measure the logarithm of the power.

        Parameters
        ----------
        x : array, shape (n_trials, n_channels, n_times)
            Trials at 200 Hz.

        Returns
        -------
        power : array, shape (n_trials, n_channels, n_bands)
            Natural logarithm of the mean power density.
        """
        from scipy.signal import welch

        freqs, power = welch(x, _SFREQ, nperseg=min(_SEGMENT, x.shape[-1]))
        inside = _find_inside(freqs, self.bands)
        power = np.stack([power[..., keep].mean(axis=-1) for keep in inside], axis=-1)
        # A flat channel has no power; it is the same in all trials then and tells nothing.
        return np.log(np.maximum(power, np.finfo(np.float32).tiny)).astype(float)

    def count(self, n_channels):
        """Return how many features there are, in one block."""
        return [n_channels * len(self.bands)]

    def name(self, ch_names):
        """Return a name for each feature."""
        return [f"power_{low:g}-{high:g}Hz_{name}" for name in ch_names for low, high in self.bands]
