# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Signals of the brain and the amplifier, for many windows at once.

Sizes are relative to the cortical background, whose mean variance over the head is 1.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..montage import CH_NAMES, ELECTRODES
from ._lead_field import compute_lead_field
from ._signals import chance, lognormal, normal, normalise, peaks, power_law, uniform, wander

N_SOURCES = 40  # patches of cortex in the background

# Medians and spreads (standard deviation of the logarithm) over windows, fitted to recordings of
# four laboratories; doc/simulation.rst has the comparison.
LEVELS = {
    "exponent": (1.45, 2.0),  # of the background's spectrum, uniform
    "knee": (1.0, 0.8),  # Hz
    "source": (0.2, 0.6),  # spread of sources' sizes in a window, uniform
    "extent": (0.9, 1.7, 1.8, 0.9),  # weights of the extents of patches
    "white": (0.2, 0.7),
    "white electrode": (1.0, 0.7),  # within a window
    "drift": (0.3, 0.8),
    "drift electrode": (1.0, 0.4),  # within a window
    "blink": (8.0, 0.5),
    "gaze": (0.3, 0.6),  # relative to blinks, as both are the potential of the eyeball
    "muscle": (0.3, 0.5),
    "muscle each": (1.0, 0.3),  # within a window
    "tonic": (0.2, 0.8),  # of muscles, relative to their bursts
}


@dataclass(frozen=True)
class Rhythm:
    """The origin, size and frequency of a rhythm."""

    near: tuple  # electrodes
    count: int  # patches of cortex
    freqs: tuple  # of the peak, in Hz, drawn between these
    level: float  # median
    spread: float  # of the level over windows, standard deviation of the logarithm
    width: tuple = (0.04, 0.12)  # standard deviation of the peak, relative to its frequency
    burst: float = 0.0  # standard deviation in seconds; 0: it waxes and wanes
    harmonic: float = 0.0  # largest power at twice the frequency
    asleep: bool = False  # in sleep only


RHYTHMS = {
    "alpha": Rhythm(("O1", "OZ", "O2", "POZ", "PO7", "PO8"), 4, (8.0, 12.0), 0.23, 0.95),
    "mu": Rhythm(("C3", "C4"), 2, (9.0, 12.5), 0.23, 0.9, harmonic=0.5),
    "theta": Rhythm(("FZ", "FCZ", "CZ"), 1, (4.0, 7.5), 0.2, 1.0),
    "beta": Rhythm(
        ("C3", "C4", "FZ", "F3", "F4"), 3, (14.0, 28.0), 0.4, 0.9, width=(0.1, 0.25), burst=0.15
    ),
    "spindle": Rhythm(("CZ", "FZ", "CPZ"), 1, (11.0, 15.0), 0.7, 0.4, burst=0.4, asleep=True),
    "slow wave": Rhythm(("FZ", "FCZ", "F3", "F4"), 2, (0.6, 1.4), 1.2, 0.5, asleep=True),
}
OF_SLEEP = tuple(kind for kind, rhythm in RHYTHMS.items() if rhythm.asleep)
_ASLEEP = 0.06  # of windows
_NEAR = 0.25  # standard deviation, in radians, of a rhythm's places


@dataclass(frozen=True, eq=False)
class Part:
    """Signals of one kind."""

    signals: (
        torch.Tensor
    )  #: of sources, or of channels without maps, (n_windows, n_sources, n_times)
    maps: torch.Tensor | None = None  #: at the places, (n_windows or 1, n_places, n_sources)
    events: torch.Tensor | None = None  #: not 0 at onsets, (n_windows, 1 or n_channels, n_times)
    #: Of brain sources: indices and extents (n_windows, n_sources), and orientations in the frames
    #: of the lead field (n_windows, n_sources, 3).
    patches: tuple | None = None


class Head:
    """The lead field."""

    def __init__(self):
        lead = compute_lead_field()
        self.lead = lead
        self.index = torch.as_tensor(lead.index)
        self.patches = torch.as_tensor(lead.patches)
        self.eyes = torch.as_tensor(lead.eyes)
        self.muscles = torch.as_tensor(lead.muscles)
        self.n_places = self.patches.shape[-1]
        self.near = {}
        for kind, rhythm in RHYTHMS.items():
            ends = lead.directions[[lead.index[CH_NAMES.index(e), 0] for e in rhythm.near]]
            angle = np.arccos(np.clip(lead.frames[:, 0] @ ends.T, -1, 1)).min(axis=1)
            near = np.exp(-0.5 * (angle / _NEAR) ** 2).astype(np.float32)
            self.near[kind] = torch.as_tensor(near)

    def take(self, values, channels):
        """Take values (n_windows, n_places, n) to channels (n_windows, n_channels, n).

        ``channels`` are montage indices; derivations are differences of their electrodes.
        """
        ends = self.index[channels]
        last = values.shape[-1]
        first = values.gather(1, ends[..., :1].expand(-1, -1, last))
        pairs = channels >= len(ELECTRODES)
        if pairs.any():
            other = values.gather(1, ends[..., 1:].clamp(min=0).expand(-1, -1, last))
            first = first - other * pairs[..., None]
        return first


def subtract_average(x, channels):
    """Subtract the mean of the electrodes from them; ``x`` is (n_windows, n_channels, n).

    Derivations and single electrodes remain unchanged.
    """
    unipolar = (channels < len(ELECTRODES))[..., None].to(x.dtype)
    count = unipolar.sum(dim=1, keepdim=True)
    mean = (x * unipolar).sum(dim=1, keepdim=True) / count.clamp(min=1)
    return x - mean * unipolar * (count > 1)


def pass_band(grid, low, high):
    """Return the power (..., n_freqs) that passes between two frequencies in Hz."""
    return torch.sigmoid(high - grid.freqs) / (1 + (low / grid.freqs) ** 4)


# ---------------------------------------------------------------------------------------------
# Brain


def _draw_maps(head, shape, generator, near=None):
    """Draw patches of cortex: maps, and their indices, extents and orientations."""
    near = torch.ones(len(head.patches)) if near is None else near
    extents = torch.tensor(LEVELS["extent"])
    which, extent = (
        torch.multinomial(
            weights.expand(shape[0], -1), shape[1], replacement=True, generator=generator
        )
        for weights in (near, extents)
    )
    facing = torch.nn.functional.normalize(normal((*shape, 3), 0.0, 1.0, generator), dim=-1)
    maps = torch.einsum("bsk,bskp->bps", facing, head.patches[which, extent])
    return maps, (which, extent, facing)


def draw_background(head, n, n_sources, grid, band, generator):
    """Draw patches of cortex whose spectra fall with frequency."""
    shape = (n, n_sources)
    maps, patches = _draw_maps(head, shape, generator)
    spread = uniform((n, 1, 1), *LEVELS["source"], generator)
    maps = maps * torch.exp(spread * normal((n, 1, n_sources), 0.0, 1.0, generator))
    maps = maps / maps.square().sum(dim=-1).mean(dim=-1)[:, None, None].sqrt()
    exponent = uniform((n, 1), *LEVELS["exponent"], generator)
    exponent = exponent + normal(shape, 0.0, 0.25, generator)
    knee = lognormal((n, 1), *LEVELS["knee"], generator)
    power = normalise(power_law(grid, exponent, knee) * band, grid.share)
    return Part(grid.shape_noise(power, generator), maps, patches=patches)


def draw_rhythm(head, kind, n, grid, band, asleep, generator):
    """Draw one of the rhythms."""
    rhythm = RHYTHMS[kind]
    shape = (n, rhythm.count)
    maps, patches = _draw_maps(head, shape, generator, head.near[kind])
    level = lognormal((n, 1, 1), rhythm.level / rhythm.count**0.5, rhythm.spread, generator)
    level = level * lognormal((n, 1, rhythm.count), 1.0, 0.4, generator)
    if rhythm.asleep:
        level = level * asleep
    centre = uniform((n, 1), *rhythm.freqs, generator)
    width = uniform((n, 1), *rhythm.width, generator) * centre
    centre = centre * lognormal(shape, 1.0, 0.03, generator)
    harmonic = uniform(shape, 0.0, rhythm.harmonic, generator) if rhythm.harmonic else None
    power = peaks(grid, centre, width.expand(shape), harmonic) * band
    signals = grid.shape_noise(power, generator)
    if rhythm.burst:
        signals = signals * draw_bursts(shape, grid, rhythm.burst, 0.4, generator)
    else:
        signals = signals * wander(shape, grid, 0.5, generator)
    return Part(signals, maps * level, patches=patches)


def draw_brain(head, n, n_sources, grid, band, generator, asleep=None):
    """Draw the background and each rhythm, as a dict of Part.

    ``asleep`` is whether there are spindles and slow waves; None for a random choice by window.
    """
    asleep = chance((n, 1, 1), _ASLEEP if asleep is None else float(asleep), generator)
    parts = {"background": draw_background(head, n, n_sources, grid, band, generator)}
    for kind in RHYTHMS:
        parts[kind] = draw_rhythm(head, kind, n, grid, band, asleep, generator)
    return parts


def draw_bursts(shape, grid, duration, rate, generator):
    """Draw envelopes of bursts: ``duration`` (standard deviation) in s, ``rate`` per s."""
    shape, generator = (*shape, grid.n_seconds), grid.choose(generator)
    size = chance(shape, rate, generator) * lognormal(shape, 1.0, 0.4, generator)
    times = grid.kernel_times(6 * duration)
    kernel = torch.exp(-0.5 * ((times - 3 * duration) / duration) ** 2)
    return grid.convolve(grid.scatter(size, generator), kernel)
