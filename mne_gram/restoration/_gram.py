# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The method "gram": the network predicts the classes of bad patches, which are decoded.

The network works on 0.1 to 75 Hz at 200 Hz. What it changes in that band is added to the spatial
estimate, which stays alone above and below.
"""

from dataclasses import dataclass, field

import mne
import numpy as np
from mne.filter import resample
from mne.utils import logger, warn

from ..montage import ChannelMap, match_channels
from ..preprocessing import SFREQ, VOLTS_TO_MODEL, find_line_freq
from ._fit import Plan, fit_spatial, measure_statistics
from ._gaussian import estimate_spatial, finish

_PATCH = 200
_TOKENS = 256  # channels x patches of a window, as in training
_MAX_PATCHES = 16
_H_FREQ = 75.0  # where the network's band ends


@dataclass(frozen=True, eq=False)
class GramPlan(Plan):
    """The spatial estimate, and what the network needs.

    ``cmap`` are the entries of the channels, ``line_freq`` is the power line's frequency in Hz or
    None, and ``options`` go to `predict_windows`.
    """

    model: object = None
    cmap: ChannelMap | None = None
    line_freq: float | None = None
    options: dict = field(default_factory=dict)


def fit(recording, settings):
    """Learn the covariance of a recording, and load the network."""
    statistics = measure_statistics(recording, settings.prior)
    spatial = fit_spatial(recording, statistics, settings)
    return GramPlan(
        spatial,
        model=_load_network(settings.model),
        cmap=match_channels(recording.info, on_missing="ignore", verbose="error"),
        line_freq=_choose_line_freq(recording, settings.line_freq),
        options=dict(device=settings.device, batch_size=settings.batch_size),
    )


def estimate(block, plan):
    """Estimate the bad samples of a block, which are overwritten."""
    estimates = estimate_spatial(block, plan.spatial)
    add_network(block, estimates, plan)
    finish(block, estimates, plan.spatial)
    return estimates


def _choose_line_freq(recording, line_freq):
    """Return the frequency of the power line, if need be by its peak in the good data."""
    info, samples = recording.info, recording.samples
    line_freq = info["line_freq"] if line_freq is None else line_freq
    if line_freq is not None:
        return line_freq
    sfreq, n_times = info["sfreq"], samples.n_times
    length = min(int(2 * sfreq), n_times)
    starts = np.arange(0, n_times - length + 1, max(length // 2, 1))
    starts = starts[:: max(1, len(starts) // 60)]  # a minute or two
    windows = np.stack([samples.read(a, a + length) for a in starts])
    for window, a in zip(windows, starts, strict=True):
        window[recording.bad.paint(a, a + length)] = np.nan
    line_freq = find_line_freq(windows, sfreq)
    if line_freq is not None:
        logger.info("Found the power line at %g Hz; set line_freq to choose another.", line_freq)
    return line_freq


def _load_network(model):
    """Return a network that was named."""
    from ..models import GramModel, load_model

    return model if isinstance(model, GramModel) else load_model(model)


def add_network(block, estimates, plan, *, scale="estimate", predict=None, **kwargs):
    """Add the shape that the network predicts to the estimates of channels with an entry, in place.

    Gain and offset come from the spatial estimate, from the network ("network"), or from neither.
    """
    sfreq, rows = block.sfreq, np.flatnonzero(plan.cmap.indices >= 0)
    predict_change = dict(scale=scale, predict=predict, **plan.options, **kwargs)
    changes, too_short = {}, 0
    for start, stop in block.segments:
        mask = block.mask[rows, start:stop]
        if not mask.any():
            continue
        signal = _to_network(block.data[rows, start:stop], sfreq, plan.line_freq)
        if signal.shape[1] < _PATCH:
            too_short += 1
            continue
        bad = _resample_mask(mask, signal.shape[1])
        change = _predict_change(signal, bad, plan.cmap.indices[rows], plan.model, **predict_change)
        change = resample(_limit_band(change), up=sfreq, down=SFREQ, axis=1, npad="auto")
        change = _fit_length(change, stop - start) / VOLTS_TO_MODEL
        for row, channel in enumerate(rows):
            changes[int(channel), start] = change[row]
    if too_short:
        warn(
            f"{too_short} segments without a discontinuity are shorter than one second, the length "
            "of a patch of the network: they are restored as with method='spatial'."
        )
    starts = np.array([start for start, _ in block.segments])
    for estimate in estimates:
        first = int(np.searchsorted(starts, estimate.start, "right")) - 1
        last = int(np.searchsorted(starts, estimate.stop, "left"))
        for start, stop in block.segments[first:last]:
            change = changes.get((estimate.channel, start))
            if change is None:
                continue
            a, b = max(start, estimate.start), min(stop, estimate.stop)
            inside = slice(a - estimate.start, b - estimate.start)
            estimate.values[inside] += change[a - start : b - start]


def _to_network(data, sfreq, line_freq):
    """Bring signals without gaps into the network's band, rate and unit."""
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


def _limit_band(change):
    """Remove what lies above the network's 75 Hz, rolling off over the last 5 Hz."""
    spectrum = np.fft.rfft(change, axis=1)
    freqs = np.fft.rfftfreq(change.shape[1], 1 / SFREQ)
    spectrum *= np.cos(np.pi / 2 * np.clip((freqs - _H_FREQ + 5) / 5, 0, 1)) ** 2
    return np.fft.irfft(spectrum, change.shape[1], axis=1)


def _fit_length(signal, n_times):
    """Cut or continue a resampled signal by the sample that rounding added or removed."""
    missing = n_times - signal.shape[1]
    return np.pad(signal, ((0, 0), (0, missing)), "edge") if missing > 0 else signal[:, :n_times]


def _resample_mask(mask, n_times):
    """Mark the resampled samples that any bad sample contributes to."""
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
    starts = list_starts(n_times, length)
    if n_times >= length + half:
        starts = np.r_[starts, half + list_starts(n_times - half, length)]
    windows, hidden = (np.stack([x[..., a : a + length] for a in starts]) for x in (signal, bad))
    hidden = hidden.reshape(len(starts), n_channels, n_patches, _PATCH).any(axis=-1)
    use = np.flatnonzero(hidden.any(axis=(1, 2)) & ~hidden.all(axis=(1, 2)))
    change = np.zeros_like(windows)
    if len(use):
        shapes = predict(model, windows[use].astype(np.float32), channels, hidden[use], **kwargs)
        shapes = shapes.astype(float)
        patches = windows[use].reshape(shapes.shape)
        found = (_add_gain(shapes, patches) if scale == "estimate" else shapes) - patches
        found[~hidden[use]] = 0.0
        change[use] = found.reshape(len(use), n_channels, length)
    fade = np.sin(np.pi * (np.arange(_PATCH) + 0.5) / _PATCH) ** 2
    return cross_fade(change, starts, n_times, np.tile(fade, n_patches))


def list_starts(n_times, length):
    """Return where windows start so that together they cover every sample; the last may overlap."""
    last = n_times - length
    starts = np.arange(0, last + 1, length)
    return starts if starts[-1] == last else np.append(starts, last)


def cross_fade(windows, starts, n_times, fade):
    """Average windows ``(n_windows, ..., length)`` where they start, by weights (length,)."""
    total = np.zeros((*windows.shape[1:-1], n_times))
    weight = np.zeros(n_times)
    for window, start in zip(windows, starts, strict=True):
        total[..., start : start + len(fade)] += window * fade
        weight[start : start + len(fade)] += fade
    return total / weight


def _add_gain(shapes, target):
    """Give decoded patches the gain and offset that bring them closest to an estimate."""
    shapes = shapes - shapes.mean(axis=-1, keepdims=True)
    offset = target.mean(axis=-1, keepdims=True)
    energy = (shapes**2).sum(axis=-1, keepdims=True)
    gain = (shapes * (target - offset)).sum(axis=-1, keepdims=True) / np.maximum(energy, 1e-12)
    # A class that points the other way is wrong, and must not be inverted.
    return gain.clip(0) * shapes + offset
