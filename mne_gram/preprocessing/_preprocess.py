# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The preprocessing that the networks were trained with."""

import numpy as np
from mne.utils import _check_option, _validate_type, verbose

from .._checks import check_content, check_type
from .._marks import empty_broken, empty_filled, fill_missing, find_hidden
from .._strays import find_strays_of, warn_of_strays
from ._checks import check_band, check_band_edges, check_samples, pick_good_eeg
from ._filters import filter_eeg
from ._line import choose_line_freq
from ._reference import average_reference, check_reference
from ._units import SFREQ


@verbose
def preprocess(
    inst,
    *,
    line_freq=None,
    l_freq=0.1,
    h_freq=75.0,
    reference="average",
    sfreq=SFREQ,
    verbose=None,
):
    """Preprocess EEG in the way that the networks expect.

    A copy is band-pass filtered, notch filtered at the line frequency and its harmonics, resampled
    and re-referenced to the average, using MNE. Data stay in volts.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The data, which are not modified. Channels other than EEG are kept and resampled, but not
        filtered. The same applies, with a warning, to channels that cannot be EEG by size or name
        (see the Notes of :func:`mne_gram.restore`).
    line_freq : float | False | None
        The power line frequency in Hz. None takes ``info["line_freq"]``, or if that is not set
        the peak that :func:`find_line_freq` finds, with a warning. False does not apply a notch
        filter.
    l_freq : float | None
        The lower edge of the band in Hz; None applies no high-pass.
    h_freq : float | None
        The upper edge of the band in Hz; None applies no low-pass.
    reference : "average" | None
        ``"average"`` subtracts the mean of the good electrodes; None keeps the reference. Bipolar
        derivations and channels that are bad throughout, by ``info["bads"]`` or annotations, always
        keep theirs.
    sfreq : float
        The new sampling rate in Hz.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs
        A preloaded copy, in volts at ``sfreq``.

    Raises
    ------
    ValueError
        If there are no good EEG channels, samples that are not marked as bad are NaN, the data are
        not in volts or are current source density, projectors are not applied, or a frequency is
        not positive.

    Notes
    -----
    A warning is given if the data were filtered or sampled to less than the requested band. A
    high-pass at 0.1 Hz needs 33 s of continuous data. If all segments, or the epochs, are shorter
    and were not high-pass filtered before, the mean is subtracted instead, with a warning.
    Therefore, filter or preprocess recordings before you epoch them.

    Samples of bad channels and under annotations that begin with ``BAD`` may be NaN: they stay NaN,
    and do not spread. For the filters a straight line is drawn across them.
    """
    check_type(inst, ("Raw", "Epochs"))
    _validate_type(line_freq, ("numeric", bool, None), "line_freq")
    _check_option("reference", reference, ("average", None))
    if line_freq is True or (line_freq is not None and line_freq is not False and line_freq <= 0):
        raise ValueError(f"line_freq must be a positive frequency, False or None, got {line_freq}.")
    check_band_edges(l_freq, h_freq, sfreq)
    inst = inst.copy().load_data()
    filled = fill_missing(inst)
    process(inst, line_freq, l_freq, h_freq, reference, sfreq)
    empty_filled(inst, filled)
    return inst


def process(inst, line_freq=None, l_freq=0.1, h_freq=75.0, reference="average", sfreq=SFREQ):
    """Do what `preprocess` does, in place."""
    check_content(inst)
    inst._data = inst._data.astype(float, copy=False)  # MNE's filters take nothing else
    picks, good = pick_good_eeg(inst)
    hidden = find_hidden(inst, good)
    good = np.setdiff1d(good, [inst.ch_names.index(n) for n in hidden])
    strays = find_strays_of(inst, good)
    warn_of_strays(strays)
    picks, good = (np.setdiff1d(x, [inst.ch_names.index(n) for n in strays]) for x in (picks, good))
    check_samples(inst, good)
    empty_broken(inst, picks)
    check_band(inst.info, l_freq, h_freq)
    filter_eeg(inst, picks, l_freq, h_freq, choose_line_freq(inst, line_freq, good))
    if inst.info["sfreq"] != sfreq:
        with np.errstate(over="ignore", invalid="ignore"):  # other channels may hold anything
            inst.resample(sfreq)
    if reference == "average":
        check_reference(inst, good)
        average_reference(inst, [*hidden, *strays])
