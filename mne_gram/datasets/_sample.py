# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The sample recording that is bundled with the package."""

from pathlib import Path

import mne
import numpy as np
from mne.utils import _validate_type, verbose

from .._docs import fill_doc
from ..montage import template_montage

_PATH = Path(__file__).parent / "data" / "sample_eeg.edf"
_BAD_CHANNEL = "CP2"
_SPAN_CHANNEL, _SPAN_ONSET, _SPAN_SECONDS = "F4", 9.0, 3.0
_BROKEN_CHANNEL = "FT8"  # as recorded: seven times the median channel's amplitude in both runs


def _loose_electrode(n_times, sfreq, rng):
    """Return the signal of a loose electrode in volts, shape (n_times,): line noise and drift."""
    times = np.arange(n_times) / sfreq
    line = 80e-6 * np.sin(2 * np.pi * 60 * times)
    drift = np.cumsum(rng.standard_normal(n_times)) * 4e-6
    return line + drift + 30e-6 * rng.standard_normal(n_times)


def _electrode_pops(n_times, sfreq, rng):
    """Return electrode pops in volts, shape (n_times,), that decay within half a second."""
    pops = rng.random(n_times) < 2 / sfreq
    pops[0] = True
    jumps = pops * rng.choice([-1, 1], n_times) * rng.uniform(200e-6, 500e-6, n_times)
    decay = np.exp(-np.arange(n_times) / (0.15 * sfreq))
    return np.convolve(jumps, decay)[:n_times] + 20e-6 * rng.standard_normal(n_times)


@verbose
@fill_doc
def sample(*, return_truth=False, verbose=None):
    """Load a real recording with bad channels and a bad segment.

    20 seconds of 64-channel EEG at 160 Hz while a subject imagines moving the left (``T1``) or the
    right (``T2``) fist, or rests (``T0``). Channel CP2 is marked as bad and contains noise
    throughout; three seconds of F4 have a channel-specific annotation ``BAD_pop`` and contain
    electrode pops. These two artefacts are simulated, and the same in every call. All other data
    are as recorded, including channel FT8, which was broken and is marked as bad too.

    Parameters
    ----------
    return_truth : bool
        Whether to also return the recording without simulated artefacts.
    %(verbose)s

    Returns
    -------
    raw : mne.io.Raw
        The recording with the artefacts, preloaded, with 10-05 channel names, a template montage
        and ``info["line_freq"]`` set.
    truth : mne.io.Raw
        The original recording, in which CP2 and F4 are good and FT8 is bad. Only returned if
        ``return_truth`` is True.

    Notes
    -----
    An excerpt of the EEG Motor Movement/Imagery Dataset 1.0.0 of PhysioNet [1]_ [2]_, subject 4,
    run 4, under the Open Data Commons Attribution License 1.0. Data of this subject were not used
    to train any model of this package. A text file beside the recording lists the changes.

    References
    ----------
    .. [1] G. Schalk, D.J. McFarland, T. Hinterberger, N. Birbaumer and J.R. Wolpaw (2004).
       BCI2000: A General-Purpose Brain-Computer Interface (BCI) System. IEEE Transactions on
       Biomedical Engineering, 51(6), 1034-1043. doi:10.1109/TBME.2004.827072
    .. [2] A.L. Goldberger et al. (2000). PhysioBank, PhysioToolkit, and PhysioNet. Circulation,
       101(23), e215-e220. doi:10.1161/01.CIR.101.23.e215
    """
    _validate_type(return_truth, bool, "return_truth")
    truth = mne.io.read_raw_edf(_PATH, preload=True)
    truth.set_montage(template_montage())
    truth.info["line_freq"] = 60.0
    truth.info["bads"] = [_BROKEN_CHANNEL]

    raw = truth.copy()
    sfreq = raw.info["sfreq"]
    rng = np.random.default_rng(2004)
    raw._data[raw.ch_names.index(_BAD_CHANNEL)] = _loose_electrode(raw.n_times, sfreq, rng)
    start, stop = raw.time_as_index([_SPAN_ONSET, _SPAN_ONSET + _SPAN_SECONDS])
    pops = _electrode_pops(stop - start, sfreq, rng)
    raw._data[raw.ch_names.index(_SPAN_CHANNEL), start:stop] += pops
    raw.info["bads"] = [_BAD_CHANNEL, _BROKEN_CHANNEL]
    raw.annotations.append(_SPAN_ONSET, _SPAN_SECONDS, "BAD_pop", ch_names=[[_SPAN_CHANNEL]])
    return (raw, truth) if return_truth else raw
