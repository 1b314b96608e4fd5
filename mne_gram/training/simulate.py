# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Simulated EEG: random sources in a spherical head, for training, tests and tutorials."""

from dataclasses import dataclass

import numpy as np
import torch

from ..montage import CH_NAMES, ELECTRODES
from ._lead_field import compute_lead_field
from ._signals import (
    Grid,
    chance,
    lognormal,
    normal,
    normalise,
    peaks,
    power_law,
    uniform,
    wander,
)

SFREQ = 200.0
N_SOURCES = 40

# Rhythms: where (any of these electrodes), peak frequency in Hz (low, high), and the median
# amplitude relative to the background of the whole head.
_RHYTHMS = {
    "alpha": (("O1", "OZ", "O2", "POZ", "PO7", "PO8"), 4, (8.0, 12.0), 0.30),
    "mu": (("C3", "C4"), 2, (9.0, 12.5), 0.16),
    "theta": (("FZ", "FCZ", "CZ"), 1, (4.0, 7.5), 0.15),
    "beta": (("C3", "C4", "CZ", "FZ", "F3", "F4"), 3, (14.0, 28.0), 0.12),
    "spindle": (("CZ", "FZ", "CPZ"), 1, (11.0, 15.0), 0.35),
}


@dataclass(frozen=True, eq=False)
class _Part:
    """Signals of one kind: ``maps @ signals``, or the signals themselves at the electrodes."""

    signals: torch.Tensor
    maps: torch.Tensor | None = None

    def mix(self):
        return self.signals if self.maps is None else self.maps @ self.signals


class Simulator:
    """Draw windows of simulated EEG.

    Parameters
    ----------
    device : str | torch.device
        Where to draw.
    n_sources : int
        Number of patches of cortex that are active in a window, rhythms apart.
    seed : int
        Seed of :meth:`draw` where it gets no generator.

    Attributes
    ----------
    device : torch.device
        Where windows are drawn.

    Notes
    -----
    Each window is another person: sources, spectra, noise and amplitude are drawn anew.
    """

    def __init__(self, *, device="cpu", n_sources=N_SOURCES, seed=0):
        self.device = torch.device(device)
        self.n_sources = n_sources
        self._generator = torch.Generator(self.device).manual_seed(seed)
        lead = compute_lead_field()
        put = lambda array: torch.as_tensor(np.asarray(array), device=self.device)  # noqa: E731
        self._index = put(lead.index)
        self._patches = put(lead.patches)
        self._eyes, self._muscles = put(lead.eyes), put(lead.muscles)
        units = lead.frames[:, 0]
        self._near = {}
        for kind, (names, *_) in _RHYTHMS.items():
            ends = lead.directions[[lead.index[CH_NAMES.index(name), 0] for name in names]]
            angle = np.arccos(np.clip(units @ ends.T, -1, 1)).min(axis=1)
            self._near[kind] = put(np.exp(-0.5 * (angle / 0.25) ** 2).astype(np.float32))

    @property
    def n_places(self):
        """Number of distinct electrodes."""
        return self._patches.shape[-1]

    def draw(self, channels, n_patches, generator=None):
        """Draw windows.

        Parameters
        ----------
        channels : torch.Tensor of int, shape (n_windows, n_channels)
            The entries of the montage, distinct in each window.
        n_patches : int
            Length in seconds.
        generator : torch.Generator | None
            The source of randomness; None takes the simulator's own.

        Returns
        -------
        x : torch.Tensor, shape (n_windows, n_channels, n_patches * 200)
            In 0.1 mV at 200 Hz, referenced to the average of the electrodes given. Bipolar
            derivations are differences, and a window with one electrode keeps the reference of
            the forward model.
        """
        generator = self._own_generator(generator)
        channels = torch.as_tensor(channels, device=self.device)
        grid = Grid(n_patches * round(SFREQ), SFREQ, self.device)
        parts = self.draw_parts(channels, grid, generator)
        mapped = [part for part in parts.values() if part.maps is not None]
        x = torch.cat([p.maps for p in mapped], -1) @ torch.cat([p.signals for p in mapped], 1)
        for part in parts.values():
            if part.maps is None:
                x += part.signals
        return reference(x, channels)

    def _own_generator(self, generator):
        if generator is None:
            return self._generator
        if generator.device.type == self.device.type:
            return generator
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return torch.Generator(self.device).manual_seed(int(seed))

    # -----------------------------------------------------------------------------------------

    def draw_parts(self, channels, grid, generator):
        """Draw what a window is made of, one part a kind."""
        n = len(channels)
        band = self._draw_band(n, grid, generator)
        size = lognormal((n, 1, 1), 0.14, 0.5, generator)
        parts = {"background": self._background(n, grid, band, generator)}
        for kind in _RHYTHMS:
            parts[kind] = self._rhythm(kind, n, grid, band, generator)
        # Amplitudes are those of the background over the whole head.
        maps = parts["background"].maps
        maps = maps - maps.mean(dim=1, keepdim=True)
        size = size / maps.square().sum(dim=-1).mean(dim=-1)[:, None, None].sqrt()
        wired = {}
        for kind, part in parts.items():
            scale = size if kind == "background" else size * 0 + lognormal((n, 1, 1), 0.14, 0.4, generator)
            wired[kind] = _Part(part.signals, self._wire(part.maps * scale, channels))
        wired["eyes"] = self._eyes_part(channels, grid, band, generator)
        wired["muscles"] = self._muscle_part(channels, grid, band, generator)
        wired["noise"] = self._noise(channels, grid, band, generator)
        return wired

    def _wire(self, maps, channels):
        """Take maps, shape (n or 1, n_places, n_sources), to channels."""
        ends = self._index[channels]
        maps = maps.expand(len(channels), -1, -1)
        maps = torch.nn.functional.pad(maps, (0, 0, 0, 1))  # the place -1: nothing
        spread = ends[..., None].expand(-1, -1, -1, maps.shape[-1])
        first = maps.gather(1, spread[:, :, 0])
        if (channels >= len(ELECTRODES)).any():
            other = ends[..., 1] % maps.shape[1]
            first = first - maps.gather(1, other[..., None].expand(-1, -1, maps.shape[-1]))
        return first

    def _draw_band(self, n, grid, generator):
        """Draw what amplifiers and their owners' filters let through, shape (n, 1, n_freqs)."""
        low = 0.1 + chance((n, 1, 1), 0.3, generator) * uniform((n, 1, 1), 0.2, 0.7, generator)
        cut = chance((n, 1, 1), 0.3, generator)
        high = 75.0 - cut * uniform((n, 1, 1), 5.0, 45.0, generator)
        line = 50.0 + 10.0 * chance((n, 1, 1), 0.5, generator)
        freqs = grid.freqs
        power = 1 / (1 + (low / freqs) ** 4)
        power = power * torch.sigmoid((high - freqs) / 1.0)
        return power * (1 - torch.exp(-0.5 * ((freqs - line) / 0.7) ** 2))

    def _pick_patches(self, n, n_sources, generator, near=None):
        """Draw patches of cortex; return maps, shape (n, n_places, n_sources)."""
        shape = (n, n_sources)
        if near is None:
            near = torch.ones(len(self._patches), device=self.device)
        which = torch.multinomial(
            near.expand(n, -1), n_sources, replacement=True, generator=generator
        )
        extent = torch.randint(
            self._patches.shape[1], shape, generator=generator, device=self.device
        )
        facing = normal((*shape, 3), 0.0, 1.0, generator)
        facing = torch.nn.functional.normalize(facing, dim=-1)
        maps = torch.einsum("bsk,bskp->bps", facing, self._patches[which, extent])
        return maps

    def _background(self, n, grid, band, generator):
        shape = (n, self.n_sources)
        maps = self._pick_patches(n, self.n_sources, generator)
        maps = maps * lognormal((n, 1, self.n_sources), 1.0, 0.6, generator)
        exponent = uniform((n, 1), 1.0, 2.2, generator) + normal(shape, 0.0, 0.25, generator)
        knee = lognormal((n, 1), 1.0, 0.8, generator)
        power = normalise(power_law(grid, exponent, knee) * band, grid.share)
        signals = grid.shape_noise(power, generator)
        return _Part(signals, maps)

    def _rhythm(self, kind, n, grid, band, generator):
        _, count, (low, high), median = _RHYTHMS[kind]
        shape = (n, count)
        maps = self._pick_patches(n, count, generator, self._near[kind])
        strength = lognormal((n, 1, 1), median, 0.8, generator)
        strength = strength * lognormal((n, 1, count), 1.0, 0.4, generator)
        if kind == "spindle":
            strength = strength * chance((n, 1, 1), 0.06, generator)
        centre = uniform((n, 1), low, high, generator) + normal(shape, 0.0, 0.3, generator)
        width = uniform((n, 1), 0.4, 1.2, generator).expand(shape)
        harmonic = uniform(shape, 0.0, 0.5, generator) if kind == "mu" else None
        signals = grid.shape_noise(peaks(grid, centre, width, harmonic) * band, generator)
        if kind in ("beta", "spindle"):
            duration = 0.15 if kind == "beta" else 0.4
            signals = signals * self._bursts(shape, grid, duration, 0.4, generator)
        else:
            signals = signals * wander(shape, grid, torch.tensor(0.5), generator)
        return _Part(signals, maps * strength)

    def _bursts(self, shape, grid, duration, rate, generator):
        """Draw envelopes of bursts, of durations (standard deviation) in seconds."""
        n_cells = grid.count_cells()
        amplitude = chance((*shape, n_cells), rate, generator)
        amplitude = amplitude * lognormal((*shape, n_cells), 1.0, 0.4, generator)
        impulses = grid.scatter(amplitude, n_cells, generator)
        times = grid.kernel_times(6 * duration)
        kernel = torch.exp(-0.5 * ((times - 3 * duration) / duration) ** 2)
        return grid.filter_events(impulses, grid.transfer(kernel))

    def _eyes_part(self, channels, grid, band, generator):
        n = len(channels)
        n_cells = grid.count_cells()
        rate = uniform((n, 1), 0.0, 0.5, generator) * chance((n, 1), 0.5, generator)
        blinks = chance((n, n_cells), rate, generator)
        blinks = blinks * lognormal((n, n_cells), 1.0, 0.3, generator)
        blinks = blinks * lognormal((n, 1), 1.0, 0.5, generator)
        tau = uniform((n, 1), 0.06, 0.1, generator)
        x = grid.kernel_times(0.6) / tau
        kernel = x**2 * torch.exp(2 * (1 - x))
        transfer = grid.transfer(kernel) * band[:, 0].sqrt()
        blink = grid.filter_events(grid.scatter(blinks, n_cells, generator), transfer)
        gaze = self._gaze(n, grid, generator)
        signals = torch.stack([blink + gaze[:, 0], gaze[:, 1]], dim=1)
        return _Part(signals, self._wire(self._eyes.T[None], channels))

    def _gaze(self, n, grid, generator):
        """Draw where the eyes look, up and right: steps that a high-pass lets decay."""
        n_cells = grid.count_cells()
        shape = (n, 2, n_cells)
        step = normal(shape, 0.0, 1.0, generator) * chance(shape, 0.4, generator)
        size = lognormal((n, 1, 1), 0.1, 0.6, generator) * chance((n, 1, 1), 0.5, generator)
        impulses = grid.scatter(step * size, n_cells, generator)
        times = grid.kernel_times(1.5)
        kernel = torch.exp(-times / 0.5) * (1 - torch.exp(-times / 0.02))
        return grid.filter_events(impulses, grid.transfer(kernel))

    def _muscle_part(self, channels, grid, band, generator):
        n = len(channels)
        shape = (n, len(self._muscles))
        maps = self._muscles.T[None] * (
            lognormal((n, 1, 1), 0.04, 0.8, generator) * lognormal((n, 1, shape[1]), 1.0, 0.7, generator)
        )
        freqs = grid.freqs
        centre = uniform((n, 1, 1), 20.0, 40.0, generator)
        rise = torch.sigmoid((freqs - centre) / 6.0)
        power = normalise(rise.expand(n, shape[1], -1), grid.share) * band
        signals = grid.shape_noise(power, generator)
        calm = uniform((n, 1, 1), 0.1, 1.0, generator)
        signals = signals * (calm + self._bursts(shape, grid, 0.25, 0.1, generator))
        return _Part(signals, self._wire(maps, channels))

    def _noise(self, channels, grid, band, generator):
        """Draw noise of the electrodes; derivations share that of their ends."""
        n, count = channels.shape
        bipolar = bool((channels >= len(ELECTRODES)).any())
        if bipolar:
            count = self.n_places
        exponent = uniform((n, 1, 1), 1.0, 2.2, generator)
        level = lognormal((n, 1, 1), 0.025, 0.6, generator) * lognormal((n, count, 1), 1.0, 0.5, generator)
        drift = lognormal((n, 1, 1), 0.03, 0.8, generator) * lognormal((n, count, 1), 1.0, 0.6, generator)
        white = normalise(band, grid.share)
        pink = normalise(grid.freqs**-exponent * band, grid.share)
        power = level**2 * white + drift**2 * pink
        signals = grid.shape_noise(power, generator)
        if bipolar:
            places = torch.nn.functional.pad(signals, (0, 0, 0, 1))
            ends = self._index[channels] % places.shape[1]
            rows = torch.arange(n, device=self.device)[:, None]
            signals = places[rows, ends[..., 0]] - places[rows, ends[..., 1]]
        return _Part(signals)


def reference(x, channels):
    """Subtract the mean of the electrodes from them; derivations stay."""
    unipolar = (channels < len(ELECTRODES))[..., None].float()
    count = unipolar.sum(dim=1, keepdim=True)
    mean = (x * unipolar).sum(dim=1, keepdim=True) / count.clamp(min=1)
    return x - mean * unipolar * (count > 1)
