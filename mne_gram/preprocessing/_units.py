# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The units of the data: volts, in which users pass them, and those of the networks."""

import numpy as np

SFREQ = 200.0  # the model's sampling rate in Hz
VOLTS_TO_MODEL = 1e4  # the network works in units of 0.1 mV


def measure_level(data):
    """Return the median absolute value of data (..., n_times) without offsets; None if all NaN."""
    step = max(1, data.shape[-1] // 20_000)  # enough for a median
    data = np.asarray(data)[..., ::step]
    seen = np.isfinite(data).any(axis=-1)
    if not seen.any():
        return None
    data = data[seen]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nanmedian(np.abs(data - np.nanmedian(data, axis=-1, keepdims=True)))


def check_units(data):
    """Raise an error if the amplitude shows that data are not in volts.

    Parameters
    ----------
    data : array, shape (..., n_channels, n_times)
        EEG; NaN are ignored.

    Raises
    ------
    ValueError
        If the median absolute value, after subtraction of the median of each channel, is above
        10 mV or below 1 nV.

    Notes
    -----
    The median of each channel is subtracted because amplifiers without a high-pass, such as
    BioSemi's, record electrode offsets of tens of millivolts.
    """
    level = measure_level(data)
    if level is None or 1e-9 <= level <= 1e-2:
        return
    if level == 0:
        remedy = "The channels are flat: add those without a signal to info['bads']."
    elif level > 1e-2:
        factor = "1e-6 (microvolts to volts)" if level > 0.5 else "1e-6 or 1e-3"
        remedy = (
            f"They are not in volts: multiply them by {factor}, for example with "
            "inst.apply_function(lambda x: x * 1e-6, picks='eeg')."
        )
    else:
        remedy = (
            "They may have been scaled to volts twice: multiply them by 1e6, for example with "
            "inst.apply_function(lambda x: x * 1e6, picks='eeg')."
        )
    raise ValueError(
        f"The median absolute value of the EEG is {level:.3g} V, expected between 1e-9 and 1e-2 V. "
        f"{remedy}"
    )
