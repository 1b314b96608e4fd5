# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The methods of restoration besides the conditional Gaussian: splines and the network."""

import mne
import numpy as np
from mne.filter import resample
from mne.utils import warn

from .._recording import cut_windows, overlap_add, window_starts
from ..preprocessing import SFREQ, VOLTS_TO_MODEL
from ._gaussian import Segment, find_runs, find_segments

_PATCH = 200
_TOKENS = 256  # channels x patches of a window, as in training
_MAX_PATCHES = 16
_H_FREQ = 75.0  # where the network's band ends


def repair_spline(data, mask, pieces, info):
    """Estimate bad samples by MNE's spherical splines, from the channels that are good then.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts; bad samples are overwritten.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    info : mne.Info
        The channels, with positions.

    Returns
    -------
    segments : list of Segment
        The estimates, their standard deviation unknown (NaN).
    """
    weights = {}
    for a, b, _ in find_runs(mask, pieces):
        bad = np.flatnonzero(mask[:, a])
        good = np.flatnonzero(~mask[:, a])
        if len(good) < 4:
            continue
        key = bad.tobytes()
        if key not in weights:
            weights[key] = _spline_weights(info, good, bad)
        data[bad, a:b] = weights[key] @ data[good, a:b]
    enough = (~mask).sum(axis=0) >= 4
    return [
        Segment(channel, a, b, data[channel, a:b].copy(), np.full(b - a, np.nan))
        for channel, a, b, _ in find_segments(mask & enough, pieces)
    ]


def check_positions(info):
    """Raise a ValueError if channels lack the positions that a spline needs."""
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    lacking = ~np.isfinite(places).all(axis=1) | ~places.any(axis=1)
    if lacking.any():
        names = ", ".join(n for n, no in zip(info["ch_names"], lacking, strict=True) if no)
        raise ValueError(
            f"A spline needs positions, which {names} have not: set them with inst.set_montage, "
            "leave the channels out with picks, or use method='spatial'."
        )


def _spline_weights(info, good, bad):
    """Read the interpolation matrix off MNE by interpolating unit vectors."""
    info = info.copy()
    info["bads"] = [info["ch_names"][k] for k in bad]
    impulses = np.zeros((len(info["ch_names"]), len(good)))
    impulses[good, np.arange(len(good))] = 1.0
    evoked = mne.EvokedArray(impulses, info, verbose="error")
    with mne.utils.use_log_level("error"):
        evoked.interpolate_bads(reset_bads=False, mode="accurate")
    return evoked.data[bad]


def repair_gram(
    data, mask, pieces, sfreq, cmap, segments, model, *, line_freq, scale="estimate", **kwargs
):
    """Let the network name the bad patches, and decode them.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts with a first estimate at the bad samples.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    sfreq : float
        Sampling rate in Hz.
    cmap : ChannelMap
        Which entries the channels take.
    segments : list of Segment
        The first estimate. Values of channels with an entry are changed in place.
    model : GramModel
        The two networks.
    line_freq : float | None
        Notched before the network looks.
    scale : ``"estimate"`` | ``"network"`` | None
        What gives decoded patches gain and offset: the first estimate, the network itself, or
        nothing.
    **kwargs
        Passed on to :func:`mne_gram.models._inference.predict_windows`.

    Notes
    -----
    The network works on 0.1 to 75 Hz at 200 Hz. What it changes in that band is added to the first
    estimate, which stays alone above and below. The published network gives the shape only: with
    ``scale="estimate"``, gain and offset of each decoded patch are those that bring it closest to
    the first estimate.
    """
    rows = np.flatnonzero(cmap.indices >= 0)
    channels = cmap.indices[rows]
    changes, too_short = {}, 0
    for piece in pieces:
        start, stop = piece
        if not mask[rows, start:stop].any():
            continue
        wanted = mask[rows, start:stop]
        signal = to_network(data[rows, start:stop], sfreq, line_freq)
        if signal.shape[1] < _PATCH:
            too_short += 1
            continue
        bad = resample_mask(wanted, signal.shape[1])
        change = limit_band(_predict_change(signal, bad, channels, model, scale, **kwargs))
        change = resample(change, up=sfreq, down=SFREQ, axis=1, npad="auto")
        change = fit_length(change, stop - start) / VOLTS_TO_MODEL
        for row, channel in enumerate(rows):
            changes[int(channel), start] = change[row]
    if too_short:
        warn(
            f"{too_short} stretches of continuous time are shorter than the network's patch of one "
            "second: there the estimate is that of method='spatial'."
        )
    starts = np.array([start for start, _ in pieces])
    for segment in segments:
        first = int(np.searchsorted(starts, segment.start, "right")) - 1
        last = int(np.searchsorted(starts, segment.stop, "left"))
        for start, stop in pieces[first:last]:
            change = changes.get((segment.channel, start))
            if change is None:
                continue
            a, b = max(start, segment.start), min(stop, segment.stop)
            segment.values[a - segment.start : b - segment.start] += change[a - start : b - start]


def to_network(data, sfreq, line_freq):
    """Bring filled signals into the network's band, rate and unit."""
    signal = data - data.mean(axis=0)
    length = signal.shape[1] / sfreq
    signal = signal - signal.mean(axis=1, keepdims=True)
    with mne.utils.use_log_level("error"):
        if length > 40:  # a high-pass at 0.1 Hz takes 33 s
            signal = mne.filter.filter_data(signal, sfreq, 0.1, None)
        if line_freq and line_freq < _H_FREQ and line_freq < sfreq / 2 - 1 and length > 4:
            signal = mne.filter.notch_filter(signal, sfreq, [line_freq], trans_bandwidth=2.0)
        if sfreq > 170 and length > 0.5:
            signal = mne.filter.filter_data(signal, sfreq, None, _H_FREQ)
    if sfreq != SFREQ:
        signal = resample(signal, up=SFREQ, down=sfreq, axis=1, npad="auto")
    return signal * VOLTS_TO_MODEL


def limit_band(change):
    """Take off what lies above the network's 75 Hz, rolling off over the last 5 Hz."""
    spectrum = np.fft.rfft(change, axis=1)
    freqs = np.fft.rfftfreq(change.shape[1], 1 / SFREQ)
    spectrum *= np.cos(np.pi / 2 * np.clip((freqs - _H_FREQ + 5) / 5, 0, 1)) ** 2
    return np.fft.irfft(spectrum, change.shape[1], axis=1)


def fit_length(signal, n_times):
    """Cut or continue a resampled signal by the sample that rounding took or gave."""
    missing = n_times - signal.shape[1]
    return np.pad(signal, ((0, 0), (0, missing)), "edge") if missing > 0 else signal[:, :n_times]


def resample_mask(mask, n_times):
    """Mark the resampled samples that any bad sample has a part in."""
    edges = np.linspace(0, mask.shape[1], n_times + 1)
    first = np.floor(edges[:-1]).astype(int)
    last = np.maximum(np.ceil(edges[1:]).astype(int), first + 1)
    counts = np.pad(np.cumsum(mask, axis=1, dtype=np.int64), ((0, 0), (1, 0)))
    return counts[:, last] > counts[:, first]


def _predict_change(signal, bad, channels, model, scale, predict=None, **kwargs):
    """Return what the network would change at bad patches, cross-faded over half patches."""
    if predict is None:
        from ..models import predict_windows as predict

        kwargs["scale"] = "network" if scale == "network" else None
    n_channels, n_times = signal.shape
    n_patches = int(np.clip(_TOKENS // n_channels, 1, min(_MAX_PATCHES, n_times // _PATCH)))
    length, half = n_patches * _PATCH, _PATCH // 2
    starts = window_starts(n_times, length, length)
    if n_times >= length + half:
        starts = np.r_[starts, half + window_starts(n_times - half, length, length)]
    windows = cut_windows(signal, starts, length)
    hidden = cut_windows(bad, starts, length)
    hidden = hidden.reshape(len(starts), n_channels, n_patches, _PATCH).any(axis=-1)
    use = np.flatnonzero(hidden.any(axis=(1, 2)) & ~hidden.all(axis=(1, 2)))
    change = np.zeros_like(windows)
    if len(use):
        shapes = predict(model, windows[use].astype(np.float32), channels, hidden[use], **kwargs)
        shapes = shapes.astype(float)
        patches = windows[use].reshape(shapes.shape)
        found = (_put_back_gain(shapes, patches) if scale == "estimate" else shapes) - patches
        found[~hidden[use]] = 0.0
        change[use] = found.reshape(len(use), n_channels, length)
    fade = np.sin(np.pi * (np.arange(_PATCH) + 0.5) / _PATCH) ** 2
    return overlap_add(change, starts, n_times, np.tile(fade, n_patches))


def _put_back_gain(shapes, target):
    """Give decoded patches the gain and offset that bring them closest to an estimate."""
    shapes = shapes - shapes.mean(axis=-1, keepdims=True)
    offset = target.mean(axis=-1, keepdims=True)
    energy = (shapes**2).sum(axis=-1, keepdims=True)
    gain = (shapes * (target - offset)).sum(axis=-1, keepdims=True) / np.maximum(energy, 1e-12)
    # A class that points the other way is wrong, not to be turned over.
    return gain.clip(0) * shapes + offset
