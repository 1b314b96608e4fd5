# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The preprocessing that the model was trained with, and checks of the data."""

from contextlib import nullcontext

import mne
import numpy as np
from mne.annotations import _annotations_starts_stops
from mne.io import BaseRaw
from mne.io.constants import FIFF
from mne.utils import _check_option, _validate_type, logger, verbose, warn

from ._checks import (
    check_content,
    check_type,
    find_segments,
    find_strays_of,
    pick_eeg,
    warn_of_strays,
)
from ._marks import (
    empty_broken,
    empty_filled,
    fill_missing,
    find_broken,
    find_hidden,
    hide_marked,
)
from .montage import find_derivations

# The public names. All others are for the rest of the package, and may change.
__all__ = ["SFREQ", "VOLTS_TO_MODEL", "check_units", "find_line_freq", "preprocess"]

SFREQ = 200.0  # the model's sampling rate in Hz
VOLTS_TO_MODEL = 1e4  # the network works in units of 0.1 mV

_EDGES = ("edge", "bad_acq_skip")  # annotations across which MNE does not filter
_FIR_SECONDS = 3.3  # the length of a Hamming window is 3.3 / (transition bandwidth in Hz)


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


def pick_good_eeg(inst):
    """Return the picks of all and of good EEG channels; raise an error for unsuitable data."""
    picks = pick_eeg(inst)
    good = mne.pick_types(inst.info, eeg=True, exclude="bads")
    if len(good) == 0:
        raise ValueError("Found no good EEG channels: all are marked as bad.")
    names = {inst.ch_names[k] for k in picks}
    waiting = [
        proj["desc"]
        for proj in inst.info["projs"]
        if not proj["active"]
        and proj["kind"] != FIFF.FIFFV_PROJ_ITEM_EEG_AVREF
        and names.intersection(proj["data"]["col_names"])
    ]
    if waiting:
        raise ValueError(
            f"Found projectors that are not applied: {', '.join(waiting)}. Apply them with "
            "inst.apply_proj(), or remove them with inst.del_proj()."
        )
    return picks, good


def check_samples(inst, good):
    """Raise an error if good samples of the channels are not in volts, or broken."""
    check_units(hide_marked(inst, good))
    data, ch_names = inst.get_data(picks=good), [inst.ch_names[k] for k in good]
    broken = find_broken(data).any(axis=-1).reshape(-1, data.shape[-2]).any(axis=0)
    if broken.any():
        names = [name for name, wrong in zip(ch_names, broken, strict=True) if wrong]
        raise ValueError(
            "Found NaN, infinite or impossible samples (above 1 kV) that are not marked as bad in "
            f"{', '.join(names)}. Filters would spread them. Mark them: the channel in "
            "info['bads'], the segment by an annotation that begins with BAD. mne_gram.restore can "
            "restore them then."
        )


def _check_band_edges(l_freq, h_freq, sfreq):
    """Refuse frequencies that are not positive, and band-stop filters."""
    for name, freq in (("l_freq", l_freq), ("h_freq", h_freq), ("sfreq", sfreq)):
        _validate_type(freq, "numeric" if name == "sfreq" else ("numeric", None), name)
        if freq is not None and not freq > 0:
            raise ValueError(f"{name} must be a positive frequency in Hz, got {freq}.")
    if None not in (l_freq, h_freq) and l_freq >= h_freq:
        raise ValueError(f"l_freq must be below h_freq, got {l_freq} and {h_freq}.")


def check_band(info, l_freq, h_freq):
    """Warn if the recording was filtered to a narrower band than the model expects."""
    found = []
    if l_freq is not None and info["highpass"] > l_freq + 1e-6:
        found.append(f"high-passed at {info['highpass']:g} Hz (expected {l_freq:g} Hz or below)")
    if h_freq is not None and info["lowpass"] < h_freq - 1e-6:
        found.append(f"low-passed at {info['lowpass']:g} Hz (expected {h_freq:g} Hz or above)")
    if found:
        warn(
            f"The data are {' and '.join(found)}. The model expects the full band; use the "
            "unfiltered recording if you have it."
        )


def _choose_line_freq(inst, line_freq, good):
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


def check_reference(inst, good):
    """Warn if the data were re-referenced, but not to the average of the good channels."""
    info = inst.info
    average = any(
        proj["kind"] == FIFF.FIFFV_PROJ_ITEM_EEG_AVREF and proj["active"] for proj in info["projs"]
    )
    if not average and not info["custom_ref_applied"]:
        return
    data = inst.get_data(picks=good)
    if np.abs(data.mean(axis=-2)).max() < 1e-6 * np.abs(data).max():
        return  # average reference already
    warn(
        "The data were re-referenced, but not to the average of the channels that are good now. "
        "This average is subtracted as well, which is correct if the old reference is a channel of "
        "the data or the mean of several channels. If the reference electrode was dropped, add it "
        "back with mne.add_reference_channels first; pass reference=None to keep the old reference."
    )


def average_reference(inst, others=()):
    """Subtract the mean of the good electrodes in place; derivations and others keep theirs."""
    names = [inst.ch_names[k] for k in mne.pick_types(inst.info, eeg=True, exclude=())]
    bipolar = np.array(names)[find_derivations(names)].tolist()
    bads, left = inst.info["bads"], [*bipolar, *others]
    kept = [name for name in names if name not in bads and name not in left]
    if len(kept) < 2:
        if not bipolar:
            raise ValueError(
                f"Found {len(kept)} good EEG channels, expected at least 2 for an average "
                "reference. Pass reference=None to keep the reference."
            )
        logger.info("The channels are bipolar derivations and keep their reference.")
        return
    # MNE excludes bad channels from the average and keeps them as they are.
    inst.info["bads"] = [*bads, *(name for name in left if name not in bads)]
    mne.set_eeg_reference(inst, "average", copy=False, projection=False, ch_type="eeg")
    inst.info["bads"] = bads


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
        filtered. The same applies, with a warning, to channels that are far too large to be EEG
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
    _check_band_edges(l_freq, h_freq, sfreq)
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
    filter_eeg(inst, picks, l_freq, h_freq, _choose_line_freq(inst, line_freq, good))
    if inst.info["sfreq"] != sfreq:
        with np.errstate(over="ignore", invalid="ignore"):  # other channels may hold anything
            inst.resample(sfreq)
    if reference == "average":
        check_reference(inst, good)
        average_reference(inst, [*hidden, *strays])
