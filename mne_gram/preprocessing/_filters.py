# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Band-pass and notch filters, no longer than the data."""

from contextlib import nullcontext

import mne
import numpy as np
from mne.annotations import _annotations_starts_stops
from mne.io import BaseRaw
from mne.utils import warn

from .._checks import find_segments

_EDGES = ("edge", "bad_acq_skip")  # annotations across which MNE does not filter
_FIR_SECONDS = 3.3  # the length of a Hamming window is 3.3 / (transition bandwidth in Hz)


def _count_taps(transition, sfreq):
    """Return the length of MNE's filter with a transition band of this width in Hz."""
    length = int(np.ceil(_FIR_SECONDS / transition * sfreq))
    return length + 1 - length % 2


def _notch(inst, freqs, picks, longest):
    """Apply notch filters, no narrower than the longest segment, in samples, can resolve."""
    sfreq = inst.info["sfreq"]
    # MNE places half of this bandwidth on either side of the notch.
    bandwidth = max(1.0, 2 * _FIR_SECONDS * sfreq / max(longest - 1, 1))
    if _count_taps(bandwidth / 2, sfreq) > longest:  # MNE rounds it up
        bandwidth = 2 * _FIR_SECONDS * sfreq / max(longest - 2, 1)
    room = np.minimum(freqs, sfreq / 2 - freqs) - freqs / 400  # the width of the notch itself
    narrow = bandwidth / 2 >= room
    if narrow.any():
        warn(
            f"A notch filter at {freqs[narrow][0]:g} Hz needs {_FIR_SECONDS / room[narrow][0]:.2g} "
            f"s of continuous data and the longest segment has {longest / sfreq:.3g} s, so the "
            "line is kept. Filter the continuous recording before cutting it."
        )
    freqs = freqs[~narrow]
    if not len(freqs):
        return
    if isinstance(inst, BaseRaw):
        n_taps = _count_taps(bandwidth / 2, sfreq)
        short = np.diff(find_segments(inst), axis=1) < n_taps
        if short.any():
            warn(
                f"{short.sum()} of {len(short)} segments of continuous time are shorter than the "
                f"notch filter ({2 * _FIR_SECONDS / bandwidth:.2g} s), which distorts them. Filter "
                "recordings before joining them."
            )
        starts, stops = _annotations_starts_stops(inst, _EDGES, invert=True)
        is_short = (stops - starts).min() < n_taps  # MNE warns of each of them, also of empty ones
        with mne.utils.use_log_level("error") if is_short else nullcontext():
            inst.notch_filter(
                freqs, picks=picks, trans_bandwidth=bandwidth, skip_by_annotation=_EDGES
            )
    else:
        inst._data[:, picks] = mne.filter.notch_filter(
            inst.get_data(picks=picks), inst.info["sfreq"], freqs, trans_bandwidth=bandwidth
        )


def _subtract_means(inst, picks, segments):
    """Subtract the mean of each channel in each segment, and epoch, in place."""
    for start, stop in segments:
        data = inst._data[..., picks, start:stop]
        inst._data[..., picks, start:stop] = data - data.mean(axis=-1, keepdims=True)


def filter_eeg(inst, picks, l_freq, h_freq, line_freq):
    """Band-pass and notch filter in place, except where the data are too slow or too short."""
    sfreq = inst.info["sfreq"]
    segments = find_segments(inst)
    longest = int((segments[:, 1] - segments[:, 0]).max())
    lowpass = min(inst.info["lowpass"], sfreq / 2)
    if h_freq is not None:
        lowpass = min(lowpass, h_freq)
        # Close to the Nyquist frequency no low-pass is needed. MNE rounds its length up.
        narrowest = _FIR_SECONDS * sfreq / max(longest - 2, 1)  # transition, in Hz
        if sfreq / 2 - h_freq < max(0.5, narrowest):
            h_freq = None
    transition = np.inf if l_freq is None else min(max(l_freq / 4, 2), l_freq)  # MNE's choice
    needed = _FIR_SECONDS / transition
    if needed * sfreq >= longest or _count_taps(transition, sfreq) > longest:
        if inst.info["highpass"] < l_freq - 1e-6:  # otherwise done before the data were cut
            _subtract_means(inst, picks, segments)
            warn(
                f"A high-pass at {l_freq:g} Hz needs {needed:.0f} s of continuous data and the "
                f"longest segment has {longest / sfreq:.3g} s, so the mean is subtracted instead. "
                "Filter the continuous recording before cutting it, or pass a higher l_freq."
            )
        l_freq = None
    if l_freq is not None or h_freq is not None:
        kwargs = dict(skip_by_annotation=_EDGES) if isinstance(inst, BaseRaw) else {}
        if h_freq is not None and l_freq is None:
            if min(max(0.25 * h_freq, 2.0), sfreq / 2 - h_freq) < narrowest:  # MNE's choice
                kwargs["h_trans_bandwidth"] = narrowest
        inst.filter(l_freq, h_freq, picks=picks, **kwargs)
    if line_freq is not None:
        freqs = np.arange(line_freq, lowpass + 1e-6, line_freq)
        freqs = freqs[freqs < sfreq / 2 - 1]
        if len(freqs):
            _notch(inst, freqs, picks, longest)
