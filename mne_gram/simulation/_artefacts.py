# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Artefacts of eyes, muscles, electrodes and the power line, for many windows at once.

Sizes are relative to the cortical background, as in ``_sources``.
"""

import torch

from ..montage import ELECTRODES
from ._signals import chance, lognormal, normal, normalise, uniform
from ._sources import LEVELS, Part, draw_bursts


def draw_eyes(head, n, grid, band, generator, blinks=None):
    """Draw blinks and eye movements; ``blinks`` is a rate per minute, or None for a random one."""
    shape, timed = (n, grid.n_seconds), grid.choose(generator)
    if blinks is None:
        rate = uniform((n, 1), 0.0, 0.6, generator) * chance((n, 1), 0.6, generator)
    else:
        rate = blinks / 60.0
    size = chance(shape, rate, timed) * lognormal(shape, 1.0, 0.3, timed)
    events = grid.scatter(size, generator)
    # Lids close faster than they open.
    x = grid.kernel_times(0.6) / uniform((n, 1), 0.06, 0.1, generator)
    blink = grid.convolve(events, x**2 * torch.exp(2 * (1 - x)), band[:, 0])
    gaze = _draw_gaze(n, grid, band, generator)
    signals = torch.stack([blink + 0.5 * gaze[:, 0], gaze[:, 1]], dim=1)
    signals = signals * lognormal((n, 1, 1), *LEVELS["blink"], generator)
    return Part(signals, head.eyes.T[None], events=events[:, None, : grid.n_times])


def _draw_gaze(n, grid, band, generator):
    """Draw eye positions, up and right: jumps that decay by a high-pass."""
    shape, timed = (n, 2, grid.n_seconds), grid.choose(generator)
    jump = normal(shape, 0.0, 1.0, timed) * chance(shape, 0.3, timed)
    size = lognormal((n, 1, 1), *LEVELS["gaze"], generator) * chance((n, 1, 1), 0.6, generator)
    times = grid.kernel_times(1.5)
    kernel = torch.exp(-times / 0.5) * (1 - torch.exp(-times / 0.02)) * (1 - times / 1.5)
    return grid.convolve(grid.scatter(jump * size, generator), kernel, band)


def draw_muscles(head, n, grid, band, generator):
    """Draw bursts of muscles over a tonic level."""
    shape = (n, len(head.muscles))
    level = lognormal((n, 1, 1), *LEVELS["muscle"], generator)
    level = level * lognormal((n, 1, shape[1]), *LEVELS["muscle each"], generator)
    rise = torch.sigmoid((grid.freqs - uniform((n, 1, 1), 15.0, 35.0, generator)) / 5.0)
    power = normalise(rise * (grid.freqs < 75.0), grid.share) * band
    envelope = draw_bursts(shape, grid, 0.25, 0.1, generator)
    envelope = envelope + lognormal((n, 1, 1), *LEVELS["tonic"], generator)
    signals = grid.shape_noise(power.expand(*shape, -1), generator) * envelope
    return Part(signals, head.muscles.T[None] * level)


def draw_noise(head, channels, grid, band, generator):
    """Draw white noise and drifts of electrodes; derivations share those of their electrodes."""
    n, count = channels.shape
    paired = bool((channels >= len(ELECTRODES)).any())
    if paired:
        count = head.n_places
    exponent = uniform((n, 1, 1), 1.0, 2.2, generator)
    white = normalise(band, grid.share)
    pink = normalise(grid.freqs**-exponent * band, grid.share)
    level = lognormal((n, 1, 1), *LEVELS["white"], generator)
    level = level * lognormal((n, count, 1), *LEVELS["white electrode"], generator)
    drift = lognormal((n, 1, 1), *LEVELS["drift"], generator)
    drift = drift * lognormal((n, count, 1), *LEVELS["drift electrode"], generator)
    signals = grid.shape_noise(level**2 * white + drift**2 * pink, generator)
    return Part(head.take(signals, channels) if paired else signals)


def draw_line(head, n, grid, generator, freq, level):
    """Draw line noise: one wave, with a strength of its own at each electrode."""
    times = torch.arange(grid.n_times, dtype=torch.float64) / grid.sfreq
    phase = uniform((n, 1, 1), 0.0, 2 * torch.pi, generator)
    signals = 2**0.5 * torch.sin((2 * torch.pi * freq * times + phase).float())
    return Part(signals, normal((n, head.n_places, 1), 0.0, level, generator))


def draw_pops(head, channels, grid, generator, rate):
    """Draw jumps of single electrodes that decay in half a second, ``rate`` per minute each."""
    shape, timed = (len(channels), head.n_places, grid.n_seconds), grid.choose(generator)
    size = chance(shape, rate / 60.0, timed) * normal(shape, 0.0, 8.0, timed)
    times = grid.kernel_times(1.5)
    events = grid.scatter(size, generator)
    signals = grid.convolve(events, torch.exp(-times / 0.5) * (1 - times / 1.5))
    events = head.take(events[..., : grid.n_times], channels)
    return Part(head.take(signals, channels), events=events)
