# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The power line frequency."""

import numpy as np
from mne.io import BaseRaw
from mne.utils import warn


def find_line_freq(data, sfreq):
    """Find the power line frequency from its peak in the spectrum.

    Parameters
    ----------
    data : array, shape (..., n_channels, n_times)
        EEG in any unit. Segments of a channel with NaN are left out.
    sfreq : float
        The sampling rate in Hz.

    Returns
    -------
    line_freq : float | None
        50.0 or 60.0, whichever stands out more; None if the power of both is less than twice that
        of neighbouring frequencies in the median channel (more for short data), or the sampling
        rate is too low.
    """
    length = min(int(2 * sfreq), data.shape[-1])  # two seconds resolve half a hertz
    if length < sfreq / 2:
        return None
    freqs = np.fft.rfftfreq(length, 1 / sfreq)
    starts = np.arange(0, data.shape[-1] - length + 1, max(length // 2, 1))
    starts = starts[:: max(1, len(starts) // 60)]  # a minute or two of a long recording is enough
    segments = np.stack([data[..., start : start + length] for start in starts], axis=-2)
    segments = segments - segments.mean(axis=-1, keepdims=True)
    power = np.abs(np.fft.rfft(segments * np.hanning(length))) ** 2
    # (n_channels, n_spectra, n_freqs), spectra of all segments and epochs.
    power = np.moveaxis(power, -3, 0).reshape(data.shape[-2], -1, len(freqs))
    power = power[(power > 0).all(axis=-1).any(axis=-1)]  # neither flat nor NaN throughout
    if len(power) == 0:
        return None
    n_spectra = np.isfinite(power[..., 0]).sum()
    power = np.nanmedian(power, axis=1)
    ratios = {}
    for line in (50.0, 60.0):
        near = np.abs(freqs - line)
        around = (near >= 2) & (near <= 6) & (freqs < 0.98 * sfreq / 2)
        if line < 0.98 * sfreq / 2 and around.any():
            base = np.maximum(np.median(power[:, around], axis=-1), np.finfo(float).tiny)
            ratios[line] = np.median(power[:, near.argmin()] / base)
    best = max(ratios, key=ratios.get, default=None)
    # With fewer spectra, noise alone reaches larger ratios.
    enough = max(2, 1 + 20 / np.sqrt(n_spectra))
    return best if best is not None and ratios[best] >= enough else None


def choose_line_freq(inst, line_freq, good):
    """Return the line frequency to remove, or None."""
    if line_freq is False:
        return None
    if line_freq is None:
        line_freq = inst.info["line_freq"]
    if line_freq is None:
        kwargs = dict(reject_by_annotation="NaN") if isinstance(inst, BaseRaw) else {}
        line_freq = find_line_freq(inst.get_data(picks=good, **kwargs), inst.info["sfreq"])
        if line_freq is not None:
            warn(
                f"Found a power line peak at {line_freq:g} Hz, which is removed. Pass line_freq or "
                "set info['line_freq'] to choose the frequency."
            )
    return line_freq
