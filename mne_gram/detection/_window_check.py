# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Judge windows of new data by a covariance that was estimated from earlier data."""

import numpy as np

from .._recording import choose_windows
from ..covariance import band_products
from ._misfit import WindowScorer
from ._signal_checks import find_line, has_flat, measure_line

_MIN_CHANNELS = 4
_MAX_WINDOWS = 80  # of the earlier data, that show which misfit is typical
_THRESHOLD = 5.5  # as in find_bads
_LOUD = 30.0  # times the typical standard deviation of the EEG
_LARGEST = 1e3  # volts


def fit_window_check(recording, cov, carries_reference, still):
    """Learn from a clean recording what is usual; None if too few channels are good.

    ``cov (n_bands, n_channels, n_channels)`` is its covariance, and ``still (n_channels,)`` which
    channel is always flat, being the reference.
    """
    starts, length, good = choose_windows(
        recording.bad, recording.recorded, recording.sfreq, _MAX_WINDOWS
    )
    used = good.any(axis=0)
    if used.sum() < _MIN_CHANNELS:
        return None
    windows = np.stack([recording.samples.read(a, a + length) for a in starts])
    windows[~good] = 0.0
    std = windows.std(axis=2)
    spectra = band_products(windows, recording.sfreq)
    scorer = WindowScorer(cov, carries_reference, used, spectra, good)
    return WindowCheck(float(np.median(std[good & ~still])), still, scorer)


class WindowCheck:
    """Finds bad channels in windows of new data, which do not influence each other.

    ``size`` is the typical standard deviation, ``still (n_channels,)`` are channels that may be
    flat.
    """

    def __init__(self, size, still, scorer):
        self.size, self._still, self._scorer = size, still, scorer

    def __call__(self, windows, hidden, sfreq, line_freq=None):
        """Find bad channels in windows (n_windows, n_channels, n_times), which are overwritten.

        Where ``hidden`` (n_windows, n_channels), they are ignored. Returns a dict of bool arrays
        (n_windows, n_channels) by reason, and the misfit as a multiple of the threshold, ``-inf``
        where it is not known.
        """
        with np.errstate(invalid="ignore"):
            broken = ~(np.abs(windows) <= _LARGEST).all(axis=2)  # NaN too
        windows[broken | hidden] = 0.0
        loud = windows.std(axis=2) > _LOUD * self.size
        flat = has_flat(windows, sfreq, self.size) & ~self._still & ~broken
        usable = ~(broken | loud | flat | hidden)
        freqs = (50.0, 60.0) if line_freq is None else (line_freq,)
        pairs = zip(windows, usable, strict=True)
        middle = [np.median(x[k], axis=0) if k.any() else 0 * x[0] for x, k in pairs]
        line = measure_line(windows - np.array(middle)[:, None], sfreq, freqs)
        pairs = zip(line, usable, strict=True)
        line = np.array([find_line(x, k, self.size) for x, k in pairs])
        usable &= ~line
        spectra = band_products(np.where(usable[..., None], windows, 0.0), sfreq)
        scores = self._scorer(spectra, usable, _THRESHOLD) / _THRESHOLD
        found = dict(nan=broken, flat=flat, amplitude=loud, line=line, misfit=scores > 1)
        return {why: where & ~hidden for why, where in found.items()}, scores
