# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The network that corrects spatial estimates, on signals of any length and rate."""

import numpy as np
from mne.filter import resample

from .._recording import cut_windows, overlap_add, window_starts
from ..models import correct_windows
from ..preprocessing import SFREQ, VOLTS_TO_MODEL
from ._gaussian import Segment
from ._gram import fit_length, limit_band, resample_mask, to_network

_PATCH = 200
_TOKENS = 512  # channels x patches of a window, as in training
_MAX_PATCHES = 16


def repair_residual(
    data, mask, pieces, segments, first=0, *, sfreq, cmap, model, line_freq, **kwargs
):
    """Let the network correct estimates.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts with the estimate at bad samples; not changed.
    mask : array of bool, shape (n_channels, n_times)
        True where bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    segments : list of Segment
        The estimate, with its standard deviation.
    first : int
        Number of the first sample in the recording, which plays no role.
    sfreq : float
        Sampling rate in Hz.
    cmap : ChannelMap
        Which entries the channels take.
    model : GramModel
        A model with the network.
    line_freq : float | None
        Notched before the network looks.
    **kwargs
        Passed on to :func:`mne_gram.models._inference.correct_windows`.

    Returns
    -------
    corrected : list of Segment
        Those of channels that the network knows, with corrected values. What the network changes
        in its band of 0.1 to 75 Hz is added; above and below the estimate stays alone.
    """
    rows = np.flatnonzero(cmap.indices >= 0)
    spread = np.zeros(data.shape, np.float32)
    for segment in segments:
        spread[segment.channel, segment.start : segment.stop] = segment.std
    spread = np.nan_to_num(spread)
    change = np.zeros((len(rows), data.shape[1]))
    for start, stop in pieces:
        part = slice(start, stop)
        if not mask[rows, part].any():
            continue
        found = _correct_piece(
            data[rows, part], mask[rows, part], spread[rows, part],
            sfreq, cmap.indices[rows], model, line_freq, kwargs,
        )  # fmt: skip
        if found is not None:
            change[:, part] = found
    place = {int(channel): row for row, channel in enumerate(rows)}
    return [
        Segment(
            s.channel,
            s.start,
            s.stop,
            s.values + change[place[s.channel], s.start : s.stop],
            s.std,
            s.invented,
        )
        for s in segments
        if s.channel in place and not s.invented
    ]


def _correct_piece(data, mask, spread, sfreq, channels, model, line_freq, options):
    """Return the correction of one stretch of continuous time in volts; None if it is too short."""
    signal = to_network(data, sfreq, line_freq)
    n_times = signal.shape[1]
    if n_times < _PATCH:
        return None
    bad = resample_mask(mask, n_times)
    # Relative to what was measured, as in training.
    good = ~bad
    mean = np.where(good, signal, 0.0).sum(axis=0) / np.maximum(good.sum(axis=0), 1)
    signal = signal - mean
    nearest = np.arange(n_times) * mask.shape[1] // n_times
    spread = spread[:, nearest] * bad * VOLTS_TO_MODEL
    n_channels = len(signal)
    n_patches = int(np.clip(_TOKENS // n_channels, 1, min(_MAX_PATCHES, n_times // _PATCH)))
    length, half = n_patches * _PATCH, _PATCH // 2
    starts = window_starts(n_times, length, length)
    if n_times >= length + half:
        starts = np.r_[starts, half + window_starts(n_times - half, length, length)]
    cut = [cut_windows(array, starts, length) for array in (signal, bad, spread**2)]
    shape = (len(starts), n_channels, n_patches, _PATCH)
    windows, hidden = cut[0], cut[1].reshape(shape)
    count = hidden.sum(axis=-1)
    size = np.sqrt(cut[2].reshape(shape).sum(axis=-1) / np.maximum(count, 1))
    use = np.flatnonzero((count > 0).any(axis=(1, 2)))
    change = np.zeros_like(windows)
    if len(use):
        found = correct_windows(
            model, windows[use].astype(np.float32), channels, count[use] > 0,
            size[use].astype(np.float32), **options,
        )  # fmt: skip
        found = np.where((count[use] > 0)[..., None], found, 0.0)
        change[use] = found.reshape(len(use), n_channels, length)
    fade = np.sin(np.pi * (np.arange(_PATCH) + 0.5) / _PATCH) ** 2
    change = limit_band(overlap_add(change, starts, n_times, np.tile(fade, n_patches)))
    change = resample(change, up=sfreq, down=SFREQ, axis=1, npad="auto")
    return fit_length(change, mask.shape[1]) / VOLTS_TO_MODEL
